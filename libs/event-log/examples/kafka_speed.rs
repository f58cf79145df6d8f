//! Rates of the log on Kafka beside those of a bare producer and consumer with the same messages, on brokers that run already.
//!
//! usage: cargo run --release --example kafka_speed -- BOOTSTRAP [ENTRIES] [ENTRY_BYTES]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_log::{
    Append, EventLog, Kafka, KafkaOptions, LocalBodies, StreamSet, init_kafka, kafka_brokers, remove_kafka,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use record::{Partition, Positions, Stream};

const BATCH: usize = 1_000;
const AHEAD: usize = 16;

type Failure = Box<dyn std::error::Error>;

struct Counting(Arc<AtomicU64>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().ok_or("usage: kafka_speed BOOTSTRAP [ENTRIES] [ENTRY_BYTES]")?;
    let entries: usize = arguments.next().map_or(Ok(200_000), |n| n.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(500), |n| n.parse())?;
    let dir = tempfile::tempdir()?;
    let mut options = KafkaOptions::new(&bootstrap, format!("speed-{}", std::process::id()));
    let copies = u16::try_from(kafka_brokers(&options)?.min(3))?;
    options.topics.replication = copies;
    options.topics.min_insync = copies.max(2) - 1;
    options.bodies = Some(LocalBodies { dir: dir.path().to_owned(), bytes_max: None });
    init_kafka(&options)?;
    let measured = measure(&options, entries, bytes).await;
    remove_kafka(&options)?;
    measured
}

async fn measure(options: &KafkaOptions, entries: usize, bytes: usize) -> Result<(), Failure> {
    let payload: Vec<u8> = (0..bytes).map(|n| (n * 7919 % 251) as u8).collect();
    // Both sides' first connections and pages are not measured.
    bare_producer(options, entries / 10, &payload)?;
    let bare_in = bare_producer(options, entries, &payload)?;
    let log: EventLog = Kafka::open(options)?.into();
    let begun = log.ends().total();
    log.append(vec![append(Stream::Control, 0, b"first")]).await?;
    let log_in = log_append(&log, entries, &payload).await?;
    let total = usize::try_from(log.ends().total() - begun)? + entries;
    let bare_out = bare_consumer(options, &log.ends())?;
    let (log_out, read) = tokio::task::block_in_place(|| log_read(&log))?;
    let (look, looked) = tokio::task::block_in_place(|| log_look(&log))?;
    println!("{entries} entries of {bytes} bytes, {} in the log", total.max(read));
    println!("bare producer      {bare_in:>9.0}/s");
    println!("append             {log_in:>9.0}/s   {:.2} of it", log_in / bare_in);
    println!("bare consumer      {bare_out:>9.0}/s");
    println!("reader             {log_out:>9.0}/s   {:.2} of it, with local files written", log_out / bare_out);
    println!("local look-up      {look:>9.0}/s   of {looked}");
    log.close().await;
    Ok(())
}

fn append(stream: Stream, partition: u16, bytes: &[u8]) -> Append {
    Append { stream, partition: Partition(partition), bytes: bytes.to_vec().into() }
}

fn rate(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

fn bare_producer(options: &KafkaOptions, entries: usize, payload: &[u8]) -> Result<f64, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let producer: ThreadedProducer<Counting> = ClientConfig::new()
        .set("bootstrap.servers", &options.bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "1")
        .create_with_context(Counting(done.clone()))?;
    let topic = format!("{}.change", options.prefix);
    let begun = Instant::now();
    for n in 0..entries {
        let partition = (n % usize::from(options.topics.partitions.change)) as i32;
        let mut record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(payload);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    producer.flush(Duration::from_secs(60))?;
    assert_eq!(done.load(Ordering::Relaxed), entries as u64, "every message was acknowledged");
    Ok(rate(entries, begun))
}

async fn log_append(log: &EventLog, entries: usize, payload: &[u8]) -> Result<f64, Failure> {
    let partitions = log.partitions().change;
    let begun = Instant::now();
    let mut flying = tokio::task::JoinSet::new();
    for first in (0..entries).step_by(BATCH) {
        if flying.len() >= AHEAD
            && let Some(landed) = flying.join_next().await
        {
            landed??;
        }
        let batch: Vec<_> = (first..(first + BATCH).min(entries))
            .map(|n| append(Stream::Change, (n % usize::from(partitions)) as u16, payload))
            .collect();
        let log = log.clone();
        flying.spawn(async move { log.append(batch).await.map(drop) });
    }
    while let Some(landed) = flying.join_next().await {
        landed??;
    }
    Ok(rate(entries, begun))
}

fn bare_consumer(options: &KafkaOptions, ends: &Positions) -> Result<f64, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &options.bootstrap)
        .set("group.id", "speed")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    let topic = format!("{}.change", options.prefix);
    for partition in 0..options.topics.partitions.change {
        list.add_partition_offset(&topic, i32::from(partition), Offset::Beginning)?;
    }
    let total = ends.of(Stream::Change).total() as usize;
    let begun = Instant::now();
    consumer.assign(&list)?;
    for _ in 0..total {
        consumer.poll(Duration::from_secs(60)).ok_or("no message")??;
    }
    Ok(rate(total, begun))
}

fn log_read(log: &EventLog) -> Result<(f64, usize), Failure> {
    let begun = Instant::now();
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL_BUT_ACCESS)?;
    let mut read = 0;
    loop {
        let batch = reader.next_batch(4_096, 16 << 20)?;
        if batch.entries.is_empty() {
            return Ok((rate(read, begun), read));
        }
        read += batch.entries.len();
    }
}

fn log_look(log: &EventLog) -> Result<(f64, usize), Failure> {
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change))?;
    let some = reader.next_batch(20_000, 64 << 20)?.entries;
    let begun = Instant::now();
    for entry in &some {
        assert_eq!(log.read(entry.locator)?.position, entry.position);
    }
    Ok((rate(some.len(), begun), some.len()))
}
