//! The ledger as a running part: what others see of it, and how it is started and stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use event_log::EventLog;
use ledger::{Policy, Shape, Signers};
use record::{Position, Stream, Timestamp};
use telemetry::{Metrics, Readiness, told};
use tile_store::{Signed, TileStore};
use tokio::sync::watch;

use crate::error::Error;
use crate::follow::Follow;
use crate::verify::verify_ledger;
use crate::witnesses::Witnesses;

/// How the ledger is kept.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Folder of its files.
    pub dir: PathBuf,
    /// The log's name in checkpoints.
    pub origin: String,
    /// Least time between two signed checkpoints.
    pub checkpoint_interval: Duration,
    /// Time between two flushes of the files.
    pub commit_interval: Duration,
    /// Whether the whole log is compared with the ledger at start.
    pub verify_on_start: bool,
}

/// What the comparison of log and ledger at start came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Not asked for.
    Off,
    /// Waits for the ledger, or reads.
    Running,
    /// Every covered entry is as it was.
    Equal,
    /// Something is not; the log of the hub says what.
    Different,
    /// It could not be read to the end.
    Failed,
}

impl Verification {
    /// The word that answers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Failed => "failed",
        }
    }
}

/// How far the ledger is.
#[derive(Debug, Clone)]
pub struct LedgerStatus {
    /// The last checkpoint that this hub signed and can make proofs under.
    pub signed: Option<Arc<Signed>>,
    /// When it was signed.
    pub signed_at: Option<Timestamp>,
    /// The last one that enough witnesses cosigned.
    pub cosigned: Option<Arc<Signed>>,
    /// Why the ledger does not follow the log any more.
    pub stopped: Option<String>,
    /// The comparison at start.
    pub verification: Verification,
}

pub(crate) type StatusSender = Arc<watch::Sender<Arc<LedgerStatus>>>;

/// Changes a part of the status.
pub(crate) fn update(status: &StatusSender, change: impl FnOnce(&mut LedgerStatus)) {
    status.send_modify(|status| change(Arc::make_mut(status)));
}

/// What others see of the ledger. Cheap to clone.
#[derive(Clone)]
pub struct LedgerHandle {
    pub(crate) dir: Arc<Path>,
    pub(crate) shape: Shape,
    pub(crate) origin: Arc<str>,
    pub(crate) signers: Arc<Signers>,
    /// The configured policy of witnesses.
    pub(crate) policy: Option<Arc<str>>,
    pub(crate) witnessed: bool,
    /// How far it is.
    pub status: watch::Receiver<Arc<LedgerStatus>>,
}

impl LedgerHandle {
    /// A policy that trusts this log alone.
    pub(crate) fn own_policy(&self) -> Policy {
        self.signers.policy()
    }

    /// The policy that a verifier of today should have.
    pub(crate) fn trust(&self) -> String {
        self.signers.trust(self.policy.as_deref())
    }

    /// The best checkpoint that covers these entries: a cosigned one where witnesses are asked, waited for at most `patience`; then one
    /// that the log alone signed. `None` when none covers them.
    pub(crate) async fn covering(&self, entries: &[Position], patience: Duration) -> Option<Arc<Signed>> {
        let mut status = self.status.clone();
        let best = |status: &LedgerStatus| {
            let wanted = if self.witnessed { &status.cosigned } else { &status.signed };
            wanted.clone().filter(|signed| covers(signed, entries))
        };
        let waited =
            tokio::time::timeout(patience, status.wait_for(|s| best(s).is_some() || s.stopped.is_some())).await;
        let last = match waited {
            Ok(Ok(status)) => Arc::clone(&status),
            // The time is over, or the ledger's threads are gone: what there is must do.
            Ok(Err(_)) | Err(_) => self.status.borrow().clone(),
        };
        best(&last).or_else(|| last.signed.clone().filter(|signed| covers(signed, entries)))
    }

    /// Why there is no checkpoint that was waited for.
    pub(crate) fn unsigned(&self) -> Error {
        self.status.borrow().stopped.clone().map_or(Error::NoCheckpoint, Error::Stopped)
    }

    /// The newest checkpoint that the log signed; the first one is waited for at most `patience`.
    pub(crate) async fn newest(&self, patience: Duration) -> Option<Arc<Signed>> {
        let mut status = self.status.clone();
        let there = status.wait_for(|status| status.signed.is_some() || status.stopped.is_some());
        // Whatever ended it: what is there tells.
        let _ = tokio::time::timeout(patience, there).await;
        self.status.borrow().signed.clone()
    }
}

fn covers(signed: &Signed, entries: &[Position]) -> bool {
    let covered = |at: &Position| signed.state.head(at.stream, at.partition).is_some_and(|h| at.index.0 < h.size);
    entries.iter().all(covered)
}

/// The shape of a log's ledger.
pub(crate) fn shape_of(log: &EventLog) -> Shape {
    let counts = log.partitions();
    Shape { change: counts.change, access: counts.access, rejected: counts.rejected }
}

/// The running ledger. Stop it with [`Ledger::stop`], after the log's last entry.
pub struct Ledger {
    /// What others see.
    pub handle: LedgerHandle,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ledger {
    /// Starts to follow the log, on a thread of its own. Witnesses are asked while `asks` says so. Opening the files is part of that: what is wrong with them stops the ledger,
    /// not the hub.
    ///
    /// # Errors
    /// No thread can be started.
    ///
    /// # Panics
    /// Outside a tokio runtime, when there are witnesses.
    pub fn start(
        log: EventLog,
        signers: Arc<Signers>,
        options: LedgerOptions,
        witnesses: Option<Witnesses>,
        asks: watch::Receiver<bool>,
        metrics: &Metrics,
        readiness: Readiness,
    ) -> io::Result<Self> {
        let verification = if options.verify_on_start { Verification::Running } else { Verification::Off };
        let status = LedgerStatus { signed: None, signed_at: None, cosigned: None, stopped: None, verification };
        let (status, seen) = watch::channel(Arc::new(status));
        let status: StatusSender = Arc::new(status);
        let handle = LedgerHandle {
            dir: options.dir.clone().into(),
            shape: shape_of(&log),
            origin: options.origin.as_str().into(),
            signers: Arc::clone(&signers),
            policy: witnesses.as_ref().map(|witnesses| witnesses.text().into()),
            witnessed: witnesses.is_some(),
            status: seen,
        };
        let asking = witnesses.map(|witnesses| witnesses.start(options.dir.clone()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let follow = Follow {
            log: log.clone(),
            signers,
            shape: handle.shape,
            options: options.clone(),
            status: Arc::clone(&status),
            metrics: metrics.ledger(),
            asking,
            asks,
        };
        let (stopping, faults) = (Arc::clone(&stop), readiness.clone());
        threads.push(std::thread::Builder::new().name("ledger".into()).spawn(move || {
            if let Err(error) = follow.on_and_on(&stopping) {
                tracing::error!(error = %told(&error), "the ledger does not follow the log any more");
                faults.fault("the ledger does not follow the log");
            }
        })?);
        if options.verify_on_start {
            let (handle, stopping) = (handle.clone(), Arc::clone(&stop));
            threads.push(
                std::thread::Builder::new()
                    .name("ledger-verify".into())
                    .spawn(move || verify_at_start(&log, &handle, &status, &readiness, &stopping))?,
            );
        }
        Ok(Self { handle, stop, threads })
    }

    /// Takes what the log holds now, signs it, makes it durable, and ends. Blocks until then.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger ended in a panic");
            }
        }
    }
}

impl Drop for Ledger {
    /// Ends the threads without waiting for them: what a start that failed leaves behind.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Between two looks whether there is a checkpoint to verify against.
const LOOK: Duration = Duration::from_millis(100);

fn verify_at_start(
    log: &EventLog,
    handle: &LedgerHandle,
    status: &StatusSender,
    readiness: &Readiness,
    stop: &AtomicBool,
) {
    let stopping = || stop.load(Ordering::Acquire);
    let signed = loop {
        let now = handle.status.borrow().clone();
        match &now.signed {
            Some(signed) => break Arc::clone(signed),
            None if stopping() => return,
            None if now.stopped.is_some() => {
                update(status, |status| status.verification = Verification::Failed);
                return;
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let verified = verify_ledger(log, handle, &signed, |_, _| !stopping());
    let verification = match verified {
        Ok(None) => return,
        Ok(Some(report)) if report.equal() => {
            tracing::info!(entries = report.proven, "every entry of the log is as the ledger has it");
            Verification::Equal
        }
        Ok(Some(report)) => {
            for difference in &report.differences {
                tracing::error!(%difference, "the log is not as the ledger has it");
            }
            readiness.fault("the log is not as its ledger has it");
            Verification::Different
        }
        Err(error) => {
            tracing::error!(error = %told(&error), "the log cannot be compared with its ledger");
            readiness.fault("the log cannot be compared with its ledger");
            Verification::Failed
        }
    };
    update(status, |status| status.verification = verification);
}

/// The bytes of a tile of hashes, for proofs.
pub(crate) fn tile_of(
    dir: &Path,
) -> impl FnMut(ledger::TreeOf, ledger::Tile) -> Result<Vec<u8>, tile_store::Error> + use<> {
    let dir = dir.to_owned();
    move |tree, tile| TileStore::tile(&dir, tree, tile)
}

/// Entries under a checkpoint, by stream.
pub(crate) fn covered_by_stream(signed: &Signed) -> [u64; 4] {
    let mut out = [0; 4];
    for head in signed.state.heads.heads() {
        out[head.stream as usize] += head.size;
    }
    debug_assert_eq!(Stream::ALL.map(|s| s as usize), [0, 1, 2, 3]);
    out
}
