//! The same clusters from nothing: the reference that the engine must equal, and the way to link a file.
//!
//! It shares the model, the keys and the clustering of one component with the engine, and none of its bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use record::MentionId;

use crate::cluster::{ComponentInput, InputNode, Sets, cluster};
use crate::component::{CompEdge, CompNode, Component, Member, NodeDecision, NodeId, NodeNo, VetoId};
use crate::engine::RecordMentions;
use crate::engine::node_ids;
use crate::keys::blocking_keys;
use crate::model::Model;
use crate::row::FeatureRow;

/// What a batch run found.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Every mention with its subject.
    pub subjects: BTreeMap<MentionId, MentionId>,
    /// Components of more than one node; their node numbers are places in this run's list of nodes.
    pub components: Vec<Component>,
}

struct BatchNode {
    row: FeatureRow,
    members: BTreeSet<Member>,
}

/// Clusters all records at once.
pub fn batch(model: &Model, records: &[RecordMentions<'_>], decisions: &[NodeDecision]) -> Batch {
    let (nodes, cannots) = group(model, records);
    let ids: Vec<NodeId> = nodes.keys().copied().collect();
    let place: BTreeMap<NodeId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let rows: Vec<FeatureRow> = nodes.values().map(|node| node.row).collect();
    let edges = edges(model, &rows);
    let mut sets = Sets::new(ids.len());
    for (a, b) in edges.keys() {
        sets.union(*a, *b);
    }
    for decision in decisions.iter().filter(|d| d.must) {
        if let (Some(a), Some(b)) = (place.get(&decision.a), place.get(&decision.b)) {
            sets.union(*a, *b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for node in 0..ids.len() {
        groups.entry(sets.root(node)).or_default().push(node);
    }
    let mut edges_of: BTreeMap<usize, Vec<(usize, usize, i32)>> = BTreeMap::new();
    for ((a, b), bits) in edges {
        edges_of.entry(sets.root(a)).or_default().push((a, b, bits));
    }
    let mut cannots_of: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (a, b) in cannots {
        let (a, b) = (place[&a], place[&b]);
        if sets.root(a) == sets.root(b) {
            cannots_of.entry(sets.root(a)).or_default().push((a, b));
        }
    }
    let mut out = Batch::default();
    for (root, group) in groups {
        let edges = edges_of.remove(&root).unwrap_or_default();
        let cannots = cannots_of.remove(&root).unwrap_or_default();
        let component = build(model, &ids, &nodes, &group, &edges, &cannots, decisions);
        for (local, node) in group.iter().enumerate() {
            let subject = component.subject(local);
            out.subjects.extend(nodes[&ids[*node]].members.iter().map(|member| (member.mention, subject)));
        }
        if component.nodes.len() > 1 {
            out.components.push(component);
        }
    }
    out
}

type Nodes = BTreeMap<NodeId, BatchNode>;

fn group(model: &Model, records: &[RecordMentions<'_>]) -> (Nodes, BTreeSet<(NodeId, NodeId)>) {
    let (mut nodes, mut cannots) = (Nodes::new(), BTreeSet::new());
    for record in records {
        let ids = node_ids(model, record.mentions);
        for (mention, id) in record.mentions.iter().zip(&ids) {
            let node = nodes.entry(*id).or_insert_with(|| BatchNode { row: mention.row, members: BTreeSet::new() });
            node.members.insert(Member { rank: mention.rank, mention: mention.id });
        }
        for (a, b) in record.distinct {
            let (a, b) = (ids[*a], ids[*b]);
            if a != b {
                cannots.insert((a.min(b), a.max(b)));
            }
        }
    }
    (nodes, cannots)
}

fn edges(model: &Model, rows: &[FeatureRow]) -> BTreeMap<(usize, usize), i32> {
    let mut blocks: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut keys = Vec::new();
    for (node, row) in rows.iter().enumerate() {
        keys.clear();
        blocking_keys(row, &mut keys);
        for key in &keys {
            blocks.entry(*key).or_default().push(node);
        }
    }
    let mut edges = BTreeMap::new();
    for block in blocks.values().filter(|block| block.len() <= model.key_nodes_max()) {
        for (at, a) in block.iter().enumerate() {
            for b in &block[at + 1..] {
                let bits = model.score(&rows[*a], &rows[*b]).bits;
                if bits >= model.threshold() {
                    edges.insert((*a.min(b), *a.max(b)), bits);
                }
            }
        }
    }
    edges
}

fn build(
    model: &Model,
    ids: &[NodeId],
    nodes: &Nodes,
    group: &[usize],
    edges: &[(usize, usize, i32)],
    cannots: &[(usize, usize)],
    decisions: &[NodeDecision],
) -> Component {
    let list: Vec<CompNode> = group
        .iter()
        .map(|place| {
            let node = &nodes[&ids[*place]];
            let anchor = *node.members.first().expect("a node is made by a member");
            CompNode { no: NodeNo(*place as u32), id: ids[*place], veto: VetoId::of(&node.row), anchor }
        })
        .collect();
    let local = |place: usize| group.binary_search(&place).expect("an edge stays in its group") as u32;
    let edges: Vec<_> = edges.iter().map(|(a, b, bits)| (local(*a), local(*b), *bits)).collect();
    let cannots: Vec<_> = cannots.iter().map(|(a, b)| (local(*a), local(*b))).collect();
    let input: Vec<_> = list.iter().map(|node| InputNode { id: node.id, veto: node.veto }).collect();
    let here = |id: &NodeId| list.binary_search_by_key(id, |node| node.id).is_ok();
    let mut decisions: Vec<NodeDecision> = decisions.iter().copied().filter(|d| here(&d.a) || here(&d.b)).collect();
    decisions.sort_unstable();
    decisions.dedup();
    let found =
        cluster(&ComponentInput { nodes: &input, edges: &edges, cannots: &cannots, decisions: &decisions }, model);
    let mut anchors: BTreeMap<u32, (Member, u32)> = BTreeMap::new();
    for (node, label) in list.iter().zip(&found.clusters) {
        let own = (node.anchor, local(node.no.0 as usize));
        anchors.entry(*label).and_modify(|first| *first = own.min(*first)).or_insert(own);
    }
    let clusters = found.clusters.iter().map(|label| anchors[label].1).collect();
    let edges = edges.iter().zip(found.verdicts);
    let edges = edges.map(|((a, b, bits), verdict)| CompEdge { a: *a, b: *b, bits: *bits, verdict }).collect();
    Component { nodes: list, edges, cannots, decisions, void: found.void, clusters }
}
