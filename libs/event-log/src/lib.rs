//! The ordered, durable, append-only log that everything in the hub is folded from.
//!
//! Streams are divided into partitions; an entry's place is its stream, partition and index, and indexes have no gaps. An append is
//! acknowledged when it is durable. Readers see durable entries only and check that each index follows its predecessor; whatever is torn,
//! missing or damaged is a typed value, never skipped.
//!
//! [`EventLog`] is the surface: [`Embedded`] keeps the log in the files of one folder, [`Kafka`] in topics of a cluster. Embedded, `change`,
//! `control` and `rejected` share one physical sequence, hence one flush; `access` has its own, with its own retention.
//!
//! Invariants of the embedded log:
//! - a group (the calls that one flush made durable) is in the log wholly or not at all, hence so is every call, per sequence;
//! - a group is written only after the one before it was flushed; after a failed write or flush nothing is acknowledged any more;
//! - append times never go back within a sequence;
//! - what was acknowledged is never cut: opening cuts only a group that is provably unfinished, and reports it;
//! - memory is bounded by [`Tuning`], whatever the size of the log, but for some hundred bytes per segment file.
//!
//! Signing: an append's entries are one group's, so that a caller who wants one signature for many changes gathers them into one call while
//! the last call is under way, and signs when it returns. The log itself signs nothing.
//!
//! Deliberately absent: what an entry means (crate `record`), receipts and trees (crate `ledger`), deletion of single entries.

mod copy;
mod embedded;
mod error;
mod files;
mod frame;
mod index;
mod inspect;
#[cfg(feature = "kafka")]
mod kafka;
mod manifest;
mod options;
mod reader;
mod recover;
mod segment;
mod track;
mod types;
mod walk;
mod writer;

use std::time::Duration;

use record::{Index, Partition, Position, Positions, Stream, Timestamp};

pub use copy::{CopyError, Copying, copy};
pub use embedded::Embedded;
pub use error::{AppendError, Damage, Flaw, OpenError, ReadError, RetainError};
pub use inspect::{Inspection, describe, inspect};
#[cfg(feature = "kafka")]
pub use kafka::{
    Compression, Kafka, KafkaOptions, KafkaReader, KafkaSasl, KafkaTls, LocalBodies, TopicPlan,
    bare_rate as kafka_bare_rate, brokers as kafka_brokers, init as init_kafka, inspect as inspect_kafka,
    remove as remove_kafka,
};
pub use options::{Clock, LogOptions, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Tuning};
pub use reader::EmbeddedReader;
pub use types::{
    APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Append, Appended, ENTRY_BYTES_MAX, Locator, Logged, PartitionCounts,
    ReadBatch, Recovered, Stall, StreamSet,
};

/// A log. Cheap to clone; all clones are one log.
#[derive(Debug, Clone)]
pub enum EventLog {
    /// In the files of one folder, for one process.
    Embedded(Embedded),
    /// In the topics of an Apache Kafka cluster, for many processes.
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
}

impl From<Embedded> for EventLog {
    fn from(log: Embedded) -> Self {
        Self::Embedded(log)
    }
}

#[cfg(feature = "kafka")]
impl From<Kafka> for EventLog {
    fn from(log: Kafka) -> Self {
        Self::Kafka(log)
    }
}

impl EventLog {
    /// Which kind of log it is, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => "kafka",
        }
    }

    /// What names the log. Embedded: drawn when it was created. Kafka: a hash of its first control entry, hence the same for a copy on other brokers;
    /// `None` while there is no such entry.
    ///
    /// # Errors
    /// [`ReadError`]: brokers do not give that entry.
    pub fn log_id(&self) -> Result<Option<[u8; 16]>, ReadError> {
        match self {
            Self::Embedded(log) => Ok(Some(log.log_id())),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.log_id(),
        }
    }

    /// What keeps the log from going on, if anything: on Kafka brokers that do not answer or an entry that does not come. The embedded log waits
    /// for nobody but the disk, and says by its errors what is wrong.
    pub fn stalled(&self) -> Option<Stall> {
        match self {
            Self::Embedded(_) => None,
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.stalled(),
        }
    }

    /// Appends entries, in order, and returns when they are durable, one result per entry in the same order.
    ///
    /// Embedded: all or nothing per sequence (`access` against the rest), also across a crash. Kafka: per entry, in order within a partition; the
    /// call fails when any does, and then each may be in the log. Waits for room when too much is queued. A call that is dropped while
    /// it waits, or fails other than by an error that says nothing was written, may have been appended.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, batch: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        match self {
            Self::Embedded(log) => log.append(batch).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.append(batch).await,
        }
    }

    /// Begins an append: [`Appending::landed`] tells what became of it. On Kafka the entries are on their way when this returns, behind those of
    /// every append that was begun before, so that many can be under way and each partition still has them in the order of their beginnings.
    /// The embedded log gathers what is appended at the same time by itself: there all of it happens in [`Appending::landed`].
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written.
    pub async fn begin_append(&self, batch: Vec<Append>) -> Result<Appending, AppendError> {
        match self {
            Self::Embedded(log) => Ok(Appending::Embedded(log.clone(), batch)),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.enqueue(batch, None).await.map(Appending::Kafka),
        }
    }

    /// How many partitions each stream has.
    pub fn partitions(&self) -> PartitionCounts {
        match self {
            Self::Embedded(log) => log.partitions(),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.partitions(),
        }
    }

    /// The durable end of every partition (exclusive).
    pub fn ends(&self) -> Positions {
        match self {
            Self::Embedded(log) => log.ends(),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.ends(),
        }
    }

    /// The first index of every partition that retention has kept.
    pub fn first(&self) -> Positions {
        match self {
            Self::Embedded(log) => log.first(),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.first(),
        }
    }

    /// The entry at a locator that this log gave out, with its checksum checked. Blocks on the disk; takes no lock while it reads.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] when no durable entry is there, [`ReadError::Damaged`], [`ReadError::Io`].
    pub fn read(&self, locator: Locator) -> Result<Logged, ReadError> {
        match self {
            Self::Embedded(log) => log.read(locator),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.read(locator),
        }
    }

    /// The entry at a position. Blocks on the disk, longer than [`EventLog::read`].
    ///
    /// # Errors
    /// [`ReadError::BeyondEnd`], [`ReadError::Expired`], and as [`EventLog::read`].
    pub fn read_position(&self, position: Position) -> Result<Logged, ReadError> {
        match self {
            Self::Embedded(log) => log.read_position(position),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.read_position(position),
        }
    }

    /// The first index of a partition whose entry was appended at or after `at`; the end when there is none. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn find_time(&self, stream: Stream, partition: Partition, at: Timestamp) -> Result<Index, ReadError> {
        match self {
            Self::Embedded(log) => log.find_time(stream, partition, at),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.find_time(stream, partition, at),
        }
    }

    /// Reads the given streams from the given positions on, each partition in order. Streams outside the set are not looked at in `from`.
    ///
    /// # Errors
    /// [`ReadError::BeyondEnd`] when this log ends before a position; [`ReadError::Expired`] when it begins after one.
    pub fn reader(&self, from: &Positions, streams: StreamSet) -> Result<Reader, ReadError> {
        match self {
            Self::Embedded(log) => log.reader(from, streams).map(Reader::Embedded),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.reader(from, streams).map(Reader::Kafka),
        }
    }

    /// On Kafka: reads the changes before `until` that are not in the local files into them, as far as their bound and the disk leave room: a body that is asked for
    /// then costs no question to a broker. Nothing to do is found out from the local files alone. Returns how many
    /// entries were read. An embedded log is all local.
    ///
    /// `go_on` is called after each batch, with the entries so far and the time that the last ones took; `false` ends it.
    ///
    /// # Errors
    /// [`ReadError`]; brokers that do not answer are waited for.
    pub fn fill_local(&self, until: &Positions, go_on: impl FnMut(u64, Duration) -> bool) -> Result<u64, ReadError> {
        match self {
            Self::Embedded(_) => Ok(0),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.fill_local(until, go_on),
        }
    }

    /// Waits until some partition of these streams ends after `seen`; `false` when the log was closed instead.
    pub async fn wait_beyond(&self, seen: &Positions, streams: StreamSet) -> bool {
        match self {
            Self::Embedded(log) => log.wait_beyond(seen, streams).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.wait_beyond(seen, streams).await,
        }
    }

    /// Lets go of `access` entries that were appended before a time, as far as whole segments hold nothing else. Returns how many went.
    ///
    /// # Errors
    /// [`RetainError`]; the segments before it are gone.
    pub fn retain_access(&self, before: Timestamp) -> Result<u32, RetainError> {
        match self {
            Self::Embedded(log) => log.retain_access(before),
            // The brokers let go by the retention of the topic.
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => Ok(0),
        }
    }

    /// Lets go of the oldest `access` segments until at most `bytes_max` remain. Returns how many went.
    ///
    /// # Errors
    /// As [`EventLog::retain_access`].
    pub fn retain_access_bytes(&self, bytes_max: u64) -> Result<u32, RetainError> {
        match self {
            Self::Embedded(log) => log.retain_access_bytes(bytes_max),
            // The brokers let go by the retention of the topic.
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => Ok(0),
        }
    }

    /// Writes what is queued and takes nothing more. Reading goes on; the folder stays in use until the last clone and reader are dropped.
    pub async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.close().await,
        }
    }
}

/// An append that was begun.
#[derive(Debug)]
pub enum Appending {
    /// To the embedded log.
    Embedded(Embedded, Vec<Append>),
    /// To the log on Kafka.
    #[cfg(feature = "kafka")]
    Kafka(kafka::Queued),
}

impl Appending {
    /// Waits until the entries are durable: one result per entry, in order.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub async fn landed(self) -> Result<Vec<Appended>, AppendError> {
        match self {
            Self::Embedded(log, batch) => log.append(batch).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(queued) => queued.landed().await,
        }
    }
}

/// Reads entries in order, on a thread of its own: its methods block on the disk or the network.
#[derive(Debug)]
pub enum Reader {
    /// Of the embedded log.
    Embedded(EmbeddedReader),
    /// Of the log on Kafka.
    #[cfg(feature = "kafka")]
    Kafka(KafkaReader),
}

impl Reader {
    /// The next entries, at most `max_entries` and, unless a single one is larger, at most `max_bytes` of payload. Does not wait: empty at the
    /// durable end.
    ///
    /// # Errors
    /// [`ReadError`]. The reader stays before what it could not read: the same error comes again.
    pub fn next_batch(&mut self, max_entries: usize, max_bytes: usize) -> Result<ReadBatch, ReadError> {
        match self {
            Self::Embedded(reader) => reader.next_batch(max_entries, max_bytes),
            #[cfg(feature = "kafka")]
            Self::Kafka(reader) => reader.next_batch(max_entries, max_bytes),
        }
    }

    /// Blocks until there may be more to read, at most `timeout`. Says whether there may be.
    pub fn wait(&self, timeout: Duration) -> bool {
        match self {
            Self::Embedded(reader) => reader.wait(timeout),
            #[cfg(feature = "kafka")]
            Self::Kafka(reader) => reader.wait(timeout),
        }
    }

    /// The positions after what was given out, to resume from.
    pub fn positions(&self) -> &Positions {
        match self {
            Self::Embedded(reader) => reader.positions(),
            #[cfg(feature = "kafka")]
            Self::Kafka(reader) => reader.positions(),
        }
    }
}
