//! A mark beside a store that cannot be trusted after a power loss: under which start of the machine it was last open.
//!
//! The mark is there while the store is open, and goes when it is closed in order. A process that is killed leaves what it wrote with the
//! system, so the store is sound as long as the machine goes on; once that has started again, nobody knows what came to the disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::directory::sync_directory;
use crate::error::Error;

/// The mark's name in the store's folder.
const MARK: &str = "open-since-boot";
/// Where Linux tells by a random name which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The mark of a store that is open.
pub(super) struct BootMark {
    path: PathBuf,
}

impl BootMark {
    /// Whether what the store in `dir` was given is all there: it was closed in order, or the machine has run ever since.
    pub(super) fn is_whole(dir: &Path) -> Result<bool, Error> {
        let path = dir.join(MARK);
        match fs::read(&path) {
            Ok(left) => Ok(boot().is_some_and(|now| now == left)),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(true),
            Err(source) => Err(Error::io(&path, source)),
        }
    }

    /// Puts the mark on the disk, before the store in `dir` is written to.
    pub(super) fn set(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(MARK);
        let write = || {
            fs::create_dir_all(dir)?;
            // Beside its place first: one that a full disk left empty would be taken for one of another start.
            let beside = path.with_extension("new");
            let mut file = File::create(&beside)?;
            file.write_all(&boot().unwrap_or_default())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|source| Error::io(&path, source))?;
        sync_directory(dir)?;
        Ok(Self { path })
    }

    /// Puts every file of the store on the disk, then takes the mark away. Where that fails the mark stays, and says so.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let dir = self.path.parent().expect("a file in a folder");
        sync_files(dir)?;
        fs::remove_file(&self.path).map_err(|source| Error::io(&self.path, source))?;
        sync_directory(dir)
    }
}

/// `None` where the system does not tell.
fn boot() -> Option<Vec<u8>> {
    fs::read(BOOT_ID).ok().filter(|id| !id.is_empty())
}

fn sync_files(dir: &Path) -> Result<(), Error> {
    let failed = |source| Error::io(dir, source);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            sync_files(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(|source| Error::io(&path, source))?;
        }
    }
    sync_directory(dir)
}
