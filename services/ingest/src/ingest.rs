//! Starting and stopping the door.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use access::Access;
use arc_swap::ArcSwap;
use event_log::EventLog;
use ledger::Signers;
use projection::state::ControlState;
use record::{Index, LogSecret, Partition, Position, Positions, RegisterName, Stream};
use telemetry::{Metrics, told};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::commit::{self, Command};
use crate::limits::{Limits, PAYLOAD_BYTES_CEILING};
use crate::places::Places;
use crate::rejected::Rejected;
use crate::service::{Service, service};
use crate::shared::{Core, Health};
use crate::source::{Clock, Salts};
use crate::tail;
use crate::unfolded::Unfolded;

/// What the door works with.
pub struct Deps {
    /// The log, begun by [`bootstrap`](crate::bootstrap()).
    pub log: EventLog,
    /// The log's secret.
    pub secret: Arc<LogSecret>,
    /// Sign receipts.
    pub signers: Arc<Signers>,
    /// The log's origin line, which stands in every signed root.
    pub origin: String,
    /// What the control stream has decided, as far as the fold has read.
    pub control: Arc<ArcSwap<ControlState>>,
    /// The policy in force.
    pub access: Arc<ArcSwap<Access>>,
    /// The heads; none in a process without views, which then knows a retry only as long as it remembers the first try. The fold decides
    /// by the same rule in either case.
    pub heads: Option<view_store::Serving>,
    /// The positions that the heads have reached; sent after the commit that reached them, never before. Without heads: where the log ended
    /// when this process began.
    pub folded: watch::Receiver<Positions>,
    /// What is taken.
    pub takes: Takes,
    /// Bounds.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// Salts.
    pub salts: Salts,
    /// Where to count.
    pub metrics: Metrics,
}

/// Whose changes a door takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// Everybody's.
    All,
    /// Those of these registers.
    Only(BTreeSet<RegisterName>),
    /// Nobody's: it only answers what became of changes.
    Nothing,
}

/// The door, with its committer and the reader of kept refusals.
pub struct Ingest {
    core: Arc<Core>,
    committer: JoinHandle<()>,
    scan: thread::JoinHandle<()>,
    stop_scan: Arc<AtomicBool>,
}

impl Ingest {
    /// Starts it on the current tokio runtime. Reads what the log holds beyond the heads first, which blocks on the disk; of kept refusals
    /// nothing waits: they are read on a thread of their own, and listing answers when that is done.
    ///
    /// # Panics
    /// When a limit that must be 1 or more is 0, or the system gives no thread.
    pub fn new(deps: Deps) -> Self {
        let Deps {
            log,
            secret,
            signers,
            origin,
            control,
            access,
            heads,
            folded,
            takes,
            mut limits,
            clock,
            salts,
            metrics,
        } = deps;
        assert!(
            limits.stream_batches_max > 0 && limits.batches_max > 0 && limits.judges > 0,
            "limits of 0 would take nothing"
        );
        limits.payload_bytes_max = limits.payload_bytes_max.min(PAYLOAD_BYTES_CEILING);
        let (commands, receiver) = mpsc::channel(limits.batches_max);
        let core = Arc::new(Core {
            partitions: log.partitions(),
            unfolded: Arc::new(Unfolded::new(limits.unfolded_max)),
            rejected: Arc::new(Rejected::new(limits.open_refusals_max)),
            health: Health::new(),
            key_since: OnceLock::new(),
            log_metrics: metrics.log(Stream::Change.name()),
            by_register: Mutex::new(BTreeMap::new()),
            places: Places::new(limits.batches_max),
            judges: Arc::new(Semaphore::new(limits.judges)),
            takes,
            ending: watch::Sender::new(false),
            stopping: AtomicBool::new(false),
            log,
            secret,
            signers,
            origin,
            control,
            access,
            heads,
            folded,
            limits,
            clock,
            salts,
            metrics,
            commands,
        });
        let stop_scan = Arc::new(AtomicBool::new(false));
        // Before the committer starts: what comes later it tells itself.
        let ends = core.log.ends();
        let folded = core.folded.borrow().clone();
        if let Err(error) = tail::load(&core.unfolded, &core.log, &core.secret, &folded, &ends) {
            // A retry may be appended once more; the fold finds that it is a duplicate.
            tracing::error!(error = %told(&error), "what is not folded cannot be read: retries are not recognised until it is");
        }
        let scan = thread::Builder::new().name("refusals".into()).spawn({
            let (core, stop) = (core.clone(), stop_scan.clone());
            move || scan(&core, &ends, &stop)
        });
        let scan = scan.expect("the system gives a thread");
        let committer = tokio::spawn(committing(core.clone(), receiver));
        Self { core, committer, scan, stop_scan }
    }

    /// The service to mount. It decodes messages of at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX); clients decode up to
    /// [`RESPONSE_BYTES_MAX`](crate::RESPONSE_BYTES_MAX).
    pub fn service(&self) -> Service {
        service(self.core.clone())
    }

    /// Whether the log takes entries: `false` from the first failed write on, until the process is started anew. For readiness.
    pub fn writable(&self) -> watch::Receiver<bool> {
        self.core.health.watch()
    }

    /// Ends streams of batches: what was read of them is answered, then their publishers are told to go on elsewhere, or later. For the time
    /// between the order to stop and the end of the server, which waits for streams.
    pub fn end_streams(&self) {
        self.core.ending.send_replace(true);
    }

    /// Takes nothing more, answers what it has, and ends. The server is stopped before, the log closed after.
    pub async fn shutdown(self) {
        self.end_streams();
        self.core.stopping.store(true, Ordering::Release);
        self.stop_scan.store(true, Ordering::Release);
        self.core.places.close().await;
        // Fails when the committer has ended already.
        let _ = self.core.commands.send(Command::Close).await;
        if let Err(error) = self.committer.await {
            tracing::error!(%error, "the committer ended in a panic");
        }
        let scan = tokio::task::spawn_blocking(move || self.scan.join());
        if !matches!(scan.await, Ok(Ok(()))) {
            tracing::error!("the reader of kept refusals ended in a panic");
        }
    }
}

/// Runs the committer. Without it nothing is taken any more, so that its end by a panic is told to readiness at once.
async fn committing(core: Arc<Core>, commands: mpsc::Receiver<Command>) {
    if let Err(error) = tokio::spawn(commit::run(core.clone(), commands)).await {
        tracing::error!(%error, "the committer ended in a panic: nothing is taken until the hub is started again");
        core.health.down();
    }
}

fn scan(core: &Core, ends: &Positions, stop: &AtomicBool) {
    let first = Position { stream: Stream::Control, partition: Partition(0), index: Index(0) };
    match core.log.read_position(first) {
        Ok(first) => {
            core.key_since.get_or_init(|| first.appended_at);
        }
        Err(error) => {
            tracing::error!(error = %told(&error), "the log's first entry cannot be read: keys are told without their time")
        }
    }
    if let Err(error) = core.rejected.scan(&core.log, ends, stop) {
        tracing::error!(error = %told(&error), "kept refusals cannot be read: they are neither listed nor driven again");
    }
}
