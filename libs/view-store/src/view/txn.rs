//! One batch of the fold, while it is built.

use super::ViewStore;
use super::meta::{Committed, put_redo};
use crate::batch::Batch;
use crate::dense::DenseTable;
use crate::error::Error;
use crate::posting::Found;
use crate::store::Row;
use crate::table::{KeyRange, StoredKey, StoredRange, Table};
use crate::value::Value;

/// The open batch. Its reads see its own writes. Reads take a shared reference, so that the look-ups of a batch may
/// run on several threads; writes are one thread's. Dropped without [`Txn::commit`], it leaves no trace.
pub struct Txn<'a> {
    store: &'a mut ViewStore,
    batch: Batch,
}

impl<'a> Txn<'a> {
    pub(super) fn new(store: &'a mut ViewStore) -> Self {
        let batch = store.pending.empty_batch();
        Self { store, batch }
    }

    /// The value of a key, as this batch has left it.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, Error> {
        let key = StoredKey::new(table, key);
        match self.batch.written(&key) {
            Some(written) => Ok(written.map(|value| Value::from(std::sync::Arc::clone(value)))),
            None => self.store.committed_row(table, key),
        }
    }

    /// The values of several keys, in the order asked. Sort the keys: neighbours share blocks.
    ///
    /// # Errors
    ///
    /// As [`Txn::get`].
    pub fn multi_get<K: AsRef<[u8]>>(&self, table: Table, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        keys.iter().map(|key| self.get(table, key.as_ref())).collect()
    }

    /// At most `limit` rows of a range, as this batch has left them, in key order.
    ///
    /// # Errors
    ///
    /// As [`Txn::get`].
    pub fn range(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Row>, Error> {
        let stored = StoredRange::new(table, range);
        let mut written = self.store.pending.batch().map_or_else(Vec::new, |batch| batch.written_in(&stored));
        // Of a row that both have written, the later one here counts.
        written.extend(self.batch.written_in(&stored));
        // Each written row hides at most one stored row.
        let base = self.store.store.range(table, range, limit.saturating_add(written.len()))?;
        if written.is_empty() {
            return Ok(base);
        }
        let mut merged: std::collections::BTreeMap<Box<[u8]>, Value> = base.into_iter().collect();
        for (key, value) in written {
            let key = &key.bytes()[1..];
            match value {
                Some(value) => drop(merged.insert(key.into(), Value::from(std::sync::Arc::clone(value)))),
                None => drop(merged.remove(key)),
            }
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    /// Sets a row.
    ///
    /// # Panics
    ///
    /// When the table is [`Table::Redo`] or [`Table::Meta`], which this crate writes, or the key is too long.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        assert!(!matches!(table, Table::Redo | Table::Meta), "redo and meta rows are written by the store itself");
        self.store.absence.note(table, key);
        self.batch.put(table, key, value);
    }

    /// Deletes a row; no matter if it is absent.
    ///
    /// # Panics
    ///
    /// As [`Txn::put`].
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        assert!(!matches!(table, Table::Redo | Table::Meta), "redo and meta rows are written by the store itself");
        self.batch.delete(table, key);
    }

    /// Positions and digest of the last committed batch, for one that changes neither.
    #[must_use]
    pub fn committed(&self) -> (Vec<u8>, Vec<u8>) {
        (self.store.committed.positions.clone(), self.store.committed.digest.clone())
    }

    /// Number of rows in a dense file, with those of this batch.
    #[must_use]
    pub fn dense_len(&self, table: DenseTable) -> u32 {
        self.store.file(table).len()
    }

    /// Copies a dense row, as this batch has left it, into `row`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRow`] past the end; [`Error::DamagedBlock`] when the file is damaged.
    ///
    /// # Panics
    ///
    /// When `row` is not of the table's row size.
    pub fn dense_get(&self, table: DenseTable, number: u32, row: &mut [u8]) -> Result<(), Error> {
        self.store.file(table).get(number, row)
    }

    /// Sets a dense row: one that exists, or the next one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRow`] when the row is neither; [`Error::TooManyRows`].
    ///
    /// # Panics
    ///
    /// When `row` is not of the table's row size.
    pub fn dense_put(&mut self, table: DenseTable, number: u32, row: &[u8]) -> Result<(), Error> {
        self.store.file_mut(table).put(number, row)
    }

    /// Adds a row to the end of a dense file; returns its number.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyRows`].
    ///
    /// # Panics
    ///
    /// When `row` is not of the table's row size.
    pub fn dense_append(&mut self, table: DenseTable, row: &[u8]) -> Result<u32, Error> {
        let file = self.store.file_mut(table);
        let number = file.len();
        file.put(number, row).map(|()| number)
    }

    /// Appends the nodes that carry a blocking key to `nodes` until it holds `limit`. The order is of arrival and
    /// storage, so it must not reach a result; dead nodes are among them until a merge drops them.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedBlock`] or [`Error::DamagedFile`] when a run is damaged.
    pub fn lookup(&self, key: u64, limit: usize, nodes: &mut Vec<u32>) -> Result<Found, Error> {
        self.store.postings.lookup(key, limit, nodes)
    }

    /// Adds a posting of a node that this batch has appended to [`DenseTable::NodeFeature`].
    ///
    /// # Panics
    ///
    /// When the node is not one of this batch: postings of earlier nodes may be in a run already, and a start after a
    /// crash could not derive this one again.
    pub fn insert_posting(&mut self, key: u64, node: u32) {
        let features = self.store.file(DenseTable::NodeFeature);
        assert!((features.committed_len()..features.len()).contains(&node), "a posting belongs to a node of its batch");
        self.store.postings.insert(key, node);
    }

    /// Commits the batch: rows, dense rows, positions and digest become visible and durable together. Returns the
    /// batch's number. May carry out a checkpoint and name finished runs.
    ///
    /// # Errors
    ///
    /// Any; the store is then poisoned and must be opened again, which shows whether the batch is in.
    pub fn commit(mut self, positions: &[u8], digest: &[u8]) -> Result<u64, Error> {
        let number = self.begin_commit(positions, digest, || ())?;
        self.store.settle()?;
        Ok(number)
    }

    /// [`Txn::commit`], but that the batch is written on another thread while the next one is built: the next one sees it,
    /// readers see it after [`ViewStore::settle`], after the next commit, or when that thread calls `stored`. Of a batch that
    /// cannot be written it is not called.
    ///
    /// # Errors
    ///
    /// As [`Txn::commit`], also of the commit before.
    pub fn commit_ahead(
        mut self,
        positions: &[u8],
        digest: &[u8],
        stored: impl FnOnce() + Send + 'static,
    ) -> Result<u64, Error> {
        self.begin_commit(positions, digest, stored)
    }

    fn begin_commit(
        &mut self,
        positions: &[u8],
        digest: &[u8],
        stored: impl FnOnce() + Send + 'static,
    ) -> Result<u64, Error> {
        let committed = Committed {
            batch: self.store.committed.batch + 1,
            fold_version: self.store.committed.fold_version,
            positions: positions.to_vec(),
            digest: digest.to_vec(),
            lengths: self.store.lengths(),
        };
        let mut batch = std::mem::take(&mut self.batch);
        let has_redo = put_redo(&mut batch, committed.batch, &self.store.files);
        committed.put(&mut batch);
        let number = committed.batch;
        let done = self.store.commit(batch, committed, has_redo, stored);
        self.store.poisoned |= done.is_err();
        done.map(|()| number)
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        self.store.undo_changes();
    }
}
