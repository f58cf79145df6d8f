//! The auditor: reads the entries of a log against a checkpoint, and says what is as it was.
//!
//! What a checkpoint covers was durable before it was signed. A crash can tear off only what was never acknowledged, and the
//! log reports that as a torn tail when it is opened; so entries that a checkpoint covers and the log does not have were
//! taken away. What lies beyond the checkpoint is reported as uncovered: nothing is proven about it.

use ledger::tree::Frontier;
use ledger::{Checkpoint, Hash, Head, Heads, Policy, Tick, leaf_hash, verify_consistency, verify_inclusion};
use record::{Entry, EntryHash};

use crate::report::Problem;

/// The state of a log as its checkpoint fixes it: the super-log's last leaf and every partition's head.
#[derive(Debug, Clone)]
pub struct LogState {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The tick.
    pub tick: Tick,
    /// The heads in the order of slots.
    pub heads: Vec<Head>,
}

impl LogState {
    /// Checks that the heads are those of the tick, and the tick the last leaf under the checkpoint.
    ///
    /// # Errors
    /// [`Problem::Untrusted`], [`Problem::Proof`], [`Problem::Tick`], [`Problem::NoSlot`].
    pub fn open(policy: &Policy, note: &str, tick: &str, path: &[Hash], heads: &[Head]) -> Result<Self, Problem> {
        let checkpoint = policy.verify(note)?.checkpoint;
        let last = checkpoint.size.checked_sub(1).ok_or_else(|| Problem::Missing("tick".into()))?;
        verify_inclusion(leaf_hash(tick.as_bytes()), last, checkpoint.size, &checkpoint.root, path)?;
        let tick = Tick::parse(tick)?;
        let mut left = heads.iter();
        let told = Heads::collect(&checkpoint.origin, tick.shape, |stream, partition| {
            let head = left.next().filter(|h| (h.stream, h.partition) == (stream, partition));
            head.map(|h| (h.size, h.root)).ok_or(Problem::NoSlot)
        })?;
        if left.next().is_some() || told.tick(tick.at) != tick {
            return Err(Problem::Proof(ledger::ProofError::Inclusion));
        }
        Ok(Self { checkpoint, tick, heads: heads.to_vec() })
    }
}

/// Checks that a checkpoint continues one that was known before.
///
/// # Errors
/// [`Problem::OtherLog`], [`Problem::Older`], [`Problem::Forked`].
pub fn continues(known: &Checkpoint, found: &Checkpoint, proof: &[Hash]) -> Result<(), Problem> {
    if known.origin != found.origin {
        return Err(Problem::OtherLog);
    }
    if found.size < known.size {
        return Err(Problem::Older { known: known.size, found: found.size });
    }
    let proven = verify_consistency((known.size, &known.root), (found.size, &found.root), proof);
    proven.map_err(|_| Problem::Forked { size: known.size })
}

/// What became of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every covered entry is as it was.
    Proven {
        /// Entries under the checkpoint.
        covered: u64,
        /// Entries beyond it: nothing is proven about these.
        uncovered: u64,
        /// The first leaf that the ledger's own files have otherwise: they are damaged, the log is not.
        damaged_tile: Option<u64>,
    },
    /// The log ends before what the checkpoint covers.
    Truncated {
        /// Entries under the checkpoint.
        covered: u64,
        /// Entries that are there.
        found: u64,
    },
    /// The covered entries are not what they were.
    Tampered {
        /// The first that differs, when the ledger's files tell.
        first: Option<u64>,
        /// How, when that can be seen.
        cause: Option<Cause>,
    },
}

/// How an entry differs from the one that the ledger has in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It stood at another place: entries were taken away or change places.
    Displaced {
        /// The place where the ledger has it.
        from: u64,
    },
    /// Its stored body is not the one that its header names.
    Body,
    /// Its header, or header and body, were written anew.
    Rewritten,
    /// It is no entry.
    Unreadable,
}

/// How far ahead a displaced entry is looked for.
const LOOK_AHEAD: u64 = 256;

/// Reads one partition's entries in order. `leaf` gives the ledger's own leaf hashes, to say where a difference
/// begins; `None` when they are not at hand.
#[derive(Debug)]
pub struct PartitionAudit<L> {
    head: Head,
    leaf: L,
    frontier: Frontier,
    found: u64,
    first: Option<(u64, Cause)>,
}

impl<L: FnMut(u64) -> Option<Hash>> PartitionAudit<L> {
    /// An audit against a head that was proven.
    pub fn new(head: Head, leaf: L) -> Self {
        Self { head, leaf, frontier: Frontier::default(), found: 0, first: None }
    }

    /// Whether nothing was taken yet.
    pub fn is_empty(&self) -> bool {
        self.found == 0
    }

    /// Takes the next entry, from index 0 on.
    pub fn push(&mut self, entry: &[u8]) {
        let index = self.found;
        self.found += 1;
        if index >= self.head.size {
            return;
        }
        let leaf = leaf_hash(&EntryHash::of(entry).0);
        self.frontier.push(leaf);
        if self.first.is_none() && (self.leaf)(index).is_some_and(|expected| expected != leaf) {
            self.first = Some((index, self.cause(index, leaf, entry)));
        }
    }

    /// Takes the next entry's leaf from the ledger, when the log has let go of the entry by its retention. That the leaf is the
    /// right one shows in the root.
    pub fn push_expired(&mut self, leaf: Hash) {
        let index = self.found;
        self.found += 1;
        if index < self.head.size {
            self.frontier.push(leaf);
        }
    }

    fn cause(&mut self, index: u64, leaf: Hash, entry: &[u8]) -> Cause {
        let end = self.head.size.min(index + LOOK_AHEAD);
        if let Some(from) = (index + 1..end).find(|at| (self.leaf)(*at) == Some(leaf)) {
            return Cause::Displaced { from };
        }
        match Entry::decode(entry) {
            Ok(decoded) if decoded.verify_body(entry) => Cause::Rewritten,
            Ok(_) => Cause::Body,
            // What the bytes are instead does not matter.
            Err(_) => Cause::Unreadable,
        }
    }

    /// The verdict, when all entries were taken.
    pub fn finish(self) -> Verdict {
        let (covered, found) = (self.head.size, self.found);
        let (first, cause) = self.first.unzip();
        match () {
            () if found < covered && first.is_none() => Verdict::Truncated { covered, found },
            () if found >= covered && self.frontier.root() == self.head.root => {
                Verdict::Proven { covered, uncovered: found - covered, damaged_tile: first }
            }
            () => Verdict::Tampered { first, cause },
        }
    }
}
