//! Loops of a publisher and of a portal.

use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use ingest::RESPONSE_BYTES_MAX;
use nation::{Nation, Operation, PublishedChange};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, Change, PublishRequest};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::subject_key::Key;
use wire::query::{GetSubjectRequest, Purpose, SubjectKey};

use super::{BATCH, IN_FLIGHT};

pub(super) struct Published {
    pub per_s: f64,
}

pub(super) fn wire_change(change: PublishedChange) -> Change {
    let time = |micros: i64| {
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("less than a second");
        Some(prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos })
    };
    let operation = match change.operation {
        Operation::Upsert => wire::ingest::Operation::Upsert,
        Operation::Retract => wire::ingest::Operation::Retract,
    };
    Change {
        record_id: change.record_id,
        version: change.version,
        operation: operation.into(),
        record_type: change.record_type.into(),
        effective_at: time(change.effective_at),
        registered_at: time(change.registered_at),
        replaces: change.replaces,
        agency: change.agency,
        legal_basis: change.legal_basis.into(),
        reason: change.reason.into(),
        payload: change.payload.into(),
        traceparent: String::new(),
    }
}

/// Publishes until the changes or the time end.
pub(super) async fn publish(channel: Channel, changes: &[Change], at_most: Duration) -> Result<Published, Status> {
    let mut client = IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    let (requests, outgoing) = tokio::sync::mpsc::channel(IN_FLIGHT);
    let batches: Vec<Batch> = changes
        .chunks(BATCH)
        .enumerate()
        .map(|(sequence, chunk)| Batch {
            sequence: sequence as u64,
            register: "civil".to_owned(),
            published_at: Some(SystemTime::now().into()),
            changes: chunk.to_vec(),
            register_epoch: 0,
        })
        .collect();
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.changes.len()).collect();
    let begun = Instant::now();
    let feeding = tokio::spawn(async move {
        for batch in batches {
            if begun.elapsed() > at_most || requests.send(PublishRequest { batch: Some(batch) }).await.is_err() {
                return;
            }
        }
    });
    let mut answers = client.publish(ReceiverStream::new(outgoing)).await?.into_inner();
    let mut answered = 0;
    let mut sizes = sizes.into_iter();
    while answers.message().await?.is_some() {
        answered += sizes.next().unwrap_or(0);
    }
    let per_s = answered as f64 / begun.elapsed().as_secs_f64().max(0.001);
    // Ended with its last batch, or when the stream was dropped.
    let _ = feeding.await;
    Ok(Published { per_s })
}

/// Personal numbers that stand in civil records, as far as the nation shows them.
pub(super) fn personal_ids(nation: &Nation) -> Vec<String> {
    let show = nation.showcase();
    let births = show.birth.map(|birth| [birth.mother, birth.father]).into_iter().flatten();
    show.person.into_iter().chain(births).chain(show.stale).map(|person| person.personal_id).collect()
}

/// Asks for the persons over and over until the time ends, and tells how many answers came a second.
pub(super) async fn query(channel: Channel, ids: &[String], at_most: Duration) -> Result<f64, Status> {
    let client = QueryServiceClient::new(channel);
    let begun = Instant::now();
    let asking = stream::iter(ids.iter().cycle()).take_while(|_| std::future::ready(begun.elapsed() < at_most));
    let answers = asking.map(|id| {
        let mut client = client.clone();
        async move { client.get_subject(question(id)).await.map(|_| ()) }
    });
    let answered =
        answers.buffer_unordered(IN_FLIGHT * 2).try_fold(0_u64, |count, ()| async move { Ok(count + 1) }).await?;
    Ok(answered as f64 / begun.elapsed().as_secs_f64().max(0.001))
}

fn question(id: &str) -> GetSubjectRequest {
    GetSubjectRequest {
        kind: "person".to_owned(),
        key: Some(SubjectKey { key: Some(Key::PersonalId(id.to_owned())) }),
        purpose: Some(Purpose { procedure: "1.001193".to_owned(), case_number: "bench".to_owned() }),
        fields: vec!["full_name".to_owned(), "birth_date".to_owned()],
        ..Default::default()
    }
}
