//! Learning a model epoch from a sample of rows, without labels.
//!
//! - Rarity of name tokens: counted in the sample.
//! - u, how often two different subjects agree: of name, date of birth and sex from random pairs; of commune, parents and phone
//!   from the blocked pairs that are no match, because families share them and most candidates are of one family.
//! - m, how often two mentions of one subject agree: by expectation maximisation over the blocked pairs, begun with the model
//!   that serves.
//! - Numbers (personal id, old id, insurance, parcel): computed from their digits, hence kept.
//! - The prior: expected matches among all pairs of the sample. Drawing a sample of the records leaves that share as it is.
//!
//! A level that is seen too seldom keeps its weight; every weight stays within some bits of where it was, and all are rounded to
//! the fixed point. Deterministic: the same rows in any order give the same model. What is learned is a proposal: it links
//! nothing until an operator has compared and switched.

use std::collections::BTreeMap;

use crate::frequency::rarity;
use crate::hash::{finish, hash_word};
use crate::keys::blocking_keys;
use crate::level::{Field, Level};
use crate::model::Model;
use crate::row::{FeatureRow, Kind};
use crate::text::tokens;

/// Fewest pairs of either sort for a level to be learned.
const PAIRS_MIN: f64 = 30.0;
/// Most bits that a weight moves in one epoch.
const MOVE_MAX: f64 = 6.0;
/// Most bits that the prior moves in one epoch.
const PRIOR_MOVE_MAX: f64 = 12.0;
/// Random pairs for u.
const RANDOM_PAIRS: u64 = 2_000_000;
/// Most blocked pairs that are looked at.
const BLOCKED_PAIRS_MAX: usize = 4_000_000;
/// A token that fewer bearers have keeps what the model knew of it.
const BEARERS_MIN: u64 = 5;
/// Tokens of a place that are kept: the most frequent.
const TOKENS_KEPT: usize = 20_000;
/// Fewest rows of persons that anything is learned from.
pub const ROWS_MIN: usize = 1_000;

/// What was learned, with what it was learned from.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The model, still under the epoch of the one that it was begun with.
    pub model: Model,
    /// Rows of persons.
    pub rows: usize,
    /// Blocked pairs.
    pub blocked_pairs: usize,
    /// Expected matches among them.
    pub matches: f64,
    /// Rounds of expectation maximisation.
    pub rounds: u32,
    /// The largest change of a weight in the last round, in bits.
    pub last_change: f64,
    /// What became of every level that is learned.
    pub levels: Vec<LearnedLevel>,
}

/// A level, learned or kept.
#[derive(Debug, Clone)]
pub struct LearnedLevel {
    /// The level.
    pub level: Level,
    /// Expected share among matches that say anything of the field.
    pub m: f64,
    /// Share among pairs of different subjects.
    pub u: f64,
    /// Weight before, in bits.
    pub before: f64,
    /// Weight now, in bits.
    pub after: f64,
    /// Why it was kept; empty when it was learned.
    pub kept: &'static str,
}

/// Why nothing was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// Too few rows.
    #[error("the sample holds {0} mentions of persons; at least {ROWS_MIN} are needed")]
    Rows(usize),
    /// Too few pairs that are one subject.
    #[error("hardly any two mentions of the sample are one person: take a larger sample")]
    Matches,
}

/// Two rows, and how their fields compare; the name first, where the rarity counts.
struct Pair {
    levels: [Level; FIELDS],
    rarity: i32,
    bits: i32,
}

const FIELDS: usize = 10;

fn pair(model: &Model, a: &FeatureRow, b: &FeatureRow) -> Pair {
    let score = model.score(a, b);
    let mut levels = [Level::Prior; FIELDS];
    levels[..score.levels().len()].copy_from_slice(score.levels());
    let rarity = model.name_rarity(a.name()).min(model.name_rarity(b.name()));
    Pair { levels, rarity: i32::from(rarity), bits: score.bits }
}

fn bits(weight: i32) -> f64 {
    f64::from(weight) / 1024.0
}

/// Whether the field's weights are learned, and whether its u is that of families.
fn learned(field: Field) -> Option<bool> {
    match field {
        Field::Name | Field::Birth | Field::Sex => Some(false),
        Field::Commune | Field::Mother | Field::Father | Field::Phone => Some(true),
        Field::Prior | Field::PersonalId | Field::OldId | Field::Insurance | Field::ParcelId | Field::Cadastral => None,
    }
}

fn absent(level: Level) -> bool {
    matches!(
        level,
        Level::NameAbsent
            | Level::BirthAbsent
            | Level::SexAbsent
            | Level::PlaceAbsent
            | Level::MotherAbsent
            | Level::FatherAbsent
            | Level::PhoneAbsent
    )
}

impl Model {
    /// Learns from a sample of rows, beginning with this model.
    ///
    /// # Errors
    /// [`LearnError`] when the sample tells too little.
    pub fn learn(&self, sample: &[FeatureRow]) -> Result<Learned, LearnError> {
        let mut rows: Vec<FeatureRow> = sample.iter().copied().filter(|row| row.kind() == Some(Kind::Person)).collect();
        if rows.len() < ROWS_MIN {
            return Err(LearnError::Rows(rows.len()));
        }
        rows.sort_unstable();
        let mut model = self.with_names(&rows);
        let random = random_levels(&model, &rows);
        let pairs = blocked(&model, &rows);
        let mut learned = Learned {
            model: model.clone(),
            rows: rows.len(),
            blocked_pairs: pairs.len(),
            matches: 0.0,
            rounds: 0,
            last_change: f64::INFINITY,
            levels: Vec::new(),
        };
        while learned.rounds < 20 && learned.last_change > 0.01 {
            let counts = expect(&model, &pairs);
            if counts.matches < PAIRS_MIN {
                return Err(LearnError::Matches);
            }
            let levels = maximise(self, &random, &counts);
            let all = rows.len() as f64 * (rows.len() as f64 - 1.0) / 2.0;
            let prior = (counts.matches / (all - counts.matches)).log2();
            let before = bits(self.weight(Level::Prior));
            let prior = prior.clamp(before - PRIOR_MOVE_MAX, before + PRIOR_MOVE_MAX);
            let mut next = model.clone();
            next.set_weight(Level::Prior, fixed(prior));
            levels.iter().for_each(|level| next.set_weight(level.level, fixed(level.after)));
            let moved = |level: &LearnedLevel| (bits(model.weight(level.level)) - level.after).abs();
            learned.last_change = levels.iter().map(moved).fold(0.0, f64::max);
            learned.rounds += 1;
            learned.matches = counts.matches;
            learned.levels = levels;
            model = next;
        }
        learned.model = model;
        Ok(learned)
    }

    /// The same model with the rarity of names as the rows have them.
    fn with_names(&self, rows: &[FeatureRow]) -> Model {
        let mut counts: [BTreeMap<Vec<u8>, u64>; 3] = Default::default();
        let mut bearers = 0u64;
        for row in rows {
            let mut parts = tokens(row.name());
            let Some(last) = parts.next_back() else { continue };
            bearers += 1;
            let mut count = |place: usize, token: &[u8]| *counts[place].entry(token.to_vec()).or_default() += 1;
            if let Some(first) = parts.next() {
                count(0, first);
            }
            parts.for_each(|token| count(1, token));
            count(2, last);
        }
        let mut model = self.clone();
        for (place, counts) in counts.into_iter().enumerate() {
            let mut by_count: Vec<(Vec<u8>, u64)> = counts.into_iter().filter(|(_, n)| *n >= BEARERS_MIN).collect();
            by_count.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            by_count.truncate(TOKENS_KEPT);
            let per_100k = |n: u64| u32::try_from(n * 100_000 / bearers.max(1)).unwrap_or(u32::MAX).max(1);
            model.learn_names(place, by_count.into_iter().map(|(token, n)| (token, rarity(per_100k(n)))));
        }
        model
    }
}

fn fixed(bits: f64) -> i32 {
    (bits * 1024.0).round() as i32
}

/// How often random pairs show a level, among those that say anything of its field, with the mean rarity of their names.
struct Random {
    shown: Vec<f64>,
    rarity: Vec<f64>,
    said: BTreeMap<Field, f64>,
}

fn random_levels(model: &Model, rows: &[FeatureRow]) -> Random {
    let mut out = Random { shown: vec![0.0; 256], rarity: vec![0.0; 256], said: BTreeMap::new() };
    let n = rows.len() as u64;
    for at in 0..RANDOM_PAIRS.min(n * 200) {
        let draw = |salt: u64| (finish(hash_word(salt, at)) % n) as usize;
        let (a, b) = (draw(0x6c65_6172_6e00), draw(0x6c65_6172_6e01));
        if a == b || rows[a] == rows[b] {
            continue;
        }
        let pair = pair(model, &rows[a], &rows[b]);
        for level in pair.levels.iter().filter(|level| **level != Level::Prior && !absent(**level)) {
            out.shown[*level as usize] += 1.0;
            out.rarity[*level as usize] += bits(pair.rarity);
            *out.said.entry(level.field()).or_default() += 1.0;
        }
    }
    out
}

/// Pairs that share a blocking key, each once.
fn blocked(model: &Model, rows: &[FeatureRow]) -> Vec<Pair> {
    let mut keyed: Vec<(u64, u32)> = Vec::with_capacity(rows.len() * 8);
    let mut keys = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        keys.clear();
        blocking_keys(row, &mut keys);
        keyed.extend(keys.iter().map(|key| (*key, at as u32)));
    }
    keyed.sort_unstable();
    let mut found: Vec<(u32, u32)> = Vec::new();
    for block in keyed.chunk_by(|a, b| a.0 == b.0) {
        if block.len() > model.key_nodes_max() {
            continue;
        }
        for (at, (_, a)) in block.iter().enumerate() {
            found.extend(block[at + 1..].iter().map(|(_, b)| (*a.min(b), *a.max(b))));
        }
        // Keys are hashes: where it ends is as good as a draw.
        if found.len() > 4 * BLOCKED_PAIRS_MAX {
            break;
        }
    }
    found.sort_unstable();
    found.dedup();
    let step = found.len().div_ceil(BLOCKED_PAIRS_MAX).max(1);
    found.into_iter().step_by(step).map(|(a, b)| pair(model, &rows[a as usize], &rows[b as usize])).collect()
}

/// Expected pairs by level, among matches and among the others.
struct Counts {
    matches: f64,
    one: Vec<f64>,
    two: Vec<f64>,
    one_said: BTreeMap<Field, f64>,
    two_said: BTreeMap<Field, f64>,
}

fn expect(model: &Model, pairs: &[Pair]) -> Counts {
    let mut out = Counts {
        matches: 0.0,
        one: vec![0.0; 256],
        two: vec![0.0; 256],
        one_said: BTreeMap::new(),
        two_said: BTreeMap::new(),
    };
    for pair in pairs {
        let own = |level: &Level| {
            let rarity = if level.counts_rarity() { pair.rarity } else { 0 };
            model.weight(*level) + rarity
        };
        let shown = pair.levels.iter().filter(|level| **level != Level::Prior);
        debug_assert!(pair.bits > i32::MIN, "rows of one kind are compared");
        let bits = bits(model.weight(Level::Prior) + shown.clone().map(own).sum::<i32>());
        let p = 1.0 / (1.0 + (-bits).exp2());
        out.matches += p;
        for level in shown.filter(|level| !absent(**level)) {
            out.one[*level as usize] += p;
            out.two[*level as usize] += 1.0 - p;
            *out.one_said.entry(level.field()).or_default() += p;
            *out.two_said.entry(level.field()).or_default() += 1.0 - p;
        }
    }
    out
}

fn maximise(base: &Model, random: &Random, counts: &Counts) -> Vec<LearnedLevel> {
    let mut out = Vec::new();
    for level in Level::ALL.iter().copied().filter(|level| !absent(*level)) {
        let Some(of_families) = learned(level.field()) else { continue };
        let at = level as usize;
        let said = |of: &BTreeMap<Field, f64>| of.get(&level.field()).copied().unwrap_or(0.0).max(1.0);
        let (one, m) = (counts.one[at], counts.one[at] / said(&counts.one_said));
        let (two, u) = if of_families {
            (counts.two[at], counts.two[at] / said(&counts.two_said))
        } else {
            (random.shown[at], random.shown[at] / said(&random.said))
        };
        let before = bits(base.weight(level));
        let kept = match (one < PAIRS_MIN, two < PAIRS_MIN) {
            (true, _) => "hardly seen among matches",
            (_, true) => "hardly seen among others",
            (false, false) => "",
        };
        let after = if kept.is_empty() {
            let rarity = if level.counts_rarity() { random.rarity[at] / two.max(1.0) } else { 0.0 };
            ((m / u).log2() - rarity).clamp(before - MOVE_MAX, before + MOVE_MAX)
        } else {
            before
        };
        out.push(LearnedLevel { level, m, u, before, after, kept });
    }
    out
}
