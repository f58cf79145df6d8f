//! Sending batches over one stream, and matching answers to lines.

use std::time::SystemTime;

use ingest::RESPONSE_BYTES_MAX;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, BatchResult, Outcome, PublishRequest, Violation, outcome};

use super::line::LineError;
use super::read::Found;
use crate::error::CommandError;

/// Batches that are sent and not answered; the hub stops reading at its own bound, which is mostly lower.
const IN_FLIGHT: usize = 16;

/// Counts of outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the log, new.
    pub accepted: u64,
    /// In the log before.
    pub duplicate: u64,
    /// Another statement under the same version is in the log.
    pub conflict: u64,
    /// Refused by the contract, and kept.
    pub rejected: u64,
    /// Not this caller's to write.
    pub unauthorised: u64,
    /// Lines that could not be read.
    pub broken: u64,
}

impl Tally {
    /// Changes that were answered.
    pub fn answered(&self) -> u64 {
        self.accepted + self.duplicate + self.conflict + self.rejected + self.unauthorised
    }

    /// Changes that the hub did not take.
    pub fn refused(&self) -> u64 {
        self.conflict + self.rejected + self.unauthorised
    }
}

/// What came of the input so far, for whoever shows it.
pub enum Sent {
    /// A batch was answered.
    Answered {
        /// So many changes.
        changes: u64,
        /// Every line up to this one was answered or is broken.
        reached: u64,
        /// One line of JSON per change that is not in the log now.
        refused: Vec<Json>,
    },
    /// A line could not be read.
    Broken(LineError),
}

/// A batch on its way.
struct Pending {
    lines: Vec<u64>,
    record_ids: Vec<String>,
    reached: u64,
}

/// Publishes what `found` brings as changes of `register` and tells `sent` in order.
///
/// # Errors
/// The hub did not answer or refused the stream; the input cannot be read further. What was told before is acknowledged.
pub async fn send(
    channel: Channel,
    register: &str,
    mut found: mpsc::Receiver<Found>,
    mut sent: impl FnMut(Sent) -> Result<(), CommandError>,
) -> Result<Tally, CommandError> {
    let mut client = IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    let (requests, outgoing) = mpsc::channel::<PublishRequest>(2);
    let (pending, mut waiting) = mpsc::channel::<Pending>(IN_FLIGHT);
    let (broken, mut breaks) = mpsc::channel::<LineError>(64);
    let register = register.to_owned();
    // Ends when the input ends or when the stream is dropped below.
    let feeding = tokio::spawn(async move {
        let mut sequence = 0;
        while let Some(found) = found.recv().await {
            match found {
                Found::Batch { changes, lines, reached } => {
                    sequence += 1;
                    let record_ids = changes.iter().map(|change| change.record_id.clone()).collect();
                    let published_at = Some(prost_types::Timestamp::from(SystemTime::now()));
                    let batch =
                        Batch { sequence, register: register.clone(), published_at, changes, register_epoch: 0 };
                    if pending.send(Pending { lines, record_ids, reached }).await.is_err()
                        || requests.send(PublishRequest { batch: Some(batch) }).await.is_err()
                    {
                        return Ok(());
                    }
                }
                Found::Broken(line) => {
                    if broken.send(line).await.is_err() {
                        return Ok(());
                    }
                }
                Found::End(_) => return Ok(()),
                Found::Failed(what) => return Err(what),
            }
        }
        Ok(())
    });
    let mut tally = Tally::default();
    // The hub answers the call itself with its first batch result, and an input of broken lines only has none.
    let calling = client.publish(ReceiverStream::new(outgoing));
    tokio::pin!(calling);
    let mut answers = loop {
        tokio::select! {
            answers = &mut calling => break answers?.into_inner(),
            Some(line) = breaks.recv() => tell_broken(line, &mut tally, &mut sent)?,
        }
    };
    let mut breaks_open = true;
    loop {
        tokio::select! {
            answer = answers.message() => {
                let Some(answer) = answer? else { break };
                let batch = waiting.recv().await.ok_or_else(unasked)?;
                let result = answer.result.unwrap_or_default();
                let changes = result.outcomes.len() as u64;
                if result.outcomes.len() != batch.lines.len() {
                    return Err(unasked());
                }
                let refused = count(&result, &batch, &mut tally);
                sent(Sent::Answered { changes, reached: batch.reached, refused })?;
            }
            line = breaks.recv(), if breaks_open => match line {
                Some(line) => tell_broken(line, &mut tally, &mut sent)?,
                None => breaks_open = false,
            },
        }
    }
    while let Some(line) = breaks.recv().await {
        tell_broken(line, &mut tally, &mut sent)?;
    }
    match feeding.await {
        Ok(Ok(())) => Ok(tally),
        Ok(Err(what)) => Err(CommandError::failed(
            what,
            "correct the input; what was acknowledged is in the log, and repeating is safe",
        )),
        Err(panic) => {
            Err(CommandError::failed(format!("reading ended abnormally: {panic}"), "try again; repeating is safe"))
        }
    }
}

fn unasked() -> CommandError {
    CommandError::failed("the hub answered what was not asked", "use a program of the hub's version")
}

fn tell_broken(
    line: LineError,
    tally: &mut Tally,
    sent: &mut impl FnMut(Sent) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    tally.broken += 1;
    sent(Sent::Broken(line))
}

fn count(result: &BatchResult, batch: &Pending, tally: &mut Tally) -> Vec<Json> {
    let mut refused = Vec::new();
    for ((answer, line), record_id) in result.outcomes.iter().zip(&batch.lines).zip(&batch.record_ids) {
        match &answer.outcome {
            Some(outcome::Outcome::Accepted(_)) => tally.accepted += 1,
            Some(outcome::Outcome::Duplicate(_)) => tally.duplicate += 1,
            Some(outcome::Outcome::Conflict(_)) => tally.conflict += 1,
            Some(outcome::Outcome::Rejected(_)) => tally.rejected += 1,
            Some(outcome::Outcome::Unauthorised(_)) | None => tally.unauthorised += 1,
        }
        refused.extend(told(answer, *line, record_id));
    }
    refused
}

fn told(answer: &Outcome, line: u64, record_id: &str) -> Option<Json> {
    let violation = |violation: &Violation| json!({ "field": violation.field_path, "rule": violation.rule_id, "group": violation.group, "message": violation.message });
    let told = |outcome: &str, violations: Vec<Json>, message: &str| {
        Some(
            json!({ "line": line, "record_id": record_id, "outcome": outcome, "violations": violations, "message": message }),
        )
    };
    match answer.outcome.as_ref()? {
        outcome::Outcome::Accepted(_) | outcome::Outcome::Duplicate(_) => None,
        outcome::Outcome::Conflict(_) => {
            told("conflict", Vec::new(), "another statement with this version is in the log: publish a higher version")
        }
        outcome::Outcome::Rejected(rejected) => {
            told("rejected", rejected.violations.iter().map(violation).collect(), "")
        }
        outcome::Outcome::Unauthorised(reason) => told("unauthorised", Vec::new(), &reason.message),
    }
}
