//! How far an input was acknowledged, in a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::CommandError;

/// The last line up to which every line was answered. Written beside its place and moved there, so that a crash leaves the old or the new.
pub struct Resume {
    path: PathBuf,
}

impl Resume {
    /// Opens the file and tells the last acknowledged line; 0 when there is no file yet.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(path: &Path) -> Result<(Self, u64), CommandError> {
        let line = match fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                CommandError::usage(
                    format!("{} holds no line number", path.display()),
                    "name another file with --resume, or remove this one to begin anew",
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                return Err(CommandError::usage(
                    format!("cannot read {}: {error}", path.display()),
                    "name another file with --resume",
                ));
            }
        };
        Ok((Self { path: path.to_owned() }, line))
    }

    /// Remembers that every line up to this one was answered.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn reached(&self, line: u64) -> Result<(), CommandError> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        fs::write(&beside, format!("{line}\n")).and_then(|()| fs::rename(&beside, &self.path)).map_err(|error| {
            CommandError::failed(
                format!("cannot write {}: {error}", self.path.display()),
                "name another file with --resume; repeating is safe",
            )
        })
    }
}
