//! One tree's files: full tiles as they fill, partial ones when they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ledger::tile::{TILE_WIDTH, hashes_at};
use ledger::tiled::subtree;
use ledger::{Hash, Resource, Tile, TiledError, TiledTree, bundle, leaf_hash};

use crate::error::Error;
use crate::files::{self, Dirty};

/// A tree that is appended to.
#[derive(Debug)]
pub(crate) struct TreeFiles {
    dir: PathBuf,
    size: u64,
    /// The hashes of the tile that fills, by level; each has fewer than 256.
    levels: Vec<Vec<Hash>>,
    /// The entries under the tile of level 0 that fills, as a bundle.
    entries: Vec<u8>,
    /// Tiles of which partial files were written: level and index.
    partial: BTreeSet<(u8, u64)>,
    /// The size of which partial tiles were written last.
    written: u64,
    /// The partial tile of each level that was written last, or read when the tree was opened: its bytes are as its name says for ever. To
    /// write it again would empty a durable file until the next flush.
    edges: BTreeMap<u8, Tile>,
    /// What was written since the last commit.
    dirty: Dirty,
}

impl TreeFiles {
    /// An empty tree.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            size: 0,
            levels: Vec::new(),
            entries: Vec::new(),
            partial: BTreeSet::new(),
            written: 0,
            edges: BTreeMap::new(),
            dirty: Dirty::default(),
        }
    }

    /// The tree as it was when `size` leaves with that root were durable. What lies beyond is removed.
    pub(crate) fn open(dir: PathBuf, size: u64, root: &Hash) -> Result<Self, Error> {
        let edges = Tile::partial(size).map(|tile| (tile.level, tile)).collect();
        let mut tree = Self { size, written: size, edges, ..Self::new(dir) };
        for level in 0.. {
            if hashes_at(level, size) == 0 {
                break;
            }
            let hashes = tree.edge(level)?;
            tree.levels.push(hashes);
        }
        if let Some(tile) = tree.level_0_edge() {
            let path = tree.path(Resource::Entries(tile));
            tree.entries = files::read(&path)?;
            tree.check_entries(&path)?;
        }
        tree.prune()?;
        let found = tree.root_at(size)?;
        match found == *root {
            true => Ok(tree),
            false => Err(Error::damaged(&tree.dir, "the tiles do not lead to the root in 'heads'")),
        }
    }

    /// The hashes of the partial tile at the right edge of a level; none when the last one is full.
    fn edge(&mut self, level: u8) -> Result<Vec<Hash>, Error> {
        let Some(tile) = Tile::last(level, self.size).filter(|tile| !tile.is_full()) else { return Ok(Vec::new()) };
        self.partial.insert((level, tile.index));
        let path = self.path(Resource::Hashes(tile));
        tile.hashes(&files::read(&path)?)
            .map_err(|_| Error::damaged(&path, "the tile has another length than its name says"))
    }

    fn level_0_edge(&self) -> Option<Tile> {
        Tile::last(0, self.size).filter(|tile| !tile.is_full())
    }

    fn check_entries(&self, path: &Path) -> Result<(), Error> {
        let entries = bundle::entries(&self.entries).map_err(|_| Error::damaged(path, "the bundle is torn"))?;
        match entries.iter().map(|e| leaf_hash(e)).eq(self.levels[0].iter().copied()) {
            true => Ok(()),
            false => Err(Error::damaged(path, "the entries are not those of the tile")),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry. A tile that becomes full is written.
    pub(crate) fn append(&mut self, entry: &[u8]) -> Result<(), Error> {
        bundle::push(&mut self.entries, entry);
        self.size += 1;
        if self.size.is_multiple_of(u64::from(TILE_WIDTH)) {
            let index = self.size / u64::from(TILE_WIDTH) - 1;
            let tile = Tile { level: 0, index, width: TILE_WIDTH };
            let entries = std::mem::take(&mut self.entries);
            self.write(Resource::Entries(tile), &entries)?;
        }
        self.push(0, leaf_hash(entry))
    }

    /// Adds a hash to a level; a full tile is written, and its root is a hash of the level above.
    fn push(&mut self, level: u8, hash: Hash) -> Result<(), Error> {
        if self.levels.len() == usize::from(level) {
            self.levels.push(Vec::with_capacity(usize::from(TILE_WIDTH)));
        }
        let hashes = &mut self.levels[usize::from(level)];
        hashes.push(hash);
        if hashes.len() < usize::from(TILE_WIDTH) {
            return Ok(());
        }
        let root = subtree(hashes);
        let bytes = hashes.concat();
        hashes.clear();
        let index = hashes_at(level, self.size) / u64::from(TILE_WIDTH) - 1;
        self.write(Resource::Hashes(Tile { level, index, width: TILE_WIDTH }), &bytes)?;
        self.push(level + 1, root)
    }

    /// The root at a size that the tree has or had.
    pub(crate) fn root_at(&self, size: u64) -> Result<Hash, Error> {
        TiledTree::new(self.size, |tile| self.hashes(tile)).root_at(size).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: TiledError<Error>) -> Error {
        match error {
            TiledError::Fetch { source, .. } => source,
            TiledError::Bytes(bytes) => {
                let path = self.path(Resource::Hashes(bytes.tile));
                Error::damaged(&path, "the tile has another length than its name says")
            }
            TiledError::Beyond { .. } => Error::damaged(&self.dir, "a size beyond the tree's was asked for"),
        }
    }

    /// The bytes of a tile, which may be narrower than it has become since.
    fn hashes(&self, tile: Tile) -> Result<Vec<u8>, Error> {
        let width = usize::from(tile.width);
        if tile.index == hashes_at(tile.level, self.size) / u64::from(TILE_WIDTH) {
            return Ok(self.levels[usize::from(tile.level)][..width].concat());
        }
        let mut bytes = files::read(&self.path(Resource::Hashes(Tile { width: TILE_WIDTH, ..tile })))?;
        bytes.truncate(width * 32);
        Ok(bytes)
    }

    /// Writes the partial tiles of the tree as it was at `size`.
    pub(crate) fn write_partial(&mut self, size: u64) -> Result<(), Error> {
        if size == self.written {
            return Ok(());
        }
        for tile in Tile::partial(size) {
            if self.edges.insert(tile.level, tile) == Some(tile) {
                continue;
            }
            self.partial.insert((tile.level, tile.index));
            let hashes = self.hashes(tile)?;
            self.write(Resource::Hashes(tile), &hashes)?;
            if tile.level == 0 {
                let entries = self.entries_of(tile)?;
                self.write(Resource::Entries(tile), &entries)?;
            }
        }
        self.written = size;
        Ok(())
    }

    fn write(&mut self, resource: Resource, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(resource);
        files::write(&path, bytes)?;
        self.dirty.add(path);
        Ok(())
    }

    /// What was written since the last commit, to make it durable.
    pub(crate) fn dirty(&mut self) -> &mut Dirty {
        &mut self.dirty
    }

    fn entries_of(&self, tile: Tile) -> Result<Vec<u8>, Error> {
        let full = self.path(Resource::Entries(Tile { width: TILE_WIDTH, ..tile }));
        let fills = tile.index == self.size / u64::from(TILE_WIDTH);
        let bundle = if fills { self.entries.clone() } else { files::read(&full)? };
        let entries = bundle::entries(&bundle).map_err(|_| Error::damaged(&full, "the bundle is torn"))?;
        let mut out = Vec::new();
        entries.iter().take(usize::from(tile.width)).for_each(|entry| bundle::push(&mut out, entry));
        Ok(out)
    }

    /// Removes the partial files of tiles that are full and durable at `size`.
    pub(crate) fn drop_partial(&mut self, size: u64) -> Result<(), Error> {
        let full = |(level, index): (u8, u64)| Tile::in_tree(level, index, size).is_some_and(|tile| tile.is_full());
        let (gone, kept) = std::mem::take(&mut self.partial).into_iter().partition(|tile| full(*tile));
        self.partial = kept;
        let gone: BTreeSet<_> = gone;
        for (level, index) in gone {
            files::remove(&self.partial_folder(Resource::Hashes(Tile { level, index, width: 1 })))?;
            if level == 0 {
                files::remove(&self.partial_folder(Resource::Entries(Tile { level, index, width: 1 })))?;
            }
        }
        Ok(())
    }

    /// `…/NNN.p` of the partial tile with width 1.
    fn partial_folder(&self, resource: Resource) -> PathBuf {
        let path = self.path(resource);
        path.parent().expect("a partial tile stands in a folder").to_owned()
    }

    fn path(&self, resource: Resource) -> PathBuf {
        self.dir.join(resource.to_string())
    }

    /// Removes the files of tiles that the tree does not have: they were written after the last commit, and may be torn.
    fn prune(&self) -> Result<(), Error> {
        let tiles = self.dir.join("tile");
        for name in files::names(&tiles)? {
            let level = if name == "entries" { Some(0) } else { name.parse().ok() };
            // A folder of another name is not ours.
            let Some(level) = level else { continue };
            let edge = Tile::last(level, self.size).map_or((0, 0), |tile| (tile.index, tile.width));
            prune_level(&tiles.join(name), edge)?;
        }
        Ok(())
    }
}

/// Removes what lies right of the edge: a tile's number and how many hashes of it are durable.
fn prune_level(dir: &Path, (index, width): (u64, u16)) -> Result<(), Error> {
    let (mut dir, mut rest) = (dir.to_owned(), index);
    let mut groups = vec![rest % 1000];
    while rest >= 1000 {
        rest /= 1000;
        groups.push(rest % 1000);
    }
    while let Some(group) = groups.pop() {
        let is_last = groups.is_empty();
        for name in files::names(&dir)? {
            let (number, partial) = match name.split_once('.') {
                Some((number, "p")) => (number, true),
                _ => (name.as_str(), false),
            };
            let folder = number.starts_with('x');
            // Another name is not ours.
            let Ok(number) = number.trim_start_matches('x').parse::<u64>() else { continue };
            let beyond = match (is_last, folder) {
                // Numbers with more groups come after all with fewer.
                (true, true) => true,
                (true, false) if partial => number > group,
                (true, false) => number > group || (number == group && width < TILE_WIDTH),
                (false, true) => number > group,
                (false, false) => false,
            };
            if beyond {
                files::remove(&dir.join(&name))?;
            } else if is_last && partial && number == group {
                prune_widths(&dir.join(&name), width)?;
            }
        }
        dir = dir.join(format!("x{group:03}"));
    }
    Ok(())
}

fn prune_widths(dir: &Path, width: u16) -> Result<(), Error> {
    for name in files::names(dir)? {
        if name.parse::<u16>().is_ok_and(|found| found > width) {
            files::remove(&dir.join(name))?;
        }
    }
    Ok(())
}
