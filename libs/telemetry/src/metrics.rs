//! Handles on the hub's instruments, with their labels bound once.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundGauge, BoundHistogram, Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::instruments as table;

/// What became of a published change; label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum ChangeOutcome {
    /// In the log.
    Accepted,
    /// Was in the log.
    Duplicate,
    /// Another statement is in the log under its identity.
    Conflict,
    /// Breaks a hard rule.
    Rejected,
    /// The caller may not write it.
    Unauthorised,
}

impl ChangeOutcome {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Accepted, "accepted"),
        (Self::Duplicate, "duplicate"),
        (Self::Conflict, "conflict"),
        (Self::Rejected, "rejected"),
        (Self::Unauthorised, "unauthorised"),
    ];
}

/// What a portal or operator asked for; label `action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Action {
    /// One subject's attributes.
    GetSubject,
    /// The items of a public service.
    CheckProcedure,
    /// Masked hits.
    Search,
    /// Who looked at a subject's records.
    ListAccesses,
    /// Why mentions are one subject, or not.
    ExplainLink,
    /// What a reviewer should look at.
    ListReviews,
    /// Subjects that change.
    Watch,
    /// What the hub has of a register, and what is wrong with it.
    Standing,
    /// The four measures of a register.
    GetQuality,
    /// How far the hub is.
    GetStatus,
}

impl Action {
    const ALL: [(Self, &'static str); 10] = [
        (Self::GetSubject, "get_subject"),
        (Self::CheckProcedure, "check_procedure"),
        (Self::Search, "search"),
        (Self::ListAccesses, "list_accesses"),
        (Self::ExplainLink, "explain_link"),
        (Self::ListReviews, "list_reviews"),
        (Self::Watch, "watch"),
        (Self::Standing, "standing"),
        (Self::GetQuality, "get_quality"),
        (Self::GetStatus, "get_status"),
    ];
}

/// How a query ended; label `decision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Decision {
    /// Data left the hub.
    Answered,
    /// Not permitted.
    Refused,
    /// Permitted, and nobody has that key.
    NotFound,
    /// Permitted, and the key names several subjects.
    Ambiguous,
    /// Malformed, timed out, or the hub's own fault.
    Failed,
}

impl Decision {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Answered, "answered"),
        (Self::Refused, "refused"),
        (Self::NotFound, "not_found"),
        (Self::Ambiguous, "ambiguous"),
        (Self::Failed, "failed"),
    ];
}

/// Makes handles. Cheap to clone; without an exporter every handle does nothing.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

struct Instruments {
    meter: Meter,
    changes: Counter<u64>,
    batch_latency: Histogram<f64>,
    append_latency: Histogram<f64>,
    append_bytes: Counter<u64>,
    append_entries: Counter<u64>,
    fold_entries: Counter<u64>,
    queries: Counter<u64>,
    query_latency: Histogram<f64>,
}

impl Metrics {
    pub(crate) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("hub");
        Self(Arc::new(Instruments {
            changes: table::CHANGES.counter(&meter),
            batch_latency: table::BATCH_LATENCY.histogram(&meter),
            append_latency: table::APPEND_LATENCY.histogram(&meter),
            append_bytes: table::APPEND_BYTES.counter(&meter),
            append_entries: table::APPEND_ENTRIES.counter(&meter),
            fold_entries: table::FOLD_ENTRIES.counter(&meter),
            queries: table::QUERIES.counter(&meter),
            query_latency: table::QUERY_LATENCY.histogram(&meter),
            meter,
        }))
    }

    /// Handles that do nothing, for tests and for commands without a server.
    pub fn disabled() -> Self {
        Self::new(&SdkMeterProvider::builder().build())
    }

    /// For changes of one register. Bind only registers that have a contract: a name that a caller chose would let
    /// strangers grow the number of series.
    pub fn publish(&self, register: &str) -> PublishMetrics {
        let label = || KeyValue::new("register", register.to_owned());
        let changes =
            ChangeOutcome::ALL.map(|(_, outcome)| self.0.changes.bind(&[label(), KeyValue::new("outcome", outcome)]));
        PublishMetrics { changes, latency: self.0.batch_latency.bind(&[label()]) }
    }

    /// For appends to one stream of the log: `change`, `control`, `access` or `rejected`.
    pub fn log(&self, stream: &'static str) -> LogMetrics {
        let label = [KeyValue::new("stream", stream)];
        LogMetrics {
            latency: self.0.append_latency.bind(&label),
            bytes: self.0.append_bytes.bind(&label),
            entries: self.0.append_entries.bind(&label),
        }
    }

    /// For the fold.
    pub fn fold(&self) -> FoldMetrics {
        let meter = &self.0.meter;
        let entries = |stream| self.0.fold_entries.bind(&[KeyValue::new("stream", stream)]);
        FoldMetrics {
            changes: entries("change"),
            controls: entries("control"),
            lag: table::FOLD_LAG.histogram(meter).bind(&[]),
            batch: table::FOLD_BATCH.histogram(meter).bind(&[]),
            behind: table::FOLD_BEHIND.gauge(meter).bind(&[]),
            quarantined: table::FOLD_QUARANTINED.gauge(meter).bind(&[]),
        }
    }

    /// For the ledger.
    pub fn ledger(&self) -> LedgerMetrics {
        let meter = &self.0.meter;
        let gauge = table::LEDGER_ENTRIES.gauge(meter);
        LedgerMetrics {
            entries: STREAMS.map(|stream| gauge.bind(&[KeyValue::new("stream", stream)])),
            ticks: table::LEDGER_TICKS.gauge(meter).bind(&[]),
            behind: table::LEDGER_BEHIND.gauge(meter).bind(&[]),
            time: table::LEDGER_SIGNED.gauge(meter).bind(&[]),
        }
    }

    /// For queries.
    pub fn query(&self) -> QueryMetrics {
        let requests = Action::ALL.map(|(_, action)| {
            Decision::ALL.map(|(_, decision)| {
                self.0.queries.bind(&[KeyValue::new("action", action), KeyValue::new("decision", decision)])
            })
        });
        let latency = Action::ALL.map(|(_, action)| self.0.query_latency.bind(&[KeyValue::new("action", action)]));
        let access_entries = table::ACCESS_ENTRIES.counter(&self.0.meter).bind(&[]);
        QueryMetrics { requests, latency, access_entries }
    }
}

/// Publishing, of one register.
pub struct PublishMetrics {
    changes: [BoundCounter<u64>; ChangeOutcome::ALL.len()],
    latency: BoundHistogram<f64>,
}

impl PublishMetrics {
    /// Counts changes of a batch that had the same outcome.
    pub fn changes(&self, outcome: ChangeOutcome, count: u64) {
        self.changes[outcome as usize].add(count);
    }

    /// From a batch's arrival to its durable answer.
    pub fn batch(&self, took: Duration) {
        self.latency.record(took.as_secs_f64());
    }
}

/// Appending, of one stream.
pub struct LogMetrics {
    latency: BoundHistogram<f64>,
    bytes: BoundCounter<u64>,
    entries: BoundCounter<u64>,
}

impl LogMetrics {
    /// One append of `entries` entries with `bytes` bytes that became durable after `took`.
    pub fn append(&self, entries: u64, bytes: u64, took: Duration) {
        self.latency.record(took.as_secs_f64());
        self.bytes.add(bytes);
        self.entries.add(entries);
    }
}

/// Folding.
pub struct FoldMetrics {
    changes: BoundCounter<u64>,
    controls: BoundCounter<u64>,
    lag: BoundHistogram<f64>,
    batch: BoundHistogram<f64>,
    behind: BoundGauge<u64>,
    quarantined: BoundGauge<u64>,
}

impl FoldMetrics {
    /// One committed batch: entries of the change and control streams, and how long it took.
    pub fn batch(&self, changes: u64, controls: u64, took: Duration) {
        self.changes.add(changes);
        self.controls.add(controls);
        self.batch.record(took.as_secs_f64());
    }

    /// Age of the oldest change of a batch when the views show it.
    pub fn lag(&self, age: Duration) {
        self.lag.record(age.as_secs_f64());
    }

    /// Records that are parked.
    pub fn quarantined(&self, records: u64) {
        self.quarantined.record(records);
    }

    /// Entries that are durable and not folded.
    pub fn behind(&self, entries: u64) {
        self.behind.record(entries);
    }
}

/// Streams of the log, by the numbers that it gives them.
const STREAMS: [&str; 4] = ["change", "control", "access", "rejected"];

/// The ledger.
pub struct LedgerMetrics {
    entries: [BoundGauge<u64>; STREAMS.len()],
    ticks: BoundGauge<u64>,
    behind: BoundGauge<u64>,
    time: BoundGauge<u64>,
}

impl LedgerMetrics {
    /// A checkpoint was signed, so many seconds after 1970: leaves of the super-log, and the entries of `change`, `control`, `access`
    /// and `rejected` under it.
    pub fn signed(&self, time: u64, ticks: u64, entries: [u64; 4]) {
        self.ticks.record(ticks);
        self.entries.iter().zip(entries).for_each(|(gauge, count)| gauge.record(count));
        self.time.record(time);
    }

    /// Entries that are durable and under no signed checkpoint.
    pub fn behind(&self, entries: u64) {
        self.behind.record(entries);
    }
}

/// Queries.
pub struct QueryMetrics {
    requests: [[BoundCounter<u64>; Decision::ALL.len()]; Action::ALL.len()],
    latency: [BoundHistogram<f64>; Action::ALL.len()],
    access_entries: BoundCounter<u64>,
}

impl QueryMetrics {
    /// One decided query, from its arrival to its answer.
    pub fn request(&self, action: Action, decision: Decision, took: Duration) {
        self.requests[action as usize][decision as usize].add(1);
        self.latency[action as usize].record(took.as_secs_f64());
    }

    /// Access entries that became durable.
    pub fn access_entries(&self, count: u64) {
        self.access_entries.add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_enum_is_indexed_by_its_own_place_in_its_table() {
        assert!(ChangeOutcome::ALL.iter().enumerate().all(|(place, (value, _))| place == *value as usize));
        assert!(Action::ALL.iter().enumerate().all(|(place, (value, _))| place == *value as usize));
        assert!(Decision::ALL.iter().enumerate().all(|(place, (value, _))| place == *value as usize));
    }
}
