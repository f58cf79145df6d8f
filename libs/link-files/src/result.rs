//! What a run found, by record: clusters and pairs, in a canonical order.

use crate::cluster::Verdict;
use crate::run::Outcome;
use crate::score::Scorer;

/// A linked or refused pair of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPair {
    /// A record; of the first file when there are two.
    pub left: u32,
    /// The other.
    pub right: u32,
    /// Match weight in 1/1024 bit.
    pub bits: i32,
    /// Whether the two are in one cluster.
    pub accepted: bool,
}

/// Record pairs of two nodes, or within one, beyond which only those with each node's first record are listed.
pub const LISTED_MAX: usize = 400;

/// By record, the number of its cluster, from 1. Clusters are numbered by the content of their records, so that neither the
/// order of records nor their ids change a number (but among equal records that are not linked, which nothing tells apart).
pub fn record_clusters(outcome: &Outcome) -> Vec<u32> {
    let data = &outcome.data;
    let labels = &outcome.clustering.labels;
    let records = (0..data.nodes()).map(|node| data.records_of(node).len()).sum();
    let mut several = vec![false; data.nodes()];
    for (node, label) in labels.iter().enumerate().filter(|(node, label)| *node as u32 != **label) {
        several[node] = true;
        several[*label as usize] = true;
    }
    let mut numbers = vec![0u32; data.nodes()];
    let mut out = vec![0u32; records];
    let mut next = 0;
    let mut number = || {
        next += 1;
        next
    };
    for node in 0..data.nodes() {
        let label = labels[node] as usize;
        let together = several[node] || equal_linked(outcome, node);
        for record in data.records_of(node) {
            if !together || numbers[label] == 0 {
                numbers[label] = number();
            }
            out[*record as usize] = numbers[label];
        }
    }
    out
}

/// Whether the equal records of a node are linked to each other.
fn equal_linked(outcome: &Outcome, node: usize) -> bool {
    let data = &outcome.data;
    !data.across && data.records_of(node).len() > 1 && self_bits(outcome, node) >= outcome.rules.threshold
}

/// Weight of two equal records.
fn self_bits(outcome: &Outcome, node: usize) -> i32 {
    Scorer { data: &outcome.data, model: &outcome.model }.bits(node as u32, node as u32)
}

/// Calls `take` for every pair of records that reached the threshold, heaviest first; of equal records by the hundred, for
/// those with the first of each. Returns how many pairs were passed over.
pub fn each_pair<E>(outcome: &Outcome, mut take: impl FnMut(RecordPair) -> Result<(), E>) -> Result<u64, E> {
    let data = &outcome.data;
    let mut passed = 0;
    for node in (0..data.nodes()).filter(|node| equal_linked(outcome, *node)) {
        let (records, bits) = (data.records_of(node), self_bits(outcome, node));
        let all = records.len() * (records.len() - 1) / 2;
        let firsts = if all > LISTED_MAX { 1 } else { records.len() };
        let mut listed = 0;
        for (place, left) in records.iter().enumerate().take(firsts) {
            for right in &records[place + 1..] {
                take(RecordPair { left: *left, right: *right, bits, accepted: true })?;
                listed += 1;
            }
        }
        passed += (all - listed) as u64;
    }
    for (pair, verdict) in &outcome.clustering.verdicts {
        let (a, b) = (data.records_of(pair.a as usize), data.records_of(pair.b as usize));
        let all = a.len() * b.len();
        let mut listed = 0;
        for (i, left) in a.iter().enumerate() {
            for (j, right) in b.iter().enumerate() {
                if all <= LISTED_MAX || i == 0 || j == 0 {
                    take(RecordPair { left: *left, right: *right, bits: pair.bits, accepted: verdict.accepted() })?;
                    listed += 1;
                }
            }
        }
        passed += (all - listed) as u64;
    }
    Ok(passed)
}

/// Counts of a run's pairs of nodes that reached the threshold: accepted and refused.
pub fn decisions(outcome: &Outcome) -> (u64, u64) {
    let refused = outcome.clustering.verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Refused(_)));
    let refused = refused.count() as u64;
    (outcome.clustering.verdicts.len() as u64 - refused, refused)
}
