//! Opening, creating, refusing and discarding a view store.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::meta::{Checkpoint, Committed, apply_redo};
use super::{Expect, Options, ViewStore};
use crate::batch::{Batch, Durability};
use crate::checkpoint::{self, IMAGES_FILE};
use crate::dense::{DenseFile, DenseTable};
use crate::directory::{names, sync_directory};
use crate::error::Error;
use crate::manifest::{FORMAT, Found, MANIFEST_DRAFT, MANIFEST_FILE, Manifest, Phase};
use crate::posting::PostingIndex;
use crate::store::{Store, StoreKind};
use crate::table::{KeyRange, Table};

const LOCK_FILE: &str = "lock";
const STORE_DIR: &str = "store";
pub(crate) const POSTINGS_DIR: &str = "postings";
/// Redo rows read from the store at a time.
const REDO_ROWS: usize = 64;

/// An opened view store, and whether anything was there.
pub enum Opened {
    /// The directory was absent or empty: nothing is folded yet.
    Fresh(ViewStore),
    /// The store holds what [`ViewStore::committed`] says.
    Resumed(ViewStore),
}

impl Opened {
    /// The store, in either case.
    #[must_use]
    pub fn into_store(self) -> ViewStore {
        match self {
            Self::Fresh(store) | Self::Resumed(store) => store,
        }
    }
}

/// Why a view store is not opened. Except where a variant says otherwise, the way on is to discard the store
/// ([`ViewStore::discard`]) and to rebuild it from the log, which holds everything.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store open. Stop it, or choose another directory.
    #[error("{} is in use by another process; stop that process, or choose another directory", .dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The directory holds something else. Nothing in it was touched; choose another directory.
    #[error("{} is not empty and holds no view store; choose another directory", .dir.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The store is empty although the manifest says that it held batches.
    #[error(
        "the store in {} has been emptied: its manifest says that it held {held_batches} batches; discard it and \
         rebuild it from the log", .dir.display()
    )]
    Emptied {
        /// The store's directory.
        dir: PathBuf,
        /// Batches that were known to be on disk.
        held_batches: u64,
    },
    /// The store has gone back behind batches that it had put on disk.
    #[error(
        "the store in {} has lost batches: it held {held_batches}, now {found_batches}; discard it and rebuild it \
         from the log", .dir.display()
    )]
    LostBatches {
        /// The store's directory.
        dir: PathBuf,
        /// Batches that were known to be on disk.
        held_batches: u64,
        /// Batches found.
        found_batches: u64,
    },
    /// A part of the store cannot be read or does not fit the rest.
    #[error("the store in {} is damaged: {what}; discard it and rebuild it from the log", .dir.display())]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// Which part.
        what: &'static str,
        /// The error that showed it, if one did.
        source: Option<Error>,
    },
    /// Records were erased, and the store's files still hold something of them.
    #[error(
        "the store in {} holds values of erased records and cannot be rewritten in place; discard it and rebuild it \
         from the log", .dir.display()
    )]
    Purged {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store was built from another log. Check the configuration first: one of the two paths may be wrong.
    #[error(
        "the store in {} was built from another log; correct the path, or discard the store and rebuild it from \
         this log", .dir.display()
    )]
    ForeignLog {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store was written by another version of the fold.
    #[error(
        "the store in {} was written by fold version {found}, this program folds by version {expected}; discard it \
         and rebuild it from the log", .dir.display()
    )]
    OtherFoldVersion {
        /// The store's directory.
        dir: PathBuf,
        /// The store's fold version.
        found: u32,
        /// This program's fold version.
        expected: u32,
    },
    /// The store is of another kind than the configuration names. Change the configuration, or rebuild.
    #[error(
        "the store in {} is {found}, the configuration says {expected}; change the configuration, or discard the \
         store and rebuild it from the log", .dir.display()
    )]
    OtherStoreKind {
        /// The store's directory.
        dir: PathBuf,
        /// The store's kind.
        found: StoreKind,
        /// The kind that the configuration names.
        expected: StoreKind,
    },
    /// The files are laid out in a format that this program does not know.
    #[error(
        "the store in {} has format {found}, this program reads format {expected}; discard it and rebuild it from \
         the log", .dir.display()
    )]
    OtherFormat {
        /// The store's directory.
        dir: PathBuf,
        /// The store's format.
        found: u16,
        /// This program's format.
        expected: u16,
    },
    /// The system refused (permission, full disk, too many files). The store itself may be sound: mend the cause.
    #[error("the view store cannot be opened")]
    System {
        /// What failed.
        #[from]
        source: Error,
    },
}

/// Opens the store in `dir`; see [`ViewStore::open`].
pub(super) fn open(dir: &Path, options: &Options, expect: &Expect) -> Result<Opened, OpenError> {
    let found = look(dir)?;
    let lock = lock(dir)?;
    let manifest = match found {
        Found::Nothing => return create(dir, lock, options, expect).map(Opened::Fresh),
        Found::Damaged => return Err(damaged(dir, "its manifest", None)),
        Found::OtherFormat(found) => {
            return Err(OpenError::OtherFormat { dir: dir.to_owned(), found, expected: FORMAT });
        }
        Found::Sound(manifest) => manifest,
    };
    check(dir, &manifest, options, expect)?;
    match manifest.phase {
        Phase::Creating => {
            clear(dir)?;
            create(dir, lock, options, expect).map(Opened::Fresh)
        }
        Phase::Purged => Err(OpenError::Purged { dir: dir.to_owned() }),
        Phase::Ready => resume(dir, lock, manifest, options).map(Opened::Resumed),
    }
}

/// Deletes the store in `dir`; see [`ViewStore::discard`].
pub(super) fn discard(dir: &Path) -> Result<(), OpenError> {
    match look(dir) {
        Ok(_) | Err(OpenError::Damaged { .. }) => {}
        Err(other) => return Err(other),
    }
    let lock = lock(dir)?;
    let name = dir.file_name().ok_or_else(|| OpenError::NotAStore { dir: dir.to_owned() })?;
    let mut aside = name.to_owned();
    aside.push(".discarded");
    let aside = dir.with_file_name(aside);
    remove_all(&aside)?;
    fs::rename(dir, &aside).map_err(|source| Error::io(dir, source))?;
    if let Some(parent) = aside.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent)?;
    }
    drop(lock);
    remove_all(&aside)?;
    Ok(())
}

fn remove_all(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(dir, source)),
        _ => Ok(()),
    }
}

/// Finds out what the directory holds without changing anything in it.
fn look(dir: &Path) -> Result<Found, OpenError> {
    fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
    let found = Manifest::read(dir)?;
    if found != Found::Nothing {
        return Ok(found);
    }
    let names = names(dir)?;
    if names.iter().any(|name| !is_ours(name)) {
        return Err(OpenError::NotAStore { dir: dir.to_owned() });
    }
    let harmless = [LOCK_FILE, MANIFEST_DRAFT];
    if names.iter().any(|name| !harmless.iter().any(|harmless| name == harmless)) {
        return Err(damaged(dir, "its manifest is missing", None));
    }
    Ok(Found::Nothing)
}

fn is_ours(name: &std::ffi::OsString) -> bool {
    let own = [LOCK_FILE, MANIFEST_FILE, MANIFEST_DRAFT, STORE_DIR, POSTINGS_DIR, IMAGES_FILE];
    own.into_iter().chain(DenseTable::ALL.map(DenseTable::file_name)).any(|ours| name == ours)
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::io(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io(&path, source).into()),
    }
}

fn check(dir: &Path, manifest: &Manifest, options: &Options, expect: &Expect) -> Result<(), OpenError> {
    let dir = dir.to_owned();
    if manifest.log_id != expect.log_id {
        return Err(OpenError::ForeignLog { dir });
    }
    if manifest.fold_version != expect.fold_version {
        let (found, expected) = (manifest.fold_version, expect.fold_version);
        return Err(OpenError::OtherFoldVersion { dir, found, expected });
    }
    if manifest.store != options.store {
        return Err(OpenError::OtherStoreKind { dir, found: manifest.store, expected: options.store });
    }
    Ok(())
}

/// Removes what a creation that did not come to its end left behind.
fn clear(dir: &Path) -> Result<(), Error> {
    for part in [STORE_DIR, POSTINGS_DIR] {
        remove_all(&dir.join(part))?;
    }
    for name in DenseTable::ALL.map(DenseTable::file_name).into_iter().chain([IMAGES_FILE]) {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(Error::io(&path, source)),
            _ => {}
        }
    }
    Ok(())
}

/// Begins a store in `dir` that a copy is written into: its manifest says that its creation is not through.
pub(crate) fn begin_copy(dir: &Path, options: &Options, expect: &Expect) -> Result<(File, Manifest, Store), OpenError> {
    let found = look(dir)?;
    let lock = lock(dir)?;
    match found {
        Found::Nothing => {}
        Found::Sound(Manifest { phase: Phase::Creating, .. }) => clear(dir)?,
        Found::Sound(_) | Found::Damaged | Found::OtherFormat(_) => {
            return Err(OpenError::NotAStore { dir: dir.to_owned() });
        }
    }
    let manifest = creating(options, expect);
    manifest.write(dir)?;
    let store = Store::open(options.store, &dir.join(STORE_DIR), options.cache_bytes)?;
    Ok((lock, manifest, store))
}

fn creating(options: &Options, expect: &Expect) -> Manifest {
    Manifest {
        store: options.store,
        phase: Phase::Creating,
        fold_version: expect.fold_version,
        log_id: expect.log_id,
        held_batches: 0,
    }
}

fn create(dir: &Path, lock: File, options: &Options, expect: &Expect) -> Result<ViewStore, OpenError> {
    let creating = creating(options, expect);
    creating.write(dir)?;
    let store = Store::open(options.store, &dir.join(STORE_DIR), options.cache_bytes)?;
    let committed = Committed::initial(expect.fold_version);
    let mut batch = Batch::new();
    committed.put(&mut batch);
    Checkpoint::default().put(&mut batch);
    store.commit(batch, Durability::Synced)?;
    let images = dir.join(IMAGES_FILE);
    File::create(&images).map_err(|source| Error::io(&images, source))?;
    let files = open_files(dir, options, &Checkpoint::default())?;
    let postings = PostingIndex::open(&dir.join(POSTINGS_DIR), options.front_postings_max, 0)?;
    let manifest = Manifest { phase: Phase::Ready, ..creating };
    manifest.write(dir)?;
    Ok(ViewStore::new(dir, lock, manifest, options, Arc::new(store), files, postings, committed, Vec::new()))
}

fn resume(dir: &Path, lock: File, manifest: Manifest, options: &Options) -> Result<ViewStore, OpenError> {
    let unfit = |what| move |source| refuse(dir, what, source);
    let store = Store::open(manifest.store, &dir.join(STORE_DIR), options.cache_bytes);
    let store = store.map_err(unfit("its tables cannot be read"))?;
    let committed = Committed::read(&store).map_err(unfit("its tables cannot be read"))?;
    let held_batches = manifest.held_batches;
    let committed = committed.ok_or_else(|| OpenError::Emptied { dir: dir.to_owned(), held_batches })?;
    if committed.fold_version != manifest.fold_version {
        return Err(damaged(dir, "manifest and tables name different fold versions", None));
    }
    if committed.batch < held_batches {
        let found_batches = committed.batch;
        return Err(OpenError::LostBatches { dir: dir.to_owned(), held_batches, found_batches });
    }
    let checkpoint = Checkpoint::read(&store).map_err(unfit("its last checkpoint"))?;
    let checkpoint = checkpoint.ok_or_else(|| damaged(dir, "its last checkpoint is missing", None))?;
    let mut files = open_files(dir, options, &checkpoint).map_err(unfit("a dense file"))?;
    checkpoint::copy_to_places(dir, &files).map_err(unfit("a dense file"))?;
    let redo = redo(&store, &checkpoint, &mut files).map_err(unfit("its redo rows"))?;
    if files.iter().map(DenseFile::committed_len).ne(committed.lengths) {
        return Err(damaged(dir, "its dense files do not have the committed length", None));
    }
    let nodes = committed.lengths[0];
    let postings = PostingIndex::open(&dir.join(POSTINGS_DIR), options.front_postings_max, nodes);
    let postings = postings.map_err(unfit("its posting index"))?;
    Ok(ViewStore::new(dir, lock, manifest, options, Arc::new(store), files, postings, committed, redo))
}

fn open_files(dir: &Path, options: &Options, checkpoint: &Checkpoint) -> Result<Vec<DenseFile>, Error> {
    let share = options.dense_cache_bytes / DenseTable::ALL.len() as u64;
    let open = |(table, length)| DenseFile::open(dir, table, length, share);
    DenseTable::ALL.into_iter().zip(checkpoint.lengths).map(open).collect()
}

/// Applies the redo rows since the checkpoint; returns their batch numbers.
fn redo(store: &Store, checkpoint: &Checkpoint, files: &mut [DenseFile]) -> Result<Vec<u64>, Error> {
    let mut batches = Vec::new();
    let mut next = checkpoint.batch + 1;
    loop {
        let rows = store.range(Table::Redo, KeyRange::From(&next.to_be_bytes()), REDO_ROWS)?;
        for (key, value) in &rows {
            let batch = u64::from_be_bytes(key[..].try_into().map_err(|_| Error::DamagedRow { row: "redo" })?);
            apply_redo(value, files)?;
            batches.push(batch);
            next = batch + 1;
        }
        if rows.len() < REDO_ROWS {
            break;
        }
    }
    files.iter_mut().for_each(DenseFile::keep_changes);
    Ok(batches)
}

fn damaged(dir: &Path, what: &'static str, source: Option<Error>) -> OpenError {
    OpenError::Damaged { dir: dir.to_owned(), what, source }
}

/// Tells damage from a refusal by the system.
fn refuse(dir: &Path, what: &'static str, source: Error) -> OpenError {
    match source {
        Error::DiskFull { .. } | Error::Io { .. } => OpenError::System { source },
        Error::Unflushed { .. } => damaged(dir, "the machine has started again while it was open", Some(source)),
        other => damaged(dir, what, Some(other)),
    }
}
