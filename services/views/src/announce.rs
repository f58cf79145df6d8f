//! Telling the others how far the fold is: at once when a batch is in the store, on whichever thread that is seen.
//!
//! The thread that writes a batch knows when readers see it, and the fold, which is at the next batch by then, knows what it came to.
//! Whoever of the two is later tells.

use std::sync::{Arc, Mutex, PoisonError};

use record::Positions;
use tokio::sync::watch;

use crate::runtime::FoldStatus;

/// Where it is told.
#[derive(Clone)]
pub(crate) struct Announcer {
    status: watch::Sender<Arc<FoldStatus>>,
    folded: watch::Sender<Positions>,
}

impl Announcer {
    pub(crate) fn new(status: watch::Sender<Arc<FoldStatus>>, folded: watch::Sender<Positions>) -> Self {
        Self { status, folded }
    }

    /// What was told last.
    pub(crate) fn told(&self) -> Arc<FoldStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// Tells it now.
    pub(crate) fn tell(&self, status: FoldStatus) {
        self.folded.send_replace(status.positions.clone());
        self.status.send_replace(Arc::new(status));
    }

    /// Tells another status without moving the positions.
    pub(crate) fn tell_status(&self, status: FoldStatus) {
        self.status.send_replace(Arc::new(status));
    }

    /// An announcement of one batch.
    pub(crate) fn prepare(&self) -> Announcement {
        Announcement { announcer: self.clone(), state: Arc::default() }
    }
}

#[derive(Default)]
struct State {
    stored: bool,
    status: Option<FoldStatus>,
}

/// What is told of one batch once it is in the store and its outcome is known, in either order. Of a batch that is not stored nobody is
/// told.
#[derive(Clone)]
pub(crate) struct Announcement {
    announcer: Announcer,
    state: Arc<Mutex<State>>,
}

impl Announcement {
    /// Readers see the batch.
    pub(crate) fn stored(&self) {
        self.with(|state| state.stored = true);
    }

    /// What the batch came to.
    pub(crate) fn came_to(&self, status: FoldStatus) {
        self.with(|state| state.status = Some(status));
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.stored
            && let Some(status) = state.status.take()
        {
            self.announcer.tell(status);
        }
    }
}
