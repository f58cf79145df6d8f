//! The log on one machine's disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use record::{Index, Partition, Position, Positions, Stream, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::error::{AppendError, OpenError, ReadError, RetainError, is_full};
use crate::frame::frame_bytes;
use crate::manifest::{self, Lock, Manifest};
use crate::options::{LogOptions, Tuning};
use crate::reader::EmbeddedReader;
use crate::segment::{self, Start};
use crate::track::{Moved, Track};
use crate::types::{
    APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Append, Appended, ENTRY_BYTES_MAX, Locator, Logged, PartitionCounts,
    Recovered, Slots, StreamSet, TrackId,
};
use crate::writer::{Command, Job, Writer};

/// What an entry in the queue takes besides its frame.
const QUEUED_ENTRY_BYTES: u64 = 128;

/// An event log in preallocated segment files of one folder. Cheap to clone; all clones are one log.
///
/// The last clone (or reader) that is dropped closes it: what is queued is written first, and the drop blocks for as long. Asynchronous code
/// calls [`EventLog::close`](crate::EventLog::close) before.
#[derive(Debug, Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

/// One open log.
pub(crate) struct Inner {
    dir: PathBuf,
    manifest: Manifest,
    main: Line,
    access: Line,
    moved: Arc<Moved>,
    recovered: Vec<Recovered>,
    closed: watch::Sender<bool>,
    // Dropped last, after the writers have been joined.
    _lock: Lock,
}

/// A track and the way to its writer.
struct Line {
    track: Arc<Track>,
    queue: mpsc::UnboundedSender<Command>,
    /// Bytes that may still be queued.
    room: Arc<Semaphore>,
    queue_bytes_max: u32,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    /// Creates a log in a folder that is empty or absent.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`], [`OpenError::Locked`], [`OpenError::Options`], [`OpenError::Full`], [`OpenError::Io`].
    pub fn create(dir: &Path, options: &LogOptions, log_id: [u8; 16]) -> Result<Self, OpenError> {
        options.tuning.check()?;
        if !options.partitions.valid() {
            return Err(OpenError::Options { what: "number of partitions" });
        }
        let lock = manifest::begin_creation(dir)?;
        let manifest = Manifest { log_id, partitions: options.partitions };
        for track in TrackId::ALL {
            let bytes = match track {
                TrackId::Main => options.tuning.segment_bytes,
                TrackId::Access => options.tuning.access_segment_bytes,
            };
            first_segment(dir, manifest, track, bytes).map_err(|source| refused(dir, source))?;
        }
        manifest.store(dir).map_err(|source| refused(dir, source))?;
        Self::start(dir, lock, manifest, &options.tuning)
    }

    /// Whether [`Embedded::create`] would refuse the folder: it holds a log, or something else. What an interrupted creation left is
    /// neither, since nothing was written to it.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn is_begun(dir: &Path) -> Result<bool, OpenError> {
        manifest::is_begun(dir).map_err(|error| OpenError::io(dir, error))
    }

    /// Opens a log as it was created, tuned by default.
    ///
    /// # Errors
    /// As [`Embedded::open_with`].
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, &Tuning::default())
    }

    /// Opens a log. A torn tail is cut and reported by [`Embedded::recovered`]; anything else that is not as it was written is refused.
    ///
    /// # Errors
    /// Every variant of [`OpenError`] but [`OpenError::NotEmpty`].
    pub fn open_with(dir: &Path, tuning: &Tuning) -> Result<Self, OpenError> {
        tuning.check()?;
        // Before the lock, so that a folder which is no log stays untouched.
        Manifest::load(dir)?;
        let lock = Lock::take(dir)?;
        let manifest = Manifest::load(dir)?;
        Self::start(dir, lock, manifest, tuning)
    }

    fn start(dir: &Path, lock: Lock, manifest: Manifest, tuning: &Tuning) -> Result<Self, OpenError> {
        let moved = Arc::new(Moved::default());
        let mut recovered = Vec::new();
        let mut line = |track| Line::start(dir, manifest, track, tuning, &moved, &mut recovered);
        let (main, access) = (line(TrackId::Main)?, line(TrackId::Access)?);
        let closed = watch::Sender::new(false);
        let inner = Inner { dir: dir.to_owned(), manifest, main, access, moved, recovered, closed, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The identity given at creation.
    pub fn log_id(&self) -> [u8; 16] {
        self.inner.manifest.log_id
    }

    /// How many partitions each stream has.
    pub fn partitions(&self) -> PartitionCounts {
        self.inner.partitions()
    }

    /// What was cut off when the log was opened.
    pub fn recovered(&self) -> &[Recovered] {
        &self.inner.recovered
    }

    /// See [`EventLog::append`](crate::EventLog::append).
    pub async fn append(&self, batch: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        self.enqueue(batch, None).await?.landed().await
    }

    /// Queues entries, at the time that a copied log says or the clock's.
    pub(crate) async fn enqueue(&self, batch: Vec<Append>, at: Option<Timestamp>) -> Result<Queued, AppendError> {
        check_size(&batch)?;
        let tracks: Vec<_> = batch.iter().map(|a| TrackId::of(a.stream)).collect();
        let (mut main, mut access) = (Vec::new(), Vec::new());
        for Append { stream, partition, bytes } in batch {
            let track = TrackId::of(stream);
            let slot = self.inner.line(track).track.slots.slot(stream, partition).ok_or_else(|| {
                AppendError::NoSuchPartition { stream, partition, count: self.inner.partitions().of(stream) }
            })?;
            match track {
                TrackId::Main => main.push((slot, bytes)),
                TrackId::Access => access.push((slot, bytes)),
            }
        }
        let main = self.inner.main.enqueue(main, at).await?;
        let access = self.inner.access.enqueue(access, at).await?;
        Ok(Queued { tracks, main, access })
    }

    /// See [`EventLog::ends`](crate::EventLog::ends).
    pub fn ends(&self) -> Positions {
        let mut out = Positions::new();
        for track in self.inner.tracks() {
            track.slots.positions(&track.end().next, &mut out);
        }
        out
    }

    /// See [`EventLog::first`](crate::EventLog::first).
    pub fn first(&self) -> Positions {
        let mut out = Positions::new();
        for track in self.inner.tracks() {
            track.slots.positions(&track.first(), &mut out);
        }
        out
    }

    /// See [`EventLog::read`](crate::EventLog::read).
    pub fn read(&self, locator: Locator) -> Result<Logged, ReadError> {
        self.inner.line(locator.unpack().0).track.read(locator)
    }

    /// See [`EventLog::read_position`](crate::EventLog::read_position).
    pub fn read_position(&self, position: Position) -> Result<Logged, ReadError> {
        let (track, slot) = self.slot(position.stream, position.partition)?;
        track.read_position(slot, position)
    }

    /// See [`EventLog::find_time`](crate::EventLog::find_time).
    pub fn find_time(&self, stream: Stream, partition: Partition, at: Timestamp) -> Result<Index, ReadError> {
        let (track, slot) = self.slot(stream, partition)?;
        track.find_time(slot, at.0).map(Index)
    }

    fn slot(&self, stream: Stream, partition: Partition) -> Result<(&Track, usize), ReadError> {
        let track = &*self.inner.line(TrackId::of(stream)).track;
        let slot = track.slots.slot(stream, partition).ok_or(ReadError::NoSuchPartition { stream, partition })?;
        Ok((track, slot))
    }

    /// See [`EventLog::reader`](crate::EventLog::reader).
    pub fn reader(&self, from: &Positions, streams: StreamSet) -> Result<EmbeddedReader, ReadError> {
        EmbeddedReader::new(self.inner.clone(), from, streams)
    }

    /// See [`EventLog::wait_beyond`](crate::EventLog::wait_beyond).
    pub async fn wait_beyond(&self, seen: &Positions, streams: StreamSet) -> bool {
        let mut closed = self.inner.closed.subscribe();
        let (mut main, mut access) = (self.inner.main.track.watch(), self.inner.access.track.watch());
        loop {
            main.mark_unchanged();
            access.mark_unchanged();
            if self.inner.tracks().into_iter().any(|track| is_beyond(track, seen, streams)) {
                return true;
            }
            if *closed.borrow_and_update() {
                return false;
            }
            // The senders live as long as this log, so that none of these fails.
            tokio::select! {
                _ = main.changed() => {}
                _ = access.changed() => {}
                _ = closed.changed() => {}
            }
        }
    }

    /// See [`EventLog::retain_access`](crate::EventLog::retain_access).
    pub fn retain_access(&self, before: Timestamp) -> Result<u32, RetainError> {
        self.inner.access.track.drop_while(|_, after, _| after.time_floor < before.0)
    }

    /// See [`EventLog::retain_access_bytes`](crate::EventLog::retain_access_bytes).
    pub fn retain_access_bytes(&self, bytes_max: u64) -> Result<u32, RetainError> {
        self.inner.access.track.drop_while(|_, _, kept| kept > bytes_max)
    }

    /// See [`EventLog::close`](crate::EventLog::close).
    pub async fn close(&self) {
        let inner = self.inner.clone();
        let closing = tokio::task::spawn_blocking(move || inner.close());
        closing.await.expect("closing does not panic");
    }
}

impl Inner {
    pub(crate) fn partitions(&self) -> PartitionCounts {
        self.manifest.partitions
    }

    pub(crate) fn tracks(&self) -> [&Arc<Track>; 2] {
        [&self.main.track, &self.access.track]
    }

    pub(crate) fn moved(&self) -> &Moved {
        &self.moved
    }

    fn line(&self, track: TrackId) -> &Line {
        match track {
            TrackId::Main => &self.main,
            TrackId::Access => &self.access,
        }
    }

    fn close(&self) {
        for line in [&self.main, &self.access] {
            line.room.close();
            // The thread may have ended already.
            let _ = line.queue.send(Command::Close);
        }
        for line in [&self.main, &self.access] {
            let thread = line.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // A writer that panicked has told its callers by dropping their replies.
                let _ = thread.join();
            }
        }
        self.closed.send_replace(true);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Line {
    fn start(
        dir: &Path,
        manifest: Manifest,
        track: TrackId,
        tuning: &Tuning,
        moved: &Arc<Moved>,
        recovered: &mut Vec<Recovered>,
    ) -> Result<Self, OpenError> {
        let slots = Slots { track, counts: manifest.partitions };
        let interval = u64::from(tuning.index_interval_bytes);
        let folder = dir.join(track.folder());
        let (track, opened) =
            Track::open(folder, manifest.log_id, slots, interval, tuning.open_files_max, moved.clone())?;
        recovered.extend(opened.recovered.clone());
        let track = Arc::new(track);
        let writer = Writer::new(track.clone(), opened, tuning);
        let (queue, commands) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name(format!("log-{}", slots.track.folder()))
            .spawn(move || writer.run(commands))
            .map_err(|e| OpenError::io(dir, e))?;
        Ok(Self {
            track,
            queue,
            room: Arc::new(Semaphore::new(tuning.queue_bytes_max as usize)),
            queue_bytes_max: tuning.queue_bytes_max,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Waits for room and queues the entries; the receiver says what became of them.
    async fn enqueue(
        &self,
        entries: Vec<(usize, Bytes)>,
        at: Option<Timestamp>,
    ) -> Result<Option<Answer>, AppendError> {
        if entries.is_empty() {
            return Ok(None);
        }
        let frame_bytes = entries.iter().map(|(_, b)| frame_bytes(b.len()) as u64).sum::<u64>();
        let cost = frame_bytes + entries.len() as u64 * QUEUED_ENTRY_BYTES;
        let permits = u32::try_from(cost).unwrap_or(u32::MAX).min(self.queue_bytes_max);
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { entries, frame_bytes, at, room, reply };
        self.queue.send(Command::Append(job)).map_err(|_| AppendError::Closed)?;
        Ok(Some(answer))
    }
}

/// A call whose entries are on their way to the disk.
pub(crate) struct Queued {
    tracks: Vec<TrackId>,
    main: Option<Answer>,
    access: Option<Answer>,
}

impl Queued {
    /// Waits until they are durable.
    pub(crate) async fn landed(self) -> Result<Vec<Appended>, AppendError> {
        let mut main = answered(self.main).await?.into_iter();
        if self.access.is_none() {
            return Ok(main.collect());
        }
        let mut access = answered(self.access).await?.into_iter();
        let merged = self.tracks.into_iter().map_while(|track| match track {
            TrackId::Main => main.next(),
            TrackId::Access => access.next(),
        });
        Ok(merged.collect())
    }
}

type Answer = oneshot::Receiver<Result<Vec<Appended>, AppendError>>;

async fn answered(answer: Option<Answer>) -> Result<Vec<Appended>, AppendError> {
    match answer {
        Some(answer) => answer.await.unwrap_or(Err(AppendError::Closed)),
        None => Ok(Vec::new()),
    }
}

pub(crate) fn check_size(batch: &[Append]) -> Result<(), AppendError> {
    if let Some(large) = batch.iter().find(|a| a.bytes.len() > ENTRY_BYTES_MAX) {
        return Err(AppendError::TooLarge { bytes: large.bytes.len() });
    }
    let bytes = batch.iter().map(|a| a.bytes.len()).sum();
    if bytes > APPEND_BYTES_MAX || batch.len() > APPEND_ENTRIES_MAX {
        return Err(AppendError::BatchTooLarge { entries: batch.len(), bytes });
    }
    Ok(())
}

fn is_beyond(track: &Track, seen: &Positions, streams: StreamSet) -> bool {
    track.end().next.iter().enumerate().any(|(slot, &end)| {
        let (stream, partition) = track.slots.place(slot);
        streams.contains(stream) && end > seen.get(stream, partition).0
    })
}

fn first_segment(dir: &Path, manifest: Manifest, track: TrackId, bytes: u64) -> io::Result<()> {
    let folder = dir.join(track.folder());
    let slots = Slots { track, counts: manifest.partitions };
    let base = vec![0; slots.len()];
    let start = Start { log_id: manifest.log_id, slots, number: 1, first_group: 0, time_floor: i64::MIN, base: &base };
    segment::prepare(&folder, &start, bytes)?.publish(&folder)?;
    Ok(())
}

fn refused(dir: &Path, source: io::Error) -> OpenError {
    if is_full(&source) { OpenError::Full { dir: dir.to_owned(), source } } else { OpenError::io(dir, source) }
}
