//! Reading a tree's files whole: that every tile is what the entries make it.

use std::path::Path;

use ledger::tick::tree_name;
use ledger::tile::{TILE_WIDTH, hashes_at};
use ledger::tiled::subtree;
use ledger::tree::Frontier;
use ledger::{Hash, Resource, Shape, Tile, bundle, leaf_hash};

use crate::error::Error;
use crate::files;
use crate::signed::{Signatures, Signed};
use crate::state::State;
use crate::store::TileStore;

/// What [`inspect`] found.
#[derive(Debug)]
pub struct Inspection {
    /// The last durable state of every tree.
    pub state: State,
    /// The last publication, when there was one. Its signature is not verified here.
    pub signed: Option<Signed>,
    /// What is wrong, at most one fault per tree.
    pub faults: Vec<Error>,
}

/// Reads all files of a ledger that no process writes to, without opening it or changing anything.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`]: the file `heads` cannot be read, so that nothing else can be judged.
pub fn inspect(dir: &Path, shape: Shape) -> Result<Inspection, Error> {
    let state = State::read(dir, shape)?;
    let mut faults = Vec::new();
    for head in state.heads.heads() {
        let tree = dir.join(tree_name(head.stream, head.partition));
        faults.extend(check(&tree, head.size, &head.root).err());
    }
    faults.extend(check(dir, state.size, &state.root).err());
    let signed = TileStore::signed(dir, shape, Signatures::Log).unwrap_or_else(|fault| {
        faults.push(fault);
        None
    });
    Ok(Inspection { state, signed, faults })
}

fn check(dir: &Path, size: u64, root: &Hash) -> Result<(), Error> {
    match verify_tree(dir, size, |_, _| {})? == *root {
        true => Ok(()),
        false => Err(Error::damaged(dir, "the tiles do not lead to the root in 'heads'")),
    }
}

/// Computes a tree of `size` leaves anew from its entry bundles, compares every tile on the way, and returns the root.
/// `entry` is called with each entry in order.
///
/// # Errors
/// [`Error::Damaged`] with the first file that differs, [`Error::Io`].
pub fn verify_tree(dir: &Path, size: u64, mut entry: impl FnMut(u64, &[u8])) -> Result<Hash, Error> {
    let mut frontier = Frontier::default();
    let mut levels: Vec<Vec<Hash>> = Vec::new();
    for index in 0..size.div_ceil(u64::from(TILE_WIDTH)) {
        let tile = Tile::in_tree(0, index, size).expect("it is within the tree");
        let path = dir.join(Resource::Entries(tile).to_string());
        let bytes = files::read(&path)?;
        let entries = bundle::entries(&bytes).map_err(|_| Error::damaged(&path, "the bundle is torn"))?;
        if entries.len() != usize::from(tile.width) {
            return Err(Error::damaged(&path, "the bundle has more or fewer entries than its name says"));
        }
        for (number, bytes) in (frontier.size()..).zip(&entries) {
            let leaf = leaf_hash(bytes);
            frontier.push(leaf);
            push(dir, &mut levels, 0, leaf, frontier.size())?;
            entry(number, bytes);
        }
    }
    for tile in Tile::partial(size) {
        compare(dir, tile, &levels[usize::from(tile.level)])?;
    }
    Ok(frontier.root())
}

fn push(dir: &Path, levels: &mut Vec<Vec<Hash>>, level: u8, hash: Hash, size: u64) -> Result<(), Error> {
    if levels.len() == usize::from(level) {
        levels.push(Vec::new());
    }
    let hashes = &mut levels[usize::from(level)];
    hashes.push(hash);
    if hashes.len() < usize::from(TILE_WIDTH) {
        return Ok(());
    }
    let full = std::mem::take(hashes);
    let index = hashes_at(level, size) / u64::from(TILE_WIDTH) - 1;
    compare(dir, Tile { level, index, width: TILE_WIDTH }, &full)?;
    push(dir, levels, level + 1, subtree(&full), size)
}

fn compare(dir: &Path, tile: Tile, hashes: &[Hash]) -> Result<(), Error> {
    let path = dir.join(Resource::Hashes(tile).to_string());
    match files::read(&path)? == hashes.concat() {
        true => Ok(()),
        false => Err(Error::damaged(&path, "the tile is not what the entries make it")),
    }
}
