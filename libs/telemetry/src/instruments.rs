//! The hub's instruments: one table, from which they are made and documented.

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// How an instrument sums up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InstrumentKind {
    /// A sum that only grows.
    Counter,
    /// The last value.
    Gauge,
    /// A distribution over buckets with these upper bounds, in the instrument's unit.
    Histogram(&'static [f64]),
}

/// One instrument. Prometheus shows `hub.publish.changes` as `hub_publish_changes_total` and appends units in full.
#[derive(Debug, Clone, Copy)]
pub struct Instrument {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// How it sums up.
    pub kind: InstrumentKind,
    /// UCUM unit: `s`, `By`, or an annotation such as `{change}`.
    pub unit: &'static str,
    /// What one value says.
    pub description: &'static str,
    /// Which of [`LABELS`] it has.
    pub labels: &'static [&'static str],
}

/// Every label that an instrument may have. The values of `register`, `stream` and `action` come from the hub's own
/// tables, those of the others from closed enums.
pub const LABELS: [&str; 5] = ["register", "stream", "outcome", "action", "decision"];

const SECONDS: InstrumentKind = InstrumentKind::Histogram(&[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]);

const fn instrument(
    name: &'static str,
    kind: InstrumentKind,
    unit: &'static str,
    description: &'static str,
    labels: &'static [&'static str],
) -> Instrument {
    Instrument { name, kind, unit, description, labels }
}

pub(crate) const CHANGES: Instrument = instrument(
    "hub.publish.changes",
    InstrumentKind::Counter,
    "{change}",
    "Changes that were published, by outcome",
    &["register", "outcome"],
);
pub(crate) const BATCH_LATENCY: Instrument = instrument(
    "hub.publish.batch.duration",
    SECONDS,
    "s",
    "From a batch's arrival to its durable answer",
    &["register"],
);
pub(crate) const APPEND_LATENCY: Instrument =
    instrument("hub.log.append.duration", SECONDS, "s", "From an append's hand-over to its durability", &["stream"]);
pub(crate) const APPEND_BYTES: Instrument =
    instrument("hub.log.append.size", InstrumentKind::Counter, "By", "Bytes appended to the log", &["stream"]);
pub(crate) const APPEND_ENTRIES: Instrument = instrument(
    "hub.log.append.entries",
    InstrumentKind::Counter,
    "{entry}",
    "Entries appended to the log",
    &["stream"],
);
pub(crate) const FOLD_ENTRIES: Instrument =
    instrument("hub.fold.entries", InstrumentKind::Counter, "{entry}", "Entries folded into the views", &["stream"]);
pub(crate) const FOLD_LAG: Instrument = instrument(
    "hub.fold.lag",
    SECONDS,
    "s",
    "Age of a change when the views show it, once per batch, of its oldest change",
    &[],
);
pub(crate) const FOLD_BATCH: Instrument =
    instrument("hub.fold.batch.duration", SECONDS, "s", "From a batch's first read to its commit", &[]);
pub(crate) const FOLD_BEHIND: Instrument = instrument(
    "hub.fold.behind",
    InstrumentKind::Gauge,
    "{entry}",
    "Entries that are durable in the log and not in the views yet",
    &[],
);
pub(crate) const FOLD_QUARANTINED: Instrument = instrument(
    "hub.fold.quarantined",
    InstrumentKind::Gauge,
    "{record}",
    "Records that are parked because a change of theirs cannot be applied",
    &[],
);
pub(crate) const QUERIES: Instrument = instrument(
    "hub.query.requests",
    InstrumentKind::Counter,
    "{request}",
    "Queries that were decided",
    &["action", "decision"],
);
pub(crate) const QUERY_LATENCY: Instrument = instrument(
    "hub.query.duration",
    SECONDS,
    "s",
    "From a query's arrival to its answer, durable access entry included",
    &["action"],
);
pub(crate) const ACCESS_ENTRIES: Instrument =
    instrument("hub.access.entries", InstrumentKind::Counter, "{entry}", "Access entries made durable", &[]);
pub(crate) const LEDGER_ENTRIES: Instrument = instrument(
    "hub.ledger.entries",
    InstrumentKind::Gauge,
    "{entry}",
    "Entries under the last signed checkpoint",
    &["stream"],
);
pub(crate) const LEDGER_TICKS: Instrument =
    instrument("hub.ledger.ticks", InstrumentKind::Gauge, "{tick}", "Leaves of the super-log", &[]);
pub(crate) const LEDGER_BEHIND: Instrument = instrument(
    "hub.ledger.behind",
    InstrumentKind::Gauge,
    "{entry}",
    "Entries that are durable in the log and under no signed checkpoint yet",
    &[],
);
pub(crate) const LEDGER_SIGNED: Instrument = instrument(
    "hub.ledger.checkpoint.time",
    InstrumentKind::Gauge,
    "s",
    "When a checkpoint was signed last, in seconds since 1970: its age is the present time less this",
    &[],
);

/// All instruments of the hub.
pub const INSTRUMENTS: [Instrument; 17] = [
    CHANGES,
    BATCH_LATENCY,
    APPEND_LATENCY,
    APPEND_BYTES,
    APPEND_ENTRIES,
    FOLD_ENTRIES,
    FOLD_LAG,
    FOLD_BATCH,
    FOLD_BEHIND,
    FOLD_QUARANTINED,
    QUERIES,
    QUERY_LATENCY,
    ACCESS_ENTRIES,
    LEDGER_ENTRIES,
    LEDGER_TICKS,
    LEDGER_BEHIND,
    LEDGER_SIGNED,
];

impl Instrument {
    pub(crate) fn counter(&self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_unit(self.unit).with_description(self.description).build()
    }

    pub(crate) fn gauge(&self, meter: &Meter) -> Gauge<u64> {
        meter.u64_gauge(self.name).with_unit(self.unit).with_description(self.description).build()
    }

    pub(crate) fn histogram(&self, meter: &Meter) -> Histogram<f64> {
        let builder = meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.description);
        match self.kind {
            InstrumentKind::Histogram(bounds) => builder.with_boundaries(bounds.to_vec()).build(),
            InstrumentKind::Counter | InstrumentKind::Gauge => builder.build(),
        }
    }
}
