//! Erasures: a record leaves the views at every cut, as if it had never come.
//!
//! What of it cannot be deleted by key here is left to [`Fold::purge`]: feature rows and postings of dead nodes, and the
//! look-ups of a record whose bodies can be read no more.

use std::collections::BTreeSet;
use std::sync::Arc;

use linkage::ROW_BYTES;
use projection::head::{Head, Linked};
use record::{Operation, Pseudonym};
use view_store::{DenseTable, KeyRange, Table};

use super::links::NODE_STATE_BYTES;
use super::{Fold, FoldError, Step};

/// Rows that one batch of a purge changes at most.
const PURGE_ROWS: usize = 1 << 16;

impl Step<'_, '_> {
    /// Takes everything of a record out of the views. Its later entries are without effect, because the control state
    /// names it.
    pub(super) fn erase(&mut self, record: Pseudonym) -> Result<(), FoldError> {
        self.release(record)?;
        let Some(before) = self.head(record)? else { return Ok(()) };
        self.delete_lookups(&before, record)?;
        let mut empty = Head { versions: Vec::new(), ..before.clone() };
        self.relink(&mut empty, record, None)?;
        before.rows(record, |row| self.digest.remove(&row));
        self.count_head(&before, -1);
        self.txn.delete(Table::Head, &record.0);
        self.totals.records -= 1;
        let versions = before.versions.iter();
        let (duplicates, conflicts) = versions.fold((0, 0), |(duplicates, conflicts), v| {
            (duplicates + u64::from(v.duplicates), conflicts + u64::from(v.row.conflicts))
        });
        self.totals.duplicates = self.totals.duplicates.saturating_sub(duplicates);
        self.totals.conflicts = self.totals.conflicts.saturating_sub(conflicts);
        Ok(())
    }

    fn delete_lookups(&mut self, head: &Head, record: Pseudonym) -> Result<(), FoldError> {
        for version in head.versions.iter().filter(|v| v.row.operation == Operation::Upsert as u8) {
            match self.with_body(version, |body| self.read_body(head, record, body))? {
                Some(Ok(read)) => {
                    for (key, mention) in &read.lookups {
                        self.txn.delete(Table::Lookup, &[key.0.as_slice(), &mention.0].concat());
                    }
                }
                // It has left no look-up.
                Some(Err(Linked::Out | Linked::Waiting { .. } | Linked::Unreadable { .. } | Linked::In(_))) => {}
                None => self.folded.lookups_left = true,
            }
        }
        Ok(())
    }
}

impl Fold {
    /// Overwrites what derived files still hold of erased records, and of versions that are no longer linked: feature rows
    /// and postings of dead nodes, and superseded values in the store's own files. With `lookups` every look-up is
    /// compared with the erased records, which takes as long as reading all of them.
    ///
    /// The fold rests meanwhile; queries go on. Broken off at any point, it can be done again. False when the store will
    /// be built anew at the next start instead, because it cannot be rewritten while it is open.
    ///
    /// # Errors
    /// [`FoldError::Store`]; this value must not be used any more then.
    pub fn purge(&mut self, lookups: bool) -> Result<bool, FoldError> {
        if lookups {
            self.purge_lookups()?;
        }
        let dead = self.purge_features()?;
        let dead = Arc::new(dead);
        Ok(self.store.purge(Arc::new(move |node| dead.contains(&node)))?)
    }

    fn purge_lookups(&mut self) -> Result<(), FoldError> {
        let view = self.store.reader().view()?;
        let mut from: Vec<u8> = Vec::new();
        loop {
            let rows = view.range(Table::Lookup, KeyRange::From(&from), PURGE_ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from = [last.as_ref(), &[0]].concat();
            let erased = |value: &[u8]| value.try_into().is_ok_and(|r| self.control.erased.contains(&Pseudonym(r)));
            let keys: Vec<&[u8]> = rows.iter().filter(|(_, v)| erased(v)).map(|(key, _)| key.as_ref()).collect();
            if !keys.is_empty() {
                let mut txn = self.store.begin()?;
                keys.into_iter().for_each(|key| txn.delete(Table::Lookup, key));
                let committed = txn.committed();
                txn.commit(&committed.0, &committed.1)?;
            }
        }
    }

    /// Zeroes the feature rows of dead nodes; which these are.
    fn purge_features(&mut self) -> Result<BTreeSet<u32>, FoldError> {
        let mut dead = BTreeSet::new();
        let nodes = self.store.dense_len(DenseTable::NodeFeature);
        for first in (0..nodes).step_by(PURGE_ROWS) {
            let mut txn = self.store.begin()?;
            let (mut state, mut row) = ([0; NODE_STATE_BYTES], [0; ROW_BYTES]);
            for node in first..nodes.min(first.saturating_add(PURGE_ROWS as u32)) {
                txn.dense_get(DenseTable::NodeState, node, &mut state)?;
                if super::links::is_live(&state) {
                    continue;
                }
                dead.insert(node);
                txn.dense_get(DenseTable::NodeFeature, node, &mut row)?;
                if row != [0; ROW_BYTES] {
                    txn.dense_put(DenseTable::NodeFeature, node, &[0; ROW_BYTES])?;
                }
            }
            let committed = txn.committed();
            txn.commit(&committed.0, &committed.1)?;
        }
        Ok(dead)
    }
}
