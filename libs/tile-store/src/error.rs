//! What can go wrong with the ledger's files.

use std::io;
use std::path::{Path, PathBuf};

use record::{DecodeError, Position};

/// Why the ledger's files cannot be used or extended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no.
    #[error("{}: the ledger's file cannot be read or written; make room or mend the disk, then open it again", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file is not as it was written.
    #[error("{}: {what}; the ledger's files are damaged: build them again from the log in an empty folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A ledger is created in an empty folder only.
    #[error("{}: the folder is not empty; a ledger is created in an empty one", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// An earlier write failed.
    #[error("an earlier write failed: open the ledger again, it comes back at its last durable state")]
    Poisoned,
    /// There is no such partition.
    #[error("the ledger has no partition {0}: it was created for another log")]
    NoPartition(String),
    /// A tick asks for entries that were not appended.
    #[error("a tick at {end} entries of {tree}, of which {size} were appended: read the log further first")]
    Ahead {
        /// The partition.
        tree: String,
        /// Where the tick wants it.
        end: u64,
        /// What it has.
        size: u64,
    },
    /// A tick is not later than the last one, or behind it in a partition.
    #[error("the tick is not later than the last one, or behind it in a partition: leave such a cut out")]
    Backwards,
    /// An entry is not the partition's next: the follower left some out.
    #[error("entry {found} of {tree} was given, of which the ledger has {size}: read the log on from there")]
    Gap {
        /// The partition.
        tree: String,
        /// Index of the entry.
        found: u64,
        /// What the ledger has.
        size: u64,
    },
    /// A control entry cannot be read: the ledger would miss a cut.
    #[error("{position} cannot be read: use a program that knows its format")]
    Control {
        /// Its place.
        position: Position,
        /// Why.
        source: DecodeError,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), what }
    }
}
