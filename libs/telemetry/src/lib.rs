//! What the hub tells of itself: log lines, traces, metrics, and whether it is alive and ready.
//!
//! [`init`] sets up the process once: log lines as text or JSON on standard error; traces, metrics and logs over OTLP/gRPC
//! when an endpoint is given; `/metrics`, `/healthz` and `/readyz` on a port of their own when an address is given.
//! [`Metrics`] holds the hub's fixed set of instruments, [`trace`] carries W3C trace context through gRPC metadata and
//! through the log.
//!
//! Invariants: no personal data in any of it. Labels are the closed set [`LABELS`], and their values are register,
//! stream and procedure-call names and words of closed enums, never what a caller wrote. Without an endpoint there is no
//! exporter, no span is recorded and nothing is connected to. Recording a value on a bound handle neither allocates nor
//! hashes its labels. Queues to exporters are bounded; what does not fit is dropped, never waited for.
//!
//! Deliberately absent: dashboards and alerts (`deploy`), and any decision that reads a metric.

mod endpoint;
mod init;
mod instruments;
mod metrics;
mod told;
pub mod trace;

pub use endpoint::Readiness;
pub use init::{Guard, InitError, LogFormat, TelemetryConfig, init};
pub use instruments::{INSTRUMENTS, Instrument, InstrumentKind, LABELS};
pub use metrics::{
    Action, ChangeOutcome, Decision, FoldMetrics, LedgerMetrics, LogMetrics, Metrics, PublishMetrics, QueryMetrics,
};
pub use told::told;
