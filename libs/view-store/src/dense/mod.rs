//! Dense files: rows of one size, found by number.
//!
//! A row is written to a bounded overlay in memory; a checkpoint carries the overlay into the file (see
//! [`crate::checkpoint`]). Until then the store's redo rows hold what the overlay holds, so a killed process
//! loses nothing that the store kept. Rows never straddle a block, and every block carries a checksum that is
//! verified whenever the block is read from the disk.

mod cache;
mod disk;
mod overlay;

use std::path::Path;
use std::sync::Arc;

use crate::block::Block;
use crate::error::Error;
pub(crate) use disk::{DenseDisk, unsound_blocks};
use overlay::Overlay;

/// What a dense file is for. The numbers are stored (redo rows, checksums) and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DenseTable {
    /// Node number → the node's feature row, 96 bytes. Appended once, never changed.
    NodeFeature = 1,
    /// Node number → what of a node changes often (component, cluster, liveness), 16 bytes, updated in place.
    NodeState = 2,
}

impl DenseTable {
    /// Every dense file.
    pub const ALL: [Self; 2] = [Self::NodeFeature, Self::NodeState];

    /// Bytes of a row.
    #[must_use]
    pub const fn row_bytes(self) -> usize {
        match self {
            Self::NodeFeature => 96,
            Self::NodeState => 16,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }

    pub(crate) const fn file_name(self) -> &'static str {
        match self {
            Self::NodeFeature => "node_feature.rows",
            Self::NodeState => "node_state.rows",
        }
    }
}

/// An open dense file. Reads go through a shared reference and may run on many threads; writes are the fold's.
pub(crate) struct DenseFile {
    disk: Arc<DenseDisk>,
    /// Rows in the file as of the last checkpoint.
    settled_len: u32,
    committed_len: u32,
    /// Rows, with those of the open batch.
    len: u32,
    overlay: Overlay,
    /// Rows that a running checkpoint carries into the file.
    frozen: Option<Frozen>,
}

struct Frozen {
    rows: Arc<Overlay>,
    len: u32,
}

impl DenseFile {
    /// Opens or creates the file; rows from `settled_len` on are not read, whatever the file holds there.
    pub(crate) fn open(dir: &Path, table: DenseTable, settled_len: u32, cache_bytes: u64) -> Result<Self, Error> {
        Ok(Self {
            disk: Arc::new(DenseDisk::open(dir, table, settled_len, cache_bytes)?),
            settled_len,
            committed_len: settled_len,
            len: settled_len,
            overlay: Overlay::new(table.row_bytes()),
            frozen: None,
        })
    }

    pub(crate) fn table(&self) -> DenseTable {
        self.disk.table()
    }

    /// Number of committed rows.
    pub(crate) const fn committed_len(&self) -> u32 {
        self.committed_len
    }

    /// Number of rows, with those of the open batch.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Copies a row into `row`, which has the table's row size.
    pub(crate) fn get(&self, number: u32, row: &mut [u8]) -> Result<(), Error> {
        if number >= self.len {
            return Err(self.no_such_row(number));
        }
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.rows.get(number));
        match self.overlay.get(number).or_else(frozen) {
            Some(newest) => {
                row.copy_from_slice(newest);
                Ok(())
            }
            None => self.disk.read_row(number, row),
        }
    }

    /// Sets a row: one that exists, or the next one.
    pub(crate) fn put(&mut self, number: u32, row: &[u8]) -> Result<(), Error> {
        assert_eq!(row.len(), self.table().row_bytes(), "a row has its table's size");
        if number > self.len {
            return Err(self.no_such_row(number));
        }
        if number == self.len {
            let longer = self.len.checked_add(1);
            self.len = longer.ok_or_else(|| Error::TooManyRows { path: self.disk.path().to_owned() })?;
        }
        self.overlay.put(number, row);
        Ok(())
    }

    /// Rows that the open batch has set, in order of number, each once.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.overlay.changed()
    }

    /// The open batch is committed.
    pub(crate) fn keep_changes(&mut self) {
        self.overlay.keep_changes();
        self.committed_len = self.len;
    }

    /// The open batch is given up: rows are again as the last commit left them.
    pub(crate) fn undo_changes(&mut self) {
        self.overlay.undo_changes();
        self.len = self.committed_len;
    }

    /// Memory of the rows that no checkpoint carries yet.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.overlay.bytes()
    }

    /// Hands the committed rows to a checkpoint, which ends by [`DenseFile::settle`].
    ///
    /// # Panics
    ///
    /// When a batch is open, or another checkpoint has not ended.
    pub(crate) fn freeze(&mut self) -> Carry {
        assert!(self.frozen.is_none() && self.len == self.committed_len, "one checkpoint at a time, between batches");
        let empty = Overlay::new(self.table().row_bytes());
        let rows = Arc::new(std::mem::replace(&mut self.overlay, empty));
        self.frozen = Some(Frozen { rows: Arc::clone(&rows), len: self.len });
        Carry { disk: Arc::clone(&self.disk), rows, settled_len: self.settled_len, len: self.len }
    }

    /// The checkpoint is through: the file holds the rows that were handed to it.
    pub(crate) fn settle(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.settled_len = frozen.len;
        }
    }

    /// The file itself.
    pub(crate) fn disk(&self) -> &DenseDisk {
        &self.disk
    }

    /// The file itself, for another thread.
    pub(crate) fn shared_disk(&self) -> Arc<DenseDisk> {
        Arc::clone(&self.disk)
    }

    fn no_such_row(&self, number: u32) -> Error {
        Error::NoSuchRow { path: self.disk.path().to_owned(), number, len: self.len }
    }
}

/// What a checkpoint carries into one file.
pub(crate) struct Carry {
    disk: Arc<DenseDisk>,
    rows: Arc<Overlay>,
    settled_len: u32,
    len: u32,
}

impl Carry {
    pub(crate) fn disk(&self) -> &DenseDisk {
        &self.disk
    }

    /// Makes room for all rows, so that a full disk shows before anything is written.
    pub(crate) fn reserve(&self) -> Result<(), Error> {
        self.disk.reserve(self.len)
    }

    /// Numbers of the blocks to write, ascending.
    pub(crate) fn blocks(&self) -> Vec<u64> {
        let mut blocks: Vec<u64> = self.rows.numbers().map(|number| self.disk.place(number).0).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// A block with the new rows in it, sealed.
    pub(crate) fn image(&self, block_number: u64, image: &mut Block) -> Result<(), Error> {
        self.disk.load(block_number, self.settled_len, image)?;
        let row_bytes = self.disk.table().row_bytes();
        for (number, slot) in self.disk.rows_of(block_number) {
            if let Some(row) = self.rows.get(number) {
                image[slot..slot + row_bytes].copy_from_slice(row);
            }
        }
        self.disk.seal(block_number, image);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
