//! Clusters of a set of scored pairs: Kruskal in a canonical order, against what speaks for two clusters being two.
//!
//! Pairs are taken by falling weight, ties by the nodes' numbers, which are those of the content. A pair joins two clusters
//! only if the clusters as wholes look like one entity: column by column the mean weight over pairs of members that both have
//! the column, summed up with the prior. So one false pair never chains two large groups, while a record with few fields is
//! not held against its cluster. Where a file gives at most one record to a cluster, a second one is refused too.

use hashbrown::HashMap;

use crate::data::{COLUMNS_MAX, Data};
use crate::pairs::ScoredPair;
use crate::score::Scorer;
use crate::threshold::chance;

/// Members that speak for a cluster.
const SPEAKERS_MAX: usize = 8;

/// Why a pair that reached the threshold is not in one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The two clusters as wholes weigh this much, in 1/1024 bit: too little.
    Clusters(i32),
    /// The cluster had a record of this file already, of this node, by a heavier pair.
    Partner(u32),
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It joined two clusters.
    Tree,
    /// Its ends were or came together without it.
    Inside,
    /// Its ends stay apart.
    Refused(Refusal),
}

impl Verdict {
    /// True when the two are in one cluster.
    pub fn accepted(self) -> bool {
        !matches!(self, Verdict::Refused(_))
    }
}

/// What may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least weight of a pair, in 1/1024 bit.
    pub threshold: i32,
    /// Least weight of two clusters as wholes, in 1/1024 bit.
    pub clusters: i32,
    /// By file: whether it gives at most one node to a cluster.
    pub one: [bool; 2],
}

/// The clustering of all nodes.
#[derive(Clone, Debug)]
pub struct Clustering {
    /// By node: the smallest node of its cluster.
    pub labels: Vec<u32>,
    /// Pairs that reached the threshold, heaviest first, each with what became of it.
    pub verdicts: Vec<(ScoredPair, Verdict)>,
}

/// Clusters the nodes.
pub fn cluster(scorer: &Scorer<'_>, pairs: &[ScoredPair], rules: Rules) -> Clustering {
    let mut order: Vec<ScoredPair> = pairs.iter().copied().filter(|pair| pair.bits >= rules.threshold).collect();
    order.sort_unstable_by_key(|pair| (std::cmp::Reverse(pair.bits), pair.a, pair.b));
    let mut forest = Forest::new(scorer, rules);
    let mut verdicts: Vec<(ScoredPair, Verdict)> = order.into_iter().map(|pair| (pair, forest.join(pair))).collect();
    for (pair, verdict) in &mut verdicts {
        if !verdict.accepted() && forest.root(pair.a) == forest.root(pair.b) {
            *verdict = Verdict::Inside;
        }
    }
    Clustering { labels: forest.labels(), verdicts }
}

/// Pairs of one step down the list of pairs, at least; and its width in 1/1024 bit, at least.
const STEP: (usize, i32) = (40, 1024);
/// How much larger the share of pairs that clusters refuse may be than the share that the model expects to be false.
const EXCESS_MAX: f64 = 0.25;

/// The lowest threshold down to which the clusters bear the model out. Where many more pairs contradict the clusters of
/// heavier pairs than the weights let expect, the weights mean less than they say, and lighter pairs are not to be trusted.
pub fn borne_out(clustering: &Clustering, threshold: i32) -> i32 {
    let verdicts = &clustering.verdicts;
    let (mut from, mut reached) = (0, i32::MAX);
    while from < verdicts.len() {
        let end_bits = verdicts[from].0.bits - STEP.1;
        let wide = from + verdicts[from..].partition_point(|(pair, _)| pair.bits >= end_bits);
        let end = wide.max(from + STEP.0);
        if end > verdicts.len() {
            return threshold;
        }
        let step = &verdicts[from..end];
        let refused = step.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Refused(Refusal::Clusters(_))));
        let false_pairs: f64 = step.iter().map(|(pair, _)| 1.0 - chance(pair.bits)).sum();
        if refused.count() as f64 - false_pairs > EXCESS_MAX * step.len() as f64 {
            return reached;
        }
        reached = step[step.len() - 1].0.bits;
        from = end;
    }
    threshold
}

struct Forest<'a> {
    scorer: &'a Scorer<'a>,
    rules: Rules,
    parent: Vec<u32>,
    size: Vec<u32>,
    /// By root of more than one node: the members that speak for it, ascending.
    speakers: HashMap<u32, Vec<u32>>,
    /// Pairs of roots that were weighed and refused, with their sizes then.
    refused: HashMap<(u32, u32), (u32, u32, i32)>,
}

impl<'a> Forest<'a> {
    fn new(scorer: &'a Scorer<'a>, rules: Rules) -> Forest<'a> {
        let nodes = scorer.data.nodes();
        Forest {
            scorer,
            rules,
            parent: (0..nodes as u32).collect(),
            size: vec![1; nodes],
            speakers: HashMap::new(),
            refused: HashMap::new(),
        }
    }

    fn root(&mut self, node: u32) -> u32 {
        let mut root = node;
        while self.parent[root as usize] != root {
            root = self.parent[root as usize];
        }
        let mut at = node;
        while at != root {
            at = std::mem::replace(&mut self.parent[at as usize], root);
        }
        root
    }

    fn join(&mut self, pair: ScoredPair) -> Verdict {
        let (x, y) = (self.root(pair.a), self.root(pair.b));
        if x == y {
            return Verdict::Inside;
        }
        if let Some(node) = self.partner(x, y) {
            return Verdict::Refused(Refusal::Partner(node));
        }
        if self.size[x as usize] + self.size[y as usize] > 2 {
            let bits = self.weigh(x.min(y), x.max(y));
            if bits < self.rules.clusters {
                return Verdict::Refused(Refusal::Clusters(bits));
            }
        }
        self.unite(x, y);
        Verdict::Tree
    }

    /// A node that keeps another node of its file out.
    fn partner(&self, x: u32, y: u32) -> Option<u32> {
        if self.rules.one == [false, false] {
            return None;
        }
        let file = |node: u32| usize::from(node as usize >= self.scorer.data.second_file);
        let (a, b) = (self.speakers(x), self.speakers(y));
        let twice = |node: &&u32| self.rules.one[file(**node)] && b.iter().any(|other| file(*other) == file(**node));
        a.iter().find(twice).copied()
    }

    fn speakers(&self, root: u32) -> Vec<u32> {
        self.speakers.get(&root).cloned().unwrap_or_else(|| vec![root])
    }

    /// What two clusters as wholes weigh.
    fn weigh(&mut self, x: u32, y: u32) -> i32 {
        let sizes = (self.size[x as usize], self.size[y as usize]);
        if let Some((_, _, bits)) = self.refused.get(&(x, y)).filter(|known| (known.0, known.1) == sizes) {
            return *bits;
        }
        let bits = weigh(self.scorer, &self.speakers(x), &self.speakers(y));
        if bits < self.rules.clusters {
            self.refused.insert((x, y), (sizes.0, sizes.1, bits));
        }
        bits
    }

    fn unite(&mut self, x: u32, y: u32) {
        let mut all = self.speakers(x);
        all.extend(self.speakers(y));
        all.sort_unstable();
        let (root, other) = if (self.size[x as usize], y) >= (self.size[y as usize], x) { (x, y) } else { (y, x) };
        self.parent[other as usize] = root;
        self.size[root as usize] += self.size[other as usize];
        self.speakers.remove(&other);
        self.speakers.insert(root, thin(&all, self.scorer.data));
    }

    fn labels(&mut self) -> Vec<u32> {
        let nodes = self.parent.len() as u32;
        let mut smallest = vec![u32::MAX; nodes as usize];
        (0..nodes)
            .map(|node| {
                let root = self.root(node) as usize;
                smallest[root] = smallest[root].min(node);
                smallest[root]
            })
            .collect()
    }
}

/// At most so many members, evenly over all of them, so that no file and no corner of the cluster is left out.
fn thin(all: &[u32], data: &Data) -> Vec<u32> {
    if all.len() <= SPEAKERS_MAX {
        return all.to_vec();
    }
    let mut kept: Vec<u32> = (0..SPEAKERS_MAX).map(|n| all[n * (all.len() - 1) / (SPEAKERS_MAX - 1)]).collect();
    kept.dedup();
    debug_assert!(!data.across || all.first().is_some_and(|first| kept[0] == *first));
    kept
}

/// Column by column the mean weight over the pairs that have it, and the prior.
pub fn weigh(scorer: &Scorer<'_>, x: &[u32], y: &[u32]) -> i32 {
    let mut sums = [(0i64, 0i64); COLUMNS_MAX];
    for a in x {
        for b in y {
            scorer.each(*a.min(b), *a.max(b), |evidence| {
                sums[evidence.column].0 += i64::from(evidence.bits);
                sums[evidence.column].1 += 1;
            });
        }
    }
    let means = sums.iter().filter(|(_, count)| *count > 0).map(|(sum, count)| (sum / count) as i32);
    scorer.model.prior + means.sum::<i32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clustering(steps: &[(i32, usize, usize)]) -> Clustering {
        let mut verdicts = Vec::new();
        for (bits, joined, refused) in steps {
            let pair = ScoredPair { a: 0, b: 1, bits: bits * 1024 };
            verdicts.extend(std::iter::repeat_n((pair, Verdict::Tree), *joined));
            verdicts.extend(std::iter::repeat_n((pair, Verdict::Refused(Refusal::Clusters(-1))), *refused));
        }
        Clustering { labels: Vec::new(), verdicts }
    }

    #[test]
    fn threshold_rises_to_where_clusters_bear_the_weights_out() {
        let sound = clustering(&[(20, 100, 0), (10, 100, 2), (5, 100, 10), (0, 100, 90)]);
        assert_eq!(borne_out(&sound, 7), 7, "at 0 bits every second pair is expected to be false");
        let boastful = clustering(&[(20, 100, 0), (12, 100, 5), (8, 60, 40), (4, 40, 60)]);
        assert_eq!(borne_out(&boastful, 0), 12 * 1024);
        let few = clustering(&[(20, 10, 0), (12, 3, 9)]);
        assert_eq!(borne_out(&few, 0), 0, "a handful of pairs tells nothing");
    }
}
