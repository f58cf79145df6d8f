//! Why the fold stops, or a change is parked. It never skips: whatever it cannot apply is named; a change that nobody could
//! apply is parked with its record, and for everything else the process that owns the fold decides.

use record::{DecodeError, Position};

/// The error.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The view store failed.
    #[error("view store: {0}")]
    Store(#[from] view_store::Error),
    /// A row of the view store is missing or is not what its table says.
    #[error("view store: a {0} row is missing or damaged; rebuild the views from the log")]
    Row(&'static str),
    /// A row of the view store does not decode.
    #[error("view store: {0}; rebuild the views from the log")]
    Decode(#[from] DecodeError),
    /// A control entry that the view store keeps cannot be read.
    #[error("view store: a kept control entry: {0}; rebuild the views from the log")]
    Kept(record::entry::BodyError),
    /// A number space is used up.
    #[error("view store: no more {0} can be numbered; rebuild the views from the log")]
    Full(&'static str),
    /// The log failed.
    #[error("log: {0}")]
    Log(#[from] event_log::ReadError),
    /// An entry of the log does not decode.
    #[error("log entry {position}: {source}")]
    Entry {
        /// Where.
        position: Position,
        /// What is wrong.
        source: DecodeError,
    },
    /// An entry's body cannot be read.
    #[error("log entry {position}: {source}")]
    Body {
        /// Where.
        position: Position,
        /// What is wrong.
        source: record::entry::BodyError,
    },
    /// An entry's body is not what its header says.
    #[error("log entry {position}: the body does not have the hash that the header names")]
    Hash {
        /// Where.
        position: Position,
    },
    /// A change names no register.
    #[error("log entry {position}: a change without a register")]
    Register {
        /// Where.
        position: Position,
    },
    /// More records cannot be applied than the quarantine holds.
    #[error("log entry {position}: more than {max} records cannot be applied; find the reason: 'hub quarantine list'")]
    QuarantineFull {
        /// Where.
        position: Position,
        /// The bound.
        max: usize,
    },
    /// A change came before any linkage model.
    #[error("log entry {position}: a change before the first linkage model; the log's control stream is not complete")]
    NoModel {
        /// Where.
        position: Position,
    },
    /// The thread that reads ahead cannot be started, or has ended.
    #[error("the fold's reading thread: {0}")]
    Thread(std::io::Error),
    /// The order of changes for a bulk fold cannot be written or read.
    #[error("the order of changes for a bulk fold: {0}")]
    Order(std::io::Error),
    /// A bulk fold is under way in this store: nothing else can be folded into it.
    #[error("view store: a bulk fold is under way in it; go on with that, or rebuild the views from the log")]
    InBulk,
    /// Positions in the store do not decode.
    #[error("view store: the committed positions are damaged; rebuild the views from the log")]
    Positions,
}
