//! The views: folds the log into connected subjects, and answers queries about them.
//!
//! Invariants: nothing changes a view except an entry in the log; a batch is in the store whole, with its positions and its
//! digest, or not at all; queries read committed batches only, through a permit.

pub mod access_log;
pub mod decisions;
pub mod difference;
pub mod fold;
mod generations;
pub mod learn;
pub mod mentions;
pub mod prepared;
pub mod query;
pub mod rows;
pub mod runtime;
mod switching;
pub mod verify;
