//! The key-value store behind one small surface: fjall or sled.

mod boot;
mod fjall_store;
mod sled_history;
mod sled_store;

use std::fmt;
use std::path::Path;

use crate::batch::{Batch, Durability, Write};
use crate::error::Error;
use crate::table::{KeyRange, StoredKey, StoredRange, Table};
use crate::value::Value;

pub use fjall_store::{FjallSnapshot, FjallStore};
pub use sled_store::{SledSnapshot, SledStore};

/// A key inside its table, and its value.
pub type Row = (Box<[u8]>, Value);

/// Which key-value store holds the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StoreKind {
    /// fjall 3: a log-structured store; the default.
    Fjall = 1,
    /// sled 0.34: slower, and simulated power loss left it corrupt or short of acknowledged batches. Never the
    /// only copy of anything.
    Sled = 2,
}

impl StoreKind {
    /// The kind's stable number in the manifest.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Fjall),
            2 => Some(Self::Sled),
            _ => None,
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        })
    }
}

/// An open key-value store. One thread commits; any number read, through [`Store::snapshot`] when they need more
/// than one row.
pub enum Store {
    /// fjall 3.
    Fjall(FjallStore),
    /// sled 0.34.
    Sled(SledStore),
}

impl Store {
    /// Opens the store in `dir`, creating it when there is none.
    ///
    /// `cache_bytes` bounds the memory for cached blocks and unflushed writes; it has a floor of 16 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be opened.
    pub fn open(kind: StoreKind, dir: &Path, cache_bytes: u64) -> Result<Self, Error> {
        let cache_bytes = cache_bytes.max(16 << 20);
        Ok(match kind {
            StoreKind::Fjall => Self::Fjall(FjallStore::open(dir, cache_bytes)?),
            StoreKind::Sled => Self::Sled(SledStore::open(dir, cache_bytes)?),
        })
    }

    /// Which store this is.
    #[must_use]
    pub const fn kind(&self) -> StoreKind {
        match self {
            Self::Fjall(_) => StoreKind::Fjall,
            Self::Sled(_) => StoreKind::Sled,
        }
    }

    /// The last committed value of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, Error> {
        self.get_stored(&StoredKey::new(table, key))
    }

    pub(crate) fn get_stored(&self, key: &StoredKey) -> Result<Option<Value>, Error> {
        match self {
            Self::Fjall(store) => store.get(key),
            Self::Sled(store) => store.get(key),
        }
    }

    /// The last committed values of several keys, in the order asked. Sort the keys: neighbours share blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read.
    pub fn multi_get<K: AsRef<[u8]>>(&self, table: Table, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        keys.iter().map(|key| self.get(table, key.as_ref())).collect()
    }

    /// At most `limit` rows of a range, in key order. Not a consistent view while another thread commits: take a
    /// [`Store::snapshot`] for that.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read.
    pub fn range(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Row>, Error> {
        let range = StoredRange::new(table, range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Fjall(store) => store.range(&range, limit),
            Self::Sled(store) => store.range(&range, limit),
        }
    }

    /// A consistent read view: all of every batch committed before this call, nothing of any later one.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        match self {
            Self::Fjall(store) => Snapshot::Fjall(store.snapshot()),
            Self::Sled(store) => Snapshot::Sled(store.snapshot()),
        }
    }

    /// Applies a batch as one: after a crash and for every snapshot, all of it is there or nothing is.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]; whether the batch is applied is then unknown until the store is opened again.
    pub fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        self.apply(&batch.writes(), durability)
    }

    /// [`Store::commit`] of a batch's writes, in key order.
    pub(crate) fn apply(&self, writes: &[(&StoredKey, &Write)], durability: Durability) -> Result<(), Error> {
        match self {
            Self::Fjall(store) => store.apply(writes, durability),
            Self::Sled(store) => store.apply(writes, durability),
        }
    }

    /// Rewrites the files without values that were overwritten or deleted, as far as no [`Snapshot`] keeps them alive; false
    /// where the store cannot do that: sled 0.34 gives back space in its own time.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the disk refuses.
    pub fn compact(&self) -> Result<bool, Error> {
        match self {
            Self::Fjall(store) => store.compact().map(|()| true),
            Self::Sled(_) => Ok(false),
        }
    }

    /// Puts every batch committed so far on disk (fsync).
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the disk refuses.
    pub fn persist(&self) -> Result<(), Error> {
        match self {
            Self::Fjall(store) => store.persist(),
            Self::Sled(store) => store.persist(),
        }
    }
}

/// A consistent read view of a [`Store`]. Hold it for the length of one query: it keeps old values alive.
pub enum Snapshot {
    /// Of fjall, which keeps versions of its own.
    Fjall(FjallSnapshot),
    /// Of sled, whose versions this crate keeps.
    Sled(SledSnapshot),
}

impl Snapshot {
    /// The value of a key in this view.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read; [`Error::SnapshotExpired`] when the view is too old.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, Error> {
        let key = StoredKey::new(table, key);
        match self {
            Self::Fjall(snapshot) => snapshot.get(&key),
            Self::Sled(snapshot) => snapshot.get(&key),
        }
    }

    /// The values of several keys in this view, in the order asked. Sort the keys: neighbours share blocks.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::get`].
    pub fn multi_get<K: AsRef<[u8]>>(&self, table: Table, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        keys.iter().map(|key| self.get(table, key.as_ref())).collect()
    }

    /// At most `limit` rows of a range of this view, in key order.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::get`].
    pub fn range(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Row>, Error> {
        let range = StoredRange::new(table, range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Fjall(snapshot) => snapshot.range(&range, limit),
            Self::Sled(snapshot) => snapshot.range(&range, limit),
        }
    }
}

/// A row as callers see it: the key without its table's byte.
fn row(stored_key: &[u8], value: impl Into<Value>) -> Row {
    (stored_key[1..].into(), value.into())
}

/// Files that are missing or too short are damage; a full disk, a missing permission or too many open files are not.
fn tells_of_damage(source: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(source.kind(), NotFound | UnexpectedEof | InvalidData | InvalidInput | Other)
}
