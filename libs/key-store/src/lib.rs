//! Where the keys of record bodies live: one small file beside the log.
//!
//! The file holds the live seeds of the key tree (`record::keys`), encrypted under a *file key* that is drawn anew whenever
//! the file is written; the file key is encrypted under the *wrapping key*, which lies in a file of its own or in a PKCS#11
//! token. Nothing is written when records are published, so a backup of the file is complete until a key is destroyed, and
//! then it holds too much, never too little.
//!
//! Invariants:
//! - The file is replaced as a whole: written beside its place, synced, moved, folder synced. A crash or a power loss leaves the
//!   old or the new one, and the folder's own name is synced before anybody can rely on what lies in it. What the file held before
//!   is overwritten afterwards as far as the file system allows, which on flash memory, on copying file systems and in snapshots it
//!   does not: there, [`KeyStore::rotate`] is what makes old copies worthless.
//! - A key is destroyed in the file before it is in memory: [`KeyStore::destroy`] returns when it can come back from nowhere
//!   but a copy.
//! - The file names its log; under another log it is refused. It is checksummed, and what was changed is refused.
//! - No secret and no path of a person's record reaches an error or a `Debug` text; secrets are wiped when dropped.
//!
//! Deliberately absent: a key per record, a cache of keys, the service that gives the keys to other processes of the hub (the
//! binary has it), and any way to bring a destroyed key back.

mod error;
mod file;
mod format;
mod pkcs11;
mod store;
mod wrapping;

pub use error::Error;
pub use file::make_private_dir;
pub use format::RingId;
pub use pkcs11::Token;
pub use store::{KeyStore, Status};
pub use wrapping::{WrappingId, WrappingKey};
