//! How good a linkage is, against the truth.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::Serialize;

use crate::arena::Interner;
use crate::error::Error;
use crate::pairs::ScoredPair;
use crate::run::Outcome;
use crate::score::Scorer;
use crate::table::{RawColumn, Table};
use crate::threshold::chance;

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Share of what was found that is true.
    pub precision: f64,
    /// Share of what is true that was found.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
}

impl Quality {
    fn of(right: f64, found: f64, there: f64) -> Quality {
        let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 1.0 };
        Quality::from_shares(share(right, found), share(right, there))
    }

    fn from_shares(precision: f64, recall: f64) -> Quality {
        let sum = precision + recall;
        Quality { precision, recall, f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 } }
    }
}

/// Pairs by themselves, before clustering, linked from a threshold on.
#[derive(Clone, Debug, Serialize)]
pub struct ThresholdRow {
    /// Threshold in bits.
    pub bits: i32,
    /// Pairs of records that reach it.
    pub pairs: u64,
    /// Their quality.
    #[serde(flatten)]
    pub quality: Quality,
}

/// Pairs of one range of weights: what the model expects and what is true.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationRow {
    /// Lower bound of the weights in bits, inclusive.
    pub from_bits: i32,
    /// Upper bound, exclusive.
    pub to_bits: i32,
    /// Pairs of records in the range.
    pub pairs: u64,
    /// Share of matches by the model.
    pub expected: f64,
    /// Share of matches by the truth.
    pub actual: f64,
}

/// A linkage against the truth.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Records with a truth; the others are left out of everything.
    pub records: usize,
    /// Pairs of records that are one entity; across files when there are two.
    pub true_pairs: u64,
    /// Pairs of records in one cluster.
    pub pairs: Quality,
    /// Clusters that are exactly an entity, single records included.
    pub clusters: Quality,
    /// The same, of two records and more.
    pub clusters_of_several: Quality,
    /// B³: the mean over records.
    pub b_cubed: Quality,
    /// Share of the true pairs that some blocking key found.
    pub blocking_recall: f64,
    /// Threshold of the run in bits.
    pub threshold_bits: f64,
    /// Over thresholds.
    pub thresholds: Vec<ThresholdRow>,
    /// Calibration.
    pub calibration: Vec<CalibrationRow>,
}

/// The truth by record, from a column; 0 for a record without one. With a pattern `prefix*suffix`-free form the whole value is
/// the entity; `between` takes what stands between two characters' first occurrences.
///
/// # Errors
/// No record has a truth.
pub fn truth_of(column: &RawColumn, part: impl Fn(&str) -> Option<String>) -> Result<Vec<u32>, Error> {
    let mut entities = Interner::default();
    entities.number(b"");
    let numbers: Vec<u32> = (0..column.values.len())
        .map(|place| part(&column.values.text(place)).map_or(0, |entity| entities.number(entity.as_bytes())))
        .collect();
    let truth: Vec<u32> = column.codes.iter().map(|code| numbers[*code as usize]).collect();
    if truth.iter().all(|entity| *entity == 0) {
        return Err(Error::Truth(format!("column '{}' names no entity", column.name)));
    }
    Ok(truth)
}

/// Measures a run whose candidates were kept whatever their weight. `truth` and `clusters` are by record.
pub fn evaluate(table: &Table, outcome: &Outcome, clusters: &[u32], truth: &[u32]) -> Evaluation {
    let known: Vec<usize> = (0..truth.len()).filter(|record| truth[*record] != 0).collect();
    let groups = Groups::of(table, &known, clusters, truth);
    let true_pairs = groups.pairs(&groups.entities);
    let found = found_pairs(outcome, truth);
    let reached: u64 = found.iter().map(|row| row.right).sum();
    Evaluation {
        records: known.len(),
        true_pairs,
        pairs: Quality::of(groups.pairs_both() as f64, groups.pairs(&groups.clusters) as f64, true_pairs as f64),
        clusters: groups.exact(1),
        clusters_of_several: groups.exact(2),
        b_cubed: groups.b_cubed(),
        blocking_recall: if true_pairs > 0 { reached as f64 / true_pairs as f64 } else { 1.0 },
        threshold_bits: f64::from(outcome.rules.threshold) / 1024.0,
        thresholds: thresholds(&found, true_pairs),
        calibration: calibration(&found),
    }
}

/// Records by cluster, by entity and by both; of each the number in the first and in the second file.
struct Groups {
    across: bool,
    clusters: HashMap<u32, [u64; 2]>,
    entities: HashMap<u32, [u64; 2]>,
    both: BTreeMap<(u32, u32), [u64; 2]>,
}

impl Groups {
    fn of(table: &Table, known: &[usize], clusters: &[u32], truth: &[u32]) -> Groups {
        let across = table.files.len() > 1;
        let mut out = Groups { across, clusters: HashMap::new(), entities: HashMap::new(), both: BTreeMap::new() };
        for record in known {
            let file = if across { table.file_of(*record) } else { 0 };
            let (cluster, entity) = (clusters[*record], truth[*record]);
            out.clusters.entry(cluster).or_default()[file] += 1;
            out.entities.entry(entity).or_default()[file] += 1;
            out.both.entry((cluster, entity)).or_default()[file] += 1;
        }
        out
    }

    fn pairs_in(&self, count: &[u64; 2]) -> u64 {
        if self.across { count[0] * count[1] } else { count[0] * count[0].saturating_sub(1) / 2 }
    }

    fn pairs(&self, groups: &HashMap<u32, [u64; 2]>) -> u64 {
        groups.values().map(|count| self.pairs_in(count)).sum()
    }

    fn pairs_both(&self) -> u64 {
        self.both.values().map(|count| self.pairs_in(count)).sum()
    }

    fn exact(&self, least: u64) -> Quality {
        let size = |count: &[u64; 2]| count[0] + count[1];
        let right = self.both.iter().filter(|((cluster, entity), count)| {
            size(count) >= least && self.clusters[cluster] == **count && self.entities[entity] == **count
        });
        let of = |groups: &HashMap<u32, [u64; 2]>| groups.values().filter(|count| size(count) >= least).count() as f64;
        Quality::of(right.count() as f64, of(&self.clusters), of(&self.entities))
    }

    fn b_cubed(&self) -> Quality {
        let size = |count: &[u64; 2]| (count[0] + count[1]) as f64;
        let (mut precision, mut recall, mut records) = (0.0, 0.0, 0.0);
        for ((cluster, entity), count) in &self.both {
            precision += size(count) * size(count) / size(&self.clusters[cluster]);
            recall += size(count) * size(count) / size(&self.entities[entity]);
            records += size(count);
        }
        Quality::from_shares(precision / f64::max(records, 1.0), recall / f64::max(records, 1.0))
    }
}

/// Record pairs of one weight.
struct Found {
    bits: i32,
    pairs: u64,
    right: u64,
}

/// Scored pairs as pairs of records, heaviest first.
fn found_pairs(outcome: &Outcome, truth: &[u32]) -> Vec<Found> {
    let data = &outcome.data;
    let scorer = Scorer { data, model: &outcome.model };
    let counts = |node: u32| {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for record in data.records_of(node as usize) {
            if truth[*record as usize] != 0 {
                *counts.entry(truth[*record as usize]).or_default() += 1;
            }
        }
        counts
    };
    let mut out: Vec<Found> = outcome
        .candidates
        .pairs
        .iter()
        .map(|ScoredPair { a, b, bits }| {
            let (x, y) = (counts(*a), counts(*b));
            let right = x.iter().map(|(entity, n)| n * y.get(entity).copied().unwrap_or(0)).sum();
            Found { bits: *bits, pairs: x.values().sum::<u64>() * y.values().sum::<u64>(), right }
        })
        .collect();
    if !data.across {
        for node in (0..data.nodes() as u32).filter(|node| data.records_of(*node as usize).len() > 1) {
            let own = counts(node);
            let two = |n: u64| n * n.saturating_sub(1) / 2;
            let right = own.values().map(|n| two(*n)).sum();
            out.push(Found { bits: scorer.bits(node, node), pairs: two(own.values().sum()), right });
        }
    }
    out.sort_by_key(|found| std::cmp::Reverse(found.bits));
    out
}

fn thresholds(found: &[Found], true_pairs: u64) -> Vec<ThresholdRow> {
    let rows = (-8..=40).step_by(2).map(|bits| {
        let above = found.partition_point(|row| row.bits >= bits * 1024);
        let pairs: u64 = found[..above].iter().map(|row| row.pairs).sum();
        let right: u64 = found[..above].iter().map(|row| row.right).sum();
        ThresholdRow { bits, pairs, quality: Quality::of(right as f64, pairs as f64, true_pairs as f64) }
    });
    rows.collect()
}

fn calibration(found: &[Found]) -> Vec<CalibrationRow> {
    const BOUNDS: [i32; 12] = [-200, -8, -6, -4, -2, 0, 2, 4, 6, 8, 12, 400];
    let rows = BOUNDS.windows(2).map(|bounds| {
        let inside = || found.iter().filter(|row| (bounds[0] * 1024..bounds[1] * 1024).contains(&row.bits));
        let pairs: u64 = inside().map(|row| row.pairs).sum();
        let expected: f64 = inside().map(|row| row.pairs as f64 * chance(row.bits)).sum();
        let right: u64 = inside().map(|row| row.right).sum();
        let all = pairs.max(1) as f64;
        CalibrationRow {
            from_bits: bounds[0],
            to_bits: bounds[1],
            pairs,
            expected: expected / all,
            actual: right as f64 / all,
        }
    });
    rows.collect()
}
