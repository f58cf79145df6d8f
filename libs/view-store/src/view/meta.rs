//! The rows that this crate keeps in [`Table::Meta`] and [`Table::Redo`].

use crate::batch::Batch;
use crate::dense::{DenseFile, DenseTable};
use crate::error::Error;
use crate::store::{Snapshot, Store};
use crate::table::Table;

const COMMITTED: &[u8] = b"committed";
const CHECKPOINT: &[u8] = b"checkpoint";
/// Lengths of the dense files, in the order of [`DenseTable::ALL`].
pub(crate) type Lengths = [u32; DenseTable::ALL.len()];

/// The last batch that a store holds. Written in every batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Number of the batch; 0 before the first.
    pub batch: u64,
    /// Version of the fold that wrote it.
    pub fold_version: u32,
    /// Positions that the fold has reached, as it encoded them.
    pub positions: Vec<u8>,
    /// Digest over all rows, as the fold encoded it.
    pub digest: Vec<u8>,
    pub(crate) lengths: Lengths,
}

/// The last checkpoint: the dense files hold these many rows, and all that batches up to `batch` wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    pub(crate) batch: u64,
    pub(crate) lengths: Lengths,
}

impl Committed {
    pub(crate) fn initial(fold_version: u32) -> Self {
        Self { batch: 0, fold_version, positions: Vec::new(), digest: Vec::new(), lengths: Lengths::default() }
    }

    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(Table::Meta, COMMITTED, &self.encode());
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.positions.len() + self.digest.len());
        bytes.extend(self.batch.to_le_bytes());
        bytes.extend(self.fold_version.to_le_bytes());
        put_lengths(&mut bytes, self.lengths);
        for part in [&self.positions, &self.digest] {
            let len = u32::try_from(part.len()).expect("positions and digest are far below 4 GiB");
            bytes.extend(len.to_le_bytes());
            bytes.extend(part);
        }
        bytes
    }

    /// `None` when the store holds no such row: it is empty.
    pub(crate) fn read(store: &Store) -> Result<Option<Self>, Error> {
        store.get(Table::Meta, COMMITTED)?.map(|bytes| Self::decode(&bytes)).transpose()
    }

    /// The batch that a snapshot shows.
    pub(crate) fn read_at(snapshot: &Snapshot) -> Result<Self, Error> {
        let bytes = snapshot.get(Table::Meta, COMMITTED)?.ok_or(Error::DamagedRow { row: "committed" })?;
        Self::decode(&bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Input { bytes, row: "committed" };
        let committed = Self {
            batch: input.u64()?,
            fold_version: input.u32()?,
            lengths: input.lengths()?,
            positions: input.sized()?.to_vec(),
            digest: input.sized()?.to_vec(),
        };
        input.end().map(|()| committed)
    }
}

impl Checkpoint {
    pub(crate) fn put(&self, batch: &mut Batch) {
        let mut bytes = self.batch.to_le_bytes().to_vec();
        put_lengths(&mut bytes, self.lengths);
        batch.put(Table::Meta, CHECKPOINT, &bytes);
    }

    pub(crate) fn read(store: &Store) -> Result<Option<Self>, Error> {
        let Some(bytes) = store.get(Table::Meta, CHECKPOINT)? else { return Ok(None) };
        let mut input = Input { bytes: &bytes, row: "checkpoint" };
        let checkpoint = Self { batch: input.u64()?, lengths: input.lengths()? };
        input.end().map(|()| Some(checkpoint))
    }
}

/// Puts what the open batch changed in the dense files into its redo row; false when it changed nothing.
pub(crate) fn put_redo(batch: &mut Batch, number: u64, files: &[DenseFile]) -> bool {
    let mut bytes = Vec::new();
    for file in files {
        let start = bytes.len();
        bytes.push(file.table().number());
        bytes.extend([0; 4]);
        let mut count: u32 = 0;
        for (row_number, row) in file.changed() {
            bytes.extend(row_number.to_le_bytes());
            bytes.extend(row);
            count += 1;
        }
        if count == 0 {
            bytes.truncate(start);
        } else {
            bytes[start + 1..start + 5].copy_from_slice(&count.to_le_bytes());
        }
    }
    if bytes.is_empty() {
        return false;
    }
    batch.put(Table::Redo, &number.to_be_bytes(), &bytes);
    true
}

/// Writes a redo row's content to the dense files' overlays.
pub(crate) fn apply_redo(bytes: &[u8], files: &mut [DenseFile]) -> Result<(), Error> {
    let mut input = Input { bytes, row: "redo" };
    while !input.bytes.is_empty() {
        let table = DenseTable::from_number(input.take(1)?[0]).ok_or(input.damaged())?;
        let file = files.iter_mut().find(|file| file.table() == table).ok_or(input.damaged())?;
        for _ in 0..input.u32()? {
            let number = input.u32()?;
            file.put(number, input.take(table.row_bytes())?)?;
        }
    }
    Ok(())
}

fn put_lengths(bytes: &mut Vec<u8>, lengths: Lengths) {
    for length in lengths {
        bytes.extend(length.to_le_bytes());
    }
}

/// The undecoded rest of a row.
struct Input<'a> {
    bytes: &'a [u8],
    row: &'static str,
}

impl<'a> Input<'a> {
    fn damaged(&self) -> Error {
        Error::DamagedRow { row: self.row }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(self.damaged())?;
        self.bytes = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn lengths(&mut self) -> Result<Lengths, Error> {
        let mut lengths = Lengths::default();
        for length in &mut lengths {
            *length = self.u32()?;
        }
        Ok(lengths)
    }

    fn sized(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn end(&self) -> Result<(), Error> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn committed_row_reads_back_and_a_cut_one_is_refused(
            batch: u64, fold_version: u32, positions: Vec<u8>, digest: Vec<u8>, lengths: [u32; 2], cut in 0usize..24,
        ) {
            let committed = Committed { batch, fold_version, positions, digest, lengths };
            let mut written = Batch::new();
            committed.put(&mut written);
            let (_, value) = written.writes().pop().expect("one row");
            let value = value.clone().expect("a value");
            prop_assert_eq!(Committed::decode(&value).expect("sound"), committed);
            prop_assert!(Committed::decode(&value[..cut]).is_err());
        }
    }
}
