//! Linkage's state on the view store.
//!
//! Node numbers and component numbers are dense and by arrival; they never reach a digest or an id.

use std::collections::HashMap;

use linkage::{Component, ComponentNo, FeatureRow, LinkState, Member, NodeId, NodeMeta, NodeNo, Placement, ROW_BYTES};
use record::{MentionId, Pseudonym};
use view_store::{DenseTable, Found, KeyRange, Table, Txn};

use super::FoldError;

const NODE_STATE_BYTES: usize = 16;
const LIVE: u8 = 1;
const NEXT_COMPONENT: &[u8] = b"next component";

/// Decoded rows of the open batch, so that a row which is touched often is decoded once. Dropped with the batch.
#[derive(Default)]
pub(super) struct LinkCache {
    metas: HashMap<NodeNo, NodeMeta>,
    rows: HashMap<NodeNo, FeatureRow>,
    live: HashMap<NodeNo, bool>,
    next_component: Option<u32>,
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
        Ok(no)
    }

    fn retire_node(&mut self, no: NodeNo, id: &NodeId, _keys: &[u64]) -> Result<(), FoldError> {
        self.put_live(no, false)?;
        self.txn.delete(Table::NodeById, &id.0);
        self.txn.delete(Table::NodeMeta, &node_key(no));
        self.cache.metas.remove(&no);
        Ok(())
    }

    fn is_live(&mut self, no: NodeNo) -> Result<bool, FoldError> {
        if let Some(live) = self.cache.live.get(&no) {
            return Ok(*live);
        }
        let mut state = [0; NODE_STATE_BYTES];
        self.txn.dense_get(DenseTable::NodeState, no.0, &mut state)?;
        let live = state[0] == LIVE;
        self.cache.live.insert(no, live);
        Ok(live)
    }

    fn row(&mut self, no: NodeNo) -> Result<FeatureRow, FoldError> {
        if let Some(row) = self.cache.rows.get(&no) {
            return Ok(*row);
        }
        let mut row = [0; ROW_BYTES];
        self.txn.dense_get(DenseTable::NodeFeature, no.0, &mut row)?;
        self.cache.rows.insert(no, FeatureRow(row));
        Ok(FeatureRow(row))
    }

    fn meta(&mut self, no: NodeNo) -> Result<NodeMeta, FoldError> {
        if let Some(meta) = self.cache.metas.get(&no) {
            return Ok(meta.clone());
        }
        let bytes = self.txn.get(Table::NodeMeta, &node_key(no))?.ok_or(FoldError::Row("node"))?;
        let meta = NodeMeta::decode(&bytes)?;
        self.cache.metas.insert(no, meta.clone());
        Ok(meta)
    }

    fn put_meta(&mut self, no: NodeNo, meta: &NodeMeta) -> Result<(), FoldError> {
        self.txn.put(Table::NodeMeta, &node_key(no), &meta.encode());
        self.cache.metas.insert(no, meta.clone());
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

    fn add_member(&mut self, no: NodeNo, member: &Member) -> Result<(), FoldError> {
        self.txn.put(Table::NodeMember, &member_key(no, member), &self.record.0);
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
        let found = self.txn.get(Table::KeyLoad, &key.to_be_bytes())?;
        found.map(|v| u32_of(&v, "key load")).transpose()
    }

    fn put_key_load(&mut self, key: u64, live: u32) -> Result<(), FoldError> {
        self.txn.put(Table::KeyLoad, &key.to_be_bytes(), &live.to_be_bytes());
        Ok(())
    }

    fn component(&mut self, no: ComponentNo) -> Result<Component, FoldError> {
        let bytes = self.txn.get(Table::Component, &no.0.to_be_bytes())?.ok_or(FoldError::Row("component"))?;
        Ok(Component::decode(&bytes)?)
    }

    fn put_component(&mut self, no: ComponentNo, component: &Component) -> Result<(), FoldError> {
        self.txn.put(Table::Component, &no.0.to_be_bytes(), &component.encode());
        Ok(())
    }

    fn remove_component(&mut self, no: ComponentNo) -> Result<(), FoldError> {
        self.txn.delete(Table::Component, &no.0.to_be_bytes());
        Ok(())
    }

    fn new_component(&mut self) -> Result<ComponentNo, FoldError> {
        let no = match self.cache.next_component {
            Some(no) => no,
            None => match self.txn.get(Table::Control, NEXT_COMPONENT)? {
                Some(v) => u32_of(&v, "next component")?,
                None => 0,
            },
        };
        let next = no.checked_add(1).ok_or(FoldError::Full("components"))?;
        self.cache.next_component = Some(next);
        self.txn.put(Table::Control, NEXT_COMPONENT, &next.to_be_bytes());
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
