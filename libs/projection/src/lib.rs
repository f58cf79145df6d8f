//! The fold's pure stages: what a change makes of its record, what a record makes of its mentions, and what a view says of a
//! subject.
//!
//! Invariants:
//! - The view at a cut is a function of each record's own sequence and the control sequence within that cut. How partitions
//!   interleave never enters; nor does a clock, randomness, hash-map order, or a float in what is stored.
//! - A head row holds versions, positions and hashes, never a body.
//! - A fold has one [`basis::Basis`]: what the control stream switches takes effect in views that were folded for it.
//! - Linkage reads a record's highest upsert that is in force at some valid time; staleness and age are computed when read.
//!
//! Deliberately absent: I/O, the store's layout (`view-store`), clustering (`linkage`).

pub mod basis;
pub mod head;
pub mod mention;
pub mod quality;
pub mod quarantine;
pub mod state;
pub mod subject;
pub mod units;

/// Version of the fold: a store of another version is refused or rebuilt.
pub const FOLD_VERSION: u32 = 3;
