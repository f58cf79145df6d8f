//! Why keys cannot be had or changed.

use std::io;
use std::path::PathBuf;

/// The error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {verb} {path}", path = .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no key file.
    #[error("the key file {} is missing: restore it from its copy; without it no record of this log can be read", .0.display())]
    Missing(PathBuf),
    /// There is a key file already.
    #[error("the key file {} is there already: it is never overwritten by another", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may read a secret.
    #[error("{} may be read by others (mode {mode:o}): 'chmod 600' it, and rotate the wrapping key if others had access", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not a key file, or was changed.
    #[error("{} is no key file or was damaged ({what}): restore it from its copy", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The file was written by a later version of this program.
    #[error("{} has format {found}: use a newer program", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// The keys are of another log.
    #[error("{} holds the keys of another log: give the one that belongs to this log", .0.display())]
    OtherLog(PathBuf),
    /// The wrapping key is not the one that the file names.
    #[error("the key file was wrapped by the wrapping key {wanted}, and {found} is at hand: give that one")]
    OtherWrappingKey {
        /// The one that is needed.
        wanted: String,
        /// The one that is there.
        found: String,
    },
    /// The wrapping key is of another size.
    #[error("the wrapping key {} has {found} bytes instead of 32: restore it from its copy", .path.display())]
    WrappingKeySize {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: usize,
    },
    /// The PKCS#11 token refused.
    #[error("the PKCS#11 token: cannot {doing}")]
    Token {
        /// What was tried.
        doing: &'static str,
        /// What the token said.
        source: cryptoki::error::Error,
    },
    /// No token has the configured label.
    #[error("no PKCS#11 token is labelled '{0}': start it, or correct its label in the configuration")]
    NoToken(String),
    /// The token holds no such key.
    #[error(
        "the PKCS#11 token holds no AES key labelled '{label}' with id {id}: give the token that the file was wrapped by"
    )]
    NoTokenKey {
        /// Label of the key.
        label: String,
        /// Its id.
        id: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// A failed write left it unknown which keys are on the disk.
    #[error("the keys could not be written before: nothing is destroyed or rotated until the hub is started again")]
    Poisoned,
}
