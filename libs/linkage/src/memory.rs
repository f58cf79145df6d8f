//! A [`LinkState`] in memory: for files that fit, and for tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use record::MentionId;

use crate::component::{Component, ComponentNo, Member, NodeId, NodeNo};
use crate::row::FeatureRow;
use crate::state::{LinkState, NodeMeta, Placement};

struct Slot {
    row: FeatureRow,
    meta: Option<NodeMeta>,
    members: BTreeSet<Member>,
}

/// All of the link state in maps. Maps are only looked up, or are ordered: their own order reaches nothing.
#[derive(Default)]
pub struct MemoryState {
    nodes: Vec<Option<Slot>>,
    by_id: HashMap<NodeId, NodeNo>,
    placements: BTreeMap<MentionId, Placement>,
    postings: HashMap<u64, Vec<NodeNo>>,
    loads: HashMap<u64, u32>,
    components: BTreeMap<ComponentNo, Arc<Component>>,
    next_component: u32,
    partners: BTreeMap<(NodeNo, NodeNo), u32>,
}

impl MemoryState {
    /// An empty state.
    pub fn new() -> MemoryState {
        MemoryState::default()
    }

    /// Every live mention with the subject that it is, by mention.
    pub fn subjects(&self) -> impl Iterator<Item = (MentionId, MentionId)> + '_ {
        self.placements.iter().map(|(mention, placement)| (*mention, self.slot_meta(placement.node).subject))
    }

    /// Every component, by internal number.
    pub fn components(&self) -> impl Iterator<Item = &Component> + '_ {
        self.components.values().map(Arc::as_ref)
    }

    /// Drops postings of dead nodes, as a store does when it compacts.
    pub fn compact(&mut self) {
        let nodes = &self.nodes;
        self.postings.retain(|_, list| {
            list.retain(|no| nodes[no.0 as usize].is_some());
            !list.is_empty()
        });
    }

    fn slot(&self, no: NodeNo) -> &Slot {
        self.nodes[no.0 as usize].as_ref().expect("the engine asks for live nodes only")
    }

    fn slot_mut(&mut self, no: NodeNo) -> &mut Slot {
        self.nodes[no.0 as usize].as_mut().expect("the engine asks for live nodes only")
    }

    fn slot_meta(&self, no: NodeNo) -> &NodeMeta {
        self.slot(no).meta.as_ref().expect("the engine writes a node's meta in the call that makes it")
    }
}

impl LinkState for MemoryState {
    type Error = Infallible;

    fn find_node(&mut self, id: &NodeId) -> Result<Option<NodeNo>, Infallible> {
        Ok(self.by_id.get(id).copied())
    }

    fn create_node(&mut self, id: &NodeId, row: &FeatureRow) -> Result<NodeNo, Infallible> {
        let no = NodeNo(self.nodes.len() as u32);
        self.nodes.push(Some(Slot { row: *row, meta: None, members: BTreeSet::new() }));
        self.by_id.insert(*id, no);
        Ok(no)
    }

    fn retire_node(&mut self, no: NodeNo, id: &NodeId, _keys: &[u64]) -> Result<(), Infallible> {
        self.nodes[no.0 as usize] = None;
        self.by_id.remove(id);
        Ok(())
    }

    fn is_live(&mut self, no: NodeNo) -> Result<bool, Infallible> {
        Ok(self.nodes[no.0 as usize].is_some())
    }

    fn row(&mut self, no: NodeNo) -> Result<FeatureRow, Infallible> {
        Ok(self.slot(no).row)
    }

    fn meta(&mut self, no: NodeNo) -> Result<NodeMeta, Infallible> {
        Ok(self.slot_meta(no).clone())
    }

    fn put_meta(&mut self, no: NodeNo, meta: &NodeMeta) -> Result<(), Infallible> {
        self.slot_mut(no).meta = Some(meta.clone());
        Ok(())
    }

    fn placement(&mut self, mention: &MentionId) -> Result<Option<Placement>, Infallible> {
        Ok(self.placements.get(mention).copied())
    }

    fn put_placement(&mut self, mention: &MentionId, placement: Option<Placement>) -> Result<(), Infallible> {
        match placement {
            Some(placement) => self.placements.insert(*mention, placement),
            None => self.placements.remove(mention),
        };
        Ok(())
    }

    fn add_member(&mut self, no: NodeNo, _before: &NodeMeta, member: &Member) -> Result<(), Infallible> {
        self.slot_mut(no).members.insert(*member);
        Ok(())
    }

    fn remove_member(&mut self, no: NodeNo, member: &Member) -> Result<(), Infallible> {
        self.slot_mut(no).members.remove(member);
        Ok(())
    }

    fn first_member(&mut self, no: NodeNo) -> Result<Option<Member>, Infallible> {
        Ok(self.slot(no).members.first().copied())
    }

    fn postings(&mut self, key: u64, limit: usize, out: &mut Vec<NodeNo>) -> Result<bool, Infallible> {
        let list = self.postings.get(&key).map_or(&[][..], Vec::as_slice);
        out.extend(list.iter().take(limit));
        Ok(list.len() <= limit)
    }

    fn add_posting(&mut self, key: u64, no: NodeNo) -> Result<(), Infallible> {
        self.postings.entry(key).or_default().push(no);
        Ok(())
    }

    fn key_load(&mut self, key: u64) -> Result<Option<u32>, Infallible> {
        Ok(self.loads.get(&key).copied())
    }

    fn put_key_load(&mut self, key: u64, live: u32) -> Result<(), Infallible> {
        self.loads.insert(key, live);
        Ok(())
    }

    fn component(&mut self, no: ComponentNo) -> Result<Arc<Component>, Infallible> {
        Ok(Arc::clone(&self.components[&no]))
    }

    fn put_component(&mut self, no: ComponentNo, component: Component) -> Result<(), Infallible> {
        self.components.insert(no, Arc::new(component));
        Ok(())
    }

    fn remove_component(&mut self, no: ComponentNo) -> Result<(), Infallible> {
        self.components.remove(&no);
        Ok(())
    }

    fn new_component(&mut self) -> Result<ComponentNo, Infallible> {
        let no = ComponentNo(self.next_component);
        self.next_component += 1;
        Ok(no)
    }

    fn partner(&mut self, of: NodeNo, with: NodeNo) -> Result<u32, Infallible> {
        Ok(self.partners.get(&(of, with)).copied().unwrap_or(0))
    }

    fn put_partner(&mut self, of: NodeNo, with: NodeNo, records: u32) -> Result<(), Infallible> {
        match records {
            0 => self.partners.remove(&(of, with)),
            _ => self.partners.insert((of, with), records),
        };
        Ok(())
    }

    fn partners(&mut self, of: NodeNo, out: &mut Vec<NodeNo>) -> Result<(), Infallible> {
        out.extend(self.partners.range((of, NodeNo(0))..=(of, NodeNo(u32::MAX))).map(|((_, with), _)| *with));
        Ok(())
    }
}
