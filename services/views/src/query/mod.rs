//! The gRPC service `hub.query.v1`: answers about subjects, for a purpose, through a permit.
//!
//! Life of a question: who asks (`identity`), for what (`access`: a permit or a refusal), whether the views have folded far
//! enough, the answer from one committed batch of the view store and the bodies in the log, the access entry, and only then the
//! answer.
//!
//! Invariants:
//! - Nothing of a subject is read without a permit, and only what the permit releases leaves.
//! - An answer leaves after its access entry is durable; so does a refusal.
//! - An answer shows one committed batch. What it holds is bounded: records per subject, hits, candidates.
//! - Searches have places of their own, so that they cannot keep other questions waiting.
//! - No key, value or case number reaches a log line, a metric or an error.
//!
//! With `known_at` the answer is what a replay up to the last cut not later than that time gives, clusters and linkage model of
//! then included; who may see it is judged as of now. An answer that was given is made again from what it was made from
//! (`ReproduceAnswer`), with the policy of then.
//!
//! Deliberately absent: certificates (crate `identity`), what a policy says (crate `access`), streams of changes.

mod accesses;
mod account;
mod compare;
mod error;
mod explain;
mod faults;
mod fields;
mod findings;
mod key;
mod lane;
mod past;
mod procedure;
mod quality;
mod reproduce;
mod review;
mod search;
mod service;
mod session;
mod spool;
mod standing;
mod status;
mod subject;
mod told;
mod units;
mod wait;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use record::Timestamp;
use telemetry::{Metrics, QueryMetrics};
use tokio::sync::{Semaphore, watch as watch_channel};
use wire::query::query_service_server::QueryServiceServer;

pub use error::Error;
pub use fields::{FieldCounts, Fields, compare_fields};
pub(crate) use past::Past;

use crate::access_log::AccessLog;
use crate::quality_history::QualityHistory;
use crate::runtime::ViewsHandle;
use lane::Lane;

/// Where times come from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How questions are answered.
#[derive(Clone)]
pub struct Options {
    /// The time.
    pub clock: Clock,
    /// The hub's version, as `GetStatus` tells it.
    pub version: String,
    /// Questions about subjects that read at the same time, 1 or more. Default 16.
    pub reads_max: usize,
    /// Searches that read at the same time, 1 or more. Default 2.
    pub searches_max: usize,
    /// Questions that may wait for a place, of each of the two; a further one is answered `RESOURCE_EXHAUSTED`. Default 256.
    pub waiting_max: usize,
    /// How long `min_positions` are waited for when the call has no deadline of its own. Default 10 s.
    pub wait_max: Duration,
    /// Records that one subject's answer is made from, the newest ones. Default 512.
    pub records_max: usize,
    /// Where views of the past are folded: for `known_at`, and when an answer is made again. Without it `known_at` shows the
    /// versions of then in the clusters of today, and no answer is made again.
    pub scratch: Option<PathBuf>,
    /// Samples of the quality counters, for trends. Without them no trend is told.
    pub quality: Option<QualityHistory>,
    /// Where to count.
    pub metrics: Metrics,
    /// True once the hub stops: those who watch are let go.
    pub stopping: watch_channel::Receiver<bool>,
}

impl Options {
    /// The defaults.
    pub fn new(clock: Clock, version: impl Into<String>, metrics: Metrics) -> Self {
        Self {
            clock,
            version: version.into(),
            reads_max: 16,
            searches_max: 2,
            waiting_max: 256,
            wait_max: Duration::from_secs(10),
            records_max: 512,
            scratch: None,
            quality: None,
            metrics,
            // Nobody sends: it never stops.
            stopping: watch_channel::channel(false).1,
        }
    }
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Query(Arc<Core>);

/// What the handlers share.
pub(crate) struct Core {
    handle: ViewsHandle,
    access_log: AccessLog,
    options: Options,
    reads: Lane,
    searches: Lane,
    /// One answer is made again at a time.
    reproducing: Arc<Semaphore>,
    comparing: Arc<Semaphore>,
    metrics: QueryMetrics,
}

impl Query {
    /// The service over running views and a running access log.
    pub fn new(handle: ViewsHandle, access_log: AccessLog, options: Options) -> Self {
        Self(Arc::new(Core {
            reads: Lane::new(options.reads_max, options.waiting_max),
            searches: Lane::new(options.searches_max, options.waiting_max),
            reproducing: Arc::new(Semaphore::new(1)),
            comparing: Arc::new(Semaphore::new(compare::COMPARISONS_MAX)),
            metrics: options.metrics.query(),
            handle,
            access_log,
            options,
        }))
    }

    /// The service to mount.
    pub fn service(&self) -> QueryServiceServer<Self> {
        QueryServiceServer::new(self.clone())
    }
}

impl Core {
    fn now(&self) -> Timestamp {
        (self.options.clock)()
    }
}
