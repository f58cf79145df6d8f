//! All trees of one log.

use std::path::{Path, PathBuf};

use ledger::tick::tree_name;
use ledger::{Hash, Heads, Resource, Shape, SigningKey, Tile, TreeOf};
use record::{EntryHash, Index, Partition, Positions, Stream, Timestamp};

use crate::error::Error;
use crate::files::{self, Dirty};
use crate::signed::{Signatures, Signed};
use crate::state::State;
use crate::tree::TreeFiles;

/// The ledger's files, for one writer.
#[derive(Debug)]
pub struct TileStore {
    dir: PathBuf,
    shape: Shape,
    log: TreeFiles,
    partitions: Vec<TreeFiles>,
    state: State,
    /// Sizes at the last publication, in the order of slots: what stands in the checkpoints.
    published: Option<Vec<u64>>,
    poisoned: bool,
}

/// What was signed.
#[derive(Debug, Clone)]
pub struct Published {
    /// The state, and the super-log's checkpoint over it as a signed note.
    pub signed: Signed,
    /// How many partitions' checkpoints were signed anew.
    pub partitions: usize,
}

impl TileStore {
    /// Creates an empty ledger in a folder that is empty or absent.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Io`].
    pub fn create(dir: &Path, origin: &str, shape: Shape) -> Result<Self, Error> {
        let draft = files::beside(Path::new("heads"));
        // A creation that a crash cut short leaves nothing but its draft.
        if files::names(dir)?.iter().any(|name| Path::new(name) != draft) {
            return Err(Error::NotEmpty { dir: dir.to_owned() });
        }
        std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
            files::sync(above)?;
        }
        let state = State::empty(origin, shape);
        files::replace_durably(&dir.join("heads"), state.to_text().as_bytes())?;
        let partitions = shape.partitions().map(|(s, p)| TreeFiles::new(dir.join(tree_name(s, p)))).collect();
        let log = TreeFiles::new(dir.to_owned());
        Ok(Self { dir: dir.to_owned(), shape, log, partitions, state, published: None, poisoned: false })
    }

    /// Opens a ledger at its last durable state; the follower reads the log on from [`TileStore::ends`].
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn open(dir: &Path, shape: Shape) -> Result<Self, Error> {
        let state = State::read(dir, shape)?;
        let tree = |head: &ledger::Head| {
            TreeFiles::open(dir.join(tree_name(head.stream, head.partition)), head.size, &head.root)
        };
        let partitions = state.heads.heads().iter().map(tree).collect::<Result<_, _>>()?;
        let log = TreeFiles::open(dir.to_owned(), state.size, &state.root)?;
        Ok(Self { dir: dir.to_owned(), shape, log, partitions, state, published: None, poisoned: false })
    }

    /// Whether there is a ledger in the folder.
    pub fn exists(dir: &Path) -> bool {
        dir.join("heads").exists()
    }

    /// The state at the last tick.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How many entries of each partition have been appended: where to read on.
    pub fn ends(&self) -> Positions {
        let sizes = self.shape.partitions().zip(&self.partitions);
        sizes.map(|((stream, partition), tree)| (stream, partition, Index(tree.size()))).collect()
    }

    /// How many entries of a partition have been appended: the index of its next one.
    ///
    /// # Errors
    /// [`Error::NoPartition`].
    pub fn size(&self, stream: Stream, partition: Partition) -> Result<Index, Error> {
        Ok(Index(self.partitions[self.slot(stream, partition)?].size()))
    }

    /// The super-log's root as it was after so many ticks: what a checkpoint of that size must say.
    ///
    /// # Errors
    /// [`Error::Damaged`], also when there were not so many; [`Error::Io`].
    pub fn root_at(&self, ticks: u64) -> Result<Hash, Error> {
        self.log.root_at(ticks)
    }

    fn slot(&self, stream: Stream, partition: Partition) -> Result<usize, Error> {
        let slot = self.shape.slot(stream, partition);
        Ok(slot.ok_or_else(|| Error::NoPartition(tree_name(stream, partition)))? as usize)
    }

    /// Appends the hashes of a partition's next entries.
    ///
    /// # Errors
    /// [`Error::NoPartition`], [`Error::Poisoned`], [`Error::Io`].
    pub fn append(
        &mut self,
        stream: Stream,
        partition: Partition,
        entries: impl IntoIterator<Item = EntryHash>,
    ) -> Result<(), Error> {
        let slot = self.slot(stream, partition)?;
        self.writing(|store| {
            let tree = &mut store.partitions[slot];
            entries.into_iter().try_for_each(|entry| tree.append(&entry.0))
        })
    }

    /// Takes a tick: the state of every partition at `ends`, the cut at time `at`, becomes the next leaf of the super-log.
    /// Only a cut that is later than the last tick becomes one, so that a cut which is met again after a crash does not.
    ///
    /// # Errors
    /// [`Error::Ahead`], [`Error::Backwards`], [`Error::Poisoned`], [`Error::Io`]. The first two change nothing.
    pub fn tick(&mut self, at: Timestamp, ends: &Positions) -> Result<&State, Error> {
        let heads = self.heads_at(ends)?;
        if self.state.tick.is_some_and(|last| at <= last.at) {
            return Err(Error::Backwards);
        }
        let tick = heads.tick(at);
        self.writing(|store| store.log.append(tick.to_text().as_bytes()))?;
        let (size, root) = (self.log.size(), self.log.root_at(self.log.size())?);
        self.state = State { origin: self.state.origin.clone(), size, root, tick: Some(tick), heads };
        Ok(&self.state)
    }

    fn heads_at(&self, ends: &Positions) -> Result<Heads, Error> {
        Heads::collect(&self.state.origin, self.shape, |stream, partition| {
            let end = ends.get(stream, partition).0;
            let slot = self.shape.slot(stream, partition).expect("it is one of the shape's") as usize;
            let (tree, last) = (&self.partitions[slot], self.state.heads.heads()[slot]);
            match end {
                end if end == last.size => Ok((end, last.root)),
                end if end < last.size => Err(Error::Backwards),
                end if end > tree.size() => {
                    Err(Error::Ahead { tree: tree_name(stream, partition), end, size: tree.size() })
                }
                end => Ok((end, tree.root_at(end)?)),
            }
        })
    }

    /// Writes the partial tiles of the last tick's state, and signs it: the super-log's checkpoint, and one for each
    /// partition that has grown since the last publication.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Io`].
    pub fn publish(&mut self, key: &SigningKey) -> Result<Published, Error> {
        self.writing(|store| {
            store.write_partial()?;
            let mut partitions = 0;
            for (slot, head) in store.state.heads.heads().iter().enumerate() {
                if store.published.as_ref().is_none_or(|sizes| sizes[slot] != head.size) {
                    let note = key.sign(&head.checkpoint(&store.state.origin).to_text());
                    let tree = store.dir.join(tree_name(head.stream, head.partition));
                    files::replace(&tree.join(Resource::Checkpoint.to_string()), note.as_bytes())?;
                    partitions += 1;
                }
            }
            let note = key.sign(&store.state.checkpoint().to_text());
            let signed = Signed { state: store.state.clone(), note };
            store.write_signed(Signatures::Log, &signed)?;
            store.published = Some(store.state.heads.heads().iter().map(|head| head.size).collect());
            Ok(Published { signed, partitions })
        })
    }

    /// Keeps a published state whose note witnesses have cosigned meanwhile, and serves it as the checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_cosigned(&self, signed: &Signed) -> Result<(), Error> {
        self.write_signed(Signatures::Witnesses, signed)
    }

    /// Durably: the next start reads what was signed last, and a power loss must leave the former or this one.
    fn write_signed(&self, by: Signatures, signed: &Signed) -> Result<(), Error> {
        files::replace_durably(&self.dir.join(by.file()), signed.to_text().as_bytes())?;
        files::replace_durably(&self.dir.join(Resource::Checkpoint.to_string()), signed.note.as_bytes())
    }

    /// The last state with such signatures; `None` when there was none. Needs no store: any process may make proofs.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn signed(dir: &Path, shape: Shape, by: Signatures) -> Result<Option<Signed>, Error> {
        let path = dir.join(by.file());
        let bytes = match files::read(&path) {
            Err(Error::Io { source, .. }) if is_absent(&source) => return Ok(None),
            read => read?,
        };
        let text = String::from_utf8(bytes).map_err(|_| Error::damaged(&path, "it is no text"))?;
        let signed = Signed::parse(&text, shape);
        signed.map(Some).ok_or_else(|| Error::damaged(&path, "it is not as it was written, or of another log"))
    }

    fn write_partial(&mut self) -> Result<(), Error> {
        for (tree, head) in self.partitions.iter_mut().zip(self.state.heads.heads()) {
            tree.write_partial(head.size)?;
        }
        self.log.write_partial(self.state.size)
    }

    /// Makes the last tick's state durable; a crash from now on comes back to it or to a later one.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Io`].
    pub fn commit(&mut self) -> Result<(), Error> {
        self.writing(|store| {
            store.write_partial()?;
            let trees = store.partitions.iter_mut().chain([&mut store.log]);
            Dirty::sync_all(&store.dir, trees.map(TreeFiles::dirty))?;
            files::replace_durably(&store.dir.join("heads"), store.state.to_text().as_bytes())?;
            for (tree, head) in store.partitions.iter_mut().zip(store.state.heads.heads()) {
                tree.drop_partial(head.size)?;
            }
            store.log.drop_partial(store.state.size)
        })
    }

    fn writing<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let written = write(self);
        self.poisoned = written.is_err();
        written
    }

    /// The bytes of a tile of hashes that was published, for making proofs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn tile(dir: &Path, tree: TreeOf, tile: Tile) -> Result<Vec<u8>, Error> {
        Self::read(dir, tree, Resource::Hashes(tile))
    }

    /// The bytes of a resource that was published. A partial tile whose partial file is gone is the beginning of the full one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn read(dir: &Path, tree: TreeOf, resource: Resource) -> Result<Vec<u8>, Error> {
        let folder = match tree {
            TreeOf::Log => dir.to_owned(),
            TreeOf::Partition(stream, partition) => dir.join(tree_name(stream, partition)),
        };
        let path = folder.join(resource.to_string());
        match (files::read(&path), resource) {
            (Err(Error::Io { source, .. }), Resource::Hashes(tile)) if is_absent(&source) && !tile.is_full() => {
                let full = Tile { width: ledger::tile::TILE_WIDTH, ..tile };
                let mut bytes = files::read(&folder.join(Resource::Hashes(full).to_string()))?;
                bytes.truncate(usize::from(tile.width) * size_of::<Hash>());
                Ok(bytes)
            }
            (read, _) => read,
        }
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}
