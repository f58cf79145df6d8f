//! The four topics: how they are made, and what is asked of them before a log is opened.
//!
//! An event store keeps its history: nothing is compacted, nothing but `access` is let go of, no broker that lacks acknowledged entries may
//! lead, and an entry is acknowledged when enough brokers have it.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use record::Stream;

use super::client::{Asker, Context, create};
use super::layout::topic_name;
use super::options::{KafkaOptions, MESSAGE_BYTES_MAX, TopicPlan};
use crate::error::OpenError;
use crate::types::PartitionCounts;

/// How often brokers are asked whether they know a new topic.
const LOOK: Duration = Duration::from_millis(20);

/// What one setting of a topic must be.
enum Rule {
    Exactly(String),
    AtLeast(i64),
}

impl Rule {
    fn holds(&self, found: &str) -> bool {
        match self {
            Self::Exactly(wanted) => found == wanted,
            // What is no number is no bound that could be trusted.
            Self::AtLeast(least) => found.parse::<i64>().is_ok_and(|n| n >= *least),
        }
    }

    fn wanted(&self) -> String {
        match self {
            Self::Exactly(wanted) => wanted.clone(),
            Self::AtLeast(least) => format!("{least} or more"),
        }
    }

    /// The value for a topic that is made.
    fn value(&self) -> String {
        match self {
            Self::Exactly(wanted) => wanted.clone(),
            Self::AtLeast(least) => least.to_string(),
        }
    }
}

fn rules(plan: &TopicPlan, stream: Stream) -> Vec<(&'static str, Rule)> {
    let exactly = |value: &str| Rule::Exactly(value.to_owned());
    let mut rules = vec![
        ("cleanup.policy", exactly("delete")),
        ("unclean.leader.election.enable", exactly("false")),
        ("message.timestamp.type", exactly("CreateTime")),
        ("retention.bytes", exactly("-1")),
        ("min.insync.replicas", Rule::AtLeast(i64::from(plan.min_insync))),
        ("max.message.bytes", Rule::AtLeast(MESSAGE_BYTES_MAX as i64)),
    ];
    match plan.access_retention.filter(|_| stream == Stream::Access) {
        None => rules.push(("retention.ms", exactly("-1"))),
        Some(kept) => rules.push(("retention.ms", Rule::AtLeast(millis(kept)))),
    }
    rules
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Makes the topics that are not there, then checks all four. Returns the names of those that were made. Blocks.
///
/// # Errors
/// [`OpenError::Unreachable`], [`OpenError::Topic`] with the setting to change, [`OpenError::Client`].
pub fn init(options: &KafkaOptions) -> Result<Vec<String>, OpenError> {
    options.check()?;
    let asker = Asker::new(options)?;
    let admin: AdminClient<Context> = create(&options.admin(), Context::default())?;
    let mut made = Vec::new();
    for stream in Stream::ALL {
        let topic = topic_name(&options.prefix, stream);
        if asker.shape(&topic)?.is_none() && make(&admin, options, stream, &topic, &asker)? {
            made.push(topic);
        }
    }
    wait_for(&asker, options, &made)?;
    check_with(&asker, &admin, options)?;
    Ok(made)
}

/// Whether the topic was made here; another process may have been first.
fn make(
    admin: &AdminClient<Context>,
    options: &KafkaOptions,
    stream: Stream,
    topic: &str,
    asker: &Asker,
) -> Result<bool, OpenError> {
    let plan = &options.topics;
    let rules = rules(plan, stream);
    let settings: Vec<_> = rules.iter().map(|(name, rule)| (*name, rule.value())).collect();
    let partitions = i32::from(plan.partitions.of(stream));
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(i32::from(plan.replication)));
    for (name, value) in &settings {
        new = new.set(name, value);
    }
    let request =
        AdminOptions::new().request_timeout(Some(options.read_timeout)).operation_timeout(Some(options.read_timeout));
    let results = block_on(admin.create_topics([&new], &request)).map_err(|e| asker.unreachable(&e))?;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(OpenError::Topic {
            topic: topic.to_owned(),
            setting: "topic".to_owned(),
            found: format!("not made: {code}"),
            wanted: format!(
                "{partitions} partitions on {} brokers each, or fewer by the configuration",
                plan.replication
            ),
        }),
        None => Err(OpenError::Client { detail: format!("the brokers did not say whether {topic} was made") }),
    }
}

/// Checks that the four topics are there and as a log needs them. Blocks.
///
/// # Errors
/// As [`init`], and [`OpenError::NoTopic`].
pub fn inspect(options: &KafkaOptions) -> Result<PartitionCounts, OpenError> {
    options.check()?;
    let asker = Asker::new(options)?;
    check(&asker, options)?;
    asker.partitions(|stream| topic_name(&options.prefix, stream))
}

/// How many brokers the cluster has. Blocks.
///
/// # Errors
/// [`OpenError::Unreachable`], [`OpenError::Client`].
pub fn brokers(options: &KafkaOptions) -> Result<usize, OpenError> {
    options.check()?;
    Asker::new(options)?.brokers()
}

/// Deletes the four topics, and with them the log. Blocks. For a log that was made to be thrown away.
///
/// # Errors
/// [`OpenError::Unreachable`], [`OpenError::Client`].
pub fn remove(options: &KafkaOptions) -> Result<(), OpenError> {
    let asker = Asker::new(options)?;
    let admin: AdminClient<Context> = create(&options.admin(), Context::default())?;
    let topics = Stream::ALL.map(|stream| topic_name(&options.prefix, stream));
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    let results = block_on(admin.delete_topics(&names, &AdminOptions::new())).map_err(|e| asker.unreachable(&e))?;
    match results.into_iter().find_map(Result::err) {
        None | Some((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
        Some((topic, code)) => Err(OpenError::Client { detail: format!("{topic} was not deleted: {code}") }),
    }
}

/// A new topic is known to all brokers only after a moment.
fn wait_for(asker: &Asker, options: &KafkaOptions, topics: &[String]) -> Result<(), OpenError> {
    let until = Instant::now() + options.read_timeout;
    for topic in topics {
        while asker.shape(topic)?.is_none() {
            if Instant::now() > until {
                return Err(OpenError::NoTopic { topic: topic.clone() });
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// Checks the settings of all four topics. Blocks.
pub(super) fn check(asker: &Asker, options: &KafkaOptions) -> Result<(), OpenError> {
    check_with(asker, &create(&options.admin(), Context::default())?, options)
}

fn check_with(asker: &Asker, admin: &AdminClient<Context>, options: &KafkaOptions) -> Result<(), OpenError> {
    let topics = Stream::ALL.map(|stream| (stream, topic_name(&options.prefix, stream)));
    for (_, topic) in &topics {
        let (_, copies) = asker.shape(topic)?.ok_or_else(|| OpenError::NoTopic { topic: topic.clone() })?;
        if copies < usize::from(options.topics.replication) {
            return Err(OpenError::Topic {
                topic: topic.clone(),
                setting: "replication".to_owned(),
                found: copies.to_string(),
                wanted: format!("{} or more", options.topics.replication),
            });
        }
    }
    let names: Vec<_> = topics.iter().map(|(_, topic)| ResourceSpecifier::Topic(topic)).collect();
    let request = AdminOptions::new().request_timeout(Some(options.read_timeout));
    let until = Instant::now() + options.read_timeout;
    let described = loop {
        let found = block_on(admin.describe_configs(&names, &request)).map_err(|e| asker.unreachable(&e))?;
        if found.iter().all(is_told) || Instant::now() > until {
            break found;
        }
        std::thread::sleep(LOOK);
    };
    for ((stream, topic), found) in topics.iter().zip(described) {
        let found = found.map_err(|code| OpenError::Client {
            detail: format!("the settings of {topic} cannot be read: {code}; this client needs DescribeConfigs on it"),
        })?;
        check_one(&options.topics, *stream, topic, &found)?;
    }
    Ok(())
}

/// Whether a broker told the settings of a topic: one that does not know the topic yet tells none.
fn is_told(found: &Result<ConfigResource, RDKafkaErrorCode>) -> bool {
    match found {
        Ok(resource) => !resource.entries.is_empty(),
        Err(code) => *code != RDKafkaErrorCode::UnknownTopicOrPartition,
    }
}

fn check_one(plan: &TopicPlan, stream: Stream, topic: &str, found: &ConfigResource) -> Result<(), OpenError> {
    for (setting, rule) in rules(plan, stream) {
        let value = found.get(setting).and_then(|entry| entry.value.clone()).unwrap_or_default();
        // For ever is longer than any retention.
        let for_ever = setting == "retention.ms" && value == "-1";
        if !rule.holds(&value) && !for_ever {
            return Err(OpenError::Topic {
                topic: topic.to_owned(),
                setting: setting.to_owned(),
                found: value,
                wanted: rule.wanted(),
            });
        }
    }
    Ok(())
}
