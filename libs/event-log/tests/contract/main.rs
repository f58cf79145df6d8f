//! The contract of [`event_log::EventLog`], held by every variant, and what the embedded one owes besides.

mod crash;
mod damage;
mod inspect;
#[macro_use]
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use event_log::{Embedded, EventLog, LogOptions, PartitionCounts, Tuning};
use record::Timestamp;
use suite::Fixture;

/// An embedded log whose segments are so small that every test crosses several.
struct EmbeddedLog {
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    created: bool,
}

impl EmbeddedLog {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, clock: Arc::new(AtomicI64::new(1_000)), created: false }
    }
}

impl Fixture for EmbeddedLog {
    const ONE_SEQUENCE: bool = true;
    const RESUME_STEP: usize = 1;

    fn open(&mut self) -> EventLog {
        let clock = self.clock.clone();
        let tuning = Tuning {
            segment_bytes: 16 << 10,
            access_segment_bytes: 16 << 10,
            index_interval_bytes: 4 << 10,
            open_files_max: 2,
            clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
            ..Tuning::default()
        };
        let partitions = PartitionCounts { change: 4, rejected: 2, access: 2 };
        let log = if std::mem::replace(&mut self.created, true) {
            Embedded::open_with(self.dir.path(), &tuning)
        } else {
            Embedded::create(self.dir.path(), &LogOptions { partitions, tuning }, [7; 16])
        };
        EventLog::Embedded(log.expect("the log opens"))
    }

    fn set_clock(&self, micros: i64) {
        self.clock.store(micros, Ordering::SeqCst);
    }
}

every_claim!(embedded, EmbeddedLog::new());
