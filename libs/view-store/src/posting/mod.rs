//! The posting index: 64-bit blocking key → node numbers.
//!
//! New postings go to a table in memory (the *front*); a full front is written as an immutable *run*, and runs are
//! merged when four neighbours have about one size. A run holds all postings of a range of node numbers, so the
//! files alone say what they cover: [`PostingIndex::covered_nodes`]. The rest is derived again from the feature rows.
//!
//! Postings are not part of the store's batch. What keeps them consistent:
//! * a run gets its name only after the store has put on disk the batch that its last node came with, so no run
//!   knows a node that the store could lose; a run that does (a store that lost what it had acknowledged) is dropped;
//! * a merged run covers exactly its inputs, and stands beside them until they are deleted: the widest run that
//!   begins where the last one ended counts, the rest is removed on open;
//! * keys must be uniform over 64 bits (hashes): the directory divides them by their first bits.

mod front;
mod layout;
mod rewrite;
mod run;
mod run_writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::{names, sync_directory};
use crate::error::Error;
use crate::work::Work;
use front::Front;
use run::Run;

/// Runs of one tier that are merged into one of the next.
const TIER_RUNS: usize = 4;
/// Postings past which no merge is begun: a run numbers its entries with 32 bits.
const RUN_POSTINGS_MAX: u64 = u32::MAX as u64;
const RUN_SUFFIX: &str = ".run";
const FLUSH_FILE: &str = "flush.tmp";
const MERGE_FILE: &str = "merge.tmp";

/// Says of a node number whether it is dead for good. It must answer from a *committed* state, and a number that was
/// once dead is never used again, because merges forget its postings.
pub type DeadNodes = Arc<dyn Fn(u32) -> bool + Send + Sync>;

/// Whether a look-up found all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Every posting of the key is in the list.
    All,
    /// The limit was reached; there are more.
    Some,
}

struct Flush {
    front: Arc<Front>,
    work: Work,
    end_node: u32,
}

struct Merge {
    inputs: Vec<Arc<Run>>,
    work: Work,
}

/// An open posting index. Look-ups take a shared reference and may run on many threads between two inserts.
pub(crate) struct PostingIndex {
    dir: PathBuf,
    front_postings_max: usize,
    /// By node range, ascending, without gaps.
    runs: Vec<Arc<Run>>,
    flush: Option<Flush>,
    merge: Option<Merge>,
    front: Front,
    /// Postings of the front that belong to committed batches.
    committed: usize,
    /// Nodes whose postings are in runs, in a front that is written, or in the front: all below this number.
    known_nodes: u32,
    dead: Option<DeadNodes>,
}

impl PostingIndex {
    /// Opens the index for a store that has committed `nodes` nodes.
    pub(crate) fn open(dir: &Path, front_postings_max: usize, nodes: u32) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        let runs = open_runs(dir, nodes)?;
        let known_nodes = runs.last().map_or(0, |run| run.end_node());
        Ok(Self {
            known_nodes,
            dir: dir.to_owned(),
            front_postings_max: front_postings_max.max(1),
            runs,
            flush: None,
            merge: None,
            front: Front::with_capacity(0),
            committed: 0,
            dead: None,
        })
    }

    /// Nodes whose postings are in runs: all below this number. Those of later nodes must be inserted again.
    pub(crate) fn covered_nodes(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.end_node())
    }

    /// Nodes whose postings a look-up finds, once they are committed: all below this number.
    pub(crate) const fn known_nodes(&self) -> u32 {
        self.known_nodes
    }

    pub(crate) fn set_dead_nodes(&mut self, dead: DeadNodes) {
        self.dead = Some(dead);
    }

    pub(crate) fn insert(&mut self, key: u64, node: u32) {
        self.front.insert(key, node);
    }

    /// Appends the nodes of a key to `nodes` until it holds `limit`, newest runs first, dead ones included.
    pub(crate) fn lookup(&self, key: u64, limit: usize, nodes: &mut Vec<u32>) -> Result<Found, Error> {
        let flushing = self.flush.iter().map(|flush| &*flush.front);
        for front in std::iter::once(&self.front).chain(flushing) {
            if !front.lookup(key, limit, nodes) {
                return Ok(Found::Some);
            }
        }
        for run in self.runs.iter().rev() {
            if !run.lookup(key, limit, nodes)? {
                return Ok(Found::Some);
            }
        }
        Ok(Found::All)
    }

    /// The open batch is given up.
    pub(crate) fn undo_changes(&mut self) {
        self.front.truncate(self.committed);
    }

    /// The open batch is committed and the store now has `nodes` nodes. Names the runs that are written, and begins
    /// to write a full front or to merge. Waits only when the front is full while the one before is still written.
    pub(crate) fn keep_changes(
        &mut self,
        nodes: u32,
        persist: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.committed = self.front.len();
        self.known_nodes = nodes;
        let is_full = self.front.len() >= self.front_postings_max;
        if self.flush.as_ref().is_some_and(|flush| is_full || flush.work.is_done()) {
            self.install_flush(persist)?;
        }
        if is_full {
            self.begin_flush(nodes)?;
        }
        if self.merge.as_ref().is_some_and(|merge| merge.work.is_done()) {
            self.install_merge(persist)?;
        }
        if self.merge.is_none() {
            self.begin_merge()?;
        }
        Ok(())
    }

    /// Writes everything to runs and ends all work; a merge that is not through is given up.
    pub(crate) fn flush_all(
        &mut self,
        nodes: u32,
        persist: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.merge = None;
        self.install_flush(persist)?;
        if self.covered_nodes() < nodes {
            self.begin_flush(nodes)?;
            self.install_flush(persist)?;
        }
        Ok(())
    }

    /// Rewrites every run without dead nodes.
    pub(crate) fn purge(
        &mut self,
        nodes: u32,
        dead: DeadNodes,
        persist: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.flush_all(nodes, persist)?;
        for at in 0..self.runs.len() {
            let run = Arc::clone(&self.runs[at]);
            let (first, end) = (run.first_node(), run.end_node());
            rewrite::begin_merge(vec![run], Some(Arc::clone(&dead)), self.dir.join(MERGE_FILE))?.join()?;
            self.runs[at] = self.name_run(MERGE_FILE, first, end, persist)?;
        }
        Ok(())
    }

    fn begin_flush(&mut self, nodes: u32) -> Result<(), Error> {
        let next = Front::with_capacity(self.front.len());
        let front = Arc::new(std::mem::replace(&mut self.front, next));
        self.committed = 0;
        let work = rewrite::begin_flush(Arc::clone(&front), self.covered_nodes(), nodes, self.dir.join(FLUSH_FILE))?;
        self.flush = Some(Flush { front, work, end_node: nodes });
        Ok(())
    }

    fn install_flush(&mut self, persist: &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> {
        let Some(flush) = self.flush.take() else { return Ok(()) };
        let first_node = self.covered_nodes();
        flush.work.join()?;
        let run = self.name_run(FLUSH_FILE, first_node, flush.end_node, persist)?;
        self.runs.push(run);
        Ok(())
    }

    fn begin_merge(&mut self) -> Result<(), Error> {
        let Some(inputs) = self.mergeable() else { return Ok(()) };
        let work = rewrite::begin_merge(inputs.clone(), self.dead.clone(), self.dir.join(MERGE_FILE))?;
        self.merge = Some(Merge { inputs, work });
        Ok(())
    }

    fn install_merge(&mut self, persist: &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> {
        let Some(Merge { inputs, work }) = self.merge.take() else { return Ok(()) };
        work.join()?;
        let (first, last) = (inputs.first().expect("at least two"), inputs.last().expect("at least two"));
        let merged = self.name_run(MERGE_FILE, first.first_node(), last.end_node(), persist)?;
        let at = self.runs.partition_point(|run| run.first_node() < first.first_node());
        self.runs.splice(at..at + inputs.len(), [merged]);
        for run in inputs {
            fs::remove_file(run.path()).map_err(|source| Error::io(run.path(), source))?;
        }
        Ok(())
    }

    /// Gives a finished file its name, after the store has put on disk what the run relies on.
    fn name_run(
        &self,
        written: &str,
        first_node: u32,
        end_node: u32,
        persist: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Arc<Run>, Error> {
        persist()?;
        let path = self.dir.join(format!("{first_node:010}-{end_node:010}{RUN_SUFFIX}"));
        fs::rename(self.dir.join(written), &path).map_err(|source| Error::io(&path, source))?;
        sync_directory(&self.dir)?;
        Ok(Arc::new(Run::open(&path)?))
    }

    /// The newest four neighbours of one tier.
    fn mergeable(&self) -> Option<Vec<Arc<Run>>> {
        let tier = |run: &Arc<Run>| (run.entries() as usize / self.front_postings_max).max(1).ilog(TIER_RUNS);
        let fits = |runs: &&[Arc<Run>]| {
            let total: u64 = runs.iter().map(|run| u64::from(run.entries())).sum();
            runs.iter().all(|run| tier(run) == tier(&runs[0])) && total <= RUN_POSTINGS_MAX
        };
        self.runs.windows(TIER_RUNS).rev().find(fits).map(<[_]>::to_vec)
    }
}

/// The runs that count, ascending and without gaps; files that do not count are removed.
/// Reads the runs of an index that nobody has open: how many blocks are sound, and what is wrong.
pub(crate) fn inspect(dir: &Path) -> Result<(u64, Vec<Error>), Error> {
    let (mut blocks, mut faults) = (0, Vec::new());
    for name in names(dir)?.into_iter().filter(|name| name.to_string_lossy().ends_with(RUN_SUFFIX)) {
        match Run::open(&dir.join(&name)).and_then(|run| run.check()) {
            Ok(sound) => blocks += sound,
            Err(fault) => faults.push(fault),
        }
    }
    Ok((blocks, faults))
}

fn open_runs(dir: &Path, nodes: u32) -> Result<Vec<Arc<Run>>, Error> {
    let mut found = Vec::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        if name.to_string_lossy().ends_with(RUN_SUFFIX) {
            found.push(Run::open(&path)?);
        } else {
            fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    found.sort_by_key(|run| (run.first_node(), std::cmp::Reverse(run.end_node())));
    let mut runs: Vec<Arc<Run>> = Vec::new();
    for run in found {
        let next = runs.last().map_or(0, |last| last.end_node());
        if run.first_node() == next && run.end_node() <= nodes {
            runs.push(Arc::new(run));
        } else {
            fs::remove_file(run.path()).map_err(|source| Error::io(run.path(), source))?;
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests;
