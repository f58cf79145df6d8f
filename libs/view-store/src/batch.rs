//! A set of writes that a store applies as one.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Writes to any tables that become visible and durable together. The last write of a key wins.
#[derive(Debug, Default)]
pub struct Batch {
    writes: BTreeMap<StoredKey, Option<Arc<[u8]>>>,
}

impl Batch {
    /// A batch without writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key.
    ///
    /// # Panics
    ///
    /// When the key is longer than [`crate::KEY_BYTES_MAX`].
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.writes.insert(StoredKey::new(table, key), Some(value.into()));
    }

    /// Removes a key; no matter if it is absent.
    ///
    /// # Panics
    ///
    /// When the key is longer than [`crate::KEY_BYTES_MAX`].
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.writes.insert(StoredKey::new(table, key), None);
    }

    /// Number of keys written or deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// True when nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// What the batch says of a key: `None` nothing, `Some(None)` deleted, `Some(Some(value))` set.
    pub(crate) fn written(&self, key: &StoredKey) -> Option<Option<&Arc<[u8]>>> {
        self.writes.get(key).map(Option::as_ref)
    }

    /// The batch's writes within a range, in key order.
    pub(crate) fn written_in(&self, range: &StoredRange) -> impl Iterator<Item = (&StoredKey, Option<&Arc<[u8]>>)> {
        let bounds = if range.is_empty() {
            (std::ops::Bound::Included(&range.from[..]), std::ops::Bound::Excluded(&range.from[..]))
        } else {
            (std::ops::Bound::Included(&range.from[..]), std::ops::Bound::Excluded(&range.to[..]))
        };
        self.writes.range::<[u8], _>(bounds).map(|(key, value)| (key, value.as_ref()))
    }

    pub(crate) fn into_writes(self) -> impl Iterator<Item = (StoredKey, Option<Arc<[u8]>>)> {
        self.writes.into_iter()
    }
}
