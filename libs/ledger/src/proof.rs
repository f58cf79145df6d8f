//! Checking inclusion and consistency proofs (RFC 6962 §2.1.1 and §2.1.2, by the algorithms of RFC 9162 §2.1.3.2 and
//! §2.1.4.2).
//!
//! A proof binds a root, not a size: a size is only as good as the signature that stands over it and the root together.

use crate::tree::{EMPTY_ROOT, Hash, node_hash, root_of_path};

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf's number is not within the tree.
    #[error("leaf {index} is not within a tree of {size} leaves")]
    Index {
        /// The leaf.
        index: u64,
        /// The tree.
        size: u64,
    },
    /// The path does not fit the numbers, or leads elsewhere.
    #[error("the path does not lead from the leaf to the root: leaf, path, number or root was changed")]
    Inclusion,
    /// The newer tree is smaller than the older one.
    #[error("the newer tree has {new} leaves, the older {old}: the log was rolled back")]
    Shrunk {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
    /// The older tree is not a prefix of the newer.
    #[error("the older tree is not a prefix of the newer one: the log was forked, or the proof changed")]
    Consistency,
}

/// Checks that a leaf stands at `index` of the tree with that size and root.
///
/// # Errors
/// [`ProofError::Index`], [`ProofError::Inclusion`].
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, root: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    match root_of_path(leaf, index, size, path) {
        Some(found) if found == *root => Ok(()),
        _ => Err(ProofError::Inclusion),
    }
}

/// Checks that the tree `(old, old_root)` is a prefix of the tree `(new, new_root)`.
///
/// # Errors
/// [`ProofError::Shrunk`], [`ProofError::Consistency`].
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    path: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    let holds = match () {
        () if old == new => path.is_empty() && old_root == new_root,
        () if old == 0 => path.is_empty() && *old_root == EMPTY_ROOT,
        () => prefix(old, old_root, new, path).is_some_and(|roots| roots == (*old_root, *new_root)),
    };
    if holds { Ok(()) } else { Err(ProofError::Consistency) }
}

/// Both roots as the path gives them, for `0 < old < new`; `None` when it does not fit the sizes.
fn prefix(old: u64, old_root: &Hash, new: u64, path: &[Hash]) -> Option<(Hash, Hash)> {
    let (first, rest) = if old.is_power_of_two() { (old_root, path) } else { path.split_first()? };
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_found, mut new_found) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            old_found = node_hash(hash, &old_found);
            new_found = node_hash(hash, &new_found);
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            new_found = node_hash(&new_found, hash);
        }
        at /= 2;
        last /= 2;
    }
    (last == 0).then_some((old_found, new_found))
}
