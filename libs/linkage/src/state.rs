//! What the engine keeps, and the surface that a store gives it.

use std::sync::Arc;

use record::{DecodeError, MentionId, Reader, Writer};

use crate::component::{Component, ComponentNo, Member, NodeId, NodeNo, below};
use crate::row::FeatureRow;

const FORMAT: u8 = 1;
/// Partners that a node keeps in its own row; more spill into rows of their own.
pub(crate) const PARTNERS_MAX: usize = 16;

/// A node's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMeta {
    /// Canonical id.
    pub id: NodeId,
    /// Its component; `None` for a node without edges.
    pub component: Option<ComponentNo>,
    /// Live members.
    pub members: u32,
    /// Its smallest member.
    pub anchor: Member,
    /// The subject that its mentions are: the anchor mention of its cluster.
    pub subject: MentionId,
    /// Nodes that share records with it and are other subjects there, with the number of such records; sorted by node. At
    /// most 16; more are counted by [`LinkState::put_partner`].
    pub partners: Vec<(NodeNo, u32)>,
    /// Partners that are counted elsewhere.
    pub spilled: u32,
}

impl NodeMeta {
    /// The only member, of a node that has but one.
    pub fn sole(&self) -> Option<MentionId> {
        (self.members == 1).then_some(self.anchor.mention)
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + self.partners.len() * 5);
        out.u8(FORMAT).raw(&self.id.0).varint(self.component.map_or(0, |c| u64::from(c.0) + 1));
        out.varint(u64::from(self.members)).u8(self.anchor.rank).raw(&self.anchor.mention.0);
        // Mostly the subject is the anchor itself.
        let own = self.subject == self.anchor.mention;
        out.u8(u8::from(!own));
        if !own {
            out.raw(&self.subject.0);
        }
        out.varint(u64::from(self.spilled)).varint(self.partners.len() as u64);
        for (node, records) in &self.partners {
            out.varint(u64::from(node.0)).varint(u64::from(*records));
        }
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are cut or of another format.
    pub fn decode(bytes: &[u8]) -> Result<NodeMeta, DecodeError> {
        let mut input = Reader::new(bytes);
        let meta = NodeMeta::read(&mut input)?;
        input.end("node")?;
        Ok(meta)
    }

    /// Reads the stored form where it is followed by something else.
    ///
    /// # Errors
    /// As [`NodeMeta::decode`].
    pub fn read(input: &mut Reader<'_>) -> Result<NodeMeta, DecodeError> {
        const WORD: u64 = 1 << 32;
        input.version("node", FORMAT)?;
        let id = NodeId(input.array()?);
        let component = input.varint()?.checked_sub(1).map(|c| ComponentNo(c as u32));
        let members = below(input, WORD, "members")?;
        let anchor = Member { rank: input.u8()?, mention: MentionId(input.array()?) };
        let subject = if input.u8()? == 0 { anchor.mention } else { MentionId(input.array()?) };
        let spilled = below(input, WORD, "spilled partners")?;
        let mut partners = Vec::new();
        for _ in 0..input.count(2)? {
            partners.push((NodeNo(below(input, WORD, "partner")?), below(input, WORD, "records")?));
        }
        Ok(NodeMeta { id, component, members, anchor, subject, partners, spilled })
    }
}

/// Where a mention is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its node.
    pub node: NodeNo,
    /// Rank of its register.
    pub rank: u8,
}

/// What the engine needs of a store. Every call sees the effect of the calls before it.
///
/// Nothing here needs to be ordered: the engine's results do not depend on the order in which postings, partners or numbers
/// come back.
pub trait LinkState {
    /// What can go wrong in the store.
    type Error;

    /// The live node with this id.
    fn find_node(&mut self, id: &NodeId) -> Result<Option<NodeNo>, Self::Error>;
    /// Makes a live node, under a number never used before.
    fn create_node(&mut self, id: &NodeId, row: &FeatureRow) -> Result<NodeNo, Self::Error>;
    /// Ends a node: it is found no more and is live no more. Its postings under `keys` may stay until they are compacted.
    fn retire_node(&mut self, no: NodeNo, id: &NodeId, keys: &[u64]) -> Result<(), Self::Error>;
    /// Whether the node lives.
    fn is_live(&mut self, no: NodeNo) -> Result<bool, Self::Error>;
    /// The row of a live node.
    fn row(&mut self, no: NodeNo) -> Result<FeatureRow, Self::Error>;
    /// The meta row of a live node.
    fn meta(&mut self, no: NodeNo) -> Result<NodeMeta, Self::Error>;
    /// Writes the meta row of a node.
    fn put_meta(&mut self, no: NodeNo, meta: &NodeMeta) -> Result<(), Self::Error>;

    /// Where a live mention is.
    fn placement(&mut self, mention: &MentionId) -> Result<Option<Placement>, Self::Error>;
    /// Writes or removes where a mention is.
    fn put_placement(&mut self, mention: &MentionId, placement: Option<Placement>) -> Result<(), Self::Error>;
    /// Adds a member to a node's ordered set. `before` is the node without it: as long as a node has one member alone, that
    /// is its anchor, and a store need not keep a set.
    fn add_member(&mut self, no: NodeNo, before: &NodeMeta, member: &Member) -> Result<(), Self::Error>;
    /// Removes a member.
    fn remove_member(&mut self, no: NodeNo, member: &Member) -> Result<(), Self::Error>;
    /// The smallest member; asked only of a node that had two or more at some time since it was born.
    fn first_member(&mut self, no: NodeNo) -> Result<Option<Member>, Self::Error>;

    /// Appends nodes posted under a key. All live ones when it returns true; when there are more than `limit` it may stop
    /// there and returns false. Dead nodes may be among them: a store that can drop them cheaply should.
    fn postings(&mut self, key: u64, limit: usize, out: &mut Vec<NodeNo>) -> Result<bool, Self::Error>;
    /// Posts a node under a key.
    fn add_posting(&mut self, key: u64, no: NodeNo) -> Result<(), Self::Error>;
    /// The number of live nodes of a key that is counted (few are: those with many postings).
    fn key_load(&mut self, key: u64) -> Result<Option<u32>, Self::Error>;
    /// Writes the number of live nodes of a key.
    fn put_key_load(&mut self, key: u64, live: u32) -> Result<(), Self::Error>;

    /// A component that was put before.
    fn component(&mut self, no: ComponentNo) -> Result<Arc<Component>, Self::Error>;
    /// Writes a component.
    fn put_component(&mut self, no: ComponentNo, component: Component) -> Result<(), Self::Error>;
    /// Removes a component.
    fn remove_component(&mut self, no: ComponentNo) -> Result<(), Self::Error>;
    /// A component number that is not in use.
    fn new_component(&mut self) -> Result<ComponentNo, Self::Error>;

    /// The spilled count of the ordered pair (`of`, `with`); 0 when there is none.
    fn partner(&mut self, of: NodeNo, with: NodeNo) -> Result<u32, Self::Error>;
    /// Writes the spilled count of the ordered pair; 0 removes it.
    fn put_partner(&mut self, of: NodeNo, with: NodeNo, records: u32) -> Result<(), Self::Error>;
    /// Appends all spilled partners of a node.
    fn partners(&mut self, of: NodeNo, out: &mut Vec<NodeNo>) -> Result<(), Self::Error>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn node_rows_round_trip(
            component in proptest::option::of(0u32..u32::MAX), members: u32, rank: u8, own: bool, spilled: u32,
            partners in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..16),
        ) {
            let anchor = Member { rank, mention: MentionId([3; 16]) };
            let meta = NodeMeta {
                id: NodeId([9; 16]),
                component: component.map(ComponentNo),
                members,
                anchor,
                subject: if own { anchor.mention } else { MentionId([4; 16]) },
                partners: partners.into_iter().map(|(n, r)| (NodeNo(n), r)).collect(),
                spilled,
            };
            prop_assert_eq!(NodeMeta::decode(&meta.encode()).expect("own bytes"), meta);
        }
    }
}
