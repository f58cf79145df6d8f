//! What publishers and portals do: loops over real connections.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ingest::RESPONSE_BYTES_MAX;
use nation::{Nation, REGISTERS};
use prost::Message as _;
use record::{Index, Partition, Position, Positions, Stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::outcome::Outcome;
use wire::ingest::{Batch, BatchResult, PublishRequest};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::subject_key::Key;
use wire::query::{GetSubjectRequest, NameBirth, Purpose, SubjectKey};

use super::{BATCH, IN_FLIGHT};
use crate::synthetic::wire_change;

/// Batches of the registers in turn, as they publish side by side.
pub(super) struct Source<'n> {
    registers: VecDeque<(usize, Box<dyn Iterator<Item = wire::ingest::Change> + 'n>)>,
    sequence: u64,
    /// Personal numbers that stand in the batches that were given.
    pub(super) personal_ids: Vec<String>,
    /// The name and date of birth of one of them.
    pub(super) somebody: Option<NameBirth>,
}

impl<'n> Source<'n> {
    pub(super) fn new(nation: &'n Nation) -> Self {
        let changes =
            |register| Box::new(nation.changes(register).map(wire_change)) as Box<dyn Iterator<Item = _> + 'n>;
        let registers = REGISTERS.into_iter().enumerate().map(|(at, register)| (at, changes(register))).collect();
        Self { registers, sequence: 0, personal_ids: Vec::new(), somebody: None }
    }

    /// Batches with about so many changes, by register; fewer when the nation has no more.
    pub(super) fn take(&mut self, changes: usize) -> Load {
        let mut load = Load { batches: vec![Vec::new(); REGISTERS.len()], changes: 0 };
        while load.changes < changes
            && let Some((at, mut source)) = self.registers.pop_front()
        {
            let changes: Vec<_> = source.by_ref().take(BATCH).collect();
            if changes.is_empty() {
                continue;
            }
            self.remember(at, &changes);
            load.changes += changes.len();
            let batch = Batch {
                sequence: self.sequence,
                register: REGISTERS[at].to_owned(),
                published_at: Some(SystemTime::now().into()),
                changes,
                register_epoch: 0,
            };
            self.sequence += 1;
            load.batches[at].push(batch);
            self.registers.push_back((at, source));
        }
        load
    }

    fn remember(&mut self, register: usize, changes: &[wire::ingest::Change]) {
        use nation::contracts::hub::register::population::v1::Residence;
        if REGISTERS[register] != "population" {
            return;
        }
        for change in changes.iter().filter(|change| change.record_type == "residence") {
            let residence = Residence::decode(&change.payload[..]).unwrap_or_default();
            if residence.personal_id.len() == 12 {
                self.somebody.get_or_insert_with(|| NameBirth {
                    full_name: residence.full_name.clone(),
                    birth_date: residence.birth_date.clone(),
                });
                self.personal_ids.push(residence.personal_id);
            }
        }
    }
}

/// Batches by register.
pub(super) struct Load {
    batches: Vec<Vec<Batch>>,
    pub(super) changes: usize,
}

impl Load {
    /// The batches of each register, in the order of [`REGISTERS`].
    pub(super) fn into_registers(self) -> Vec<Vec<Batch>> {
        self.batches
    }

    /// All batches, the registers in turn.
    pub(super) fn in_turn(self) -> impl Iterator<Item = Batch> {
        let mut registers: VecDeque<_> = self.batches.into_iter().map(Vec::into_iter).collect();
        std::iter::from_fn(move || {
            while let Some(mut register) = registers.pop_front() {
                if let Some(batch) = register.next() {
                    registers.push_back(register);
                    return Some(batch);
                }
            }
            None
        })
    }
}

impl Clone for Load {
    fn clone(&self) -> Self {
        Self { batches: self.batches.clone(), changes: self.changes }
    }
}

fn client(channel: &Channel) -> IngestServiceClient<Channel> {
    IngestServiceClient::new(channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX)
}

/// Publishes everything, every register on a stream of its own, and tells how many changes were answered a second.
pub(super) async fn publish(channels: &[Channel], load: Load) -> Result<f64, Status> {
    let changes = load.changes;
    let begun = Instant::now();
    let streams = channels.iter().zip(load.batches).map(|(channel, batches)| publish_stream(channel, batches));
    try_join_all(streams).await?;
    Ok(changes as f64 / begun.elapsed().as_secs_f64().max(1e-3))
}

async fn publish_stream(channel: &Channel, batches: Vec<Batch>) -> Result<(), Status> {
    let (requests, outgoing) = mpsc::channel(IN_FLIGHT);
    let feeding = tokio::spawn(async move {
        for batch in batches {
            if requests.send(PublishRequest { batch: Some(batch) }).await.is_err() {
                return;
            }
        }
    });
    let mut answers = client(channel).publish(ReceiverStream::new(outgoing)).await?.into_inner();
    while answers.message().await?.is_some() {}
    // Ended with its last batch, or when the stream was dropped.
    let _ = feeding.await;
    Ok(())
}

/// Publishes at a steady rate, each batch by a call of its own, until the batches or the time end. Tells how long each batch took
/// from its sending until the views showed all of it.
pub(super) async fn visible(
    channels: &[Channel],
    load: Load,
    per_s: f64,
    at_most: Duration,
    folded: &watch::Receiver<Positions>,
) -> Result<Vec<Duration>, Status> {
    let begun = Instant::now();
    let mut sent = 0;
    let mut waiting = Vec::new();
    for batch in load.in_turn() {
        if begun.elapsed() > at_most {
            break;
        }
        let due = begun + Duration::from_secs_f64(sent as f64 / per_s);
        tokio::time::sleep_until(due.into()).await;
        sent += batch.changes.len();
        let at = REGISTERS.iter().position(|register| *register == batch.register).expect("a batch of these registers");
        let (mut client, mut folded) = (client(&channels[at]), folded.clone());
        waiting.push(tokio::spawn(async move {
            // From when it was due: a hub that stalls is not measured by fewer batches.
            let request = wire::ingest::PublishBatchRequest { batch: Some(batch) };
            let result = client.publish_batch(request).await?.into_inner().result.unwrap_or_default();
            let appended = positions(&result);
            // Ends with the hub.
            let _ = folded.wait_for(|folded| appended.iter().all(|position| folded.covers(*position))).await;
            Ok::<_, Status>(due.elapsed())
        }));
    }
    let mut times = Vec::with_capacity(waiting.len());
    for task in waiting {
        times.push(task.await.map_err(|error| Status::internal(error.to_string()))??);
    }
    Ok(times)
}

fn positions(result: &BatchResult) -> Vec<Position> {
    let receipts = result.outcomes.iter().filter_map(|outcome| match &outcome.outcome {
        Some(Outcome::Accepted(accepted)) => accepted.receipt.as_ref()?.position.as_ref(),
        _ => None,
    });
    let position = |p: &wire::ingest::Position| {
        let partition = Partition(u16::try_from(p.partition).expect("a hub's own partitions"));
        Position { stream: Stream::Change, partition, index: Index(p.index) }
    };
    receipts.map(position).collect()
}

/// What came of asking.
pub(super) struct Asked {
    pub(super) per_s: f64,
    pub(super) times: Vec<Duration>,
}

/// Asks for persons one after the other until the time ends.
pub(super) async fn query<'i>(
    channel: &Channel,
    ids: impl Iterator<Item = &'i str>,
    at_most: Duration,
) -> Result<Asked, Status> {
    let client = QueryServiceClient::new(channel.clone());
    let begun = Instant::now();
    let asking = stream::iter(ids).take_while(|_| std::future::ready(begun.elapsed() < at_most));
    let answers = asking.map(|id| {
        let mut client = client.clone();
        async move {
            let begun = Instant::now();
            client.get_subject(question(id)).await.map(|_| begun.elapsed())
        }
    });
    let times: Vec<Duration> = answers.buffer_unordered(IN_FLIGHT * 2).try_collect().await?;
    Ok(Asked { per_s: times.len() as f64 / begun.elapsed().as_secs_f64().max(1e-3), times })
}

pub(super) fn question(id: &str) -> GetSubjectRequest {
    GetSubjectRequest {
        kind: "person".to_owned(),
        key: Some(SubjectKey { key: Some(Key::PersonalId(id.to_owned())) }),
        purpose: Some(Purpose { procedure: "1.001193".to_owned(), case_number: "bench".to_owned() }),
        fields: vec!["full_name".to_owned(), "birth_date".to_owned()],
        ..Default::default()
    }
}

/// The time within which 99 of 100 were done, in milliseconds.
pub(super) fn p99_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
