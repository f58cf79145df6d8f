//! Views that are folded beside those that serve: for a rebuild, another linkage model, a restated register.
//!
//! A thread of its own folds them from the log, at a share of the time, until they are level. Only the serving fold's thread
//! lets them take over: it brings both to the same positions first, so that no position is ever answered from views that go
//! back behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use event_log::EventLog;
use projection::FOLD_VERSION;
use projection::basis::{Basis, BasisName};
use projection::state::ControlState;
use record::control::Control;
use record::{Digest, Entry, Index, Positions, Stream, Timestamp};
use telemetry::told;
use tokio::sync::{oneshot, watch};
use view_store::{Expect, Options, View, ViewStore};

use crate::copying::Given;
use crate::fold::{BulkOptions, BulkProgress, Fed, Feed, FeedOptions, Fold, FoldError, Totals};
use crate::runtime::StartError;
use crate::scratch::{discard, sort_of};

/// Entries that prepared views may lack to be called level: the serving fold's thread folds them when it lets them take over.
const LEVEL_ENTRIES: u64 = 4096;
/// Entries of a batch: whoever takes the fold from its thread waits for one at most.
const BATCH_ENTRIES: usize = 1024;
/// The same for views that have a thread to themselves.
const BATCH_ENTRIES_ALONE: usize = 4096;
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// How far prepared views are.
#[derive(Debug, Clone)]
pub struct PreparedStatus {
    /// What they are folded with.
    pub basis: BasisName,
    /// Entries that they have folded.
    pub entries: u64,
    /// Entries that were read to put their changes in the order of a bulk fold, while that is under way; else 0.
    pub ordered: u64,
    /// Entries that the log holds for them.
    pub of: u64,
    /// Whether they could take over.
    pub level: bool,
    /// What they hold.
    pub totals: Totals,
    /// Why they cannot be folded further.
    pub failed: Option<String>,
}

/// Both views at the same positions.
pub struct Aligned {
    /// Those that serve.
    pub serving: Side,
    /// Those that are prepared.
    pub prepared: Side,
    /// How far both are.
    pub positions: Positions,
}

/// One of two views.
pub struct Side {
    /// The rows.
    pub view: View,
    /// Their digest.
    pub digest: Digest,
    /// What they hold.
    pub totals: Totals,
    /// What they are folded with.
    pub basis: BasisName,
    /// By which version of the fold.
    pub fold_version: u32,
    /// What the control stream had decided there.
    pub(crate) control: Arc<ControlState>,
}

impl Side {
    pub(crate) fn of(fold: &Fold) -> Result<Self, FoldError> {
        Ok(Self {
            view: fold.reader().view()?,
            digest: fold.digest().digest(),
            totals: fold.totals(),
            basis: fold.control().serving(),
            fold_version: FOLD_VERSION,
            control: Arc::clone(fold.control()),
        })
    }
}

/// Why an operator's command on prepared views was not done.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There are none.
    #[error("no views are prepared: prepare them first")]
    None,
    /// There are others.
    #[error("views on {0} are prepared already: let them take over, or discard them first")]
    Other(BasisName),
    /// They are not level yet.
    #[error("the prepared views lack {0} entries: wait until they are level")]
    Behind(u64),
    /// They differ from those that serve.
    #[error("the prepared views differ from those that serve: read the difference, then approve it")]
    Different,
    /// No earlier views are kept.
    #[error("no views that served before are kept")]
    NoPrevious,
    /// The control stream knows no such basis.
    #[error("the control stream has brought no {0}")]
    Unknown(BasisName),
    /// The disk or the log failed.
    #[error("{0}")]
    Failed(String),
    /// The fold has stopped.
    #[error("the fold has stopped")]
    Stopped,
}

impl From<FoldError> for PrepareError {
    fn from(error: FoldError) -> Self {
        Self::Failed(told(&error))
    }
}

impl From<StartError> for PrepareError {
    fn from(error: StartError) -> Self {
        Self::Failed(told(&error))
    }
}

impl From<std::io::Error> for PrepareError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(told(&error))
    }
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, PrepareError>>;

/// What an operator asks of the fold's thread.
pub(crate) enum Command {
    Prepare { basis: BasisName, share: u8, reply: Reply<()> },
    Previous { reply: Reply<BasisName> },
    Compare { reply: Reply<Aligned> },
    Former { reply: Reply<PathBuf> },
    Switch { equal: bool, reply: Reply<(Digest, Digest)> },
    Discard { previous: bool, reply: Reply<()> },
    Copy { aside: PathBuf, reply: Reply<Given> },
}

/// Asks the fold's thread. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    pub(crate) commands: mpsc::Sender<Command>,
    /// How far the prepared views are; `None` while there are none.
    pub prepared: watch::Receiver<Option<PreparedStatus>>,
}

impl Operator {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, PrepareError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| PrepareError::Stopped)?;
        answer.await.map_err(|_| PrepareError::Stopped)?
    }

    /// Folds views on a basis beside those that serve, with `share` percent of a thread's time (1 to 100). Does nothing when
    /// that is under way.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn prepare(&self, basis: BasisName, share: u8) -> Result<(), PrepareError> {
        self.ask(|reply| Command::Prepare { basis, share, reply }).await
    }

    /// Prepares the views that served before, and tells their basis.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn previous(&self) -> Result<BasisName, PrepareError> {
        self.ask(|reply| Command::Previous { reply }).await
    }

    /// Brings both views to the same positions and shows them.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn compare(&self) -> Result<Aligned, PrepareError> {
        self.ask(|reply| Command::Compare { reply }).await
    }

    /// The folder of the views that served before.
    ///
    /// # Errors
    /// [`PrepareError::NoPrevious`].
    pub async fn former(&self) -> Result<PathBuf, PrepareError> {
        self.ask(|reply| Command::Former { reply }).await
    }

    /// Lets the prepared views take over; with `equal` only when their digest is that of those that serve. Both digests, at
    /// the same positions.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn switch(&self, equal: bool) -> Result<(Digest, Digest), PrepareError> {
        self.ask(|reply| Command::Switch { equal, reply }).await
    }

    /// Removes the prepared views, or those that served before.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn discard(&self, previous: bool) -> Result<(), PrepareError> {
        self.ask(|reply| Command::Discard { previous, reply }).await
    }
}

/// Entries of a log, or of a fold, but for accesses.
pub(crate) fn entries(positions: &Positions) -> u64 {
    positions.iter().filter(|(stream, ..)| *stream != Stream::Access).map(|(.., end)| end.0).sum()
}

/// The thread that folds beside.
pub(crate) struct Beside {
    basis: BasisName,
    status: watch::Receiver<PreparedStatus>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Fold, FoldError>>,
}

impl Beside {
    /// Opens the store in `folder`, or a fresh one on `basis`, and folds it.
    pub(crate) fn open(
        folder: &Path,
        (store, expect): (Options, Expect),
        serving: &Fold,
        basis: Basis,
        share: u8,
    ) -> Result<Self, StartError> {
        let fresh = |basis| {
            discard(folder)?;
            let opened = ViewStore::open(folder, store.clone(), expect)?;
            Ok::<_, StartError>(Fold::resume(
                opened.into_store(),
                serving.log().clone(),
                serving.secret().clone(),
                basis,
            )?)
        };
        let sort = sort_of(folder);
        let fold = match ViewStore::open(folder, store.clone(), expect) {
            Ok(opened) => {
                let (log, secret) = (serving.log().clone(), serving.secret().clone());
                let fold = Fold::resume(opened.into_store(), log, secret, basis)?;
                if fold.bulk_goes_on(&sort)? {
                    fold
                } else {
                    tracing::warn!("the order of a bulk fold is not whole: the prepared views are folded again");
                    let basis = fold.control().basis().clone();
                    drop(fold);
                    fresh(basis)?
                }
            }
            Err(error) if crate::runtime::may_rebuild(&error) => {
                tracing::warn!(%error, "the prepared views are discarded and folded again");
                fresh(basis)?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self::run(fold, share, Some(sort))?)
    }

    /// Goes on with views that are folded in bulk no more.
    pub(crate) fn start(fold: Fold, share: u8) -> Result<Self, FoldError> {
        Self::run(fold, share, None)
    }

    fn run(fold: Fold, share: u8, sort: Option<PathBuf>) -> Result<Self, FoldError> {
        let basis = fold.control().serving();
        let mut first = status_of(&fold, None);
        // Whoever is to fold in bulk is taken from its thread only when it has.
        first.level &= sort.is_none();
        let (told, status) = watch::channel(first);
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let run = move || run(fold, sort.as_deref(), share.clamp(1, 100), &stopping, &told);
        let thread = std::thread::Builder::new().name("fold-beside".into()).spawn(run).map_err(FoldError::Thread)?;
        Ok(Self { basis, status, stop, thread })
    }

    pub(crate) fn basis(&self) -> &BasisName {
        &self.basis
    }

    pub(crate) fn status(&self) -> PreparedStatus {
        // Before its first model a fresh fold cannot name it.
        PreparedStatus { basis: self.basis.clone(), ..self.status.borrow().clone() }
    }

    /// Ends after the batch under way, and gives the fold back.
    pub(crate) fn freeze(self) -> Result<Fold, FoldError> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn status_of(fold: &Fold, failed: Option<String>) -> PreparedStatus {
    let (entries, of) = (entries(fold.positions()) + fold.in_bulk().unwrap_or_default(), entries(&fold.log().ends()));
    let level = failed.is_none() && fold.in_bulk().is_none() && of.saturating_sub(entries) <= LEVEL_ENTRIES;
    PreparedStatus { basis: fold.control().serving(), entries, ordered: 0, of, level, totals: fold.totals(), failed }
}

/// How much nicer than the fold that serves one beside it is, unless it may take all of a thread's time: somebody waits for an answer, and nobody
/// for other views.
const NICENESS: i32 = 10;

fn run(
    mut fold: Fold,
    sort: Option<&Path>,
    share: u8,
    stop: &AtomicBool,
    status: &watch::Sender<PreparedStatus>,
) -> Result<Fold, FoldError> {
    // The thread ends when the views take over, and with it what it was nice about.
    if share < 100
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::warn!(%error, "views that are prepared compete with publishers and portals for the processors");
    }
    let bulk = sort.map_or(Ok(true), |sort| in_bulk(&mut fold, sort, share, stop, status));
    let result = bulk.and_then(|done| if done { follow(&mut fold, share, stop, status) } else { Ok(()) });
    if let Err(error) = result {
        tracing::error!(error = %told(&error), "the prepared views cannot be folded further");
        status.send_replace(status_of(&fold, Some(told(&error))));
        return Err(error);
    }
    Ok(fold)
}

/// Folds in bulk what the log holds now, if the views are fresh. False when it was told to stop.
fn in_bulk(
    fold: &mut Fold,
    sort: &Path,
    share: u8,
    stop: &AtomicBool,
    status: &watch::Sender<PreparedStatus>,
) -> Result<bool, FoldError> {
    let options = match share {
        100 => BulkOptions::ALONE,
        _ => BulkOptions { batch: BATCH_ENTRIES, threads: 1, ..BulkOptions::ALONE },
    };
    let target = fold.log().ends();
    let done = fold.fold_bulk(sort, &target, options, |BulkProgress { ordered, folded }, worked| {
        status.send_modify(|status| (status.ordered, status.entries) = (ordered, folded));
        rest(worked, share, stop);
        !stop.load(Ordering::Acquire)
    })?;
    if done {
        status.send_replace(status_of(fold, None));
    }
    Ok(done)
}

fn follow(
    fold: &mut Fold,
    share: u8,
    stop: &AtomicBool,
    status: &watch::Sender<PreparedStatus>,
) -> Result<(), FoldError> {
    let entries_max = if share < 100 { BATCH_ENTRIES } else { BATCH_ENTRIES_ALONE };
    let options = FeedOptions { entries_max, bytes_max: 8 << 20, follow: true };
    let feed = Feed::start(fold, &fold.log().clone(), options, |_| true)?;
    while !stop.load(Ordering::Acquire) {
        match feed.next(IDLE_WAIT)? {
            Fed::Batch(batch) => {
                let begun = Instant::now();
                // With a thread to itself a batch goes into the store while the next one is folded: nobody reads these rows before they
                // are settled. A share of the time counts what the store takes.
                if share < 100 {
                    fold.fold_prepared(batch)?;
                } else {
                    fold.fold_ahead(batch, || ())?;
                }
                status.send_replace(status_of(fold, None));
                rest(begun.elapsed(), share, stop);
            }
            Fed::Idle => {
                fold.settle()?;
                status.send_replace(status_of(fold, None));
            }
            Fed::End => return Err(FoldError::Thread(std::io::Error::other("it has ended"))),
        }
    }
    fold.settle()
}

/// Leaves the rest of the time to those who serve.
fn rest(worked: Duration, share: u8, stop: &AtomicBool) {
    let until = Instant::now() + worked * u32::from(100 - share) / u32::from(share);
    while Instant::now() < until && !stop.load(Ordering::Acquire) {
        std::thread::sleep(until.saturating_duration_since(Instant::now()).min(IDLE_WAIT));
    }
}

/// The name of what the control stream of a log wants views to be folded with.
pub(crate) fn ordered_name(log: &EventLog) -> Result<BasisName, StartError> {
    Ok(control_until(log, Index(u64::MAX))?.ordered())
}

/// What the control stream of a log wants views to be folded with: what a fresh store begins with.
pub(crate) fn ordered_basis(log: &EventLog) -> Result<Basis, StartError> {
    let state = control_until(log, Index(u64::MAX))?;
    let ordered = state.ordered();
    if ordered == state.serving() {
        return Ok(Basis::default());
    }
    state.basis_of(&ordered).ok_or(StartError::Basis(ordered))
}

/// The basis of views that had folded the control stream before `end`: linked with that model, or with the one that was wanted.
pub(crate) fn basis_at(log: &EventLog, end: Index, model: Option<u32>) -> Result<Basis, StartError> {
    let state = control_until(log, end)?;
    let ordered = state.ordered();
    let name = BasisName { model: model.unwrap_or(ordered.model), ..ordered };
    state.basis_of(&name).ok_or(StartError::Basis(name))
}

fn control_until(log: &EventLog, end: Index) -> Result<ControlState, StartError> {
    control_states(log, end, |_, _| {})
}

/// The control state before `end`. `look` is called with the state and the time after each entry.
pub(crate) fn control_states(
    log: &EventLog,
    end: Index,
    mut look: impl FnMut(&ControlState, Timestamp),
) -> Result<ControlState, StartError> {
    let mut state = ControlState::default();
    let mut reader = log.reader(&Positions::new(), event_log::StreamSet::empty().with(Stream::Control))?;
    loop {
        let batch = reader.next_batch(1024, 8 << 20)?;
        if batch.entries.is_empty() {
            break;
        }
        for logged in batch.entries {
            let position = logged.position;
            if position.index >= end {
                return Ok(state);
            }
            let entry = Entry::decode(&logged.bytes).map_err(|source| FoldError::Entry { position, source })?;
            let body = entry.plain_body().map_err(|source| FoldError::Body { position, source })?;
            let control = Control::decode(body).map_err(|source| FoldError::Entry { position, source })?;
            let recorded_at = entry.header.recorded_at;
            state.apply(position.index, recorded_at, control);
            look(&state, recorded_at);
        }
    }
    Ok(state)
}
