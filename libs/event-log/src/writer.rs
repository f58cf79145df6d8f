//! The thread that writes one track: many callers' entries, one write and one flush per group.
//!
//! It takes what has queued up while the last group was flushed, so that a group is as large as the load makes it and a lone caller waits
//! for nothing but its own flush. After a failed write or flush nothing is acknowledged any more: what the disk holds is unknown.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use record::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::error::{AppendError, is_full};
use crate::frame::{self, HEAD_BYTES};
use crate::index::Point;
use crate::options::{Clock, Tuning};
use crate::recover::Opened;
use crate::segment::{self, Segment, Start};
use crate::track::{End, Track};
use crate::types::{Appended, Locator, TrackId};

/// How far beyond a group the segment is filled with zeros when the group goes past what has been filled.
///
/// Flushing into space that is reserved but was never written waits for the file system's journal, every time; flushing over zeros does not.
/// Measured on ext4, two busy cores, lone caller: 333k entries/s in batches of 64 against 12k, for a stall of some 20 ms every 16 MiB.
const ZEROS_AHEAD_BYTES: u64 = 16 << 20;

/// One call of `append`.
pub(crate) struct Job {
    /// Slot and bytes of each entry; sizes are checked.
    pub(crate) entries: Vec<(usize, Bytes)>,
    /// Sum of the frames.
    pub(crate) frame_bytes: u64,
    /// The append time of a copied log's entries; such a job is a group of its own. `None`: the clock's.
    pub(crate) at: Option<Timestamp>,
    /// Room in the queue, given back when the group is done.
    pub(crate) room: OwnedSemaphorePermit,
    pub(crate) reply: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
}

/// What the thread is told.
pub(crate) enum Command {
    Append(Job),
    /// Write what came before, then end.
    Close,
}

/// The state of the writing thread.
pub(crate) struct Writer {
    track: Arc<Track>,
    segment: Arc<Segment>,
    file: Arc<File>,
    /// Preallocated bytes of the segment.
    capacity: u64,
    /// Offset up to which this writer has filled the segment, with frames or zeros.
    filled: u64,
    offset: u64,
    group: u64,
    time: i64,
    next: Vec<u64>,
    segment_bytes: u64,
    group_bytes_max: u64,
    clock: Clock,
    frames: Vec<u8>,
    poison: Option<Arc<io::Error>>,
}

impl Writer {
    pub(crate) fn new(track: Arc<Track>, opened: Opened, tuning: &Tuning) -> Self {
        Self {
            segment: track.newest(),
            file: opened.file,
            capacity: opened.capacity,
            filled: opened.end.offset,
            offset: opened.end.offset,
            group: opened.end.group,
            time: opened.end.time,
            next: opened.end.next,
            segment_bytes: match track.slots.track {
                TrackId::Main => tuning.segment_bytes,
                TrackId::Access => tuning.access_segment_bytes,
            },
            group_bytes_max: tuning.group_bytes_max,
            clock: tuning.clock.clone(),
            frames: Vec::new(),
            poison: None,
            track,
        }
    }

    /// Serves the queue until it closes.
    pub(crate) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Command>) {
        let mut held = None;
        loop {
            let first = match held.take() {
                Some(first) => first,
                None => match queue.blocking_recv() {
                    Some(Command::Append(first)) => first,
                    Some(Command::Close) | None => return,
                },
            };
            let mut bytes = first.frame_bytes;
            let alone = first.at.is_some();
            let mut jobs = vec![first];
            let mut closing = false;
            while bytes < self.group_bytes_max && !alone {
                match queue.try_recv() {
                    Ok(Command::Append(job)) if job.at.is_some() => {
                        held = Some(job);
                        break;
                    }
                    Ok(Command::Append(job)) => {
                        bytes += job.frame_bytes;
                        jobs.push(job);
                    }
                    Ok(Command::Close) => {
                        closing = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.commit(jobs, bytes);
            if closing {
                return;
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>, bytes: u64) {
        match self.write_group(&jobs, bytes + HEAD_BYTES as u64) {
            Ok(mut appended) => {
                for job in jobs {
                    let rest = appended.split_off(job.entries.len());
                    let mine = std::mem::replace(&mut appended, rest);
                    drop(job.room);
                    // A caller that no longer waits has its entries in the log all the same.
                    let _ = job.reply.send(Ok(mine));
                }
            }
            Err(error) => {
                for job in jobs {
                    let _ = job.reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn write_group(&mut self, jobs: &[Job], bytes: u64) -> Result<Vec<Appended>, AppendError> {
        if let Some(source) = &self.poison {
            return Err(AppendError::Poisoned { dir: self.track.dir.clone(), source: source.clone() });
        }
        let at = jobs.first().and_then(|job| job.at).unwrap_or_else(|| (self.clock)());
        let time = at.0.max(self.time);
        if self.offset + bytes > self.capacity {
            self.roll(bytes, time)?;
        }
        let before = self.next.clone();
        let appended = self.encode(jobs, time);
        debug_assert_eq!(self.frames.len() as u64, bytes);
        if let Err(source) = self.write_and_flush() {
            let source = Arc::new(source);
            self.poison = Some(source.clone());
            return Err(AppendError::Poisoned { dir: self.track.dir.clone(), source });
        }
        self.publish(before, bytes, time);
        Ok(appended)
    }

    /// Writes the encoded group, with zeros after it when it goes past what has been filled, and flushes.
    fn write_and_flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.frames, self.offset)?;
        let end = self.offset + self.frames.len() as u64;
        if end > self.filled {
            let filled = (end + ZEROS_AHEAD_BYTES).min(self.capacity);
            segment::write_zeros(&self.file, end, filled)?;
            self.filled = filled;
        }
        self.file.sync_data()
    }

    fn encode(&mut self, jobs: &[Job], time: i64) -> Vec<Appended> {
        let count = jobs.iter().map(|j| j.entries.len()).sum::<usize>();
        let mut appended = Vec::with_capacity(count);
        self.frames.clear();
        for (slot, bytes) in jobs.iter().flat_map(|j| &j.entries) {
            let position = self.track.slots.position(*slot, self.next[*slot]);
            let offset = self.offset + self.frames.len() as u64;
            let place = (position.stream as u8, position.partition.0, position.index.0);
            frame::put_entry(&mut self.frames, self.segment.salt, place, time, bytes);
            self.next[*slot] += 1;
            appended.push(Appended {
                position,
                locator: Locator::pack(self.track.slots.track, self.segment.number, offset),
                appended_at: Timestamp(time),
                group: self.group,
            });
        }
        let entries = u32::try_from(count).expect("a group is bounded in bytes, and each entry has a head");
        frame::put_commit(&mut self.frames, self.segment.salt, entries, self.group, time);
        appended
    }

    fn publish(&mut self, before: Vec<u64>, bytes: u64, time: i64) {
        let (offset, group) = (self.offset, self.group);
        self.offset += bytes;
        self.group += 1;
        self.time = time;
        self.track.with_active_index(|index| {
            let point = || Point { offset, group, time, next: before.into() };
            index.offer(&self.segment, self.track.interval_bytes, point, offset);
        });
        self.track.publish(End { segment: self.segment.number, offset: self.offset, next: self.next.clone().into() });
    }

    /// Seals the segment and goes on in a new one with room for `bytes`. A failure leaves the log as it was.
    fn roll(&mut self, bytes: u64, time: i64) -> Result<(), AppendError> {
        let track = self.track.clone();
        let dir = &track.dir;
        let failed = |source: io::Error| {
            let (dir, full) = (dir.clone(), is_full(&source));
            let source = Arc::new(source);
            if full { AppendError::Full { dir, source } } else { AppendError::Segment { dir, source } }
        };
        let start = Start {
            log_id: track.log_id,
            slots: track.slots,
            number: self.segment.number + 1,
            first_group: self.group,
            time_floor: time,
            base: &self.next,
        };
        let capacity = self.segment_bytes.max(self.segment.head_bytes + bytes);
        let prepared = segment::prepare(dir, &start, capacity).map_err(failed)?;
        // From here on the old segment takes nothing more, whether the new one gets its name or not.
        self.capacity = self.offset;
        if let Err(e) = self.file.set_len(self.offset).and_then(|()| self.file.sync_all()) {
            prepared.discard();
            return Err(failed(e));
        }
        let (file, segment, capacity) = prepared.publish(dir).map_err(failed)?;
        let index = track.roll(segment.clone(), file.clone(), self.offset);
        // Only saves a later scan: without space for it, that scan is made.
        let of = (track.log_id, track.slots);
        let _ = index.store(dir, self.segment.number, of, self.offset, track.interval_bytes);
        (self.segment, self.file, self.capacity) = (segment, file, capacity);
        self.offset = self.segment.head_bytes;
        self.filled = self.offset;
        Ok(())
    }
}
