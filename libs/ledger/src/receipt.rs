//! Receipts: the hub's signed word that an entry stands at a position of its log.
//!
//! The entries of one group commit are the leaves of a tree; one note signs its root. A leaf is
//! `1 ‖ stream ‖ partition (u16) ‖ index (u64) ‖ entry hash`, little-endian, so that a receipt binds position and content.
//! The signed text is three lines: `<origin>/receipts`, the number of leaves, the base64 of the root.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use record::{DecodeError, EntryHash, Index, Partition, Position, Reader, Stream, Writer};

use crate::note::{NoteError, SigningKey, VerifierKey};
use crate::tile::Tile;
use crate::tiled::{TiledError, TiledTree};
use crate::tree::{Hash, Tree, leaf_hash, root_of_path};

const RECEIPT_VERSION: u8 = 1;

/// Why a receipt does not prove what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The signed note is not good.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a receipt root.
    #[error("the signed note is not a receipt root")]
    Text,
    /// The path does not lead from the entry to the signed root.
    #[error("the receipt's path does not lead to the signed root: the position, the hash or the path was changed")]
    Path,
}

/// Why a receipt cannot be upgraded to an inclusion proof.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError<E> {
    /// The tree does not reach the entry yet: ask again after the next tick.
    #[error("{position} is not within the {size} entries of the partition's tree yet: ask again after the next tick")]
    NotYet {
        /// The entry.
        position: Position,
        /// Entries in the tree.
        size: u64,
    },
    /// The tree has another entry there: the hub signed two different statements. Keep the receipt and the head.
    #[error("the ledger has another entry at {position} than the receipt promises: keep both as evidence")]
    Contradicted {
        /// The place.
        position: Position,
    },
    /// The tiles give no answer.
    #[error(transparent)]
    Tiles(#[from] TiledError<E>),
}

/// A complete receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Where the entry stands.
    pub position: Position,
    /// What the entry is.
    pub entry: EntryHash,
    /// Its number among the leaves.
    pub leaf_index: u64,
    /// The number of leaves.
    pub leaf_count: u64,
    /// From the leaf up.
    pub path: Vec<Hash>,
    /// The note over the root.
    pub signed_root: String,
}

fn leaf(position: Position, entry: EntryHash) -> Hash {
    let mut w = Writer::with_capacity(44);
    w.u8(RECEIPT_VERSION).u8(position.stream as u8).u16(position.partition.0).u64(position.index.0).raw(&entry.0);
    leaf_hash(&w.finish())
}

fn text(origin: &str, leaves: u64, root: &Hash) -> String {
    format!("{origin}/receipts\n{leaves}\n{}\n", STANDARD.encode(root))
}

impl Receipt {
    /// Checks the signature and the path.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(&self, key: &VerifierKey, origin: &str) -> Result<(), ReceiptError> {
        let signed = key.open(&self.signed_root)?;
        let root = root_of_path(leaf(self.position, self.entry), self.leaf_index, self.leaf_count, &self.path)
            .ok_or(ReceiptError::Path)?;
        if !signed.starts_with(&format!("{origin}/receipts\n")) {
            return Err(ReceiptError::Text);
        }
        if signed == text(origin, self.leaf_count, &root) { Ok(()) } else { Err(ReceiptError::Path) }
    }

    /// As [`Receipt::verify`], by whichever of a log's keys signed it.
    ///
    /// # Errors
    /// [`ReceiptError`]: of the last key that signed, or that none did.
    pub fn verify_by_any<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
        origin: &str,
    ) -> Result<&'k VerifierKey, ReceiptError> {
        let mut failed = ReceiptError::Note(NoteError::Unsigned);
        for key in keys {
            match self.verify(key, origin) {
                Ok(()) => return Ok(key),
                Err(ReceiptError::Note(NoteError::Unsigned)) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Upgrades the hub's word to a proof: the audit path of the entry in its partition's tree, which holds together with
    /// that tree's signed head. The receipt itself should have been verified.
    ///
    /// # Errors
    /// [`UpgradeError`].
    pub fn upgrade<E>(
        &self,
        partition: &mut TiledTree<impl FnMut(Tile) -> Result<Vec<u8>, E>>,
    ) -> Result<Vec<Hash>, UpgradeError<E>> {
        let (position, index, size) = (self.position, self.position.index.0, partition.size());
        if index >= size {
            return Err(UpgradeError::NotYet { position, size });
        }
        if partition.leaf(index)? != leaf_hash(&self.entry.0) {
            return Err(UpgradeError::Contradicted { position });
        }
        Ok(partition.inclusion(index, size)?)
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        w.u8(RECEIPT_VERSION).u8(self.position.stream as u8).u16(self.position.partition.0);
        w.u64(self.position.index.0).raw(&self.entry.0).varint(self.leaf_index).varint(self.leaf_count);
        w.varint(self.path.len() as u64);
        self.path.iter().for_each(|h| {
            w.raw(h);
        });
        w.text(&self.signed_root);
        w.finish()
    }

    /// Reads what [`Receipt::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("receipt", RECEIPT_VERSION)?;
        let stream = Stream::from_u8(r.u8()?).ok_or(DecodeError::Invalid { at: 1, what: "stream" })?;
        let position = Position { stream, partition: Partition(r.u16()?), index: Index(r.u64()?) };
        let (entry, leaf_index, leaf_count) = (EntryHash(r.array()?), r.varint()?, r.varint()?);
        let path = (0..r.count(32)?).map(|_| r.array()).collect::<Result<_, _>>()?;
        let signed_root = r.text()?.to_owned();
        r.end("receipt")?;
        Ok(Self { position, entry, leaf_index, leaf_count, path, signed_root })
    }
}

/// The receipts of one group commit: one signature, any number of leaves.
#[derive(Debug)]
pub struct ReceiptBatch {
    tree: Tree,
    signed_root: String,
}

impl ReceiptBatch {
    /// Signs the entries that were committed together; at least one.
    ///
    /// # Panics
    /// When `entries` is empty.
    pub fn sign(key: &SigningKey, origin: &str, entries: impl IntoIterator<Item = (Position, EntryHash)>) -> Self {
        let tree = Tree::new(entries.into_iter().map(|(p, h)| leaf(p, h)).collect());
        let signed_root = key.sign(&text(origin, tree.len() as u64, &tree.root()));
        Self { tree, signed_root }
    }

    /// The note over the root.
    pub fn signed_root(&self) -> &str {
        &self.signed_root
    }

    /// The number of leaves.
    pub fn leaf_count(&self) -> u64 {
        self.tree.len() as u64
    }

    /// The audit path of leaf `index`.
    pub fn path(&self, index: usize) -> Vec<Hash> {
        self.tree.path(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(n: usize, at: usize) -> (Receipt, SigningKey) {
        let key = SigningKey::new("hub.test/log", &[1; 32]).unwrap();
        let entry = |i: usize| {
            let position = Position { stream: Stream::Change, partition: Partition(3), index: Index(i as u64) };
            (position, EntryHash::of(&i.to_le_bytes()))
        };
        let batch = ReceiptBatch::sign(&key, "hub.test/log", (0..n).map(entry));
        let (position, hash) = entry(at);
        let receipt = Receipt {
            position,
            entry: hash,
            leaf_index: at as u64,
            leaf_count: batch.leaf_count(),
            path: batch.path(at),
            signed_root: batch.signed_root().into(),
        };
        (receipt, key)
    }

    #[test]
    fn a_receipt_proves_position_and_content_and_nothing_else() {
        let (good, key) = receipt(100, 37);
        good.verify(key.verifier(), "hub.test/log").unwrap();
        let mut moved = good.clone();
        moved.position.index = Index(38);
        assert_eq!(moved.verify(key.verifier(), "hub.test/log"), Err(ReceiptError::Path));
        let mut other = good.clone();
        other.entry.0[0] ^= 1;
        assert_eq!(other.verify(key.verifier(), "hub.test/log"), Err(ReceiptError::Path));
        assert_eq!(good.verify(key.verifier(), "hub.other/log"), Err(ReceiptError::Text));
    }

    #[test]
    fn every_flipped_byte_of_an_encoded_receipt_is_noticed() {
        let (good, key) = receipt(9, 8);
        let bytes = good.encode();
        assert_eq!(Receipt::decode(&bytes).unwrap(), good);
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            let verdict = Receipt::decode(&bad).map(|r| r.verify(key.verifier(), "hub.test/log").is_ok());
            assert_ne!(verdict, Ok(true), "byte {i}");
        }
    }

    #[test]
    fn the_receipt_format_is_pinned() {
        let (good, _) = receipt(3, 1);
        let hash = blake3::hash(&good.encode()).to_hex();
        assert_eq!(hash.as_str(), "efb087dd5e6e070fc1dbb2736d0b6c9bc3c391cb56cb02d57ace6df194692723");
    }
}
