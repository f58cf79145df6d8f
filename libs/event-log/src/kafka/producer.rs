//! The way in: one thread hands entries to an idempotent producer, whose delivery reports answer the calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use record::{Index, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::client::{Context, create, told};
use super::ends::Ends;
use super::event;
use super::layout::Layout;
use super::options::KafkaOptions;
use crate::error::{AppendError, OpenError};
use crate::types::{Append, Appended, Locator};

/// What an entry in the queue takes besides its bytes.
const QUEUED_ENTRY_BYTES: u64 = 512;
/// While the client's queue is full.
const FULL_WAIT: Duration = Duration::from_millis(1);

/// The sending side of a log.
pub(super) struct Way {
    queue: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
    queue_bytes_max: u32,
    timeout: Duration,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Append(Job),
    Close,
}

struct Job {
    entries: Vec<(usize, Bytes)>,
    /// The append time of a copied log's entries; `None`: the clock's.
    at: Option<Timestamp>,
    room: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
}

impl Way {
    pub(super) fn open(options: &KafkaOptions, layout: &Layout, ends: &Arc<Ends>) -> Result<Self, OpenError> {
        let sender = Sender::new(options.clone(), layout.clone(), ends.clone())?;
        let (queue, commands) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("log-kafka".into()).spawn(move || sender.run(commands));
        let thread = thread.map_err(|e| OpenError::Client { detail: format!("no thread: {e}") })?;
        Ok(Self {
            queue,
            room: Arc::new(Semaphore::new(options.queue_bytes_max as usize)),
            queue_bytes_max: options.queue_bytes_max,
            timeout: options.append_timeout,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues entries, at the time that a copied log says or the clock's.
    pub(super) async fn enqueue(
        &self,
        layout: &Layout,
        batch: Vec<Append>,
        at: Option<Timestamp>,
    ) -> Result<Queued, AppendError> {
        let mut entries = Vec::with_capacity(batch.len());
        for Append { stream, partition, bytes } in batch {
            let slot = layout.slot(stream, partition).ok_or_else(|| AppendError::NoSuchPartition {
                stream,
                partition,
                count: layout.counts.of(stream),
            })?;
            entries.push((slot, bytes));
        }
        if entries.is_empty() {
            return Ok(Queued(None));
        }
        let cost: u64 = entries.iter().map(|(_, b)| b.len() as u64 + QUEUED_ENTRY_BYTES).sum();
        let permits = u32::try_from(cost).unwrap_or(u32::MAX).min(self.queue_bytes_max);
        let room = tokio::time::timeout(self.timeout, self.room.clone().acquire_many_owned(permits));
        let waited_ms = self.timeout.as_millis() as u64;
        let room = room.await.map_err(|_elapsed| AppendError::NoRoom { waited_ms })?;
        // The semaphore is closed when the log is.
        let room = room.map_err(|_closed| AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { entries, at, room, reply };
        self.queue.send(Command::Append(job)).map_err(|_closed| AppendError::Closed)?;
        Ok(Queued(Some(answer)))
    }

    /// Sends what is queued, waits for its acknowledgement and takes nothing more. Blocks.
    pub(super) fn close(&self) {
        self.room.close();
        // The thread may have ended already.
        let _ = self.queue.send(Command::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has told its callers by dropping their replies.
            let _ = thread.join();
        }
    }
}

/// A call whose entries are on their way to the brokers.
#[derive(Debug)]
pub struct Queued(Option<oneshot::Receiver<Result<Vec<Appended>, AppendError>>>);

impl Queued {
    /// Waits until they are acknowledged.
    pub(crate) async fn landed(self) -> Result<Vec<Appended>, AppendError> {
        match self.0 {
            // The reply is dropped only by a thread that has ended.
            Some(answer) => answer.await.unwrap_or(Err(AppendError::Closed)),
            None => Ok(Vec::new()),
        }
    }
}

/// One call of `append`.
struct Call {
    state: Mutex<CallState>,
}

struct CallState {
    appended: Vec<Appended>,
    left: usize,
    failed: Option<AppendError>,
    reply: Option<oneshot::Sender<Result<Vec<Appended>, AppendError>>>,
    room: Option<OwnedSemaphorePermit>,
}

impl Call {
    fn settle(&self, at: usize, outcome: Result<u64, AppendError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(offset) => {
                let appended = &mut state.appended[at];
                appended.position.index = Index(offset);
                appended.locator = Locator::of_position(appended.position);
            }
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        state.room = None;
        let appended = std::mem::take(&mut state.appended);
        let outcome = state.failed.take().map_or(Ok(appended), Err);
        if let Some(reply) = state.reply.take() {
            // Who called may have gone.
            let _ = reply.send(outcome);
        }
    }
}

/// What travels with a message.
struct Parcel {
    call: Arc<Call>,
    at: u32,
    slot: u32,
}

struct Deliveries {
    context: Context,
    layout: Layout,
    ends: Arc<Ends>,
    timeout: Duration,
    /// The last index that this producer was given, by slot.
    last: Mutex<Vec<Option<u64>>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Parcel>;

    fn delivery(&self, result: &DeliveryResult<'_>, parcel: Box<Parcel>) {
        let slot = parcel.slot as usize;
        let outcome = match result {
            Ok(message) => self.delivered(slot, message.offset()),
            Err((error, _)) => Err(self.refused(slot, error)),
        };
        parcel.call.settle(parcel.at as usize, outcome);
    }
}

impl Deliveries {
    fn delivered(&self, slot: usize, offset: i64) -> Result<u64, AppendError> {
        let Ok(offset) = u64::try_from(offset) else {
            // A retry that the broker knew to be one, without saying where the first had gone.
            return Err(self.unanswered(slot, "it was written, but the broker no longer says where"));
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last[slot].is_some_and(|last| offset <= last) {
            drop(last);
            self.ends.given_again(slot, offset);
            return Err(self.ends.lost().expect("it was just noted").into());
        }
        last[slot] = Some(offset);
        drop(last);
        self.ends.advance(slot, offset + 1);
        Ok(offset)
    }

    fn topic(&self, slot: usize) -> String {
        self.layout.topic(self.layout.place(slot).0).to_owned()
    }

    fn unanswered(&self, slot: usize, detail: &str) -> AppendError {
        AppendError::Unanswered {
            topic: self.topic(slot),
            waited_ms: self.timeout.as_millis() as u64,
            detail: detail.to_owned(),
        }
    }

    fn refused(&self, slot: usize, error: &KafkaError) -> AppendError {
        use RDKafkaErrorCode as Code;
        if let Some(lost) = self.ends.lost() {
            return lost.into();
        }
        let topic = self.topic(slot);
        match error.rdkafka_error_code() {
            Some(
                code @ (Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::PolicyViolation
                | Code::InvalidTimestamp
                | Code::InvalidRecord),
            ) => AppendError::Refused { topic, detail: code.to_string() },
            Some(Code::MessageTimedOut) => self.unanswered(slot, &self.context.last_error()),
            _ => self.unanswered(slot, &told(error)),
        }
    }
}

struct Sender {
    options: KafkaOptions,
    layout: Layout,
    ends: Arc<Ends>,
    producer: ThreadedProducer<Deliveries>,
    source: String,
    last_time: i64,
    group: u64,
}

impl Sender {
    fn new(options: KafkaOptions, layout: Layout, ends: Arc<Ends>) -> Result<Self, OpenError> {
        let producer = producer(&options, &layout, &ends)?;
        let source = event::source(&options.prefix);
        // Grows from process to process as clocks do.
        let group = u64::try_from((options.clock)().0).unwrap_or_default();
        Ok(Self { options, layout, ends, producer, source, last_time: i64::MIN, group })
    }

    fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Append(job) => self.send(job),
                Command::Close => break,
            }
        }
        if let Err(error) = self.producer.flush(self.options.append_timeout + FULL_WAIT) {
            tracing::warn!(error = %told(&error), "entries that nobody was promised were not acknowledged when the log was closed");
        }
    }

    fn send(&mut self, job: Job) {
        let Job { entries, at, room, reply } = job;
        if let Some(lost) = self.ends.lost() {
            // Who called may have gone.
            let _ = reply.send(Err(lost.into()));
            return;
        }
        self.renew();
        // A copied log's times are kept as they are: they go forward within each sequence that it had.
        let appended_at = at.unwrap_or_else(|| Timestamp((self.options.clock)().0.max(self.last_time)));
        self.last_time = self.last_time.max(appended_at.0);
        self.group += 1;
        let appended = entries.iter().map(|(slot, _)| {
            let position = self.layout.position(*slot, 0);
            Appended { position, locator: Locator::of_position(position), appended_at, group: self.group }
        });
        let state = CallState {
            appended: appended.collect(),
            left: entries.len(),
            failed: None,
            reply: Some(reply),
            room: Some(room),
        };
        let call = Arc::new(Call { state: Mutex::new(state) });
        let until = Instant::now() + self.options.append_timeout;
        for (at, (slot, bytes)) in entries.iter().enumerate() {
            let parcel = Box::new(Parcel { call: call.clone(), at: at as u32, slot: *slot as u32 });
            self.hand_over(parcel, appended_at, bytes, until);
        }
    }

    fn hand_over(&self, parcel: Box<Parcel>, at: Timestamp, bytes: &Bytes, until: Instant) {
        let slot = parcel.slot as usize;
        let (stream, partition) = self.layout.place(slot);
        let mut record = BaseRecord::<(), [u8], _>::with_opaque_to(self.layout.topic(stream), parcel)
            .partition(i32::from(partition.0))
            .payload(bytes)
            .timestamp(event::millis(at))
            .headers(event::headers(&self.source, stream, at, bytes));
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) if Instant::now() < until => {
                    record = back;
                    std::thread::sleep(FULL_WAIT);
                }
                Err((error, back)) => {
                    let parcel = back.delivery_opaque;
                    let refused = self.producer.client().context().refused(slot, &error);
                    parcel.call.settle(parcel.at as usize, Err(refused));
                    return;
                }
            }
        }
    }

    /// A producer that can no longer keep its word (a fatal error) is replaced; what it had not had acknowledged has failed.
    fn renew(&mut self) {
        let Some((code, reason)) = self.producer.client().fatal_error() else { return };
        tracing::warn!(%code, %reason, "the producer cannot go on and is replaced");
        match producer(&self.options, &self.layout, &self.ends) {
            Ok(producer) => self.producer = producer,
            // The call that comes next is refused by the old one, and the one after it tries again.
            Err(error) => tracing::error!(%error, "no other producer could be made"),
        }
    }
}

fn producer(
    options: &KafkaOptions,
    layout: &Layout,
    ends: &Arc<Ends>,
) -> Result<ThreadedProducer<Deliveries>, OpenError> {
    let deliveries = Deliveries {
        context: Context::default(),
        layout: layout.clone(),
        ends: ends.clone(),
        timeout: options.append_timeout,
        last: Mutex::new(vec![None; layout.len()]),
    };
    create(&options.producer(), deliveries)
}
