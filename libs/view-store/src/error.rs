//! What can go wrong while a view store runs; what can go wrong while it opens is [`crate::OpenError`].

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreKind;

/// A failed operation of an open view store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk has no room left. Nothing of the batch is applied; make room, then open the store again.
    #[error("no space left for {}", .path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
        /// The system's own word.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot read or write {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own word.
        source: io::Error,
    },
    /// A block of a derived file does not match its checksum. Discard the store and rebuild it from the log.
    #[error("block {block} of {} is damaged: its checksum does not match", .path.display())]
    DamagedBlock {
        /// The file.
        path: PathBuf,
        /// Number of the 4 KiB block, from 0.
        block: u64,
    },
    /// A derived file does not have the shape that its header or the store promises.
    #[error("{} is damaged: {what}", .path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A row that this crate wrote into the store cannot be decoded.
    #[error("the store's own row `{row}` is damaged")]
    DamagedRow {
        /// Name of the row.
        row: &'static str,
    },
    /// The key-value store itself failed.
    #[error("the {kind} store failed")]
    Store {
        /// Which store.
        kind: StoreKind,
        /// The store's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The machine went down while the store was open, and this kind flushes no disk. Discard the store and rebuild it from the log.
    #[error("the machine has started again while the {kind} store in {} was open", .path.display())]
    Unflushed {
        /// The store's folder.
        path: PathBuf,
        /// Which store.
        kind: StoreKind,
    },
    /// A row number past the end of a dense file.
    #[error("row {number} does not exist in {}: it holds {len} rows", .path.display())]
    NoSuchRow {
        /// The file.
        path: PathBuf,
        /// The row asked for.
        number: u32,
        /// Number of rows that the file holds.
        len: u32,
    },
    /// A dense file holds all the rows that a 32-bit number can name.
    #[error("{} holds as many rows as a 32-bit number can name", .path.display())]
    TooManyRows {
        /// The file.
        path: PathBuf,
    },
    /// The read view is so old that the store no longer keeps what it would need. Take a new one.
    #[error("the read view is too old; take a new one")]
    SnapshotExpired,
    /// The posting index lacks postings of committed nodes: they must be restored before a batch begins.
    #[error("the posting index covers {covered} of {nodes} nodes; restore the rest before the first batch")]
    PostingsNotRestored {
        /// Nodes whose postings are present: all below this number.
        covered: u32,
        /// Committed nodes.
        nodes: u32,
    },
    /// The thread that flushes or merges postings panicked.
    #[error("a thread that writes postings ended by a panic")]
    WorkerPanicked,
    /// No store serves: it is being opened again. Ask again in a moment.
    #[error("the store is being opened again; ask again in a moment")]
    Closed,
    /// An earlier commit failed; what is in memory may no longer match the disk. Open the store again.
    #[error("an earlier write failed; the store must be opened again")]
    Poisoned,
}

impl Error {
    /// Whether the disk, not what is kept on it, is at fault, as far as the system tells: opening the store again may mend it.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Store { .. }
            | Self::SnapshotExpired
            | Self::WorkerPanicked
            | Self::Closed
            | Self::Poisoned => true,
            Self::DamagedBlock { .. }
            | Self::DamagedFile { .. }
            | Self::DamagedRow { .. }
            | Self::Unflushed { .. }
            | Self::NoSuchRow { .. }
            | Self::TooManyRows { .. }
            | Self::PostingsNotRestored { .. } => false,
        }
    }

    /// Classifies a system error on a file.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn store(kind: StoreKind, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Store { kind, source: Box::new(source) }
    }
}
