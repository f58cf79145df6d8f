//! Four publishers, each over its own mutual TLS connection, streaming batches.

use std::collections::BTreeMap;
use std::iter::Peekable;

use nation::{Nation, PublishedChange, REGISTERS};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::outcome::Outcome;
use wire::ingest::{Batch, BatchResult, DeclareExpectedRequest, PublishRequest};

use super::Demo;
use crate::error::CommandError;
use crate::progress::Progress;
use crate::synthetic::wire_change;

const BATCH_CHANGES: usize = 500;
const DAY_MICROS: i64 = 86_400_000_000;
const BATCHES_QUEUED: usize = 8;

/// What came of the changes at the door.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    pub(super) published: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) duplicate: u64,
    pub(super) conflict: u64,
    pub(super) unauthorised: u64,
    /// Accepted changes that break soft rules.
    pub(super) with_findings: u64,
    /// Refused changes by the first rule that each breaks.
    pub(super) refused_by: BTreeMap<String, u64>,
}

impl Published {
    fn count(&mut self, result: &BatchResult) {
        for outcome in &result.outcomes {
            self.published += 1;
            match &outcome.outcome {
                Some(Outcome::Accepted(a)) => {
                    self.accepted += 1;
                    self.with_findings += u64::from(!a.findings.is_empty());
                }
                Some(Outcome::Duplicate(_)) => self.duplicate += 1,
                Some(Outcome::Conflict(_)) => self.conflict += 1,
                Some(Outcome::Rejected(r)) => {
                    self.rejected += 1;
                    if let Some(v) = r.violations.first() {
                        *self.refused_by.entry(format!("{} {}", v.rule_id, v.field_path)).or_default() += 1;
                    }
                }
                Some(Outcome::Unauthorised(_)) | None => self.unauthorised += 1,
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.published += other.published;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.conflict += other.conflict;
        self.unauthorised += other.unauthorised;
        self.with_findings += other.with_findings;
        for (rule, n) in other.refused_by {
            *self.refused_by.entry(rule).or_default() += n;
        }
    }
}

/// Every register says how many objects it should hold.
pub(super) async fn declare_expected(demo: &Demo, nation: &Nation) -> Result<(), CommandError> {
    for register in REGISTERS {
        let mut client = IngestServiceClient::new(demo.connect(&format!("register/{register}")).await?);
        for expected in nation.expected().into_iter().filter(|e| e.register == register) {
            let request = DeclareExpectedRequest {
                register: expected.register.to_string(),
                record_type: expected.record_type.to_string(),
                commune: expected.commune.to_string(),
                objects: expected.objects,
            };
            client.declare_expected(request).await?;
        }
    }
    Ok(())
}

/// Publishes everything, all registers at once.
pub(super) async fn publish(demo: &Demo, nation: &Nation) -> Result<Published, CommandError> {
    let total: usize = REGISTERS.iter().map(|r| nation.changes(r).len()).sum();
    let progress = Progress::new("publish", "changes", Some(total as u64), demo.quiet);
    let one = |register: &'static str| register_stream(demo, nation, register, &progress);
    let (a, b, c, d) = tokio::join!(one(REGISTERS[0]), one(REGISTERS[1]), one(REGISTERS[2]), one(REGISTERS[3]));
    let mut all = Published::default();
    for published in [a?, b?, c?, d?] {
        all.add(published);
    }
    progress.finish();
    Ok(all)
}

async fn register_stream(
    demo: &Demo,
    nation: &Nation,
    register: &'static str,
    progress: &Progress,
) -> Result<Published, CommandError> {
    let channel = demo.connect(&format!("register/{register}")).await?;
    let mut client = IngestServiceClient::new(channel).max_decoding_message_size(ingest::RESPONSE_BYTES_MAX);
    let (sender, batches) = mpsc::channel::<PublishRequest>(BATCHES_QUEUED);
    let send = async {
        let mut changes = nation.changes(register).peekable();
        for sequence in 0.. {
            let batch = day_batch(&mut changes);
            let Some(last) = batch.last() else { break };
            let published_at = Some(wire::timestamp(last.published_at));
            let changes = batch.into_iter().map(wire_change).collect();
            let batch = Batch { sequence, register: register.to_owned(), published_at, changes, register_epoch: 0 };
            if sender.send(PublishRequest { batch: Some(batch) }).await.is_err() {
                // The hub ended the stream: the reader below has the reason.
                break;
            }
        }
        drop(sender);
    };
    let receive = async {
        let mut published = Published::default();
        let mut answers = client.publish(ReceiverStream::new(batches)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if let Some(result) = &answer.result {
                published.count(result);
                progress.add(result.outcomes.len() as u64);
            }
        }
        Ok::<_, CommandError>(published)
    };
    let ((), published) = tokio::join!(send, receive);
    published
}

/// What a register sends together: at most a day's changes, so that the time of publishing is true of each.
fn day_batch(changes: &mut Peekable<impl Iterator<Item = PublishedChange>>) -> Vec<PublishedChange> {
    let Some(day) = changes.peek().map(|c| c.published_at.div_euclid(DAY_MICROS)) else { return Vec::new() };
    let mut batch = Vec::new();
    while batch.len() < BATCH_CHANGES
        && let Some(change) = changes.next_if(|c| c.published_at.div_euclid(DAY_MICROS) == day)
    {
        batch.push(change);
    }
    batch
}
