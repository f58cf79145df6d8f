//! What an event changed. Lists are sorted by canonical ids, so that a diff does not tell how the store counts.

use record::MentionId;

use crate::component::{Component, NodeId, NodeNo, Refusal, Verdict};

/// A mention's place before or after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its node.
    pub node: NodeId,
    /// The node's internal number.
    pub no: NodeNo,
    /// Its subject.
    pub subject: MentionId,
}

/// One of the record's own mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MentionChange {
    /// The mention.
    pub mention: MentionId,
    /// Where it was; `None` when it is new.
    pub old: Option<Standing>,
    /// Where it is; `None` when it is gone.
    pub new: Option<Standing>,
}

/// A node whose subject changed: all of its members changed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// Canonical id.
    pub id: NodeId,
    /// Internal number.
    pub no: NodeNo,
    /// The subject before; `None` when the node is new.
    pub old: Option<MentionId>,
    /// The subject after; `None` when the node is gone.
    pub new: Option<MentionId>,
    /// The node's only member, when it has but one.
    pub sole: Option<MentionId>,
}

/// What an edge is, in canonical ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeState {
    /// Match weight, 1/1024 bit.
    pub bits: i32,
    /// What became of it.
    pub outcome: EdgeOutcome,
}

/// What became of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeOutcome {
    /// Accepted, in the spanning tree.
    Tree,
    /// Accepted: its ends were together already.
    Inside,
    /// A reviewer keeps these nodes apart.
    RefusedByReviewer(NodeId, NodeId),
    /// These nodes bear valid ids more than one edit apart.
    RefusedByIds(NodeId, NodeId),
    /// These nodes hold mentions of one record that are not one subject.
    RefusedBySameRecord(NodeId, NodeId),
    /// The component was over its bound.
    RefusedByBound,
}

impl EdgeOutcome {
    /// True for an edge that the clustering took.
    pub fn is_accepted(self) -> bool {
        matches!(self, EdgeOutcome::Tree | EdgeOutcome::Inside)
    }
}

/// An edge with its ends, `a < b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Smaller end.
    pub a: NodeId,
    /// Larger end.
    pub b: NodeId,
    /// Weight and outcome.
    pub state: EdgeState,
}

impl Component {
    /// The component's edges in canonical ids, sorted by ends.
    pub fn canonical_edges(&self) -> impl Iterator<Item = Edge> + '_ {
        let id = |place: u32| self.nodes[place as usize].id;
        self.edges.iter().map(move |edge| {
            let outcome = match edge.verdict {
                Verdict::Tree => EdgeOutcome::Tree,
                Verdict::Inside => EdgeOutcome::Inside,
                Verdict::Refused(Refusal::Reviewer(a, b)) => EdgeOutcome::RefusedByReviewer(id(a), id(b)),
                Verdict::Refused(Refusal::Ids(a, b)) => EdgeOutcome::RefusedByIds(id(a), id(b)),
                Verdict::Refused(Refusal::SameRecord(a, b)) => EdgeOutcome::RefusedBySameRecord(id(a), id(b)),
                Verdict::Refused(Refusal::ComponentBound) => EdgeOutcome::RefusedByBound,
            };
            Edge { a: id(edge.a), b: id(edge.b), state: EdgeState { bits: edge.bits, outcome } }
        })
    }
}

/// An edge that came, went, or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeChange {
    /// Smaller end.
    pub a: NodeId,
    /// Larger end.
    pub b: NodeId,
    /// Before.
    pub old: Option<EdgeState>,
    /// After.
    pub new: Option<EdgeState>,
}

/// A cluster: a subject and its nodes, sorted by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// The subject: the anchor mention.
    pub subject: MentionId,
    /// Its nodes.
    pub nodes: Vec<NodeNo>,
}

/// Two live nodes that bear one personal id with another name and another date of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConflictChange {
    /// Smaller node.
    pub a: NodeId,
    /// Larger node.
    pub b: NodeId,
    /// True when the conflict arose, false when it went.
    pub arose: bool,
}

/// A reviewer's decision that took effect, lost it, or became void. `None` where it names a node that is not live, or is
/// lifted; else whether it is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionChange {
    /// Place of the decision in the control order.
    pub order: u64,
    /// Before.
    pub old: Option<bool>,
    /// After.
    pub new: Option<bool>,
}

/// Everything that an event changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LinkDiff {
    /// The record's own mentions, old and new, by mention; those that stayed where they were are listed too.
    pub mentions: Vec<MentionChange>,
    /// Nodes whose subject changed, new and gone ones included.
    pub nodes: Vec<NodeChange>,
    /// Edges.
    pub edges: Vec<EdgeChange>,
    /// Clusters that are no more as they were.
    pub before: Vec<ClusterState>,
    /// Clusters as they are now, where they differ.
    pub after: Vec<ClusterState>,
    /// Conflicts of personal ids.
    pub conflicts: Vec<ConflictChange>,
    /// Reviewers' decisions whose effect changed, in control order.
    pub decisions: Vec<DecisionChange>,
}
