//! Snapshots for sled 0.34, which has none: what each commit overwrote is kept while an older reader lives.
//!
//! A commit publishes the old values of its keys before it touches the tree. A reader of version *v* reads the tree
//! first and then looks for the oldest kept value of a commit later than *v*: if the tree was read before the commit,
//! both agree; if after, the kept value is the right one. Readers and the writer never wait for each other while
//! they read or apply.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sled::IVec;

use crate::error::Error;
use crate::table::{StoredKey, StoredRange};

/// Bound of the old values kept for readers; past it the oldest readers expire.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// What a kept value costs beside its bytes.
const KEPT_OVERHEAD: usize = 96;

/// What one commit overwrote.
struct Overwritten {
    version: u64,
    rows: BTreeMap<StoredKey, Option<IVec>>,
    bytes: usize,
}

#[derive(Default)]
struct Versions {
    /// Commits applied since the store was opened.
    current: u64,
    /// Number of readers per version.
    readers: BTreeMap<u64, usize>,
    /// Ascending by version.
    kept: VecDeque<Arc<Overwritten>>,
    kept_bytes: usize,
    /// Readers below this version have lost what they need.
    floor: u64,
}

/// Versions of a sled tree.
#[derive(Default)]
pub(super) struct History {
    versions: RwLock<Versions>,
}

impl History {
    pub(super) fn has_readers(&self) -> bool {
        !self.read().readers.is_empty()
    }

    /// Registers a reader of the current version.
    pub(super) fn enter(&self) -> u64 {
        let mut versions = self.write();
        let version = versions.current;
        *versions.readers.entry(version).or_default() += 1;
        version
    }

    /// Ends a reader, and forgets what no other reader needs.
    pub(super) fn leave(&self, version: u64) {
        let mut versions = self.write();
        let count = versions.readers.get_mut(&version).expect("a reader is registered until it leaves");
        *count -= 1;
        if *count == 0 {
            versions.readers.remove(&version);
        }
        let oldest = versions.readers.keys().next().copied().unwrap_or(u64::MAX);
        versions.forget_while(|kept, _| kept.version <= oldest);
    }

    /// Keeps what the next commit is about to overwrite.
    pub(super) fn keep(&self, rows: BTreeMap<StoredKey, Option<IVec>>) {
        let weigh = |(key, value): (&StoredKey, &Option<IVec>)| {
            KEPT_OVERHEAD + key.bytes().len() + value.as_ref().map_or(0, |value| value.len())
        };
        let bytes = rows.iter().map(weigh).sum();
        let mut versions = self.write();
        let version = versions.current + 1;
        versions.kept.push_back(Arc::new(Overwritten { version, rows, bytes }));
        versions.kept_bytes += bytes;
        if versions.kept_bytes > KEPT_BYTES_MAX {
            let newly_lost = versions.forget_while(|_, bytes| bytes > KEPT_BYTES_MAX);
            versions.floor = versions.floor.max(newly_lost);
        }
    }

    /// The commit is applied: later readers see it.
    pub(super) fn advance(&self) {
        self.write().current += 1;
    }

    /// The value that a key had at `version`, when a later commit has overwritten it.
    pub(super) fn old_value(&self, version: u64, key: &StoredKey) -> Result<Option<Option<IVec>>, Error> {
        let versions = self.read();
        versions.check(version)?;
        Ok(versions.kept_since(version).find_map(|kept| kept.rows.get(key).cloned()))
    }

    /// The values that keys of a range had at `version`, of those that later commits have overwritten.
    pub(super) fn old_values(
        &self,
        version: u64,
        range: &StoredRange,
    ) -> Result<BTreeMap<StoredKey, Option<IVec>>, Error> {
        let versions = self.read();
        versions.check(version)?;
        let mut old = BTreeMap::new();
        let bounds = (Bound::Included(&range.from[..]), Bound::Excluded(&range.to[..]));
        for kept in versions.kept_since(version) {
            for (key, value) in kept.rows.range::<[u8], _>(bounds) {
                old.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(old)
    }

    /// Nothing inside the lock can panic half-way, so a poisoned lock guards sound data.
    fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.versions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Versions {
    fn check(&self, version: u64) -> Result<(), Error> {
        if version < self.floor { Err(Error::SnapshotExpired) } else { Ok(()) }
    }

    fn kept_since(&self, version: u64) -> impl Iterator<Item = &Arc<Overwritten>> {
        let first = self.kept.partition_point(|kept| kept.version <= version);
        self.kept.range(first..)
    }

    /// Forgets kept commits from the oldest while `unneeded` says so; returns the last version forgotten, or 0.
    fn forget_while(&mut self, unneeded: impl Fn(&Overwritten, usize) -> bool) -> u64 {
        let mut last = 0;
        while let Some(kept) = self.kept.front() {
            if !unneeded(kept, self.kept_bytes) {
                break;
            }
            last = kept.version;
            self.kept_bytes -= kept.bytes;
            self.kept.pop_front();
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn rows_of(value_bytes: usize) -> BTreeMap<StoredKey, Option<IVec>> {
        BTreeMap::from([(StoredKey::new(Table::Head, b"k"), Some(vec![7; value_bytes].into()))])
    }

    #[test]
    fn old_reader_expires_once_the_bound_is_passed() {
        let history = History::default();
        let key = StoredKey::new(Table::Head, b"k");
        let old = history.enter();
        for _ in 0..3 {
            history.keep(rows_of(KEPT_BYTES_MAX / 2));
            history.advance();
        }
        let recent = history.enter();
        assert!(matches!(history.old_value(old, &key), Err(Error::SnapshotExpired)));
        assert!(matches!(history.old_value(recent, &key), Ok(None)));
    }

    #[test]
    fn nothing_is_kept_after_the_last_reader_left() {
        let history = History::default();
        let reader = history.enter();
        history.keep(rows_of(10));
        history.advance();
        history.leave(reader);
        assert_eq!(history.read().kept.len(), 0);
        assert_eq!(history.read().kept_bytes, 0);
    }
}
