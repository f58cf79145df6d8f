//! What follows an erasure in the log: the keys are destroyed, then the files are purged.
//!
//! The order is safe at every crash. The control entry is durable and folded before a key is destroyed, so the views never meet
//! a body that they cannot read without knowing why. A key that is still there at the next start is destroyed then, and a
//! purge that was broken off is done again: the key store remembers that it is due.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use key_store::{KeyStore, Status};
use record::{Partition, Pseudonym, Stream};
use tokio::sync::watch;
use views::runtime::{NotPurged, ViewsHandle};

use crate::error::told;

/// Between two looks whether the fold has come to where the log ended at the start.
const LOOK: Duration = Duration::from_millis(200);

/// Destroys keys and purges files.
#[derive(Clone)]
pub(crate) struct Eraser {
    store: Arc<Mutex<Option<KeyStore>>>,
    handle: ViewsHandle,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Erased {
    /// Keys that were there and are destroyed.
    pub(crate) keys: usize,
    /// Whether the files were purged; otherwise that happens at the next start.
    pub(crate) purged: bool,
}

/// Why an erasure is not through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EraseError {
    /// This log has no keys.
    #[error("the log's bodies are stored plain: there are no keys")]
    NoKeys,
    /// The key file was not written.
    #[error(transparent)]
    Keys(#[from] key_store::Error),
    /// The views' files were not purged.
    #[error(transparent)]
    Views(#[from] NotPurged),
}

impl Eraser {
    pub(crate) fn new(store: Option<KeyStore>, handle: ViewsHandle) -> Self {
        Self { store: Arc::new(Mutex::new(store)), handle }
    }

    fn with<T>(&self, act: impl FnOnce(&mut KeyStore) -> Result<T, EraseError>) -> Result<T, EraseError> {
        let mut store = self.store.lock().expect("nothing panics while the keys are held");
        act(store.as_mut().ok_or(EraseError::NoKeys)?)
    }

    /// What the key file says of itself, and how its wrapping key is kept.
    pub(crate) fn status(&self) -> Result<(Status, &'static str), EraseError> {
        self.with(|store| Ok((store.status(), store.wrapping().kind_name())))
    }

    /// Exchanges the wrapping key. Blocks on the disk or the token.
    pub(crate) fn rotate(&self) -> Result<Status, EraseError> {
        self.with(|store| {
            store.rotate()?;
            Ok(store.status())
        })
    }

    /// Whether every record has a key still, or the log is plain: what an erasure is counted against.
    pub(crate) fn has_keys(&self) -> bool {
        self.store.lock().expect("nothing panics while the keys are held").is_some()
    }

    /// Destroys the keys of records whose erasure the fold has passed, and purges. Blocks on the disk.
    pub(crate) fn finish(&self, records: &[Pseudonym]) -> Result<Erased, EraseError> {
        let keys = if self.has_keys() { self.with(|store| Ok(store.destroy(records)?))? } else { 0 };
        let purged = self.purge(false)?;
        Ok(Erased { keys, purged })
    }

    fn purge(&self, lookups: bool) -> Result<bool, EraseError> {
        self.handle.forget_past();
        let purged = self.handle.purger.purge(lookups)?;
        if purged && self.has_keys() {
            self.with(|store| Ok(store.purged()?))?;
        }
        Ok(purged)
    }

    /// At the start: finishes what the log says is erased and a crash, or a key file that came back from a copy, has left.
    fn catch_up(&self, erased: &BTreeSet<Pseudonym>) -> Result<Option<Erased>, EraseError> {
        let (keys, due) = self.with(|store| {
            let tree = store.keyring().load();
            let left: Vec<Pseudonym> = erased.iter().copied().filter(|record| !tree.is_destroyed(*record)).collect();
            let keys = if left.is_empty() { 0 } else { store.destroy(&left)? };
            Ok((keys, store.must_purge()?))
        })?;
        if !due {
            return Ok(None);
        }
        // Views that were built anew since the keys were destroyed never held anything of these records.
        let rebuilt = keys == 0 && self.handle.rebuilt;
        let purged = if rebuilt { self.with(|store| Ok(store.purged()?)).map(|()| true)? } else { self.purge(true)? };
        Ok(Some(Erased { keys, purged }))
    }

    /// Waits for the fold to come to where the control stream ends now, then catches up.
    pub(crate) async fn watch_start(self, mut stopping: watch::Receiver<bool>) {
        if !self.has_keys() {
            return;
        }
        let end = self.handle.log.ends().get(Stream::Control, Partition(0));
        while self.handle.folded.borrow().get(Stream::Control, Partition(0)) < end {
            let stopped = self.handle.status.borrow().stopped.is_some();
            if stopped || tokio::time::timeout(LOOK, stopping.wait_for(|stopping| *stopping)).await.is_ok() {
                return;
            }
        }
        let done = tokio::task::spawn_blocking(move || self.catch_up(&self.handle.control.load().erased)).await;
        match done {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(Erased { keys, purged }))) => {
                tracing::info!(keys, purged, "erasures that a former run had begun were finished");
            }
            Ok(Err(error)) => {
                tracing::error!(error = %told(&error), "erasures are not finished: they are tried again at the next start")
            }
            Err(panic) => tracing::error!(%panic, "finishing erasures ended in a panic"),
        }
    }
}
