//! C2SP checkpoints (<https://c2sp.org/tlog-checkpoint>): the text that a log signs about its tree.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::note::{NoteError, VerifierKey};
use crate::tree::{EMPTY_ROOT, Hash};

/// What a log says of its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: one line, not empty.
    pub origin: String,
    /// Leaves of the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Further lines, none of them empty. The hub writes none.
    pub extensions: Vec<String>,
}

/// Why a checkpoint cannot be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note or its signature is not good.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text has another form.
    #[error("not a checkpoint: expected origin, size in decimal and base64 root, each on a line")]
    Form,
    /// The checkpoint is another log's.
    #[error("the checkpoint is of a log with another origin")]
    Origin,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self { origin: origin.into(), size, root, extensions: Vec::new() }
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let extensions: String = self.extensions.iter().map(|line| format!("{line}\n")).collect();
        format!("{}\n{}\n{}\n{extensions}", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Parses the text of a checkpoint; one value has one spelling.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        Self::read(text).filter(|read| read.is_sound() && read.to_text() == text).ok_or(CheckpointError::Form)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next()?.to_owned();
        // What cannot be read is of another form, whatever the reason.
        let size = lines.next()?.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        Some(Self { origin, size, root, extensions: lines.map(str::to_owned).collect() })
    }

    fn is_sound(&self) -> bool {
        let lines = || self.extensions.iter().chain([&self.origin]);
        lines().all(|line| !line.is_empty() && !line.contains(char::is_control))
            && (self.size > 0 || self.root == EMPTY_ROOT)
    }

    /// Checks the signature of `key`, and that the checkpoint is of the log `origin`.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &str, key: &VerifierKey, origin: &str) -> Result<Self, CheckpointError> {
        let found = Self::parse(key.open(note)?)?;
        if found.origin == origin { Ok(found) } else { Err(CheckpointError::Origin) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let good = Checkpoint { extensions: vec!["x y".into()], ..Checkpoint::new("hub.test/log", 10, [7; 32]) };
        let text = good.to_text();
        assert_eq!(Checkpoint::parse(&text), Ok(good));
        for bad in [
            text.replace("10\n", "010\n"),
            text.replace("10\n", "+10\n"),
            text.replace("10\n", "\n"),
            text.replace("10\n", "99999999999999999999\n"),
            text.replace("hub.test/log", ""),
            text.replace("x y", ""),
            text.replace("=\n", "\n"),
            text.trim_end().to_owned(),
            text.replace("10\n", "0\n"),
            String::new(),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Form), "{bad:?}");
        }
        assert!(Checkpoint::parse(&Checkpoint::new("o", 0, EMPTY_ROOT).to_text()).is_ok());
    }
}
