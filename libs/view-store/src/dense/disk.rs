//! The file of a dense table: blocks of rows, each with its checksum.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::DenseTable;
use super::cache::BlockCache;
use crate::block::{self, BLOCK_BYTES, Block, PAYLOAD_BYTES};
use crate::error::Error;

/// Blocks that a file grows by: 16 MiB.
const GROWTH_BLOCKS: u64 = 4096;

/// Unsound blocks that are named, at most.
const UNSOUND_MAX: usize = 1_000;

/// An open file. Rows are read by any thread; blocks are written by one checkpoint at a time.
pub(crate) struct DenseDisk {
    table: DenseTable,
    path: PathBuf,
    file: File,
    cache: BlockCache,
}

impl DenseDisk {
    pub(crate) fn open(dir: &Path, table: DenseTable, settled_len: u32, cache_bytes: u64) -> Result<Self, Error> {
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

    pub(crate) fn path(&self) -> &Path {
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

    /// Reads a block as it is sealed, past the cache, which keeps what the fold needs.
    pub(crate) fn sealed(&self, block_number: u64, block: &mut Block) -> Result<(), Error> {
        self.cache.pass(block_number, || self.read_block(block_number, block))
    }

    /// Whether a block is sound, and was sealed for that place of this file.
    pub(crate) fn is_sealed(&self, block_number: u64, block: &Block) -> bool {
        block::is_intact(block, self.salt(block_number))
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

    pub(crate) fn reserve(&self, len: u32) -> Result<(), Error> {
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
        salt(self.table, block_number)
    }

    const fn rows_per_block(&self) -> u64 {
        (PAYLOAD_BYTES / self.table.row_bytes()) as u64
    }

    pub(crate) fn blocks_of(&self, rows: u32) -> u64 {
        u64::from(rows).div_ceil(self.rows_per_block())
    }

    fn room_blocks(&self) -> Result<u64, Error> {
        let bytes = self.file.metadata().map_err(|source| Error::io(&self.path, source))?.len();
        Ok(bytes / BLOCK_BYTES as u64)
    }
}

/// Salt of a block's checksum: files differ by their table.
fn salt(table: DenseTable, block_number: u64) -> u64 {
    u64::from(table.number()) << 56 | block_number
}

/// Reads a file without opening the store: how many blocks it holds, and the first of those whose checksum does not match. Zeros behind the last
/// block that was written are room; of a stretch of zeros before it the first block is named.
pub(crate) fn unsound_blocks(dir: &Path, table: DenseTable) -> Result<(u64, Vec<u64>), Error> {
    let path = dir.join(table.file_name());
    let at_path = |source| Error::io(&path, source);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        Err(source) => return Err(at_path(source)),
    };
    let blocks = file.metadata().map_err(at_path)?.len() / BLOCK_BYTES as u64;
    let mut input = BufReader::with_capacity(1 << 20, file);
    let (mut written, mut zeros_from, mut unsound) = (0, None, Vec::new());
    let mut block = block::empty();
    for number in 0..blocks {
        input.read_exact(&mut block[..]).map_err(at_path)?;
        if block.iter().all(|byte| *byte == 0) {
            zeros_from = zeros_from.or(Some(number));
            continue;
        }
        written = number + 1;
        let broken = (!block::is_intact(&block[..], salt(table, number))).then_some(number);
        unsound.extend(zeros_from.take().into_iter().chain(broken));
        unsound.truncate(UNSOUND_MAX);
    }
    Ok((written, unsound))
}
