//! Appenders that go on through an outage and remember what they were promised.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_log::{Append, AppendError, EventLog, Logged, StreamSet};
use record::{Partition, Position, Positions, Stream};
use tokio::task::JoinHandle;

pub const PARTITIONS: u16 = 4;

pub fn entry(partition: u16, text: &str) -> Append {
    Append { stream: Stream::Change, partition: Partition(partition), bytes: text.to_owned().into() }
}

/// Running appenders.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// Entries that were acknowledged until now.
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Outcome>>,
}

/// What appenders saw.
#[derive(Default)]
pub struct Outcome {
    /// Place and text of what was acknowledged.
    pub promised: Vec<(Position, String)>,
    /// Calls that failed.
    pub failed: Vec<AppendError>,
}

impl Load {
    pub fn start(log: &EventLog, name: &str) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..4u16).map(|task| {
            let (log, stop, acknowledged, name) = (log.clone(), stop.clone(), acknowledged.clone(), name.to_owned());
            tokio::spawn(async move {
                let mut seen = Outcome::default();
                for n in 0u64.. {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let texts: Vec<_> = (0..=n % 5).map(|i| format!("{name}-{task}-{n:08}-{i}")).collect();
                    let batch = texts.iter().enumerate().map(|(i, t)| entry((task + i as u16) % PARTITIONS, t));
                    match log.append(batch.collect()).await {
                        Ok(appended) => {
                            acknowledged.fetch_add(appended.len() as u64, Ordering::AcqRel);
                            seen.promised.extend(appended.iter().map(|a| a.position).zip(texts));
                        }
                        Err(error) => seen.failed.push(error),
                    }
                }
                seen
            })
        });
        let tasks = tasks.collect();
        Self { stop, acknowledged, tasks }
    }

    /// Waits until so many more entries were acknowledged.
    pub async fn acknowledges(&self, more: u64) {
        let until = self.acknowledged.load(Ordering::Acquire) + more;
        let patience = Instant::now() + Duration::from_secs(120);
        while self.acknowledged.load(Ordering::Acquire) < until {
            assert!(Instant::now() < patience, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Release);
        let mut all = Outcome::default();
        for task in self.tasks {
            let Outcome { promised, failed } = task.await.expect("no panic");
            all.promised.extend(promised);
            all.failed.extend(failed);
        }
        all
    }
}

/// Reads everything there is.
pub fn read_all(log: &EventLog) -> Vec<Logged> {
    let ends = log.ends();
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    let mut out = Vec::new();
    while !reader.positions().covers_all(&ends) {
        out.extend(reader.next_batch(1_000, 1 << 20).expect("the log is sound").entries);
    }
    out
}

/// Checks the promises against the log. Returns how many entries it has.
pub fn check(log: &EventLog, promised: &[(Position, String)]) -> usize {
    let mut places: HashMap<String, Position> = HashMap::new();
    let mut last: HashMap<(Partition, String), String> = HashMap::new();
    let all = read_all(log);
    for e in &all {
        let text = String::from_utf8(e.bytes.to_vec()).expect("text");
        // One appender's entries of a partition stand in the order in which it appended them.
        let appender = text.rsplitn(3, '-').nth(2).expect("an appender").to_owned();
        let before = last.insert((e.position.partition, appender), text.clone());
        assert!(before.as_ref().is_none_or(|before| before < &text), "{text} stands after {before:?}");
        assert_eq!(places.insert(text.clone(), e.position), None, "{text} is there twice");
    }
    for (position, text) in promised {
        assert_eq!(places.get(text), Some(position), "{text} was promised at {position}");
    }
    all.len()
}

/// Checks the promises against a log whose brokers may take an entry twice: each stands where it was promised.
pub fn check_places(log: &EventLog, promised: &[(Position, String)]) {
    let places: HashMap<Position, Vec<u8>> = read_all(log).iter().map(|e| (e.position, e.bytes.to_vec())).collect();
    for (position, text) in promised {
        assert_eq!(places.get(position).map(Vec::as_slice), Some(text.as_bytes()), "promised at {position}");
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(90);
    while !holds() {
        assert!(Instant::now() < patience, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
