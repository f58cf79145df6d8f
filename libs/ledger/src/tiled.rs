//! Roots and proofs from tiles: RFC 6962 §2.1 over whatever gives out a tile's bytes.

use crate::tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileBytes};
use crate::tree::{EMPTY_ROOT, Hash, node_hash};

/// Tiles that are kept while proofs are made: more than any one proof touches twice.
const HELD_MAX: usize = 32;

/// Why tiles give no answer.
#[derive(Debug, thiserror::Error)]
pub enum TiledError<E> {
    /// A tile could not be fetched.
    #[error("{tile} cannot be fetched")]
    Fetch {
        /// The tile.
        tile: Tile,
        /// Why.
        source: E,
    },
    /// A tile has another length than its width says.
    #[error(transparent)]
    Bytes(#[from] TileBytes),
    /// More was asked for than the tree has.
    #[error("leaf or size {wanted} is beyond the tree's {size} leaves")]
    Beyond {
        /// The leaf or size.
        wanted: u64,
        /// Leaves of the tree.
        size: u64,
    },
}

/// A tree of `size` leaves whose hashes come from tiles. What a fetched tile says is taken as it is: check a root
/// against a signed checkpoint, or a proof against a signed root, before trusting it.
#[derive(Debug)]
pub struct TiledTree<F> {
    size: u64,
    fetch: F,
    held: Vec<(Tile, Vec<Hash>)>,
}

impl<E, F: FnMut(Tile) -> Result<Vec<u8>, E>> TiledTree<F> {
    /// A tree of that size. `fetch` gives a tile's bytes; it is asked for tiles of a tree of exactly that size.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch, held: Vec::new() }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the whole tree.
    ///
    /// # Errors
    /// [`TiledError`].
    pub fn root(&mut self) -> Result<Hash, TiledError<E>> {
        self.root_at(self.size)
    }

    /// The root that the tree had at an earlier size.
    ///
    /// # Errors
    /// [`TiledError`].
    pub fn root_at(&mut self, size: u64) -> Result<Hash, TiledError<E>> {
        self.within(size, self.size)?;
        if size == 0 { Ok(EMPTY_ROOT) } else { self.range(0, size) }
    }

    /// The hash of a leaf.
    ///
    /// # Errors
    /// [`TiledError`].
    pub fn leaf(&mut self, index: u64) -> Result<Hash, TiledError<E>> {
        self.within(index.saturating_add(1), self.size)?;
        self.node(0, index)
    }

    /// RFC 6962 §2.1.1: the audit path of a leaf in the tree as it was at `size`, from the leaf up.
    ///
    /// # Errors
    /// [`TiledError`].
    pub fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, TiledError<E>> {
        self.within(size, self.size)?;
        self.within(index.saturating_add(1), size)?;
        let (mut low, mut high, mut path) = (0, size, Vec::new());
        while high - low > 1 {
            let middle = low + split(high - low);
            if index < middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// RFC 6962 §2.1.2: that the tree at `old` is a prefix of the tree at `new`. Empty when `old` is 0 or `new`.
    ///
    /// # Errors
    /// [`TiledError`].
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, TiledError<E>> {
        self.within(new, self.size)?;
        self.within(old, new)?;
        if old == 0 || old == new {
            return Ok(Vec::new());
        }
        let (mut low, mut high, mut path) = (0, new, Vec::new());
        while old != high {
            let middle = low + split(high - low);
            if old <= middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        // The old tree itself is known to whoever checks; only a part of it has to be told.
        if low > 0 {
            path.push(self.range(low, high)?);
        }
        path.reverse();
        Ok(path)
    }

    fn within(&self, wanted: u64, size: u64) -> Result<(), TiledError<E>> {
        if wanted <= size { Ok(()) } else { Err(TiledError::Beyond { wanted, size }) }
    }

    /// The Merkle tree hash of leaves `low..high`, a range that the recursion of RFC 6962 reaches.
    fn range(&mut self, low: u64, high: u64) -> Result<Hash, TiledError<E>> {
        let leaves = high - low;
        if leaves.is_power_of_two() {
            return self.node(leaves.trailing_zeros(), low >> leaves.trailing_zeros());
        }
        let middle = low + split(leaves);
        Ok(node_hash(&self.range(low, middle)?, &self.range(middle, high)?))
    }

    /// The hash of a complete subtree of 2^`height` leaves.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, TiledError<E>> {
        let (level, above) = ((height / TILE_HEIGHT) as u8, height % TILE_HEIGHT);
        let first = index << above;
        let number = first / u64::from(TILE_WIDTH);
        let tile =
            Tile::in_tree(level, number, self.size).ok_or(TiledError::Beyond { wanted: first, size: self.size })?;
        let from = (first % u64::from(TILE_WIDTH)) as usize;
        let hashes = self.tile(tile)?;
        Ok(subtree(&hashes[from..from + (1 << above)]))
    }

    fn tile(&mut self, tile: Tile) -> Result<&[Hash], TiledError<E>> {
        let at = match self.held.iter().position(|(t, _)| *t == tile) {
            Some(at) => at,
            None => {
                let bytes = (self.fetch)(tile).map_err(|source| TiledError::Fetch { tile, source })?;
                let hashes = tile.hashes(&bytes)?;
                if self.held.len() == HELD_MAX {
                    self.held.remove(0);
                }
                self.held.push((tile, hashes));
                self.held.len() - 1
            }
        };
        Ok(&self.held[at].1)
    }
}

/// The root over hashes whose number is a power of two.
pub fn subtree(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    let mut level = [[0; 32]; TILE_WIDTH as usize];
    let level = &mut level[..hashes.len()];
    level.copy_from_slice(hashes);
    let mut width = hashes.len();
    while width > 1 {
        width /= 2;
        for i in 0..width {
            level[i] = node_hash(&level[2 * i], &level[2 * i + 1]);
        }
    }
    level[0]
}

/// The largest power of two smaller than `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}
