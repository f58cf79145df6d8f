//! RFC 6962 §2.1 Merkle trees with SHA-256.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The root of a tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of a leaf: SHA-256 of 0x00 and the leaf's bytes.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node: SHA-256 of 0x01, left and right.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree that is complete and held in memory, level by level.
#[derive(Debug, Clone)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over these leaf hashes; at least one.
    ///
    /// # Panics
    /// When there are no leaves: a group commit is never empty.
    pub fn new(leaves: Vec<Hash>) -> Self {
        assert!(!leaves.is_empty(), "a tree has at least one leaf");
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            // A last node without a sibling rises as it is: this yields RFC 6962's tree, whose left part is always full.
            let above = below.chunks(2).map(|p| if p.len() == 2 { node_hash(&p[0], &p[1]) } else { p[0] }).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1][0]
    }

    /// The number of leaves.
    pub fn len(&self) -> usize {
        self.levels[0].len()
    }

    /// Never: a tree has at least one leaf.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The audit path of leaf `index`, from the leaf up.
    pub fn path(&self, index: usize) -> Vec<Hash> {
        let mut at = index;
        let mut out = Vec::with_capacity(self.levels.len());
        for level in &self.levels[..self.levels.len() - 1] {
            if let Some(sibling) = level.get(at ^ 1) {
                out.push(*sibling);
            }
            at /= 2;
        }
        out
    }
}

/// The root of a tree whose leaves come one by one, in memory that grows with the logarithm of their number.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of complete subtrees, the largest first: one for each one-bit of the size.
    roots: Vec<Hash>,
}

impl Frontier {
    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("a root for each one-bit of the size");
            hash = node_hash(&left, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        let joined = self.roots.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or(EMPTY_ROOT)
    }
}

/// The root that an audit path leads to, or `None` when the path does not fit `index` and `size`.
pub fn root_of_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut hash, mut path) = (index, size - 1, leaf, path.iter());
    while last > 0 {
        if at % 2 == 1 {
            hash = node_hash(path.next()?, &hash);
        } else if at < last {
            hash = node_hash(&hash, path.next()?);
        }
        at /= 2;
        last /= 2;
    }
    path.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6962 §2.1, written as the definition reads.
    fn by_definition(leaves: &[Hash]) -> Hash {
        if leaves.len() == 1 {
            return leaves[0];
        }
        let k = leaves.len().next_power_of_two() / 2;
        node_hash(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
    }

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn root_equals_the_definition_and_every_path_leads_to_it() {
        for n in 1..70 {
            let tree = Tree::new(leaves(n));
            assert_eq!(tree.root(), by_definition(&leaves(n)), "{n} leaves");
            let mut frontier = Frontier::default();
            leaves(n).into_iter().for_each(|leaf| frontier.push(leaf));
            assert_eq!((frontier.size(), frontier.root()), (n as u64, tree.root()));
            for (i, leaf) in leaves(n).into_iter().enumerate() {
                assert_eq!(root_of_path(leaf, i as u64, n as u64, &tree.path(i)), Some(tree.root()));
            }
        }
    }

    proptest! {
        #[test]
        fn another_index_size_or_path_does_not_lead_to_the_root(n in 2_usize..40, i in 0_usize..40, flip in 0_usize..6) {
            let i = i % n;
            let tree = Tree::new(leaves(n));
            let leaf = leaves(n)[i];
            let mut path = tree.path(i);
            let at = flip % path.len();
            path[at][flip] ^= 1;
            prop_assert_ne!(root_of_path(leaf, i as u64, n as u64, &path), Some(tree.root()));
            prop_assert_eq!(root_of_path(leaf, n as u64, n as u64, &tree.path(i)), None);
            let mut longer = tree.path(i);
            longer.push([0; 32]);
            prop_assert_eq!(root_of_path(leaf, i as u64, n as u64, &longer), None);
        }
    }
}
