//! Walking the frames of one segment, with every check that a reader owes its caller.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use record::{Index, Partition, Position, Stream};

use crate::error::{Damage, Flaw, ReadError};
use crate::frame::{self, FrameKind, HEAD_BYTES, Head};
use crate::segment::Segment;
use crate::types::{ENTRY_BYTES_MAX, Slots};

/// What the next frame is.
#[derive(Debug)]
pub(crate) enum Step {
    /// An entry whose index follows its predecessor's.
    Entry { slot: usize, position: Position, time: i64, offset: u64, payload: Bytes },
    /// A group ends; `end` is the offset after its commit frame.
    Commit { end: u64 },
    /// The limit is reached.
    End,
    /// Nothing but zeros in place of a head.
    Zeros,
}

/// A cursor over the frames of one segment. An error does not move it: it comes again.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) segment: Arc<Segment>,
    slots: Slots,
    file: Arc<File>,
    chunk: Bytes,
    chunk_at: u64,
    read_ahead_bytes: usize,
    /// Offset of the next frame.
    pub(crate) offset: u64,
    /// Offset where the walk ends (exclusive).
    pub(crate) limit: u64,
    /// The next index of every partition.
    pub(crate) next: Vec<u64>,
    /// Number of the group that the next frame belongs to.
    pub(crate) group: u64,
    /// Entries of that group already seen.
    pub(crate) in_group: u32,
    /// Time of the last frame.
    pub(crate) time: i64,
}

/// Where a walk begins: always at the start of a group.
#[derive(Debug, Clone)]
pub(crate) struct From {
    pub(crate) offset: u64,
    pub(crate) group: u64,
    pub(crate) time: i64,
    pub(crate) next: Vec<u64>,
}

impl From {
    pub(crate) fn start_of(segment: &Segment) -> Self {
        Self {
            offset: segment.head_bytes,
            group: segment.first_group,
            time: segment.time_floor,
            next: segment.base.to_vec(),
        }
    }
}

impl Walk {
    pub(crate) fn new(
        segment: Arc<Segment>,
        file: Arc<File>,
        slots: Slots,
        from: From,
        limit: u64,
        read_ahead_bytes: usize,
    ) -> Self {
        let From { offset, group, time, next } = from;
        Self {
            segment,
            slots,
            file,
            chunk: Bytes::new(),
            chunk_at: 0,
            read_ahead_bytes,
            offset,
            limit,
            next,
            group,
            in_group: 0,
            time,
        }
    }

    /// The next frame, checked against its predecessor.
    pub(crate) fn step(&mut self) -> Result<Step, ReadError> {
        if self.offset == self.limit {
            return Ok(Step::End);
        }
        let head_bytes = self.bytes_at(HEAD_BYTES, None)?;
        let fixed: &[u8; HEAD_BYTES] = head_bytes[..].try_into().expect("as many bytes as asked for");
        if fixed.iter().all(|&b| b == 0) {
            return Ok(Step::Zeros);
        }
        let Some(head) = Head::parse(fixed, ENTRY_BYTES_MAX) else {
            return Err(self.segment.damage(self.offset, Flaw::FrameHead).into());
        };
        let frame = self.bytes_at(head.frame_bytes(), Some(&head))?;
        if !frame::intact(&frame, self.segment.salt) {
            return Err(self.damage(Flaw::Checksum, Some(&head)).into());
        }
        self.accept(&head, &frame)
    }

    fn accept(&mut self, head: &Head, frame: &Bytes) -> Result<Step, ReadError> {
        if head.time < self.time {
            return Err(self.damage(Flaw::TimeBackwards, Some(head)).into());
        }
        let offset = self.offset;
        let end = offset + frame.len() as u64;
        let step = match head.kind {
            FrameKind::Entry { index, .. } => {
                let slot = self.slot(head).ok_or_else(|| self.damage(Flaw::UnknownPartition, None))?;
                self.check_index(slot, index)?;
                self.next[slot] += 1;
                self.in_group += 1;
                let payload = frame.slice(HEAD_BYTES..HEAD_BYTES + head.payload_bytes as usize);
                Step::Entry { slot, position: self.slots.position(slot, index), time: head.time, offset, payload }
            }
            FrameKind::Commit { entries, group } => {
                if (group, entries) != (self.group, self.in_group) {
                    return Err(self.damage(Flaw::Group, None).into());
                }
                self.group += 1;
                self.in_group = 0;
                Step::Commit { end }
            }
        };
        self.time = head.time;
        self.offset = end;
        Ok(step)
    }

    fn check_index(&self, slot: usize, found: u64) -> Result<(), ReadError> {
        if found == self.next[slot] {
            return Ok(());
        }
        Err(ReadError::Gap {
            expected: self.slots.position(slot, self.next[slot]),
            found: Index(found),
            file: self.segment.path.clone(),
            offset: self.offset,
        })
    }

    /// The bytes of the frame at the cursor, from the read-ahead or the file.
    fn bytes_at(&mut self, need: usize, head: Option<&Head>) -> Result<Bytes, ReadError> {
        let left = self.limit - self.offset;
        if (need as u64) > left {
            return Err(self.damage(Flaw::Truncated, head).into());
        }
        let in_chunk = self.offset.wrapping_sub(self.chunk_at);
        if in_chunk + need as u64 > self.chunk.len() as u64 || self.offset < self.chunk_at {
            let want = (need.max(self.read_ahead_bytes) as u64).min(left);
            let mut chunk = vec![0; usize::try_from(want).expect("at most a frame or the read-ahead")];
            match self.file.read_exact_at(&mut chunk, self.offset) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.damage(Flaw::Truncated, head).into());
                }
                Err(e) => return Err(ReadError::io(&self.segment.path, e)),
            }
            self.chunk = chunk.into();
            self.chunk_at = self.offset;
        }
        let from = usize::try_from(self.offset - self.chunk_at).expect("within the chunk");
        Ok(self.chunk.slice(from..from + need))
    }

    pub(crate) fn read_ahead_bytes(&self) -> usize {
        self.read_ahead_bytes
    }

    pub(crate) fn slots(&self) -> Slots {
        self.slots
    }

    fn slot(&self, head: &Head) -> Option<usize> {
        match head.kind {
            FrameKind::Entry { stream, partition, .. } => {
                self.slots.slot(Stream::from_u8(stream)?, Partition(partition))
            }
            FrameKind::Commit { .. } => None,
        }
    }

    /// Damage here; names the entry only when its head agrees with what must come next.
    fn damage(&self, flaw: Flaw, head: Option<&Head>) -> Damage {
        let position = head.and_then(|head| {
            let slot = self.slot(head)?;
            let FrameKind::Entry { index, .. } = head.kind else { return None };
            (index == self.next[slot]).then(|| self.slots.position(slot, index))
        });
        Damage { position, ..self.segment.damage(self.offset, flaw) }
    }
}
