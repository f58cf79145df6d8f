//! The ledger's files: the trees of all partitions and the super-log, as C2SP tiles in one folder.
//!
//! ```text
//! checkpoint                      the super-log's signed checkpoint
//! tile/0/000, tile/entries/000    the super-log: one leaf for each tick
//! change/3/checkpoint             a partition's head, signed as a checkpoint of its own
//! change/3/tile/…                 its tree: one leaf for each entry, whose 32 bytes are the entry's hash
//! heads                           the last durable state: every tree's size and root
//! signed, cosigned                the last published state, and the last that witnesses cosigned, with their notes
//! ```
//!
//! Paths are those of the format, so that serving is reading files, and stock tools can be pointed at the folder or at a
//! partition's.
//!
//! A [`Follower`] of the log is given its entries, [appends](TileStore::append) their hashes, and at each cut takes a
//! [tick](TileStore::tick). Now and then it [publishes](TileStore::publish) (partial tiles and signed checkpoints) and
//! [commits](TileStore::commit) (makes durable). None of it is on the way of an append to the log.
//!
//! Invariants:
//! - what is durable is a prefix: [`TileStore::open`] comes back at the last committed tick, removes what lies beyond it, and the
//!   follower reads on from there. Nothing that was written after the last commit is trusted;
//! - ticks follow the log's cuts and hold nothing else, so that reading the log again makes the same trees, the same ticks and
//!   the same checkpoints: one that was published before a crash is met again after it;
//! - memory is one tile per level and tree, whatever the number of entries;
//! - after a failed write nothing more is written until the folder is opened again.
//!
//! Deliberately absent: the log, clocks, threads, and a lock on the folder: one process holds the data directory.

mod error;
mod files;
mod follower;
mod signed;
mod state;
mod store;
mod tree;
mod verify;

pub use error::Error;
pub use follower::Follower;
pub use signed::{Signatures, Signed};
pub use state::State;
pub use store::{Published, TileStore};
pub use verify::{Inspection, inspect, verify_tree};
