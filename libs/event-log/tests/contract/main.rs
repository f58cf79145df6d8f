//! The contract of [`event_log::EventLog`], held by every variant, and what the embedded one owes besides.

mod crash;
mod damage;
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

/// One test per claim of the suite, for one variant.
macro_rules! contract {
    ($variant:ident, $fixture:expr, $($claim:ident),* $(,)?) => {
        mod $variant {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    suite::$claim(&mut $fixture).await;
                }
            )*
        }
    };
}

contract!(
    embedded,
    EmbeddedLog::new(),
    indexes_follow_without_gaps_in_order_of_append,
    acknowledged_entries_are_there_after_reopening,
    locators_and_positions_lead_to_the_same_entry,
    what_is_not_in_the_log_is_named,
    concurrent_appenders_share_one_gapless_order,
    a_reader_resumes_from_any_positions,
    a_reader_gives_only_the_streams_asked_for,
    batches_stay_within_their_bounds,
    large_entries_pass_and_oversize_ones_are_refused,
    a_waiting_reader_is_woken_by_an_append,
    a_closed_log_takes_nothing_and_still_reads,
    the_first_entry_at_or_after_a_time_is_found,
    a_call_is_one_group,
    readers_keep_up_while_entries_are_appended,
);
