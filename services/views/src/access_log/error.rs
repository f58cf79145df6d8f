//! What can go wrong with accesses.

use std::path::PathBuf;
use std::sync::Arc;

use event_log::{AppendError, ReadError};
use record::DecodeError;
use record::entry::{BodyError, TooLarge};

/// Why the access log does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The index's folder cannot be made or emptied.
    #[error("cannot use the folder {} of the access index", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index cannot be built from the stream.
    #[error("the access index cannot be built from the log: {0}")]
    Index(#[from] AccessLogError),
    /// The thread that follows the stream cannot be started.
    #[error("the system gives no thread for the access index")]
    Thread(#[source] std::io::Error),
    /// Opening it ended in a panic.
    #[error("opening the access index ended in a panic")]
    Panicked,
}

/// Why an access was not recorded or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AccessLogError {
    /// The access log has been stopped.
    #[error("the access log has been stopped")]
    Stopped,
    /// The log did not take the entry.
    #[error("the access entry was not appended: {0}")]
    Append(#[from] AppendError),
    /// The entry is larger than the log takes.
    #[error("{0}")]
    TooLarge(#[from] TooLarge),
    /// No random bytes for the salt.
    #[error("the system gives no random bytes")]
    Random,
    /// The index failed.
    #[error("the access index failed: {0}")]
    Index(#[source] Arc<view_store::Error>),
    /// The log cannot be read.
    #[error("the access stream cannot be read: {0}")]
    Read(#[source] Arc<ReadError>),
    /// An entry of the stream does not decode.
    #[error("an access entry cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// An entry's body is not plain.
    #[error("an access entry cannot be decoded: {0}")]
    Body(#[from] BodyError),
    /// The index has not taken in what the log holds.
    #[error("the access index is behind the log: ask again in a moment")]
    Behind,
    /// A row of the index is not what this program wrote.
    #[error("a row of the access index is damaged: remove its folder, it is built again at the next start")]
    Row,
}

impl From<view_store::Error> for AccessLogError {
    fn from(error: view_store::Error) -> Self {
        Self::Index(Arc::new(error))
    }
}

impl From<ReadError> for AccessLogError {
    fn from(error: ReadError) -> Self {
        Self::Read(Arc::new(error))
    }
}
