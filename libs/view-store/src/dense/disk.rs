//! The file of a dense table: blocks of rows, each with its checksum.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::DenseTable;
use super::cache::BlockCache;
use crate::block::{self, BLOCK_BYTES, Block, PAYLOAD_BYTES};
use crate::error::Error;

/// Blocks that a file grows by: 16 MiB.
const GROWTH_BLOCKS: u64 = 4096;

/// An open file. Rows are read by any thread; blocks are written by one checkpoint at a time.
pub(crate) struct DenseDisk {
    table: DenseTable,
    path: PathBuf,
    file: File,
    cache: BlockCache,
}

impl DenseDisk {
    pub(super) fn open(dir: &Path, table: DenseTable, settled_len: u32, cache_bytes: u64) -> Result<Self, Error> {
        let path = dir.join(table.file_name());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|source| Error::io(&path, source))?;
        let disk = Self { table, path, file, cache: BlockCache::new(cache_bytes) };
        if disk.blocks_of(settled_len) > disk.room_blocks()? {
            return Err(Error::DamagedFile { path: disk.path, what: "shorter than the last checkpoint left it" });
        }
        Ok(disk)
    }

    pub(crate) const fn table(&self) -> DenseTable {
        self.table
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read_row(&self, number: u32, row: &mut [u8]) -> Result<(), Error> {
        let (block_number, slot) = self.place(number);
        let copy = |block: &Block| row.copy_from_slice(&block[slot..slot + self.table.row_bytes()]);
        self.cache.read(block_number, |block| self.read_block(block_number, block), copy)
    }

    /// Reads a block that holds one of the first `settled_len` rows; any other is zeros.
    pub(super) fn load(&self, block_number: u64, settled_len: u32, block: &mut Block) -> Result<(), Error> {
        if block_number < self.blocks_of(settled_len) {
            return self.read_block(block_number, block);
        }
        block.fill(0);
        Ok(())
    }

    pub(super) fn seal(&self, block_number: u64, block: &mut Block) {
        block::seal(block, self.salt(block_number));
    }

    /// Writes a sealed block to its place. No reader of the block looks at the file meanwhile.
    pub(crate) fn write_block(&self, block_number: u64, image: &Block) -> Result<(), Error> {
        let write = || self.file.write_all_at(image, block_number * BLOCK_BYTES as u64);
        self.cache.replace(block_number, write).map_err(|source| Error::io(&self.path, source))
    }

    /// Puts what was written on disk.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|source| Error::io(&self.path, source))
    }

    pub(super) fn reserve(&self, len: u32) -> Result<(), Error> {
        let need = self.blocks_of(len);
        if need <= self.room_blocks()? {
            return Ok(());
        }
        let room = need.next_multiple_of(GROWTH_BLOCKS) * BLOCK_BYTES as u64;
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, room)
            .map_err(|errno| Error::io(&self.path, errno.into()))
    }

    /// The block of a row, and where in the block it begins.
    pub(super) fn place(&self, number: u32) -> (u64, usize) {
        let (block, slot) = (u64::from(number) / self.rows_per_block(), u64::from(number) % self.rows_per_block());
        (block, slot as usize * self.table.row_bytes())
    }

    /// The numbers of a block's rows, and where in the block they begin.
    pub(super) fn rows_of(&self, block_number: u64) -> impl Iterator<Item = (u32, usize)> {
        let first = block_number * self.rows_per_block();
        let numbers = (first..first + self.rows_per_block()).map_while(|number| u32::try_from(number).ok());
        numbers.zip((0..).step_by(self.table.row_bytes()))
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

    fn salt(&self, block_number: u64) -> u64 {
        u64::from(self.table.number()) << 56 | block_number
    }

    const fn rows_per_block(&self) -> u64 {
        (PAYLOAD_BYTES / self.table.row_bytes()) as u64
    }

    fn blocks_of(&self, rows: u32) -> u64 {
        u64::from(rows).div_ceil(self.rows_per_block())
    }

    fn room_blocks(&self) -> Result<u64, Error> {
        let bytes = self.file.metadata().map_err(|source| Error::io(&self.path, source))?.len();
        Ok(bytes / BLOCK_BYTES as u64)
    }
}
