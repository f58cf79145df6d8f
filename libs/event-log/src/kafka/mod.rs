//! The log on Apache Kafka: one topic per stream, an entry's index is its offset, a message's value is the same bytes as an embedded entry.
//!
//! Idempotent producer with `acks=all` and no transactions, topics without compaction: hence offsets have no gaps, and a reader checks it.
//! What was acknowledged is on `min.insync.replicas` brokers. Unlike the embedded log, a call whose entries go to several partitions is not
//! all or nothing: when it fails, any of its entries may be in the log, each partition's up to some entry. Append times are those of the
//! appending process's clock; within one process they never go back.

mod bare;
mod bodies;
mod client;
mod ends;
mod event;
mod layout;
mod lookup;
mod options;
mod producer;
mod reader;
mod topics;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use record::{Index, Partition, Position, Positions, Stream, Timestamp};

use self::bodies::Bodies;
use self::client::{Asker, told};
use self::ends::Ends;
use self::layout::{Layout, topic_name};
use self::lookup::Lookup;
pub use self::producer::Queued;
use self::producer::Way;
use crate::embedded::check_size;
use crate::error::{AppendError, OpenError, ReadError};
use crate::types::{Append, Appended, Locator, Logged, PartitionCounts, Stall, StreamSet};

pub use bare::bare_rate;
pub use options::{Compression, KafkaOptions, KafkaSasl, KafkaTls, LocalBodies, TopicPlan};
pub use reader::KafkaReader;
pub use topics::{brokers, init, inspect, remove};

/// Beginnings are asked for once in so many questions for ends.
const FIRST_EVERY: u32 = 50;
/// What names a log: its first entry.
const FIRST: Position = Position { stream: Stream::Control, partition: Partition(0), index: Index(0) };

/// A log on Kafka. Cheap to clone; all clones are one log.
///
/// The last clone (or reader) that is dropped closes it: what is queued is sent first, and the drop blocks for as long. Asynchronous code
/// calls [`EventLog::close`](crate::EventLog::close) before.
#[derive(Debug, Clone)]
pub struct Kafka {
    inner: Arc<Inner>,
    /// Dropped with the last clone; readers do not hold it.
    watch: Arc<Watch>,
}

pub(crate) struct Inner {
    options: KafkaOptions,
    layout: Layout,
    ends: Arc<Ends>,
    asker: Asker,
    lookup: Lookup,
    way: Way,
    bodies: Option<Bodies>,
    id: OnceLock<[u8; 16]>,
}

/// The thread that asks for ends at intervals.
#[derive(Debug)]
struct Watch {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Kafka {
    /// Opens the log whose topics [`init`] has made, after a check of their settings. Blocks on the network.
    ///
    /// # Errors
    /// [`OpenError::Options`], [`OpenError::Unreachable`], [`OpenError::NoTopic`], [`OpenError::Topic`], [`OpenError::Client`]; of the
    /// local files [`OpenError::Locked`] and [`OpenError::Io`].
    pub fn open(options: &KafkaOptions) -> Result<Self, OpenError> {
        options.check()?;
        let asker = Asker::new(options)?;
        let counts = asker.partitions(|stream| topic_name(&options.prefix, stream))?;
        if options.check_topics {
            topics::check(&asker, options)?;
        }
        let layout = Layout::new(&options.prefix, counts);
        let ends = Arc::new(Ends::new(layout.clone(), options.stall_after));
        let inner = Inner {
            lookup: Lookup::new(options, &layout)?,
            way: Way::open(options, &layout, &ends)?,
            bodies: options.bodies.as_ref().map(|local| Bodies::open(local, &layout)).transpose()?,
            options: options.clone(),
            layout,
            ends,
            asker,
            id: OnceLock::new(),
        };
        inner.find_ends()?;
        let inner = Arc::new(inner);
        inner.name()?;
        let watch = Arc::new(Watch::start(&inner)?);
        Ok(Self { inner, watch })
    }

    /// What names the log: a hash of its first control entry, hence the same for a copy on other brokers; `None` while it has none.
    ///
    /// # Errors
    /// [`ReadError`] when the brokers do not give the entry.
    pub fn log_id(&self) -> Result<Option<[u8; 16]>, ReadError> {
        self.inner.name()
    }

    /// How many partitions each stream has.
    pub fn partitions(&self) -> PartitionCounts {
        self.inner.layout.counts
    }

    /// What does not go on, if anything: brokers that do not answer, an entry that is known to be there and does not come, a log that
    /// has lost entries.
    pub fn stalled(&self) -> Option<Stall> {
        self.inner.ends.stalled()
    }

    /// Bytes of the local files of entries.
    pub fn local_bytes(&self) -> u64 {
        self.inner.bodies.as_ref().map_or(0, Bodies::bytes)
    }

    /// See [`EventLog::fill_local`](crate::EventLog::fill_local).
    pub fn fill_local(
        &self,
        until: &Positions,
        mut go_on: impl FnMut(u64, Duration) -> bool,
    ) -> Result<u64, ReadError> {
        const ENTRIES: usize = 4096;
        const BYTES: usize = 8 << 20;
        const PATIENCE: Duration = Duration::from_millis(200);
        let Some(bodies) = &self.inner.bodies else { return Ok(0) };
        let (until, mut from, mut missing) = (until.of(Stream::Change), Positions::new(), false);
        for (stream, partition, end) in until.iter() {
            let slot =
                self.inner.layout.slot(stream, partition).ok_or(ReadError::NoSuchPartition { stream, partition })?;
            let first = self.inner.ends.first_of(slot);
            let found = bodies
                .first_missing(slot, first, end.0)
                .map_err(|e| ReadError::Client { detail: format!("{}: {e}", bodies.dir().display()) })?;
            missing |= found.is_some();
            from.set(stream, partition, Index(found.unwrap_or(end.0.max(first))));
        }
        if !missing {
            return Ok(0);
        }
        let mut reader = KafkaReader::new(Arc::clone(&self.inner), &from, StreamSet::empty().with(Stream::Change))?;
        let mut entries = 0;
        while !reader.positions().covers_all(&until) && bodies.has_room() {
            let begun = Instant::now();
            let batch = match reader.next_batch(ENTRIES, BYTES) {
                Err(ReadError::Unanswered { .. }) => Vec::new(),
                batch => batch?.entries,
            };
            if batch.is_empty() {
                reader.wait(PATIENCE);
            }
            bodies.store_all_missing(&batch);
            entries += batch.len() as u64;
            if !go_on(entries, begun.elapsed()) {
                break;
            }
        }
        Ok(entries)
    }

    /// See [`EventLog::append`](crate::EventLog::append).
    pub async fn append(&self, batch: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        self.enqueue(batch, None).await?.landed().await
    }

    /// Queues entries, at the time that a copied log says or the clock's.
    pub(crate) async fn enqueue(&self, batch: Vec<Append>, at: Option<Timestamp>) -> Result<Queued, AppendError> {
        check_size(&batch)?;
        self.inner.way.enqueue(&self.inner.layout, batch, at).await
    }

    /// See [`EventLog::ends`](crate::EventLog::ends).
    pub fn ends(&self) -> Positions {
        self.inner.ends.ends()
    }

    /// See [`EventLog::first`](crate::EventLog::first).
    pub fn first(&self) -> Positions {
        self.inner.ends.first()
    }

    /// See [`EventLog::read`](crate::EventLog::read).
    pub fn read(&self, locator: Locator) -> Result<Logged, ReadError> {
        let not_found = ReadError::NotFound { locator: locator.0 };
        match self.inner.read(locator.to_position()) {
            Err(ReadError::BeyondEnd { .. } | ReadError::Expired { .. } | ReadError::NoSuchPartition { .. }) => {
                Err(not_found)
            }
            read => read,
        }
    }

    /// See [`EventLog::read_position`](crate::EventLog::read_position).
    pub fn read_position(&self, position: Position) -> Result<Logged, ReadError> {
        self.inner.read(position)
    }

    /// See [`EventLog::find_time`](crate::EventLog::find_time).
    pub fn find_time(&self, stream: Stream, partition: Partition, at: Timestamp) -> Result<Index, ReadError> {
        self.inner.find_time(stream, partition, at)
    }

    /// See [`EventLog::reader`](crate::EventLog::reader).
    pub fn reader(&self, from: &Positions, streams: StreamSet) -> Result<KafkaReader, ReadError> {
        KafkaReader::new(self.inner.clone(), from, streams)
    }

    /// See [`EventLog::wait_beyond`](crate::EventLog::wait_beyond).
    pub async fn wait_beyond(&self, seen: &Positions, streams: StreamSet) -> bool {
        self.inner.ends.wait_beyond(seen, streams).await
    }

    /// See [`EventLog::close`](crate::EventLog::close).
    pub async fn close(&self) {
        let (inner, watch) = (self.inner.clone(), self.watch.clone());
        let closing = tokio::task::spawn_blocking(move || {
            inner.close();
            watch.stop();
        });
        closing.await.expect("closing does not panic");
    }
}

impl Inner {
    fn close(&self) {
        self.way.close();
        self.ends.close();
    }

    fn find_ends(&self) -> Result<(), OpenError> {
        for which in [Offset::End, Offset::Beginning] {
            let told = self.asker.offsets(&self.layout, which, self.options.read_timeout);
            let told = told.map_err(|e| self.asker.unreachable(&e))?;
            if told.iter().any(|t| !matches!(t, ends::Told::Index(_))) {
                let detail = "a partition has no leader; bring its brokers back".to_owned();
                return Err(OpenError::Unreachable { bootstrap: self.options.bootstrap.clone(), detail });
            }
            match which {
                Offset::End => self.ends.take_ends(&self.ends.next(), &told),
                _ => self.ends.take_first(&told),
            }
        }
        Ok(())
    }

    fn ask_ends(&self) {
        let before = self.ends.next();
        match self.asker.offsets(&self.layout, Offset::End, self.options.read_timeout.min(Duration::from_secs(2))) {
            Ok(told) if told.iter().all(|t| *t == ends::Told::Nothing) => {
                self.ends.unanswered(self.asker.detail(), self.options.watch_interval);
            }
            Ok(told) => self.ends.take_ends(&before, &told),
            Err(error) => {
                let detail = format!("{}; {}", told(&error), self.asker.detail());
                // A question takes up to two seconds: said once within the first that comes too late.
                self.ends.unanswered(detail, self.options.watch_interval + Duration::from_secs(2));
            }
        }
    }

    fn ask_first(&self) {
        // Without an answer what was known before still holds: beginnings only grow.
        if let Ok(told) = self.asker.offsets(&self.layout, Offset::Beginning, self.options.read_timeout) {
            self.ends.take_first(&told);
        }
    }

    /// Finds out what names the log, and tells the local files.
    fn name(&self) -> Result<Option<[u8; 16]>, ReadError> {
        if let Some(id) = self.id.get() {
            return Ok(Some(*id));
        }
        if self.ends.end(0) == 0 {
            return Ok(None);
        }
        let mut first = None;
        self.lookup.read(FIRST, |entry| {
            first = Some(entry);
            false
        })?;
        let entry = first.expect("it was read, else there was an error");
        Ok(Some(self.named_by(&entry)))
    }

    fn named_by(&self, first: &Logged) -> [u8; 16] {
        let id = *self.id.get_or_init(|| {
            let hash = blake3::hash(&first.bytes);
            hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes")
        });
        if let Some(bodies) = &self.bodies
            && let Err(error) = bodies.bind(id)
        {
            tracing::error!(dir = %bodies.dir().display(), %error, "local files cannot be used; entries are asked of the brokers");
        }
        id
    }

    /// The local files of a log that was begun after it was opened belong to it from its first entry on.
    fn bind_bodies(&self, entries: &[Logged]) {
        if self.id.get().is_none()
            && let Some(first) = entries.iter().find(|e| e.position == FIRST)
        {
            self.named_by(first);
        }
    }

    /// Whether a reader can begin at `from`.
    fn check_range(&self, wanted: &[usize], from: &Positions) -> Result<(), ReadError> {
        let at = |slot: usize| {
            let (stream, partition) = self.layout.place(slot);
            from.get(stream, partition).0
        };
        if wanted.iter().any(|slot| at(*slot) > self.ends.end(*slot)) {
            // Somebody else may have appended.
            self.ask_ends();
        }
        for &slot in wanted {
            let (position, end) = (self.layout.position(slot, at(slot)), self.ends.end(slot));
            if position.index.0 > end {
                return Err(ReadError::BeyondEnd { wanted: position, end: Index(end) });
            }
            let first = self.ends.first_of(slot);
            if position.index.0 < first {
                return Err(ReadError::Expired { wanted: position, first: Index(first) });
            }
        }
        match self.ends.lost() {
            Some(lost) => Err(lost.into()),
            None => Ok(()),
        }
    }

    fn read(&self, position: Position) -> Result<Logged, ReadError> {
        let Position { stream, partition, index } = position;
        let slot = self.layout.slot(stream, partition).ok_or(ReadError::NoSuchPartition { stream, partition })?;
        if let Some(found) = self.bodies.as_ref().and_then(|bodies| bodies.get(position)) {
            return Ok(found);
        }
        if index.0 >= self.ends.end(slot) {
            self.ask_ends();
        }
        let (first, end) = (Index(self.ends.first_of(slot)), Index(self.ends.end(slot)));
        if index >= end {
            return Err(ReadError::BeyondEnd { wanted: position, end });
        }
        if index < first {
            return Err(ReadError::Expired { wanted: position, first });
        }
        let mut found = None;
        self.lookup.read(position, |entry| {
            found = Some(entry);
            false
        })?;
        let found = found.expect("it was read, else there was an error");
        if let Some(bodies) = &self.bodies {
            bodies.store_missing(&found);
        }
        Ok(found)
    }

    /// The brokers know times to the millisecond; within one the entries are looked at.
    fn find_time(&self, stream: Stream, partition: Partition, at: Timestamp) -> Result<Index, ReadError> {
        let slot = self.layout.slot(stream, partition).ok_or(ReadError::NoSuchPartition { stream, partition })?;
        let topic = self.layout.topic(stream);
        let millis = event::millis(at);
        let found = self.asker.offset_at(topic, partition.0, millis).map_err(|e| {
            let detail = format!("{}; {}", told(&e), self.asker.detail());
            lookup::unanswered(topic, self.layout.position(slot, 0), self.options.read_timeout, &detail)
        })?;
        let end = self.ends.end(slot);
        let mut index = match found {
            Some(index) if index < end => index,
            _ => return Ok(Index(end)),
        };
        if at.0 == millis * 1_000 {
            return Ok(Index(index));
        }
        self.lookup.read(self.layout.position(slot, index), |entry| {
            let before = entry.appended_at < at;
            if before {
                index += 1;
            }
            before && index < end
        })?;
        Ok(Index(index))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("kafka", &self.options).finish_non_exhaustive()
    }
}

impl Watch {
    fn start(inner: &Arc<Inner>) -> Result<Self, OpenError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (watched, interval) = (Arc::downgrade(inner), inner.options.watch_interval);
        let stopped = stop.clone();
        let watch = move || {
            for round in 1u32.. {
                std::thread::park_timeout(interval);
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Some(inner) = watched.upgrade() else { return };
                inner.ask_ends();
                if round.is_multiple_of(FIRST_EVERY) {
                    inner.ask_first();
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-kafka-ends".into()).spawn(watch);
        let thread = thread.map_err(|e| OpenError::Client { detail: format!("no thread: {e}") })?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.thread().id() != std::thread::current().id() {
                // A panic of it has been printed.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}
