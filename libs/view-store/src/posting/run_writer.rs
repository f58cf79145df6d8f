//! Writes a run: entries and directory as two sequential streams, so memory does not grow with the run.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::layout::{ENTRIES_PER_BLOCK, ENTRY_BYTES, Header, SLOTS_PER_BLOCK};
use crate::block::{self, BLOCK_BYTES, Block};
use crate::error::Error;

/// Blocks between two flushes to the disk, so that no flood of dirty pages stalls the fold's own fsync: 16 MiB.
const SYNC_BLOCKS: usize = 4096;

/// A run under construction.
pub(super) struct RunWriter {
    path: PathBuf,
    file: File,
    header: Header,
    entry_block: Box<Block>,
    directory_block: Box<Block>,
    /// Directory slots written so far.
    slots: usize,
}

impl RunWriter {
    /// Begins a run of at most `entries_max` postings of the nodes from `first_node` to `end_node` (exclusive).
    /// Space is allocated at once: a full disk shows here.
    pub(super) fn create(path: &Path, first_node: u32, end_node: u32, entries_max: u64) -> Result<Self, Error> {
        let entries = u32::try_from(entries_max).expect("the index merges no more postings than a run can number");
        let directory_bits = Header::directory_bits_for(entries_max);
        let widest = Header { first_node, end_node, entries, directory_bits };
        let file = File::create(path).map_err(|source| Error::io(path, source))?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, widest.file_bytes())
            .map_err(|errno| Error::io(path, errno.into()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header: Header { entries: 0, ..widest },
            entry_block: block::empty(),
            directory_block: block::empty(),
            slots: 0,
        })
    }

    /// Adds the next posting; they come sorted by key, then node.
    pub(super) fn push(&mut self, key: u64, node: u32) -> Result<(), Error> {
        self.fill_directory(self.header.slot(key) + 1)?;
        let at = self.header.entries as usize % ENTRIES_PER_BLOCK * ENTRY_BYTES;
        self.entry_block[at..at + 8].copy_from_slice(&key.to_le_bytes());
        self.entry_block[at + 8..at + ENTRY_BYTES].copy_from_slice(&node.to_le_bytes());
        self.header.entries += 1;
        if (self.header.entries as usize).is_multiple_of(ENTRIES_PER_BLOCK) {
            self.write_entry_block()?;
        }
        Ok(())
    }

    /// Ends the run and puts it on disk.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.fill_directory(self.header.directory_slots())?;
        if !self.slots.is_multiple_of(SLOTS_PER_BLOCK) {
            self.write_directory_block()?;
        }
        if !(self.header.entries as usize).is_multiple_of(ENTRIES_PER_BLOCK) {
            self.write_entry_block()?;
        }
        self.write(0, &self.header.encode())?;
        self.file.set_len(self.header.file_bytes()).map_err(|source| Error::io(&self.path, source))?;
        self.file.sync_all().map_err(|source| Error::io(&self.path, source))
    }

    /// Every slot below `end` that is not yet written begins at the present entry.
    fn fill_directory(&mut self, end: usize) -> Result<(), Error> {
        while self.slots < end {
            let at = self.slots % SLOTS_PER_BLOCK * 4;
            self.directory_block[at..at + 4].copy_from_slice(&self.header.entries.to_le_bytes());
            self.slots += 1;
            if self.slots.is_multiple_of(SLOTS_PER_BLOCK) {
                self.write_directory_block()?;
            }
        }
        Ok(())
    }

    fn write_directory_block(&mut self) -> Result<(), Error> {
        let number = 1 + (self.slots - 1) / SLOTS_PER_BLOCK;
        block::seal(&mut self.directory_block, self.header.salt(number));
        self.write(number, &self.directory_block)?;
        self.directory_block.fill(0);
        Ok(())
    }

    fn write_entry_block(&mut self) -> Result<(), Error> {
        let full = (self.header.entries as usize - 1) / ENTRIES_PER_BLOCK;
        let number = self.header.first_entry_block() + full;
        block::seal(&mut self.entry_block, self.header.salt(number));
        self.write(number, &self.entry_block)?;
        self.entry_block.fill(0);
        if (full + 1).is_multiple_of(SYNC_BLOCKS) {
            self.file.sync_data().map_err(|source| Error::io(&self.path, source))?;
        }
        Ok(())
    }

    fn write(&self, number: usize, block: &Block) -> Result<(), Error> {
        self.file.write_all_at(block, (number * BLOCK_BYTES) as u64).map_err(|source| Error::io(&self.path, source))
    }
}
