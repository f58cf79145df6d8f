//! The sparse index of one segment: a group start every so many bytes, with all positions and the time there.
//!
//! The file beside a sealed segment is a cache of what a scan of the segment finds; damaged or missing, it is made again.
//!
//! ```text
//! 0  "HUBINDEX"   8 u32 format version   12 u32 partitions   16 log id, 16 bytes
//! 32 u32 track    36 u32 segment         40 u64 segment bytes 48 u32 points   52 u32 interval
//! 56 per point: u64 offset, u64 group, i64 time, u64 next index per partition
//! .. u32 CRC32C of all before
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::error::ReadError;
use crate::segment::{Segment, index_path};
use crate::types::Slots;
use crate::walk::{From, Step, Walk};

const MAGIC: &[u8; 8] = b"HUBINDEX";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 56;

/// A group start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) offset: u64,
    pub(crate) group: u64,
    /// Time of the group that begins here.
    pub(crate) time: i64,
    pub(crate) next: Box<[u64]>,
}

/// Group starts in order of their offsets; the first group of a segment is never among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SparseIndex {
    points: Vec<Point>,
}

impl SparseIndex {
    /// Offers the start of a group; kept when it is `interval_bytes` after the last point.
    pub(crate) fn offer(&mut self, segment: &Segment, interval_bytes: u64, point: impl FnOnce() -> Point, offset: u64) {
        let last = self.points.last().map_or(segment.head_bytes, |p| p.offset);
        if offset >= last + interval_bytes {
            self.points.push(point());
        }
    }

    /// The last group start whose positions are all at or before `from` (by slot; `None` = any).
    pub(crate) fn seek(&self, segment: &Segment, from: &[Option<u64>]) -> From {
        self.last_where(segment, |p| at_or_before(&p.next, from))
    }

    /// The last group start before which every entry is older than `time`.
    pub(crate) fn seek_time(&self, segment: &Segment, time: i64) -> From {
        self.last_where(segment, |p| p.time < time)
    }

    fn last_where(&self, segment: &Segment, before: impl Fn(&Point) -> bool) -> From {
        match self.points.partition_point(before) {
            0 => From::start_of(segment),
            n => {
                let p = &self.points[n - 1];
                From { offset: p.offset, group: p.group, time: p.time, next: p.next.to_vec() }
            }
        }
    }

    /// Scans a sealed segment.
    pub(crate) fn build(
        segment: &Arc<Segment>,
        file: Arc<File>,
        slots: Slots,
        bytes: u64,
        interval_bytes: u64,
    ) -> Result<Self, ReadError> {
        let mut walk = Walk::new(segment.clone(), file, slots, From::start_of(segment), bytes, 1 << 20);
        let mut index = Self::default();
        loop {
            let start = (walk.in_group == 0).then(|| (walk.offset, walk.next.clone(), walk.group));
            match walk.step()? {
                Step::Entry { time, .. } => {
                    if let Some((offset, next, group)) = start {
                        let point = || Point { offset, group, time, next: next.into() };
                        index.offer(segment, interval_bytes, point, offset);
                    }
                }
                Step::Commit { .. } => {}
                Step::End => return Ok(index),
                Step::Zeros => return Err(segment.damage(walk.offset, crate::error::Flaw::Hole).into()),
            }
        }
    }

    /// Writes the index file of a sealed segment.
    pub(crate) fn store(
        &self,
        dir: &Path,
        number: u32,
        (log_id, slots): ([u8; 16], Slots),
        segment_bytes: u64,
        interval_bytes: u64,
    ) -> io::Result<()> {
        let path = index_path(dir, number);
        let temporary = path.with_extension("idx.tmp");
        let mut file = File::create(&temporary)?;
        let bytes = self.encode(number, log_id, slots, segment_bytes, interval_bytes);
        file.write_all(&bytes)
            .and_then(|()| file.sync_data())
            .and_then(|()| std::fs::rename(&temporary, &path))
            .inspect_err(|_| {
                let _ = std::fs::remove_file(&temporary);
            })
    }

    fn encode(&self, number: u32, log_id: [u8; 16], slots: Slots, segment_bytes: u64, interval_bytes: u64) -> Vec<u8> {
        let mut b = Vec::with_capacity(FIXED_BYTES + self.points.len() * (24 + slots.len() * 8) + 4);
        b.extend_from_slice(MAGIC);
        b.extend_from_slice(&VERSION.to_le_bytes());
        b.extend_from_slice(&(slots.len() as u32).to_le_bytes());
        b.extend_from_slice(&log_id);
        b.extend_from_slice(&(slots.track as u32).to_le_bytes());
        b.extend_from_slice(&number.to_le_bytes());
        b.extend_from_slice(&segment_bytes.to_le_bytes());
        b.extend_from_slice(&(self.points.len() as u32).to_le_bytes());
        b.extend_from_slice(&(interval_bytes as u32).to_le_bytes());
        for p in &self.points {
            b.extend_from_slice(&p.offset.to_le_bytes());
            b.extend_from_slice(&p.group.to_le_bytes());
            b.extend_from_slice(&p.time.to_le_bytes());
            for index in &p.next {
                b.extend_from_slice(&index.to_le_bytes());
            }
        }
        b.extend_from_slice(&crc32c::crc32c(&b).to_le_bytes());
        b
    }

    /// Reads the index file of a sealed segment; `None` when it is missing or not that segment's.
    pub(crate) fn load(
        dir: &Path,
        number: u32,
        (log_id, slots): ([u8; 16], Slots),
        segment_bytes: u64,
    ) -> io::Result<Option<Self>> {
        match std::fs::read(index_path(dir, number)) {
            Ok(b) => Ok(Self::decode(&b, number, log_id, slots, segment_bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn decode(b: &[u8], number: u32, log_id: [u8; 16], slots: Slots, segment_bytes: u64) -> Option<Self> {
        let body_end = b.len().checked_sub(4).filter(|&end| end >= FIXED_BYTES)?;
        if crc32c::crc32c(&b[..body_end]).to_le_bytes() != b[body_end..] {
            return None;
        }
        let count = u32::from_le_bytes(b[48..52].try_into().ok()?) as usize;
        let expected = Self::default().encode(number, log_id, slots, segment_bytes, 0);
        if b[..48] != expected[..48] || body_end - FIXED_BYTES != count * (24 + slots.len() * 8) {
            return None;
        }
        let mut words = b[FIXED_BYTES..body_end]
            .chunks_exact(8)
            .map(|w| u64::from_le_bytes(w.try_into().expect("chunks of eight bytes")));
        let mut word = || words.next().expect("the length was checked");
        let points = (0..count)
            .map(|_| Point {
                offset: word(),
                group: word(),
                time: word().cast_signed(),
                next: (0..slots.len()).map(|_| word()).collect(),
            })
            .collect();
        Some(Self { points })
    }
}

/// Whether a position vector lies at or before another in every slot that matters.
pub(crate) fn at_or_before(next: &[u64], from: &[Option<u64>]) -> bool {
    next.iter().zip(from).all(|(next, from)| from.is_none_or(|from| *next <= from))
}
