//! Looking at a store's files without opening it: nothing is written, whatever is found.

use std::path::Path;

use crate::checkpoint;
use crate::dense::{DenseTable, unsound_blocks};
use crate::error::Error;
use crate::manifest::{FORMAT, Found, Manifest, Phase};
use crate::posting;
use crate::store::StoreKind;
use crate::view::{OpenError, POSTINGS_DIR};

/// What [`inspect`] found.
#[derive(Debug)]
pub struct Inspection {
    /// Which store it is.
    pub store: StoreKind,
    /// Version of the fold that wrote it.
    pub fold_version: u32,
    /// The log that it was folded from.
    pub log_id: [u8; 16],
    /// Batches that were known to be on disk when the manifest was written.
    pub held_batches: u64,
    /// Whether its files hold values of erased records, so that the next start folds it anew.
    pub purged: bool,
    /// Blocks of dense files and posting runs whose checksum matches.
    pub blocks: u64,
    /// Blocks that a checkpoint was broken off at: opening the store copies their images to their places again.
    pub to_repair: usize,
    /// What is wrong with dense files and posting runs.
    pub faults: Vec<Error>,
}

/// Reads manifest, dense files and posting runs of the store in `dir`; `None` when there is none. The tables in the key-value store are checked by
/// that store when it is opened, not here. No process may have the store open.
///
/// # Errors
/// [`OpenError::Damaged`], [`OpenError::OtherFormat`]: its manifest says nothing. [`OpenError::System`]: a folder cannot be read.
pub fn inspect(dir: &Path) -> Result<Option<Inspection>, OpenError> {
    let manifest = match Manifest::read(dir)? {
        Found::Nothing => return Ok(None),
        Found::Damaged => {
            return Err(OpenError::Damaged { dir: dir.to_owned(), what: "its manifest", source: None });
        }
        Found::OtherFormat(found) => {
            return Err(OpenError::OtherFormat { dir: dir.to_owned(), found, expected: FORMAT });
        }
        Found::Sound(manifest) => manifest,
    };
    let Manifest { store, phase, fold_version, log_id, held_batches } = manifest;
    let purged = phase == Phase::Purged;
    let mut found =
        Inspection { store, fold_version, log_id, held_batches, purged, blocks: 0, to_repair: 0, faults: Vec::new() };
    if phase == Phase::Ready {
        found.read(dir)?;
    }
    Ok(Some(found))
}

impl Inspection {
    fn read(&mut self, dir: &Path) -> Result<(), Error> {
        let pending = checkpoint::pending(dir)?;
        self.to_repair = pending.len();
        for table in DenseTable::ALL {
            let (blocks, mut unsound) = unsound_blocks(dir, table)?;
            unsound.retain(|block| !pending.contains(&(table.number(), *block)));
            self.blocks += blocks - unsound.len() as u64;
            let path = dir.join(table.file_name());
            self.faults.extend(unsound.into_iter().map(|block| Error::DamagedBlock { path: path.clone(), block }));
        }
        let (blocks, faults) = posting::inspect(&dir.join(POSTINGS_DIR))?;
        self.blocks += blocks;
        self.faults.extend(faults);
        Ok(())
    }
}
