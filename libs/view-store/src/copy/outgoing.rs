//! The side that has the store.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{BLOCKS, CopyHeader, END, ROWS, is_copied};
use crate::block::{self, BLOCK_BYTES};
use crate::dense::{DenseDisk, DenseTable};
use crate::error::Error;
use crate::store::Row;
use crate::table::{KeyRange, Table};
use crate::view::View;

/// Rows that are read from the store at a time.
const PAGE_ROWS: usize = 1024;

/// A store as one batch left it, to be read piece by piece while the fold goes on. It keeps old values and the directory's lock alive: drop
/// it before the directory is opened again, and before the store is purged.
pub struct Outgoing {
    header: CopyHeader,
    view: View,
    disks: [Arc<DenseDisk>; DenseTable::ALL.len()],
    at: At,
    /// Rows that were read and did not fit the piece before.
    held: std::vec::IntoIter<Row>,
    rows: u64,
    blocks: u64,
}

/// What comes next.
enum At {
    /// Rows of a table, by its place in [`Table::ALL`], from a key on.
    Table(usize, Vec<u8>),
    /// Blocks of a dense file, by its place in [`DenseTable::ALL`], from a number on.
    File(usize, u64),
    End,
    Over,
}

impl Outgoing {
    /// The view must show what the last checkpoint carried into the dense files.
    pub(crate) fn new(
        log_id: [u8; 16],
        view: View,
        features: Arc<DenseDisk>,
        states: &Path,
        aside: &Path,
    ) -> Result<Self, Error> {
        let table = DenseTable::NodeState;
        let copied = aside.join(table.file_name());
        let made = fs::create_dir_all(aside).and_then(|()| fs::copy(states, &copied));
        made.map_err(|source| Error::io(&copied, source))?;
        let lengths = view.committed().lengths;
        let states = Arc::new(DenseDisk::open(aside, table, lengths[usize::from(table.number()) - 1], 0)?);
        // The open file stays until this is dropped.
        fs::remove_dir_all(aside).map_err(|source| Error::io(aside, source))?;
        let header = CopyHeader { log_id, committed: view.committed().clone() };
        let (at, held) = (At::Table(0, Vec::new()), Vec::new().into_iter());
        Ok(Self { header, view, disks: [features, states], at, held, rows: 0, blocks: 0 })
    }

    /// What the copy is of.
    #[must_use]
    pub const fn header(&self) -> &CopyHeader {
        &self.header
    }

    /// Rows that were given.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The next piece, of about `bytes` bytes, or of one row when that is longer; `None` when all of them were given.
    ///
    /// # Errors
    ///
    /// A row or a block cannot be read; [`Error::SnapshotExpired`] (sled only) when the fold has gone too far meanwhile.
    pub fn next_piece(&mut self, bytes: usize) -> Result<Option<Vec<u8>>, Error> {
        loop {
            match std::mem::replace(&mut self.at, At::Over) {
                At::Table(place, from) => {
                    let Some(table) = Table::ALL.get(place).copied() else {
                        self.at = At::File(0, 0);
                        continue;
                    };
                    if let Some(piece) = self.rows_of(place, table, from, bytes)? {
                        return Ok(Some(piece));
                    }
                }
                At::File(place, from) => {
                    let Some(table) = DenseTable::ALL.get(place).copied() else {
                        self.at = At::End;
                        continue;
                    };
                    if let Some(piece) = self.blocks_of(place, table, from, bytes)? {
                        return Ok(Some(piece));
                    }
                }
                At::End => {
                    return Ok(Some([&[END][..], &self.rows.to_le_bytes(), &self.blocks.to_le_bytes()].concat()));
                }
                At::Over => return Ok(None),
            }
        }
    }

    fn rows_of(
        &mut self,
        place: usize,
        table: Table,
        mut from: Vec<u8>,
        bytes: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut piece = vec![ROWS, table.number()];
        while is_copied(table) && piece.len() < bytes {
            let Some((key, value)) = self.held.next() else {
                let range = if from.is_empty() { KeyRange::All } else { KeyRange::From(&from) };
                let page = self.view.range(table, range, PAGE_ROWS)?;
                let Some((last, _)) = page.last() else { break };
                from = [last.as_ref(), &[0]].concat();
                self.held = page.into_iter();
                continue;
            };
            piece.extend(u16::try_from(key.len()).expect("keys are bounded far below 64 KiB").to_le_bytes());
            piece.extend(u32::try_from(value.len()).expect("values are far below 4 GiB").to_le_bytes());
            piece.extend_from_slice(&key);
            piece.extend_from_slice(&value);
            self.rows += 1;
        }
        let is_full = piece.len() >= bytes && is_copied(table);
        self.at = if is_full { At::Table(place, from) } else { At::Table(place + 1, Vec::new()) };
        Ok((piece.len() > 2).then_some(piece))
    }

    fn blocks_of(
        &mut self,
        place: usize,
        table: DenseTable,
        from: u64,
        bytes: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let disk = &self.disks[place];
        let end = disk.blocks_of(self.header.committed.lengths[place]);
        let until = end.min(from + (bytes / BLOCK_BYTES).max(1) as u64);
        let mut piece = [&[BLOCKS, table.number()][..], &from.to_le_bytes()].concat();
        let mut image = block::empty();
        for number in from..until {
            disk.sealed(number, &mut image)?;
            piece.extend_from_slice(&image[..]);
        }
        self.blocks += until - from;
        self.at = if until == end { At::File(place + 1, 0) } else { At::File(place, until) };
        Ok((until > from).then_some(piece))
    }
}
