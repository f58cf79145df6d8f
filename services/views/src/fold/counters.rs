//! The counters by register × agency × commune, held in memory and written with the batch that changed them.
//!
//! There are as many cells as a register has agencies and communes, whatever the number of records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use projection::quality::{Cell, Counts};
use view_store::{KeyRange, Table, Txn};

use super::FoldError;
use super::tally::CellNo;

struct CellRow {
    cell: Cell,
    counts: Counts,
}

/// Every cell.
#[derive(Default)]
pub(super) struct Counters {
    rows: Vec<CellRow>,
    by_cell: HashMap<Cell, CellNo>,
    dirty: BTreeSet<CellNo>,
}

impl Counters {
    /// Reads every row: cell number (u32) behind the cell's key.
    pub(super) fn load(rows: Vec<(Box<[u8]>, view_store::Value)>) -> Result<Self, FoldError> {
        let mut by_no = BTreeMap::new();
        for (key, value) in rows {
            let cell = Cell::from_key(&key).ok_or(FoldError::Row("counter"))?;
            let (no, counts) = value.split_first_chunk::<4>().ok_or(FoldError::Row("counter"))?;
            by_no.insert(u32::from_be_bytes(*no), CellRow { cell, counts: Counts::decode(counts)? });
        }
        let mut out = Self::default();
        for (expected, (no, row)) in by_no.into_iter().enumerate() {
            if no as usize != expected {
                return Err(FoldError::Row("counter"));
            }
            out.by_cell.insert(row.cell.clone(), no);
            out.rows.push(row);
        }
        Ok(out)
    }

    pub(super) fn range() -> KeyRange<'static> {
        KeyRange::All
    }

    /// The number of a cell, which is made when it is new.
    pub(super) fn number(&mut self, cell: &Cell) -> CellNo {
        if let Some(no) = self.by_cell.get(cell) {
            return *no;
        }
        let no = u32::try_from(self.rows.len()).expect("cells are bounded by agencies and communes");
        self.rows.push(CellRow { cell: cell.clone(), counts: Counts::default() });
        self.by_cell.insert(cell.clone(), no);
        self.dirty.insert(no);
        no
    }

    /// The register of a cell.
    pub(super) fn register(&self, no: CellNo) -> &str {
        self.rows[no as usize].cell.register.as_str()
    }

    pub(super) fn add(&mut self, no: CellNo, counts: &Counts, sign: i64) {
        if !counts.is_zero() {
            self.rows[no as usize].counts.add(counts, sign);
            self.dirty.insert(no);
        }
    }

    /// Writes what changed into the open batch.
    pub(super) fn write(&mut self, txn: &mut Txn<'_>) {
        for no in std::mem::take(&mut self.dirty) {
            let row = &self.rows[no as usize];
            let value = [&no.to_be_bytes(), row.counts.encode().as_slice()].concat();
            txn.put(Table::Counter, &row.cell.key(), &value);
        }
    }
}

/// Reads one row of [`Table::Counter`], as queries do.
pub(crate) fn decode_counter(key: &[u8], value: &[u8]) -> Result<(Cell, Counts), FoldError> {
    let cell = Cell::from_key(key).ok_or(FoldError::Row("counter"))?;
    let counts = value.get(4..).ok_or(FoldError::Row("counter"))?;
    Ok((cell, Counts::decode(counts)?))
}
