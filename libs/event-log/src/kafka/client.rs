//! What all clients of the brokers share: where their log lines go, and questions for metadata and offsets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use record::Stream;

use super::ends::Told;
use super::layout::Layout;
use super::options::KafkaOptions;
use crate::error::OpenError;
use crate::types::PartitionCounts;

/// Takes a client's log lines and remembers what went wrong last.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    last_error: Arc<Mutex<String>>,
}

impl Context {
    pub(super) fn last_error(&self) -> String {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() { "no reason given".to_owned() } else { last.clone() }
    }
}

impl ClientContext for Context {
    // Each client says the same of each broker: the stall alarm tells an operator once.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", "{facility}: {message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::debug!(target: "librdkafka", "{facility}: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", "{facility}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{}: {reason}", told(&error));
        reason.clone_into(&mut self.last_error.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ConsumerContext for Context {}

/// What a client says went wrong, without any setting's value: it might be a password.
pub(super) fn told(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, what, key, _value) => format!("{what}: {key}"),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

/// Creates a client.
pub(super) fn create<T: rdkafka::config::FromClientConfigAndContext<C>, C: ClientContext>(
    config: &rdkafka::ClientConfig,
    context: C,
) -> Result<T, OpenError> {
    config.create_with_context(context).map_err(|e| OpenError::Client { detail: told(&e) })
}

/// Asks the brokers, blocking.
pub(super) struct Asker {
    consumer: BaseConsumer<Context>,
    context: Context,
    bootstrap: String,
    timeout: Duration,
}

impl Asker {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, OpenError> {
        let context = Context::default();
        let consumer = create(&options.lookup(), context.clone())?;
        Ok(Self { consumer, context, bootstrap: options.bootstrap.clone(), timeout: options.read_timeout })
    }

    pub(super) fn detail(&self) -> String {
        self.serve();
        self.context.last_error()
    }

    /// Lets the client tell what it has to tell.
    fn serve(&self) {
        // Nothing is assigned: all that can come are errors, which the context remembers.
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    /// How many partitions and copies each topic has; `None` for a topic that is not there.
    pub(super) fn shape(&self, topic: &str) -> Result<Option<(usize, usize)>, OpenError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), self.timeout).map_err(|e| self.unreachable(&e))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        let Some(found) = found else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
            // Partitions without a leader are there.
            Some(RDKafkaErrorCode::LeaderNotAvailable) => {}
            Some(code) => return Err(OpenError::Client { detail: format!("topic {topic}: {code}") }),
        }
        let copies = found.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0);
        Ok(Some((found.partitions().len(), copies)))
    }

    /// How many brokers there are.
    pub(super) fn brokers(&self) -> Result<usize, OpenError> {
        let metadata = self.consumer.fetch_metadata(Some("no-such-topic"), self.timeout);
        metadata.map(|m| m.brokers().len()).map_err(|e| self.unreachable(&e))
    }

    pub(super) fn unreachable(&self, error: &KafkaError) -> OpenError {
        OpenError::Unreachable {
            bootstrap: self.bootstrap.clone(),
            detail: format!("{}; {}", told(error), self.detail()),
        }
    }

    /// The partitions of every topic.
    pub(super) fn partitions(&self, topic: impl Fn(Stream) -> String) -> Result<PartitionCounts, OpenError> {
        let count = |stream| {
            let topic = topic(stream);
            let (partitions, _) = self.shape(&topic)?.ok_or_else(|| OpenError::NoTopic { topic: topic.clone() })?;
            let fits = u16::try_from(partitions).ok().filter(|n| (1..=PartitionCounts::MAX).contains(n));
            fits.ok_or(OpenError::Topic {
                topic,
                setting: "partitions".to_owned(),
                found: partitions.to_string(),
                wanted: format!("1 to {}", PartitionCounts::MAX),
            })
        };
        Ok(PartitionCounts {
            change: count(Stream::Change)?,
            rejected: count(Stream::Rejected)?,
            access: count(Stream::Access)?,
        })
    }

    /// The end ([`Offset::End`]) or beginning ([`Offset::Beginning`]) of every partition.
    pub(super) fn offsets(&self, layout: &Layout, which: Offset, timeout: Duration) -> Result<Vec<Told>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(layout.len());
        for slot in 0..layout.len() {
            let (stream, partition) = layout.place(slot);
            list.add_partition_offset(layout.topic(stream), i32::from(partition.0), which)?;
        }
        self.serve();
        // A list of offsets, as the protocol says: -1 asks for the end, -2 for the beginning.
        let list = self.consumer.offsets_for_times(list, timeout)?;
        let mut told = vec![Told::Nothing; layout.len()];
        for (slot, told) in told.iter_mut().enumerate() {
            let (stream, partition) = layout.place(slot);
            let Some(found) = list.find_partition(layout.topic(stream), i32::from(partition.0)) else { continue };
            *told = match (found.error().err().and_then(|e| e.rdkafka_error_code()), found.offset()) {
                (None, Offset::Offset(n)) => u64::try_from(n).map_or(Told::Nothing, Told::Index),
                (
                    Some(
                        RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::UnknownPartition,
                    ),
                    _,
                ) => Told::Gone,
                _ => Told::Nothing,
            };
        }
        Ok(told)
    }

    /// The first offset with a timestamp at or after `millis`; `None` for none.
    pub(super) fn offset_at(&self, topic: &str, partition: u16, millis: i64) -> Result<Option<u64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, i32::from(partition), Offset::Offset(millis))?;
        self.serve();
        let list = self.consumer.offsets_for_times(list, self.timeout)?;
        let found = list.find_partition(topic, i32::from(partition)).ok_or(KafkaError::NoMessageReceived)?;
        found.error()?;
        match found.offset() {
            Offset::Offset(n) => Ok(u64::try_from(n).ok()),
            _ => Ok(None),
        }
    }
}
