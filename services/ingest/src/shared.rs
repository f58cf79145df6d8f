//! What the parts of the door share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use access::Access;
use arc_swap::ArcSwap;
use event_log::{AppendError, EventLog, PartitionCounts};
use ledger::Signers;
use projection::state::ControlState;
use record::{LogSecret, Positions, RegisterName, Timestamp};
use telemetry::{LogMetrics, Metrics, PublishMetrics, told};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::commit::{Command, Job, Landed};
use crate::error::Error;
use crate::ingest::Takes;
use crate::judge::Judged;
use crate::limits::Limits;
use crate::places::Places;
use crate::rejected::Rejected;
use crate::source::{Clock, Salts};
use crate::unfolded::Unfolded;

pub(crate) struct Core {
    pub(crate) log: EventLog,
    pub(crate) secret: Arc<LogSecret>,
    pub(crate) signers: Arc<Signers>,
    pub(crate) origin: String,
    pub(crate) control: Arc<ArcSwap<ControlState>>,
    pub(crate) access: Arc<ArcSwap<Access>>,
    pub(crate) heads: Option<view_store::Serving>,
    pub(crate) folded: watch::Receiver<Positions>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) salts: Salts,
    pub(crate) partitions: PartitionCounts,
    pub(crate) unfolded: Arc<Unfolded>,
    pub(crate) rejected: Arc<Rejected>,
    pub(crate) health: Health,
    pub(crate) key_since: OnceLock<Timestamp>,
    pub(crate) log_metrics: LogMetrics,
    pub(crate) metrics: Metrics,
    pub(crate) by_register: Mutex<BTreeMap<RegisterName, Arc<PublishMetrics>>>,
    /// Batches of all publishers.
    pub(crate) places: Places,
    /// Batches that are being judged.
    pub(crate) judges: Arc<Semaphore>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) takes: Takes,
    /// True once streams are to end.
    pub(crate) ending: watch::Sender<bool>,
    pub(crate) stopping: AtomicBool,
}

/// Whether the log takes entries.
pub(crate) struct Health {
    takes: watch::Sender<bool>,
    /// Appends that failed since one landed.
    failures: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { takes: watch::Sender::new(true), failures: AtomicU64::new(0) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.takes.subscribe()
    }

    /// Notes a failed append, and tells of the first of several. A log that is closed while the door is open has lost its writer.
    pub(crate) fn failed(&self, error: &AppendError, batches: usize) {
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(error = %told(error), batches, "an append failed; nothing is acknowledged until one lands");
        } else {
            tracing::debug!(error = %told(error), batches, "another append failed");
        }
        if matches!(error, AppendError::Poisoned { .. } | AppendError::Closed | AppendError::Lost { .. }) {
            self.down();
        }
    }

    /// Notes an append that landed, and tells of the first after failures.
    pub(crate) fn landed(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            let failures = self.failures.swap(0, Ordering::Relaxed);
            tracing::info!(failures, "appends land again");
        }
    }

    /// Nothing is taken any more.
    pub(crate) fn down(&self) {
        self.takes.send_replace(false);
    }
}

impl Core {
    /// Metrics of a register that has a contract; a name that a caller chose makes no series.
    pub(crate) fn publish_metrics(&self, register: &RegisterName) -> Option<Arc<PublishMetrics>> {
        self.control.load().current(register)?;
        let mut by_register = self.by_register.lock().expect("no panic happens while the table is held");
        let entry = by_register.entry(register.clone());
        Some(entry.or_insert_with(|| Arc::new(self.metrics.publish(register.as_str()))).clone())
    }

    /// Whether this process takes changes of that register.
    pub(crate) fn check_takes(&self, register: &RegisterName) -> Result<(), Error> {
        match &self.takes {
            Takes::All => Ok(()),
            Takes::Only(registers) if registers.contains(register) => Ok(()),
            Takes::Only(registers) => {
                let taken: Vec<&str> = registers.iter().map(RegisterName::as_str).collect();
                Err(Error::OtherRegister { taken: taken.join(", ") })
            }
            Takes::Nothing => Err(Error::NoDoor),
        }
    }

    /// The heads, where this process has views.
    pub(crate) fn views(&self) -> Result<&view_store::Serving, Error> {
        self.heads.as_ref().ok_or(Error::NoViews)
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.stopping.load(Ordering::Acquire) { Err(Error::Stopping) } else { Ok(()) }
    }

    /// Hands a judged batch to the committer and waits until it is durable.
    pub(crate) async fn commit(&self, judged: Judged, register: RegisterName) -> Result<Landed, Error> {
        let (reply, landed) = oneshot::channel();
        let job = Box::new(Job { judged, register, reply });
        if self.commands.send(Command::Commit(job)).await.is_err() {
            return Err(Error::Stopping);
        }
        landed.await.map_err(|_| Error::Stopping)?
    }
}
