//! What was known at a time of the past: views that are folded up to the cut of then, clusters included.
//!
//! The first question about a cut folds the log up to there, in a scratch store; the next ones about the same cut are answered from
//! it like any other. One cut is kept. A question that cannot wait so long is told how far it is, and may be asked again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use record::{Index, Partition, Positions, Stream, Timestamp};
use telemetry::told;
use tokio::sync::watch;
use view_store::ViewStore;

use super::Core;
use super::account::Asked;
use super::error::Error;
use super::session::{AsOf, Session, cut_before};
use super::wait::Patience;
use crate::fold::Fold;
use crate::prepared::{basis_at, entries};
use crate::runtime::ViewsHandle;
use crate::scratch;

/// Views of then.
pub(super) struct Then {
    /// `None` only while it is dropped.
    core: Option<Core>,
    dir: PathBuf,
}

impl Then {
    fn core(&self) -> &Core {
        self.core.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Then {
    fn drop(&mut self) {
        self.core = None;
        if let Err(error) = ViewStore::discard(&self.dir) {
            tracing::warn!(error = %told(&error), "views of the past are still on the disk");
        }
    }
}

/// Whose views a question is answered from.
#[derive(Clone)]
pub(super) enum Views {
    /// Those that serve.
    Now(Arc<Core>),
    /// Those of then.
    Then(Arc<Then>),
}

impl Views {
    pub(super) fn core(&self) -> &Core {
        match self {
            Self::Now(core) => core,
            Self::Then(then) => then.core(),
        }
    }
}

#[derive(Clone)]
enum State {
    Folding { done: u64, of: u64 },
    Ready(Arc<Then>),
    Failed,
}

/// The cut that is kept.
#[derive(Default)]
pub(crate) struct Past {
    kept: Mutex<Option<(Positions, watch::Receiver<State>)>>,
    number: AtomicU64,
}

impl Past {
    /// Lets go of the views of then; they are gone from the disk when the last question to them is answered.
    pub(crate) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What was known at a time: the ends of the cut, and how much of the control stream lies before it.
struct Cut {
    index: Index,
    ends: Positions,
}

impl Core {
    /// Where a question is answered from, and as of when there.
    pub(super) async fn as_of(self: &Arc<Self>, asked: &Asked, patience: Patience) -> Result<(Views, AsOf), Error> {
        let today = AsOf { known_at: asked.known_at, valid_at: asked.valid_at };
        let (Some(known_at), Some(scratch)) = (asked.known_at, self.options.scratch.clone()) else {
            return Ok((Views::Now(Arc::clone(self)), today));
        };
        let core = Arc::clone(self);
        let cut = self.reads.run(move || core.cut(known_at)).await?;
        let Some(cut) = cut else { return Ok((Views::Now(Arc::clone(self)), today)) };
        let mut state = self.views_at(cut, scratch);
        let ready = async {
            loop {
                let now = state.borrow_and_update().clone();
                match now {
                    State::Ready(then) => return Ok(then),
                    State::Failed => return Err(Error::Internal),
                    State::Folding { .. } if state.changed().await.is_err() => return Err(Error::Internal),
                    State::Folding { .. } => {}
                }
            }
        };
        match tokio::time::timeout(patience.time, ready).await {
            Ok(then) => Ok((Views::Then(then?), AsOf { known_at: None, valid_at: asked.valid_at })),
            Err(_elapsed) => Err(match *state.borrow() {
                State::Folding { done, of } => Error::Folding { done, of },
                State::Ready(_) | State::Failed => Error::Folding { done: 0, of: 0 },
            }),
        }
    }

    /// The cut of a time; `None` where the views that serve say the same: nothing was known then, or nothing came since.
    fn cut(&self, at: Timestamp) -> Result<Option<Cut>, Error> {
        let session = Session::open(self, AsOf::default(), at)?;
        let control = session.positions.get(Stream::Control, Partition(0));
        let (index, ends) = cut_before(&self.handle.log, at, control)?;
        let unchanged =
            ends.of(Stream::Change) == session.positions.of(Stream::Change) && session.control.decided <= index;
        Ok((ends.total() > 0 && !unchanged).then_some(Cut { index, ends }))
    }

    /// The views at a cut: those that are kept, or new ones that are begun.
    fn views_at(self: &Arc<Self>, cut: Cut, scratch: PathBuf) -> watch::Receiver<State> {
        let mut kept = self.handle.past.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((ends, state)) = &*kept
            && *ends == cut.ends
            && !matches!(*state.borrow(), State::Failed)
        {
            return state.clone();
        }
        let dir = scratch.join(format!("past-{}", self.handle.past.number.fetch_add(1, Ordering::Relaxed)));
        let (sender, state) = watch::channel(State::Folding { done: 0, of: entries(&cut.ends) });
        *kept = Some((cut.ends.clone(), state.clone()));
        let core = Arc::clone(self);
        // Ends by itself when another cut is asked for: nobody looks at its state then.
        tokio::task::spawn_blocking(move || {
            let folded = core.fold_then(&cut, &dir, &sender);
            let last = match folded {
                Ok(Some(then)) => State::Ready(Arc::new(then)),
                Ok(None) => State::Failed,
                Err(error) => {
                    tracing::error!(error = %told(&error), "views of the past cannot be folded");
                    State::Failed
                }
            };
            sender.send_replace(last);
        });
        state
    }

    fn fold_then(&self, cut: &Cut, dir: &Path, state: &watch::Sender<State>) -> Result<Option<Then>, Error> {
        let wanted = |done, of| {
            state.send_replace(State::Folding { done, of });
            !state.is_closed()
        };
        let folded = self.fold_up_to(dir, &cut.ends, cut.index, None, wanted)?;
        let Some(fold) = folded else { return Ok(None) };
        let core = self.over(&fold)?;
        Ok(Some(Then { core: Some(core), dir: dir.to_owned() }))
    }

    /// A core like this one, over views of its own.
    pub(super) fn over(&self, fold: &Fold) -> Result<Self, Error> {
        let handle = ViewsHandle::of_scratch(fold).map_err(|error| unfolded(&error))?;
        Ok(Self {
            handle,
            access_log: self.access_log.clone(),
            options: self.options.clone(),
            reads: super::lane::Lane::new(1, 1),
            searches: super::lane::Lane::new(1, 1),
            comparing: Arc::clone(&self.comparing),
            reproducing: Arc::clone(&self.reproducing),
            metrics: self.options.metrics.query(),
        })
    }

    /// Folds the log up to `ends` into a new store. `model` is the linkage model; `None` for the one that was wanted then. `None`
    /// when `wanted`, which gets the entries done and all of them, returns `false`, or the hub stops.
    pub(super) fn fold_up_to(
        &self,
        dir: &Path,
        ends: &Positions,
        control: Index,
        model: Option<u32>,
        mut wanted: impl FnMut(u64, u64) -> bool,
    ) -> Result<Option<Fold>, Error> {
        let (log, secret) = (&self.handle.log, self.handle.secret.as_ref());
        let basis = basis_at(log, control, model).map_err(|error| unfolded(&error))?;
        let going_on = |done, total| wanted(done, total) && !*self.options.stopping.borrow();
        let folded = scratch::fold_up_to((log, secret), basis, ends, (dir, self.handle.store), going_on);
        folded.map_err(|error| unfolded(&error))
    }
}

pub(super) fn unfolded(error: &dyn std::error::Error) -> Error {
    tracing::error!(error = %told(error), "views of the past cannot be folded");
    Error::Internal
}
