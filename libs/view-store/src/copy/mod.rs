//! Copies of a store for another process: what one batch left, in pieces of bounded size.
//!
//! Rows and dense rows are copied, postings are not: they are derived again from the feature rows, as after a crash. A copy does not depend on the
//! kind of the store that it is of. Pieces, integers little-endian:
//!
//! ```text
//! header  u16 format, log id (16), the committed row
//! 1       u8 table, then rows: u16 bytes of the key, u32 bytes of the value, key, value
//! 2       u8 dense file, u64 number of the first block, then blocks of 4 KiB as they are sealed
//! 3       u64 rows, u64 blocks: the end
//! ```

mod incoming;
mod outgoing;

pub use incoming::Incoming;
pub use outgoing::Outgoing;

use crate::error::Error;
use crate::table::Table;
use crate::view::{Committed, OpenError};

/// Version of the pieces.
const FORMAT: u16 = 1;
const ROWS: u8 = 1;
const BLOCKS: u8 = 2;
const END: u8 = 3;

/// Why a copy cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is written in another way than this program reads.
    #[error("the copy has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The copy's.
        found: u16,
    },
    /// It is of views that were folded from another log.
    #[error("the copy is of views of another log")]
    ForeignLog,
    /// It is of views that another version of the fold wrote.
    #[error("the copy is of views of fold version {found}, this program folds by version {expected}")]
    OtherFoldVersion {
        /// The copy's.
        found: u32,
        /// This program's.
        expected: u32,
    },
    /// A piece is not what pieces are.
    #[error("the copy is damaged: {0}")]
    Malformed(&'static str),
    /// The copy ended before it was whole.
    #[error("the copy is not whole: {0}")]
    NotWhole(&'static str),
    /// The directory cannot be used.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The disk failed.
    #[error("{0}")]
    Store(#[from] Error),
}

/// What a copy is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyHeader {
    /// The log that the views are of.
    pub log_id: [u8; 16],
    /// The batch that it shows.
    pub committed: Committed,
}

impl CopyHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&FORMAT.to_le_bytes()[..], &self.log_id, &self.committed.encode()].concat()
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`CopyError::Format`], [`CopyError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CopyError> {
        let short = CopyError::Malformed("its header is too short");
        let Some((format, rest)) = bytes.split_first_chunk::<2>() else { return Err(short) };
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(CopyError::Format { found });
        }
        let Some((log_id, committed)) = rest.split_first_chunk::<16>() else { return Err(short) };
        let committed = Committed::decode(committed).map_err(|_| CopyError::Malformed("its header cannot be read"))?;
        Ok(Self { log_id: *log_id, committed })
    }
}

/// Whether the rows of a table are copied: those that only the store itself reads are written anew.
const fn is_copied(table: Table) -> bool {
    !matches!(table, Table::Redo | Table::Meta)
}
