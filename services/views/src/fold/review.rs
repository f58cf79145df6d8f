//! The pairs that a reviewer should look at, in the order of urgency: contradictions, then unions that were refused, then links
//! that hold by little.

use linkage::{EdgeOutcome, EdgeState, LinkDiff, Model, NodeId};
use view_store::Table;

use super::{FoldError, Step};

/// Accepted edges of the tree are looked at when they hold by less than this, in 1/1024 bit.
const WEAK_BY: i32 = 2 * 1024;

/// Why a pair should be looked at. The numbers order the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ReviewClass {
    /// Both bear one personal id, and their names and dates of birth contradict each other.
    Conflict = 1,
    /// Strong enough to be one subject, and refused.
    Refused = 2,
    /// One subject, by little.
    Weak = 3,
}

/// A row of [`Table::Review`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReviewRow {
    pub(crate) class: ReviewClass,
    /// Smaller comes first within the class: the strongest of the refused, the weakest of the accepted.
    pub(crate) rank: u32,
    pub(crate) a: NodeId,
    pub(crate) b: NodeId,
}

/// Length of a key of [`Table::Review`].
pub(crate) const REVIEW_KEY_BYTES: usize = 37;

impl ReviewRow {
    fn of_edge(a: NodeId, b: NodeId, edge: EdgeState, threshold: i32) -> Option<Self> {
        let (class, rank) = match edge.outcome {
            EdgeOutcome::RefusedByIds(..) | EdgeOutcome::RefusedBySameRecord(..) | EdgeOutcome::RefusedByBound => {
                (ReviewClass::Refused, u32::MAX - u32::try_from(edge.bits).unwrap_or(0))
            }
            EdgeOutcome::Tree if edge.bits < threshold.saturating_add(WEAK_BY) => {
                (ReviewClass::Weak, u32::try_from(edge.bits.saturating_sub(threshold)).unwrap_or(0))
            }
            EdgeOutcome::Tree | EdgeOutcome::Inside | EdgeOutcome::RefusedByReviewer(..) => return None,
        };
        Some(Self { class, rank, a, b })
    }

    pub(crate) fn key(&self) -> [u8; REVIEW_KEY_BYTES] {
        let mut key = [self.class as u8; REVIEW_KEY_BYTES];
        key[1..5].copy_from_slice(&self.rank.to_be_bytes());
        key[5..21].copy_from_slice(&self.a.0);
        key[21..].copy_from_slice(&self.b.0);
        key
    }

    pub(crate) fn decode(key: &[u8]) -> Result<Self, FoldError> {
        let key: &[u8; REVIEW_KEY_BYTES] = key.try_into().map_err(|_| FoldError::Row("review"))?;
        let class = [ReviewClass::Conflict, ReviewClass::Refused, ReviewClass::Weak];
        let class = class.into_iter().find(|class| *class as u8 == key[0]).ok_or(FoldError::Row("review"))?;
        let node = |from: usize| NodeId(key[from..from + 16].try_into().expect("16 bytes"));
        let rank = u32::from_be_bytes(key[1..5].try_into().expect("4 bytes"));
        Ok(Self { class, rank, a: node(5), b: node(21) })
    }
}

impl Step<'_, '_> {
    /// Takes pairs into the queue and out of it.
    pub(super) fn queue_reviews(&mut self, diff: &LinkDiff, model: &Model) {
        for edge in &diff.edges {
            let row = |state: Option<EdgeState>| ReviewRow::of_edge(edge.a, edge.b, state?, model.threshold());
            let (old, new) = (row(edge.old), row(edge.new));
            if old != new {
                self.move_review(old, new);
            }
        }
        for conflict in &diff.conflicts {
            let row = Some(ReviewRow { class: ReviewClass::Conflict, rank: 0, a: conflict.a, b: conflict.b });
            if conflict.arose { self.move_review(None, row) } else { self.move_review(row, None) }
        }
    }

    fn move_review(&mut self, old: Option<ReviewRow>, new: Option<ReviewRow>) {
        if let Some(row) = old {
            self.txn.delete(Table::Review, &row.key());
        }
        if let Some(row) = new {
            self.txn.put(Table::Review, &row.key(), &[]);
        }
    }
}
