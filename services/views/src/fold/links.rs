//! Linkage's state on the view store.
//!
//! Node numbers and component numbers are dense and by arrival; they never reach a digest or an id.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use linkage::{Component, ComponentNo, FeatureRow, LinkState, Member, NodeId, NodeMeta, NodeNo, Placement, ROW_BYTES};
use record::{MentionId, Pseudonym, Reader};
use view_store::{DenseTable, Found, KeyRange, Table, Txn, View};

use super::FoldError;
use super::decide::load_pinned;
use super::kept::Kept;
use super::tally::Tally;

pub(super) const NODE_STATE_BYTES: usize = 16;
const LIVE: u8 = 1;

/// Whether a row of the dense file says that its node is live.
pub(super) fn is_live(state: &[u8; NODE_STATE_BYTES]) -> bool {
    state[0] == LIVE
}

const NEXT_COMPONENT: &[u8] = b"next component";

/// A generation of kept rows: with the one before it, about 60 MB of nodes, 50 MB of features and 60 MB of components.
const GENERATION_MAX: usize = 1 << 17;

/// A node's row: what linkage keeps of it, and what of it is counted.
pub(super) struct NodeRow {
    meta: NodeMeta,
    pub(super) tally: Tally,
    /// The node has died in this batch.
    dead: bool,
    /// The row is to be written.
    dirty: bool,
}

impl NodeRow {
    /// What stands for a node until linkage writes its first row, in the same event.
    fn unborn(id: &NodeId) -> Self {
        let (mention, partners) = (MentionId([0; 16]), Vec::new());
        let anchor = Member { rank: u8::MAX, mention };
        let meta = NodeMeta { id: *id, component: None, members: 0, anchor, subject: mention, partners, spilled: 0 };
        Self { meta, tally: Tally::default(), dead: false, dirty: false }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.meta.encode();
        self.tally.append(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, FoldError> {
        let mut reader = Reader::new(bytes);
        let meta = NodeMeta::read(&mut reader)?;
        let tally = Tally::read(&mut reader)?;
        reader.end("node")?;
        Ok(Self { meta, tally, dead: false, dirty: false })
    }
}

/// What linkage keeps of a node, as queries read it.
pub fn decode_node(bytes: &[u8]) -> Result<NodeMeta, FoldError> {
    Ok(NodeRow::decode(bytes)?.meta)
}

/// What of a node counts for or against its records' registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Most mentions of one record type and role that a subject should have but one of.
    pub(crate) once_max: u32,
    /// The register of its subject's anchor, and whether the node agrees with it; `None` where nothing was compared.
    pub(crate) compared: Option<(&'static str, bool)>,
}

/// What linkage keeps of a node, and what of it is counted.
pub(crate) fn decode_counted(bytes: &[u8]) -> Result<(NodeMeta, Counted), FoldError> {
    let NodeRow { meta, tally, .. } = NodeRow::decode(bytes)?;
    let once_max = tally.once.iter().map(|(_, mentions)| *mentions).max().unwrap_or_default();
    Ok((meta, Counted { once_max, compared: tally.compared.map(|c| (c.register(), c.matched)) }))
}

/// A component, or that it was removed in this batch.
struct ComponentRow {
    component: Option<Arc<Component>>,
    dirty: bool,
}

/// Rows that the links read and change again and again, decoded, and the numbers that they count by. What a batch changes
/// is written at its end, once.
pub(super) struct LinkCache {
    nodes: Kept<NodeNo, NodeRow>,
    dirty_nodes: Vec<NodeNo>,
    components: Kept<ComponentNo, ComponentRow>,
    dirty_components: Vec<ComponentNo>,
    rows: Kept<NodeNo, FeatureRow>,
    live: Kept<NodeNo, bool>,
    /// Live nodes of every key that is counted. Only keys with many nodes are, and they are few.
    loads: HashMap<u64, u32>,
    /// Mentions that a decision in force names: each has a node of its own.
    pub(super) pinned: HashSet<MentionId>,
    next_component: u32,
}

impl LinkCache {
    /// Reads what is kept in memory as a whole.
    pub(super) fn load(view: &View) -> Result<Self, FoldError> {
        let mut loads = HashMap::new();
        for (key, value) in view.range(Table::KeyLoad, KeyRange::All, usize::MAX)? {
            let key: [u8; 8] = key.as_ref().try_into().map_err(|_| FoldError::Row("key load"))?;
            loads.insert(u64::from_be_bytes(key), u32_of(&value, "key load")?);
        }
        let next = view.get(Table::Control, NEXT_COMPONENT)?;
        let next_component = next.map_or(Ok(0), |v| u32_of(&v, "next component"))?;
        Ok(Self {
            nodes: Kept::new(GENERATION_MAX),
            dirty_nodes: Vec::new(),
            components: Kept::new(GENERATION_MAX),
            dirty_components: Vec::new(),
            rows: Kept::new(2 * GENERATION_MAX),
            live: Kept::new(8 * GENERATION_MAX),
            loads,
            pinned: load_pinned(view)?,
            next_component,
        })
    }

    /// Writes what the batch has changed.
    pub(super) fn finish(&mut self, txn: &mut Txn<'_>) {
        txn.put(Table::Control, NEXT_COMPONENT, &self.next_component.to_be_bytes());
        for no in std::mem::take(&mut self.dirty_nodes) {
            let row = self.nodes.get_mut(no).expect("what a batch has changed is kept to its end");
            if row.dead {
                txn.delete(Table::NodeMeta, &node_key(no));
                self.nodes.remove(no);
            } else {
                row.dirty = false;
                txn.put(Table::NodeMeta, &node_key(no), &row.encode());
            }
        }
        for no in std::mem::take(&mut self.dirty_components) {
            let row = self.components.get_mut(no).expect("what a batch has changed is kept to its end");
            row.dirty = false;
            match &row.component {
                Some(component) => txn.put(Table::Component, &no.0.to_be_bytes(), &component.encode()),
                None => {
                    txn.delete(Table::Component, &no.0.to_be_bytes());
                    self.components.remove(no);
                }
            }
        }
        self.nodes.age();
        self.components.age();
        self.rows.age();
        self.live.age();
    }

    fn change_component(&mut self, no: ComponentNo, component: Option<Arc<Component>>) {
        let known = self.components.get_mut(no).is_some_and(|row| row.dirty);
        if !known {
            self.dirty_components.push(no);
        }
        self.components.insert(no, ComponentRow { component, dirty: true });
    }
}

/// What linkage sees of the store while one record is folded.
pub(super) struct StoreLinks<'a, 't> {
    pub(super) txn: &'a mut Txn<'t>,
    pub(super) cache: &'a mut LinkCache,
    /// The record whose mentions are being placed.
    pub(super) record: Pseudonym,
}

fn node_key(no: NodeNo) -> [u8; 4] {
    no.0.to_be_bytes()
}

fn member_key(no: NodeNo, member: &Member) -> [u8; 21] {
    let mut key = [0; 21];
    key[..4].copy_from_slice(&node_key(no));
    key[4] = member.rank;
    key[5..].copy_from_slice(&member.mention.0);
    key
}

fn pair_key(of: NodeNo, with: NodeNo) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&node_key(of));
    key[4..].copy_from_slice(&node_key(with));
    key
}

/// Where a mention is, and whose record it stands in: the value of [`Table::Mention`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MentionRow {
    pub(crate) placement: Placement,
    pub(crate) record: Pseudonym,
}

impl MentionRow {
    fn encode(&self) -> [u8; 21] {
        let mut out = [0; 21];
        out[..4].copy_from_slice(&node_key(self.placement.node));
        out[4] = self.placement.rank;
        out[5..].copy_from_slice(&self.record.0);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FoldError> {
        let bytes: &[u8; 21] = bytes.try_into().map_err(|_| FoldError::Row("mention"))?;
        let (node, rest) = bytes.split_first_chunk::<4>().expect("21 bytes hold 4");
        let record = Pseudonym(rest[1..].try_into().expect("16 bytes remain"));
        Ok(Self { placement: Placement { node: NodeNo(u32::from_be_bytes(*node)), rank: rest[0] }, record })
    }
}

/// The members of a node in the order of anchors, with their records.
pub(crate) fn decode_member(key: &[u8], value: &[u8]) -> Result<(Member, Pseudonym), FoldError> {
    let key: &[u8; 21] = key.try_into().map_err(|_| FoldError::Row("node member"))?;
    let mention = MentionId(key[5..].try_into().expect("16 bytes remain"));
    let record = Pseudonym(value.try_into().map_err(|_| FoldError::Row("node member"))?);
    Ok((Member { rank: key[4], mention }, record))
}

fn u32_of(bytes: &[u8], row: &'static str) -> Result<u32, FoldError> {
    Ok(u32::from_be_bytes(bytes.try_into().map_err(|_| FoldError::Row(row))?))
}

impl StoreLinks<'_, '_> {
    fn node(&mut self, no: NodeNo) -> Result<&mut NodeRow, FoldError> {
        let txn = &*self.txn;
        self.cache.nodes.get_or_load(no, || {
            let bytes = txn.get(Table::NodeMeta, &node_key(no))?.ok_or(FoldError::Row("node"))?;
            NodeRow::decode(&bytes)
        })
    }

    /// The meta row of a live node, as the cache holds it.
    pub(super) fn meta_row(&mut self, no: NodeNo) -> Result<&NodeMeta, FoldError> {
        self.node(no).map(|row| &row.meta)
    }

    /// What of a node is counted; also of one that died in this batch.
    pub(super) fn tally(&mut self, no: NodeNo) -> Result<&Tally, FoldError> {
        self.node(no).map(|row| &row.tally)
    }

    /// Sets what of a node is counted.
    pub(super) fn put_tally(&mut self, no: NodeNo, tally: Tally) -> Result<(), FoldError> {
        let row = self.node(no)?;
        row.tally = tally;
        if !std::mem::replace(&mut row.dirty, true) {
            self.cache.dirty_nodes.push(no);
        }
        Ok(())
    }

    fn put_member(&mut self, no: NodeNo, member: &Member, record: Pseudonym) {
        self.txn.put(Table::NodeMember, &member_key(no, member), &record.0);
    }

    fn put_live(&mut self, no: NodeNo, live: bool) -> Result<(), FoldError> {
        let mut state = [0; NODE_STATE_BYTES];
        state[0] = if live { LIVE } else { 0 };
        self.txn.dense_put(DenseTable::NodeState, no.0, &state)?;
        self.cache.live.insert(no, live);
        Ok(())
    }
}

impl LinkState for StoreLinks<'_, '_> {
    type Error = FoldError;

    fn find_node(&mut self, id: &NodeId) -> Result<Option<NodeNo>, FoldError> {
        let found = self.txn.get(Table::NodeById, &id.0)?;
        found.map(|v| u32_of(&v, "node by id").map(NodeNo)).transpose()
    }

    fn create_node(&mut self, id: &NodeId, row: &FeatureRow) -> Result<NodeNo, FoldError> {
        let no = NodeNo(self.txn.dense_append(DenseTable::NodeFeature, &row.0)?);
        self.put_live(no, true)?;
        self.txn.put(Table::NodeById, &id.0, &node_key(no));
        self.cache.rows.insert(no, *row);
        self.cache.nodes.insert(no, NodeRow::unborn(id));
        Ok(no)
    }

    fn retire_node(&mut self, no: NodeNo, id: &NodeId, _keys: &[u64]) -> Result<(), FoldError> {
        self.put_live(no, false)?;
        self.txn.delete(Table::NodeById, &id.0);
        let row = self.node(no)?;
        row.dead = true;
        if !std::mem::replace(&mut row.dirty, true) {
            self.cache.dirty_nodes.push(no);
        }
        Ok(())
    }

    fn is_live(&mut self, no: NodeNo) -> Result<bool, FoldError> {
        let txn = &*self.txn;
        let live = self.cache.live.get_or_load(no, || {
            let mut state = [0; NODE_STATE_BYTES];
            txn.dense_get(DenseTable::NodeState, no.0, &mut state)?;
            Ok::<_, FoldError>(is_live(&state))
        })?;
        Ok(*live)
    }

    fn row(&mut self, no: NodeNo) -> Result<FeatureRow, FoldError> {
        let txn = &*self.txn;
        let row = self.cache.rows.get_or_load(no, || {
            let mut row = [0; ROW_BYTES];
            txn.dense_get(DenseTable::NodeFeature, no.0, &mut row)?;
            Ok::<_, FoldError>(FeatureRow(row))
        })?;
        Ok(*row)
    }

    fn meta(&mut self, no: NodeNo) -> Result<NodeMeta, FoldError> {
        self.meta_row(no).cloned()
    }

    fn put_meta(&mut self, no: NodeNo, meta: &NodeMeta) -> Result<(), FoldError> {
        let row = self.node(no)?;
        row.meta.clone_from(meta);
        if !std::mem::replace(&mut row.dirty, true) {
            self.cache.dirty_nodes.push(no);
        }
        Ok(())
    }

    fn placement(&mut self, mention: &MentionId) -> Result<Option<Placement>, FoldError> {
        let found = self.txn.get(Table::Mention, &mention.0)?;
        found.map(|v| MentionRow::decode(&v).map(|m| m.placement)).transpose()
    }

    fn put_placement(&mut self, mention: &MentionId, placement: Option<Placement>) -> Result<(), FoldError> {
        match placement {
            None => self.txn.delete(Table::Mention, &mention.0),
            Some(placement) => {
                let row = MentionRow { placement, record: self.record };
                self.txn.put(Table::Mention, &mention.0, &row.encode());
            }
        }
        Ok(())
    }

    fn add_member(&mut self, no: NodeNo, before: &NodeMeta, member: &Member) -> Result<(), FoldError> {
        if before.members == 0 {
            return Ok(());
        }
        if before.members == 1 {
            let row = self.txn.get(Table::Mention, &before.anchor.mention.0)?.ok_or(FoldError::Row("mention"))?;
            self.put_member(no, &before.anchor, MentionRow::decode(&row)?.record);
        }
        self.put_member(no, member, self.record);
        Ok(())
    }

    fn remove_member(&mut self, no: NodeNo, member: &Member) -> Result<(), FoldError> {
        self.txn.delete(Table::NodeMember, &member_key(no, member));
        Ok(())
    }

    fn first_member(&mut self, no: NodeNo) -> Result<Option<Member>, FoldError> {
        let rows = self.txn.range(Table::NodeMember, KeyRange::Prefix(&node_key(no)), 1)?;
        rows.first().map(|(key, value)| decode_member(key, value).map(|(m, _)| m)).transpose()
    }

    fn postings(&mut self, key: u64, limit: usize, out: &mut Vec<NodeNo>) -> Result<bool, FoldError> {
        let mut nodes = Vec::new();
        let found = self.txn.lookup(key, limit, &mut nodes)?;
        out.extend(nodes.into_iter().map(NodeNo));
        Ok(matches!(found, Found::All))
    }

    fn add_posting(&mut self, key: u64, no: NodeNo) -> Result<(), FoldError> {
        self.txn.insert_posting(key, no.0);
        Ok(())
    }

    fn key_load(&mut self, key: u64) -> Result<Option<u32>, FoldError> {
        Ok(self.cache.loads.get(&key).copied())
    }

    fn put_key_load(&mut self, key: u64, live: u32) -> Result<(), FoldError> {
        self.txn.put(Table::KeyLoad, &key.to_be_bytes(), &live.to_be_bytes());
        self.cache.loads.insert(key, live);
        Ok(())
    }

    fn component(&mut self, no: ComponentNo) -> Result<Arc<Component>, FoldError> {
        let txn = &*self.txn;
        let row = self.cache.components.get_or_load(no, || {
            let bytes = txn.get(Table::Component, &no.0.to_be_bytes())?.ok_or(FoldError::Row("component"))?;
            Ok::<_, FoldError>(ComponentRow { component: Some(Arc::new(Component::decode(&bytes)?)), dirty: false })
        })?;
        row.component.clone().ok_or(FoldError::Row("component"))
    }

    fn put_component(&mut self, no: ComponentNo, component: Component) -> Result<(), FoldError> {
        self.cache.change_component(no, Some(Arc::new(component)));
        Ok(())
    }

    fn remove_component(&mut self, no: ComponentNo) -> Result<(), FoldError> {
        self.cache.change_component(no, None);
        Ok(())
    }

    fn new_component(&mut self) -> Result<ComponentNo, FoldError> {
        let no = self.cache.next_component;
        self.cache.next_component = no.checked_add(1).ok_or(FoldError::Full("components"))?;
        Ok(ComponentNo(no))
    }

    fn partner(&mut self, of: NodeNo, with: NodeNo) -> Result<u32, FoldError> {
        let found = self.txn.get(Table::Partner, &pair_key(of, with))?;
        found.map_or(Ok(0), |v| u32_of(&v, "partner"))
    }

    fn put_partner(&mut self, of: NodeNo, with: NodeNo, records: u32) -> Result<(), FoldError> {
        if records == 0 {
            self.txn.delete(Table::Partner, &pair_key(of, with));
        } else {
            self.txn.put(Table::Partner, &pair_key(of, with), &records.to_be_bytes());
        }
        Ok(())
    }

    fn partners(&mut self, of: NodeNo, out: &mut Vec<NodeNo>) -> Result<(), FoldError> {
        for (key, _) in self.txn.range(Table::Partner, KeyRange::Prefix(&node_key(of)), usize::MAX)? {
            let with = key.get(4..).ok_or(FoldError::Row("partner"))?;
            out.push(NodeNo(u32_of(with, "partner")?));
        }
        Ok(())
    }
}
