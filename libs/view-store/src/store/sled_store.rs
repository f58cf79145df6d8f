//! sled 0.34: one tree for all tables, because a sled batch is atomic within one tree only.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sled::{Db, IVec, Tree};

use super::boot::BootMark;
use super::sled_history::History;
use super::{Row, StoreKind, row, tells_of_damage};
use crate::batch::{Durability, Write};
use crate::error::Error;
use crate::table::{StoredKey, StoredRange};
use crate::value::Value;

/// Longest time that a buffered batch waits inside the process.
const FLUSH_INTERVAL_MS: u64 = 500;
/// Rows that a snapshot reads from the tree at a time.
const SCAN_ROWS: usize = 256;

/// An open sled database.
pub struct SledStore {
    db: Db,
    tree: Tree,
    history: Arc<History>,
    /// Held while a batch is applied, so that a new reader waits (some milliseconds) for the whole of it.
    applying: Mutex<()>,
    mark: BootMark,
}

/// A consistent view of a [`SledStore`].
pub struct SledSnapshot {
    tree: Tree,
    history: Arc<History>,
    version: u64,
}

fn failed(source: sled::Error) -> Error {
    match source {
        sled::Error::Io(source) if !tells_of_damage(&source) => Error::io(Path::new("the sled store"), source),
        other => Error::store(StoreKind::Sled, other),
    }
}

/// How long an earlier handle of this process may take to let go: sled's own threads hold its lock a little longer than the
/// handle. Other processes are kept out by the container's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Whether somebody holds the database. sled tells it in words alone.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().starts_with("could not acquire lock"))
}

impl SledStore {
    /// Opens it, unless the machine went down while it was open: sled flushes what it calls durable by `sync_file_range`, which reaches no disk,
    /// and may then open without a word on rows of different ages.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Error> {
        if !BootMark::is_whole(dir)? {
            return Err(Error::Unflushed { path: dir.to_owned(), kind: StoreKind::Sled });
        }
        let mark = BootMark::set(dir)?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(Some(FLUSH_INTERVAL_MS));
        // A damaged sled may panic rather than say so.
        let open = || {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()))
                .unwrap_or_else(|_| Err(sled::Error::ReportableBug("sled panicked while it opened".to_owned())))
        };
        let begin = Instant::now();
        let db = loop {
            match open() {
                Err(e) if is_locked(&e) && begin.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
                opened => break opened.map_err(failed)?,
            }
        };
        let tree = db.open_tree("tables").map_err(failed)?;
        Ok(Self { db, tree, history: Arc::default(), applying: Mutex::new(()), mark })
    }

    pub(super) fn get(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        Ok(self.tree.get(key.bytes()).map_err(failed)?.map(Value::from))
    }

    pub(super) fn range(&self, range: &StoredRange, limit: usize) -> Result<Vec<Row>, Error> {
        let found = self.tree.range(&range.from[..]..&range.to[..]).take(limit);
        found.map(|pair| pair.map(|(key, value)| row(&key, value)).map_err(failed)).collect()
    }

    pub(super) fn snapshot(&self) -> SledSnapshot {
        let _whole_batches = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        SledSnapshot { tree: self.tree.clone(), history: Arc::clone(&self.history), version: self.history.enter() }
    }

    pub(super) fn apply(&self, batch: &[(&StoredKey, &Write)], durability: Durability) -> Result<(), Error> {
        self.write(batch)?;
        match durability {
            Durability::Buffered => Ok(()),
            Durability::Synced => self.persist(),
        }
    }

    fn write(&self, batch: &[(&StoredKey, &Write)]) -> Result<(), Error> {
        let _whole_batches = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = self.history.has_readers();
        let mut overwritten = BTreeMap::new();
        let mut writes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(key.bytes(), &value[..]),
                None => writes.remove(key.bytes()),
            }
            if keep {
                let old = self.tree.get(key.bytes()).map_err(failed)?;
                overwritten.insert((*key).clone(), old);
            }
        }
        if keep {
            self.history.keep(overwritten);
        }
        self.tree.apply_batch(writes).map_err(failed)?;
        self.history.advance();
        Ok(())
    }

    pub(super) fn persist(&self) -> Result<(), Error> {
        self.db.flush().map_err(failed)?;
        Ok(())
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Where either fails the mark stays: the store is trusted until the machine starts again, and not after that.
        let _ = self.persist().and_then(|()| self.mark.clear());
    }
}

impl SledSnapshot {
    pub(super) fn get(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        let now = self.tree.get(key.bytes()).map_err(failed)?;
        let then = self.history.old_value(self.version, key)?.unwrap_or(now);
        Ok(then.map(Value::from))
    }

    pub(super) fn range(&self, range: &StoredRange, limit: usize) -> Result<Vec<Row>, Error> {
        let mut rest = range.clone();
        let mut rows = Vec::new();
        while rows.len() < limit && !rest.is_empty() {
            let (chunk, next) = self.chunk(&rest)?;
            let then = chunk.into_iter().filter_map(|(key, value)| Some(row(&key, value?)));
            rows.extend(then.take(limit - rows.len()));
            rest.from = next;
        }
        Ok(rows)
    }

    /// The first rows of a range as they were, and where to go on. Reads the tree before the kept values.
    fn chunk(&self, range: &StoredRange) -> Result<Chunk, Error> {
        let mut merged = BTreeMap::new();
        for pair in self.tree.range(&range.from[..]..&range.to[..]).take(SCAN_ROWS) {
            let (key, value) = pair.map_err(failed)?;
            merged.insert(key.to_vec(), Some(value));
        }
        let next = match merged.last_key_value() {
            Some((last, _)) if merged.len() == SCAN_ROWS => [&last[..], &[0]].concat(),
            _ => range.to.clone(),
        };
        let seen = StoredRange { from: range.from.clone(), to: next.clone() };
        for (key, value) in self.history.old_values(self.version, &seen)? {
            merged.insert(key.bytes().to_vec(), value);
        }
        Ok((merged, next))
    }
}

/// Rows by stored key (`None` where there was none then), and the key to go on from.
type Chunk = (BTreeMap<Vec<u8>, Option<IVec>>, Vec<u8>);

impl Drop for SledSnapshot {
    fn drop(&mut self) {
        self.history.leave(self.version);
    }
}
