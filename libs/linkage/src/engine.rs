//! The incremental engine: keeps clusters up to date, one record at a time.
//!
//! An event goes through three steps: members move between nodes, so that nodes are born and die ([`moves`]); the keys of
//! born and dead nodes give and take edges ([`blocks`]); the touched components are clustered again and compared with what
//! they were ([`pool`]).

mod blocks;
mod moves;
mod pool;

use std::collections::BTreeMap;

use hashbrown::HashMap;

use record::MentionId;

pub(crate) use moves::node_ids;

use crate::component::{NodeDecision, NodeId, NodeNo};
use crate::diff::{LinkDiff, MentionChange, Standing};
use crate::model::Model;
use crate::row::FeatureRow;
use crate::state::{LinkState, NodeMeta};

/// A mention to insert.
#[derive(Clone, Copy, Debug)]
pub struct MentionInput {
    /// Its permanent id.
    pub id: MentionId,
    /// Rank of its register in the kind's order; the smallest names a subject.
    pub rank: u8,
    /// Its features.
    pub row: FeatureRow,
    /// True when a reviewer's decision names it: it then has a node of its own.
    pub pinned: bool,
}

/// All mentions of a record's version.
#[derive(Clone, Copy, Debug)]
pub struct RecordMentions<'a> {
    /// The mentions, each id once.
    pub mentions: &'a [MentionInput],
    /// Pairs of places in `mentions` that are not one subject.
    pub distinct: &'a [(usize, usize)],
}

/// A record's version that is in the state and goes.
#[derive(Clone, Copy, Debug)]
pub struct OldRecord<'a> {
    /// The mentions that it was inserted with.
    pub mentions: &'a [MentionId],
    /// The pairs that it was inserted with.
    pub distinct: &'a [(usize, usize)],
}

/// A reviewer's decision about two mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision {
    /// Place in the control order; smaller decides first.
    pub order: u64,
    /// True for must-link, false for cannot-link.
    pub must: bool,
    /// One mention.
    pub a: MentionId,
    /// The other.
    pub b: MentionId,
}

/// The decisions that concern an event. A decision has effect as long as both of its mentions are there, each pinned, hence
/// in a node of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reviewed<'a> {
    /// All decisions in force that name a mention of the record, as it was or as it comes.
    pub standing: &'a [Decision],
    /// Those that were in force until this event.
    pub undone: &'a [Decision],
}

/// Keeps the clusters of a [`LinkState`] equal to what [`crate::batch`] makes of the same live mentions.
pub struct Engine<'a, S> {
    model: &'a Model,
    state: &'a mut S,
}

/// A node that the event reads or changes.
struct Touched {
    meta: NodeMeta,
    /// The meta row as it was; `None` for a node that is born.
    old: Option<NodeMeta>,
}

impl Touched {
    fn is_dead(&self) -> bool {
        self.meta.members == 0
    }
}

/// What one event has done so far.
#[derive(Default)]
struct Event {
    nodes: BTreeMap<NodeNo, Touched>,
    rows: HashMap<NodeNo, FeatureRow>,
    born: Vec<NodeNo>,
    /// Pairs that share a record as different subjects since this event, or no more.
    parted: Vec<(NodeNo, NodeNo)>,
    reconciled: Vec<(NodeNo, NodeNo)>,
    /// Decisions that this event brings.
    brought: Vec<NodeDecision>,
    /// Decisions that it takes back, some to bring them again.
    lifted: Vec<NodeDecision>,
    diff: LinkDiff,
}

impl<'a, S: LinkState> Engine<'a, S> {
    /// An engine over a state that was only ever changed by engines with the same model.
    pub fn new(model: &'a Model, state: &'a mut S) -> Engine<'a, S> {
        Engine { model, state }
    }

    /// Inserts a record that is not in the state.
    ///
    /// # Errors
    /// Those of the store. The state is then between two events and is not to be committed.
    pub fn insert(&mut self, record: &RecordMentions<'_>) -> Result<LinkDiff, S::Error> {
        self.apply(None, Some(record))
    }

    /// Removes a record.
    ///
    /// # Errors
    /// As [`Engine::insert`].
    pub fn remove(&mut self, record: &OldRecord<'_>) -> Result<LinkDiff, S::Error> {
        self.apply(Some(record), None)
    }

    /// Replaces a record's version by another in one step; either may be absent. A mention stands in one record alone, so
    /// that `old` names every mention of the record that is in the state.
    ///
    /// # Errors
    /// As [`Engine::insert`].
    pub fn apply(
        &mut self,
        old: Option<&OldRecord<'_>>,
        new: Option<&RecordMentions<'_>>,
    ) -> Result<LinkDiff, S::Error> {
        self.review(old, new, &Reviewed::default())
    }

    /// [`Engine::apply`], with the reviewers' decisions that concern it.
    ///
    /// # Errors
    /// As [`Engine::insert`].
    pub fn review(
        &mut self,
        old: Option<&OldRecord<'_>>,
        new: Option<&RecordMentions<'_>>,
        reviewed: &Reviewed<'_>,
    ) -> Result<LinkDiff, S::Error> {
        let mut event = Event::default();
        for decision in reviewed.standing.iter().chain(reviewed.undone) {
            let resolved = self.resolve(&mut event, decision)?;
            event.lifted.extend(resolved);
        }
        self.move_members(&mut event, old, new)?;
        for decision in reviewed.standing {
            let resolved = self.resolve(&mut event, decision)?;
            event.brought.extend(resolved);
        }
        self.finish(event)
    }

    /// A decision between the nodes of its mentions, which the event touches; `None` unless both have a node of their own
    /// and are of one kind.
    fn resolve(&mut self, event: &mut Event, decision: &Decision) -> Result<Option<NodeDecision>, S::Error> {
        let mut ends = Vec::with_capacity(2);
        for mention in [&decision.a, &decision.b] {
            let Some(placement) = self.state.placement(mention)? else { return Ok(None) };
            let row = self.row(event, placement.node)?;
            let id = self.touch(event, placement.node)?.meta.id;
            if id != NodeId::single(&row, mention) {
                return Ok(None);
            }
            ends.push((id, row.kind()));
        }
        let ((a, kind), (b, other)) = (ends[0], ends[1]);
        let apart = a != b && kind == other;
        Ok(apart.then_some(NodeDecision { order: decision.order, must: decision.must, a, b }))
    }

    fn finish(&mut self, mut event: Event) -> Result<LinkDiff, S::Error> {
        let edges = self.reblock(&mut event)?;
        self.recluster(&mut event, edges)?;
        self.write(&mut event)?;
        Ok(event.diff)
    }

    /// Loads a node's meta row once per event.
    fn touch<'e>(&mut self, event: &'e mut Event, no: NodeNo) -> Result<&'e mut Touched, S::Error> {
        match event.nodes.entry(no) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let meta = self.state.meta(no)?;
                Ok(entry.insert(Touched { old: Some(meta.clone()), meta }))
            }
        }
    }

    fn row(&mut self, event: &mut Event, no: NodeNo) -> Result<FeatureRow, S::Error> {
        if let Some(row) = event.rows.get(&no) {
            return Ok(*row);
        }
        let row = self.state.row(no)?;
        event.rows.insert(no, row);
        Ok(row)
    }

    fn write(&mut self, event: &mut Event) -> Result<(), S::Error> {
        for change in &mut event.diff.mentions {
            if let Some(standing) = &mut change.new
                && let Some(touched) = event.nodes.get(&standing.no)
            {
                standing.subject = touched.meta.subject;
            }
        }
        event.diff.mentions.sort_unstable_by_key(|change| change.mention);
        let mut keys = Vec::new();
        for (no, touched) in &event.nodes {
            if touched.is_dead() {
                keys.clear();
                crate::keys::blocking_keys(&event.rows[no], &mut keys);
                self.state.retire_node(*no, &touched.meta.id, &keys)?;
            } else if touched.old.as_ref() != Some(&touched.meta) {
                self.state.put_meta(*no, &touched.meta)?;
            }
        }
        Ok(())
    }
}

impl Event {
    fn mention(&mut self, mention: MentionId, old: Option<Standing>, new: Option<Standing>) {
        self.diff.mentions.push(MentionChange { mention, old, new });
    }
}
