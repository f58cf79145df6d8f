//! The committer: one task that gathers what is judged into one append, signs once, and tells every batch where it is.
//!
//! On Kafka an acknowledgement takes milliseconds, so that several groups are under way at the same time: each append is begun behind the one
//! before, which keeps the order within a partition, and what waits for its acknowledgement has a task of its own. The embedded log has one
//! group under way, which gathers more the longer its flush takes.

use std::sync::Arc;
use std::time::Instant;

use event_log::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Append, AppendError, Appended, Appending};
use ledger::ReceiptBatch;
use record::RegisterName;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use crate::error::Error;
use crate::judge::Judged;
use crate::limits::GROUP_CHANGES_MAX;
use crate::shared::Core;

/// A judged batch on its way to the log.
pub(crate) struct Job {
    pub(crate) judged: Judged,
    pub(crate) register: RegisterName,
    pub(crate) reply: oneshot::Sender<Result<Landed, Error>>,
}

/// What the committer is told.
pub(crate) enum Command {
    Commit(Box<Job>),
    /// Finish what came before, then end.
    Close,
}

/// A batch in the log.
pub(crate) struct Landed {
    pub(crate) judged: LandedBatch,
    /// One result per append of the batch, in order.
    pub(crate) appended: Vec<Appended>,
    /// The receipts of the whole group; `None` when the group has no change.
    pub(crate) receipts: Option<Arc<ReceiptBatch>>,
    /// The batch's first leaf.
    pub(crate) first_leaf: usize,
}

/// What is left of a judged batch once it is in the log.
pub(crate) struct LandedBatch {
    pub(crate) slots: Vec<crate::judge::Slot>,
    pub(crate) hashes: Vec<record::EntryHash>,
}

/// Groups under way at the same time, where an acknowledgement is waited for by the network.
const GROUPS_MAX: usize = 32;

pub(crate) async fn run(core: Arc<Core>, mut commands: mpsc::Receiver<Command>) {
    let groups_max = if core.log.kind() == "kafka" { GROUPS_MAX } else { 1 };
    let mut under_way = JoinSet::new();
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(job) => job,
            None => match commands.recv().await {
                Some(Command::Commit(job)) => job,
                Some(Command::Close) | None => break,
            },
        };
        // What comes while there is no room joins the group.
        while under_way.len() >= groups_max {
            landed(under_way.join_next().await);
        }
        let mut group = Group::of(*first);
        let mut closing = false;
        while next.is_none() && !closing {
            match commands.try_recv() {
                Ok(Command::Commit(job)) => next = group.add(job),
                Ok(Command::Close) => closing = true,
                Err(_) => break,
            }
        }
        if let Some(flying) = group.begin(&core).await {
            let core = core.clone();
            under_way.spawn(async move { flying.land(&core).await });
        }
        while let Some(done) = under_way.try_join_next() {
            landed(Some(done));
        }
        if closing {
            break;
        }
    }
    while let Some(done) = under_way.join_next().await {
        landed(Some(done));
    }
}

/// A panic of one group is one of the committer.
fn landed(done: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = done
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// The batches of one append.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
    entries: usize,
    bytes: usize,
    changes: usize,
}

impl Group {
    fn of(first: Job) -> Self {
        let mut group = Self::default();
        group.take(first);
        group
    }

    fn take(&mut self, job: Job) {
        self.entries += job.judged.appends.len();
        self.bytes += bytes(&job.judged.appends);
        self.changes += job.judged.hashes.len();
        self.jobs.push(job);
    }

    /// Takes the job, or gives it back when the append or the signature would become too large.
    fn add(&mut self, job: Box<Job>) -> Option<Box<Job>> {
        let fits = self.entries + job.judged.appends.len() <= APPEND_ENTRIES_MAX
            && self.bytes + bytes(&job.judged.appends) <= APPEND_BYTES_MAX
            && self.changes + job.judged.hashes.len() <= GROUP_CHANGES_MAX;
        if !fits {
            return Some(job);
        }
        self.take(*job);
        None
    }

    /// Hands the group to the log, behind those before it.
    async fn begin(mut self, core: &Core) -> Option<Flying> {
        let begun = Instant::now();
        let counts: Vec<usize> = self.jobs.iter().map(|job| job.judged.appends.len()).collect();
        let mut all = Vec::with_capacity(self.entries);
        for job in &mut self.jobs {
            all.append(&mut job.judged.appends);
        }
        match core.log.begin_append(all).await {
            Ok(appending) => Some(Flying { group: self, appending, counts, begun }),
            Err(error) => {
                self.fail(core, error);
                None
            }
        }
    }

    fn fail(self, core: &Core, error: AppendError) {
        core.health.failed(&error, self.jobs.len());
        let error = Error::from(error);
        for job in self.jobs {
            let Job { judged, reply, .. } = job;
            // Gives the claims back before the publisher hears of it.
            drop(judged);
            // A publisher that is gone needs no answer.
            let _ = reply.send(Err(error.clone()));
        }
    }

    fn answer(self, core: &Core, appended: Vec<Appended>, counts: &[usize]) {
        core.health.landed();
        let mut leaves = Vec::with_capacity(self.changes);
        let mut at = 0;
        for (job, count) in self.jobs.iter().zip(counts) {
            let hashes = &job.judged.hashes;
            leaves.extend(appended[at..at + count].iter().zip(hashes).map(|(a, hash)| (a.position, *hash)));
            at += count;
        }
        let receipts =
            (!leaves.is_empty()).then(|| Arc::new(ReceiptBatch::sign(&core.signers.present(), &core.origin, leaves)));
        let mut appended = appended.into_iter();
        let mut first_leaf = 0;
        for (job, count) in self.jobs.into_iter().zip(counts) {
            let Job { judged, register, reply } = job;
            let own: Vec<Appended> = appended.by_ref().take(*count).collect();
            let changes = judged.hashes.len();
            judged.claims.land(own[..changes].iter().map(|a| a.position));
            core.rejected.opened(&register, &own[changes..changes + judged.refusals]);
            core.rejected.closed(&judged.closed);
            let judged = LandedBatch { slots: judged.slots, hashes: judged.hashes };
            // A publisher that is gone needs no answer.
            let _ = reply.send(Ok(Landed { judged, appended: own, receipts: receipts.clone(), first_leaf }));
            first_leaf += changes;
        }
    }
}

/// A group on its way into the log.
struct Flying {
    group: Group,
    appending: Appending,
    counts: Vec<usize>,
    begun: Instant,
}

impl Flying {
    async fn land(self, core: &Core) {
        let Self { group, appending, counts, begun } = self;
        match appending.landed().await {
            Ok(appended) => {
                core.log_metrics.append(group.entries as u64, group.bytes as u64, begun.elapsed());
                core.unfolded.forget(&core.folded.borrow());
                group.answer(core, appended, &counts);
            }
            Err(error) => group.fail(core, error),
        }
    }
}

fn bytes(appends: &[Append]) -> usize {
    appends.iter().map(|append| append.bytes.len()).sum()
}
