//! A component: nodes that edges connect, with everything that its clustering needs. The store keeps one as one value.

use record::{DecodeError, MentionId, Reader, Writer};

use crate::row::{FLAG_ID_SUSPECT, FeatureRow, Kind, ROW_BYTES};
use crate::score::digit_edits;

const FORMAT: u8 = 2;

/// Dense number of a node, by arrival. Internal: it never reaches an id, a digest or a tie-break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeNo(pub u32);

/// Dense number of a stored component. Internal, as [`NodeNo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentNo(pub u32);

/// Canonical id of a node: a hash of its feature row, or of its only mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// The node of all mentions with this row; `rank` tells apart mentions of one record that share it (mostly 0).
    pub fn shared(row: &FeatureRow, rank: u32) -> NodeId {
        let mut input = [0; ROW_BYTES + 4];
        input[..ROW_BYTES].copy_from_slice(&row.0);
        input[ROW_BYTES..].copy_from_slice(&rank.to_be_bytes());
        NodeId::hash(&input)
    }

    /// The node of one mention alone. The row takes part: a mention whose features change is another node.
    pub fn single(row: &FeatureRow, mention: &MentionId) -> NodeId {
        let mut input = [0; ROW_BYTES + 16];
        input[..ROW_BYTES].copy_from_slice(&row.0);
        input[ROW_BYTES..].copy_from_slice(&mention.0);
        NodeId::hash(&input)
    }

    fn hash(input: &[u8]) -> NodeId {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(input).as_bytes()[..16]);
        NodeId(id)
    }
}

/// A mention's place in the order that decides the anchor: its register's rank, then its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Rank of the register in the kind's order; the smallest names the subject.
    pub rank: u8,
    /// The mention.
    pub mention: MentionId,
}

/// What forbids two nodes to share a cluster by themselves: a valid personal id, or a parcel id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VetoId(u64);

impl VetoId {
    const PARCEL: u64 = 1 << 63;

    /// The veto that a row carries. A personal id that contradicts its own row's year or sex vetoes nothing.
    pub fn of(row: &FeatureRow) -> VetoId {
        match row.kind() {
            Some(Kind::Person) if row.flags() & FLAG_ID_SUSPECT == 0 => {
                VetoId(row.personal_id().map_or(0, |id| id + 1))
            }
            Some(Kind::Parcel) => VetoId(row.parcel_id().map_or(0, |id| VetoId::PARCEL | geohash_bits(id))),
            _ => VetoId(0),
        }
    }

    pub(crate) fn is_some(self) -> bool {
        self.0 != 0
    }

    /// True when the two may not be in one cluster: personal ids more than one edit apart, parcel ids that differ.
    pub fn forbids(self, other: VetoId) -> bool {
        if self.0 == other.0 || self.0 == 0 || other.0 == 0 {
            return false;
        }
        if (self.0 | other.0) & VetoId::PARCEL != 0 {
            return true;
        }
        digit_edits(self.0 - 1, other.0 - 1, 12) > 1
    }
}

/// Twelve characters of five bits each.
fn geohash_bits(id: &[u8]) -> u64 {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    id.iter().fold(0, |bits, c| (bits << 5) | ALPHABET.iter().position(|a| a == c).map_or(0, |place| place as u64))
}

/// A node within its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompNode {
    /// Internal number.
    pub no: NodeNo,
    /// Canonical id; nodes are sorted by it.
    pub id: NodeId,
    /// What it may not share a cluster with.
    pub veto: VetoId,
    /// Its smallest member.
    pub anchor: Member,
}

/// What the clustering did with an edge. Indexes are places in the component's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted, and part of the spanning tree that says why the cluster is together.
    Tree,
    /// Its ends were together already.
    Inside,
    /// It would have joined two clusters that may not be one.
    Refused(Refusal),
}

/// Why an edge was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A reviewer's decision keeps these two nodes apart.
    Reviewer(u32, u32),
    /// These two nodes bear valid ids more than one edit apart.
    Ids(u32, u32),
    /// These two nodes hold mentions of one record that are not one subject.
    SameRecord(u32, u32),
    /// The component was over its bound and raised its threshold above the edge.
    ComponentBound,
}

/// An edge within its component. `a < b`, indexes of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompEdge {
    /// Smaller end.
    pub a: u32,
    /// Larger end.
    pub b: u32,
    /// Match weight, 1/1024 bit.
    pub bits: i32,
    /// What became of it.
    pub verdict: Verdict,
}

/// A reviewer's decision between the nodes of its two mentions, each of which has a node of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeDecision {
    /// Place in the control order; smaller decides first.
    pub order: u64,
    /// True for must-link, false for cannot-link.
    pub must: bool,
    /// One node.
    pub a: NodeId,
    /// The other.
    pub b: NodeId,
}

/// A component and its clustering.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Component {
    /// Nodes, sorted by id.
    pub nodes: Vec<CompNode>,
    /// Edges, sorted by ends.
    pub edges: Vec<CompEdge>,
    /// Pairs of nodes that hold mentions of one record which are not one subject; sorted, `a < b`.
    pub cannots: Vec<(u32, u32)>,
    /// Reviewers' decisions that touch a node, in control order.
    pub decisions: Vec<NodeDecision>,
    /// Orders of those decisions that are without effect, since an earlier one contradicts them; sorted.
    pub void: Vec<u64>,
    /// By node: the node that holds its cluster's anchor.
    pub clusters: Vec<u32>,
}

impl Component {
    /// The subject of a node: the anchor mention of its cluster.
    ///
    /// # Panics
    /// When `node` is not a place in the nodes.
    pub fn subject(&self, node: usize) -> MentionId {
        self.nodes[self.clusters[node] as usize].anchor.mention
    }

    /// The place of a node in the component.
    pub fn place(&self, no: NodeNo) -> Option<usize> {
        self.nodes.iter().position(|node| node.no == no)
    }

    /// The nodes of the cluster that `node` is in.
    pub fn cluster_of(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let label = self.clusters[node];
        (0..self.nodes.len()).filter(move |other| self.clusters[*other] == label)
    }

    /// Whether a decision of the component is without effect.
    pub fn is_void(&self, decision: &NodeDecision) -> bool {
        self.void.binary_search(&decision.order).is_ok()
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(16 + self.nodes.len() * 48 + self.edges.len() * 6);
        out.u8(FORMAT).varint(self.nodes.len() as u64);
        for (node, cluster) in self.nodes.iter().zip(&self.clusters) {
            out.varint(u64::from(node.no.0)).raw(&node.id.0).varint(node.veto.0.rotate_left(1));
            out.u8(node.anchor.rank).raw(&node.anchor.mention.0).varint(u64::from(*cluster));
        }
        out.varint(self.edges.len() as u64);
        for edge in &self.edges {
            out.varint(u64::from(edge.a)).varint(u64::from(edge.b)).varint(zigzag(edge.bits));
            encode_verdict(&mut out, edge.verdict);
        }
        out.varint(self.cannots.len() as u64);
        for (a, b) in &self.cannots {
            out.varint(u64::from(*a)).varint(u64::from(*b));
        }
        out.varint(self.decisions.len() as u64);
        for decision in &self.decisions {
            let flags = u8::from(decision.must) | u8::from(self.is_void(decision)) << 1;
            out.varint(decision.order).u8(flags).raw(&decision.a.0).raw(&decision.b.0);
        }
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are cut, of another format, or name nodes that are not there.
    pub fn decode(bytes: &[u8]) -> Result<Component, DecodeError> {
        let mut input = Reader::new(bytes);
        input.version("component", FORMAT)?;
        let count = input.count(36)?;
        let nodes_max = count as u64;
        let mut out = Component::default();
        for _ in 0..count {
            out.nodes.push(CompNode {
                no: NodeNo(below(&mut input, u64::from(u32::MAX) + 1, "node number")?),
                id: NodeId(input.array()?),
                veto: VetoId(input.varint()?.rotate_right(1)),
                anchor: Member { rank: input.u8()?, mention: MentionId(input.array()?) },
            });
            out.clusters.push(below(&mut input, nodes_max, "cluster")?);
        }
        for _ in 0..input.count(4)? {
            let (a, b) = (below(&mut input, nodes_max, "edge")?, below(&mut input, nodes_max, "edge")?);
            let bits = unzigzag(below(&mut input, u64::from(u32::MAX) + 1, "bits")?);
            let verdict = decode_verdict(&mut input, nodes_max)?;
            out.edges.push(CompEdge { a, b, bits, verdict });
        }
        for _ in 0..input.count(2)? {
            out.cannots.push((below(&mut input, nodes_max, "pair")?, below(&mut input, nodes_max, "pair")?));
        }
        for _ in 0..input.count(34)? {
            let (order, flags) = (input.varint()?, below(&mut input, 4, "decision")?);
            let (must, void) = (flags & 1 == 1, flags & 2 == 2);
            out.decisions.push(NodeDecision { order, must, a: NodeId(input.array()?), b: NodeId(input.array()?) });
            out.void.extend(void.then_some(order));
        }
        input.end("component")?;
        Ok(out)
    }
}

fn encode_verdict(out: &mut Writer, verdict: Verdict) {
    let (tag, pair) = match verdict {
        Verdict::Tree => (0, None),
        Verdict::Inside => (1, None),
        Verdict::Refused(Refusal::Reviewer(a, b)) => (2, Some((a, b))),
        Verdict::Refused(Refusal::Ids(a, b)) => (3, Some((a, b))),
        Verdict::Refused(Refusal::SameRecord(a, b)) => (4, Some((a, b))),
        Verdict::Refused(Refusal::ComponentBound) => (5, None),
    };
    out.u8(tag);
    if let Some((a, b)) = pair {
        out.varint(u64::from(a)).varint(u64::from(b));
    }
}

fn decode_verdict(input: &mut Reader<'_>, nodes: u64) -> Result<Verdict, DecodeError> {
    let at = input.at();
    let tag = input.u8()?;
    let mut node = || below(input, nodes, "verdict");
    Ok(match tag {
        0 => Verdict::Tree,
        1 => Verdict::Inside,
        2 => Verdict::Refused(Refusal::Reviewer(node()?, node()?)),
        3 => Verdict::Refused(Refusal::Ids(node()?, node()?)),
        4 => Verdict::Refused(Refusal::SameRecord(node()?, node()?)),
        5 => Verdict::Refused(Refusal::ComponentBound),
        _ => return Err(DecodeError::Invalid { at, what: "verdict" }),
    })
}

pub(crate) fn below(input: &mut Reader<'_>, bound: u64, what: &'static str) -> Result<u32, DecodeError> {
    let at = input.at();
    let value = input.varint()?;
    if value < bound { Ok(value as u32) } else { Err(DecodeError::Invalid { at, what }) }
}

fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

fn unzigzag(value: u32) -> i32 {
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(n: u8) -> CompNode {
        CompNode {
            no: NodeNo(u32::from(n)),
            id: NodeId([n; 16]),
            veto: VetoId(u64::from(n) * 1_000_000),
            anchor: Member { rank: n % 3, mention: MentionId([n; 16]) },
        }
    }

    fn sample() -> Component {
        let refused = |refusal| Verdict::Refused(refusal);
        let edge = |a, b, bits, verdict| CompEdge { a, b, bits, verdict };
        Component {
            nodes: vec![node(1), node(2), node(3)],
            edges: vec![
                edge(0, 1, 20_000, Verdict::Tree),
                edge(0, 2, 5_000, refused(Refusal::Ids(1, 2))),
                edge(1, 2, 4_096, refused(Refusal::ComponentBound)),
            ],
            cannots: vec![(0, 2)],
            decisions: vec![NodeDecision { order: 7, must: true, a: NodeId([1; 16]), b: NodeId([2; 16]) }],
            void: vec![7],
            clusters: vec![0, 0, 2],
        }
    }

    #[test]
    fn stored_form_is_frozen() {
        let bytes = sample().encode();
        assert_eq!(blake3::hash(&bytes).to_hex()[..16], *"a00b8687e3400632");
        assert_eq!(Component::decode(&bytes).expect("own bytes"), sample());
    }

    #[test]
    fn ids_one_edit_apart_share_a_cluster() {
        let id = |n: u64| VetoId(n + 1);
        assert!(!id(99_080_000_001).forbids(id(99_080_000_002)));
        assert!(!id(99_080_000_012).forbids(id(99_080_000_021)));
        assert!(id(99_080_000_012).forbids(id(99_080_000_034)));
        assert!(!id(99_080_000_012).forbids(VetoId(0)));
    }

    proptest! {
        #[test]
        fn damaged_component_is_an_error_or_a_component(at in 0usize..150, byte: u8, cut in 0usize..200) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len().min(cut.max(1)));
            if let Ok(component) = Component::decode(&bytes) {
                prop_assert_eq!(Component::decode(&component.encode()).expect("own bytes"), component);
            }
        }

        #[test]
        fn signed_bits_survive(bits: i32) {
            prop_assert_eq!(unzigzag(zigzag(bits) as u32), bits);
        }
    }
}
