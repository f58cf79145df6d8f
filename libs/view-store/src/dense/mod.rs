//! Dense files: rows of one size, found by number.
//!
//! A row is written to a bounded overlay in memory; a checkpoint carries the overlay into the file (see
//! [`crate::checkpoint`]). Until then the store's redo rows hold what the overlay holds, so a killed process
//! loses nothing that the store kept. Rows never straddle a block, and every block carries a checksum that is
//! verified whenever the block is read from the disk.

mod cache;
mod overlay;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::block::{self, BLOCK_BYTES, Block, PAYLOAD_BYTES};
use crate::error::Error;
use cache::BlockCache;
use overlay::Overlay;

/// Blocks that a file grows by: 16 MiB.
const GROWTH_BLOCKS: u64 = 4096;

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
    table: DenseTable,
    path: PathBuf,
    file: File,
    /// Rows in the file as of the last checkpoint.
    settled_len: u32,
    /// Blocks that the file has room for.
    room_blocks: u64,
    committed_len: u32,
    /// Rows, with those of the open batch.
    len: u32,
    overlay: Overlay,
    cache: BlockCache,
}

impl DenseFile {
    /// Opens or creates the file; rows from `settled_len` on are not read, whatever the file holds there.
    pub(crate) fn open(dir: &Path, table: DenseTable, settled_len: u32, cache_bytes: u64) -> Result<Self, Error> {
        let path = dir.join(table.file_name());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| Error::io(&path, source))?;
        let room_blocks = file.metadata().map_err(|source| Error::io(&path, source))?.len() / BLOCK_BYTES as u64;
        let dense = Self {
            table,
            path,
            file,
            settled_len,
            room_blocks,
            committed_len: settled_len,
            len: settled_len,
            overlay: Overlay::new(table.row_bytes()),
            cache: BlockCache::new(cache_bytes),
        };
        if dense.blocks_of(settled_len) > room_blocks {
            return Err(Error::DamagedFile { path: dense.path, what: "shorter than the last checkpoint left it" });
        }
        Ok(dense)
    }

    pub(crate) const fn table(&self) -> DenseTable {
        self.table
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
        if let Some(newest) = self.overlay.get(number) {
            row.copy_from_slice(newest);
            return Ok(());
        }
        let (block_number, offset) = self.place(number);
        self.cache.read(
            block_number,
            |block| self.read_block(block_number, block),
            |block| {
                row.copy_from_slice(&block[offset..offset + self.table.row_bytes()]);
            },
        )
    }

    /// Sets a row: one that exists, or the next one.
    pub(crate) fn put(&mut self, number: u32, row: &[u8]) -> Result<(), Error> {
        assert_eq!(row.len(), self.table.row_bytes(), "a row has its table's size");
        if number > self.len {
            return Err(self.no_such_row(number));
        }
        if number == self.len {
            self.len = self.len.checked_add(1).ok_or_else(|| Error::TooManyRows { path: self.path.clone() })?;
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

    /// Memory that the rows take which the file does not hold yet.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.overlay.bytes()
    }

    /// Makes room for all rows, so that a full disk shows before anything is written.
    pub(crate) fn reserve(&mut self) -> Result<(), Error> {
        let need = self.blocks_of(self.len);
        if need <= self.room_blocks {
            return Ok(());
        }
        let room = need.next_multiple_of(GROWTH_BLOCKS);
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, room * BLOCK_BYTES as u64)
            .map_err(|errno| Error::io(&self.path, errno.into()))?;
        self.room_blocks = room;
        Ok(())
    }

    /// Numbers of the blocks that a checkpoint must write, ascending.
    pub(crate) fn dirty_blocks(&self) -> Vec<u64> {
        let mut blocks: Vec<u64> = self.overlay.numbers().map(|number| self.place(number).0).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// The block as the overlay makes it, sealed.
    pub(crate) fn image(&self, block_number: u64, image: &mut Block) -> Result<(), Error> {
        if block_number < self.blocks_of(self.settled_len) {
            self.read_block(block_number, image)?;
        } else {
            image.fill(0);
        }
        let row_bytes = self.table.row_bytes();
        let first = block_number * self.rows_per_block();
        for slot in 0..self.rows_per_block() {
            let Ok(number) = u32::try_from(first + slot) else { break };
            if let Some(row) = self.overlay.get(number) {
                let offset = slot as usize * row_bytes;
                image[offset..offset + row_bytes].copy_from_slice(row);
            }
        }
        block::seal(image, self.salt(block_number));
        Ok(())
    }

    /// Writes a sealed block to its place.
    pub(crate) fn write_block(&self, block_number: u64, image: &Block) -> Result<(), Error> {
        self.file
            .write_all_at(image, block_number * BLOCK_BYTES as u64)
            .map_err(|source| Error::io(&self.path, source))?;
        self.cache.forget(block_number);
        Ok(())
    }

    /// Puts what was written on disk.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|source| Error::io(&self.path, source))
    }

    /// The checkpoint is through: the file holds every row.
    pub(crate) fn settle(&mut self) {
        self.overlay.clear();
        self.settled_len = self.len;
    }

    fn read_block(&self, block_number: u64, block: &mut Block) -> Result<(), Error> {
        self.file
            .read_exact_at(block, block_number * BLOCK_BYTES as u64)
            .map_err(|source| Error::io(&self.path, source))?;
        if block::is_intact(block, self.salt(block_number)) {
            return Ok(());
        }
        Err(Error::DamagedBlock { path: self.path.clone(), block: block_number })
    }

    fn no_such_row(&self, number: u32) -> Error {
        Error::NoSuchRow { path: self.path.clone(), number, len: self.len }
    }

    fn salt(&self, block_number: u64) -> u64 {
        u64::from(self.table.number()) << 56 | block_number
    }

    fn rows_per_block(&self) -> u64 {
        (PAYLOAD_BYTES / self.table.row_bytes()) as u64
    }

    fn blocks_of(&self, rows: u32) -> u64 {
        u64::from(rows).div_ceil(self.rows_per_block())
    }

    fn place(&self, number: u32) -> (u64, usize) {
        let (block, slot) = (u64::from(number) / self.rows_per_block(), u64::from(number) % self.rows_per_block());
        (block, slot as usize * self.table.row_bytes())
    }
}

#[cfg(test)]
mod tests;
