//! The views: folds the log into connected subjects, and answers queries about them.
//!
//! Invariants: nothing changes a view except an entry in the log; a batch is in the store whole, with its positions and its
//! digest, or not at all; queries read committed batches only, through a permit.

pub mod access_log;
mod announce;
pub mod copying;
pub mod decisions;
pub mod difference;
pub mod fold;
pub mod former;
mod generations;
pub mod learn;
pub mod mentions;
pub mod prepared;
pub mod quality_history;
pub mod query;
mod recovery;
pub mod rows;
pub mod runtime;
mod scratch;
mod switching;
pub mod verify;

pub use generations::folders;
