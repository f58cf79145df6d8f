//! fjall 3: one keyspace for all tables, told apart by the first byte of the key.
//!
//! A batch over several keyspaces is atomic for a killed process, but not for a power loss: each keyspace flushes its
//! memtable on its own, and fjall 3.1 does not put the journal on disk before it does. A flushed keyspace would then
//! keep a batch whose journal entry, and with it the part for the other keyspaces, is gone. Within one keyspace a
//! flush holds whole batches, all of them up to one.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use fjall::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _, Snapshot as DbSnapshot};

use super::{Row, StoreKind, row, tells_of_damage};
use crate::batch::{Durability, Write};
use crate::error::Error;
use crate::table::{StoredKey, StoredRange};
use crate::value::Value;

/// Bound of the journal that is replayed at start; it decides how long a start after a crash takes.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Bound of a memtable; larger ones make flushes and the replay of the journal longer.
const MEMTABLE_BYTES_MAX: u64 = 32 << 20;
/// A key of no table.
const FILLER_KEY: [u8; 1] = [0];
/// One value of the row that makes a journal long enough to be sealed.
const FILLER_BYTES: usize = 1 << 20;
/// How many: 66 MiB, more than the 64 MB at which fjall 3.1 seals its journal.
const FILLERS: u64 = 66;
/// Longest wait for sealed journals to be dropped.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(60);
const JOURNAL_PAUSE: Duration = Duration::from_millis(5);
/// Threads that flush and compact. With more, fjall 3.1 lets one spin while another compacts.
const WORKERS: usize = 1;

/// An open fjall database.
pub struct FjallStore {
    db: Database,
    tables: Keyspace,
}

/// A consistent view of a [`FjallStore`].
pub struct FjallSnapshot {
    view: DbSnapshot,
    tables: Keyspace,
}

fn failed(source: fjall::Error) -> Error {
    match source {
        fjall::Error::Poisoned => Error::Poisoned,
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) if !tells_of_damage(&source) => {
            Error::io(Path::new("the fjall store"), source)
        }
        other => Error::store(StoreKind::Fjall, other),
    }
}

impl FjallStore {
    /// Half of `cache_bytes` caches blocks, a quarter holds the active memtable; the rest is left for memtables that
    /// wait for their flush.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Error> {
        let db = Database::builder(dir)
            .cache_size(cache_bytes / 2)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
            .map_err(failed)?;
        let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0));
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size((cache_bytes / 4).min(MEMTABLE_BYTES_MAX))
                .filter_policy(FilterPolicy::all(filter))
        };
        let tables = db.keyspace("tables", options).map_err(failed)?;
        Ok(Self { db, tables })
    }

    pub(super) fn get(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        let value = self.tables.get(key.bytes()).map_err(failed)?;
        Ok(value.map(Value::from))
    }

    pub(super) fn range(&self, range: &StoredRange, limit: usize) -> Result<Vec<Row>, Error> {
        rows(self.tables.range(&range.from[..]..&range.to[..]), limit)
    }

    pub(super) fn snapshot(&self) -> FjallSnapshot {
        FjallSnapshot { view: self.db.snapshot(), tables: self.tables.clone() }
    }

    pub(super) fn apply(&self, batch: &[(&StoredKey, &Write)], durability: Durability) -> Result<(), Error> {
        let mode = match durability {
            Durability::Buffered => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        };
        let mut writes = self.db.batch().durability(Some(mode));
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(&self.tables, key.bytes(), &value[..]),
                None => writes.remove(&self.tables, key.bytes()),
            }
        }
        writes.commit().map_err(failed)
    }

    /// Seals and drops the journals, then compacts everything.
    ///
    /// fjall 3.1 seals its journal only when a memtable is flushed and the journal is longer than 64 MB by then; until
    /// that, whatever was deleted stands in it. So it is made that long, by a row of no table.
    pub(super) fn compact(&self) -> Result<(), Error> {
        let mut piece = vec![0; FILLER_BYTES];
        for number in 0..FILLERS {
            // Nothing that compresses.
            let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            for word in piece.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            self.tables.insert(FILLER_KEY, &piece[..]).map_err(failed)?;
        }
        self.tables.remove(FILLER_KEY).map_err(failed)?;
        self.tables.rotate_memtable_and_wait().map_err(failed)?;
        let begun = Instant::now();
        while self.db.journal_count() > 1 {
            if begun.elapsed() > JOURNAL_PATIENCE {
                let late = io::Error::new(io::ErrorKind::TimedOut, "sealed journals are not dropped");
                return Err(Error::io(Path::new("the fjall store"), late));
            }
            std::thread::sleep(JOURNAL_PAUSE);
        }
        self.tables.major_compact().map_err(failed)
    }

    pub(super) fn persist(&self) -> Result<(), Error> {
        self.db.persist(PersistMode::SyncData).map_err(failed)
    }
}

impl FjallSnapshot {
    pub(super) fn get(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        let value = self.view.get(&self.tables, key.bytes()).map_err(failed)?;
        Ok(value.map(Value::from))
    }

    pub(super) fn range(&self, range: &StoredRange, limit: usize) -> Result<Vec<Row>, Error> {
        rows(self.view.range(&self.tables, &range.from[..]..&range.to[..]), limit)
    }
}

fn rows(found: fjall::Iter, limit: usize) -> Result<Vec<Row>, Error> {
    found
        .take(limit)
        .map(|guard| {
            let (key, value) = guard.into_inner().map_err(failed)?;
            Ok(row(&key, value))
        })
        .collect()
}
