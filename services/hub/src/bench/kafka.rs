//! The same hub with its log on Kafka, against a producer with nothing around it.

use std::time::Instant;

use event_log::{Embedded, EventLog, LogOptions, ReadError, StreamSet, Tuning};
use record::{Entry, Positions, Stream};
use views::runtime::ViewsHandle;

use super::figure::{Budget, Figure, Limit};
use super::{Plan, fold};
use crate::commands::demo::topics::{self, Topics};
use crate::config::Config;
use crate::error::{CommandError, told};
use crate::kafka_log;

const COPIED_LOG: [u8; 16] = *b"bench copied log";
/// Messages that the bare producer sends.
const BARE_MESSAGES: u64 = 200_000;

/// Puts the log on topics of its own, where it is to be on Kafka.
pub(super) fn configure(plan: &Plan, config: &mut Config) -> Result<Option<Topics>, CommandError> {
    let Some(brokers) = &plan.kafka else { return Ok(None) };
    topics::configure(config, brokers)?;
    topics::make(config, false).map(Some)
}

/// Publishing against a bare producer with messages of the same size, on topics of its own; nothing where the log is embedded.
pub(super) async fn figure(
    plan: &Plan,
    config: &Config,
    log: &EventLog,
    published: f64,
) -> Result<Option<Figure>, CommandError> {
    if plan.kafka.is_none() {
        return Ok(None);
    }
    let mut options = kafka_log::options(config)?;
    options.prefix.push_str("-bare");
    let log = log.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let bytes = entry_bytes(&log).map_err(|error| CommandError::failed(told(&error), "run with -v to see why"))?;
        let bare = || {
            event_log::init_kafka(&options)?;
            let rate = event_log::kafka_bare_rate(&options, BARE_MESSAGES, bytes);
            event_log::remove_kafka(&options)?;
            rate
        };
        bare().map_err(|error| kafka_log::refused(&error))
    });
    let value = measured.await.map_err(|panic| CommandError::failed(panic.to_string(), "run with -v to see why"))??;
    let limit = Some(Limit { what: "a bare producer, messages of the same size", value });
    let budget = Budget::AtLeast(100_000.0, Some(0.40));
    Ok(Some(Figure { name: "publish_kafka", value: published, unit: "changes/s", limit, budget }))
}

/// The fold and a bulk replay from Kafka against the same from files: the log's entries are copied there first. Nothing where the log is embedded.
pub(super) async fn reading(plan: &Plan, handle: &ViewsHandle) -> Result<Vec<Figure>, CommandError> {
    if plan.kafka.is_none() {
        return Ok(Vec::new());
    }
    let failed = |error: &dyn std::error::Error| CommandError::failed(told(error), "run with -v to see why");
    let dir = tempfile::tempdir().map_err(|error| failed(&error))?;
    let options = LogOptions { partitions: handle.log.partitions(), tuning: Tuning::default() };
    let files = Embedded::create(&dir.path().join("log"), &options, COPIED_LOG).map_err(|error| failed(&error))?;
    let files = EventLog::from(files);
    event_log::copy(&handle.log, &files, |_| {}).await.map_err(|error| failed(&error))?;
    let (handle, copied) = (handle.clone(), files.clone());
    let measured = tokio::task::spawn_blocking(move || {
        let rates = |log: &EventLog| -> Result<[f64; 2], CommandError> {
            let fold = fold::rate(log, &handle).map_err(|error| failed(&error))?;
            Ok([fold, replay(log).map_err(|error| failed(&error))?])
        };
        // Files first: what a first pass warms up must not be to Kafka's disadvantage.
        let limits = rates(&copied)?;
        Ok::<_, CommandError>((rates(&handle.log)?, limits))
    });
    let measured = measured.await.map_err(|panic| failed(&panic));
    files.close().await;
    let ([fold, replay], [fold_limit, replay_limit]) = measured??;
    let figure = |name, value, unit, what, limit, budget| Figure {
        name,
        value,
        unit,
        limit: Some(Limit { what, value: limit }),
        budget,
    };
    let (fold_budget, replay_budget) = (Budget::AtLeast(30_000.0, Some(0.80)), Budget::AtLeast(150_000.0, None));
    Ok(vec![
        figure("fold_kafka", fold, "changes/s", "the fold of the same log in files", fold_limit, fold_budget),
        figure("replay_kafka", replay, "entries/s", "the same log read from files", replay_limit, replay_budget),
    ])
}

/// Entries a second that are read in bulk, checked and decoded.
fn replay(log: &EventLog) -> Result<f64, ReadError> {
    let (begun, mut entries) = (Instant::now(), 0u64);
    let mut reader = log.reader(&log.first(), StreamSet::ALL_BUT_ACCESS)?;
    let end = log.ends();
    while !end
        .iter()
        .filter(|(stream, ..)| *stream != Stream::Access)
        .all(|(s, p, i)| reader.positions().get(s, p) >= i)
    {
        let batch = reader.next_batch(4096, 8 << 20)?.entries;
        if batch.is_empty() {
            reader.wait(std::time::Duration::from_millis(100));
        }
        entries += batch.iter().filter(|entry| Entry::decode(&entry.bytes).is_ok()).count() as u64;
    }
    Ok(entries as f64 / begun.elapsed().as_secs_f64().max(1e-6))
}

/// Bytes of an entry of the change stream, on average over the first ones.
fn entry_bytes(log: &EventLog) -> Result<usize, event_log::ReadError> {
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change))?;
    let entries = reader.next_batch(1_000, 16 << 20)?.entries;
    let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    Ok(bytes / entries.len().max(1))
}
