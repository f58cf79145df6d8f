//! The side that takes the copy.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{BLOCKS, CopyError, CopyHeader, END, ROWS, is_copied};
use crate::batch::{Batch, Durability};
use crate::block::{BLOCK_BYTES, Block};
use crate::dense::{DenseDisk, DenseTable};
use crate::manifest::{Manifest, Phase};
use crate::store::Store;
use crate::table::{KEY_BYTES_MAX, Table};
use crate::view::{Expect, LastCheckpoint, Options, begin_copy};

/// A store that a copy is written into. Until [`Incoming::finish`] its directory holds one whose creation was broken off, which is begun anew when
/// it is opened.
pub struct Incoming {
    dir: PathBuf,
    header: CopyHeader,
    manifest: Manifest,
    store: Store,
    disks: Vec<DenseDisk>,
    /// Blocks of each dense file.
    blocks: [u64; DenseTable::ALL.len()],
    rows: u64,
    ended: bool,
    _lock: File,
}

impl Incoming {
    /// Begins a store in `dir`, which is absent or empty, or holds what an earlier copy left there.
    ///
    /// # Errors
    ///
    /// The copy is of other views than `expect` names, or the directory cannot be used.
    pub fn begin(dir: &Path, options: &Options, expect: Expect, header: CopyHeader) -> Result<Self, CopyError> {
        if header.log_id != expect.log_id {
            return Err(CopyError::ForeignLog);
        }
        let (found, expected) = (header.committed.fold_version, expect.fold_version);
        if found != expected {
            return Err(CopyError::OtherFoldVersion { found, expected });
        }
        let (lock, manifest, store) = begin_copy(dir, options, &expect)?;
        let disks = DenseTable::ALL.map(|table| DenseDisk::open(dir, table, 0, 0));
        let disks = disks.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (disk, length) in disks.iter().zip(header.committed.lengths) {
            // So that a disk without room shows before anything is copied.
            disk.reserve(length)?;
        }
        let (dir, blocks) = (dir.to_owned(), [0; DenseTable::ALL.len()]);
        Ok(Self { dir, header, manifest, store, disks, blocks, rows: 0, ended: false, _lock: lock })
    }

    /// Rows that were taken.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes the next piece, in the order in which they are given.
    ///
    /// # Errors
    ///
    /// It is not the next piece of a copy, or the disk failed: the directory is to be discarded.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        if self.ended {
            return Err(CopyError::Malformed("it goes on behind its end"));
        }
        match piece.split_first() {
            Some((&ROWS, rest)) => self.take_rows(rest),
            Some((&BLOCKS, rest)) => self.take_blocks(rest),
            Some((&END, rest)) => self.take_end(rest),
            _ => Err(CopyError::Malformed("a piece is of no known kind")),
        }
    }

    fn take_rows(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        let malformed = CopyError::Malformed("rows that cannot be read");
        let Some((table, mut rest)) = piece.split_first() else { return Err(malformed) };
        let Some(table) = Table::of_number(*table).filter(|table| is_copied(*table)) else { return Err(malformed) };
        let mut batch = Batch::new();
        while !rest.is_empty() {
            let Some((key, value, after)) = row(rest) else { return Err(malformed) };
            batch.put(table, key, value);
            self.rows += 1;
            rest = after;
        }
        self.store.commit(batch, Durability::Buffered)?;
        Ok(())
    }

    fn take_blocks(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        let malformed = CopyError::Malformed("blocks that cannot be read");
        let Some((table, rest)) = piece.split_first() else { return Err(malformed) };
        let Some((from, images)) = rest.split_first_chunk::<8>() else { return Err(malformed) };
        let Some(table) = DenseTable::from_number(*table) else { return Err(malformed) };
        let place = usize::from(table.number()) - 1;
        let disk = &self.disks[place];
        let end = disk.blocks_of(self.header.committed.lengths[place]);
        let (images, rest) = images.as_chunks::<BLOCK_BYTES>();
        if u64::from_le_bytes(*from) != self.blocks[place] || !rest.is_empty() {
            return Err(CopyError::Malformed("blocks that do not follow those before"));
        }
        for image in images {
            let number = self.blocks[place];
            let image: &Block = image;
            if number >= end || !disk.is_sealed(number, image) {
                return Err(CopyError::Malformed("a block that is not sound in its place"));
            }
            disk.write_block(number, image)?;
            self.blocks[place] += 1;
        }
        Ok(())
    }

    fn take_end(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        let told: Option<[u8; 16]> = piece.try_into().ok();
        let told = told.ok_or(CopyError::Malformed("an end that cannot be read"))?;
        let counted = u128::from(self.rows) | u128::from(self.blocks.iter().sum::<u64>()) << 64;
        if u128::from_le_bytes(told) != counted {
            return Err(CopyError::NotWhole("rows or blocks are missing"));
        }
        let lengths = self.header.committed.lengths;
        let due = self.disks.iter().zip(lengths).map(|(disk, length)| disk.blocks_of(length));
        if due.ne(self.blocks) {
            return Err(CopyError::NotWhole("blocks are missing"));
        }
        self.ended = true;
        Ok(())
    }

    /// Puts the copy on disk and makes it a store, as if its last batch had been committed here.
    ///
    /// # Errors
    ///
    /// The copy is not whole, or the disk failed.
    pub fn finish(self) -> Result<(), CopyError> {
        if !self.ended {
            return Err(CopyError::NotWhole("its end is missing"));
        }
        self.disks.iter().try_for_each(DenseDisk::sync)?;
        let committed = &self.header.committed;
        let mut batch = Batch::new();
        committed.put(&mut batch);
        LastCheckpoint { batch: committed.batch, lengths: committed.lengths }.put(&mut batch);
        self.store.commit(batch, Durability::Synced)?;
        self.store.persist()?;
        let manifest = Manifest { phase: Phase::Ready, held_batches: committed.batch, ..self.manifest };
        Ok(manifest.write(&self.dir)?)
    }
}

/// The first row of a piece, and what follows it.
fn row(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_bytes, rest) = bytes.split_first_chunk::<2>()?;
    let (value_bytes, rest) = rest.split_first_chunk::<4>()?;
    let key_bytes = usize::from(u16::from_le_bytes(*key_bytes));
    let (key, rest) = rest.split_at_checked(key_bytes).filter(|_| key_bytes <= KEY_BYTES_MAX)?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_bytes) as usize)?;
    Some((key, value, rest))
}
