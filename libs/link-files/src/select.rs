//! Chooses blocking keys: the few conjunctions of atoms that find most matches for the fewest pairs.

use crate::atoms::{ATOMS_MAX, Atom};
use crate::data::Data;
use crate::em::{Learned, LogTables};
use crate::sample::Sampled;

/// A blocking key: records that share a hash in each of these atoms (bits) are candidates.
pub type KeyAtoms = u64;

/// Most keys.
pub const KEYS_MAX: usize = 16;
/// Worth of finding a match for the first, second, … time: finding it again is insurance against slips that the sample lacks.
const WORTH: [f64; 4] = [1.0, 0.15, 0.04, 0.0];
/// A key that adds less than this share of the worth of all matches is not taken.
const LEAST_GAIN: f64 = 3e-4;
/// A key costs, besides its pairs, about so many pairs per record for sorting.
const SORT_COST: f64 = 0.3;

/// The chosen keys, and what they are expected to find.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// Keys, in the order of choice.
    pub keys: Vec<KeyAtoms>,
    /// Share of the sample's expected matches that they find.
    pub recall: f64,
    /// Pairs that they are expected to yield.
    pub pairs: f64,
}

/// Equal sets of shared atoms, taken together.
struct Group {
    atoms: u64,
    pairs: f64,
    matches: f64,
}

struct Candidate {
    key: KeyAtoms,
    cost: f64,
    /// Places of the groups of matches that it finds.
    found: Vec<u32>,
}

/// Chooses keys whose pairs together stay below `pairs_max`.
pub fn select(data: &Data, atoms: &[Atom], sample: &[Sampled], learned: &Learned, pairs_max: f64) -> Selected {
    let groups = groups(sample, learned);
    let (matches, total) = matches_of(&groups);
    let candidates = candidates(data, atoms, &groups, &matches, total, pairs_max);
    let mut times = vec![0usize; matches.len()];
    let mut out = Selected { keys: Vec::new(), recall: 0.0, pairs: 0.0 };
    while out.keys.len() < KEYS_MAX {
        let Some((best, gain)) = best(&candidates, &matches, &times, &out, pairs_max) else { break };
        if gain < LEAST_GAIN * total {
            break;
        }
        out.keys.push(best.key);
        out.pairs += best.cost - SORT_COST * data.nodes() as f64;
        best.found.iter().for_each(|place| times[*place as usize] += 1);
    }
    let found: f64 = matches.iter().zip(&times).filter(|(_, times)| **times > 0).map(|(group, _)| group.matches).sum();
    out.recall = if total > 0.0 { found / total } else { 0.0 };
    out
}

fn groups(sample: &[Sampled], learned: &Learned) -> Vec<Group> {
    let log = LogTables::of(learned);
    let mut all: Vec<(u64, f64, f64)> = sample
        .iter()
        .filter(|pair| pair.atoms != 0 && pair.nodes.0 != pair.nodes.1)
        .map(|pair| {
            let (m, u) = log.both(pair.levels);
            (pair.atoms, pair.weight, pair.weight / (1.0 + (u - m).exp2()))
        })
        .collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
    let group = |same: &[(u64, f64, f64)]| Group {
        atoms: same[0].0,
        pairs: same.iter().map(|pair| pair.1).sum(),
        matches: same.iter().map(|pair| pair.2).sum(),
    };
    all.chunk_by(|a, b| a.0 == b.0).map(group).collect()
}

/// Groups that hold matches, the fullest first, and the matches of all.
fn matches_of(groups: &[Group]) -> (Vec<&Group>, f64) {
    let mut matches: Vec<&Group> = groups.iter().filter(|group| group.matches > 0.01).collect();
    matches.sort_by(|a, b| b.matches.total_cmp(&a.matches).then(a.atoms.cmp(&b.atoms)));
    matches.truncate(20_000);
    let total = matches.iter().map(|group| group.matches).sum();
    (matches, total)
}

/// Keys of one, two and three atoms of different columns that are worth a look.
fn candidates(
    data: &Data,
    atoms: &[Atom],
    groups: &[Group],
    matches: &[&Group],
    total: f64,
    pairs_max: f64,
) -> Vec<Candidate> {
    let mut out = Vec::new();
    let mut broad: Vec<(f64, KeyAtoms)> = Vec::new();
    let mut look = |key: KeyAtoms, broad: Option<&mut Vec<(f64, KeyAtoms)>>| {
        let found: Vec<u32> = (0..matches.len() as u32).filter(|g| matches[*g as usize].atoms & key == key).collect();
        let gain: f64 = found.iter().map(|g| matches[*g as usize].matches).sum();
        if gain < 0.005 * total {
            return;
        }
        let pairs: f64 = groups.iter().filter(|group| group.atoms & key == key).map(|group| group.pairs).sum();
        // A key that yields few pairs beyond its matches gains nothing by another atom.
        if let Some(broad) = broad.filter(|_| pairs > 3.0 * gain) {
            broad.push((gain, key));
        }
        if pairs <= pairs_max {
            out.push(Candidate { key, cost: pairs + SORT_COST * data.nodes() as f64, found });
        }
    };
    let single = |place: usize| 1u64 << place;
    (0..atoms.len()).for_each(|a| look(single(a), None));
    for a in 0..atoms.len() {
        for b in (a + 1..atoms.len()).filter(|b| atoms[a].column != atoms[*b].column) {
            look(single(a) | single(b), Some(&mut broad));
        }
    }
    broad.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    broad.truncate(150);
    let mut triples: Vec<KeyAtoms> = Vec::new();
    for (_, pair) in &broad {
        let used: Vec<usize> = (0..atoms.len().min(ATOMS_MAX)).filter(|a| pair & single(*a) != 0).collect();
        let free = |c: &usize| used.iter().all(|a| atoms[*a].column != atoms[*c].column);
        triples.extend((0..atoms.len()).filter(free).map(|c| pair | single(c)));
    }
    triples.sort_unstable();
    triples.dedup();
    triples.into_iter().for_each(|key| look(key, None));
    out
}

/// The key with the most worth per pair among those that still fit.
fn best<'a>(
    candidates: &'a [Candidate],
    matches: &[&Group],
    times: &[usize],
    so_far: &Selected,
    pairs_max: f64,
) -> Option<(&'a Candidate, f64)> {
    let worth = |candidate: &Candidate| -> f64 {
        let each = candidate.found.iter().map(|g| *g as usize);
        each.map(|g| matches[g].matches * WORTH[times[g].min(WORTH.len() - 1)]).sum()
    };
    let fits = |candidate: &&Candidate| {
        !so_far.keys.contains(&candidate.key) && so_far.pairs + candidate.cost <= pairs_max.max(candidate.cost * 0.0)
    };
    let rated = candidates.iter().filter(fits).map(|candidate| {
        let gain = worth(candidate);
        (gain / candidate.cost.max(1.0).powf(0.7), gain, candidate)
    });
    let best = rated.max_by(|x, y| x.0.total_cmp(&y.0).then(y.2.key.cmp(&x.2.key)))?;
    Some((best.2, best.1))
}
