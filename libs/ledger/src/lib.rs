//! What makes the log provable: RFC 6962 trees, signed notes, receipts.
//!
//! Now: the tree over the entries that were committed together, the note that signs its root, and the receipt that leads
//! from an entry to that note. One key signs receipts; it is a C2SP signed-note key, so that checkpoints can be signed
//! with the same one.
//!
//! Deliberately absent: the ledger of whole partitions (tiles, checkpoints, witnesses), I/O, clocks and randomness; a
//! key's seed is an argument.

pub mod note;
pub mod receipt;
pub mod tree;

pub use note::{NoteError, SigningKey, VerifierKey};
pub use receipt::{Receipt, ReceiptBatch, ReceiptError};
