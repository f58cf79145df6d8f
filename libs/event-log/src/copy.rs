//! Moving a log to another kind of log: the same bytes at the same positions with the same append times.
//!
//! A copy that was broken off goes on where it ended. What is in the target already is compared by each partition's last entry.

use std::collections::VecDeque;

use record::{Index, Partition, Position, Positions, Stream, Timestamp};

use crate::error::{AppendError, ReadError};
use crate::types::{APPEND_BYTES_MAX, Append, Appended, Logged, PartitionCounts, StreamSet};
use crate::{EventLog, embedded};

/// Entries of one read.
const ENTRIES: usize = 16_384;
/// Appends on their way at the same time.
const AHEAD: usize = 64;

/// Why a log was not copied wholly. What was copied stays, and another copy goes on after it.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The logs differ in shape.
    #[error("the source has {from:?} partitions and the target {to:?}: make a target with the same numbers")]
    Partitions {
        /// Of the source.
        from: PartitionCounts,
        /// Of the target.
        to: PartitionCounts,
    },
    /// Retention has taken entries from the source, so that positions would not stay what they are.
    #[error("the source begins at index {} of {}/{}: what retention has let go of cannot be copied, and positions must stay", first.0, stream.name(), partition.0)]
    Expired {
        /// The stream.
        stream: Stream,
        /// The partition.
        partition: Partition,
        /// The first index that is there.
        first: Index,
    },
    /// The target has entries that the source has not.
    #[error(
        "the target has other entries than the source, at {position}: copy into an empty log, or into one that a copy of this source began"
    )]
    Foreign {
        /// An entry of the target that differs, or that the source does not have.
        position: Position,
    },
    /// An entry did not land where it stands in the source: somebody else appends to the target.
    #[error("entry {expected} of the source landed at {found}: nobody else may append to the target")]
    Displaced {
        /// Where it stands in the source.
        expected: Position,
        /// Where it landed.
        found: Position,
    },
    /// The source or target cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target does not take an entry.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copying {
    /// Entries that are in the target.
    pub copied: u64,
    /// Entries that the source had when the copy began.
    pub total: u64,
}

/// Copies what the source holds now to the end of the target. `progress` is told after every batch. Blocks on reads: call it where that
/// is allowed. Returns how many entries were copied now.
///
/// # Errors
/// [`CopyError`].
pub async fn copy(from: &EventLog, to: &EventLog, mut progress: impl FnMut(Copying)) -> Result<u64, CopyError> {
    if from.partitions() != to.partitions() {
        return Err(CopyError::Partitions { from: from.partitions(), to: to.partitions() });
    }
    if let Some((stream, partition, first)) = from.first().iter().next() {
        return Err(CopyError::Expired { stream, partition, first });
    }
    let (ends, begun) = (from.ends(), to.ends());
    compare(from, to, &ends, &begun)?;
    let total = ends.total();
    let mut copied = begun.total();
    progress(Copying { copied, total });
    let mut reader = from.reader(&begun, StreamSet::ALL)?;
    let mut flying: VecDeque<(Vec<Position>, Queued)> = VecDeque::new();
    while !reader.positions().covers_all(&ends) {
        let mut entries = reader.next_batch(ENTRIES, APPEND_BYTES_MAX)?.entries;
        // What was appended while copying is left for the next copy.
        entries.retain(|e| ends.covers(e.position));
        for (at, positions, batch) in runs(entries) {
            flying.push_back((positions, enqueue(to, batch, at).await?));
            if flying.len() >= AHEAD {
                copied += land(flying.pop_front()).await?;
            }
        }
        progress(Copying { copied, total });
    }
    while !flying.is_empty() {
        copied += land(flying.pop_front()).await?;
        progress(Copying { copied, total });
    }
    Ok(copied - begun.total())
}

/// What is in the target must be what the source begins with.
fn compare(from: &EventLog, to: &EventLog, ends: &Positions, begun: &Positions) -> Result<(), CopyError> {
    for (stream, partition, end) in begun.iter() {
        let position = Position { stream, partition, index: Index(end.0 - 1) };
        if !ends.covers(position) || from.read_position(position)?.bytes != to.read_position(position)?.bytes {
            return Err(CopyError::Foreign { position });
        }
    }
    Ok(())
}

/// Entries that follow each other with the same append time.
fn runs(entries: Vec<Logged>) -> Vec<(Timestamp, Vec<Position>, Vec<Append>)> {
    let mut runs: Vec<(Timestamp, Vec<Position>, Vec<Append>)> = Vec::new();
    for Logged { position, appended_at, bytes, .. } in entries {
        let append = Append { stream: position.stream, partition: position.partition, bytes };
        match runs.last_mut().filter(|(at, ..)| *at == appended_at) {
            Some((_, positions, batch)) => {
                positions.push(position);
                batch.push(append);
            }
            None => runs.push((appended_at, vec![position], vec![append])),
        }
    }
    runs
}

async fn land(flying: Option<(Vec<Position>, Queued)>) -> Result<u64, CopyError> {
    let Some((positions, queued)) = flying else { return Ok(0) };
    let appended = queued.landed().await?;
    for (expected, found) in positions.iter().zip(&appended) {
        if *expected != found.position {
            return Err(CopyError::Displaced { expected: *expected, found: found.position });
        }
    }
    Ok(appended.len() as u64)
}

enum Queued {
    Embedded(embedded::Queued),
    #[cfg(feature = "kafka")]
    Kafka(crate::kafka::Queued),
}

impl Queued {
    async fn landed(self) -> Result<Vec<Appended>, AppendError> {
        match self {
            Self::Embedded(queued) => queued.landed().await,
            #[cfg(feature = "kafka")]
            Self::Kafka(queued) => queued.landed().await,
        }
    }
}

async fn enqueue(log: &EventLog, batch: Vec<Append>, at: Timestamp) -> Result<Queued, AppendError> {
    match log {
        EventLog::Embedded(log) => log.enqueue(batch, Some(at)).await.map(Queued::Embedded),
        #[cfg(feature = "kafka")]
        EventLog::Kafka(log) => log.enqueue(batch, Some(at)).await.map(Queued::Kafka),
    }
}
