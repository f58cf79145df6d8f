//! Step three: the touched components are pooled, cut into components again, clustered, and compared with what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use record::MentionId;

use super::blocks::EdgeWork;
use super::{Engine, Event};
use crate::cluster::{ComponentInput, InputNode, Sets, cluster};
use crate::component::{CompEdge, CompNode, Component, ComponentNo, NodeDecision, NodeId, NodeNo, VetoId};
use crate::diff::{ClusterState, DecisionChange, EdgeChange, EdgeState, NodeChange};
use crate::state::LinkState;

/// A live node in the pool.
struct Entry {
    node: CompNode,
    /// The component that it came from; `None` for a node that had none.
    from: Option<ComponentNo>,
    /// Its subject before; `None` for a node that is born.
    subject: Option<MentionId>,
}

/// All that the touched components hold.
#[derive(Default)]
struct Pool {
    entries: Vec<Entry>,
    place: HashMap<NodeNo, u32>,
    /// `(a, b, bits)`, places, `a < b`, sorted.
    edges: Vec<(u32, u32, i32)>,
    /// Places, `a < b`.
    cannots: BTreeSet<(u32, u32)>,
    decisions: Vec<NodeDecision>,
}

type Edges = BTreeMap<(NodeId, NodeId), EdgeState>;
type Clusters = BTreeMap<MentionId, Vec<(NodeId, NodeNo)>>;
/// Decisions by their order, and whether they are without effect.
type Decided = BTreeMap<u64, bool>;

impl<S: LinkState> Engine<'_, S> {
    pub(super) fn recluster(&mut self, event: &mut Event, mut work: EdgeWork) -> Result<(), S::Error> {
        let (components, loose) = self.touched(event, &work)?;
        let mut old = BTreeMap::new();
        for no in components {
            let component = match work.read.remove(&no) {
                Some(component) => component,
                None => self.state.component(no)?,
            };
            old.insert(no, component);
        }
        let pool = self.pool(event, &old, &loose, &work)?;
        let groups = pool.groups();
        let (mut edges, mut clusters, mut decided) = (Edges::new(), Clusters::new(), Decided::new());
        let mut free: BTreeSet<ComponentNo> = old.keys().copied().collect();
        for group in &groups {
            let component = self.build(event, &pool, group)?;
            edges.extend(component.canonical_edges().map(|edge| ((edge.a, edge.b), edge.state)));
            collect_clusters(&component, &mut clusters);
            decided.extend(decisions_of(&component));
            self.store(event, &pool, group, component, &mut free, &old)?;
        }
        for no in free {
            self.state.remove_component(no)?;
        }
        compare_decisions(event, &old, decided);
        compare(event, &old, &pool, edges, clusters);
        Ok(())
    }

    /// Components that the event touches, and nodes without one that take part.
    fn touched(
        &mut self,
        event: &mut Event,
        work: &EdgeWork,
    ) -> Result<(BTreeSet<ComponentNo>, BTreeSet<NodeNo>), S::Error> {
        let mut nodes: BTreeSet<NodeNo> = event.born.iter().copied().collect();
        let changed = |t: &super::Touched| t.old.as_ref().is_none_or(|old| t.is_dead() || old.anchor != t.meta.anchor);
        nodes.extend(event.nodes.iter().filter(|(_, t)| changed(t)).map(|(no, _)| *no));
        nodes.extend(work.linked.iter().flat_map(|(a, b, _)| [*a, *b]));
        nodes.extend(work.unlinked.iter().flat_map(|(a, b)| [*a, *b]));
        for decision in event.brought.iter().chain(&event.lifted) {
            let named = event.nodes.iter().filter(|(_, t)| [decision.a, decision.b].contains(&t.meta.id));
            nodes.extend(named.map(|(no, _)| *no));
        }
        for (a, b) in event.parted.iter().chain(&event.reconciled) {
            // Both were loaded when they were counted.
            let component = |no: &NodeNo| event.nodes[no].meta.component;
            if component(a).is_some() && component(a) == component(b) {
                nodes.extend([*a, *b]);
            }
        }
        let (mut components, mut loose) = (BTreeSet::new(), BTreeSet::new());
        for no in nodes {
            match self.touch(event, no)?.meta.component {
                Some(component) => drop(components.insert(component)),
                None => drop(loose.insert(no)),
            }
        }
        Ok((components, loose))
    }

    fn pool(
        &mut self,
        event: &mut Event,
        old: &BTreeMap<ComponentNo, Arc<Component>>,
        loose: &BTreeSet<NodeNo>,
        work: &EdgeWork,
    ) -> Result<Pool, S::Error> {
        let mut pool = Pool { decisions: event.brought.clone(), ..Pool::default() };
        for (no, component) in old {
            for (place, node) in component.nodes.iter().enumerate() {
                let touched = event.nodes.get(&node.no);
                if touched.is_some_and(|t| t.is_dead()) {
                    continue;
                }
                let anchor = touched.map_or(node.anchor, |t| t.meta.anchor);
                let subject = Some(component.subject(place));
                pool.entries.push(Entry { node: CompNode { anchor, ..*node }, from: Some(*no), subject });
            }
            pool.decisions.extend(component.decisions.iter().filter(|d| !event.lifted.contains(d)));
        }
        for no in loose {
            let touched = self.touch(event, *no)?;
            if touched.is_dead() {
                continue;
            }
            let (id, anchor) = (touched.meta.id, touched.meta.anchor);
            let subject = touched.old.as_ref().map(|meta| meta.subject);
            let veto = VetoId::of(&self.row(event, *no)?);
            pool.entries.push(Entry { node: CompNode { no: *no, id, veto, anchor }, from: None, subject });
        }
        pool.entries.sort_unstable_by_key(|entry| entry.node.id);
        pool.place = pool.entries.iter().enumerate().map(|(place, e)| (e.node.no, place as u32)).collect();
        pool.decisions.sort_unstable();
        pool.decisions.dedup();
        pool.take_edges(old, work);
        pool.take_cannots(event, old);
        Ok(pool)
    }

    /// Clusters one group of the pool.
    fn build(&mut self, event: &mut Event, pool: &Pool, group: &Group) -> Result<Component, S::Error> {
        let nodes: Vec<CompNode> = group.places.iter().map(|place| pool.entries[*place as usize].node).collect();
        let local = |place: u32| group.places.binary_search(&place).expect("an edge stays in its group") as u32;
        let edges: Vec<_> = group.edges.iter().map(|e| pool.edges[*e]).collect();
        let edges: Vec<_> = edges.into_iter().map(|(a, b, bits)| (local(a), local(b), bits)).collect();
        let cannots: Vec<_> =
            self.group_cannots(event, pool, group)?.into_iter().map(|(a, b)| (local(a), local(b))).collect();
        let input: Vec<_> = nodes.iter().map(|node| InputNode { id: node.id, veto: node.veto }).collect();
        let decisions = &group.decisions;
        let clustering =
            cluster(&ComponentInput { nodes: &input, edges: &edges, cannots: &cannots, decisions }, self.model);
        let edges = edges.iter().zip(clustering.verdicts);
        Ok(Component {
            clusters: anchors(&nodes, &clustering.clusters),
            edges: edges.map(|((a, b, bits), verdict)| CompEdge { a: *a, b: *b, bits: *bits, verdict }).collect(),
            cannots,
            decisions: decisions.clone(),
            void: clustering.void,
            nodes,
        })
    }

    /// Pairs of the group that share a record as different subjects: those that a component knew, and those between nodes
    /// that meet here for the first time. Only nodes that do not come from the largest source are asked for the latter.
    fn group_cannots(
        &mut self,
        event: &mut Event,
        pool: &Pool,
        group: &Group,
    ) -> Result<BTreeSet<(u32, u32)>, S::Error> {
        let mut out: BTreeSet<(u32, u32)> = group.cannots.iter().copied().collect();
        if group.places.len() < 2 {
            return Ok(out);
        }
        let largest = pool.largest_source(group);
        for place in &group.places {
            let entry = &pool.entries[*place as usize];
            if entry.from.is_some() && entry.from == largest {
                continue;
            }
            for other in self.partners_within(event, entry.node.no, pool, group)? {
                out.insert((*place.min(&other), *place.max(&other)));
            }
        }
        Ok(out)
    }

    /// Places of the group's nodes that share a record with `no` as different subjects. Bounded by the group, not by the
    /// partners: a node with more spilled partners than the group has nodes is asked pair by pair.
    fn partners_within(
        &mut self,
        event: &mut Event,
        no: NodeNo,
        pool: &Pool,
        group: &Group,
    ) -> Result<Vec<u32>, S::Error> {
        let meta = &self.touch(event, no)?.meta;
        let spilled = meta.spilled as usize;
        let mut nodes: Vec<NodeNo> = meta.partners.iter().map(|(with, _)| *with).collect();
        if spilled > 0 && spilled <= group.places.len() {
            self.state.partners(no, &mut nodes)?;
        } else if spilled > 0 {
            for place in &group.places {
                let other = pool.entries[*place as usize].node.no;
                if self.state.partner(no, other)? > 0 {
                    nodes.push(other);
                }
            }
        }
        let places = nodes.iter().filter_map(|with| pool.place.get(with).copied());
        Ok(places.filter(|place| group.places.binary_search(place).is_ok()).collect())
    }

    /// Writes a group's component and the subjects of its nodes.
    fn store(
        &mut self,
        event: &mut Event,
        pool: &Pool,
        group: &Group,
        component: Component,
        free: &mut BTreeSet<ComponentNo>,
        old: &BTreeMap<ComponentNo, Arc<Component>>,
    ) -> Result<(), S::Error> {
        let stored = component.nodes.len() > 1 || !component.decisions.is_empty();
        let no = match pool.largest_source(group).filter(|no| stored && free.remove(no)) {
            Some(no) => Some(no),
            None if stored => Some(self.state.new_component()?),
            None => None,
        };
        for (local, place) in group.places.iter().enumerate() {
            let entry = &pool.entries[*place as usize];
            let subject = component.subject(local);
            if entry.from == no && entry.subject == Some(subject) {
                continue;
            }
            let meta = &mut self.touch(event, entry.node.no)?.meta;
            (meta.component, meta.subject) = (no, subject);
            if entry.subject != Some(subject) {
                let (id, no, sole) = (entry.node.id, entry.node.no, meta.sole());
                event.diff.nodes.push(NodeChange { id, no, old: entry.subject, new: Some(subject), sole });
            }
        }
        match no {
            Some(no) if old.get(&no).map(Arc::as_ref) != Some(&component) => self.state.put_component(no, component),
            _ => Ok(()),
        }
    }
}

/// Nodes of the pool that are one component now.
#[derive(Default)]
struct Group {
    /// Places in the pool, ascending, hence sorted by id.
    places: Vec<u32>,
    edges: Vec<usize>,
    cannots: Vec<(u32, u32)>,
    decisions: Vec<NodeDecision>,
}

impl Pool {
    fn take_edges(&mut self, old: &BTreeMap<ComponentNo, Arc<Component>>, work: &EdgeWork) {
        let mut edges = Vec::new();
        for component in old.values() {
            for edge in &component.edges {
                let (a, b) = (component.nodes[edge.a as usize].no, component.nodes[edge.b as usize].no);
                if !work.unlinked.contains(&(a.min(b), a.max(b))) {
                    edges.push((a, b, edge.bits));
                }
            }
        }
        edges.extend(&work.linked);
        self.edges = edges.into_iter().filter_map(|(a, b, bits)| Some((self.pair(a, b)?, bits))).map(flat).collect();
        self.edges.sort_unstable();
        self.edges.dedup();
    }

    fn take_cannots(&mut self, event: &Event, old: &BTreeMap<ComponentNo, Arc<Component>>) {
        let known = old.values().flat_map(|component| {
            let no = |place: u32| component.nodes[place as usize].no;
            component.cannots.iter().map(move |(a, b)| (no(*a), no(*b)))
        });
        let known: Vec<_> = known.chain(event.parted.iter().copied()).collect();
        self.cannots = known.into_iter().filter_map(|(a, b)| self.pair(a, b)).collect();
        for (a, b) in &event.reconciled {
            if let Some(pair) = self.pair(*a, *b) {
                self.cannots.remove(&pair);
            }
        }
    }

    /// The places of two nodes in order, when both are in the pool.
    fn pair(&self, a: NodeNo, b: NodeNo) -> Option<(u32, u32)> {
        let (x, y) = (*self.place.get(&a)?, *self.place.get(&b)?);
        Some((x.min(y), x.max(y)))
    }

    fn place_of_id(&self, id: NodeId) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.node.id).ok()
    }

    /// Connected by edges and must-links. In order of the smallest node.
    fn groups(&self) -> Vec<Group> {
        let mut sets = Sets::new(self.entries.len());
        for (a, b, _) in &self.edges {
            sets.union(*a as usize, *b as usize);
        }
        for decision in self.decisions.iter().filter(|d| d.must) {
            if let (Some(a), Some(b)) = (self.place_of_id(decision.a), self.place_of_id(decision.b)) {
                sets.union(a, b);
            }
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut of_root: HashMap<usize, usize> = HashMap::new();
        let mut of_place = Vec::with_capacity(self.entries.len());
        for place in 0..self.entries.len() {
            let group = *of_root.entry(sets.root(place)).or_insert_with(|| {
                groups.push(Group::default());
                groups.len() - 1
            });
            groups[group].places.push(place as u32);
            of_place.push(group);
        }
        for (e, (a, ..)) in self.edges.iter().enumerate() {
            groups[of_place[*a as usize]].edges.push(e);
        }
        for (a, b) in self.cannots.iter().filter(|(a, b)| of_place[*a as usize] == of_place[*b as usize]) {
            groups[of_place[*a as usize]].cannots.push((*a, *b));
        }
        for decision in &self.decisions {
            let ends = [decision.a, decision.b].map(|id| self.place_of_id(id).map(|place| of_place[place]));
            let both = ends[0] == ends[1];
            for group in ends.into_iter().take(if both { 1 } else { 2 }).flatten() {
                groups[group].decisions.push(*decision);
            }
        }
        groups
    }

    /// The component that most of the group's nodes come from.
    fn largest_source(&self, group: &Group) -> Option<ComponentNo> {
        let mut counts: BTreeMap<ComponentNo, usize> = BTreeMap::new();
        for place in &group.places {
            if let Some(from) = self.entries[*place as usize].from {
                *counts.entry(from).or_insert(0) += 1;
            }
        }
        counts.into_iter().max_by_key(|(no, count)| (*count, std::cmp::Reverse(*no))).map(|(no, _)| no)
    }
}

fn flat(((a, b), bits): ((u32, u32), i32)) -> (u32, u32, i32) {
    (a, b, bits)
}

/// By node: the node of its cluster with the smallest anchor.
fn anchors(nodes: &[CompNode], clusters: &[u32]) -> Vec<u32> {
    let mut best: BTreeMap<u32, u32> = BTreeMap::new();
    for (place, label) in clusters.iter().enumerate() {
        let first = best.entry(*label).or_insert(place as u32);
        if nodes[place].anchor < nodes[*first as usize].anchor {
            *first = place as u32;
        }
    }
    clusters.iter().map(|label| best[label]).collect()
}

fn collect_clusters(component: &Component, out: &mut Clusters) {
    for (place, node) in component.nodes.iter().enumerate() {
        out.entry(component.subject(place)).or_default().push((node.id, node.no));
    }
}

fn decisions_of(component: &Component) -> impl Iterator<Item = (u64, bool)> + '_ {
    component.decisions.iter().map(|decision| (decision.order, component.is_void(decision)))
}

fn compare_decisions(event: &mut Event, old: &BTreeMap<ComponentNo, Arc<Component>>, mut decided: Decided) {
    let before: Decided = old.values().flat_map(|component| decisions_of(component)).collect();
    for (order, old) in before {
        let new = decided.remove(&order);
        if new != Some(old) {
            event.diff.decisions.push(DecisionChange { order, old: Some(old), new });
        }
    }
    let came = decided.into_iter().map(|(order, void)| DecisionChange { order, old: None, new: Some(void) });
    event.diff.decisions.extend(came);
    event.diff.decisions.sort_unstable_by_key(|change| change.order);
}

/// Fills the diff with what differs between the old components and the new ones.
fn compare(
    event: &mut Event,
    old: &BTreeMap<ComponentNo, Arc<Component>>,
    pool: &Pool,
    mut edges: Edges,
    mut clusters: Clusters,
) {
    let mut clusters_before = Clusters::new();
    for component in old.values() {
        collect_clusters(component, &mut clusters_before);
        for edge in component.canonical_edges() {
            let new = edges.remove(&(edge.a, edge.b));
            if new != Some(edge.state) {
                event.diff.edges.push(EdgeChange { a: edge.a, b: edge.b, old: Some(edge.state), new });
            }
        }
    }
    event.diff.edges.extend(edges.into_iter().map(|((a, b), new)| EdgeChange { a, b, old: None, new: Some(new) }));
    event.diff.edges.sort_unstable_by_key(|edge| (edge.a, edge.b));
    for entry in pool.entries.iter().filter(|entry| entry.from.is_none()) {
        let alone = entry.subject.map(|subject| (subject, vec![(entry.node.id, entry.node.no)]));
        clusters_before.extend(alone);
    }
    gone(event, &mut clusters_before);
    event.diff.nodes.sort_unstable_by_key(|node| (node.id, node.no));
    for nodes in clusters_before.values_mut().chain(clusters.values_mut()) {
        nodes.sort_unstable();
    }
    clusters_before.retain(|subject, nodes| {
        let same = clusters.get(subject) == Some(nodes);
        if same {
            clusters.remove(subject);
        }
        !same
    });
    event.diff.before = states(clusters_before);
    event.diff.after = states(clusters);
}

/// Nodes that died: they had a subject, and those without a component a cluster of their own.
fn gone(event: &mut Event, before: &mut Clusters) {
    for (no, touched) in event.nodes.iter().filter(|(_, touched)| touched.is_dead()) {
        let Some(meta) = &touched.old else { continue };
        event.diff.nodes.push(NodeChange { id: meta.id, no: *no, old: Some(meta.subject), new: None, sole: None });
        if meta.component.is_none() {
            before.insert(meta.subject, vec![(meta.id, *no)]);
        }
    }
}

fn states(clusters: Clusters) -> Vec<ClusterState> {
    let nodes = |nodes: Vec<(NodeId, NodeNo)>| nodes.into_iter().map(|(_, no)| no).collect();
    clusters.into_iter().map(|(subject, list)| ClusterState { subject, nodes: nodes(list) }).collect()
}
