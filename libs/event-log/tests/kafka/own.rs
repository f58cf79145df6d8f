//! What a log on Kafka owes besides the common contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event_log::{
    CopyError, Embedded, EventLog, Kafka, KafkaOptions, KafkaSasl, LocalBodies, LogOptions, OpenError, PartitionCounts,
    ReadError, StreamSet, Tuning, copy, init_kafka,
};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use record::{Partition, Positions, Stream, Timestamp};

use crate::brokers;
use crate::suite::{at, entry, fill, read_all};

/// Topics that are deleted when the test ends.
struct Topics(KafkaOptions);

impl Topics {
    fn new(name: &str) -> Self {
        let options = brokers::options(brokers::shared(), name);
        init_kafka(&options).expect("topics");
        Self(options)
    }

    fn open(&self) -> EventLog {
        Kafka::open(&self.0).expect("opened").into()
    }

    fn topic(&self, stream: Stream) -> String {
        format!("{}.{}", self.0.prefix, stream.name())
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        brokers::delete(&self.0, &Stream::ALL);
    }
}

#[tokio::test]
async fn a_message_is_the_entry_with_cloud_events_attributes_as_headers() {
    let topics = Topics::new("headers");
    let mut options = topics.0.clone();
    options.clock = Arc::new(|| Timestamp(1_700_000_000_123_456));
    let log: EventLog = Kafka::open(&options).expect("opened").into();
    log.append(vec![entry(Stream::Change, 2, "the entry's bytes")]).await.expect("appended");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &options.bootstrap)
        .set("group.id", "somebody-else")
        .create()
        .expect("a client");
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&topics.topic(Stream::Change), 2, rdkafka::Offset::Beginning).expect("fits");
    consumer.assign(&list).expect("assigned");
    let message = consumer.poll(Duration::from_secs(30)).expect("it comes").expect("it is sound");
    assert_eq!(message.payload(), Some(&b"the entry's bytes"[..]));
    assert_eq!(message.timestamp().to_millis(), Some(1_700_000_000_123));
    let headers: Vec<_> = message
        .headers()
        .expect("headers")
        .iter()
        .map(|h| (h.key.to_owned(), String::from_utf8(h.value.unwrap_or_default().to_vec()).expect("text")))
        .collect();
    let id = blake3::hash(b"the entry's bytes").to_hex()[..32].to_owned();
    let due = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", &format!("/hub/log/{}", options.prefix)),
        ("ce_type", "hub.change"),
        ("ce_time", "2023-11-14T22:13:20.123456Z"),
        ("content-type", "application/x-hub-entry"),
    ];
    let found: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, due);
}

#[tokio::test]
async fn what_another_program_wrote_is_read_with_the_brokers_time() {
    let topics = Topics::new("foreign");
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &topics.0.bootstrap).create().expect("a client");
    let topic = topics.topic(Stream::Change);
    let record = BaseRecord::<(), str>::to(&topic).payload("by hand").partition(0).timestamp(7_000);
    producer.send(record).map_err(|(e, _)| e).expect("queued");
    producer.flush(Duration::from_secs(30)).expect("sent");
    let log = topics.open();
    let found = read_all(&log, &Positions::new(), StreamSet::ALL);
    assert_eq!((found[0].bytes.as_ref(), found[0].appended_at), (&b"by hand"[..], Timestamp(7_000_000)));
    assert_eq!(log.find_time(Stream::Change, Partition(0), Timestamp(7_000_000)).expect("found").0, 0);
    assert_eq!(log.find_time(Stream::Change, Partition(0), Timestamp(7_000_001)).expect("found").0, 1);
}

#[tokio::test]
async fn entries_of_another_process_reach_a_waiting_reader() {
    let topics = Topics::new("two");
    let (ours, theirs) = (topics.open(), topics.open());
    let mut reader = ours.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    assert!(reader.next_batch(10, 1_000).expect("sound").entries.is_empty());
    let waiting = tokio::task::spawn_blocking(move || {
        assert!(reader.wait(Duration::from_secs(60)));
        reader.next_batch(10, 1_000).expect("sound").entries
    });
    let beyond = tokio::spawn({
        let ours = ours.clone();
        async move { ours.wait_beyond(&Positions::new(), StreamSet::ALL).await }
    });
    let appended = theirs.append(vec![entry(Stream::Rejected, 1, "from afar")]).await.expect("appended");
    let found = waiting.await.expect("no panic");
    assert_eq!((found.len(), found[0].position), (1, appended[0].position));
    assert!(beyond.await.expect("no panic"));
    assert_eq!(ours.read_position(appended[0].position).expect("there").bytes, "from afar");
}

#[tokio::test]
async fn control_entries_come_before_the_changes_that_were_appended_after_them() {
    let topics = Topics::new("order");
    let now = Arc::new(AtomicI64::new(1_000));
    let mut options = topics.0.clone();
    let told = now.clone();
    options.clock = Arc::new(move || Timestamp(told.fetch_add(10, Ordering::SeqCst)));
    let log: EventLog = Kafka::open(&options).expect("opened").into();
    let appended = fill(&log, 120).await;
    for _ in 0..3 {
        let times: Vec<_> = read_all(&log, &Positions::new(), StreamSet::ALL).iter().map(|e| e.appended_at).collect();
        assert_eq!(times.len(), appended.len());
        assert!(times.is_sorted(), "what is there when reading begins comes in the order of its time");
    }
}

/// Lets the brokers forget every change.
fn delete_changes(topics: &Topics) {
    let mut records = rdkafka::TopicPartitionList::new();
    for p in 0..4 {
        records.add_partition_offset(&topics.topic(Stream::Change), p, rdkafka::Offset::End).expect("fits");
    }
    let admin = brokers::admin(&topics.0.bootstrap);
    block_on(admin.delete_records(&records, &AdminOptions::new())).expect("deleted");
}

#[tokio::test]
async fn local_files_give_what_brokers_no_longer_have() {
    let topics = Topics::new("local");
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = topics.0.clone();
    options.bodies = Some(LocalBodies { dir: dir.path().to_owned(), bytes_max: None });
    let log: EventLog = Kafka::open(&options).expect("opened").into();
    log.append(vec![entry(Stream::Control, 0, "first")]).await.expect("appended");
    fill(&log, 60).await;
    let whole = read_all(&log, &Positions::new(), StreamSet::ALL);
    drop(log);
    let log = Kafka::open(&options).expect("opened");
    assert!(log.local_bytes() > 0);
    delete_changes(&topics);
    for e in &whole {
        assert_eq!(&log.read(e.locator).expect("it is in the local files"), e);
    }
    drop(log);
    // Without the files the brokers' answer counts, and it is a typed one.
    options.bodies = None;
    let log: EventLog = Kafka::open(&options).expect("opened").into();
    let first = log.first();
    assert_eq!(first.of(Stream::Change), log.ends().of(Stream::Change));
    let gone = log.read_position(at(Stream::Change, 0, 0)).expect_err("gone");
    assert!(matches!(gone, ReadError::Expired { .. }), "{gone}");
    let gone = log.reader(&Positions::new(), StreamSet::ALL).expect_err("gone");
    assert!(matches!(gone, ReadError::Expired { .. }), "{gone}");
    assert!(!read_all(&log, &first, StreamSet::ALL).is_empty());
}

#[tokio::test]
async fn local_files_are_filled_with_what_was_not_read_here() {
    let topics = Topics::new("filled");
    let dir = tempfile::tempdir().expect("a folder");
    let writer: EventLog = Kafka::open(&topics.0).expect("opened").into();
    writer.append(vec![entry(Stream::Control, 0, "first")]).await.expect("appended");
    fill(&writer, 60).await;
    let taken = writer.ends();
    fill(&writer, 40).await;
    let whole = read_all(&writer, &Positions::new(), StreamSet::empty().with(Stream::Change));
    let mut options = topics.0.clone();
    options.bodies = Some(LocalBodies { dir: dir.path().to_owned(), bytes_max: None });
    let log = Kafka::open(&options).expect("opened");
    // As a process that took views up to there: it reads what comes after.
    let read_on = read_all(&EventLog::from(log.clone()), &taken, StreamSet::empty().with(Stream::Change));
    let until = writer.ends();
    let mut calls = 0;
    let read = log
        .fill_local(&until, |_, _| {
            calls += 1;
            true
        })
        .expect("filled");
    assert!(calls > 0 && read >= (whole.len() - read_on.len()) as u64, "{read} of {}", whole.len());
    assert_eq!(log.fill_local(&until, |_, _| true).expect("nothing to do"), 0);
    drop(log);
    // A lost file is filled again.
    for file in std::fs::read_dir(dir.path()).expect("readable") {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|e| e == "dat") {
            std::fs::remove_file(path).expect("removable");
        }
    }
    let log = Kafka::open(&options).expect("opened");
    assert_eq!(log.fill_local(&until, |_, _| true).expect("filled"), whole.len() as u64);
    delete_changes(&topics);
    for e in &whole {
        assert_eq!(&log.read(e.locator).expect("it is in the local files"), e);
    }
}

#[tokio::test]
async fn local_files_are_not_filled_beyond_their_bound() {
    let topics = Topics::new("bounded");
    let dir = tempfile::tempdir().expect("a folder");
    let writer: EventLog = Kafka::open(&topics.0).expect("opened").into();
    writer.append(vec![entry(Stream::Control, 0, "first")]).await.expect("appended");
    fill(&writer, 60).await;
    let mut options = topics.0.clone();
    options.bodies = Some(LocalBodies { dir: dir.path().to_owned(), bytes_max: Some(1) });
    let log = Kafka::open(&options).expect("opened");
    assert_eq!(log.fill_local(&writer.ends(), |_, _| true).expect("no room"), 0);
    assert_eq!(log.local_bytes(), 0);
}

#[tokio::test]
async fn a_missing_message_is_a_gap_and_stays_one() {
    let topics = Topics::new("gap");
    // A transaction's marker takes an offset that no message has: what this log never writes.
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &topics.0.bootstrap)
        .set("transactional.id", format!("{}-tx", topics.0.prefix))
        .create()
        .expect("a client");
    producer.init_transactions(Duration::from_secs(30)).expect("ready");
    let topic = topics.topic(Stream::Change);
    for text in ["one", "two"] {
        producer.begin_transaction().expect("begun");
        let record = BaseRecord::<(), str>::to(&topic).payload(text).partition(0);
        producer.send(record).map_err(|(e, _)| e).expect("queued");
        producer.commit_transaction(Duration::from_secs(30)).expect("committed");
    }
    let mut options = topics.0.clone();
    options.read_timeout = Duration::from_secs(5);
    let log: EventLog = Kafka::open(&options).expect("opened").into();
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let mut entries = Vec::new();
    let error = loop {
        match reader.next_batch(10, 1_000) {
            Ok(batch) => entries.extend(batch.entries),
            Err(error) => break error,
        }
    };
    assert_eq!((entries.len(), &entries[0].bytes[..]), (1, &b"one"[..]));
    for error in [error, reader.next_batch(10, 1_000).expect_err("it stays")] {
        let ReadError::Gap { expected, found, file, .. } = &error else { panic!("{error}") };
        assert_eq!((*expected, found.0), (at(Stream::Change, 0, 1), 2));
        assert!(file.ends_with("0") && error.to_string().contains("change/0/1 is missing"), "{error}");
    }
    let gap = log.read_position(at(Stream::Change, 0, 1)).expect_err("nothing is there");
    assert!(matches!(gap, ReadError::Gap { .. }), "{gap}");
}

#[test]
fn topics_are_made_once_and_checked_each_time() {
    let topics = Topics::new("init");
    assert!(init_kafka(&topics.0).expect("they are there").is_empty());
    let mut stricter = topics.0.clone();
    stricter.topics.replication = 2;
    stricter.topics.min_insync = 2;
    let error = Kafka::open(&stricter).expect_err("one broker is not two");
    assert!(matches!(&error, OpenError::Topic { setting, .. } if setting == "replication"), "{error}");
    assert!(error.to_string().contains("change it"), "{error}");
}

/// What a topic must be made with.
const GOOD: [(&str, &str); 7] = [
    ("cleanup.policy", "delete"),
    ("unclean.leader.election.enable", "false"),
    ("message.timestamp.type", "CreateTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
    ("min.insync.replicas", "1"),
    ("max.message.bytes", "5242880"),
];

#[test]
fn each_setting_that_would_lose_history_is_refused_by_name() {
    let bad = [
        ("cleanup.policy", "compact", "delete"),
        ("cleanup.policy", "compact,delete", "delete"),
        ("unclean.leader.election.enable", "true", "false"),
        ("message.timestamp.type", "LogAppendTime", "CreateTime"),
        ("retention.bytes", "1073741824", "-1"),
        ("retention.ms", "604800000", "-1"),
        ("max.message.bytes", "1048576", "5242880 or more"),
    ];
    for (setting, value, must) in bad {
        let options = brokers::options(brokers::shared(), "bad");
        let topic = format!("{}.change", options.prefix);
        let settings = GOOD.iter().map(|(name, good)| (*name, if *name == setting { value } else { good }));
        let new = settings.fold(NewTopic::new(&topic, 4, TopicReplication::Fixed(1)), |new, (k, v)| new.set(k, v));
        let made = block_on(brokers::admin(&options.bootstrap).create_topics([&new], &AdminOptions::new()));
        made.expect("the broker answers").into_iter().for_each(|r| drop(r.expect("made")));
        let error = init_kafka(&options).expect_err("refused");
        let OpenError::Topic { topic: named, setting: found, found: is, wanted } = &error else { panic!("{error}") };
        assert_eq!((named, found.as_str(), is.as_str(), wanted.as_str()), (&topic, setting, value, must));
        brokers::delete(&options, &Stream::ALL);
    }
}

#[test]
fn a_log_without_topics_says_how_to_make_them() {
    let options = brokers::options(brokers::shared(), "none");
    let error = Kafka::open(&options).expect_err("nothing there");
    assert!(matches!(&error, OpenError::NoTopic { topic } if topic.starts_with("test-none")), "{error}");
    assert!(error.to_string().contains("hub kafka init"), "{error}");
}

#[test]
fn brokers_that_are_not_there_are_named_within_the_time() {
    let mut options = KafkaOptions::new("127.0.0.1:1", "hub");
    options.read_timeout = Duration::from_secs(2);
    options.sasl =
        Some(KafkaSasl { mechanism: "PLAIN".into(), username: "hub".into(), password: "s3cret-word".into() });
    let error = Kafka::open(&options).expect_err("nobody listens");
    assert!(matches!(&error, OpenError::Unreachable { bootstrap, .. } if bootstrap == "127.0.0.1:1"), "{error}");
    assert!(!format!("{error} {error:?} {options:?}").contains("s3cret-word"));
}

#[test]
fn a_setting_that_the_client_refuses_is_named_without_its_value() {
    let mut options = KafkaOptions::new("127.0.0.1:1", "hub");
    options.sasl =
        Some(KafkaSasl { mechanism: "ROT13".into(), username: "hub".into(), password: "s3cret-word".into() });
    let error = Kafka::open(&options).expect_err("no such mechanism");
    assert!(matches!(&error, OpenError::Client { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret-word"), "{error:?}");
}

fn embedded(dir: &std::path::Path) -> EventLog {
    let partitions = PartitionCounts { change: 4, rejected: 2, access: 2 };
    let tuning = Tuning { segment_bytes: 1 << 20, access_segment_bytes: 1 << 20, ..Tuning::default() };
    Embedded::create(dir, &LogOptions { partitions, tuning }, [7; 16]).expect("created").into()
}

/// What a log holds, by partition: index, time, bytes.
fn content(log: &EventLog) -> Vec<event_log::Logged> {
    let mut all = read_all(log, &Positions::new(), StreamSet::ALL);
    all.sort_by_key(|e| e.position);
    all
}

fn assert_same(a: &EventLog, b: &EventLog) {
    let (a, b) = (content(a), content(b));
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!((a.position, a.appended_at, &a.bytes), (b.position, b.appended_at, &b.bytes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_moves_to_kafka_and_back_byte_for_byte() {
    let topics = Topics::new("copy");
    let dir = tempfile::tempdir().expect("a folder");
    let source = embedded(&dir.path().join("a"));
    fill(&source, 150).await;
    let kafka = topics.open();
    let mut told = Vec::new();
    let copied = copy(&source, &kafka, |p| told.push(p)).await.expect("copied");
    assert_eq!(copied, source.ends().total());
    assert!(told.is_sorted_by_key(|p| p.copied) && told.last().is_some_and(|p| p.copied == p.total));
    assert_same(&source, &kafka);

    // More came: the next copy brings only that.
    fill(&source, 30).await;
    let more = source.ends().total() - copied;
    assert_eq!(copy(&source, &kafka, |_| {}).await.expect("copied"), more);
    assert_eq!(copy(&source, &kafka, |_| {}).await.expect("nothing to do"), 0);
    let back = embedded(&dir.path().join("b"));
    copy(&kafka, &back, |_| {}).await.expect("copied");
    assert_same(&source, &back);
    for n in [0, 5, 40] {
        let time = content(&source)[n].appended_at;
        for (stream, partition) in [(Stream::Change, 1), (Stream::Control, 0), (Stream::Access, 0)] {
            let find = |log: &EventLog| log.find_time(stream, Partition(partition), time).expect("sound");
            assert_eq!((find(&source), find(&source)), (find(&kafka), find(&back)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_into_another_log_is_refused() {
    let topics = Topics::new("other");
    let dir = tempfile::tempdir().expect("a folder");
    let source = embedded(&dir.path().join("a"));
    fill(&source, 20).await;
    let kafka = topics.open();
    kafka.append(vec![entry(Stream::Change, 1, "something else")]).await.expect("appended");
    let error = copy(&source, &kafka, |_| {}).await.expect_err("not a beginning");
    assert!(matches!(&error, CopyError::Foreign { position } if *position == at(Stream::Change, 1, 0)), "{error}");
    assert_eq!(kafka.ends().total(), 1, "nothing was written over");

    let narrow =
        LogOptions { partitions: PartitionCounts { change: 3, rejected: 2, access: 2 }, ..LogOptions::default() };
    let narrow: EventLog = Embedded::create(&dir.path().join("n"), &narrow, [7; 16]).expect("created").into();
    let error = copy(&narrow, &kafka, |_| {}).await.expect_err("another shape");
    assert!(matches!(error, CopyError::Partitions { .. }), "{error}");
}
