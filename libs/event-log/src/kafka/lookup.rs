//! Single entries, asked of the brokers: the slow way to a body, for what is not in the local files.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use record::Position;

use super::client::{Context, create, told};
use super::event;
use super::layout::Layout;
use super::options::KafkaOptions;
use crate::error::{OpenError, ReadError};
use crate::types::{Locator, Logged};

/// How long one look into the client's queue lasts.
const POLL: Duration = Duration::from_millis(50);

/// One consumer, used by one question at a time.
pub(super) struct Lookup {
    consumer: Mutex<BaseConsumer<Context>>,
    context: Context,
    layout: Layout,
    timeout: Duration,
}

impl Lookup {
    pub(super) fn new(options: &KafkaOptions, layout: &Layout) -> Result<Self, OpenError> {
        let context = Context::default();
        let consumer = Mutex::new(create(&options.lookup(), context.clone())?);
        Ok(Self { consumer, context, layout: layout.clone(), timeout: options.read_timeout })
    }

    /// The entries of one partition from a position on, which is known to be there, for as long as `more` wants. Blocks.
    pub(super) fn read(&self, from: Position, mut more: impl FnMut(Logged) -> bool) -> Result<(), ReadError> {
        let consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = self.layout.topic(from.stream);
        let failed = |e: &KafkaError| unanswered(topic, from, self.timeout, &told(e));
        let mut list = TopicPartitionList::with_capacity(1);
        let offset = i64::try_from(from.index.0).map_err(|_too_large| ReadError::NotFound { locator: from.index.0 })?;
        list.add_partition_offset(topic, i32::from(from.partition.0), Offset::Offset(offset))
            .map_err(|e| failed(&e))?;
        consumer.assign(&list).map_err(|e| failed(&e))?;
        let read = self.follow(&consumer, from, &mut more);
        // Else the client goes on fetching what nobody asks for. It fails only for a client that is shut down.
        let _ = consumer.unassign();
        read
    }

    fn follow(
        &self,
        consumer: &BaseConsumer<Context>,
        from: Position,
        more: &mut impl FnMut(Logged) -> bool,
    ) -> Result<(), ReadError> {
        let topic = self.layout.topic(from.stream);
        let mut due = from;
        let mut until = Instant::now() + self.timeout;
        loop {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    // What was fetched for the question before may still come.
                    let of_this = message.topic() == topic && message.partition() == i32::from(due.partition.0);
                    if !of_this || message.offset() < due.index.0 as i64 {
                        continue;
                    }
                    let entry = checked(&message, due, topic)?;
                    due.index = due.index.next();
                    until = Instant::now() + self.timeout;
                    if !more(entry) {
                        return Ok(());
                    }
                }
                Some(Err(_)) | None if Instant::now() >= until => {
                    return Err(unanswered(topic, due, self.timeout, &self.context.last_error()));
                }
                // The client tries again by itself.
                Some(Err(_)) | None => {}
            }
        }
    }
}

/// A message as the entry that must come next.
pub(super) fn checked(message: &BorrowedMessage<'_>, due: Position, topic: &str) -> Result<Logged, ReadError> {
    check_index(message, due, topic)?;
    Ok(logged(message, due, Bytes::copy_from_slice(message.payload().unwrap_or_default())))
}

pub(super) fn logged(message: &BorrowedMessage<'_>, position: Position, bytes: Bytes) -> Logged {
    Logged { position, appended_at: event::appended_at(message), locator: Locator::of_position(position), bytes }
}

pub(super) fn check_index(message: &BorrowedMessage<'_>, due: Position, topic: &str) -> Result<(), ReadError> {
    let found = u64::try_from(message.offset()).unwrap_or_default();
    if found == due.index.0 {
        return Ok(());
    }
    Err(ReadError::Gap {
        expected: due,
        found: record::Index(found),
        file: format!("{topic}/{}", due.partition.0).into(),
        offset: found,
    })
}

pub(super) fn unanswered(topic: &str, wanted: Position, waited: Duration, detail: &str) -> ReadError {
    ReadError::Unanswered {
        topic: topic.to_owned(),
        wanted,
        waited_ms: waited.as_millis() as u64,
        detail: detail.to_owned(),
    }
}
