//! Files that hold secrets: read with their permissions checked, replaced as a whole, overwritten when they are done with.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;

pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { verb, path: path.to_owned(), source }
}

/// Makes a folder that only its owner can look into, with those above it that are missing, so that a power loss takes none of them
/// from what is written into it later.
///
/// # Errors
/// A folder cannot be made, or the one that names it cannot be synced.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|above| !above.exists() && is_named(above)).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    missing.into_iter().try_for_each(sync_name)
}

fn is_named(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Syncs the folder that names `path`.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| is_named(above)).unwrap_or(Path::new("."));
    File::open(above)?.sync_all()
}

/// The whole file; `None` when it is not there.
///
/// # Errors
/// [`Error::Open`] when others than its owner may read it.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", path)(error)),
    };
    let meta = file.metadata().map_err(io("read", path))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1));
    file.read_to_end(&mut bytes).map_err(io("read", path))?;
    Ok(Some(bytes))
}

/// Puts a new content in place of the old one, and overwrites the old one where the file system keeps places.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let old = match OpenOptions::new().write(true).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io("write", path)(error)),
    };
    write_new(&beside, bytes)?;
    put_in_place(&beside, path)?;
    match old {
        None => Ok(()),
        Some(file) => overwrite(file).map_err(io("overwrite the former content of", path)),
    }
}

/// Writes a file that only its owner can read, and syncs it.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io("write", path))
}

/// Gives a written file its name.
pub(crate) fn put_in_place(written: &Path, path: &Path) -> Result<(), Error> {
    fs::rename(written, path).map_err(io("write", path))?;
    sync_name(path).map_err(io("sync the folder of", path))
}

/// Overwrites a file and removes it.
pub(crate) fn shred(path: &Path) -> Result<(), Error> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => overwrite(file).map_err(io("overwrite", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("overwrite", path)(error)),
    }
    fs::remove_file(path).map_err(io("remove", path))?;
    sync_name(path).map_err(io("sync the folder of", path))
}

fn overwrite(mut file: File) -> io::Result<()> {
    let mut left = file.metadata()?.len();
    file.rewind()?;
    let zeros = [0; 4096];
    while left > 0 {
        let n = left.min(zeros.len() as u64);
        file.write_all(&zeros[..n as usize])?;
        left -= n;
    }
    file.sync_all()
}
