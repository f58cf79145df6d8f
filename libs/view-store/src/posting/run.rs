//! An immutable run on disk, mapped read-only.
//!
//! A look-up reads one directory slot and then the few entries that share it. A block's checksum is verified when it
//! is first touched, once per opening. A mapped file that another process truncates, or a disk that fails below the
//! page cache, ends the process by a signal; the store's lock and the log, which can rebuild it, are the answer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, Mmap};

use super::layout::{ENTRIES_PER_BLOCK, ENTRY_BYTES, Header, SLOTS_PER_BLOCK};
use crate::block::{self, BLOCK_BYTES};
use crate::error::Error;

/// An open run.
pub(super) struct Run {
    path: PathBuf,
    map: Mmap,
    header: Header,
    /// A bit per block: its checksum has been verified.
    verified: Vec<AtomicU64>,
}

impl Run {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        // SAFETY: runs are never changed once they have their name, and the store's lock keeps other processes of
        // this program out; the length is checked below before anything is read.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(path, source))?;
        let damaged = |what| Error::DamagedFile { path: path.to_owned(), what };
        let header = Header::decode(&map).ok_or_else(|| damaged("its header is not one of a run"))?;
        if map.len() as u64 != header.file_bytes() {
            return Err(damaged("its length is not what its header says"));
        }
        map.advise(Advice::Random).map_err(|source| Error::io(path, source))?;
        let words = header.blocks().div_ceil(64);
        Ok(Self { path: path.to_owned(), map, header, verified: (0..words).map(|_| AtomicU64::new(0)).collect() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn first_node(&self) -> u32 {
        self.header.first_node
    }

    pub(super) const fn end_node(&self) -> u32 {
        self.header.end_node
    }

    pub(super) const fn entries(&self) -> u32 {
        self.header.entries
    }

    /// Checks every block's checksum. How many there are.
    pub(super) fn check(&self) -> Result<u64, Error> {
        // The header's own was checked when the run was opened.
        (1..self.header.blocks()).try_for_each(|number| self.block(number).map(|_| ()))?;
        Ok(self.header.blocks() as u64)
    }

    /// Adds the nodes of a key until `nodes` holds `limit`; false when some were left out.
    pub(super) fn lookup(&self, key: u64, limit: usize, nodes: &mut Vec<u32>) -> Result<bool, Error> {
        let slot = self.header.slot(key);
        let end = self.directory(slot + 1)?;
        let mut at = self.seek(key, self.directory(slot)?, end)?;
        while at < end {
            let (found, node) = self.entry(at)?;
            if found != key {
                break;
            }
            if nodes.len() >= limit {
                return Ok(false);
            }
            nodes.push(node);
            at += 1;
        }
        Ok(true)
    }

    /// The posting with this number, from 0.
    pub(super) fn entry(&self, number: u32) -> Result<(u64, u32), Error> {
        let number = number as usize;
        let block = self.block(self.header.first_entry_block() + number / ENTRIES_PER_BLOCK)?;
        let entry = &block[number % ENTRIES_PER_BLOCK * ENTRY_BYTES..][..ENTRY_BYTES];
        let (key, node) = entry.split_at(8);
        Ok((
            u64::from_le_bytes(key.try_into().expect("eight bytes")),
            u32::from_le_bytes(node.try_into().expect("four bytes")),
        ))
    }

    /// Tells the system that the run will be read from end to end, or look-up by look-up again.
    pub(super) fn advise(&self, advice: Advice) -> Result<(), Error> {
        self.map.advise(advice).map_err(|source| Error::io(&self.path, source))
    }

    /// First entry from `from` (inclusive) to `end` (exclusive) whose key is not below `key`.
    fn seek(&self, key: u64, mut from: u32, end: u32) -> Result<u32, Error> {
        let mut len = end.saturating_sub(from);
        while len > 0 {
            let half = len / 2;
            if self.entry(from + half)?.0 < key {
                from += half + 1;
                len -= half + 1;
            } else {
                len = half;
            }
        }
        Ok(from)
    }

    fn directory(&self, slot: usize) -> Result<u32, Error> {
        let block = self.block(1 + slot / SLOTS_PER_BLOCK)?;
        let at = slot % SLOTS_PER_BLOCK * 4;
        let begin = u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"));
        if begin > self.header.entries {
            return Err(Error::DamagedFile { path: self.path.clone(), what: "its directory points past its end" });
        }
        Ok(begin)
    }

    fn block(&self, number: usize) -> Result<&[u8], Error> {
        let block = &self.map[number * BLOCK_BYTES..(number + 1) * BLOCK_BYTES];
        let (word, bit) = (&self.verified[number / 64], 1 << (number % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            if !block::is_intact(block, self.header.salt(number)) {
                return Err(Error::DamagedBlock { path: self.path.clone(), block: number as u64 });
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(block)
    }
}
