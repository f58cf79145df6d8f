//! Learns how often each level occurs among pairs that are one entity (m) and among those that are not (u), without labels,
//! by expectation maximisation over a sample that stands for all pairs.
//!
//! Columns are first taken to be independent given the class. Then a tree is laid over them that joins each column to the one it
//! depends on most (postcode on suburb, full name on surname), after Chow and Liu, and the levels of a column are learned
//! given the level of its parent: what two columns say together is not counted twice.

use crate::compare::{ABSENT, EQUAL, LEVELS_MAX, UNEQUAL, level_names, near_levels};
use crate::data::{Column, Data};
use crate::sample::{Sampled, level_in};
use crate::values::BIT;

/// Levels of a column given the level of its parent; row 0 when it has no parent.
pub type Table = [[f64; LEVELS_MAX]; LEVELS_MAX];

/// What was learned.
#[derive(Clone, Debug)]
pub struct Learned {
    /// By column: its parent.
    pub parents: Vec<Option<usize>>,
    /// By column: levels among matches.
    pub m: Vec<Table>,
    /// By column: levels among the rest.
    pub u: Vec<Table>,
    /// Share of matches among all pairs.
    pub matches: f64,
    /// Number of all pairs.
    pub pairs: f64,
    /// Rounds until nothing moved any more, both phases together.
    pub rounds: usize,
    /// By round: the log-likelihood per pair of the sample, in bits.
    pub likelihood: Vec<f64>,
}

const ROUNDS_MAX: usize = 150;
/// A round that moves the number of matches by less than this share is the last.
const SETTLED: f64 = 2e-4;
/// Pairs that the prior of m stands for.
const PRIOR_PAIRS: f64 = 25.0;
/// How strongly the prior of m holds against what the matches show, while the columns are taken to be independent: without
/// it the class of matches drifts to whatever large group of pairs is alike (the same venue, the same household).
const PULL_FIRST: f64 = 0.7;
/// The same, once dependent columns are joined.
const PULL_THEN: f64 = 0.14;
/// Pairs that pull a row of a table towards the column's levels whatever its parent's.
const ROW_PAIRS: f64 = 15.0;
/// Two columns that tell more together than this, in bits per match, are joined.
const DEPENDENT_BITS: f64 = 0.25;

/// Most matches per record on average: as if every record stood in a cluster of twenty.
const MATCHES_MAX: f64 = 10.0;
/// Share of all pairs that may be matches in any case, up to so many: small files may be of a few entities.
const MATCHES_SHARE_MAX: (f64, f64) = (0.02, 100_000.0);
/// A column with so many bits per value, on average, is expected to agree among matches; one with fewer (a sex, a source) is
/// less so, as it may well be one that they differ in.
const TELLING_BITS: f64 = 3.0;
/// Share of the pull that a column with hardly any bits has.
const PULL_LEAST: f64 = 0.05;

/// Equal patterns of levels, taken together.
#[derive(Clone, Copy)]
struct Pattern {
    levels: u128,
    weight: f64,
    /// Sum of the squares of the weights.
    squares: f64,
}

/// Learns from a sample.
pub fn learn(data: &Data, sample: &[Sampled]) -> Learned {
    let patterns = patterns(sample);
    let mut learner = Learner::new(data, patterns);
    learner.settle();
    learner.join();
    learner.pull = PULL_THEN;
    learner.settle();
    learner.learned
}

fn patterns(sample: &[Sampled]) -> Vec<Pattern> {
    let mut all: Vec<(u128, f64)> = sample.iter().map(|pair| (pair.levels, pair.weight)).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let sum = |same: &[(u128, f64)]| Pattern {
        levels: same[0].0,
        weight: same.iter().map(|(_, weight)| weight).sum(),
        squares: same.iter().map(|(_, weight)| weight * weight).sum(),
    };
    all.chunk_by(|a, b| a.0 == b.0).map(sum).collect()
}

struct Learner<'a> {
    data: &'a Data,
    patterns: Vec<Pattern>,
    /// By pattern: the chance that it is a match.
    chances: Vec<f64>,
    learned: Learned,
    /// By column: what m is pulled towards.
    prior: Vec<[f64; LEVELS_MAX]>,
    /// How strongly m is pulled, as a share of the matches.
    pull: f64,
    /// By column: the share of the pull that it has.
    telling: Vec<f64>,
    /// By column: levels among all pairs.
    population: Vec<[f64; LEVELS_MAX]>,
    /// Largest share of matches among all pairs.
    matches_max: f64,
}

impl<'a> Learner<'a> {
    fn new(data: &'a Data, patterns: Vec<Pattern>) -> Learner<'a> {
        let columns = data.columns.len();
        let pairs: f64 = patterns.iter().map(|pattern| pattern.weight).sum();
        let prior: Vec<_> = (0..columns).map(|column| prior_of(data, column, &patterns)).collect();
        let learned = Learned {
            parents: vec![None; columns],
            m: prior.iter().map(|prior| [*prior; LEVELS_MAX]).collect(),
            u: vec![[[0.0; LEVELS_MAX]; LEVELS_MAX]; columns],
            matches: (0.2 * data.nodes() as f64 / pairs).min(0.2),
            pairs,
            rounds: 0,
            likelihood: Vec::new(),
        };
        let chances = vec![0.0; patterns.len()];
        let population = (0..columns).map(|column| population(&patterns, column)).collect();
        let (share, most) = MATCHES_SHARE_MAX;
        let matches_max = (MATCHES_MAX * data.nodes() as f64 / pairs).max(share.min(most / pairs)).min(0.5);
        let telling =
            data.columns.iter().map(|column| (bits_per_value(column) / TELLING_BITS).powi(2).clamp(PULL_LEAST, 1.0));
        let telling = telling.collect();
        let mut learner =
            Learner { data, patterns, chances, learned, population, matches_max, prior, pull: PULL_FIRST, telling };
        learner.maximise_u();
        learner
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = self.learned.matches;
            self.expect();
            self.maximise();
            self.learned.rounds += 1;
            if (self.learned.matches - before).abs() <= SETTLED * before {
                break;
            }
        }
        self.expect();
    }

    fn expect(&mut self) {
        let log = LogTables::of(&self.learned);
        let mut likelihood = 0.0;
        for (pattern, chance) in self.patterns.iter().zip(&mut self.chances) {
            let (m, u) = log.both(pattern.levels);
            *chance = 1.0 / (1.0 + (u - m).exp2());
            likelihood += pattern.weight * (m.max(u) + (1.0 + (-(m - u).abs()).exp2()).log2());
        }
        self.learned.likelihood.push(likelihood / self.learned.pairs);
    }

    fn maximise(&mut self) {
        let matches: f64 = self.patterns.iter().zip(&self.chances).map(|(p, chance)| p.weight * chance).sum();
        self.learned.matches = (matches / self.learned.pairs).clamp(1e-15, self.matches_max);
        self.maximise_m();
        self.maximise_u();
    }

    fn maximise_m(&mut self) {
        for column in 0..self.data.columns.len() {
            let filled = self.learned.matches * self.learned.pairs * self.data.columns[column].filled;
            let pull = PRIOR_PAIRS + self.pull * self.telling[column] * filled;
            let mut whole = self.prior[column].map(|share| share * pull);
            self.count(column, true, |_, level, weight, _| whole[level] += weight);
            normalise(&mut whole);
            self.learned.m[column] = self.rows(column, true, &whole);
        }
    }

    fn maximise_u(&mut self) {
        for column in 0..self.data.columns.len() {
            let mut whole = [0.0; LEVELS_MAX];
            let levels = level_names(self.data.columns[column].kind).len();
            // Half a pair in each level: what was never seen is rare, not impossible.
            whole[usize::from(EQUAL)..levels].fill(0.5);
            self.count(column, false, |_, level, weight, _| whole[level] += weight);
            normalise(&mut whole);
            // Matches cannot be the reason why a level is met more often than there can be matches.
            for (share, all) in whole.iter_mut().zip(&self.population[column]) {
                *share = share.max(all - self.matches_max);
            }
            normalise(&mut whole);
            self.learned.u[column] = self.rows(column, false, &whole);
        }
    }

    /// Calls `add(parent's level, level, weight, squared weight)` for every pattern that has a level in the column.
    fn count(&self, column: usize, matches: bool, mut add: impl FnMut(usize, usize, f64, f64)) {
        let parent = self.learned.parents[column];
        for (pattern, chance) in self.patterns.iter().zip(&self.chances) {
            let level = level_in(pattern.levels, column);
            if level != ABSENT {
                let share = if matches { *chance } else { 1.0 - chance };
                let above = parent.map_or(0, |parent| usize::from(level_in(pattern.levels, parent)));
                add(above, usize::from(level), pattern.weight * share, pattern.squares * share * share);
            }
        }
    }

    fn rows(&self, column: usize, matches: bool, whole: &[f64; LEVELS_MAX]) -> Table {
        if self.learned.parents[column].is_none() {
            return [*whole; LEVELS_MAX];
        }
        let mut table = [[0.0; LEVELS_MAX]; LEVELS_MAX];
        let mut sums = [(0.0, 0.0); LEVELS_MAX];
        self.count(column, matches, |above, level, weight, squares| {
            table[above][level] += weight;
            sums[above].0 += weight;
            sums[above].1 += squares;
        });
        for (row, (sum, squares)) in table.iter_mut().zip(sums) {
            // Pairs of the sample count, not the pairs that they stand for.
            let seen = if squares > 0.0 { sum * sum / squares } else { 0.0 };
            let pull = ROW_PAIRS / (ROW_PAIRS + seen);
            for (cell, share) in row.iter_mut().zip(whole) {
                let own = if sum > 0.0 { *cell / sum } else { 0.0 };
                *cell = pull * share + (1.0 - pull) * own;
            }
        }
        table
    }

    /// Lays the tree: the heaviest edges first, none that closes a circle; then every edge leads away from the column that
    /// tells most.
    fn join(&mut self) {
        let columns = self.data.columns.len();
        let mut edges = Vec::new();
        for a in 0..columns {
            for b in a + 1..columns {
                let bits = self.dependence(a, b);
                if bits > DEPENDENT_BITS {
                    edges.push((bits, a, b));
                }
            }
        }
        edges.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        let mut parts: Vec<usize> = (0..columns).collect();
        let mut beside = vec![Vec::new(); columns];
        for (_, a, b) in edges {
            let (x, y) = (parts[a], parts[b]);
            if x != y {
                parts.iter_mut().filter(|part| **part == y).for_each(|part| *part = x);
                beside[a].push(b);
                beside[b].push(a);
            }
        }
        let mut order: Vec<usize> = (0..columns).collect();
        let told: Vec<f64> = (0..columns).map(|column| self.told(column)).collect();
        order.sort_by(|a, b| told[*b].total_cmp(&told[*a]).then(a.cmp(b)));
        let mut seen = vec![false; columns];
        for root in order {
            let mut left = vec![root];
            while let Some(column) = left.pop() {
                if std::mem::replace(&mut seen[column], true) {
                    continue;
                }
                for other in &beside[column] {
                    if !seen[*other] {
                        self.learned.parents[*other] = Some(column);
                        left.push(*other);
                    }
                }
            }
        }
        self.maximise();
    }

    /// Bits that a column tells of a match on average.
    fn told(&self, column: usize) -> f64 {
        let (m, u) = (&self.learned.m[column][0], &self.learned.u[column][0]);
        let bits = m.iter().zip(u).filter(|(m, u)| **m > 0.0 && **u > 0.0).map(|(m, u)| m * (m / u).log2());
        bits.sum::<f64>() * self.data.columns[column].filled
    }

    /// What two columns would be counted twice for if they were taken to be independent: how much more often their levels
    /// come together than apart, in bits per match, among matches and among the rest.
    fn dependence(&self, a: usize, b: usize) -> f64 {
        let mut joint = [[[0.0f64; LEVELS_MAX]; LEVELS_MAX]; 2];
        let mut sums = [0.0f64; 2];
        for (pattern, chance) in self.patterns.iter().zip(&self.chances) {
            let (x, y) = (level_in(pattern.levels, a), level_in(pattern.levels, b));
            if x != ABSENT && y != ABSENT {
                for (class, share) in [*chance, 1.0 - chance].into_iter().enumerate() {
                    joint[class][usize::from(x)][usize::from(y)] += pattern.weight * share;
                    sums[class] += pattern.weight * share;
                }
            }
        }
        if sums[0] < 20.0 {
            return 0.0;
        }
        let lifts = joint.map(|table| lift(&table));
        let mut bits = [0.0; 2];
        for x in 1..LEVELS_MAX {
            for y in 1..LEVELS_MAX {
                let share = joint[0][x][y] / sums[0];
                bits[0] += share * lifts[0][x][y];
                bits[1] += share * lifts[1][x][y];
            }
        }
        bits[0].max(0.0) + bits[1].max(0.0)
    }
}

/// log2 of how much more often two levels come together than if they were independent.
fn lift(joint: &[[f64; LEVELS_MAX]; LEVELS_MAX]) -> [[f64; LEVELS_MAX]; LEVELS_MAX] {
    let sum: f64 = joint.iter().flatten().sum();
    let rows = joint.map(|row| row.iter().sum::<f64>());
    let mut columns = [0.0; LEVELS_MAX];
    for row in joint {
        columns.iter_mut().zip(row).for_each(|(column, cell)| *column += cell);
    }
    let mut out = [[0.0; LEVELS_MAX]; LEVELS_MAX];
    for x in 1..LEVELS_MAX {
        for y in 1..LEVELS_MAX {
            let expected = rows[x] * columns[y] / sum.max(1e-300);
            // Some pairs more on both sides: a cell that was hardly seen says nothing.
            out[x][y] = ((joint[x][y] + 3.0) / (expected + 3.0)).log2();
        }
    }
    out
}

/// Mean rarity of a value, in bits.
fn bits_per_value(column: &Column) -> f64 {
    let (mut sum, mut records) = (0.0, 0.0);
    for (count, rarity) in column.values.counts.iter().zip(&column.values.rarity).skip(1) {
        sum += f64::from(*count) * f64::from(*rarity) / f64::from(BIT);
        records += f64::from(*count);
    }
    sum / f64::max(records, 1.0)
}

fn population(patterns: &[Pattern], column: usize) -> [f64; LEVELS_MAX] {
    let mut all = [0.0; LEVELS_MAX];
    patterns.iter().for_each(|pattern| all[usize::from(level_in(pattern.levels, column))] += pattern.weight);
    all[usize::from(ABSENT)] = 0.0;
    normalise(&mut all);
    all
}

fn normalise(shares: &mut [f64; LEVELS_MAX]) {
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum.max(1e-300));
}

/// Share of matches that agree, wholly or nearly, before anything is learned.
const AGREE: f64 = 0.92;

/// What is known of a column's levels among matches before anything is learned: mostly equal or near, seldom different. How
/// the levels of agreement share this is taken from how often the sample has them, so that a level that these records never
/// reach gets nothing.
fn prior_of(data: &Data, place: usize, patterns: &[Pattern]) -> [f64; LEVELS_MAX] {
    let column = &data.columns[place];
    let mut prior = [0.0; LEVELS_MAX];
    let mut seen = [0.0; LEVELS_MAX];
    for pattern in patterns {
        let level = usize::from(level_in(pattern.levels, place));
        prior[level] += pattern.weight;
        seen[level] += pattern.weight * pattern.weight / pattern.squares;
    }
    prior[0] = 0.0;
    let first = usize::from(UNEQUAL);
    let near = near_levels(column.kind);
    for (level, share) in prior.iter_mut().enumerate().take(first + near) {
        let bits = match level {
            // Equal values are as much more frequent among matches as they are rare.
            _ if level < first => [0.0, 3.0, 6.0, 9.0, 13.0][level],
            _ => 7.0 - 4.0 * (level - first) as f64 / near as f64,
        };
        *share *= bits.exp2() * (seen[level] / (seen[level] + 5.0));
    }
    let agreed: f64 = prior[..first + near].iter().sum();
    let apart: f64 = prior[first + near..].iter().sum();
    prior[..first + near].iter_mut().for_each(|share| *share *= AGREE / agreed.max(1e-300));
    // Half by how often they are met, half evenly: of values that differ, matches differ less.
    let levels = level_names(column.kind).len();
    for share in &mut prior[first + near..levels] {
        *share = (1.0 - AGREE) * (0.5 * *share / apart.max(1e-300) + 0.5 / (levels - first - near) as f64);
    }
    prior
}

/// Logarithms of what was learned.
pub(crate) struct LogTables<'a> {
    learned: &'a Learned,
    m: Vec<Table>,
    u: Vec<Table>,
    prior: (f64, f64),
}

impl LogTables<'_> {
    pub(crate) fn of(learned: &Learned) -> LogTables<'_> {
        let log = |tables: &Vec<Table>| -> Vec<Table> {
            tables.iter().map(|table| table.map(|row| row.map(|share| share.max(1e-12).log2()))).collect()
        };
        let prior = (learned.matches.log2(), (1.0 - learned.matches).log2());
        LogTables { learned, m: log(&learned.m), u: log(&learned.u), prior }
    }

    /// log2 of the chance of a pattern, together with either class.
    pub(crate) fn both(&self, levels: u128) -> (f64, f64) {
        let (mut m, mut u) = self.prior;
        for (column, parent) in self.learned.parents.iter().enumerate() {
            let level = usize::from(level_in(levels, column));
            if level != usize::from(ABSENT) {
                let above = parent.map_or(0, |parent| usize::from(level_in(levels, parent)));
                m += self.m[column][above][level];
                u += self.u[column][above][level];
            }
        }
        (m, u)
    }
}
