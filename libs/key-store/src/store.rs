//! The open keys of a log.

use std::path::{Path, PathBuf};

use record::{KeyTree, Keyring, Pseudonym};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::file;
use crate::format::{self, Head, RingId};
use crate::wrapping::{WrappingId, WrappingKey};

const TREE: &str = "tree";
const PURGE: &str = "purge";

/// What a key file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The keys, from their creation on.
    pub ring: RingId,
    /// The log that they belong to.
    pub log: [u8; 16],
    /// How often the file was written.
    pub generation: u64,
    /// The wrapping key.
    pub wrapping: WrappingId,
    /// Live seeds: 1 as long as no key was destroyed.
    pub seeds: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The keys of a log, and the file that they lie in. One process has it open for writing; whoever else needs keys shares its
/// [`Keyring`].
#[derive(Debug)]
pub struct KeyStore {
    dir: PathBuf,
    wrapping: WrappingKey,
    head: Head,
    tree: KeyTree,
    ring: Keyring,
    bytes: u64,
    poisoned: bool,
}

impl KeyStore {
    /// Whether `dir` holds a key file.
    ///
    /// # Errors
    /// [`Error::Io`] when that cannot be seen.
    pub fn exists(dir: &Path) -> Result<bool, Error> {
        let path = dir.join(TREE);
        path.try_exists().map_err(file::io("read", &path))
    }

    /// Makes the keys of a log, and the wrapping key where there is none.
    ///
    /// # Errors
    /// [`Error::Exists`] when there are keys already; [`Error::Io`], [`Error::Token`], [`Error::Random`].
    pub fn create(dir: &Path, wrapping: WrappingKey, log: [u8; 16]) -> Result<Self, Error> {
        if Self::exists(dir)? {
            return Err(Error::Exists(dir.join(TREE)));
        }
        let mut root = Zeroizing::new([0; 32]);
        let mut ring = [0; 16];
        getrandom::fill(&mut *root)?;
        getrandom::fill(&mut ring)?;
        Self::adopt(dir, wrapping, log, ring, KeyTree::new(*root))
    }

    /// Keeps the keys of a log that another process gave, and makes a wrapping key of this one's own where there is none.
    ///
    /// # Errors
    /// As [`KeyStore::create`].
    pub fn adopt(
        dir: &Path,
        wrapping: WrappingKey,
        log: [u8; 16],
        ring: [u8; 16],
        tree: KeyTree,
    ) -> Result<Self, Error> {
        if Self::exists(dir)? {
            return Err(Error::Exists(dir.join(TREE)));
        }
        make_dir(dir)?;
        let id = wrapping.create()?;
        let head = Head { wrapping_kind: wrapping.kind(), log, ring: RingId(ring), wrapping: id, generation: 0 };
        let ring = Keyring::new(ring, tree.clone());
        let mut store = Self { dir: dir.to_owned(), wrapping, head, tree, ring, bytes: 0, poisoned: false };
        store.write(store.head, &store.tree.clone(), &store.wrapping.clone())?;
        Ok(store)
    }

    /// Opens the keys of a log, and ends a rotation that a crash has broken off.
    ///
    /// # Errors
    /// [`Error`]: they are missing, damaged, of another log, readable by others, or wrapped by another key.
    pub fn open(dir: &Path, wrapping: WrappingKey, log: [u8; 16]) -> Result<Self, Error> {
        let path = dir.join(TREE);
        let bytes = file::read(&path)?.ok_or_else(|| Error::Missing(path.clone()))?;
        let head = format::head(&bytes, &path)?;
        if head.log != log {
            return Err(Error::OtherLog(path));
        }
        wrapping.settle(head.wrapping)?;
        let tree = format::open(&bytes, &head, &wrapping, &path)?;
        let ring = Keyring::new(head.ring.0, tree.clone());
        let bytes = bytes.len() as u64;
        Ok(Self { dir: dir.to_owned(), wrapping, head, tree, ring, bytes, poisoned: false })
    }

    /// The keys, for whoever reads or writes bodies.
    pub fn keyring(&self) -> Keyring {
        self.ring.clone()
    }

    /// What the file says of itself.
    pub fn status(&self) -> Status {
        let Head { log, ring, wrapping, generation, .. } = self.head;
        Status { ring, log, generation, wrapping, seeds: self.tree.seeds(), bytes: self.bytes }
    }

    /// Where the wrapping key is.
    pub fn wrapping(&self) -> &WrappingKey {
        &self.wrapping
    }

    /// Destroys the keys of records: in the file, then in memory. How many were there. Until [`KeyStore::purged`] is told,
    /// [`KeyStore::must_purge`] says that derived files may still hold something of them, also after a crash.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failed write; [`Error::Io`], [`Error::Token`]: whether the keys are destroyed is then
    /// unknown until the keys are opened again.
    pub fn destroy(&mut self, records: &[Pseudonym]) -> Result<usize, Error> {
        let mut tree = self.tree.clone();
        let destroyed = records.iter().filter(|record| tree.destroy(**record)).count();
        if destroyed > 0 {
            file::write_new(&self.dir.join(PURGE), b"")?;
            self.write(self.head, &tree, &self.wrapping.clone())?;
            self.ring.store(tree.clone());
            self.tree = tree;
        }
        Ok(destroyed)
    }

    /// Whether keys were destroyed and what was derived from their records was not purged since.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn must_purge(&self) -> Result<bool, Error> {
        let path = self.dir.join(PURGE);
        path.try_exists().map_err(file::io("read", &path))
    }

    /// Derived files hold nothing any more of any destroyed key's record.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn purged(&self) -> Result<(), Error> {
        file::shred(&self.dir.join(PURGE))
    }

    /// Exchanges the wrapping key and destroys the former one: copies of the key file from before can then be read by nobody
    /// who has not kept the former wrapping key.
    ///
    /// # Errors
    /// As [`KeyStore::destroy`]. After a crash [`KeyStore::open`] goes on with whichever key the file is wrapped by.
    pub fn rotate(&mut self) -> Result<WrappingId, Error> {
        let former = self.head.wrapping;
        let (next, id) = self.wrapping.make_next()?;
        self.write(Head { wrapping: id, ..self.head }, &self.tree.clone(), &next)?;
        let retired = self.wrapping.retire(former);
        self.poisoned |= retired.is_err();
        retired.map(|()| id)
    }

    /// Copies the key file to a new file and checks that the copy can be read. The wrapping key is not in it.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is such a file; as [`KeyStore::open`].
    pub fn backup(dir: &Path, wrapping: &WrappingKey, to: &Path) -> Result<Status, Error> {
        let path = dir.join(TREE);
        if to.try_exists().map_err(file::io("read", to))? {
            return Err(Error::Exists(to.to_owned()));
        }
        let bytes = file::read(&path)?.ok_or_else(|| Error::Missing(path.clone()))?;
        check(&bytes, wrapping, &path)?;
        file::write_new(to, &bytes)?;
        Self::inspect(to, wrapping)
    }

    /// Puts a copy of the key file in its place. Keys that were destroyed since come back with it: the hub destroys them again
    /// at its next start, from the log's erasures.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is a key file; as [`KeyStore::open`].
    pub fn restore(dir: &Path, wrapping: &WrappingKey, from: &Path) -> Result<Status, Error> {
        if Self::exists(dir)? {
            return Err(Error::Exists(dir.join(TREE)));
        }
        let status = Self::inspect(from, wrapping)?;
        let bytes = file::read(from)?.ok_or_else(|| Error::Missing(from.to_owned()))?;
        make_dir(dir)?;
        file::replace(&dir.join(TREE), &bytes)?;
        Ok(status)
    }

    /// Reads a key file or a copy of one, to its last seed.
    ///
    /// # Errors
    /// As [`KeyStore::open`].
    pub fn inspect(path: &Path, wrapping: &WrappingKey) -> Result<Status, Error> {
        let bytes = file::read(path)?.ok_or_else(|| Error::Missing(path.to_owned()))?;
        check(&bytes, wrapping, path)
    }

    /// [`KeyStore::inspect`] of the key file in `dir`.
    ///
    /// # Errors
    /// As [`KeyStore::open`].
    pub fn inspect_dir(dir: &Path, wrapping: &WrappingKey) -> Result<Status, Error> {
        Self::inspect(&dir.join(TREE), wrapping)
    }

    fn write(&mut self, head: Head, tree: &KeyTree, wrapping: &WrappingKey) -> Result<(), Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let head = Head { generation: head.generation + 1, ..head };
        let bytes = format::seal(&head, tree, wrapping)?;
        let written = file::replace(&self.dir.join(TREE), &bytes);
        self.poisoned = written.is_err();
        written?;
        (self.head, self.bytes) = (head, bytes.len() as u64);
        Ok(())
    }
}

/// The folder of a key file. Its name is synced also where it was there: a start that a crash cut short may have made it, and a log
/// that names keys must not outlive them.
fn make_dir(dir: &Path) -> Result<(), Error> {
    file::make_private_dir(dir).and_then(|()| file::sync_name(dir)).map_err(file::io("create", dir))
}

fn check(bytes: &[u8], wrapping: &WrappingKey, path: &Path) -> Result<Status, Error> {
    let head = format::head(bytes, path)?;
    let tree = format::open(bytes, &head, wrapping, path)?;
    let Head { log, ring, wrapping, generation, .. } = head;
    Ok(Status { ring, log, generation, wrapping, seeds: tree.seeds(), bytes: bytes.len() as u64 })
}
