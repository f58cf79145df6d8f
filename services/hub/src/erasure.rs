//! What follows an erasure in the log: the keys are destroyed, then the files are purged.
//!
//! Every process destroys the keys that it holds, in its file or in its memory, and purges its own files: the one that was asked
//! at once, the others when the erasure comes by in the log.
//!
//! The order is safe at every crash. The control entry is durable and folded before a key is destroyed, so the views never meet
//! a body that they cannot read without knowing why. A key that is still there at the next start is destroyed then, and a
//! purge that was broken off is done again: the key store remembers that it is due.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use key_store::{KeyStore, Status};
use record::{Keyring, Partition, Pseudonym, Stream};
use tokio::sync::watch;
use views::runtime::{NotPurged, ViewsHandle};

use crate::error::told;

/// Between two looks whether the fold has come to where the log ended at the start.
const LOOK: Duration = Duration::from_millis(200);

/// Between two looks whether other processes have erased records: long enough that whoever was asked here has done it.
const OTHERS_LOOK: Duration = Duration::from_secs(2);

/// The keys of bodies as this process has them.
pub(crate) enum Held {
    /// There are none.
    Plain,
    /// In a file of its own.
    File(Box<KeyStore>),
    /// In memory, as another process gave them.
    Memory(Keyring),
}

impl Held {
    /// The keys, for whoever reads or writes bodies.
    pub(crate) fn ring(&self) -> Option<Keyring> {
        match self {
            Self::Plain => None,
            Self::File(store) => Some(store.keyring()),
            Self::Memory(ring) => Some(ring.clone()),
        }
    }

    /// Destroys the keys of records; how many were there.
    fn destroy(&mut self, records: &[Pseudonym]) -> Result<usize, key_store::Error> {
        match self {
            Self::Plain => Ok(0),
            Self::File(store) => store.destroy(records),
            Self::Memory(ring) => Ok(destroy_in(ring, records)),
        }
    }
}

/// Forgets keys in memory; how many were there.
pub(crate) fn destroy_in(ring: &Keyring, records: &[Pseudonym]) -> usize {
    let mut tree = (*ring.load()).clone();
    let destroyed = records.iter().filter(|record| tree.destroy(**record)).count();
    if destroyed > 0 {
        ring.store(tree);
    }
    destroyed
}

/// Destroys keys and purges files.
#[derive(Clone)]
pub(crate) struct Eraser {
    held: Arc<Mutex<Held>>,
    handle: ViewsHandle,
    /// Where a process that keeps no key file remembers for how many erased records its files were purged.
    mark: Arc<Path>,
    /// There while views that were copied from another process may hold what it had not purged yet.
    copied: Arc<Path>,
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
    /// Another process keeps them.
    #[error("this process holds the keys in memory only: ask one with the role audit, which keeps them")]
    NotKept,
    /// Where purges are remembered cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The key file was not written.
    #[error(transparent)]
    Keys(#[from] key_store::Error),
    /// The views' files were not purged.
    #[error(transparent)]
    Views(#[from] NotPurged),
}

/// Marks views that were copied from another process, until what was erased was purged here too.
pub(crate) const COPIED: &str = "views-copied";

impl Eraser {
    /// `data_dir` is the hub's.
    pub(crate) fn new(held: Held, handle: ViewsHandle, data_dir: &Path) -> Self {
        let (mark, copied) = (data_dir.join("purged").into(), data_dir.join(COPIED).into());
        Self { held: Arc::new(Mutex::new(held)), handle, mark, copied }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nothing panics while the keys are held")
    }

    fn with<T>(&self, act: impl FnOnce(&mut KeyStore) -> Result<T, EraseError>) -> Result<T, EraseError> {
        match &mut *self.held() {
            Held::Plain => Err(EraseError::NoKeys),
            Held::Memory(_) => Err(EraseError::NotKept),
            Held::File(store) => act(store),
        }
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
        !matches!(*self.held(), Held::Plain)
    }

    /// Destroys the keys of records whose erasure the fold has passed, and purges. Blocks on the disk.
    pub(crate) fn finish(&self, records: &[Pseudonym]) -> Result<Erased, EraseError> {
        let keys = self.held().destroy(records)?;
        let purged = self.purge(false)?;
        Ok(Erased { keys, purged })
    }

    fn purge(&self, lookups: bool) -> Result<bool, EraseError> {
        let erased = self.handle.control.load().erased.len();
        self.handle.forget_past();
        let purged = self.handle.purger.purge(lookups)?;
        if purged {
            self.purged(erased)?;
        }
        Ok(purged)
    }

    fn purged(&self, erased: usize) -> Result<(), EraseError> {
        match std::fs::remove_file(&self.copied) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(EraseError::Mark { path: self.copied.to_path_buf(), source });
            }
            _ => {}
        }
        match &*self.held() {
            Held::Plain => Ok(()),
            Held::File(store) => Ok(store.purged()?),
            Held::Memory(_) => {
                std::fs::write(&self.mark, format!("{erased}\n")).map_err(|source| self.unmarked(source))
            }
        }
    }

    fn unmarked(&self, source: std::io::Error) -> EraseError {
        EraseError::Mark { path: self.mark.to_path_buf(), source }
    }

    /// Whether derived files may hold something of erased records still.
    fn must_purge(&self, erased: usize) -> Result<bool, EraseError> {
        let copied = std::fs::exists(&self.copied)
            .map_err(|source| EraseError::Mark { path: self.copied.to_path_buf(), source })?;
        if copied && erased > 0 && self.has_keys() {
            return Ok(true);
        }
        match &*self.held() {
            Held::Plain => Ok(false),
            Held::File(store) => Ok(store.must_purge()?),
            Held::Memory(_) => match std::fs::read_to_string(&self.mark) {
                // A mark that says nothing is none.
                Ok(text) => Ok(text.trim().parse() != Ok(erased)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(erased > 0),
                Err(error) => Err(self.unmarked(error)),
            },
        }
    }

    /// Finishes what the log says is erased and another process, a crash, or a key file that came back from a copy, has left.
    fn catch_up(&self, erased: &BTreeSet<Pseudonym>) -> Result<Option<Erased>, EraseError> {
        let tree = self.held().ring().map(|ring| ring.load());
        let left =
            erased.iter().copied().filter(|record| tree.as_ref().is_some_and(|tree| !tree.is_destroyed(*record)));
        let left: Vec<Pseudonym> = left.collect();
        let keys = if left.is_empty() { 0 } else { self.held().destroy(&left)? };
        if !self.must_purge(erased.len())? {
            return Ok(None);
        }
        // Views that were built anew since the keys were destroyed never held anything of these records.
        let rebuilt = keys == 0 && self.handle.rebuilt;
        let purged = if rebuilt { self.purged(erased.len()).map(|()| true)? } else { self.purge(true)? };
        Ok(Some(Erased { keys, purged }))
    }

    /// Finishes what a former run has left, and where other processes share the log what they are asked for, until the hub stops.
    pub(crate) async fn follow(self, shared: bool, mut stopping: watch::Receiver<bool>) {
        if !self.has_keys() {
            return;
        }
        self.clone().watch_start(stopping.clone()).await;
        if !shared {
            return;
        }
        let mut done = self.handle.control.load().erased.len();
        loop {
            tokio::select! {
                () = tokio::time::sleep(OTHERS_LOOK) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            let erased = self.handle.control.load().erased.clone();
            if erased.len() != done {
                done = erased.len();
                self.clone().finish_all(erased).await;
            }
        }
    }

    /// Waits for the fold to come to where the control stream ends now, then catches up.
    async fn watch_start(self, mut stopping: watch::Receiver<bool>) {
        let end = self.handle.log.ends().get(Stream::Control, Partition(0));
        while self.handle.folded.borrow().get(Stream::Control, Partition(0)) < end {
            let stopped = self.handle.status.borrow().stopped.is_some();
            if stopped || tokio::time::timeout(LOOK, stopping.wait_for(|stopping| *stopping)).await.is_ok() {
                return;
            }
        }
        let erased = self.handle.control.load().erased.clone();
        self.finish_all(erased).await;
    }

    async fn finish_all(self, erased: Arc<BTreeSet<Pseudonym>>) {
        let done = tokio::task::spawn_blocking(move || self.catch_up(&erased)).await;
        match done {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(Erased { keys, purged }))) => {
                tracing::info!(
                    keys,
                    purged,
                    "erasures that a former run had begun, or another process was asked for, were finished"
                );
            }
            Ok(Err(error)) => {
                tracing::error!(error = %told(&error), "erasures are not finished: they are tried again at the next start")
            }
            Err(panic) => tracing::error!(%panic, "finishing erasures ended in a panic"),
        }
    }
}
