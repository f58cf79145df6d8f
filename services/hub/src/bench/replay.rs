//! Verification of the whole log against its ledger, and a filtered replay, through the API; beside the same work over bytes that
//! lie in memory.

use std::time::Instant;

use event_log::{Logged, StreamSet};
use record::{Entry, EntryHash, LogSecret};
use tonic::transport::Channel;
use views::runtime::ViewsHandle;
use wire::audit::audit_service_client::AuditServiceClient;
use wire::audit::{ReplayRequest, VerifyLedgerRequest};

use super::figure::{Budget, Figure, Limit};
use crate::error::{CommandError, told};

/// Entries that lie in memory are at most so many bytes.
const BYTES_MAX: usize = 256 << 20;

/// Verifies and replays what the hub holds.
pub(super) async fn measure(channel: &Channel, handle: &ViewsHandle) -> Result<Vec<Figure>, CommandError> {
    let (verified, replayed) = (verify(channel).await?, replay(channel).await?);
    let (log, secret) = (handle.log.clone(), handle.secret.clone());
    let limits = tokio::task::spawn_blocking(move || limits(&log, &secret)).await;
    let limits = limits.map_err(|error| CommandError::failed(error.to_string(), "run with -v to see why"))?;
    let (hashed, decoded) = limits?;
    let figure = |name, value, what, limit, budget| Figure {
        name,
        value,
        unit: "entries/s",
        limit: Some(Limit { what, value: limit }),
        budget,
    };
    let hashing = "a BLAKE3 pass over the entries in memory";
    let decoding = "opening the entries in memory";
    Ok(vec![
        figure("verify", verified, hashing, hashed, Budget::AtLeast(600_000.0, Some(0.5))),
        figure("replay", replayed, decoding, decoded, Budget::AtLeast(200_000.0, Some(0.5))),
    ])
}

async fn verify(channel: &Channel) -> Result<f64, CommandError> {
    let begun = Instant::now();
    let mut answers =
        AuditServiceClient::new(channel.clone()).verify_ledger(VerifyLedgerRequest {}).await?.into_inner();
    let mut entries = 0;
    while let Some(answer) = answers.message().await? {
        entries = answer.entries_total.max(entries);
        if answer.result.is_some_and(|result| !result.equal) {
            return Err(CommandError::failed(
                "the log is not as its ledger says",
                "this is a fault of the hub: report it",
            ));
        }
    }
    Ok(entries as f64 / begun.elapsed().as_secs_f64().max(1e-6))
}

/// Nothing matches, so that reading and opening is what is measured.
async fn replay(channel: &Channel) -> Result<f64, CommandError> {
    let request = ReplayRequest {
        streams: vec!["change".to_owned()],
        agency: "no.such.agency".to_owned(),
        case_number: "bench".to_owned(),
        ..Default::default()
    };
    let begun = Instant::now();
    let mut answers = AuditServiceClient::new(channel.clone()).replay(request).await?.into_inner();
    let mut read = 0;
    while let Some(answer) = answers.message().await? {
        read = answer.read;
    }
    Ok(read as f64 / begun.elapsed().as_secs_f64().max(1e-6))
}

/// Entries hashed, and changes opened, a second.
fn limits(log: &event_log::EventLog, secret: &LogSecret) -> Result<(f64, f64), CommandError> {
    let failed = |error: &dyn std::error::Error| CommandError::failed(told(error), "run with -v to see why");
    let mut reader = log.reader(&log.first(), StreamSet::ALL).map_err(|error| failed(&error))?;
    let (mut entries, mut bytes): (Vec<Logged>, usize) = (Vec::new(), 0);
    while bytes < BYTES_MAX {
        let batch = reader.next_batch(4096, 4 << 20).map_err(|error| failed(&error))?;
        if batch.entries.is_empty() {
            break;
        }
        bytes += batch.entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        entries.extend(batch.entries);
    }
    let begun = Instant::now();
    let sum = entries.iter().fold(0u8, |sum, entry| sum ^ EntryHash::of(&entry.bytes).0[0]);
    std::hint::black_box(sum);
    let hashed = entries.len() as f64 / begun.elapsed().as_secs_f64().max(1e-6);
    let keys = secret.keys();
    let (begun, mut opened) = (Instant::now(), 0);
    for logged in entries.iter().filter(|entry| entry.position.stream == record::Stream::Change) {
        let entry = Entry::decode(&logged.bytes).map_err(|error| failed(&error))?;
        std::hint::black_box(entry.body(&keys).map_err(|error| failed(&error))?.len());
        opened += 1;
    }
    Ok((hashed, f64::from(opened) / begun.elapsed().as_secs_f64().max(1e-6)))
}
