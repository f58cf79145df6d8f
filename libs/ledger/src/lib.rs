//! What makes the log provable: RFC 6962 trees, C2SP tiles and checkpoints, witnesses, receipts.
//!
//! | part | source of the rule |
//! |---|---|
//! | [`tree`], [`proof`], [`tiled`] | RFC 6962 §2.1: trees; proofs made from tiles, and checked |
//! | [`tile`], [`bundle`] | c2sp.org/tlog-tiles: paths and bytes of tiles and entry bundles |
//! | [`note`], [`checkpoint`] | c2sp.org/signed-note, c2sp.org/tlog-checkpoint |
//! | [`cosignature`], [`witness`], [`policy`] | c2sp.org/tlog-cosignature, tlog-witness, tlog-policy |
//! | [`tick`] | the hub's own: one tree over the states of all partitions |
//! | [`receipt`] | the hub's own: its word before a checkpoint covers an entry, and the way from there to a proof |
//!
//! One key at a time ([`signers`]) signs receipts and checkpoints; the first line of what it signs tells them apart (`<log>/receipts`, `<log>`,
//! `<log>/<stream>/<partition>`). A leaf is the 32-byte hash of an entry, so that no personal data reaches the ledger.
//!
//! Invariants: one value has one spelling, so that a changed byte is another value or an error; nothing here trusts a
//! size or root that no signature covers.
//!
//! Deliberately absent: I/O, async, clocks and randomness (a key's seed and a cosignature's time are arguments); signatures other
//! than Ed25519.

pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
pub mod note;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod signers;
pub mod tick;
pub mod tile;
pub mod tiled;
pub mod tree;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{CosignerKey, CosigningKey};
pub use note::{Note, NoteError, SigningKey, VerifierKey};
pub use policy::{Policy, PolicyError, Trusted, Untrusted};
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use receipt::{Receipt, ReceiptBatch, ReceiptError, UpgradeError};
pub use signers::{KnownKey, Signers};
pub use tick::{Head, Heads, Shape, Tick, TreeOf};
pub use tile::{Resource, Tile};
pub use tiled::{TiledError, TiledTree};
pub use tree::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
