//! The fold as a running part: one thread reads the log and folds it, everybody else looks at what it has committed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use access::{Access, PolicyDocument, ProcedureSet};
use arc_swap::{ArcSwap, ArcSwapOption};
use event_log::{EventLog, StreamSet};
use projection::FOLD_VERSION;
use projection::basis::{Basis, BasisName};
use projection::state::ControlState;
use record::{Digest, Index, LogSecret, Positions};
use telemetry::{FoldMetrics, Metrics, told};
use tokio::sync::{oneshot, watch};
use view_store::{Expect, OpenError, Opened, Options, Serving, ViewStore};

use crate::announce::Announcer;
use crate::fold::{Fed, Feed, FeedOptions, Fold, FoldError, Folded, Quarantined, Totals};
use crate::generations::Generations;
use crate::prepared::{Beside, Command, Operator, PreparedStatus, entries, ordered_basis};
use crate::query::Past;
use crate::recovery::{Failures, Held, is_damage};
use crate::rows::Checked;

/// How the views are kept and folded.
#[derive(Debug, Clone)]
pub struct ViewsOptions {
    /// Directory of the view stores.
    pub dir: PathBuf,
    /// Which store, and its memory.
    pub store: Options,
    /// A batch closes at this many entries.
    pub batch_entries_max: usize,
    /// A batch closes at this many bytes.
    pub batch_bytes_max: usize,
    /// A store that cannot be trusted is discarded and folded again from the log; otherwise it is refused.
    pub rebuild: bool,
}

/// Why the views cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store is refused.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The store cannot be read.
    #[error("{0}")]
    Fold(#[from] FoldError),
    /// The log ends before what the store has folded.
    #[error("the views have folded more than the log holds: the log was cut or is another one ({0})")]
    Log(#[from] event_log::ReadError),
    /// The control stream names a basis that it never brought.
    #[error("the control stream has brought no {0}: its entries are not complete")]
    Basis(BasisName),
    /// The policy or the procedures cannot be used.
    #[error("{0}")]
    Access(#[from] AccessError),
    /// The thread cannot be started, or the directory cannot be used.
    #[error("the views: {0}")]
    System(#[from] std::io::Error),
}

/// Why a policy or procedure document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The control stream holds none.
    #[error("the control stream holds no {0} document")]
    Absent(&'static str),
    /// It does not parse.
    #[error("the {what} document cannot be used: {reason}")]
    Document {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

/// How far the fold is, as of its last batch.
#[derive(Debug, Clone)]
pub struct FoldStatus {
    /// What has been folded.
    pub positions: Positions,
    /// The digest of all rows.
    pub digest: Digest,
    /// What the views hold.
    pub totals: Totals,
    /// What cannot be applied.
    pub quarantined: Quarantined,
    /// Why the fold has stopped, when it has.
    pub stopped: Option<String>,
    /// Why the store was discarded at this start, while it is folded again.
    pub rebuilding_because: Option<String>,
    /// What the control stream wants the views to be folded with, while views on that basis are prepared.
    pub switching_to: Option<BasisName>,
}

/// What queries and ingest see of the views. Cheap to clone.
#[derive(Clone)]
pub struct ViewsHandle {
    /// The log.
    pub log: EventLog,
    /// The log's secret.
    pub secret: Arc<LogSecret>,
    /// What the control stream has decided.
    pub control: Arc<ArcSwap<ControlState>>,
    /// Policy and procedures.
    pub access: Arc<ArcSwap<Access>>,
    /// The store, for reading.
    pub reader: Serving,
    /// The last batch.
    pub status: watch::Receiver<Arc<FoldStatus>>,
    /// How far the fold is.
    pub folded: watch::Receiver<Positions>,
    /// Which store.
    pub store: view_store::StoreKind,
    /// What the last look at the rows found.
    pub checked: Arc<ArcSwapOption<Checked>>,
    /// For preparing other views.
    pub operator: Operator,
    /// Held to write while other views take over: rows and control state belong together.
    pub(crate) taking_over: Arc<RwLock<()>>,
    /// How often they have.
    pub(crate) takeovers: Arc<AtomicU64>,
    /// Whether the views were built anew at this start, because the store could not be trusted.
    pub rebuilt: bool,
    /// Purges what derived files hold of erased records.
    pub purger: Purger,
    /// Views at a cut of the past.
    pub(crate) past: Arc<Past>,
}

impl ViewsHandle {
    /// Of a fold that goes no further.
    pub(crate) fn of_scratch(fold: &Fold) -> Result<Self, AccessError> {
        Ok(Self {
            log: fold.log().clone(),
            secret: Arc::new(fold.secret().clone()),
            control: fold.shared_control(),
            access: Arc::new(ArcSwap::from_pointee(access_of(fold.control())?)),
            reader: Serving::new(fold.reader()),
            status: watch::channel(Arc::new(status_of(fold, None))).1,
            folded: watch::channel(fold.positions().clone()).1,
            store: fold.store_kind(),
            checked: Arc::default(),
            operator: Operator { commands: mpsc::channel().0, prepared: watch::channel(None).1 },
            taking_over: Arc::default(),
            takeovers: Arc::default(),
            rebuilt: false,
            purger: Purger { purges: sync_channel(1).0, wanted: Arc::default(), long_reads: Arc::default() },
            past: Arc::default(),
        })
    }

    /// Lets go of views of the past, which may hold what was erased since.
    pub fn forget_past(&self) {
        self.past.forget();
    }

    /// The last committed batch of the store that serves, with the control state of its basis.
    ///
    /// # Errors
    /// [`FoldError::Store`].
    pub fn view(&self) -> Result<(view_store::View, Arc<ControlState>), FoldError> {
        let _steady = self.taking_over.read().unwrap_or_else(PoisonError::into_inner);
        Ok((self.reader.view()?, self.control.load_full()))
    }

    /// The last batch with the control state that it was folded under.
    pub fn as_folded(&self) -> (Arc<FoldStatus>, Arc<ControlState>) {
        let _steady = self.taking_over.read().unwrap_or_else(PoisonError::into_inner);
        (self.status.borrow().clone(), self.control.load_full())
    }
}

/// Asks the fold's thread to purge its files.
#[derive(Debug, Clone)]
pub struct Purger {
    purges: SyncSender<Purge>,
    /// Purges that wait or run.
    wanted: Arc<AtomicU64>,
    /// Held to read by whoever reads one state of the views for long: what it reads cannot be compacted away.
    long_reads: Arc<RwLock<()>>,
}

#[derive(Debug)]
struct Purge {
    lookups: bool,
    done: oneshot::Sender<bool>,
}

/// The fold has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fold has stopped: the views are purged at the next start of the hub")]
pub struct NotPurged;

impl Purger {
    /// Overwrites what the views' files still hold of erased records ([`Fold::purge`]); with `lookups` every look-up is
    /// compared with them, too, which happens anyway where the fold has left some. False when the views are built anew at the
    /// next start instead. Waits for the fold's thread; call it where that may block.
    ///
    /// # Errors
    /// [`NotPurged`].
    pub fn purge(&self, lookups: bool) -> Result<bool, NotPurged> {
        self.wanted.fetch_add(1, Ordering::AcqRel);
        let _none_reads = self.long_reads.write().unwrap_or_else(PoisonError::into_inner);
        let purged = self.ask(lookups);
        self.wanted.fetch_sub(1, Ordering::AcqRel);
        purged
    }

    /// Whether a purge waits: who reads for long then ends early, and begins anew after it.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) > 0
    }

    /// To be held by whoever reads one state of the views for long and looks at [`Purger::is_wanted`] meanwhile.
    pub fn long_read(&self) -> RwLockReadGuard<'_, ()> {
        self.long_reads.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, lookups: bool) -> Result<bool, NotPurged> {
        let (done, finished) = oneshot::channel();
        // Whatever went wrong, the fold's thread is gone and has told why.
        self.purges.send(Purge { lookups, done }).map_err(|_| NotPurged)?;
        finished.blocking_recv().map_err(|_| NotPurged)
    }
}

/// Purges that wait; each waits for its end, so they are as many as there are callers.
const PURGES_MAX: usize = 4;

/// The running fold. Stop it with [`Views::stop`].
pub struct Views {
    /// What others see.
    pub handle: ViewsHandle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), FoldError>>>,
}

impl Views {
    /// Opens the store, folds the control entries that the log already holds, and goes on folding on a thread of its own.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        log: EventLog,
        log_id: [u8; 16],
        secret: Arc<LogSecret>,
        options: ViewsOptions,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let expect = Expect { fold_version: FOLD_VERSION, log_id };
        let mut generations = Generations::open(&options.dir)?;
        let (store, mut rebuilding_because) = open(&options, &mut generations, expect)?;
        let fold = match resume(store, &log, &secret) {
            // What opening the store did not come upon.
            Err(StartError::Fold(error)) if options.rebuild && is_damage(&error) => {
                let reason = told(&error);
                tracing::warn!(%reason, "the view store is discarded and folded again from the log");
                let dir = generations.serving();
                ViewStore::discard(&dir)?;
                rebuilding_because = Some(reason);
                resume(ViewStore::open(&dir, options.store.clone(), expect)?.into_store(), &log, &secret)?
            }
            fold => fold?,
        };
        let control = fold.shared_control();
        let access = Arc::new(ArcSwap::from_pointee(access_of(fold.control())?));
        let status = Arc::new(status_of(&fold, rebuilding_because.clone()));
        let (status_tx, status) = watch::channel(status);
        let (folded_tx, folded) = watch::channel(fold.positions().clone());
        let (commands, asked) = mpsc::channel();
        let (prepared_tx, prepared) = watch::channel(None);
        let (reader, taking_over) = (Serving::new(fold.reader()), Arc::new(RwLock::new(())));
        let takeovers = Arc::new(AtomicU64::new(0));
        let (purger, purges) = sync_channel(PURGES_MAX);
        let handle = ViewsHandle {
            log: log.clone(),
            secret,
            control,
            access: Arc::clone(&access),
            reader: reader.clone(),
            status,
            folded,
            store: fold.store_kind(),
            checked: Arc::new(ArcSwapOption::empty()),
            operator: Operator { commands, prepared },
            taking_over: Arc::clone(&taking_over),
            takeovers: Arc::clone(&takeovers),
            rebuilt: rebuilding_because.is_some(),
            purger: Purger { purges: purger, wanted: Arc::default(), long_reads: Arc::default() },
            past: Arc::default(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let run = Run {
            fold: Held::new(fold),
            log,
            options,
            access,
            rebuilding_because,
            announcer: Announcer::new(status_tx, folded_tx),
            metrics: metrics.fold(),
            expect,
            generations,
            beside: None,
            order_failed: false,
            asked,
            prepared: prepared_tx,
            reader,
            taking_over,
            takeovers,
            purges,
            lookups_left: false,
            is_ahead: false,
            before: None,
            failures: Failures::default(),
        };
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("fold".into()).spawn(move || {
            yield_to_callers();
            run.until(&stopping)
        })?;
        Ok(Self { handle, stop, thread: Some(thread) })
    }

    /// Ends after the batch under way, and closes the store.
    ///
    /// # Errors
    /// Why the fold had stopped before, if it had.
    pub fn stop(mut self) -> Result<(), FoldError> {
        self.stop.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

pub(crate) fn open(
    options: &ViewsOptions,
    generations: &mut Generations,
    expect: Expect,
) -> Result<(ViewStore, Option<String>), StartError> {
    let dir = generations.serving();
    match ViewStore::open(&dir, options.store.clone(), expect) {
        Ok(Opened::Fresh(store) | Opened::Resumed(store)) => Ok((store, None)),
        Err(e @ OpenError::OtherFoldVersion { .. }) if options.rebuild => {
            let reason = e.to_string();
            tracing::warn!(%reason, "views of another version are kept, and folded anew beside them");
            let dir = generations.renew()?;
            Ok((ViewStore::open(&dir, options.store.clone(), expect)?.into_store(), Some(reason)))
        }
        Err(e) if options.rebuild && may_rebuild(&e) => {
            let reason = e.to_string();
            tracing::warn!(%reason, "the view store is discarded and folded again from the log");
            ViewStore::discard(&dir)?;
            Ok((ViewStore::open(&dir, options.store.clone(), expect)?.into_store(), Some(reason)))
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) fn may_rebuild(e: &OpenError) -> bool {
    match e {
        OpenError::Emptied { .. }
        | OpenError::LostBatches { .. }
        | OpenError::Damaged { .. }
        | OpenError::Purged { .. }
        | OpenError::OtherFoldVersion { .. }
        | OpenError::OtherStoreKind { .. }
        | OpenError::OtherFormat { .. } => true,
        OpenError::Locked { .. }
        | OpenError::NotAStore { .. }
        | OpenError::ForeignLog { .. }
        | OpenError::System { .. } => false,
    }
}

/// The fold on an opened store, as far as the first policy and procedures at least.
pub(crate) fn resume(store: ViewStore, log: &EventLog, secret: &LogSecret) -> Result<Fold, StartError> {
    let fresh = store.committed().positions.is_empty();
    let basis = if fresh { ordered_basis(log)? } else { Basis::default() };
    let mut fold = Fold::resume(store, log.clone(), secret.clone(), basis)?;
    prime(&mut fold, log)?;
    Ok(fold)
}

/// Folds up to the first policy and procedures, so that whoever starts after this sees contracts and policies.
fn prime(fold: &mut Fold, log: &EventLog) -> Result<(), StartError> {
    let mut reader = log.reader(fold.positions(), StreamSet::ALL_BUT_ACCESS)?;
    let primed = |fold: &Fold| fold.control().policy.is_some() && fold.control().procedures.is_some();
    // Another process may be beginning the log at this moment.
    let patience = if log.kind() == "kafka" { BEGIN_WAIT } else { Duration::ZERO };
    let begun = Instant::now();
    while !primed(fold) {
        let batch = reader.next_batch(256, 1 << 20)?;
        if batch.entries.is_empty() && begun.elapsed() < patience {
            reader.wait(IDLE_WAIT);
            continue;
        }
        if batch.entries.is_empty() {
            break;
        }
        fold.fold(batch.entries)?;
    }
    Ok(())
}

fn status_of(fold: &Fold, rebuilding_because: Option<String>) -> FoldStatus {
    FoldStatus {
        positions: fold.positions().clone(),
        digest: fold.digest().digest(),
        totals: fold.totals(),
        quarantined: fold.quarantined(),
        stopped: None,
        rebuilding_because,
        switching_to: wanted_basis(fold.control()),
    }
}

/// The basis that the control stream wants, where it is not what the views are folded with.
pub(crate) fn wanted_basis(control: &ControlState) -> Option<BasisName> {
    let ordered = control.ordered();
    (ordered != control.serving()).then_some(ordered)
}

/// Policy and procedures as the control stream has them.
///
/// # Errors
/// [`AccessError`].
pub fn access_of(control: &ControlState) -> Result<Access, AccessError> {
    let policy = control.policy.as_ref().ok_or(AccessError::Absent("policy"))?;
    let procedures = control.procedures.as_ref().ok_or(AccessError::Absent("procedures"))?;
    access_from(&policy.bytes, &procedures.bytes)
}

/// Policy and procedures from documents, checked against each other and the kinds.
///
/// # Errors
/// [`AccessError::Document`].
pub fn access_from(policy: &[u8], procedures: &[u8]) -> Result<Access, AccessError> {
    let bad = |what, reason: String| AccessError::Document { what, reason };
    let rows = contract::kinds().attributes().iter().map(|a| {
        let kind = contract::kinds().info(a.kind);
        let class = access::Sensitivity::from_name(a.sensitivity.name()).unwrap_or(access::Sensitivity::Sensitive);
        (kind.name.as_str(), a.name.as_str(), class)
    });
    let kinds = access::Kinds::from_rows(rows).map_err(|e| bad("kinds", e.to_string()))?;
    let policy = PolicyDocument::parse(policy).map_err(|e| bad("policy", e.to_string()))?;
    let procedures = ProcedureSet::parse(procedures).map_err(|e| bad("procedures", e.to_string()))?;
    Access::new(policy, procedures, kinds).map_err(|e| bad("policy", e.to_string()))
}

pub(crate) struct Run {
    pub(crate) fold: Held,
    pub(crate) log: EventLog,
    pub(crate) options: ViewsOptions,
    access: Arc<ArcSwap<Access>>,
    pub(crate) rebuilding_because: Option<String>,
    pub(crate) announcer: Announcer,
    metrics: FoldMetrics,
    pub(crate) expect: Expect,
    pub(crate) generations: Generations,
    /// The views that are prepared.
    pub(crate) beside: Option<Beside>,
    /// Views that the control stream wants could not be prepared.
    pub(crate) order_failed: bool,
    pub(crate) asked: mpsc::Receiver<Command>,
    pub(crate) prepared: watch::Sender<Option<PreparedStatus>>,
    pub(crate) reader: Serving,
    pub(crate) taking_over: Arc<RwLock<()>>,
    pub(crate) takeovers: Arc<AtomicU64>,
    purges: Receiver<Purge>,
    lookups_left: bool,
    /// The batch that was folded last may still be on its way into the store.
    is_ahead: bool,
    /// Of a fold that was let go of: what the next one takes on.
    pub(crate) before: Option<(Arc<ArcSwap<ControlState>>, LogSecret)>,
    pub(crate) failures: Failures,
}

const IDLE_WAIT: Duration = Duration::from_millis(200);
/// Longest wait for the first entries of a log that another process begins.
const BEGIN_WAIT: Duration = Duration::from_secs(30);

/// How much nicer the fold is than those who are answered at once.
const NICENESS: i32 = 5;

/// Where processors are short, publishers and portals come first, and the fold keeps about a quarter: what is acknowledged is
/// durable, and can be folded when there is time. The threads that this one starts take over its niceness.
fn yield_to_callers() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "the fold competes with publishers and portals for the processors");
    }
}

impl Run {
    fn until(mut self, stop: &AtomicBool) -> Result<(), FoldError> {
        loop {
            let result = self.run(stop);
            self.end_beside();
            match result {
                Ok(()) => return self.fold.take().close(),
                Err(error) => self.recover(error, stop)?,
            }
        }
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<(), FoldError> {
        let options = FeedOptions {
            entries_max: self.options.batch_entries_max,
            bytes_max: self.options.batch_bytes_max,
            follow: true,
        };
        self.resume_beside();
        let mut feed = Feed::start(&self.fold, &self.log, options, |_| true)?;
        while !stop.load(Ordering::Acquire) {
            if self.obey()? {
                feed = Feed::start(&self.fold, &self.log, options, |_| true)?;
            }
            self.purge()?;
            let wait = if self.is_ahead { Duration::ZERO } else { IDLE_WAIT };
            let batch = match feed.next(wait)? {
                Fed::Batch(batch) => batch,
                Fed::Idle => {
                    self.settle()?;
                    self.metrics.behind(self.behind());
                    continue;
                }
                // It told why in the call before, unless its thread has panicked: dropping it takes that on.
                Fed::End => return Err(FoldError::Thread(std::io::Error::other("it has ended"))),
            };
            let begin = Instant::now();
            let policy = self.policy_indices();
            let announcement = self.announcer.prepare();
            let stored = announcement.clone();
            let folded = self.fold.fold_ahead(batch, move || stored.stored())?;
            self.is_ahead = true;
            self.lookups_left |= folded.lookups_left;
            self.metrics.batch(folded.changes, folded.controls, begin.elapsed());
            self.metrics.behind(self.behind());
            self.metrics.quarantined(self.fold.quarantined().records);
            self.publish(&folded, policy);
            announcement.came_to(self.status());
        }
        self.settle()
    }

    /// Waits until the batch that was folded last is in the store, and the others know.
    pub(crate) fn settle(&mut self) -> Result<(), FoldError> {
        self.is_ahead = false;
        self.fold.settle()
    }

    fn purge(&mut self) -> Result<(), FoldError> {
        while let Ok(Purge { lookups, done }) = self.purges.try_recv() {
            self.settle()?;
            let begin = Instant::now();
            // What is prepared and what is kept for going back hold the same records: they can be folded again.
            self.end_beside();
            if let Err(error) = self.generations.discard_prepared().and_then(|()| self.generations.discard_previous()) {
                // Whoever asked is told that nothing was purged, by the loss of `done`; the next start tries again.
                tracing::error!(error = %told(&error), "other views of erased records cannot be removed");
                continue;
            }
            let purged = self.fold.purge(lookups || self.lookups_left)?;
            self.lookups_left = false;
            tracing::info!(elapsed_ms = begin.elapsed().as_millis(), "the views were purged of erased records");
            // Whoever asked may have gone away.
            let _ = done.send(purged);
        }
        Ok(())
    }

    fn behind(&self) -> u64 {
        entries(&self.log.ends()).saturating_sub(entries(self.fold.positions()))
    }

    fn policy_indices(&self) -> (Option<Index>, Option<Index>) {
        let control = self.fold.control();
        (control.policy.as_ref().map(|d| d.index), control.procedures.as_ref().map(|d| d.index))
    }

    /// Hands over what came of a batch but for its rows, which may still be on their way.
    fn publish(&mut self, folded: &Folded, policy_before: (Option<Index>, Option<Index>)) {
        if folded.controls > 0 && self.policy_indices() != policy_before {
            match access_of(self.fold.control()) {
                Ok(access) => self.access.store(Arc::new(access)),
                Err(e) => tracing::error!(error = %e, "the new policy cannot be used; the last one stays in force"),
            }
        }
        for trace in &folded.traces {
            if trace.flags & 1 == 1 {
                let span = tracing::info_span!("fold");
                if telemetry::trace::continue_from(&span, &trace.to_header()).is_ok() {
                    span.in_scope(|| ());
                }
            }
        }
        if self.behind() == 0 {
            self.rebuilding_because = None;
        }
    }

    fn status(&self) -> FoldStatus {
        status_of(&self.fold, self.rebuilding_because.clone())
    }

    /// Tells the others how far the fold is.
    pub(crate) fn tell_folded(&self) {
        self.announcer.tell(self.status());
    }
}
