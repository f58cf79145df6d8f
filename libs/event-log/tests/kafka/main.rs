//! The log on real brokers: the contract of [`event_log::EventLog`], and what Kafka owes besides.

mod brokers;
mod own;
#[path = "../contract/suite.rs"]
#[macro_use]
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use event_log::{EventLog, Kafka, KafkaOptions, LocalBodies};
use record::{Stream, Timestamp};
use suite::Fixture;

/// A log of its own on the shared brokers; its topics are deleted when it is dropped.
struct KafkaLog {
    options: KafkaOptions,
    clock: Arc<AtomicI64>,
    created: bool,
    _bodies: Option<tempfile::TempDir>,
}

impl KafkaLog {
    fn new(name: &str) -> Self {
        let clock = Arc::new(AtomicI64::new(1_000));
        let mut options = brokers::options(brokers::shared(), name);
        let told = clock.clone();
        options.clock = Arc::new(move || Timestamp(told.load(Ordering::SeqCst)));
        Self { options, clock, created: false, _bodies: None }
    }

    fn with_bodies(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = Self::new(name);
        log.options.bodies = Some(LocalBodies { dir: dir.path().join("bodies"), bytes_max: None });
        log._bodies = Some(dir);
        log
    }
}

impl Fixture for KafkaLog {
    const ONE_SEQUENCE: bool = false;
    const RESUME_STEP: usize = 17;

    fn open(&mut self) -> EventLog {
        if !std::mem::replace(&mut self.created, true) {
            assert_eq!(event_log::init_kafka(&self.options).expect("topics").len(), 4);
        }
        Kafka::open(&self.options).expect("the log opens").into()
    }

    fn set_clock(&self, micros: i64) {
        self.clock.store(micros, Ordering::SeqCst);
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if self.created {
            brokers::delete(&self.options, &Stream::ALL);
        }
    }
}

every_claim!(without_local_bodies, KafkaLog::new("plain"));
every_claim!(with_local_bodies, KafkaLog::with_bodies("local"));
