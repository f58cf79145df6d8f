//! A model epoch for files: everything that turns two records into bits, immutable and hashed.

use serde::{Deserialize, Serialize};

use crate::compare::{EQUAL, EQUAL_RAREST, level_names};
use crate::data::{Column, Data};
use crate::em::{Learned, Table};
use crate::error::Error;
use crate::spec::Kind;
use crate::values::BIT;

const FORMAT: u32 = 1;
/// A level weighs at most so much either way, in 1/1024 bit.
const WEIGHT_MAX: i32 = 40 * BIT;
/// The rarity of a value moves its weight at most so far from the mean of its level, in 1/1024 bit, down and up.
const RARITY_MOVES: (i32, i32) = (-8 * BIT, 4 * BIT);

/// Weights of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnModel {
    /// Name of the column.
    pub name: String,
    /// How it is compared.
    pub kind: Kind,
    /// Place of the column whose level its weights are given.
    pub parent: Option<usize>,
    /// Weight by level of the parent and own level, in 1/1024 bit; one row when there is no parent.
    pub weights: Vec<Vec<i32>>,
    /// By level of the parent: how far a value's rarity counts, in 1/1024; one when there is no parent.
    pub rarity_counts: Vec<i32>,
    /// By level of equal values: the rarity that the weight stands for, in 1/1024 bit.
    pub rarity_at: Vec<i32>,
    /// By level: share among matches, in millionths. For readers; scores do not use it.
    pub m_ppm: Vec<u32>,
    /// By level: share among the rest, in billionths. For readers; scores do not use it.
    pub u_ppb: Vec<u32>,
}

/// A frozen model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Version of this format.
    pub format: u32,
    /// Weight of a pair of which nothing is known, in 1/1024 bit.
    pub prior: i32,
    /// Least weight of a link, in 1/1024 bit.
    pub threshold: i32,
    /// Compared columns.
    pub columns: Vec<ColumnModel>,
    /// Blocking keys, each a list of `column:part`.
    pub keys: Vec<Vec<String>>,
    /// How it was learned.
    pub diagnostics: Diagnostics,
}

/// How a model was learned.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostics {
    /// Records that it was learned from.
    pub records: u64,
    /// Pairs of the sample.
    pub sampled_pairs: u64,
    /// Rounds of expectation maximisation.
    pub rounds: u64,
    /// Expected number of matches among all pairs of distinct records.
    pub expected_matches: u64,
    /// Log-likelihood per pair after each round, in millionths of a bit.
    pub likelihood_microbits: Vec<i64>,
}

/// In 1/1024 bit, bounded.
fn fixed(bits: f64) -> i32 {
    ((bits * f64::from(BIT)).round() as i32).clamp(-WEIGHT_MAX, WEIGHT_MAX)
}

impl Model {
    /// Freezes what was learned.
    pub fn of(data: &Data, learned: &Learned, keys: Vec<Vec<String>>, threshold: i32, sampled: usize) -> Model {
        let records = (0..data.nodes()).map(|node| data.records_of(node).len() as u64).sum();
        let columns = (0..data.columns.len()).map(|place| column_model(data, place, learned));
        Model {
            format: FORMAT,
            prior: fixed((learned.matches / (1.0 - learned.matches)).log2()),
            threshold,
            columns: columns.collect(),
            keys,
            diagnostics: Diagnostics {
                records,
                sampled_pairs: sampled as u64,
                rounds: learned.rounds as u64,
                expected_matches: (learned.matches * learned.pairs).round() as u64,
                likelihood_microbits: learned.likelihood.iter().map(|bits| (bits * 1e6).round() as i64).collect(),
            },
        }
    }

    /// The canonical bytes: JSON in the order of the fields.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a model has text keys and whole numbers only");
        text.push('\n');
        text
    }

    /// Reads a model.
    ///
    /// # Errors
    /// It is not a model of this format, or a table has the wrong shape.
    pub fn from_json(text: &str) -> Result<Model, Error> {
        let model: Model = serde_json::from_str(text).map_err(|error| Error::Model(error.to_string()))?;
        if model.format != FORMAT {
            return Err(Error::Model(format!("format {} is not {FORMAT}", model.format)));
        }
        for column in &model.columns {
            column.check(&model.columns)?;
        }
        Ok(model)
    }

    /// BLAKE3 of the canonical bytes, in hexadecimal: the epoch's name.
    pub fn hash(&self) -> String {
        blake3::hash(self.to_json().as_bytes()).to_hex().to_string()
    }
}

impl ColumnModel {
    fn check(&self, columns: &[ColumnModel]) -> Result<(), Error> {
        let rows = match self.parent {
            None => Some(1),
            Some(parent) => columns.get(parent).map(|parent| level_names(parent.kind).len()),
        };
        let shaped = Some(self.weights.len()) == rows
            && Some(self.rarity_counts.len()) == rows
            && self.weights.iter().all(|row| row.len() == level_names(self.kind).len())
            && self.rarity_at.len() == usize::from(EQUAL_RAREST) + 1
            && self.weights.iter().flatten().all(|weight| weight.abs() <= WEIGHT_MAX);
        if shaped { Ok(()) } else { Err(Error::Model(format!("column '{}' has tables of the wrong shape", self.name))) }
    }

    /// The weight of a level, in 1/1024 bit, without the rarity of its value.
    pub fn weight(&self, above: u8, level: u8) -> i32 {
        let row = if self.parent.is_some() { usize::from(above) } else { 0 };
        self.weights[row][usize::from(level)]
    }

    /// What the rarity of an equal value adds, in 1/1024 bit.
    pub fn rarity_weight(&self, above: u8, level: u8, rarity: i32) -> i32 {
        if !(EQUAL..=EQUAL_RAREST).contains(&level) {
            return 0;
        }
        let row = if self.parent.is_some() { usize::from(above) } else { 0 };
        let apart = (rarity - self.rarity_at[usize::from(level)]).clamp(RARITY_MOVES.0, RARITY_MOVES.1);
        (i64::from(apart) * i64::from(self.rarity_counts[row]) / i64::from(BIT)) as i32
    }
}

fn column_model(data: &Data, place: usize, learned: &Learned) -> ColumnModel {
    let column = &data.columns[place];
    let (m, u) = (&learned.m[place], &learned.u[place]);
    let parent = learned.parents[place];
    let rows = parent.map_or(1, |parent| level_names(data.columns[parent].kind).len());
    let levels = level_names(column.kind).len();
    let weight = |row: usize, level: usize| {
        let known = level > 0 && m[row][level] > 0.0 && u[row][level] > 0.0;
        if known { fixed((m[row][level] / u[row][level]).log2()) } else { 0 }
    };
    let weights = (0..rows).map(|row| (0..levels).map(|level| weight(row, level)).collect()).collect();
    // The row of an absent parent is the one that is closest to the column taken alone.
    let share = |table: &Table, scale: f64| table[0][..levels].iter().map(|s| (s * scale).round() as u32).collect();
    ColumnModel {
        name: column.name.clone(),
        kind: column.kind,
        parent,
        weights,
        rarity_counts: (0..rows).map(|row| rarity_counts(u, row, parent.is_some())).collect(),
        rarity_at: rarity_at(column),
        m_ppm: share(m, 1e6),
        u_ppb: share(u, 1e9),
    }
}

/// Where the parent's level makes equal values likely by itself, their rarity says little.
fn rarity_counts(u: &Table, row: usize, has_parent: bool) -> i32 {
    if !has_parent {
        return BIT;
    }
    let equal =
        |row: usize| u[row][usize::from(EQUAL)..=usize::from(EQUAL_RAREST)].iter().sum::<f64>().clamp(1e-12, 0.99);
    let counts = equal(row).log2() / equal(0).log2();
    (counts.clamp(0.0, 1.0) * f64::from(BIT)).round() as i32
}

/// The rarity at which a pair of equal values has the mean weight of its level.
fn rarity_at(column: &Column) -> Vec<i32> {
    let mut sums = [(0.0f64, 0.0f64); EQUAL_RAREST as usize + 1];
    let filled: f64 = column.values.counts.iter().skip(1).map(|count| f64::from(*count)).sum();
    for (count, rarity) in column.values.counts.iter().zip(&column.values.rarity).skip(1) {
        let share = f64::from(*count) / filled.max(1.0);
        let sum = &mut sums[usize::from(crate::compare::equal_level(*rarity))];
        sum.0 += share;
        sum.1 += share * share;
    }
    sums.iter().map(|(sum, squares)| if *squares > 0.0 { fixed((sum / squares).log2()) } else { 0 }).collect()
}
