//! Step two: keys of born and dead nodes give and take edges.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Engine, Event};
use crate::component::{Component, ComponentNo, NodeNo};
use crate::diff::ConflictChange;
use crate::keys::{blocking_keys, personal_id_key};
use crate::state::LinkState;

/// Nodes that came to and left a key in this event.
#[derive(Default)]
struct KeyChange {
    born: Vec<NodeNo>,
    dead: Vec<NodeNo>,
    /// The key is that of a personal id.
    personal_id: bool,
}

/// A key's block before and after the event.
struct Block {
    /// Live nodes that were there before, dead ones included; empty when the key stays hot.
    before: Vec<NodeNo>,
    was_hot: bool,
    is_hot: bool,
}

/// What the blocks say about edges.
#[derive(Default)]
pub(super) struct EdgeWork {
    /// Pairs that now have an edge, `a < b` by number, with bits. Some may have had it before.
    pub(super) linked: Vec<(NodeNo, NodeNo, i32)>,
    /// Pairs whose edge is gone though both nodes live.
    pub(super) unlinked: BTreeSet<(NodeNo, NodeNo)>,
    /// Components that were read on the way.
    pub(super) read: BTreeMap<ComponentNo, Arc<Component>>,
}

/// What the pass over the keys collects.
#[derive(Default)]
struct Pass {
    pairs: BTreeSet<(NodeNo, NodeNo)>,
    /// Blocks that became hot: their edges need another key now.
    cooled_off: Vec<Vec<NodeNo>>,
    hot: BTreeMap<u64, bool>,
}

impl<S: LinkState> Engine<'_, S> {
    pub(super) fn reblock(&mut self, event: &mut Event) -> Result<EdgeWork, S::Error> {
        let changes = self.key_changes(event)?;
        let mut pass = Pass::default();
        for (key, change) in &changes {
            let block = self.block(*key, change)?;
            pass.hot.insert(*key, block.is_hot);
            self.candidates(&mut pass, change, &block);
            if change.personal_id {
                self.conflicts(event, change, &block)?;
            }
            for no in &change.born {
                self.state.add_posting(*key, *no)?;
            }
        }
        event.diff.conflicts.sort_unstable();
        let mut work = EdgeWork::default();
        for (a, b) in &pass.pairs {
            let (left, right) = (self.row(event, *a)?, self.row(event, *b)?);
            if let Some(bits) = self.model.edge_bits(&left, &right) {
                work.linked.push((*a, *b, bits));
            }
        }
        for block in &pass.cooled_off {
            self.recheck(event, block, &pass.hot, &mut work)?;
        }
        Ok(work)
    }

    fn key_changes(&mut self, event: &mut Event) -> Result<BTreeMap<u64, KeyChange>, S::Error> {
        let dead: Vec<NodeNo> = event.nodes.iter().filter(|(_, t)| t.is_dead()).map(|(no, _)| *no).collect();
        let mut changes: BTreeMap<u64, KeyChange> = BTreeMap::new();
        let mut keys = Vec::new();
        let born = event.born.clone();
        for (no, is_born) in born.iter().map(|no| (*no, true)).chain(dead.iter().map(|no| (*no, false))) {
            let row = self.row(event, no)?;
            keys.clear();
            blocking_keys(&row, &mut keys);
            let personal_id = personal_id_key(&row);
            for key in &keys {
                let change = changes.entry(*key).or_default();
                change.personal_id |= personal_id == Some(*key);
                if is_born { change.born.push(no) } else { change.dead.push(no) }
            }
        }
        Ok(changes)
    }

    /// Reads a key's block and keeps its count. A key is counted once it has as many postings as two hot blocks, so that
    /// neither hot keys nor dead postings are ever read whole again to know how many live.
    fn block(&mut self, key: u64, change: &KeyChange) -> Result<Block, S::Error> {
        let bound = self.model.key_nodes_max();
        let load = self.state.key_load(key)?;
        let after = |before: usize| before + change.born.len() - change.dead.len();
        if let Some(live) = load {
            let live = live as usize;
            self.state.put_key_load(key, after(live) as u32)?;
            if live > bound && after(live) > bound {
                return Ok(Block { before: Vec::new(), was_hot: true, is_hot: true });
            }
        }
        let limit = if load.is_some() { usize::MAX } else { 4 * bound + 8 };
        let (before, posted) = self.live_postings(key, limit)?;
        let count = after(before.len());
        if load.is_none() && posted + change.born.len() >= 2 * bound {
            self.state.put_key_load(key, count as u32)?;
        }
        Ok(Block { was_hot: before.len() > bound, is_hot: count > bound, before })
    }

    fn live_postings(&mut self, key: u64, limit: usize) -> Result<(Vec<NodeNo>, usize), S::Error> {
        let mut list = Vec::new();
        let complete = self.state.postings(key, limit, &mut list)?;
        debug_assert!(complete, "a key with many postings is counted");
        let posted = list.len();
        let mut live = Vec::with_capacity(posted);
        for no in list {
            if self.state.is_live(no)? {
                live.push(no);
            }
        }
        Ok((live, posted))
    }

    fn candidates(&mut self, pass: &mut Pass, change: &KeyChange, block: &Block) {
        let kept: Vec<NodeNo> = block.before.iter().copied().filter(|no| !change.dead.contains(no)).collect();
        match (block.was_hot, block.is_hot) {
            (true, true) => {}
            (false, true) => pass.cooled_off.push(kept),
            (false, false) => {
                for born in &change.born {
                    pass.pairs.extend(kept.iter().map(|other| ordered(*born, *other)));
                }
                all_pairs(&change.born, |a, b| pass.pairs.extend([(a, b)]));
            }
            (true, false) => {
                let now = [kept, change.born.clone()].concat();
                all_pairs(&now, |a, b| pass.pairs.extend([(a, b)]));
            }
        }
    }

    /// Edges inside a block that became hot stay only where another key of both is not hot.
    fn recheck(
        &mut self,
        event: &mut Event,
        block: &[NodeNo],
        hot: &BTreeMap<u64, bool>,
        work: &mut EdgeWork,
    ) -> Result<(), S::Error> {
        let mut components = BTreeSet::new();
        for no in block {
            let known = event.nodes.get(no).map(|touched| touched.meta.component);
            components.extend(match known {
                Some(component) => component,
                None => self.state.meta(*no)?.component,
            });
        }
        let block: BTreeSet<NodeNo> = block.iter().copied().collect();
        for no in components {
            let component = match work.read.entry(no) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.state.component(no)?),
            };
            let ends = component.edges.iter();
            let ends = ends.map(|e| (component.nodes[e.a as usize].no, component.nodes[e.b as usize].no));
            let inside: Vec<_> = ends.filter(|(a, b)| block.contains(a) && block.contains(b)).collect();
            for (a, b) in inside {
                if !self.share_a_key(event, a, b, hot)? {
                    work.unlinked.insert(ordered(a, b));
                }
            }
        }
        Ok(())
    }

    fn share_a_key(
        &mut self,
        event: &mut Event,
        a: NodeNo,
        b: NodeNo,
        hot: &BTreeMap<u64, bool>,
    ) -> Result<bool, S::Error> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        blocking_keys(&self.row(event, a)?, &mut left);
        blocking_keys(&self.row(event, b)?, &mut right);
        for key in left.iter().filter(|key| right.contains(key)) {
            let is_hot = match hot.get(key) {
                Some(is_hot) => *is_hot,
                None => self.is_hot(*key)?,
            };
            if !is_hot {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_hot(&mut self, key: u64) -> Result<bool, S::Error> {
        let bound = self.model.key_nodes_max();
        let live = match self.state.key_load(key)? {
            Some(live) => live as usize,
            None => self.live_postings(key, 4 * bound + 8)?.0.len(),
        };
        Ok(live > bound)
    }

    /// Conflicts exist between live nodes that share a personal id whose key is not hot.
    fn conflicts(&mut self, event: &mut Event, change: &KeyChange, block: &Block) -> Result<(), S::Error> {
        let kept = block.before.iter().copied().filter(|no| !change.dead.contains(no));
        let now: Vec<NodeNo> = kept.chain(change.born.iter().copied()).collect();
        let gone = |a, b| block.is_hot || change.dead.contains(&a) || change.dead.contains(&b);
        let arisen = |a, b| block.was_hot || change.born.contains(&a) || change.born.contains(&b);
        let mut pairs = Vec::new();
        if !block.was_hot {
            all_pairs(&block.before, |a, b| pairs.extend(gone(a, b).then_some((a, b, false))));
        }
        if !block.is_hot {
            all_pairs(&now, |a, b| pairs.extend(arisen(a, b).then_some((a, b, true))));
        }
        for (a, b, arose) in pairs {
            let (left, right) = (self.row(event, a)?, self.row(event, b)?);
            if self.model.conflict(&left, &right).is_some() {
                let (x, y) = (self.touch(event, a)?.meta.id, self.touch(event, b)?.meta.id);
                event.diff.conflicts.push(ConflictChange { a: x.min(y), b: x.max(y), arose });
            }
        }
        Ok(())
    }
}

fn ordered(a: NodeNo, b: NodeNo) -> (NodeNo, NodeNo) {
    (a.min(b), a.max(b))
}

fn all_pairs(nodes: &[NodeNo], mut each: impl FnMut(NodeNo, NodeNo)) {
    for (place, a) in nodes.iter().enumerate() {
        for b in &nodes[place + 1..] {
            let (a, b) = ordered(*a, *b);
            each(a, b);
        }
    }
}
