//! Where a replay stands: what its output holds already, and the token to go on with.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::prove::write;
use crate::error::CommandError;

/// A replay's state file.
#[derive(Debug)]
pub(super) struct State {
    path: Option<PathBuf>,
    pub(super) kept: Kept,
}

/// What it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The token; empty at the beginning.
    pub(super) resume: String,
    /// Entries that were written.
    pub(super) entries: u64,
    /// Bytes of the output file that belong to them.
    pub(super) bytes: u64,
    /// Row groups of a Parquet file that are finished beside it.
    #[serde(default)]
    pub(super) groups: u64,
}

impl State {
    /// Reads the file; a missing one is the beginning. Without a path nothing is kept.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, CommandError> {
        let Some(path) = path else { return Ok(Self { path: None, kept: Kept::default() }) };
        let wrong = |what: String| {
            CommandError::usage(
                format!("{}: {what}", path.display()),
                "name the state of an earlier replay, or remove it to begin anew",
            )
        };
        let kept = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        Ok(Self { path: Some(path.to_owned()), kept })
    }

    /// Keeps what has been written out.
    pub(super) fn keep(&mut self, kept: Kept) -> Result<(), CommandError> {
        self.kept = kept;
        let Some(path) = &self.path else { return Ok(()) };
        write(path, &serde_json::to_vec(&self.kept).expect("a state has text keys only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_was_kept_is_found_again_and_another_file_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        let kept = Kept { resume: "abc".into(), entries: 7, bytes: 900, groups: 2 };
        State::open(Some(&path)).expect("a beginning").keep(kept.clone()).expect("writable");
        assert_eq!(State::open(Some(&path)).expect("it was kept").kept, kept);
        fs::write(&path, br#"{"resume":"abc","entries":7,"bytes":900}"#).expect("writable");
        assert_eq!(State::open(Some(&path)).expect("an earlier version's").kept, Kept { groups: 0, ..kept });
        fs::write(&path, b"{}").expect("writable");
        assert!(State::open(Some(&path)).is_err());
    }
}
