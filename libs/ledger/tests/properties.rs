//! For trees of any size: every proof verifies, and nothing changed does.

use std::collections::HashMap;

use ledger::receipt::{Receipt, ReceiptBatch, UpgradeError};
use ledger::tile::{TILE_WIDTH, Tile};
use ledger::tree::Tree;
use ledger::*;
use proptest::prelude::*;
use record::{EntryHash, Index, Partition, Position, Stream};

/// The tiles of a tree, as the format defines them: the n-th hash of level l spans leaves n·256^l to (n+1)·256^l.
struct Tiles {
    leaves: Vec<Hash>,
    tiles: HashMap<Tile, Vec<u8>>,
}

impl Tiles {
    fn of(leaves: Vec<Hash>) -> Self {
        let size = leaves.len() as u64;
        let mut tiles = HashMap::new();
        let mut level = leaves.clone();
        for number in 0_u8.. {
            for (index, hashes) in level.chunks(usize::from(TILE_WIDTH)).enumerate() {
                let tile = Tile::in_tree(number, index as u64, size).expect("it holds hashes");
                assert_eq!(usize::from(tile.width), hashes.len());
                tiles.insert(tile, hashes.concat());
            }
            level = level.chunks_exact(usize::from(TILE_WIDTH)).map(|full| Tree::new(full.to_vec()).root()).collect();
            if level.is_empty() {
                break;
            }
        }
        Self { leaves, tiles }
    }

    fn with(size: usize) -> Self {
        Self::of((0..size).map(|i| leaf_hash(&EntryHash::of(&i.to_le_bytes()).0)).collect())
    }

    fn tree(&self) -> TiledTree<impl FnMut(Tile) -> Result<Vec<u8>, String>> {
        TiledTree::new(self.leaves.len() as u64, |tile| self.tiles.get(&tile).cloned().ok_or(format!("no {tile}")))
    }

    fn root(&self, size: usize) -> Hash {
        if size == 0 { EMPTY_ROOT } else { Tree::new(self.leaves[..size].to_vec()).root() }
    }
}

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut out = *hash;
    out[bit / 8 % 32] ^= 1 << (bit % 8);
    out
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..20, 250_usize..260, 1_usize..1_500, 65_530_usize..65_545]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_inclusion_verifies_and_no_flipped_bit_does(size in size(), at: usize, earlier: usize, bit in 0_usize..256) {
        let tiles = Tiles::with(size);
        let mut tree = tiles.tree();
        let at = at % size;
        let earlier = at + 1 + earlier % (size - at);
        prop_assert_eq!(tree.root().unwrap(), tiles.root(size));
        for size in [size, earlier] {
            let root = tiles.root(size);
            let path = tree.inclusion(at as u64, size as u64).unwrap();
            prop_assert_eq!(&path, &Tree::new(tiles.leaves[..size].to_vec()).path(at));
            let (leaf, index, n) = (tree.leaf(at as u64).unwrap(), at as u64, size as u64);
            prop_assert_eq!(leaf, tiles.leaves[at]);
            prop_assert_eq!(verify_inclusion(leaf, index, n, &root, &path), Ok(()));
            prop_assert!(verify_inclusion(flipped(&leaf, bit), index, n, &root, &path).is_err());
            prop_assert!(verify_inclusion(leaf, index, n, &flipped(&root, bit), &path).is_err());
            for shift in 0..24 {
                prop_assert!(verify_inclusion(leaf, index ^ (1 << shift), n, &root, &path).is_err());
            }
            for place in 0..path.len() {
                let mut bad = path.clone();
                bad[place] = flipped(&path[place], bit);
                prop_assert!(verify_inclusion(leaf, index, n, &root, &bad).is_err());
                bad.remove(place);
                prop_assert!(verify_inclusion(leaf, index, n, &root, &bad).is_err());
            }
        }
        prop_assert!(tree.inclusion(size as u64, size as u64).is_err(), "beyond the end");
    }

    #[test]
    fn every_consistency_verifies_and_no_flipped_bit_does(size in size(), old: usize, bit in 0_usize..256) {
        let tiles = Tiles::with(size);
        let mut tree = tiles.tree();
        let old = old % (size + 1);
        let (old_root, root) = (tiles.root(old), tiles.root(size));
        prop_assert_eq!(tree.root_at(old as u64).unwrap(), old_root);
        let path = tree.consistency(old as u64, size as u64).unwrap();
        let verify = |old_root: &Hash, root: &Hash, path: &[Hash]| {
            verify_consistency((old as u64, old_root), (size as u64, root), path)
        };
        prop_assert_eq!(verify(&old_root, &root, &path), Ok(()));
        prop_assert_eq!(verify(&flipped(&old_root, bit), &root, &path), Err(ProofError::Consistency));
        if old > 0 {
            prop_assert_eq!(verify(&old_root, &flipped(&root, bit), &path), Err(ProofError::Consistency));
        }
        for place in 0..path.len() {
            let mut bad = path.clone();
            bad[place] = flipped(&path[place], bit);
            prop_assert_eq!(verify(&old_root, &root, &bad), Err(ProofError::Consistency));
            bad.remove(place);
            prop_assert_eq!(verify(&old_root, &root, &bad), Err(ProofError::Consistency));
        }
        let mut longer = path.clone();
        longer.push(root);
        prop_assert_eq!(verify(&old_root, &root, &longer), Err(ProofError::Consistency));
        if old < size {
            let rolled_back = verify_consistency((size as u64, &root), (old as u64, &old_root), &path);
            prop_assert_eq!(rolled_back, Err(ProofError::Shrunk { old: size as u64, new: old as u64 }));
        }
    }

    #[test]
    fn a_changed_tile_changes_the_root(size in size(), pick: usize, bit: usize) {
        let mut tiles = Tiles::with(size);
        let root = tiles.root(size);
        // Only hashes that stand for themselves: those of a full tile are also told by the level above.
        let partial: Vec<_> = Tile::partial(size as u64).collect();
        let tile = partial[pick % partial.len()];
        let bytes = tiles.tiles.get_mut(&tile).expect("the tree has it");
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(tiles.tree().root().unwrap(), root);
    }

    #[test]
    fn a_receipt_is_upgraded_once_the_tree_reaches_its_entry(size in 1_usize..600, at in 0_usize..700) {
        let key = SigningKey::new("hub.test/log", &[1; 32]).unwrap();
        let position = |i: usize| Position { stream: Stream::Change, partition: Partition(3), index: Index(i as u64) };
        let entry = |i: usize| EntryHash::of(&i.to_le_bytes());
        let batch = ReceiptBatch::sign(&key, "hub.test/log", [(position(at), entry(at))]);
        let mut receipt = Receipt {
            position: position(at),
            entry: entry(at),
            leaf_index: 0,
            leaf_count: 1,
            path: batch.path(0),
            signed_root: batch.signed_root().into(),
        };
        receipt.verify(key.verifier(), "hub.test/log").unwrap();
        let tiles = Tiles::with(size);
        match receipt.upgrade(&mut tiles.tree()) {
            Ok(path) => {
                let (leaf, root) = (leaf_hash(&receipt.entry.0), tiles.root(size));
                prop_assert!(at < size);
                prop_assert_eq!(verify_inclusion(leaf, at as u64, size as u64, &root, &path), Ok(()));
                receipt.entry = EntryHash::of(b"another");
                let contradicted = receipt.upgrade(&mut tiles.tree());
                prop_assert!(matches!(contradicted, Err(UpgradeError::Contradicted { .. })), "another entry");
            }
            Err(UpgradeError::NotYet { .. }) => prop_assert!(at >= size),
            Err(other) => panic!("{other}"),
        }
    }
}
