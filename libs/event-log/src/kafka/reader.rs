//! Reading in order: one consumer per reader, every partition with a bounded queue of its own, merged by append time.
//!
//! The client library fetches ahead on threads of its own into these queues; whoever calls the reader takes from them. Between partitions the
//! order is that of append times as far as entries are known to be there, so that a contract comes before the changes that it was
//! registered for; nothing depends on it, since clocks of several processes differ.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use record::{Index, Partition, Positions, Stream};

use super::Inner;
use super::client::{Context, create, told};
use super::ends::Signal;
use super::lookup::{check_index, logged, unanswered};
use crate::error::ReadError;
use crate::types::{Logged, ReadBatch, StreamSet};

/// Entries share buffers of this size.
const BUFFER_BYTES: usize = 1 << 20;
/// How long a batch that has something waits for what is to come between.
const PATIENCE: Duration = Duration::from_millis(5);
/// Between two looks at what a reader waits for.
const LOOK: Duration = Duration::from_millis(50);

static READERS: AtomicU64 = AtomicU64::new(0);

/// Reads entries of a log on Kafka.
pub struct KafkaReader {
    log: Arc<Inner>,
    signal: Arc<Signal>,
    next: Positions,
    state: RefCell<State>,
}

struct State {
    number: u64,
    parts: Vec<Part>,
    /// What is at hand, one entry of a partition at a time: append time, then slot.
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    /// Partitions whose next entry is known to be there and has not come.
    pending: Vec<usize>,
    /// The ends that this batch reads to, by slot of the log.
    ends: Vec<u64>,
    buffer: BytesMut,
    /// What stays wrong.
    failed: Option<ReadError>,
    waits: bool,
    // Dropped after the queues, which belong to it.
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
}

struct Part {
    slot: usize,
    stream: Stream,
    partition: Partition,
    /// The index that must come next from the queue.
    due: u64,
    head: Option<Logged>,
    /// Came before the partition had a queue of its own.
    early: VecDeque<Logged>,
    queue: PartitionQueue<Context>,
}

impl KafkaReader {
    pub(super) fn new(log: Arc<Inner>, from: &Positions, streams: StreamSet) -> Result<Self, ReadError> {
        let layout = &log.layout;
        for (stream, partition, _) in from.iter().filter(|(s, ..)| streams.contains(*s)) {
            if layout.slot(stream, partition).is_none() {
                return Err(ReadError::NoSuchPartition { stream, partition });
            }
        }
        let wanted: Vec<_> = (0..layout.len()).filter(|slot| streams.contains(layout.place(*slot).0)).collect();
        log.check_range(&wanted, from)?;
        let signal = Arc::new(Signal::default());
        log.ends.register(&signal);
        let context = Context::default();
        let consumer = create(&log.options.reader(wanted.len()), context.clone())
            .map_err(|e| ReadError::Client { detail: e.to_string() })?;
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(consumer);
        let parts =
            assign(&log, &consumer, &wanted, from, &signal).map_err(|e| ReadError::Client { detail: told(&e) })?;
        let mut state = State {
            number: READERS.fetch_add(1, Ordering::Relaxed),
            heap: BinaryHeap::with_capacity(parts.len()),
            pending: Vec::with_capacity(parts.len()),
            ends: Vec::new(),
            buffer: BytesMut::new(),
            failed: None,
            waits: false,
            parts,
            consumer,
            context,
        };
        state.take_early(&log)?;
        let next = from.iter().filter(|(s, ..)| streams.contains(*s)).collect();
        Ok(Self { log, signal, next, state: RefCell::new(state) })
    }

    /// See [`crate::Reader::next_batch`].
    pub fn next_batch(&mut self, max_entries: usize, max_bytes: usize) -> Result<ReadBatch, ReadError> {
        let entries = self.state.get_mut().batch(&self.log, &self.signal, max_entries, max_bytes)?;
        for entry in &entries {
            self.next.include(entry.position);
        }
        if let Some(bodies) = &self.log.bodies {
            self.log.bind_bodies(&entries);
            bodies.store(&entries);
        }
        Ok(ReadBatch { entries, next: self.next.clone() })
    }

    /// See [`crate::Reader::wait`].
    pub fn wait(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        loop {
            let mut state = self.state.borrow_mut();
            state.look(&self.log);
            if state.has_more(&self.log) || self.log.ends.lost().is_some() {
                return true;
            }
            drop(state);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.log.ends.is_closed() {
                return false;
            }
            self.signal.wait(left.min(LOOK * 4));
        }
    }

    /// See [`crate::Reader::positions`].
    pub fn positions(&self) -> &Positions {
        &self.next
    }
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader").field("log", &self.log).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.log.ends.reader_waits(self.state.borrow().number, None);
    }
}

fn assign(
    log: &Inner,
    consumer: &Arc<BaseConsumer<Context>>,
    wanted: &[usize],
    from: &Positions,
    signal: &Arc<Signal>,
) -> KafkaResult<Vec<Part>> {
    let mut list = TopicPartitionList::with_capacity(wanted.len());
    for slot in wanted {
        let (stream, partition) = log.layout.place(*slot);
        let offset =
            i64::try_from(from.get(stream, partition).0).expect("it is before the end of a partition of Kafka");
        list.add_partition_offset(log.layout.topic(stream), i32::from(partition.0), Offset::Offset(offset))?;
    }
    consumer.assign(&list)?;
    let part = |slot: &usize| {
        let (stream, partition) = log.layout.place(*slot);
        let queue = consumer.split_partition_queue(log.layout.topic(stream), i32::from(partition.0));
        let mut queue = queue.ok_or(KafkaError::NoMessageReceived)?;
        let signal = signal.clone();
        queue.set_nonempty_callback(move || signal.raise());
        let due = from.get(stream, partition).0;
        Ok(Part { slot: *slot, stream, partition, due, head: None, early: VecDeque::new(), queue })
    };
    wanted.iter().map(part).collect()
}

impl State {
    /// What came between the assignment and the moment when every partition had its own queue.
    fn take_early(&mut self, log: &Inner) -> Result<(), ReadError> {
        let consumer = self.consumer.clone();
        while let Some(came) = consumer.poll(Duration::ZERO) {
            // Errors of the client come again, by the context.
            let Ok(message) = came else { continue };
            let of = |p: &&mut Part| {
                message.topic() == log.layout.topic(p.stream) && message.partition() == i32::from(p.partition.0)
            };
            if let Some(part) = self.parts.iter_mut().find(of) {
                let bytes = copy(&mut self.buffer, &message);
                let entry = part.entry(log, &message, bytes)?;
                part.early.extend(entry);
            }
        }
        Ok(())
    }

    fn batch(
        &mut self,
        log: &Inner,
        signal: &Signal,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<Logged>, ReadError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.look(log);
        log.ends.copy_next(&mut self.ends);
        self.control_first(log);
        for at in 0..self.parts.len() {
            if self.parts[at].head.is_none() {
                self.draw(log, at);
            }
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < max_entries {
            if !self.pending.is_empty() && !self.wait_for_pending(log, signal, entries.is_empty())? {
                break;
            }
            let Some(&Reverse((_, at))) = self.heap.peek() else { break };
            let size = self.parts[at].head.as_ref().map_or(0, |head| head.bytes.len());
            if !entries.is_empty() && bytes + size > max_bytes {
                break;
            }
            self.heap.pop();
            entries.extend(self.parts[at].head.take());
            bytes += size;
            self.draw(log, at);
        }
        match &self.failed {
            // What was read before the error is good; the error comes again with the next call.
            Some(failed) if entries.is_empty() => Err(failed.clone()),
            _ => Ok(entries),
        }
    }

    /// A change is never given out before it is certain whether anything of `control` precedes it.
    fn control_first(&mut self, log: &Inner) {
        let Some(control) = self.parts.iter().find(|p| p.stream == Stream::Control) else { return };
        let begun = self.ends[control.slot] > 0;
        let others = self.parts.iter().any(|p| p.stream != Stream::Control && self.ends[p.slot] > p.due);
        if !begun && others {
            log.ask_ends();
            log.ends.copy_next(&mut self.ends);
        }
    }

    /// Takes what came to partitions that were thought to be at their end.
    fn look(&mut self, log: &Inner) {
        for part in &mut self.parts {
            if part.head.is_none() && log.ends.end(part.slot) <= part.due {
                match part.poll(log, &mut self.buffer) {
                    Ok(Some(head)) => {
                        log.ends.advance(part.slot, head.position.index.0 + 1);
                        part.head = Some(head);
                    }
                    Ok(None) => {}
                    Err(error) => self.failed = Some(error),
                }
            }
        }
        // Errors of no partition: the context remembers them.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        self.heap.clear();
        self.pending.clear();
        for (at, part) in self.parts.iter().enumerate() {
            if let Some(head) = &part.head {
                self.heap.push(Reverse((head.appended_at.0, at)));
            }
        }
    }

    fn has_more(&self, log: &Inner) -> bool {
        let more = |p: &Part| p.head.is_some() || !p.early.is_empty() || log.ends.end(p.slot) > p.due;
        self.failed.is_some() || self.parts.iter().any(more)
    }

    /// Brings the next entry of a partition to hand, or notes that it is to come.
    fn draw(&mut self, log: &Inner, at: usize) {
        let part = &mut self.parts[at];
        if part.due >= self.ends[part.slot] && part.early.is_empty() {
            return;
        }
        match part.poll(log, &mut self.buffer) {
            Ok(Some(head)) => {
                self.heap.push(Reverse((head.appended_at.0, at)));
                part.head = Some(head);
            }
            Ok(None) => self.pending.push(at),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }

    /// Waits for what is known to be there. `false`: give out what there is.
    fn wait_for_pending(&mut self, log: &Inner, signal: &Signal, nothing_yet: bool) -> Result<bool, ReadError> {
        let began = Instant::now();
        let patience = if nothing_yet { log.options.read_timeout } else { PATIENCE };
        loop {
            for at in std::mem::take(&mut self.pending) {
                self.draw(log, at);
            }
            if let Some(failed) = &self.failed {
                return if nothing_yet { Err(failed.clone()) } else { Ok(false) };
            }
            let Some(&at) = self.pending.first() else {
                self.waits_no_more(log);
                return Ok(true);
            };
            if let Some(lost) = log.ends.lost() {
                return Err(lost.into());
            }
            let waited = began.elapsed();
            if waited >= patience {
                if !nothing_yet {
                    return Ok(false);
                }
                let part = &self.parts[at];
                let wanted = log.layout.position(part.slot, part.due);
                return Err(unanswered(log.layout.topic(part.stream), wanted, patience, &self.context.last_error()));
            }
            if nothing_yet {
                self.waits(log, at, began);
            }
            while self.consumer.poll(Duration::ZERO).is_some() {}
            signal.wait((patience - waited).min(LOOK));
        }
    }

    fn waits(&mut self, log: &Inner, at: usize, since: Instant) {
        let waited = since.elapsed();
        if self.waits || waited < log.options.stall_after {
            return;
        }
        self.waits = true;
        let position = log.layout.position(self.parts[at].slot, self.parts[at].due);
        tracing::warn!(entry = %position, waited_ms = waited.as_millis(), reason = %self.context.last_error(),
            "a reader waits for an entry that is in the log");
        log.ends.reader_waits(self.number, Some((since, position)));
    }

    fn waits_no_more(&mut self, log: &Inner) {
        if std::mem::take(&mut self.waits) {
            log.ends.reader_waits(self.number, None);
            tracing::info!("the reader goes on");
        }
    }
}

fn copy(buffer: &mut BytesMut, message: &BorrowedMessage<'_>) -> Bytes {
    let payload = message.payload().unwrap_or_default();
    if buffer.capacity() < payload.len() {
        *buffer = BytesMut::with_capacity(BUFFER_BYTES.max(payload.len()));
    }
    buffer.extend_from_slice(payload);
    buffer.split().freeze()
}

impl Part {
    /// The entry that must come next, if it has come.
    fn poll(&mut self, log: &Inner, buffer: &mut BytesMut) -> Result<Option<Logged>, ReadError> {
        if let Some(early) = self.early.pop_front() {
            return Ok(Some(early));
        }
        loop {
            let (entry, due) = match self.queue.poll(Duration::ZERO) {
                None => return Ok(None),
                Some(Ok(message)) if message.offset() < self.due as i64 => continue,
                Some(Ok(message)) => {
                    let position = log.layout.position(self.slot, self.due);
                    check_index(&message, position, log.layout.topic(self.stream))?;
                    (logged(&message, position, copy(buffer, &message)), self.due + 1)
                }
                Some(Err(error)) => match self.explain(log, &error) {
                    Some(error) => return Err(error),
                    None => continue,
                },
            };
            self.due = due;
            return Ok(Some(entry));
        }
    }

    fn entry(&mut self, log: &Inner, message: &BorrowedMessage<'_>, bytes: Bytes) -> Result<Option<Logged>, ReadError> {
        if message.offset() < self.due as i64 {
            return Ok(None);
        }
        let position = log.layout.position(self.slot, self.due);
        check_index(message, position, log.layout.topic(self.stream))?;
        self.due += 1;
        Ok(Some(logged(message, position, bytes)))
    }

    /// What an error of the partition means; `None` for one that the client gets over by itself.
    fn explain(&self, log: &Inner, error: &KafkaError) -> Option<ReadError> {
        use RDKafkaErrorCode as Code;
        let wanted = log.layout.position(self.slot, self.due);
        let topic = log.layout.topic(self.stream);
        match error.rdkafka_error_code()? {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                log.ask_first();
                let first = Index(log.ends.first_of(self.slot));
                Some(if wanted.index < first {
                    ReadError::Expired { wanted, first }
                } else {
                    let known = Index(log.ends.end(self.slot));
                    ReadError::Lost { place: format!("{topic}/{}", self.partition.0), known, found: None }
                })
            }
            code @ (Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed) => {
                Some(ReadError::Client { detail: format!("{topic}: {code}") })
            }
            _ => None,
        }
    }
}
