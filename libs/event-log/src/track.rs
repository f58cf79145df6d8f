//! One physical sequence of segments as everyone but its writer sees it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use record::{Index, Partition, Position, Stream, Timestamp};
use tokio::sync::watch;

use crate::error::{Flaw, OpenError, ReadError, RetainError};
use crate::files::FileCache;
use crate::frame::{self, FrameKind, HEAD_BYTES, Head};
use crate::index::{SparseIndex, at_or_before};
use crate::recover::{self, Opened};
use crate::segment::{self, Segment};
use crate::types::{ENTRY_BYTES_MAX, Locator, Logged, Slots, TrackId};
use crate::walk::{From, Step, Walk};

/// How many sealed segments keep their sparse index in memory.
const INDEXES_KEPT: usize = 8;
/// What one look at a locator reads at first: most entries whole.
const FIRST_READ_BYTES: u64 = 4096;

/// The durable end of a track.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) next: Box<[u64]>,
}

/// Wakes blocked readers when any track's durable end moves.
#[derive(Debug, Default)]
pub(crate) struct Moved(Mutex<()>, Condvar);

impl Moved {
    pub(crate) fn notify(&self) {
        // Taking the lock orders this with a reader that has just looked at the end and is about to wait.
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.1.notify_all();
    }

    /// Blocks until `done`, at most `timeout`. Says whether it is.
    pub(crate) fn wait_until(&self, timeout: Duration, done: impl Fn() -> bool) -> bool {
        let until = Instant::now() + timeout;
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if done() || left.is_zero() {
                return done();
            }
            guard = self.1.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Segments, open files, indexes and the durable end of one sequence.
pub(crate) struct Track {
    pub(crate) dir: PathBuf,
    pub(crate) log_id: [u8; 16],
    pub(crate) slots: Slots,
    pub(crate) interval_bytes: u64,
    segments: RwLock<VecDeque<Arc<Segment>>>,
    files: FileCache,
    /// Index of the segment that is written to.
    active: Mutex<(u32, SparseIndex)>,
    sealed: Mutex<VecDeque<(u32, Arc<SparseIndex>)>>,
    end: watch::Sender<Arc<End>>,
    moved: Arc<Moved>,
    dropping: Mutex<()>,
}

impl Track {
    /// Opens every segment of a folder; the newest one is recovered.
    pub(crate) fn open(
        dir: PathBuf,
        log_id: [u8; 16],
        slots: Slots,
        interval_bytes: u64,
        files_max: usize,
        moved: Arc<Moved>,
    ) -> Result<(Self, Opened), OpenError> {
        let segments = open_segments(&dir, log_id, slots)?;
        let newest = segments.back().expect("a folder without segments was refused").clone();
        let opened = recover::open_newest(&newest, slots, interval_bytes)?;
        let end = End { segment: newest.number, offset: opened.end.offset, next: opened.end.next.clone().into() };
        let track = Self {
            dir,
            log_id,
            slots,
            interval_bytes,
            files: FileCache::new(files_max),
            active: Mutex::new((newest.number, opened.index.clone())),
            sealed: Mutex::default(),
            end: watch::Sender::new(Arc::new(end)),
            moved,
            dropping: Mutex::default(),
            segments: RwLock::new(segments),
        };
        track.files.put(newest.number, opened.file.clone());
        Ok((track, opened))
    }

    /// The durable end.
    pub(crate) fn end(&self) -> Arc<End> {
        self.end.borrow().clone()
    }

    /// Tells when the durable end moves.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<End>> {
        self.end.subscribe()
    }

    /// The first index of every partition that is kept.
    pub(crate) fn first(&self) -> Box<[u64]> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.front().expect("a track always has a segment").base.clone()
    }

    /// The newest segment, durable entries or not.
    pub(crate) fn newest(&self) -> Arc<Segment> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.back().expect("a track always has a segment").clone()
    }

    fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let first = segments.front()?.number;
        segments.get(number.checked_sub(first)? as usize).cloned()
    }

    /// The last segment before which everything is before what is looked for; only segments with durable entries count.
    fn last_segment_where(&self, end: &End, before: impl Fn(&Segment) -> bool) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let n = segments.partition_point(|s| s.number <= end.segment && before(s));
        n.checked_sub(1).map(|n| segments[n].clone())
    }

    /// Offset in a segment up to which entries are durable.
    pub(crate) fn limit(&self, segment: &Segment, end: &End) -> u64 {
        if segment.number == end.segment {
            return end.offset;
        }
        *segment.sealed_bytes.get().expect("a segment is sealed before a group is written to the next one")
    }

    /// A walk that begins at or before `from` (by slot; `None` = any).
    pub(crate) fn walk_from(&self, from: &[Option<u64>], read_ahead_bytes: usize) -> Result<Walk, ReadError> {
        let end = self.end();
        let Some(segment) = self.last_segment_where(&end, |s| at_or_before(&s.base, from)) else {
            return Err(self.expired(from));
        };
        let start = self.with_index(&segment, |index| index.seek(&segment, from))?;
        self.walk(segment, start, &end, read_ahead_bytes)
    }

    fn walk(&self, segment: Arc<Segment>, from: From, end: &End, read_ahead_bytes: usize) -> Result<Walk, ReadError> {
        let limit = self.limit(&segment, end);
        let file = self.file(&segment)?;
        Ok(Walk::new(segment, file, self.slots, from, limit, read_ahead_bytes))
    }

    fn expired(&self, from: &[Option<u64>]) -> ReadError {
        let first = self.first();
        let slot = from.iter().zip(&first).position(|(from, first)| from.is_some_and(|from| from < *first));
        let slot = slot.expect("a walk has no segment only if some partition begins after what is asked for");
        ReadError::Expired {
            wanted: self.slots.position(slot, from[slot].unwrap_or_default()),
            first: Index(first[slot]),
        }
    }

    /// Moves a walk that has reached its limit on; `false` when it is at the durable end.
    pub(crate) fn advance(&self, walk: &mut Walk) -> Result<bool, ReadError> {
        let end = self.end();
        let limit = self.limit(&walk.segment, &end);
        if limit > walk.limit {
            walk.limit = limit;
            return Ok(true);
        }
        if walk.segment.number >= end.segment {
            return Ok(false);
        }
        let segment = self.after(walk)?;
        check_seam(walk, &segment)?;
        let start = From::start_of(&segment);
        *walk = self.walk(segment, start, &end, walk.read_ahead_bytes())?;
        Ok(true)
    }

    /// The segment to go on with after a walk's: the next one, unless retention has dropped it.
    fn after(&self, walk: &Walk) -> Result<Arc<Segment>, ReadError> {
        if let Some(segment) = self.segment(walk.segment.number + 1) {
            return Ok(segment);
        }
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = segments.front().expect("a track always has a segment").clone();
        drop(segments);
        match (0..walk.next.len()).find(|&slot| walk.next[slot] < oldest.base[slot]) {
            Some(slot) => Err(ReadError::Expired {
                wanted: self.slots.position(slot, walk.next[slot]),
                first: Index(oldest.base[slot]),
            }),
            None => Ok(oldest),
        }
    }

    /// The entry at an offset that the log gave out.
    pub(crate) fn read(&self, locator: Locator) -> Result<Logged, ReadError> {
        let (_, number, offset) = locator.unpack();
        let not_found = || ReadError::NotFound { locator: locator.0 };
        let end = self.end();
        let segment = self.segment(number).filter(|s| s.number <= end.segment).ok_or_else(not_found)?;
        let limit = self.limit(&segment, &end);
        if offset < segment.head_bytes || offset + HEAD_BYTES as u64 > limit {
            return Err(not_found());
        }
        let damaged = |flaw| ReadError::from(segment.damage(offset, flaw));
        let file = self.file(&segment)?;
        let mut frame = vec![0; usize::try_from(FIRST_READ_BYTES.min(limit - offset)).expect("at most 4 KiB")];
        read_exact(&file, &mut frame, offset, &segment)?;
        let fixed = frame[..HEAD_BYTES].try_into().expect("at least a head was read");
        let head = Head::parse(fixed, ENTRY_BYTES_MAX).ok_or_else(|| damaged(Flaw::FrameHead))?;
        let (have, need) = (frame.len(), head.frame_bytes());
        if offset + need as u64 > limit {
            return Err(damaged(Flaw::FrameHead));
        }
        frame.resize(need, 0);
        if need > have {
            read_exact(&file, &mut frame[have..], offset + have as u64, &segment)?;
        }
        if !frame::intact(&frame, segment.salt) {
            return Err(damaged(Flaw::Checksum));
        }
        self.logged(&head, frame, locator).ok_or_else(not_found)
    }

    fn logged(&self, head: &Head, frame: Vec<u8>, locator: Locator) -> Option<Logged> {
        let FrameKind::Entry { stream, partition, index } = head.kind else { return None };
        let slot = self.slots.slot(Stream::from_u8(stream)?, Partition(partition))?;
        Some(Logged {
            position: self.slots.position(slot, index),
            appended_at: Timestamp(head.time),
            locator,
            bytes: Bytes::from(frame).slice(HEAD_BYTES..HEAD_BYTES + head.payload_bytes as usize),
        })
    }

    /// The entry at a position, found with the sparse index.
    pub(crate) fn read_position(&self, slot: usize, wanted: Position) -> Result<Logged, ReadError> {
        let end = self.end();
        if wanted.index.0 >= end.next[slot] {
            return Err(ReadError::BeyondEnd { wanted, end: Index(end.next[slot]) });
        }
        let mut from = vec![None; self.slots.len()];
        from[slot] = Some(wanted.index.0);
        let mut walk = self.walk_from(&from, 64 << 10)?;
        loop {
            match walk.step()? {
                Step::Entry { position, time, offset, payload, .. } if position == wanted => {
                    let locator = Locator::pack(self.slots.track, walk.segment.number, offset);
                    let bytes = Bytes::copy_from_slice(&payload);
                    return Ok(Logged { position, appended_at: Timestamp(time), locator, bytes });
                }
                Step::Entry { .. } | Step::Commit { .. } => {}
                Step::Zeros => return Err(walk.segment.damage(walk.offset, Flaw::Hole).into()),
                // The segment was chosen so that the entry is in it: it ends early.
                Step::End if !self.advance(&mut walk)? => {
                    return Err(walk.segment.damage(walk.offset, Flaw::Truncated).into());
                }
                Step::End => {}
            }
        }
    }

    /// The first index of a partition whose entry was appended at or after a time; the end when there is none.
    pub(crate) fn find_time(&self, slot: usize, at: i64) -> Result<u64, ReadError> {
        let end = self.end();
        let Some(segment) = self.last_segment_where(&end, |s| s.time_floor < at) else {
            return Ok(self.first()[slot]);
        };
        let start = self.with_index(&segment, |index| index.seek_time(&segment, at))?;
        let mut walk = self.walk(segment, start, &end, 256 << 10)?;
        loop {
            let next = walk.next[slot];
            match walk.step()? {
                Step::Entry { time, .. } if time >= at => return Ok(next),
                Step::Entry { .. } | Step::Commit { .. } => {}
                Step::End => return Ok(next),
                Step::Zeros => return Err(walk.segment.damage(walk.offset, Flaw::Hole).into()),
            }
        }
    }

    /// Uses the sparse index of a segment: in memory, from its file, or made by a scan.
    fn with_index<T>(&self, segment: &Arc<Segment>, f: impl Fn(&SparseIndex) -> T) -> Result<T, ReadError> {
        {
            let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            if active.0 == segment.number {
                return Ok(f(&active.1));
            }
        }
        let kept = {
            let sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
            sealed.iter().find(|(number, _)| *number == segment.number).map(|(_, index)| index.clone())
        };
        if let Some(index) = kept {
            return Ok(f(&index));
        }
        let index = Arc::new(self.load_index(segment)?);
        let out = f(&index);
        self.keep_index(segment.number, index);
        Ok(out)
    }

    fn load_index(&self, segment: &Arc<Segment>) -> Result<SparseIndex, ReadError> {
        let bytes = *segment.sealed_bytes.get().expect("a segment that is not the active one is sealed");
        let of = (self.log_id, self.slots);
        let loaded = SparseIndex::load(&self.dir, segment.number, of, bytes);
        if let Some(index) = loaded.map_err(|e| ReadError::io(&segment::index_path(&self.dir, segment.number), e))? {
            return Ok(index);
        }
        let index = SparseIndex::build(segment, self.file(segment)?, self.slots, bytes, self.interval_bytes)?;
        // The file only saves the next scan: without space for it, the scan is done again.
        let _ = index.store(&self.dir, segment.number, of, bytes, self.interval_bytes);
        Ok(index)
    }

    fn keep_index(&self, number: u32, index: Arc<SparseIndex>) {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        if sealed.len() == INDEXES_KEPT {
            sealed.pop_front();
        }
        sealed.push_back((number, index));
    }

    /// Changes the index of the active segment. For the writer alone.
    pub(crate) fn with_active_index(&self, f: impl FnOnce(&mut SparseIndex)) {
        f(&mut self.active.lock().unwrap_or_else(PoisonError::into_inner).1);
    }

    /// Puts a new segment after the newest one, whose length is final; returns that one's index. For the writer alone.
    pub(crate) fn roll(&self, segment: Arc<Segment>, file: Arc<File>, sealed_bytes: u64) -> Arc<SparseIndex> {
        let newest = self.newest();
        newest.sealed_bytes.set(sealed_bytes).expect("a segment is sealed once");
        self.files.put(segment.number, file);
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let index = Arc::new(std::mem::take(&mut active.1));
        active.0 = segment.number;
        self.keep_index(newest.number, index.clone());
        drop(active);
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push_back(segment);
        index
    }

    /// Makes entries visible to readers. For the writer alone.
    pub(crate) fn publish(&self, end: End) {
        self.end.send_replace(Arc::new(end));
        self.moved.notify();
    }

    fn file(&self, segment: &Segment) -> Result<Arc<File>, ReadError> {
        self.files.get(segment.number, || File::open(&segment.path)).map_err(|e| ReadError::io(&segment.path, e))
    }

    /// Drops the oldest segments while `old` says so of a segment and its successor. Never the one that is written to.
    pub(crate) fn drop_while(&self, old: impl Fn(&Segment, &Segment, u64) -> bool) -> Result<u32, RetainError> {
        let _one_at_a_time = self.dropping.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        while let Some(segment) = self.take_oldest(&old) {
            if let Err(e) = self.remove_files(&segment) {
                // What is still in the folder is still in the log: else the next one dropped would leave a gap.
                self.segments.write().unwrap_or_else(PoisonError::into_inner).push_front(segment);
                return Err(e);
            }
            self.sealed.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != segment.number);
            dropped += 1;
        }
        Ok(dropped)
    }

    fn remove_files(&self, segment: &Segment) -> Result<(), RetainError> {
        for file in [segment::index_path(&self.dir, segment.number), segment.path.clone()] {
            match std::fs::remove_file(&file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(RetainError { file, source }),
                _ => {}
            }
        }
        self.files.remove(segment.number);
        segment::sync_dir(&self.dir).map_err(|source| RetainError { file: self.dir.clone(), source })
    }

    fn take_oldest(&self, old: impl Fn(&Segment, &Segment, u64) -> bool) -> Option<Arc<Segment>> {
        let end = self.end();
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let kept_bytes = segments.iter().map(|s| s.sealed_bytes.get().copied().unwrap_or(end.offset)).sum();
        let (oldest, after) = (segments.front()?, segments.get(1)?);
        if after.number > end.segment || !old(oldest, after, kept_bytes) {
            return None;
        }
        segments.pop_front()
    }
}

fn read_exact(file: &File, into: &mut [u8], at: u64, segment: &Segment) -> Result<(), ReadError> {
    file.read_exact_at(into, at).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => segment.damage(at, Flaw::Truncated).into(),
        _ => ReadError::io(&segment.path, e),
    })
}

/// A segment must begin exactly where its predecessor ended: else entries were lost between them.
pub(crate) fn check_seam(walk: &Walk, segment: &Segment) -> Result<(), ReadError> {
    if let Some(slot) = (0..walk.next.len()).find(|&slot| walk.next[slot] != segment.base[slot]) {
        return Err(ReadError::Gap {
            expected: walk.slots().position(slot, walk.next[slot]),
            found: Index(segment.base[slot]),
            file: segment.path.clone(),
            offset: 0,
        });
    }
    if walk.group != segment.first_group || walk.in_group != 0 {
        return Err(walk.segment.damage(walk.offset, Flaw::Group).into());
    }
    Ok(())
}

fn open_segments(dir: &std::path::Path, log_id: [u8; 16], slots: Slots) -> Result<VecDeque<Arc<Segment>>, OpenError> {
    let missing = |number| OpenError::MissingSegment { file: segment::path(dir, number) };
    let numbers = segment::list(dir).map_err(|e| OpenError::io(dir, e))?;
    let first = *numbers.first().ok_or_else(|| missing(1))?;
    if slots.track == TrackId::Main && first != 1 {
        return Err(missing(1));
    }
    let mut segments = VecDeque::with_capacity(numbers.len());
    for (number, expected) in numbers.iter().copied().zip(first..) {
        if number != expected {
            return Err(missing(expected));
        }
        let path = segment::path(dir, number);
        let segment = segment::read_head(&path, log_id, slots, number)?;
        let bytes = std::fs::metadata(&path).map_err(|e| OpenError::io(&path, e))?.len();
        segment.sealed_bytes.set(bytes).expect("nobody else has seen the segment");
        segments.push_back(segment);
    }
    let mut newest = segments.pop_back().expect("there is a first number");
    // An index is written only when a segment is sealed, and that is after its successor has got its name.
    if segment::index_path(dir, newest.number).exists() {
        return Err(missing(newest.number + 1));
    }
    newest.sealed_bytes = Default::default();
    Ok(segments.into_iter().chain([newest]).map(Arc::new).collect())
}
