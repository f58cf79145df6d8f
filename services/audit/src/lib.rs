//! Keeping the ledger, and showing what the log holds to those who may see it.
//!
//! | part | what it does |
//! |---|---|
//! | [`Ledger`] | follows the log on threads of its own: tiles, ticks, signed checkpoints; compares log and ledger at start |
//! | [`tiles`] | serves the ledger's files over HTTP (c2sp.org/tlog-tiles) |
//! | [`Witnesses`], [`witness`] | asks witnesses for cosignatures; is one (c2sp.org/tlog-witness) |
//! | [`Audit`] | `hub.audit.v1`: proof bundles, verification, replay |
//!
//! Invariants:
//! - nothing here is on the way of an append: when the ledger cannot go on, publishing and queries do, and the log line, `/readyz` and
//!   [`LedgerStatus`] say so;
//! - a checkpoint is signed of what is durable in the log only, never behind one that was signed before, and never of another
//!   history: a ledger that meets its earlier checkpoint with another root stops;
//! - what discloses entries is permitted by `access` and recorded as an access before it leaves;
//! - memory is bounded by constants and by the number of partitions, whatever the size of the log.
//!
//! Deliberately absent: the formats and their verification (crates `ledger`, `proof`), the ledger's files (`tile-store`), and how
//! subjects are made of records (the views).

mod ahead;
mod client;
mod error;
mod follow;
mod ledger_part;
mod prove;
mod replay;
mod service;
pub mod tiles;
mod verify;
pub mod witness;
mod witnesses;

pub use error::Error;
pub use ledger_part::{Ledger, LedgerHandle, LedgerOptions, LedgerStatus, Verification};
pub use service::{Audit, Deps, Recorder, Subjects};
pub use verify::{Difference, DifferenceKind, LedgerReport, VerifyError, verify_ledger};
pub use witnesses::{Witnesses, WitnessesError};
