//! One batch from the wire to its answer.

use std::sync::Arc;
use std::time::Instant;

use prost::Message as _;
use record::envelope::TraceContext;
use record::{RegisterEpoch, RegisterName, Timestamp};
use telemetry::ChangeOutcome;
use wire::ingest::{
    Accepted, Batch as WireBatch, BatchResult, Conflict, Duplicate, Outcome, Position, Receipt, Rejected, Unauthorised,
    outcome,
};

use crate::change::{micros, wire_position};
use crate::commit::{Landed, LandedBatch};
use crate::error::Error;
use crate::judge::{Batch, Judged, Known, Slot, Source, judge};
use crate::limits::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX};
use crate::places::Place;
use crate::shared::Core;

/// Who calls, and in which trace.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<str>,
    pub(crate) trace: Option<TraceContext>,
}

/// Carries a published batch out. `place` is the batch's share of the hub's memory, given back with the answer.
pub(crate) async fn publish(
    core: Arc<Core>,
    caller: Caller,
    wire: Option<WireBatch>,
    place: Place,
) -> Result<BatchResult, Error> {
    let begun = Instant::now();
    let (sequence, batch) = read(&core, &caller, wire)?;
    let register = batch.register.clone();
    let result = carry_out(&core, batch, sequence).await;
    drop(place);
    let result = result?;
    if let Some(metrics) = core.publish_metrics(&register) {
        metrics.batch(begun.elapsed());
        for (outcome, count) in Tally::of(&result).counts() {
            metrics.changes(outcome, count);
        }
    }
    Ok(result)
}

fn read(core: &Core, caller: &Caller, wire: Option<WireBatch>) -> Result<(u64, Batch), Error> {
    let field = |field, description: String| Error::Field { field, description };
    let wire = wire.ok_or_else(|| field("batch", "the message holds no batch: send one".into()))?;
    if wire.changes.len() > BATCH_CHANGES_MAX {
        return Err(Error::TooManyChanges { found: wire.changes.len() });
    }
    let bytes = wire.encoded_len();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::TooManyBytes { found: bytes });
    }
    let register =
        RegisterName::try_from(wire.register.as_str()).map_err(|e| field("batch.register", e.to_string()))?;
    core.check_takes(&register)?;
    let published_at = match &wire.published_at {
        None => (core.clock)(),
        Some(at) => micros(at)
            .map(Timestamp)
            .ok_or_else(|| field("batch.published_at", "the time is malformed: send seconds and nanoseconds".into()))?,
    };
    let batch = Batch {
        register,
        epoch: RegisterEpoch(wire.register_epoch),
        principal: caller.principal.clone(),
        published_at,
        trace: caller.trace,
        source: Source::Published,
        changes: wire.changes,
    };
    Ok((wire.sequence, batch))
}

/// Judges, appends what is to be appended, and answers when all of it is durable, also what other batches brought.
pub(crate) async fn carry_out(core: &Arc<Core>, batch: Batch, sequence: u64) -> Result<BatchResult, Error> {
    core.check_open()?;
    let register = batch.register.clone();
    let judging = core.judges.clone().acquire_owned().await.map_err(|_| Error::Stopping)?;
    let judged = tokio::task::spawn_blocking({
        let core = core.clone();
        move || {
            let judged = judge(&core, &batch);
            drop(judging);
            judged
        }
    });
    let judged = judged.await.map_err(|error| {
        tracing::error!(%error, "judging a batch ended in a panic");
        Error::Internal
    })??;
    let landed = land(core, judged, register).await?;
    let Landed { judged, appended, receipts, first_leaf } = landed;
    let mut answer = Answer { core, appended: &appended, receipts: receipts.as_deref(), first_leaf, leaf: 0, kept: 0 };
    answer.kept = judged.hashes.len();
    let mut outcomes = Vec::with_capacity(judged.slots.len());
    for slot in judged.slots {
        outcomes.push(Outcome { outcome: Some(answer.outcome(slot, &judged.hashes).await?) });
    }
    let signed_root = match &receipts {
        Some(receipts) if !judged.hashes.is_empty() => receipts.signed_root().to_owned(),
        Some(_) | None => String::new(),
    };
    Ok(BatchResult { sequence, outcomes, signed_root })
}

async fn land(core: &Core, judged: Judged, register: RegisterName) -> Result<Landed, Error> {
    if judged.appends.is_empty() {
        let judged = LandedBatch { slots: judged.slots, hashes: judged.hashes };
        return Ok(Landed { judged, appended: Vec::new(), receipts: None, first_leaf: 0 });
    }
    core.commit(judged, register).await
}

/// Turns slots into outcomes, in order.
struct Answer<'a> {
    core: &'a Core,
    appended: &'a [event_log::Appended],
    receipts: Option<&'a ledger::ReceiptBatch>,
    first_leaf: usize,
    /// Changes answered.
    leaf: usize,
    /// Place of the next kept refusal among the appended.
    kept: usize,
}

impl Answer<'_> {
    async fn outcome(&mut self, slot: Slot, hashes: &[record::EntryHash]) -> Result<outcome::Outcome, Error> {
        Ok(match slot {
            Slot::Accepted { findings } => {
                let receipt = self.receipt(hashes);
                outcome::Outcome::Accepted(Accepted { receipt, findings })
            }
            Slot::Rejected { violations, kept } => {
                let position = if kept { self.appended.get(self.kept) } else { None };
                let position = position.map(|kept| wire_position(kept.position));
                self.kept += usize::from(kept);
                outcome::Outcome::Rejected(Rejected { position, violations })
            }
            Slot::Duplicate { of } => outcome::Outcome::Duplicate(Duplicate { of: self.place(of).await? }),
            Slot::Conflict { with } => outcome::Outcome::Conflict(Conflict { with: self.place(with).await? }),
            Slot::Unauthorised { denied } => {
                let (reason, message) = (denied.code().into(), denied.to_string());
                outcome::Outcome::Unauthorised(Unauthorised { reason, message })
            }
        })
    }

    fn receipt(&mut self, hashes: &[record::EntryHash]) -> Option<Receipt> {
        let (receipts, own) = (self.receipts?, self.leaf);
        self.leaf += 1;
        let leaf = self.first_leaf + own;
        Some(Receipt {
            position: Some(wire_position(self.appended[own].position)),
            entry_hash: hashes[own].0.to_vec(),
            leaf_index: leaf as u64,
            leaf_count: receipts.leaf_count(),
            path: receipts.path(leaf).iter().map(|hash| hash.to_vec()).collect(),
        })
    }

    /// Where a known statement is. Waits for it: what is told to a publisher is durable.
    async fn place(&self, known: Known) -> Result<Option<Position>, Error> {
        match known {
            Known::At(position) => Ok(Some(wire_position(position))),
            Known::Flight(flight, identity) if flight.landed().await => {
                Ok(self.core.unfolded.position(&identity).map(wire_position))
            }
            Known::Flight(..) => Err(Error::Overtaken),
        }
    }
}

/// Outcomes by kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    pub(crate) conflict: u64,
    pub(crate) rejected: u64,
    pub(crate) unauthorised: u64,
}

impl Tally {
    pub(crate) fn of(result: &BatchResult) -> Self {
        let mut tally = Self::default();
        for outcome in result.outcomes.iter().filter_map(|o| o.outcome.as_ref()) {
            *match outcome {
                outcome::Outcome::Accepted(_) => &mut tally.accepted,
                outcome::Outcome::Duplicate(_) => &mut tally.duplicate,
                outcome::Outcome::Conflict(_) => &mut tally.conflict,
                outcome::Outcome::Rejected(_) => &mut tally.rejected,
                outcome::Outcome::Unauthorised(_) => &mut tally.unauthorised,
            } += 1;
        }
        tally
    }

    fn counts(self) -> impl Iterator<Item = (ChangeOutcome, u64)> {
        let all = [
            (ChangeOutcome::Accepted, self.accepted),
            (ChangeOutcome::Duplicate, self.duplicate),
            (ChangeOutcome::Conflict, self.conflict),
            (ChangeOutcome::Rejected, self.rejected),
            (ChangeOutcome::Unauthorised, self.unauthorised),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}
