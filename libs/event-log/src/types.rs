//! What callers pass in and get back.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use record::{Index, Partition, Position, Positions, Stream, Timestamp};

/// The largest entry that any log takes, in bytes (inclusive).
pub const ENTRY_BYTES_MAX: usize = 4 << 20;

/// The largest sum of entry bytes in one call of `append` (inclusive).
pub const APPEND_BYTES_MAX: usize = 16 << 20;

/// The largest number of entries in one call of `append` (inclusive).
pub const APPEND_ENTRIES_MAX: usize = 65_536;

/// One entry to append: the log gives it its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream to append to.
    pub stream: Stream,
    /// The partition of the stream.
    pub partition: Partition,
    /// The entry as it will be read back, at most [`ENTRY_BYTES_MAX`].
    pub bytes: Bytes,
}

/// What became of one appended entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its place: the index is the one after the partition's last.
    pub position: Position,
    /// The way back to its bytes with one read.
    pub locator: Locator,
    /// When the log took it. Never goes back within a stream's sequence.
    pub appended_at: Timestamp,
    /// What became durable with it has the same number, which only grows. The entries of one call that go to one sequence share it.
    pub group: u64,
}

/// Where an entry's bytes are, as an opaque number that means something only to the log that gave it.
///
/// Valid as long as the entry is kept, also after a restart. Embedded: bit 63 says whether it is the access sequence, 31 bits the
/// segment, 32 bits the offset in units of 8 bytes. Kafka: two bits of stream, 14 of partition, 48 of index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator(pub u64);

/// An entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub position: Position,
    /// When the log took it.
    pub appended_at: Timestamp,
    /// The way back to its bytes.
    pub locator: Locator,
    /// Its bytes. From a [`Reader`](crate::Reader) they share a read-ahead buffer: copy what is kept for long.
    pub bytes: Bytes,
}

/// What one call of [`Reader::next_batch`](crate::Reader::next_batch) found.
#[derive(Debug, Clone, Default)]
pub struct ReadBatch {
    /// The entries in physical order; empty when the reader has reached the durable end.
    pub entries: Vec<Logged>,
    /// The positions after these entries, to resume from.
    pub next: Positions,
}

/// A set of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamSet(u8);

impl StreamSet {
    /// Every stream.
    pub const ALL: Self = Self(0b1111);
    /// What a fold reads: everything but `access`.
    pub const ALL_BUT_ACCESS: Self = Self(0b1011);

    /// No stream.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, stream: Stream) -> Self {
        Self(self.0 | 1 << stream as u8)
    }

    /// Whether the stream is among these.
    pub const fn contains(self, stream: Stream) -> bool {
        self.0 & (1 << stream as u8) != 0
    }
}

/// How many partitions each stream has: fixed when the log is created. `control` always has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionCounts {
    /// Partitions of `change`, 1 to 4,096. Default 64.
    pub change: u16,
    /// Partitions of `rejected`, 1 to 4,096. Default 1.
    pub rejected: u16,
    /// Partitions of `access`, 1 to 4,096. Default 1.
    pub access: u16,
}

impl Default for PartitionCounts {
    fn default() -> Self {
        Self { change: 64, rejected: 1, access: 1 }
    }
}

impl PartitionCounts {
    /// The largest number of partitions of one stream (inclusive).
    pub const MAX: u16 = 4_096;

    /// How many partitions a stream has.
    pub fn of(&self, stream: Stream) -> u16 {
        match stream {
            Stream::Change => self.change,
            Stream::Control => 1,
            Stream::Access => self.access,
            Stream::Rejected => self.rejected,
        }
    }

    /// Whether each count is between 1 and [`PartitionCounts::MAX`].
    pub fn valid(&self) -> bool {
        Stream::ALL.into_iter().all(|s| (1..=Self::MAX).contains(&self.of(s)))
    }
}

/// What keeps a log from going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// What it is, in words for an operator.
    pub what: String,
    /// For how long.
    pub lasting: Duration,
}

/// A torn tail that was cut off when the log was opened: a group commit that had not ended, hence nothing acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The segment file that was cut.
    pub file: PathBuf,
    /// Offset in bytes where the torn group began, and where the next one will.
    pub at: u64,
    /// How many bytes of it had been written.
    pub torn_bytes: u64,
    /// How many whole entries it held.
    pub torn_entries: u32,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: cut {} bytes ({} whole entries) of an unfinished group commit at offset {}",
            self.file.display(),
            self.torn_bytes,
            self.torn_entries,
            self.at
        )
    }
}

/// One physical sequence of segment files with its own writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrackId {
    /// `change`, `control` and `rejected`.
    Main = 0,
    /// `access`.
    Access = 1,
}

impl TrackId {
    pub(crate) const ALL: [Self; 2] = [Self::Main, Self::Access];

    pub(crate) fn of(stream: Stream) -> Self {
        match stream {
            Stream::Change | Stream::Control | Stream::Rejected => Self::Main,
            Stream::Access => Self::Access,
        }
    }

    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Access => "access",
        }
    }
}

/// The partitions of one track in a fixed order, so that a position vector is a plain array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    pub(crate) track: TrackId,
    pub(crate) counts: PartitionCounts,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        match self.track {
            TrackId::Main => 1 + usize::from(self.counts.change) + usize::from(self.counts.rejected),
            TrackId::Access => usize::from(self.counts.access),
        }
    }

    pub(crate) fn slot(&self, stream: Stream, partition: Partition) -> Option<usize> {
        if TrackId::of(stream) != self.track || partition.0 >= self.counts.of(stream) {
            return None;
        }
        let first = match stream {
            Stream::Control | Stream::Access => 0,
            Stream::Change => 1,
            Stream::Rejected => 1 + usize::from(self.counts.change),
        };
        Some(first + usize::from(partition.0))
    }

    /// The reverse of [`Slots::slot`]; `slot` must be less than [`Slots::len`].
    pub(crate) fn place(&self, slot: usize) -> (Stream, Partition) {
        let change = usize::from(self.counts.change);
        let (stream, partition) = match (self.track, slot) {
            (TrackId::Access, _) => (Stream::Access, slot),
            (TrackId::Main, 0) => (Stream::Control, 0),
            (TrackId::Main, s) if s <= change => (Stream::Change, s - 1),
            (TrackId::Main, s) => (Stream::Rejected, s - 1 - change),
        };
        (stream, Partition(u16::try_from(partition).expect("a count of partitions is a u16")))
    }

    pub(crate) fn position(&self, slot: usize, index: u64) -> Position {
        let (stream, partition) = self.place(slot);
        Position { stream, partition, index: Index(index) }
    }

    pub(crate) fn positions(&self, next: &[u64], into: &mut Positions) {
        for (slot, &index) in next.iter().enumerate() {
            let (stream, partition) = self.place(slot);
            into.set(stream, partition, Index(index));
        }
    }
}

impl Locator {
    pub(crate) fn pack(track: TrackId, segment: u32, offset: u64) -> Self {
        debug_assert!(segment < 1 << 31 && offset.is_multiple_of(8) && offset >> 35 == 0);
        Self((track as u64) << 63 | u64::from(segment) << 32 | offset >> 3)
    }

    pub(crate) fn unpack(self) -> (TrackId, u32, u64) {
        let track = if self.0 >> 63 == 0 { TrackId::Main } else { TrackId::Access };
        (track, (self.0 >> 32) as u32 & 0x7fff_ffff, (self.0 & 0xffff_ffff) << 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_names_one_partition_and_back() {
        let counts = PartitionCounts { change: 5, rejected: 3, access: 2 };
        for track in TrackId::ALL {
            let slots = Slots { track, counts };
            for slot in 0..slots.len() {
                let (stream, partition) = slots.place(slot);
                assert_eq!(slots.slot(stream, partition), Some(slot));
            }
        }
        let slots = Slots { track: TrackId::Main, counts };
        assert_eq!(slots.slot(Stream::Change, Partition(5)), None);
        assert_eq!(slots.slot(Stream::Access, Partition(0)), None);
    }

    #[test]
    fn locator_keeps_track_segment_and_offset() {
        for (track, segment, offset) in
            [(TrackId::Main, 1, 4096), (TrackId::Access, 0x7fff_ffff, (1 << 35) - 8), (TrackId::Main, 0, 0)]
        {
            assert_eq!(Locator::pack(track, segment, offset).unpack(), (track, segment, offset));
        }
    }

    #[test]
    fn stream_sets_hold_what_was_put_in() {
        let set = StreamSet::empty().with(Stream::Control);
        assert!(set.contains(Stream::Control) && !set.contains(Stream::Change));
        assert!(!StreamSet::ALL_BUT_ACCESS.contains(Stream::Access));
        assert!(Stream::ALL.into_iter().all(|s| StreamSet::ALL.contains(s)));
    }
}
