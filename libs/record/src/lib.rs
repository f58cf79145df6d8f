//! The words of the hub as types, and the bytes that are kept for ever.
//!
//! Everything that is written to the log or summed into the digest has its codec here, written by hand and pinned by
//! golden bytes (`tests/golden.rs`): the [entry](entry), the [change envelope](envelope), [control entries](control),
//! [access entries](access), the rows of the [digest](digest), [encrypted bodies](body) and the [keys](keys) they need.
//!
//! Invariants: decoding never panics and never allocates more than the input's length; every format opens with a
//! version byte; integers are little-endian; encoding is canonical (one value, one encoding).
//!
//! Deliberately absent: I/O, clocks, randomness, protobuf. A salt, a time or a secret is always an argument.

pub mod access;
pub mod body;
pub mod codec;
pub mod control;
pub mod digest;
pub mod entry;
pub mod envelope;
pub mod ids;
pub mod keys;
pub mod position;
pub mod secret;

pub use codec::{DecodeError, Reader, Writer};
pub use digest::{Digest, LtHash, Row};
pub use entry::{BodyCodec, ENTRY_BYTES_MAX, Entry, EntryHash, EntryHeader, EntryKind};
pub use envelope::{Envelope, Operation, StatementHash};
pub use ids::{
    AgencyId, ContractId, IdError, Kind, MentionId, Pseudonym, RecordId, RegisterEpoch, RegisterName, Timestamp,
    Version,
};
pub use keys::{KeyTree, Keyring};
pub use position::{Index, Partition, Position, PositionError, Positions, Stream};
pub use secret::LogSecret;
