//! The door of the hub: record changes come in here, are judged one by one, and are acknowledged when they are durable.
//!
//! [`Ingest`] is the gRPC service `hub.ingest.v1`; [`Cutter`] writes cuts; [`bootstrap`] writes the first control entries of a log and checks
//! that a process holds the log's secret; [`append_control`] is the way of every other control entry.
//!
//! Life of a batch: who may write what (`access`), bounds, contract (`contract`), identity against what is on its way, what is in the log and
//! not folded, and the heads of the views; then one task, the committer, gathers all batches that wait into one append, signs once, and
//! answers.
//!
//! Invariants:
//! - An answer is durable: `Accepted`, `Rejected`, and also `Duplicate` and `Conflict`, which wait for the entry that they point to.
//! - All entries of one batch are one append: a batch is in the log wholly or not at all.
//! - An identity is claimed before the heads are read, and let go of only when the fold has passed it, so that no two entries of one identity
//!   are appended while the index of what is not folded holds (see [`Limits::unfolded_max`]); past it the fold decides by the same rule.
//! - A change never fails its neighbours.
//! - Memory is bounded by [`Limits`]. No lock is held across an await.
//! - No record id, value or payload reaches a log line, a metric or an error.
//!
//! Deliberately absent: rules that need other records (they are findings of the fold), restating a register (a register epoch other than 0 is
//! refused), quotas per publisher, and the server itself: addresses, TLS and health belong to the binary.

mod batch;
mod bootstrap;
mod change;
mod commit;
mod control;
mod cutter;
mod error;
mod ingest;
mod judge;
mod limits;
mod places;
mod refusals;
mod rejected;
mod service;
mod shared;
mod source;
mod status;
mod tail;
mod unfolded;

pub use bootstrap::{Bootstrap, BootstrapError, Bootstrapped, bootstrap, commitment_of, ring_of};
pub use control::{ControlError, append_control};
pub use cutter::{Candidate, Cutter};
pub use error::{Error, refusal_of_transport};
pub use ingest::{Deps, Ingest, Takes};
pub use limits::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, Limits, MESSAGE_BYTES_MAX, RESPONSE_BYTES_MAX};
pub use service::{Handlers, Service};
pub use source::{Clock, Salts, system_clock, system_salts};
