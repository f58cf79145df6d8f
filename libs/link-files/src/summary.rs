//! What a run did, for programs: `summary.json`. Equal input gives equal bytes: it holds no time and no duration.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pairs::KeyReport;
use crate::result::decisions;
use crate::run::Outcome;
use crate::spec::Kind;
use crate::table::Table;

/// A run in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The files.
    pub files: Vec<FileSummary>,
    /// Records of all files.
    pub records: usize,
    /// Records that differ in a compared column.
    pub distinct_records: usize,
    /// Most records that are equal in all compared columns.
    pub most_equal_records: usize,
    /// Compared columns.
    pub columns: Vec<ColumnSummary>,
    /// Columns that were not compared.
    pub ignored: Vec<String>,
    /// Name of the model epoch: the hash of its bytes.
    pub model: String,
    /// Weight of a pair of which nothing is known, in bits.
    pub prior_bits: f64,
    /// Least weight of a link, in bits.
    pub threshold_bits: f64,
    /// Expected F1 of the scored pairs at the threshold, by the model.
    pub expected_f1: f64,
    /// Share of the matches, as the model expects them, that the blocking keys find.
    pub expected_blocking_recall: f64,
    /// Blocking keys and what they found.
    pub keys: Vec<KeyReport>,
    /// Most records of a block; a larger one yields no pairs.
    pub block_max: usize,
    /// Pairs of distinct records that were scored.
    pub pairs_scored: u64,
    /// Of those that reached the threshold: in one cluster.
    pub pairs_accepted: u64,
    /// Of those that reached the threshold: kept apart.
    pub pairs_refused: u64,
    /// Pairs of equal records that `pairs.csv` leaves out.
    pub pairs_not_listed: u64,
    /// By file: at most one of its records stands in a cluster.
    pub one_partner: Vec<bool>,
    /// Number of clusters, single records included.
    pub clusters: usize,
    /// Number of clusters by number of records.
    pub cluster_sizes: BTreeMap<usize, usize>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// A file in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct FileSummary {
    /// Where it was read from.
    pub file: String,
    /// Its records.
    pub records: usize,
    /// Its columns that the other file does not have.
    pub not_in_the_other: Vec<String>,
}

/// A compared column in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnSummary {
    /// Name.
    pub name: String,
    /// How it was compared.
    pub kind: Kind,
    /// Share of records that have a value.
    pub filled: f64,
    /// Distinct values.
    pub distinct: usize,
    /// Records that have the commonest value.
    pub most_frequent: u32,
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Sums a run up. `clusters` is by record; `not_listed` is what the list of pairs left out.
pub fn summarise(table: &Table, outcome: &Outcome, clusters: &[u32], not_listed: u64) -> Summary {
    let data = &outcome.data;
    let (accepted, refused) = decisions(outcome);
    let mut by_cluster: BTreeMap<u32, usize> = BTreeMap::new();
    clusters.iter().for_each(|cluster| *by_cluster.entry(*cluster).or_default() += 1);
    let mut sizes = BTreeMap::new();
    by_cluster.values().for_each(|size| *sizes.entry(*size).or_default() += 1);
    let most_equal = (0..data.nodes()).map(|node| data.records_of(node).len()).max().unwrap_or(0);
    let mut summary = Summary {
        files: table
            .files
            .iter()
            .map(|file| FileSummary {
                file: file.path.display().to_string(),
                records: file.records,
                not_in_the_other: file.alone.clone(),
            })
            .collect(),
        records: table.records(),
        distinct_records: data.nodes(),
        most_equal_records: most_equal,
        columns: data
            .columns
            .iter()
            .map(|column| ColumnSummary {
                name: column.name.clone(),
                kind: column.kind,
                filled: rounded(column.filled, 4),
                distinct: column.values.len() - 1,
                most_frequent: column.most_frequent,
            })
            .collect(),
        ignored: outcome.spec.ignore.iter().chain(&data.left_out).cloned().collect(),
        model: outcome.model.hash(),
        prior_bits: rounded(f64::from(outcome.model.prior) / 1024.0, 3),
        threshold_bits: rounded(f64::from(outcome.rules.threshold) / 1024.0, 3),
        expected_f1: rounded(outcome.expected_f1, 4),
        expected_blocking_recall: rounded(outcome.expected_recall, 4),
        keys: outcome.candidates.keys.clone(),
        block_max: outcome.candidates.block_max,
        pairs_scored: outcome.candidates.scored,
        pairs_accepted: accepted,
        pairs_refused: refused,
        pairs_not_listed: not_listed,
        one_partner: outcome.rules.one[..table.files.len()].to_vec(),
        clusters: by_cluster.len(),
        cluster_sizes: sizes,
        notes: Vec::new(),
    };
    summary.notes = notes(&summary);
    summary
}

fn notes(summary: &Summary) -> Vec<String> {
    let mut out = Vec::new();
    if summary.most_equal_records > 100 {
        out.push(format!(
            "{} records are equal in every compared column; equal records are compared once and listed with the first of them",
            summary.most_equal_records
        ));
    }
    for column in summary
        .columns
        .iter()
        .filter(|column| u64::from(column.most_frequent) * 50 > summary.records as u64 && column.distinct > 1_000)
    {
        out.push(format!(
            "one value of column '{}' stands in {} records; check that it is not a placeholder",
            column.name, column.most_frequent
        ));
    }
    for key in summary.keys.iter().filter(|key| key.large_blocks > 0) {
        out.push(format!(
            "key {}: {} blocks of more than {} records ({} records) yielded no pairs; other keys look at these records",
            key.key.join(" + "),
            key.large_blocks,
            summary.block_max,
            key.large_block_records
        ));
    }
    let largest = summary.cluster_sizes.keys().next_back().copied().unwrap_or(0);
    if largest > 100 {
        out.push(format!("the largest cluster has {largest} records"));
    }
    if summary.expected_f1 < 0.8 && summary.pairs_accepted > 0 {
        out.push(
            "the model itself expects an F1 below 0.8: compare more columns, or check the links by hand".to_owned(),
        );
    }
    out
}
