//! What can go wrong, one variant per fact that a caller could act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Index, Partition, Position, Stream};

use crate::types::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, ENTRY_BYTES_MAX};

/// Why entries were not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A write or flush failed, so that it is unknown what the disk holds: nothing is acknowledged until the log is reopened.
    #[error("the log in {} stopped after a failed write: restart to recover it", dir.display())]
    Poisoned {
        /// Folder of the sequence.
        dir: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// No space for another segment. Nothing was written; the same call succeeds once there is space.
    #[error("no space for another segment in {}: free some and try again", dir.display())]
    Full {
        /// Folder of the sequence.
        dir: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another segment could not be prepared for another reason than space. Nothing was written.
    #[error("cannot prepare another segment in {}", dir.display())]
    Segment {
        /// Folder of the sequence.
        dir: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// An entry is larger than [`ENTRY_BYTES_MAX`].
    #[error("entry of {bytes} bytes is larger than {ENTRY_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A call is larger than [`APPEND_BYTES_MAX`] or [`APPEND_ENTRIES_MAX`].
    #[error(
        "batch of {entries} entries and {bytes} bytes is larger than {APPEND_ENTRIES_MAX} entries or {APPEND_BYTES_MAX} bytes"
    )]
    BatchTooLarge {
        /// Entries in the call.
        entries: usize,
        /// Sum of their bytes.
        bytes: usize,
    },
    /// The stream has no such partition.
    #[error("stream {} has {count} partitions, none numbered {}", stream.name(), partition.0)]
    NoSuchPartition {
        /// The stream.
        stream: Stream,
        /// The partition asked for.
        partition: Partition,
        /// How many there are.
        count: u16,
    },
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// Kafka did not acknowledge within the time. Each entry of the call may be in the log or not: appending it again is safe as far as whoever
    /// folds the log takes it for a duplicate.
    #[error(
        "Kafka did not acknowledge an entry of {topic} within {waited_ms} ms ({detail}): it may be in the log; try again"
    )]
    Unanswered {
        /// The topic.
        topic: String,
        /// Longest wait, in milliseconds.
        waited_ms: u64,
        /// What the client says.
        detail: String,
    },
    /// Too much waits to be acknowledged by Kafka. Nothing was written; try again.
    #[error("Kafka is slow: there was no room for more entries within {waited_ms} ms; try again")]
    NoRoom {
        /// How long it was waited, in milliseconds.
        waited_ms: u64,
    },
    /// Kafka refuses the entry, and will again. Others of the call may be in the log.
    #[error(
        "Kafka refuses an entry of {topic}: {detail}; check the topic and this hub's rights with 'hub kafka check'"
    )]
    Refused {
        /// The topic.
        topic: String,
        /// What the broker says.
        detail: String,
    },
    /// Acknowledged entries are gone from Kafka: nothing is written over what is left.
    #[error("{}", lost(place, *known, *found))]
    Lost {
        /// Topic and partition.
        place: String,
        /// Its end as it was known.
        known: Index,
        /// Its end as it is now; `None` when it is not there.
        found: Option<Index>,
    },
}

fn lost(place: &str, known: Index, found: Option<Index>) -> String {
    let now = found.map_or("is gone".to_owned(), |found| format!("now ends at {}", found.0));
    format!(
        "acknowledged entries are gone from Kafka: {place} ended at {} and {now}; it was deleted, truncated or made anew: stop the hub and restore the topics",
        known.0
    )
}

/// What is wrong with a stretch of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Checksum of a frame.
    Checksum,
    /// The head of a frame cannot be one.
    FrameHead,
    /// The file ends inside a frame.
    Truncated,
    /// Zeros where a frame must be.
    Hole,
    /// A partition that this log does not have.
    UnknownPartition,
    /// A group commit is missing, doubled, or of another number of entries.
    Group,
    /// An append time before the one that precedes it.
    TimeBackwards,
    /// The head of the segment file.
    SegmentHead,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "checksum does not match",
            Self::FrameHead => "not a frame",
            Self::Truncated => "the file ends inside a frame",
            Self::Hole => "zeros where a frame must be",
            Self::UnknownPartition => "a partition that this log does not have",
            Self::Group => "a group commit is missing or incomplete",
            Self::TimeBackwards => "an append time goes back",
            Self::SegmentHead => "the segment's head is damaged",
        })
    }
}

/// Damage that a reader met: what was acknowledged cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: damaged at offset {offset}{}: {flaw}; restore the file from a copy", file.display(), named(position))]
pub struct Damage {
    /// The segment file.
    pub file: PathBuf,
    /// Offset of the frame in bytes.
    pub offset: u64,
    /// The entry, as far as its head can be trusted.
    pub position: Option<Position>,
    /// What is wrong.
    pub flaw: Flaw,
}

fn named(position: &Option<Position>) -> String {
    position.map(|p| format!(" (entry {p})")).unwrap_or_default()
}

/// Why entries could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// What stands in the log is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// An index does not follow its predecessor.
    #[error("{}: offset {offset}: entry {expected} is missing, index {} follows", file.display(), found.0)]
    Gap {
        /// The entry that must come next.
        expected: Position,
        /// The index found.
        found: Index,
        /// The segment file; on Kafka topic and partition.
        file: PathBuf,
        /// Offset in bytes; on Kafka of the entry that was found.
        offset: u64,
    },
    /// The entry is older than what retention kept.
    #[error("entry {wanted} is no longer kept; the first one is {}", first.0)]
    Expired {
        /// The entry asked for.
        wanted: Position,
        /// The first index that is kept.
        first: Index,
    },
    /// The position is after the durable end: it comes from another log, or this one lost its tail.
    #[error("position {wanted} is after the end of this log, {}", end.0)]
    BeyondEnd {
        /// The position asked for.
        wanted: Position,
        /// The durable end (exclusive).
        end: Index,
    },
    /// No entry at that locator.
    #[error("no entry at locator {locator:#x}")]
    NotFound {
        /// The locator's number.
        locator: u64,
    },
    /// The stream has no such partition.
    #[error("stream {} has no partition {}", stream.name(), partition.0)]
    NoSuchPartition {
        /// The stream.
        stream: Stream,
        /// The partition asked for.
        partition: Partition,
    },
    /// Kafka did not give an entry that is known to be there.
    #[error(
        "Kafka did not give entry {wanted} ({topic}) within {waited_ms} ms ({detail}); bring its brokers back and try again"
    )]
    Unanswered {
        /// The topic.
        topic: String,
        /// The entry.
        wanted: Position,
        /// Longest wait, in milliseconds.
        waited_ms: u64,
        /// What the client says.
        detail: String,
    },
    /// Acknowledged entries are gone from Kafka.
    #[error("{}", lost(place, *known, *found))]
    Lost {
        /// Topic and partition.
        place: String,
        /// Its end as it was known.
        known: Index,
        /// Its end as it is now; `None` when it is not there.
        found: Option<Index>,
    },
    /// The client of Kafka cannot work, or is not let in.
    #[error("the Kafka client cannot read: {detail}; check configuration and rights with 'hub kafka check'")]
    Client {
        /// What it says.
        detail: String,
    },
    /// The system could not read a file.
    #[error("cannot read {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl ReadError {
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source: Arc::new(source) }
    }
}

/// Why a log could not be created or opened. Nothing was changed, except that an unfinished group may have been cut.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the log open.
    #[error("{} is in use by {holder}", dir.display())]
    Locked {
        /// The log's folder.
        dir: PathBuf,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The folder to create a log in already has something in it.
    #[error("{} is not empty and no log can be created there", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder is not a log.
    #[error("{} is not an event log: {missing} is missing", dir.display())]
    NotALog {
        /// The folder.
        dir: PathBuf,
        /// What a log would have.
        missing: &'static str,
    },
    /// A file is not of this format.
    #[error("{} is not a file of an event log", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// A file belongs to another log.
    #[error("{} belongs to another log", file.display())]
    OtherLog {
        /// The file.
        file: PathBuf,
    },
    /// A file has another format version.
    #[error("{} has format version {found}; this program reads {known}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// The file that describes the log is damaged.
    #[error("{} is damaged: restore it from a copy", file.display())]
    ManifestDamaged {
        /// The file.
        file: PathBuf,
    },
    /// A segment file is missing.
    #[error("{} is missing: restore it from a copy", file.display())]
    MissingSegment {
        /// The file.
        file: PathBuf,
    },
    /// The newest segment is damaged in a way that is no torn tail.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An option is outside its range.
    #[error("{what} is outside its range")]
    Options {
        /// Which one.
        what: &'static str,
    },
    /// No broker answers.
    #[error(
        "Kafka at {bootstrap} does not answer: {detail}; check that it runs, and the addresses, TLS and SASL of the configuration"
    )]
    Unreachable {
        /// The brokers that were asked.
        bootstrap: String,
        /// What the client says.
        detail: String,
    },
    /// A topic is not there.
    #[error("topic {topic} is not there; make the topics of a new log with 'hub kafka init'")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// A topic is not as an event log needs it.
    #[error("topic {topic}: {setting} is '{found}' and must be {wanted}; change it with your Kafka's tools")]
    Topic {
        /// The topic.
        topic: String,
        /// What of it.
        setting: String,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// The client of Kafka cannot be used.
    #[error("the Kafka client: {detail}")]
    Client {
        /// What it says.
        detail: String,
    },
    /// No space to create the log.
    #[error("no space in {}", dir.display())]
    Full {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot open {}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl From<Damage> for OpenError {
    fn from(damage: Damage) -> Self {
        Self::Read(damage.into())
    }
}

/// Why entries that are too old could not be dropped.
#[derive(Debug, thiserror::Error)]
#[error("cannot drop {}", file.display())]
pub struct RetainError {
    /// The file.
    pub file: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Whether the system said that there is no more space (or quota, or file size).
pub(crate) fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|e| matches!(e, Errno::NOSPC | Errno::DQUOT | Errno::FBIG))
}
