//! How a log is laid out and tuned.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use record::Timestamp;

use crate::error::OpenError;
use crate::types::{APPEND_BYTES_MAX, PartitionCounts};

/// Smallest segment size (inclusive). A single larger group still gets a segment that holds it.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// Largest segment size (inclusive).
pub const SEGMENT_BYTES_MAX: u64 = 8 << 30;

/// What is fixed when a log is created, and what it starts to run with.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Partitions of every stream.
    pub partitions: PartitionCounts,
    /// What may differ the next time that the log is opened.
    pub tuning: Tuning,
}

/// What may differ each time that a log is opened. Nothing of it changes what is read.
#[derive(Clone)]
pub struct Tuning {
    /// Size of a segment of `change`, `control` and `rejected`, preallocated. Default 256 MiB.
    pub segment_bytes: u64,
    /// Size of a segment of `access`, preallocated: the unit of its retention. Default 256 MiB.
    pub access_segment_bytes: u64,
    /// Distance between the points of the sparse index: what a read by position scans at most, rounded up to a group. Default 256 KiB.
    pub index_interval_bytes: u32,
    /// Bytes that wait to be written, per sequence, before `append` waits for room. Default 64 MiB.
    pub queue_bytes_max: u32,
    /// A group takes no further call once it holds so many bytes. Default 4 MiB.
    pub group_bytes_max: u64,
    /// Segment files kept open for reading, per sequence. Default 256.
    pub open_files_max: usize,
    /// Gives the append time. Default: the system's clock.
    pub clock: Clock,
}

/// Where append times come from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuning")
            .field("segment_bytes", &self.segment_bytes)
            .field("access_segment_bytes", &self.access_segment_bytes)
            .field("index_interval_bytes", &self.index_interval_bytes)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("group_bytes_max", &self.group_bytes_max)
            .field("open_files_max", &self.open_files_max)
            .finish_non_exhaustive()
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            access_segment_bytes: 256 << 20,
            index_interval_bytes: 256 << 10,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 4 << 20,
            open_files_max: 256,
            clock: Arc::new(system_clock),
        }
    }
}

impl Tuning {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        let what = if !sizes.contains(&self.segment_bytes) {
            "segment_bytes"
        } else if !sizes.contains(&self.access_segment_bytes) {
            "access_segment_bytes"
        } else if self.index_interval_bytes < 4 << 10 {
            "index_interval_bytes"
        } else if self.queue_bytes_max < 64 << 10 {
            "queue_bytes_max"
        } else if self.group_bytes_max == 0 || self.group_bytes_max > APPEND_BYTES_MAX as u64 {
            "group_bytes_max"
        } else {
            return Ok(());
        };
        Err(OpenError::Options { what })
    }
}

pub(crate) fn system_clock() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m),
    };
    Timestamp(micros)
}
