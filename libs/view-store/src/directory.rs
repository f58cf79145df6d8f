//! What a directory holds, and making its names durable.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;

use crate::error::Error;

/// Puts the directory's names on disk: a rename or a new file is durable only after this.
pub(crate) fn sync_directory(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| Error::io(dir, source))
}

/// All names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Result<Vec<OsString>, Error> {
    let entries = fs::read_dir(dir).map_err(|source| Error::io(dir, source))?;
    let found = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = found.collect::<Result<_, _>>().map_err(|source| Error::io(dir, source))?;
    names.sort();
    Ok(names)
}
