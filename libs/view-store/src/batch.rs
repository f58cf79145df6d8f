//! A set of writes that a store applies as one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::table::{StoredKey, StoredRange, Table};

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Applied and visible; written out in commit order, but not waited for. On fjall the batch is handed to the
    /// operating system, so it survives a killed process, and a power loss takes a tail of batches, never a part of
    /// one. On sled it may sit in the process for up to 500 ms, and what a power loss takes is not certain.
    Buffered,
    /// On disk (fsync) before the commit returns, with every batch before it.
    Synced,
}

/// A value that is set, or `None` for a key that is deleted.
pub(crate) type Write = Option<Arc<[u8]>>;

/// Writes to any tables that become visible and durable together. The last write of a key wins.
#[derive(Debug, Default)]
pub struct Batch {
    /// Writes to tables that are read by key alone.
    points: HashMap<StoredKey, Write>,
    /// Writes to tables that are also read by range.
    ranged: BTreeMap<StoredKey, Write>,
}

impl Batch {
    /// A batch without writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets every write and keeps the memory for others.
    pub(crate) fn clear(&mut self) {
        self.points.clear();
        self.ranged.clear();
    }

    /// Sets the value of a key.
    ///
    /// # Panics
    ///
    /// When the key is longer than [`crate::KEY_BYTES_MAX`].
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.write(table, key, Some(value.into()));
    }

    /// Removes a key; no matter if it is absent.
    ///
    /// # Panics
    ///
    /// When the key is longer than [`crate::KEY_BYTES_MAX`].
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.write(table, key, None);
    }

    fn write(&mut self, table: Table, key: &[u8], write: Write) {
        let key = StoredKey::new(table, key);
        if table.is_ranged() {
            self.ranged.insert(key, write);
        } else {
            self.points.insert(key, write);
        }
    }

    /// Number of keys written or deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len() + self.ranged.len()
    }

    /// True when nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the batch says of a key: `None` nothing, `Some(None)` deleted, `Some(Some(value))` set.
    pub(crate) fn written(&self, key: &StoredKey) -> Option<Option<&Arc<[u8]>>> {
        self.points.get(key).or_else(|| self.ranged.get(key)).map(Option::as_ref)
    }

    /// The batch's writes within a range, in key order.
    pub(crate) fn written_in(&self, range: &StoredRange) -> Vec<(&StoredKey, Option<&Arc<[u8]>>)> {
        if range.is_empty() {
            return Vec::new();
        }
        let bounds = (Bound::Included(&range.from[..]), Bound::Excluded(&range.to[..]));
        let mut found: Vec<_> =
            self.ranged.range::<[u8], _>(bounds).map(|(key, write)| (key, write.as_ref())).collect();
        if !range.is_ranged_table() {
            let inside = |key: &StoredKey| (&range.from[..]..&range.to[..]).contains(&key.bytes());
            found.extend(self.points.iter().filter(|(key, _)| inside(key)).map(|(key, write)| (key, write.as_ref())));
            found.sort_unstable_by_key(|(key, _)| *key);
        }
        found
    }

    /// The writes in key order: neighbours in the store are written together.
    pub(crate) fn writes(&self) -> Vec<(&StoredKey, &Write)> {
        let mut writes: Vec<_> = self.points.iter().chain(&self.ranged).collect();
        writes.sort_unstable_by_key(|(key, _)| *key);
        writes
    }
}
