//! Real brokers that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_log::{AppendError, EventLog, Kafka, KafkaOptions, ReadError, StreamSet, init_kafka};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use record::{Positions, Stream};

use crate::brokers::{self, Brokers};
use crate::load::{Load, PARTITIONS, check, entry, until};

/// How long an outage lasts.
pub fn outage() -> Duration {
    let given = std::env::var("HUB_FAULT_SECONDS").ok();
    Duration::from_secs(given.map_or(6, |s| s.parse().expect("HUB_FAULT_SECONDS is a number of seconds")))
}

fn open(options: &KafkaOptions) -> EventLog {
    init_kafka(options).expect("topics");
    Kafka::open(options).expect("opened").into()
}

fn with_stall(mut options: KafkaOptions) -> KafkaOptions {
    options.stall_after = Duration::from_secs(2);
    options
}

/// A fold that reads along through everything, until it is told to end and finds no more.
fn follow(log: &EventLog) -> (Arc<AtomicBool>, std::thread::JoinHandle<usize>) {
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let end = Arc::new(AtomicBool::new(false));
    let ends = end.clone();
    let thread = std::thread::spawn(move || {
        let mut read = 0;
        loop {
            let last = ends.load(Ordering::Acquire);
            match reader.next_batch(1_000, 1 << 20) {
                Ok(batch) if batch.entries.is_empty() && last => return read,
                Ok(batch) if batch.entries.is_empty() => drop(reader.wait(Duration::from_millis(200))),
                Ok(batch) => read += batch.entries.len(),
                // Brokers that do not answer: the same question again.
                Err(ReadError::Unanswered { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    (end, thread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_under_load_loses_nothing_and_nobody_has_to_do_anything() {
    let brokers = Brokers::start(1);
    let mut options = with_stall(brokers::options(&brokers.bootstrap, "away"));
    options.append_timeout = outage() + Duration::from_secs(60);
    let log = open(&options);
    let load = Load::start(&log, "away");
    load.acknowledges(500).await;
    brokers.run(&["stop", "1"]);
    until("the outage is told", || log.stalled().is_some()).await;
    let told = log.stalled().expect("it lasts").what;
    assert!(told.contains("Kafka does not answer"), "{told}");
    tokio::time::sleep(outage()).await;
    brokers.run(&["start", "1"]);
    load.acknowledges(500).await;
    until("the end of the outage is told", || log.stalled().is_none()).await;
    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "who waits within the deadline is served: {:?}", outcome.failed.first());
    assert_eq!(check(&log, &outcome.promised), outcome.promised.len());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_makes_appends_fail_within_their_deadline_and_recovers() {
    let brokers = Brokers::start(1);
    let mut options = with_stall(brokers::options(&brokers.bootstrap, "still"));
    options.append_timeout = Duration::from_secs(3);
    let log = open(&options);
    let load = Load::start(&log, "still");
    load.acknowledges(200).await;
    brokers.run(&["freeze", "1"]);
    let error = log.append(vec![entry(0, "x-9-0-0")]).await.expect_err("nobody answers");
    assert!(matches!(error, AppendError::Unanswered { .. }), "{error}");
    brokers.run(&["thaw", "1"]);
    load.acknowledges(200).await;
    let outcome = load.stop().await;
    assert!(!outcome.failed.is_empty(), "the outage was longer than the deadline");
    assert!(outcome.failed.iter().all(|e| matches!(e, AppendError::Unanswered { .. })));
    check(&log, &outcome.promised);
    log.close().await;
}

/// The broker that leads a partition.
fn leader(options: &KafkaOptions, partition: i32) -> i32 {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &options.bootstrap).create().expect("a client");
    let topic = format!("{}.change", options.prefix);
    let metadata = client.fetch_metadata(Some(&topic), Duration::from_secs(30)).expect("the brokers answer");
    metadata.topics()[0].partitions().iter().find(|p| p.id() == partition).expect("the partition").leader()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_killed_and_a_majority_lost_in_a_cluster_of_three() {
    let brokers = Brokers::start(3);
    let mut options = with_stall(brokers::options(&brokers.bootstrap, "three"));
    options.topics.replication = 3;
    options.topics.min_insync = 2;
    options.append_timeout = Duration::from_secs(30);
    let log = open(&options);
    let (end, following) = follow(&log);
    let mut promised = Vec::new();

    // The leader of a partition is killed under load: another takes over, within the deadline.
    let load = Load::start(&log, "leader");
    load.acknowledges(500).await;
    let victim = leader(&options, 0).to_string();
    brokers.run(&["kill", &victim]);
    load.acknowledges(1_000).await;
    brokers.run(&["start", &victim]);
    load.acknowledges(500).await;
    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "another leader takes over: {:?}", outcome.failed.first());
    promised.extend(outcome.promised);
    check(&log, &promised);

    // Two of three are down: nothing can be acknowledged, and nothing is.
    let mut hasty = options.clone();
    hasty.append_timeout = Duration::from_secs(4);
    let impatient: EventLog = Kafka::open(&hasty).expect("opened").into();
    let kept: Vec<_> = ["1", "2", "3"].into_iter().filter(|id| *id != victim).collect();
    let down = [victim.as_str(), kept[0]];
    down.iter().for_each(|id| drop(brokers.run(&["kill", id])));
    let refused = impatient.append((0..PARTITIONS).map(|p| entry(p, &format!("down-0-0-{p}"))).collect()).await;
    let refused = refused.expect_err("two of three must have it");
    assert!(matches!(refused, AppendError::Unanswered { .. }), "{refused}");

    // They come back, and both logs go on by themselves.
    down.iter().for_each(|id| drop(brokers.run(&["start", id])));
    let load = Load::start(&impatient, "after");
    load.acknowledges(500).await;
    promised.extend(load.stop().await.promised);
    let load = Load::start(&log, "again");
    load.acknowledges(500).await;
    promised.extend(load.stop().await.promised);
    let ends = impatient.ends();
    until("one process knows what the other has appended", || log.ends().covers_all(&ends)).await;
    let there = check(&log, &promised);
    end.store(true, Ordering::Release);
    impatient.close().await;
    log.close().await;
    assert_eq!(following.join().expect("the reader went through all of it"), there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_under_the_log_stops_it_and_is_not_begun_anew() {
    let options = with_stall(brokers::options(brokers::shared(), "deleted"));
    let log = open(&options);
    let appended = log.append(vec![entry(0, "kept"), entry(1, "kept")]).await.expect("appended");
    brokers::delete(&options, &[Stream::Change]);
    until("the loss is noticed", || log.stalled().is_some_and(|s| s.what.contains("gone"))).await;
    // Somebody makes the topic again, as if nothing had been.
    until("the topic is made again", || init_kafka(&options).is_ok()).await;
    for _ in 0..2 {
        let error = log.append(vec![entry(0, "new")]).await.expect_err("another log is not this one");
        assert!(matches!(&error, AppendError::Lost { place, .. } if place.contains(".change/")), "{error}");
        assert!(error.to_string().contains("restore"), "{error}");
    }
    let error =
        log.reader(&Positions::new(), StreamSet::ALL).expect_err("what is left is not given out as if it were whole");
    assert!(matches!(error, ReadError::Lost { .. }), "{error}");
    assert!(log.ends().covers(appended[0].position), "what was promised is still known");
    log.close().await;
    brokers::delete(&options, &Stream::ALL);
}
