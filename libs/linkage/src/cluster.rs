//! Clustering of one component: Kruskal in a canonical order, against vetoes.

use crate::component::{NodeDecision, NodeId, Refusal, Verdict, VetoId};
use crate::model::Model;

/// What the clustering reads of a node.
#[derive(Clone, Copy, Debug)]
pub struct InputNode {
    /// Canonical id.
    pub id: NodeId,
    /// What it may not share a cluster with.
    pub veto: VetoId,
}

/// A component to cluster. Order of its parts does not matter but for the indexes, which are places in `nodes`.
#[derive(Clone, Copy, Debug)]
pub struct ComponentInput<'a> {
    /// Nodes, sorted by id.
    pub nodes: &'a [InputNode],
    /// Edges `(a, b, bits)` with `a < b`.
    pub edges: &'a [(u32, u32, i32)],
    /// Pairs that hold mentions of one record which are not one subject.
    pub cannots: &'a [(u32, u32)],
    /// Reviewers' decisions; one that names a node that is not here does nothing.
    pub decisions: &'a [NodeDecision],
}

/// The clustering of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clustering {
    /// By node: the smallest node of its cluster.
    pub clusters: Vec<u32>,
    /// By edge of the input.
    pub verdicts: Vec<Verdict>,
    /// Orders of the decisions without effect, since an earlier one contradicts them; sorted.
    pub void: Vec<u64>,
}

/// Clusters a component.
///
/// Reviewers' decisions come first in control order, the first of two that contradict stands, and a must-link overrides
/// the vetoes of ids and records. Then edges by falling weight, ties by the ids of their ends; an edge whose union breaks a
/// constraint is refused and says which pair of nodes refused it.
pub fn cluster(input: &ComponentInput<'_>, model: &Model) -> Clustering {
    let mut state = Forest::new(input);
    let void = state.decide(input);
    for (a, b) in input.cannots {
        state.forbid(*a, *b, Ground::SameRecord);
    }
    let floor = bound_components(input, model);
    let mut order: Vec<usize> = (0..input.edges.len()).collect();
    // Nodes are sorted by id, so that places order as ids do.
    order.sort_unstable_by_key(|e| {
        let (a, b, bits) = input.edges[*e];
        (std::cmp::Reverse(bits), a, b)
    });
    let mut verdicts = vec![Verdict::Inside; input.edges.len()];
    for e in order {
        let (a, b, _) = input.edges[e];
        verdicts[e] =
            if floor[e] { Verdict::Refused(Refusal::ComponentBound) } else { state.join(a as usize, b as usize) };
    }
    // An edge under the raised threshold whose ends came together all the same is inside its cluster.
    for (e, verdict) in verdicts.iter_mut().enumerate() {
        let (a, b, _) = input.edges[e];
        if *verdict == Verdict::Refused(Refusal::ComponentBound) && state.root(a as usize) == state.root(b as usize) {
            *verdict = Verdict::Inside;
        }
    }
    Clustering { clusters: state.labels(), verdicts, void }
}

/// For each edge, whether the bound on the size of a component cuts it: a part with too many nodes raises its threshold
/// step by step, and splits, until every part fits.
fn bound_components(input: &ComponentInput<'_>, model: &Model) -> Vec<bool> {
    let mut cut = vec![false; input.edges.len()];
    let bound = model.component_nodes_max as usize;
    if input.nodes.len() <= bound {
        return cut;
    }
    let mut threshold = model.threshold;
    loop {
        let mut sets = Sets::new(input.nodes.len());
        for (e, (a, b, _)) in input.edges.iter().enumerate() {
            if !cut[e] {
                sets.union(*a as usize, *b as usize);
            }
        }
        let mut over = false;
        threshold = threshold.saturating_add(model.threshold_step);
        for (e, (a, _, bits)) in input.edges.iter().enumerate() {
            if !cut[e] && sets.size_of(*a as usize) > bound {
                over = true;
                cut[e] = *bits < threshold;
            }
        }
        if !over {
            return cut;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ground {
    Reviewer,
    SameRecord,
}

/// Clusters under construction, with what each may not meet.
struct Forest {
    sets: Sets,
    /// By root: pairs (own node, forbidden node).
    forbidden: Vec<Vec<(u32, u32, Ground)>>,
    /// By root: distinct ids with their smallest node. Pairwise at most one edit apart, hence few.
    ids: Vec<Vec<(VetoId, u32)>>,
}

impl Forest {
    fn new(input: &ComponentInput<'_>) -> Forest {
        let ids = input.nodes.iter().enumerate();
        let ids = ids.map(|(n, node)| if node.veto.is_some() { vec![(node.veto, n as u32)] } else { Vec::new() });
        Forest {
            sets: Sets::new(input.nodes.len()),
            forbidden: vec![Vec::new(); input.nodes.len()],
            ids: ids.collect(),
        }
    }

    fn root(&mut self, node: usize) -> usize {
        self.sets.root(node)
    }

    fn forbid(&mut self, a: u32, b: u32, ground: Ground) {
        let (x, y) = (self.root(a as usize), self.root(b as usize));
        self.forbidden[x].push((a, b, ground));
        self.forbidden[y].push((b, a, ground));
    }

    fn decide(&mut self, input: &ComponentInput<'_>) -> Vec<u64> {
        let mut decisions = input.decisions.to_vec();
        decisions.sort_unstable();
        decisions.dedup();
        let place = |id: NodeId| input.nodes.binary_search_by_key(&id, |node| node.id).ok();
        let mut void = Vec::new();
        for decision in decisions {
            let (Some(a), Some(b)) = (place(decision.a), place(decision.b)) else { continue };
            let (x, y) = (self.root(a), self.root(b));
            match decision.must {
                true if x == y => {}
                true if self.forbidden_pair(x, y).is_some() => void.push(decision.order),
                true => self.unite(x, y),
                false if x == y => void.push(decision.order),
                false => self.forbid(a as u32, b as u32, Ground::Reviewer),
            }
        }
        void
    }

    fn join(&mut self, a: usize, b: usize) -> Verdict {
        let (x, y) = (self.root(a), self.root(b));
        if x == y {
            return Verdict::Inside;
        }
        if let Some(refusal) = self.refusal(x, y) {
            return Verdict::Refused(refusal);
        }
        self.unite(x, y);
        Verdict::Tree
    }

    fn refusal(&mut self, x: usize, y: usize) -> Option<Refusal> {
        if let Some((a, b, ground)) = self.forbidden_pair(x, y) {
            return Some(match ground {
                Ground::Reviewer => Refusal::Reviewer(a, b),
                Ground::SameRecord => Refusal::SameRecord(a, b),
            });
        }
        let pairs = self.ids[x].iter().flat_map(|a| self.ids[y].iter().map(move |b| (a, b)));
        let against = pairs.filter(|(a, b)| a.0.forbids(b.0)).map(|(a, b)| (a.1.min(b.1), a.1.max(b.1)));
        against.min().map(|(a, b)| Refusal::Ids(a, b))
    }

    /// The smallest pair of nodes that keeps two clusters apart, reviewers' before records'.
    fn forbidden_pair(&mut self, x: usize, y: usize) -> Option<(u32, u32, Ground)> {
        let (from, to) = if self.forbidden[x].len() <= self.forbidden[y].len() { (x, y) } else { (y, x) };
        let pairs = self.forbidden[from].iter().filter(|(_, other, _)| self.sets.find(*other as usize) == to);
        let ordered = pairs.map(|(a, b, ground)| (*ground != Ground::Reviewer, *a.min(b), *a.max(b), *ground));
        ordered.min_by_key(|(late, a, b, _)| (*late, *a, *b)).map(|(_, a, b, ground)| (a, b, ground))
    }

    fn unite(&mut self, x: usize, y: usize) {
        let (root, other) = self.sets.unite_roots(x, y);
        let mut moved = std::mem::take(&mut self.forbidden[other]);
        if moved.len() > self.forbidden[root].len() {
            std::mem::swap(&mut moved, &mut self.forbidden[root]);
        }
        self.forbidden[root].extend(moved);
        for (id, node) in std::mem::take(&mut self.ids[other]) {
            match self.ids[root].iter_mut().find(|(known, _)| *known == id) {
                Some((_, first)) => *first = node.min(*first),
                None => self.ids[root].push((id, node)),
            }
        }
    }

    fn labels(&mut self) -> Vec<u32> {
        let nodes = self.sets.parent.len();
        let mut smallest = vec![u32::MAX; nodes];
        let roots: Vec<usize> = (0..nodes).map(|node| self.root(node)).collect();
        for (node, root) in roots.iter().enumerate().rev() {
            smallest[*root] = node as u32;
        }
        roots.iter().map(|root| smallest[*root]).collect()
    }
}

/// Disjoint sets, united by size.
pub(crate) struct Sets {
    parent: Vec<u32>,
    size: Vec<u32>,
}

impl Sets {
    pub(crate) fn new(nodes: usize) -> Sets {
        Sets { parent: (0..nodes as u32).collect(), size: vec![1; nodes] }
    }

    fn find(&self, mut node: usize) -> usize {
        while self.parent[node] as usize != node {
            node = self.parent[node] as usize;
        }
        node
    }

    pub(crate) fn root(&mut self, node: usize) -> usize {
        let root = self.find(node);
        let mut at = node;
        while at != root {
            at = std::mem::replace(&mut self.parent[at], root as u32) as usize;
        }
        root
    }

    pub(crate) fn union(&mut self, a: usize, b: usize) {
        let (x, y) = (self.root(a), self.root(b));
        if x != y {
            self.unite_roots(x, y);
        }
    }

    /// Returns the root that stays and the one that is gone.
    fn unite_roots(&mut self, x: usize, y: usize) -> (usize, usize) {
        let (root, other) = if self.size[x] >= self.size[y] { (x, y) } else { (y, x) };
        self.parent[other] = root as u32;
        self.size[root] += self.size[other];
        (root, other)
    }

    fn size_of(&mut self, node: usize) -> usize {
        let root = self.root(node);
        self.size[root] as usize
    }
}
