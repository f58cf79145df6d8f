//! Comparing the whole log with its ledger.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use event_log::{EventLog, ReadError, StreamSet};
use ledger::tick::tree_name;
use ledger::tile::TILE_WIDTH;
use ledger::{Hash, Head, Tile, TiledTree, TreeOf};
use proof::{Cause, LogState, PartitionAudit, Problem, Verdict};
use record::{Partition, Stream};
use tile_store::{Signed, TileStore};

use crate::ahead::read_ahead;
use crate::ledger_part::{LedgerHandle, tile_of};

/// Why log and ledger cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The checkpoint, its tick or its heads do not belong together.
    #[error("the ledger's checkpoint does not hold: {0}")]
    Checkpoint(#[from] Problem),
    /// The super-log's tiles cannot be read.
    #[error("the super-log's tiles give no proof")]
    Tiles(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] ReadError),
}

/// What was found.
#[derive(Debug, Clone)]
pub struct LedgerReport {
    /// The checkpoint that the log was read against.
    pub note: String,
    /// Covered entries that are as they were.
    pub proven: u64,
    /// Entries beyond the checkpoint.
    pub uncovered: u64,
    /// Covered entries that retention has let go of.
    pub expired: u64,
    /// What is not as it was.
    pub differences: Vec<Difference>,
    /// How long it took.
    pub elapsed: Duration,
}

impl LedgerReport {
    /// Whether everything that the checkpoint covers is as it was.
    pub fn equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// A partition that is not as its head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The stream.
    pub stream: Stream,
    /// The partition.
    pub partition: Partition,
    /// How it differs.
    pub kind: DifferenceKind,
    /// The first entry that differs, when that is known.
    pub first: Option<u64>,
    /// What was done, when that can be seen.
    pub cause: Option<Cause>,
}

/// How a partition differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The log ends before what the checkpoint covers.
    Truncated,
    /// Covered entries are not what they were.
    Tampered,
    /// The log is as it was, and the ledger's files are not.
    TilesDamaged,
}

impl Difference {
    /// The word for its kind that answers use.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            DifferenceKind::Truncated => "truncated",
            DifferenceKind::Tampered => "tampered",
            DifferenceKind::TilesDamaged => "tiles_damaged",
        }
    }

    /// The word for its cause; empty when it is not known.
    pub fn cause(&self) -> &'static str {
        match self.cause {
            Some(Cause::Displaced { .. }) => "displaced",
            Some(Cause::Body) => "body",
            Some(Cause::Rewritten) => "rewritten",
            Some(Cause::Unreadable) => "unreadable",
            None => "",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", tree_name(self.stream, self.partition), self.kind().replace('_', " "))?;
        if let Some(first) = self.first {
            write!(f, " from entry {first} on")?;
        }
        match self.cause() {
            "" => Ok(()),
            cause => write!(f, " ({cause})"),
        }
    }
}

/// Reads the log against a checkpoint that this hub signed. `progress` is told the entries read and to be read, and says whether to go
/// on; `None` when it said no.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_ledger(
    log: &EventLog,
    ledger: &LedgerHandle,
    signed: &Signed,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> Result<Option<LedgerReport>, VerifyError> {
    let begun = Instant::now();
    let state = open(ledger, signed)?;
    let (first, ends) = (log.first(), log.ends());
    let mut audits: BTreeMap<(Stream, Partition), PartitionAudit<_>> = BTreeMap::new();
    let mut expired = 0;
    for head in &state.heads {
        let (mut past, mut leaves) = (Leaves::new(ledger, head), Leaves::new(ledger, head));
        let mut audit = PartitionAudit::new(*head, move |index| leaves.get(index));
        let gone = first.get(head.stream, head.partition).0.min(head.size);
        (0..gone).map_while(|index| past.get(index)).for_each(|leaf| audit.push_expired(leaf));
        expired += gone;
        audits.insert((head.stream, head.partition), audit);
    }
    let total = ends.total().saturating_sub(first.total());
    let reader = log.reader(&first, StreamSet::ALL)?;
    let (mut read, mut stopped) = (0, false);
    read_ahead::<VerifyError>(reader, |batch| {
        for entry in batch.iter().filter(|entry| ends.covers(entry.position)) {
            read += 1;
            if let Some(audit) = audits.get_mut(&(entry.position.stream, entry.position.partition)) {
                audit.push(&entry.bytes);
            }
        }
        stopped = !progress(read, total);
        Ok(!stopped && read < total)
    })?;
    if stopped {
        return Ok(None);
    }
    let mut report = LedgerReport {
        note: signed.note.clone(),
        proven: 0,
        uncovered: 0,
        expired,
        differences: Vec::new(),
        elapsed: Duration::ZERO,
    };
    for ((stream, partition), audit) in audits {
        report.count(stream, partition, audit.finish());
    }
    report.proven = report.proven.saturating_sub(expired);
    report.elapsed = begun.elapsed();
    Ok(Some(report))
}

fn open(ledger: &LedgerHandle, signed: &Signed) -> Result<LogState, VerifyError> {
    let size = signed.state.size;
    let mut tile = tile_of(&ledger.dir);
    let mut tree = TiledTree::new(size, |at| tile(TreeOf::Log, at));
    let last = size.saturating_sub(1);
    let path = tree.inclusion(last, size).map_err(|error| VerifyError::Tiles(Box::new(error)))?;
    let tick = signed.state.tick.map(|tick| tick.to_text()).unwrap_or_default();
    Ok(LogState::open(&ledger.own_policy(), &signed.note, &tick, &path, signed.state.heads.heads())?)
}

impl LedgerReport {
    fn count(&mut self, stream: Stream, partition: Partition, verdict: Verdict) {
        let mut differs = |kind, first, cause| {
            self.differences.push(Difference { stream, partition, kind, first, cause });
        };
        match verdict {
            Verdict::Proven { covered, uncovered, damaged_tile } => {
                self.proven += covered;
                self.uncovered += uncovered;
                if damaged_tile.is_some() {
                    differs(DifferenceKind::TilesDamaged, damaged_tile, None);
                }
            }
            Verdict::Truncated { found, .. } => differs(DifferenceKind::Truncated, Some(found), None),
            Verdict::Tampered { first, cause } => differs(DifferenceKind::Tampered, first, cause),
        }
    }
}

/// The leaf hashes of a partition as its tiles have them: one tile is held.
struct Leaves {
    dir: PathBuf,
    tree: TreeOf,
    size: u64,
    held: Option<(u64, Vec<Hash>)>,
}

impl Leaves {
    fn new(ledger: &LedgerHandle, head: &Head) -> Self {
        let tree = TreeOf::Partition(head.stream, head.partition);
        Self { dir: ledger.dir.to_path_buf(), tree, size: head.size, held: None }
    }

    fn get(&mut self, index: u64) -> Option<Hash> {
        let width = u64::from(TILE_WIDTH);
        let number = index / width;
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            let tile = Tile::in_tree(0, number, self.size)?;
            // A tile that cannot be read tells nothing: the root still does.
            let bytes = TileStore::tile(&self.dir, self.tree, tile).ok()?;
            self.held = Some((number, tile.hashes(&bytes).ok()?));
        }
        self.held.as_ref()?.1.get((index % width) as usize).copied()
    }
}
