//! Where the fold keeps its views: tables in a key-value store, dense files, a posting index.
//!
//! The store holds nothing that the log cannot rebuild. What it owes its callers is never to be wrong in silence: a
//! batch is there whole or not at all, and a store that is damaged, emptied, of another log, fold or format is
//! refused with a reason, never opened as if it were new.
//!
//! * [`ViewStore`] is the single writer's handle: it begins a [`Txn`], which reads its own writes and commits rows,
//!   positions and digest as one. [`Reader`] gives queries consistent [`View`]s of the tables meanwhile.
//! * [`Table`] lists every stored table. [`Store`] is fjall or sled behind one surface; no other crate sees them.
//! * [`DenseTable`] lists the files of fixed-size rows, found by node number.
//! * The posting index maps 64-bit blocking keys to node numbers.
//!
//! # Invariants
//!
//! 1. Rows, positions, digest, fold version, lengths of the dense files and their changed rows (as a redo row) are
//!    committed in one batch of the store. On open the redo rows are applied again, so tables and dense files agree
//!    after a killed process and after a power loss.
//! 2. A checkpoint goes: store on disk; manifest names the batch; images of all changed blocks on disk beside the
//!    files; blocks in their places, on disk; store records it and drops the redo rows. At every step the files can
//!    be repaired from what is on disk.
//! 3. No run of postings is named before the store has on disk every node that the run knows.
//! 4. Every 4 KiB block of a derived file carries a CRC32C; one that does not match is a typed error.
//! 5. After a failed write the store is poisoned: nothing more is written until it is opened again.
//! 6. One batch may be on its way into the store while the next one is built ([`Txn::commit_ahead`]); readers see neither
//!    before it is there whole.
//! 7. A copy of a store ([`ViewStore::outgoing`], [`Incoming`]) is a store only once all of it is on disk.
//! 8. Memory is bounded by [`Options`], not by the number of subjects; mapped runs are the system's page cache.
//!
//! # Deliberately absent
//!
//! What the rows mean (their codecs belong to the fold), history (a cache that the log can always rebuild), reading
//! dense files or postings from query threads, more than one writer, and repair: a refused store is discarded and
//! rebuilt. [`inspect`] reads the files of a store that nobody has open, and changes nothing.

mod absence;
mod batch;
mod block;
mod checkpoint;
mod copy;
mod dense;
mod directory;
mod error;
mod inspect;
mod manifest;
mod posting;
mod row_cache;
mod store;
mod table;
mod value;
mod view;
mod work;

pub use batch::{Batch, Durability};
pub use copy::{CopyError, CopyHeader, Incoming, Outgoing};
pub use dense::DenseTable;
pub use error::Error;
pub use inspect::{Inspection, inspect};
pub use posting::{DeadNodes, Found};
pub use store::{FjallSnapshot, FjallStore, Row, SledSnapshot, SledStore, Snapshot, Store, StoreKind};
pub use table::{KEY_BYTES_MAX, KeyRange, Table};
pub use value::Value;
pub use view::{Committed, Expect, OpenError, Opened, Options, Reader, Serving, Txn, View, ViewStore};
