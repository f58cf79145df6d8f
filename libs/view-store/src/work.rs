//! A thread for work that must not hold up the fold.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use crate::error::Error;

/// A piece of work on a thread of its own. Dropping it asks the work to stop early and waits for it.
pub(crate) struct Work {
    thread: Option<JoinHandle<Result<(), Error>>>,
    stop: Arc<AtomicBool>,
}

impl Work {
    /// Begins `work`, which may look at the flag that tells it to stop; `at` is the path named when the system gives
    /// no thread.
    pub(crate) fn begin(
        name: &str,
        at: &Path,
        work: impl FnOnce(&AtomicBool) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = Builder::new().name(name.to_owned()).spawn(move || work(&asked));
        let thread = thread.map_err(|source| Error::io(at, source))?;
        Ok(Self { thread: Some(thread), stop })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end.
    pub(crate) fn join(mut self) -> Result<(), Error> {
        let thread = self.thread.take().expect("joined once, by value");
        thread.join().unwrap_or(Err(Error::WorkerPanicked))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.store(true, Ordering::Relaxed);
            // Nobody relies on what it did until it is joined, so neither its result nor its panic matters any more.
            drop(thread.join());
        }
    }
}
