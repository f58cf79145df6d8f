//! Reading an embedded log in order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use record::{Index, Positions, Stream, Timestamp};

use crate::embedded::Inner;
use crate::error::{Flaw, ReadError};
use crate::track::Track;
use crate::types::{Locator, Logged, ReadBatch, StreamSet};
use crate::walk::{Step, Walk};

/// What a reader reads ahead.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Reads entries of the embedded log in physical order.
///
/// `change`, `control` and `rejected` come in the order in which they were appended. `access` has its own sequence: a reader of both gives what
/// it finds of the first, then of `access`.
pub struct EmbeddedReader {
    log: Arc<Inner>,
    cursors: Vec<Cursor>,
    /// Read, but beyond the last batch's bound.
    held: Option<Logged>,
    next: Positions,
}

struct Cursor {
    track: Arc<Track>,
    walk: Walk,
    /// By slot: the first index wanted; `None` for a stream that is not read.
    from: Vec<Option<u64>>,
}

impl EmbeddedReader {
    pub(crate) fn new(log: Arc<Inner>, from: &Positions, streams: StreamSet) -> Result<Self, ReadError> {
        for (stream, partition, _) in from.iter().filter(|(s, ..)| streams.contains(*s)) {
            if partition.0 >= log.partitions().of(stream) {
                return Err(ReadError::NoSuchPartition { stream, partition });
            }
        }
        let wanted = |t: &&Arc<Track>| (0..t.slots.len()).any(|slot| streams.contains(t.slots.place(slot).0));
        let cursors = log.tracks().into_iter().filter(wanted).map(|t| Cursor::new(t.clone(), from, streams));
        let cursors = cursors.collect::<Result<_, _>>()?;
        let next = from.iter().filter(|(s, ..)| streams.contains(*s)).collect();
        Ok(Self { log, cursors, held: None, next })
    }

    /// The next entries, at most `max_entries` and, unless a single one is larger, at most `max_bytes` of payload.
    pub fn next_batch(&mut self, max_entries: usize, max_bytes: usize) -> Result<ReadBatch, ReadError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < max_entries {
            let found = match self.held.take() {
                Some(held) => Ok(Some(held)),
                None => self.next_entry(),
            };
            match found {
                Ok(Some(entry)) if entries.is_empty() || bytes + entry.bytes.len() <= max_bytes => {
                    bytes += entry.bytes.len();
                    self.next.include(entry.position);
                    entries.push(entry);
                }
                Ok(Some(entry)) => {
                    self.held = Some(entry);
                    break;
                }
                Ok(None) => break,
                // What was read before the error is good; the error comes again with the next call.
                Err(_) if !entries.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(ReadBatch { entries, next: self.next.clone() })
    }

    fn next_entry(&mut self) -> Result<Option<Logged>, ReadError> {
        for cursor in &mut self.cursors {
            if let Some(entry) = cursor.next_entry()? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Blocks until there may be more to read, at most `timeout`. Says whether there may be.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.held.is_some() || self.log.moved().wait_until(timeout, || self.cursors.iter().any(Cursor::has_more))
    }

    /// The positions after what was given out.
    pub fn positions(&self) -> &Positions {
        &self.next
    }
}

impl fmt::Debug for EmbeddedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedReader").field("log", &self.log).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Cursor {
    fn new(track: Arc<Track>, from: &Positions, streams: StreamSet) -> Result<Self, ReadError> {
        let end = track.end();
        let mut wanted = Vec::with_capacity(track.slots.len());
        for slot in 0..track.slots.len() {
            let (stream, partition): (Stream, _) = track.slots.place(slot);
            let index = from.get(stream, partition).0;
            if !streams.contains(stream) {
                wanted.push(None);
                continue;
            }
            if index > end.next[slot] {
                let wanted = track.slots.position(slot, index);
                return Err(ReadError::BeyondEnd { wanted, end: Index(end.next[slot]) });
            }
            wanted.push(Some(index));
        }
        let walk = track.walk_from(&wanted, READ_AHEAD_BYTES)?;
        Ok(Self { track, walk, from: wanted })
    }

    fn has_more(&self) -> bool {
        let end = self.track.end();
        (self.walk.segment.number, self.walk.offset) < (end.segment, end.offset)
    }

    fn next_entry(&mut self) -> Result<Option<Logged>, ReadError> {
        loop {
            match self.walk.step()? {
                Step::Entry { slot, position, time, offset, payload } => {
                    if self.from[slot].is_some_and(|from| position.index.0 >= from) {
                        let locator = Locator::pack(self.track.slots.track, self.walk.segment.number, offset);
                        return Ok(Some(Logged { position, appended_at: Timestamp(time), locator, bytes: payload }));
                    }
                }
                Step::Commit { .. } => {}
                Step::End if self.track.advance(&mut self.walk)? => {}
                Step::End => return Ok(None),
                Step::Zeros => return Err(self.walk.segment.damage(self.walk.offset, Flaw::Hole).into()),
            }
        }
    }
}
