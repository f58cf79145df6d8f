//! Who was answered what: access entries on the log, and an index of them by record.
//!
//! Accesses that wait are appended together and become durable with one flush; [`AccessLog::record`] returns after that, so that
//! an answer never leaves before its entry. The index is outside the view store: it names records, not subjects, so that it
//! stays right when a subject is split or merged, and it is caught up from the `access` stream at every start.
//!
//! Where several processes share the log, each indexes what all of them recorded, by reading the stream on; a list waits for what the
//! stream holds when it is asked for.
//!
//! Invariants: an access that was recorded is in the index before its answer leaves, or before the next list is answered; the index
//! holds nothing that the log does not hold; what waits is bounded.
//!
//! Deliberately absent: what an access may be told to (crate `access`), and the retention of the `access` stream.

mod commit;
mod error;
mod follow;
mod index;

use std::path::PathBuf;
use std::sync::Arc;

use event_log::EventLog;
use record::access::Access;
use record::{Index, Position, Positions, Pseudonym, Stream, Timestamp};
use telemetry::QueryMetrics;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use view_store::StoreKind;

pub use error::{AccessLogError, StartError};
pub use index::{Mark, MarkError};

use commit::{Command, Committer};
use follow::{Followed, Follower};
use index::AccessIndex;

/// Accesses that may wait for their flush; a further one waits for room.
const WAITING_MAX: usize = 1024;

/// Where times come from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a group of answers was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// How far the views had folded.
    pub positions: Positions,
    /// How much of the control stream counted (exclusive).
    pub control: Index,
    /// The fold's version.
    pub fold_version: u32,
    /// The linkage model's epoch; 0 before the first.
    pub model_epoch: u32,
    /// Hash of the policy document.
    pub policy: [u8; 32],
}

/// How the access log is kept.
#[derive(Clone)]
pub struct AccessLogOptions {
    /// Which store holds the index.
    pub store: StoreKind,
    /// Memory of that store, in bytes; at least 16 MiB count.
    pub cache_bytes: u64,
    /// Identity of the log: an index of another log is discarded and built again.
    pub log_id: [u8; 16],
    /// The time.
    pub clock: Clock,
    /// Where to count.
    pub metrics: Arc<QueryMetrics>,
}

/// One access as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessed {
    /// The entry that holds it.
    pub position: Position,
    /// Where in the list it stands, to go on after it.
    pub mark: Mark,
    /// The access.
    pub access: Access,
}

/// Records accesses and lists them. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    commands: mpsc::Sender<Command>,
    index: Arc<AccessIndex>,
    log: EventLog,
    followed: Option<watch::Receiver<Followed>>,
}

/// The running committer. Whoever started the log ends it with [`AccessLogTask::stop`].
pub struct AccessLogTask {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
    follower: Option<Follower>,
}

impl AccessLog {
    /// Opens the index in `dir`, brings it up to the end of the `access` stream, and starts the committer on the current
    /// tokio runtime. An index that cannot be used is discarded and built again from the stream.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        log: EventLog,
        dir: PathBuf,
        options: AccessLogOptions,
    ) -> Result<(Self, AccessLogTask), StartError> {
        let opening = (log.clone(), options.clone());
        let open = move || AccessIndex::open(&opening.0, &dir, &opening.1);
        let index = tokio::task::spawn_blocking(open).await.map_err(|_| StartError::Panicked)??;
        let index = Arc::new(index);
        let shared = log.kind() == "kafka";
        let follower = shared.then(|| Follower::start(log.clone(), Arc::clone(&index))).transpose()?;
        let followed = follower.as_ref().map(Follower::followed);
        let (commands, waiting) = mpsc::channel(WAITING_MAX);
        let committer =
            Committer { log: log.clone(), index: Arc::clone(&index), clock: options.clock, metrics: options.metrics };
        let task = tokio::spawn(committer.run(waiting));
        Ok((Self { commands: commands.clone(), index, log, followed }, AccessLogTask { commands, task, follower }))
    }

    /// Makes an access durable and returns its entry's place. Waits for room when too much waits already.
    ///
    /// # Errors
    /// [`AccessLogError`]: the access is not known to be durable, so nothing may be answered.
    pub async fn record(&self, basis: Arc<Basis>, access: Access) -> Result<Position, AccessLogError> {
        let (reply, durable) = oneshot::channel();
        let command = Command::Record { basis, access: Box::new(access), reply };
        self.commands.send(command).await.map_err(|_| AccessLogError::Stopped)?;
        durable.await.map_err(|_| AccessLogError::Stopped)?
    }

    /// The accesses that read any of these records, newest first, after `mark` when one is given; at most `limit`, and
    /// whether there are more. What retention has let go of is left out. Blocks on the disk.
    ///
    /// # Errors
    /// [`AccessLogError::Index`], [`AccessLogError::Read`].
    pub fn list(
        &self,
        records: &[Pseudonym],
        mark: Option<Mark>,
        limit: usize,
    ) -> Result<(Vec<Accessed>, bool), AccessLogError> {
        if let Some(followed) = &self.followed {
            follow::wait(followed, &self.log.ends().of(Stream::Access))?;
        }
        self.index.list(&self.log, records, mark, limit)
    }
}

impl AccessLogTask {
    /// Makes what waits durable and ends. What is recorded afterwards fails.
    pub async fn stop(self) {
        // Fails when the committer has ended already.
        let _ = self.commands.send(Command::Stop).await;
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the access log ended in a panic");
        }
        if let Some(follower) = self.follower {
            let stopped = tokio::task::spawn_blocking(move || follower.stop()).await;
            if let Err(error) = stopped {
                tracing::error!(%error, "following the accesses ended in a panic");
            }
        }
    }
}
