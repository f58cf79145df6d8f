//! A producer with nothing around it: the limit that appends are compared with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use record::Stream;

use super::client::create;
use super::layout::topic_name;
use super::options::KafkaOptions;
use crate::error::OpenError;

const FULL_WAIT: Duration = Duration::from_millis(1);
const FLUSH: Duration = Duration::from_secs(60);

struct Counting(Arc<AtomicU64>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
    }
}

/// Sends that many messages of that many bytes to the `change` topic, with the settings of a log's producer, and says how many a second were
/// acknowledged. For topics that nobody needs: what it sends is no entry.
///
/// # Errors
/// [`OpenError::Client`], [`OpenError::Unreachable`] when not all are acknowledged.
pub fn bare_rate(options: &KafkaOptions, messages: u64, bytes: usize) -> Result<f64, OpenError> {
    let done = Arc::new(AtomicU64::new(0));
    let producer: ThreadedProducer<Counting> = create(&options.producer(), Counting(done.clone()))?;
    let topic = topic_name(&options.prefix, Stream::Change);
    // Neither all equal nor random: entries compress a little.
    let payload: Vec<u8> = (0..bytes).map(|n| (n * 7_919 % 251) as u8).collect();
    let begun = Instant::now();
    for n in 0..messages {
        let partition = (n % u64::from(options.topics.partitions.change)) as i32;
        let mut record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(&payload);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::sleep(FULL_WAIT);
        }
    }
    let flushed = producer.flush(FLUSH);
    if flushed.is_err() || done.load(Ordering::Relaxed) != messages {
        let detail = "not every message was acknowledged".to_owned();
        return Err(OpenError::Unreachable { bootstrap: options.bootstrap.clone(), detail });
    }
    Ok(messages as f64 / begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE))
}
