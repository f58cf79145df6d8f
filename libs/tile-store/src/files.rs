//! Writing files so that a crash leaves the old or the new.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::io(path, source))
}

/// Writes a file anew; its folder is made when it is absent. Not durable until [`Dirty::sync_all`].
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    match fs::write(path, bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().expect("a file stands in a folder");
            fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
            fs::write(path, bytes).map_err(|source| Error::io(path, source))
        }
        other => other.map_err(|source| Error::io(path, source)),
    }
}

/// Replaces a file at once: whoever reads meanwhile sees the old or the new. Not durable until [`Dirty::sync_all`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let new = beside(path);
    write(&new, bytes)?;
    fs::rename(&new, path).map_err(|source| Error::io(path, source))
}

/// Replaces a file at once and durably.
pub(crate) fn replace_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (new, folder) = (beside(path), path.parent().expect("a file stands in a folder"));
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| Error::io(&new, source))?;
    fs::rename(&new, path).map_err(|source| Error::io(path, source))?;
    sync(folder)
}

/// Files written and not yet made durable: their names, while they are few.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    files: BTreeSet<PathBuf>,
    /// Too many to name them.
    many: bool,
}

impl Dirty {
    /// Most names that are kept.
    const MAX: usize = 64;

    /// Notes a file that was written.
    pub(crate) fn add(&mut self, path: PathBuf) {
        if self.files.len() < Self::MAX {
            self.files.insert(path);
        } else {
            self.many = true;
        }
    }

    /// Makes durable what was written below `dir`: file by file while they are few, which waits for nobody else's data;
    /// else the whole file system at once.
    pub(crate) fn sync_all<'a>(dir: &Path, of: impl Iterator<Item = &'a mut Self>) -> Result<(), Error> {
        let all: Vec<_> = of.map(std::mem::take).collect();
        if all.iter().any(|dirty| dirty.many) {
            let folder = File::open(dir).map_err(|source| Error::io(dir, source))?;
            return rustix::fs::syncfs(&folder).map_err(|errno| Error::io(dir, errno.into()));
        }
        let files: BTreeSet<_> = all.into_iter().flat_map(|dirty| dirty.files).collect();
        let above =
            |path: &PathBuf| path.ancestors().skip(1).take_while(|p| p.starts_with(dir)).map(Path::to_owned).collect();
        let folders: BTreeSet<PathBuf> = files.iter().flat_map(|path| -> Vec<_> { above(path) }).collect();
        files.iter().chain(&folders).try_for_each(|path| sync(path))
    }
}

/// Waits until a file, or the names in a folder, are on the disk.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| Error::io(path, source))
}

/// Removes a file or a folder with everything in it; nothing is wrong when it is not there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

/// The names in a folder; none when it is absent. Names that are no UTF-8 are not ours and left out.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let at_dir = |source| Error::io(dir, source);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at_dir(error)),
    };
    let mut out = Vec::new();
    for entry in entries {
        out.extend(entry.map_err(at_dir)?.file_name().into_string());
    }
    Ok(out)
}

/// The draft of a file that is to be replaced.
pub(crate) fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}
