//! Every table of the store: layout, value, writer and life, in one place.

use smallvec::SmallVec;

/// Longest key in bytes, without the table's own byte. A longer one is a bug of the caller.
pub const KEY_BYTES_MAX: usize = 1024;

/// A stored table. The discriminant is the first byte of every stored key, so it never changes and is never
/// given to another table. Integers inside keys are big-endian, so that byte order is numeric order.
///
/// All tables are written by the fold's single thread, inside one batch with the positions that the batch
/// reached; [`Table::Redo`] and [`Table::Meta`] are written by this crate alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Record pseudonym (16) → head row: version, position and hash of the received bytes.
    /// Written by the record stage; lives until the record is erased.
    Head = 1,
    /// Mention id (16) → node number (u32), register rank (u8), record pseudonym (16).
    /// Written by the link stage; deleted when the mention leaves its record.
    Mention = 2,
    /// Node id (16) → node number (u32). Written when a node is born, deleted when its last mention leaves.
    NodeById = 3,
    /// Node number (u32), register rank (u8), mention id (16) → record pseudonym (16). One row per
    /// live mention of a node with two or more, so that a prefix scan lists its members in anchor order; the only member
    /// of a node is the anchor in its [`Table::NodeMeta`] row.
    NodeMember = 4,
    /// Node number (u32) → what of a node is not in the dense files, and under which counters its mentions count. Dies
    /// with the node.
    NodeMeta = 5,
    /// Component number (u32) → encoded component: its nodes, edges and clusters. Rewritten whenever the
    /// component changes, deleted when it is merged into another.
    Component = 6,
    /// Blocking key (u64) → number of live nodes that carry it. Only of keys with many nodes.
    KeyLoad = 7,
    /// Record pseudonym (16) behind a contract id (16) → empty. The record waits for that contract; deleted when it came.
    Waiting = 8,
    /// Control index (u64) → the control entry, cuts left out. Written from the control stream, never deleted.
    Control = 9,
    /// Register, agency, unit → counters. Updated in place.
    Counter = 10,
    /// Search kind (u8), search key (8), mention id (16) → record pseudonym (16). Written for every version of a record and
    /// kept when it is superseded, so that a retired id still finds its person; deleted when the record is erased.
    Lookup = 11,
    /// Node number (u32), other node number (u32) → number of records that hold both as different subjects, where a node
    /// has too many of these for its own row. Deleted at zero.
    Partner = 12,
    /// Batch number (u64) → the rows that the batch wrote to dense files. Written with every batch, deleted by
    /// the checkpoint that carries these rows into the files.
    Redo = 13,
    /// Name → this crate's own rows: the committed batch (number, fold version, positions, digest) and the
    /// last checkpoint. Overwritten.
    Meta = 14,
    /// Mention id (16), other mention id (16), control index (u64) → a reviewer's verdict on the pair (u8), and whether it was
    /// undone (u8). Two rows a decision, one from either mention. Written from the control stream, never deleted.
    Decision = 15,
    /// Class (u8), rank (u32), node id (16), other node id (16) → empty. A pair that a reviewer should look at, the most urgent
    /// first. Written and deleted with its edge or its conflict.
    Review = 16,
    /// Number of a fold's batch (u64) → the positions that it reached, and the subjects that it touched. Written with the batch;
    /// the oldest are deleted when there are too many.
    Changed = 17,
}

impl Table {
    /// Every table, in the order of the discriminants.
    pub const ALL: [Self; 17] = [
        Self::Head,
        Self::Mention,
        Self::NodeById,
        Self::NodeMember,
        Self::NodeMeta,
        Self::Component,
        Self::KeyLoad,
        Self::Waiting,
        Self::Control,
        Self::Counter,
        Self::Lookup,
        Self::Partner,
        Self::Redo,
        Self::Meta,
        Self::Decision,
        Self::Review,
        Self::Changed,
    ];

    /// The table's stable number, first byte of its stored keys.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The table with this number.
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }

    /// Whether the fold reads the table by range inside a batch: its writes are then kept in order.
    pub(crate) const fn is_ranged(self) -> bool {
        matches!(self, Self::NodeMember | Self::Waiting | Self::Partner)
    }

    /// Whether the fold reads rows of the table again by key, so that keeping them in memory pays.
    pub(crate) const fn is_read_again(self) -> bool {
        matches!(self, Self::Head | Self::Mention | Self::NodeById)
    }
}

/// A stored key: the table's byte, then the key inside the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StoredKey(SmallVec<[u8; 36]>);

impl StoredKey {
    /// # Panics
    ///
    /// When the key is longer than [`KEY_BYTES_MAX`].
    pub(crate) fn new(table: Table, key: &[u8]) -> Self {
        assert!(key.len() <= KEY_BYTES_MAX, "a key has at most {KEY_BYTES_MAX} bytes");
        let mut bytes = SmallVec::with_capacity(1 + key.len());
        bytes.push(table.number());
        bytes.extend_from_slice(key);
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_of(&self, tables: impl Fn(Table) -> bool) -> bool {
        Table::of_number(self.0[0]).is_some_and(tables)
    }
}

impl std::borrow::Borrow<[u8]> for StoredKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Which keys of a table a range read returns, always in ascending byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRange<'a> {
    /// Every key of the table.
    All,
    /// Keys that begin with these bytes.
    Prefix(&'a [u8]),
    /// Keys from `from` (inclusive) to `to` (exclusive).
    Between {
        /// First key that may be returned.
        from: &'a [u8],
        /// First key that is not returned.
        to: &'a [u8],
    },
    /// Keys from `from` (inclusive) to the end of the table.
    From(&'a [u8]),
}

/// A range of stored keys: from (inclusive) to (exclusive).
#[derive(Debug, Clone)]
pub(crate) struct StoredRange {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl StoredRange {
    pub(crate) fn new(table: Table, range: KeyRange<'_>) -> Self {
        let whole = vec![table.number()];
        let stored = |key: &[u8]| [&whole[..], key].concat();
        let end_of_table = vec![table.number() + 1];
        match range {
            KeyRange::All => Self { from: whole, to: end_of_table },
            KeyRange::Prefix(prefix) => Self { from: stored(prefix), to: successor(stored(prefix)) },
            KeyRange::Between { from, to } => Self { from: stored(from), to: stored(to) },
            KeyRange::From(from) => Self { from: stored(from), to: end_of_table },
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// Whether the range is of a table whose writes are kept in order.
    pub(crate) fn is_ranged_table(&self) -> bool {
        Table::of_number(self.from[0]).is_some_and(Table::is_ranged)
    }
}

/// The least byte string that is greater than every string with this prefix. The first byte is a table's
/// number, far below 255, so there always is one.
fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.last() == Some(&u8::MAX) {
        prefix.pop();
    }
    *prefix.last_mut().expect("a table's number is below 255") += 1;
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_numbers_are_the_ones_already_stored() {
        let numbers: Vec<u8> = Table::ALL.into_iter().map(Table::number).collect();
        assert_eq!(numbers, (1..=17).collect::<Vec<u8>>());
        assert_eq!((Table::Head.number(), Table::Component.number()), (1, 6));
        assert_eq!((Table::Redo.number(), Table::Meta.number()), (13, 14));
    }

    #[test]
    fn prefix_of_all_ones_ends_at_the_next_table() {
        let range = StoredRange::new(Table::Head, KeyRange::Prefix(&[255, 255]));
        assert_eq!((range.from, range.to), (vec![1, 255, 255], vec![2]));
    }
}
