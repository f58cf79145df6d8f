//! The container of one fold's views: store, dense files, posting index, under one manifest and one lock.

mod meta;
mod open;
mod pending;
mod reader;
mod txn;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::absence::Absence;
use crate::batch::{Batch, Durability};
use crate::checkpoint;
use crate::copy::Outgoing;
use crate::dense::{Carry, DenseFile, DenseTable};
use crate::error::Error;
use crate::manifest::{Manifest, Phase};
use crate::posting::{DeadNodes, PostingIndex};
use crate::row_cache::RowCache;
use crate::store::{Store, StoreKind};
use crate::table::{StoredKey, Table};
use crate::value::Value;
use crate::work::Work;
use meta::{Checkpoint, Lengths};
use pending::Pending;

pub(crate) use meta::Checkpoint as LastCheckpoint;
pub use meta::Committed;
pub use open::{OpenError, Opened};
pub(crate) use open::{POSTINGS_DIR, begin_copy};
pub use reader::{Reader, Serving, View};
pub use txn::Txn;

/// Nodes whose postings are restored between two chances to write a run.
const RESTORE_NODES: u32 = 4096;

/// How a view store is laid out in memory and on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which key-value store holds the tables.
    pub store: StoreKind,
    /// Memory of the key-value store, in bytes: cached blocks and unflushed writes. At least 16 MiB count.
    pub cache_bytes: u64,
    /// Memory for rows that the fold reads again, in bytes; a quarter of it for telling which are not there.
    pub row_cache_bytes: u64,
    /// Memory for cached blocks of the dense files, in bytes.
    pub dense_cache_bytes: u64,
    /// Dense rows that wait in memory, in bytes, before a checkpoint carries them into the files; as much again while
    /// one does so on another thread. A batch may pass it by its own size. After a crash as much is read again.
    pub overlay_bytes_max: usize,
    /// Postings in memory before they are written as a run; about 40 bytes each, and twice that while one is written.
    pub front_postings_max: usize,
    /// What a commit waits for.
    pub durability: Durability,
}

impl Default for Options {
    /// fjall with 128 MiB, 128 MiB for rows, 64 MiB for dense blocks, 32 MiB of overlay, 2^20 postings, buffered commits.
    fn default() -> Self {
        Self {
            store: StoreKind::Fjall,
            cache_bytes: 128 << 20,
            row_cache_bytes: 128 << 20,
            dense_cache_bytes: 64 << 20,
            overlay_bytes_max: 32 << 20,
            front_postings_max: 1 << 20,
            durability: Durability::Buffered,
        }
    }
}

/// What a store must match to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// Version of the fold; any change of what it stores raises it.
    pub fold_version: u32,
    /// Identity of the log that the views are built from.
    pub log_id: [u8; 16],
}

/// A checkpoint that is carried out on another thread.
struct Running {
    work: Work,
    reached: Checkpoint,
    /// Batches whose redo rows it makes superfluous.
    redo: Vec<u64>,
}

/// An open view store: the single writer's handle. Queries read through a [`Reader`].
pub struct ViewStore {
    dir: PathBuf,
    options: Options,
    manifest: Manifest,
    store: Arc<Store>,
    rows: Arc<RowCache>,
    absence: Absence,
    pending: Pending,
    /// In the order of [`DenseTable::ALL`].
    files: Vec<DenseFile>,
    postings: PostingIndex,
    committed: Committed,
    /// Batches with a redo row that no checkpoint covers yet.
    redo: Vec<u64>,
    running: Option<Running>,
    poisoned: bool,
    /// Keeps other processes out; released last, when no reader has it any more.
    lock: Arc<File>,
}

impl ViewStore {
    /// Opens the store in `dir`. A directory that is absent or empty becomes a new store; anything else is either
    /// what its manifest and `expect` say, or refused.
    ///
    /// After a crash the committed dense rows are read from the store's redo rows. Postings of the last nodes may
    /// be missing: call [`ViewStore::restore_postings`] before the first batch.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says why the store is refused, and what to do.
    pub fn open(dir: &Path, options: Options, expect: Expect) -> Result<Opened, OpenError> {
        open::open(dir, &options, &expect)
    }

    /// Deletes the store in `dir`, so that it can be built anew. It is first renamed to `<dir>.discarded`: a crash
    /// on the way never leaves half a store under its name.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] when a process has it open; [`OpenError::NotAStore`] when the directory holds anything
    /// that is not part of a view store, and then nothing is deleted.
    pub fn discard(dir: &Path) -> Result<(), OpenError> {
        open::discard(dir)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts are put together in one place, here")]
    fn new(
        dir: &Path,
        lock: File,
        manifest: Manifest,
        options: &Options,
        store: Arc<Store>,
        files: Vec<DenseFile>,
        postings: PostingIndex,
        committed: Committed,
        redo: Vec<u64>,
    ) -> Self {
        let (dir, options, lock) = (dir.to_owned(), options.clone(), Arc::new(lock));
        let absence_bytes = options.row_cache_bytes / 4;
        let rows = Arc::new(RowCache::new(options.row_cache_bytes - absence_bytes));
        let absence =
            if committed.batch == 0 { Absence::of_empty(absence_bytes) } else { Absence::of_opened(absence_bytes) };
        let (pending, running, poisoned) = (Pending::default(), None, false);
        Self {
            dir,
            options,
            manifest,
            store,
            rows,
            absence,
            pending,
            files,
            postings,
            committed,
            redo,
            running,
            poisoned,
            lock,
        }
    }

    /// The last committed batch.
    #[must_use]
    pub const fn committed(&self) -> &Committed {
        &self.committed
    }

    /// Which key-value store holds the tables.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        self.store.kind()
    }

    /// A handle for queries on other threads. It keeps the key-value store open and the directory locked: drop all
    /// readers and views before the directory is opened again.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.store), Arc::clone(&self.lock))
    }

    /// Number of committed rows in a dense file.
    #[must_use]
    pub fn dense_len(&self, table: DenseTable) -> u32 {
        self.file(table).committed_len()
    }

    /// Copies a committed dense row into `row`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRow`] past the end; [`Error::DamagedBlock`] when the file is damaged.
    ///
    /// # Panics
    ///
    /// When `row` is not of the table's row size.
    pub fn dense_get(&self, table: DenseTable, number: u32, row: &mut [u8]) -> Result<(), Error> {
        self.file(table).get(number, row)
    }

    /// Nodes whose postings are on disk: all below this number.
    #[must_use]
    pub fn covered_nodes(&self) -> u32 {
        self.postings.covered_nodes()
    }

    /// Inserts the postings that no run holds, those of the nodes from [`ViewStore::covered_nodes`] on, by deriving
    /// them from the feature rows: `keys` adds the blocking keys of a row to the list. Does nothing when called again.
    ///
    /// # Errors
    ///
    /// As [`ViewStore::dense_get`], or when a run cannot be written.
    pub fn restore_postings(&mut self, keys: impl FnMut(u32, &[u8], &mut Vec<u64>)) -> Result<(), Error> {
        let restored = self.restore(keys);
        self.poisoned |= restored.is_err();
        restored
    }

    fn restore(&mut self, mut keys: impl FnMut(u32, &[u8], &mut Vec<u64>)) -> Result<(), Error> {
        let mut row = vec![0; DenseTable::NodeFeature.row_bytes()];
        let mut found = Vec::new();
        for node in self.postings.known_nodes()..self.dense_len(DenseTable::NodeFeature) {
            self.file(DenseTable::NodeFeature).get(node, &mut row)?;
            found.clear();
            keys(node, &row, &mut found);
            for key in &found {
                self.postings.insert(*key, node);
            }
            if (node + 1).is_multiple_of(RESTORE_NODES) {
                self.keep_postings(node + 1)?;
            }
        }
        self.keep_postings(self.dense_len(DenseTable::NodeFeature))
    }

    /// From now on merges leave out the postings of nodes that `dead` names.
    pub fn set_dead_nodes(&mut self, dead: DeadNodes) {
        self.postings.set_dead_nodes(dead);
    }

    /// Begins a batch.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] after a failed commit; [`Error::PostingsNotRestored`] when postings of committed nodes are
    /// missing.
    pub fn begin(&mut self) -> Result<Txn<'_>, Error> {
        self.check_poison()?;
        let (covered, nodes) = (self.postings.known_nodes(), self.dense_len(DenseTable::NodeFeature));
        if covered < nodes {
            return Err(Error::PostingsNotRestored { covered, nodes });
        }
        if self.absence.wants_keys() {
            self.settle()?;
            self.absence.gather(Arc::clone(&self.store), &self.dir)?;
        }
        self.absence.tend();
        Ok(Txn::new(self))
    }

    /// Waits until readers see the last batch of [`Txn::commit_ahead`].
    ///
    /// # Errors
    ///
    /// Why it could not be written; the store is then poisoned.
    pub fn settle(&mut self) -> Result<(), Error> {
        let done = self.pending.settle();
        self.poisoned |= done.is_err();
        done
    }

    /// Puts everything committed on disk and carries the dense rows into their files, and waits for it. Happens by
    /// itself, on another thread, when the overlay is full.
    ///
    /// # Errors
    ///
    /// Any; the store is then poisoned.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.check_poison()?;
        let done = self.carry_out_checkpoint();
        self.poisoned |= done.is_err();
        done
    }

    /// A copy of everything as the last batch left it, to be read on any thread while batches go on. Makes a checkpoint, and copies
    /// the file of the rows that change in place (16 bytes a node) to the folder `aside`, which is removed again; waits for both.
    ///
    /// # Errors
    ///
    /// As [`ViewStore::checkpoint`]; without poisoning it, when `aside` cannot be written.
    pub fn outgoing(&mut self, aside: &Path) -> Result<Outgoing, Error> {
        self.checkpoint()?;
        let (features, states) = (self.file(DenseTable::NodeFeature), self.file(DenseTable::NodeState));
        Outgoing::new(self.manifest.log_id, self.reader().view()?, features.shared_disk(), states.disk().path(), aside)
    }

    /// Rewrites what holds values that are no longer in force: runs without the postings of nodes that `dead` names, and the
    /// store's own files without what was overwritten or deleted. Waits for all of it. False when the store cannot be
    /// rewritten while it is open: it is then refused at the next open ([`OpenError::Purged`]) and built anew.
    ///
    /// # Errors
    ///
    /// As [`ViewStore::checkpoint`].
    pub fn purge(&mut self, dead: DeadNodes) -> Result<bool, Error> {
        self.checkpoint()?;
        let done = self.rewrite(dead);
        self.poisoned |= done.is_err();
        done
    }

    fn rewrite(&mut self, dead: DeadNodes) -> Result<bool, Error> {
        self.absence.interrupt();
        let store = Arc::clone(&self.store);
        let nodes = self.postings.known_nodes();
        self.postings.purge(nodes, dead, &mut || store.persist())?;
        let compacted = self.store.compact()?;
        if !compacted {
            self.manifest.phase = Phase::Purged;
            self.manifest.write(&self.dir)?;
        }
        Ok(compacted)
    }

    /// Closes the store with nothing left to redo or to restore. Dropping it instead is safe, and costs the next
    /// start as much as a crash.
    ///
    /// # Errors
    ///
    /// As [`ViewStore::checkpoint`].
    pub fn close(mut self) -> Result<(), Error> {
        self.checkpoint()?;
        let store = Arc::clone(&self.store);
        let nodes = self.postings.known_nodes();
        self.postings.flush_all(nodes, &mut || store.persist())
    }

    fn commit(
        &mut self,
        batch: Batch,
        committed: Committed,
        has_redo: bool,
        stored: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let number = committed.batch;
        self.pending.settle()?;
        self.pending.begin(batch, (&self.store, &self.rows), self.options.durability, &self.dir, stored)?;
        self.committed = committed;
        if has_redo {
            self.redo.push(number);
        }
        self.files.iter_mut().for_each(DenseFile::keep_changes);
        self.keep_postings(self.dense_len(DenseTable::NodeFeature))?;
        self.tend_checkpoint()
    }

    /// A committed row, from memory where it is there.
    fn committed_row(&self, table: Table, key: StoredKey) -> Result<Option<Value>, Error> {
        if let Some(written) = self.pending.batch().and_then(|batch| batch.written(&key)) {
            return Ok(written.map(|value| Value::from(Arc::clone(value))));
        }
        if !table.is_read_again() {
            return self.store.get_stored(&key);
        }
        if self.absence.is_absent(&key) {
            return Ok(None);
        }
        if let Some(known) = self.rows.get(&key) {
            return Ok(known);
        }
        let found = self.store.get_stored(&key)?;
        match &found {
            // A copy: the store's own value may keep a whole block alive.
            Some(value) => self.rows.insert(key, Some(Value::from(&value[..]))),
            None => self.absence.missed(),
        }
        Ok(found)
    }

    fn keep_postings(&mut self, nodes: u32) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        self.postings.keep_changes(nodes, &mut || store.persist())
    }

    /// Begins a checkpoint of the last committed batch when the overlay is full, and ends one that is through. Waits
    /// only when the overlay is full again before the last checkpoint has come to its end.
    fn tend_checkpoint(&mut self) -> Result<(), Error> {
        let waiting: usize = self.files.iter().map(DenseFile::overlay_bytes).sum();
        let is_full = waiting > self.options.overlay_bytes_max;
        if self.running.as_ref().is_some_and(|running| is_full || running.work.is_done()) {
            self.end_checkpoint()?;
        }
        if is_full { self.begin_checkpoint() } else { Ok(()) }
    }

    fn begin_checkpoint(&mut self) -> Result<(), Error> {
        // What the manifest names is to be in the store.
        self.pending.settle()?;
        self.manifest.held_batches = self.committed.batch;
        let (dir, manifest, store) = (self.dir.clone(), self.manifest, Arc::clone(&self.store));
        let parts: Vec<Carry> = self.files.iter_mut().map(DenseFile::freeze).collect();
        let work = Work::begin("checkpoint", &self.dir, move |_| {
            store.persist()?;
            manifest.write(&dir)?;
            checkpoint::carry(&dir, &parts)
        })?;
        let redo = std::mem::take(&mut self.redo);
        let reached = Checkpoint { batch: self.committed.batch, lengths: self.lengths() };
        self.running = Some(Running { work, reached, redo });
        Ok(())
    }

    fn end_checkpoint(&mut self) -> Result<(), Error> {
        let Some(Running { work, reached, redo }) = self.running.take() else { return Ok(()) };
        work.join()?;
        self.pending.settle()?;
        let mut batch = Batch::new();
        reached.put(&mut batch);
        for number in redo {
            batch.delete(Table::Redo, &number.to_be_bytes());
        }
        self.store.commit(batch, Durability::Buffered)?;
        self.files.iter_mut().for_each(DenseFile::settle);
        Ok(())
    }

    fn carry_out_checkpoint(&mut self) -> Result<(), Error> {
        self.end_checkpoint()?;
        self.begin_checkpoint()?;
        self.end_checkpoint()
    }

    fn undo_changes(&mut self) {
        self.files.iter_mut().for_each(DenseFile::undo_changes);
        self.postings.undo_changes();
    }

    fn check_poison(&self) -> Result<(), Error> {
        if self.poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }

    fn lengths(&self) -> Lengths {
        DenseTable::ALL.map(|table| self.file(table).len())
    }

    fn file(&self, table: DenseTable) -> &DenseFile {
        &self.files[usize::from(table.number()) - 1]
    }

    fn file_mut(&mut self, table: DenseTable) -> &mut DenseFile {
        &mut self.files[usize::from(table.number()) - 1]
    }
}
