//! Pairs to learn from: a weighted sample that stands for all pairs.
//!
//! Every atom whose blocks are small enough is a stratum: some of its blocks are drawn by a hash of atom and block, and all
//! pairs of a drawn block are taken. A pair that shares several blocks is taken once and weighted by the inverse of the chance
//! that one of them was drawn (Horvitz and Thompson). Pairs that share no such block are drawn at random. So the weights of the
//! sample add up to the number of all pairs, and what is estimated from it holds for all pairs, not for those of some keys.

use rayon::prelude::*;

use crate::atoms::Atom;
use crate::compare::{LEVELS_MAX, level};
use crate::data::{COLUMNS_MAX, COPIES_MAX, Data};

/// A pair of nodes with what was compared, and the number of pairs that it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// Levels by column, five bits each.
    pub levels: u128,
    /// Atoms in which the two share a hash, a bit each.
    pub atoms: u64,
    /// Pairs that it stands for.
    pub weight: f64,
    /// The nodes; equal for two equal records.
    pub nodes: (u32, u32),
}

/// Bounds of a sample.
#[derive(Clone, Copy, Debug)]
pub struct SampleSize {
    /// Pairs of blocks.
    pub blocked: usize,
    /// Pairs at random.
    pub random: usize,
    /// A larger block is not drawn from.
    pub block_max: usize,
}

impl SampleSize {
    /// What is enough for so many nodes.
    pub fn of(nodes: usize) -> SampleSize {
        SampleSize { blocked: (nodes * 60).clamp(100_000, 500_000), random: 150_000, block_max: 300 }
    }
}

/// Bits of a column in a pattern of levels; those of all columns fit in its word.
const LEVEL_BITS: usize = 5;
const _: () = assert!(LEVEL_BITS * COLUMNS_MAX <= 128 && LEVELS_MAX <= 1 << LEVEL_BITS);

/// The level of a column in a pattern of levels.
pub fn level_in(levels: u128, column: usize) -> u8 {
    ((levels >> (LEVEL_BITS * column)) & 31) as u8
}

/// Levels of all columns of a pair.
pub fn levels_of(data: &Data, a: u32, b: u32) -> u128 {
    (0..data.columns.len())
        .fold(0, |levels, column| levels | u128::from(level(data, column, a, b)) << (LEVEL_BITS * column))
}

/// Draws the sample. A function of the set of records: nodes are numbered by content.
pub fn draw(data: &Data, atoms: &[Atom], size: SampleSize) -> Vec<Sampled> {
    let mut pairs = equal_records(data);
    if data.pairs() <= size.random as f64 {
        pairs.extend(every_pair(data).into_iter().map(|pair| (pair, 1.0)));
    } else {
        let strata = strata(data, atoms, size);
        let (random, random_weight) = random_pairs(data, size.random);
        let loose = random.into_iter().filter(|(a, b)| strata.iter().all(|stratum| stratum.shared(data, *a, *b) == 0));
        pairs.extend(loose.map(|pair| (pair, random_weight)));
        pairs.extend(blocked_pairs(data, &strata));
    }
    let compared = |((a, b), weight): &((u32, u32), f64)| {
        let (a, b) = (*a.min(b), *a.max(b));
        Sampled {
            levels: levels_of(data, a, b),
            atoms: shared_atoms(data, atoms, a, b),
            weight: *weight,
            nodes: (a, b),
        }
    };
    pairs.par_iter().with_min_len(1_000).map(compared).collect()
}

fn equal_records(data: &Data) -> Vec<((u32, u32), f64)> {
    if data.across {
        return Vec::new();
    }
    let nodes = (0..data.nodes() as u32).map(|node| (node, data.records_of(node as usize).len() as u32 - 1));
    nodes.filter(|(_, more)| *more > 0).map(|(node, more)| ((node, node), f64::from(more.min(COPIES_MAX)))).collect()
}

fn every_pair(data: &Data) -> Vec<(u32, u32)> {
    let nodes = data.nodes() as u32;
    (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).filter(|(a, b)| data.is_pair(*a, *b)).collect()
}

/// Atoms in which two nodes share a hash.
pub fn shared_atoms(data: &Data, atoms: &[Atom], a: u32, b: u32) -> u64 {
    let shares = |atom: &Atom| {
        let codes = &data.columns[atom.column].codes;
        let (x, y) = (codes[a as usize], codes[b as usize]);
        x != 0 && y != 0 && (x == y && !atom.of(x).is_empty() || common(atom.of(x), atom.of(y)) > 0)
    };
    atoms.iter().enumerate().fold(0, |bits, (place, atom)| bits | u64::from(shares(atom)) << place)
}

/// Number of hashes that two ascending lists share.
fn common(x: &[u32], y: &[u32]) -> u32 {
    x.iter().filter(|hash| y.contains(hash)).count() as u32
}

/// An atom with its blocks of two nodes and more.
struct Stratum<'a> {
    atom: &'a Atom,
    place: u64,
    /// Hashes of blocks that are too large, ascending.
    large: Vec<u32>,
    /// Pairs `(hash, node)` of all blocks that are not, ascending.
    entries: Vec<(u32, u32)>,
    /// The chance that a block is drawn.
    chance: f64,
}

impl Stratum<'_> {
    /// Number of blocks that two nodes share.
    fn shared(&self, data: &Data, a: u32, b: u32) -> u32 {
        self.count(data, a, b, |_| true)
    }

    fn count(&self, data: &Data, a: u32, b: u32, wanted: impl Fn(u32) -> bool) -> u32 {
        let codes = &data.columns[self.atom.column].codes;
        let (x, y) = (self.atom.of(codes[a as usize]), self.atom.of(codes[b as usize]));
        let small = |hash: &&u32| y.contains(hash) && self.large.binary_search(hash).is_err() && wanted(**hash);
        x.iter().filter(small).count() as u32
    }

    fn is_drawn(&self, hash: u32) -> bool {
        self.chance >= 1.0 || unit(mix(u64::from(hash) ^ (self.place << 32) ^ 0x5eed)) < self.chance
    }
}

fn strata<'a>(data: &Data, atoms: &'a [Atom], size: SampleSize) -> Vec<Stratum<'a>> {
    let each = size.blocked / atoms.len().max(1);
    atoms.par_iter().enumerate().map(|(place, atom)| stratum(data, atom, place, each, size.block_max)).collect()
}

fn stratum<'a>(data: &Data, atom: &'a Atom, place: usize, pairs_wanted: usize, block_max: usize) -> Stratum<'a> {
    let codes = &data.columns[atom.column].codes;
    let mut all: Vec<(u32, u32)> = Vec::with_capacity(codes.len());
    for (node, code) in codes.iter().enumerate() {
        all.extend(atom.of(*code).iter().map(|hash| (*hash, node as u32)));
    }
    all.sort_unstable();
    let (mut entries, mut large, mut pairs) = (Vec::new(), Vec::new(), 0usize);
    for block in all.chunk_by(|a, b| a.0 == b.0) {
        let here = pairs_in(data, block);
        if block.len() > block_max {
            large.push(block[0].0);
        } else if here > 0 {
            entries.extend_from_slice(block);
            pairs += here;
        }
    }
    let chance = (pairs_wanted as f64 / pairs.max(1) as f64).min(1.0);
    Stratum { atom, place: place as u64, large, entries, chance }
}

fn pairs_in(data: &Data, block: &[(u32, u32)]) -> usize {
    if !data.across {
        return block.len() * (block.len() - 1) / 2;
    }
    let first = block.partition_point(|(_, node)| (*node as usize) < data.second_file);
    first * (block.len() - first)
}

fn blocked_pairs(data: &Data, strata: &[Stratum<'_>]) -> Vec<((u32, u32), f64)> {
    let drawn = |stratum: &Stratum<'_>, place: usize| {
        let mut out = Vec::new();
        for block in stratum.entries.chunk_by(|a, b| a.0 == b.0).filter(|block| stratum.is_drawn(block[0].0)) {
            for (i, (hash, a)) in block.iter().enumerate() {
                let others = block[i + 1..].iter().map(|(_, b)| *b).filter(|b| data.is_pair(*a, *b));
                out.extend(others.filter_map(|b| weigh(data, strata, place, *hash, *a, b).map(|w| ((*a, b), w))));
            }
        }
        out
    };
    let lists: Vec<Vec<_>> = strata.par_iter().enumerate().map(|(place, stratum)| drawn(stratum, place)).collect();
    lists.concat()
}

/// The weight of a pair at the first drawn block that holds it; `None` at a later one.
fn weigh(data: &Data, strata: &[Stratum<'_>], place: usize, hash: u32, a: u32, b: u32) -> Option<f64> {
    let mut missed = 1.0;
    for (other, stratum) in strata.iter().enumerate() {
        let earlier = |h: u32| (other < place || (other == place && h < hash)) && stratum.is_drawn(h);
        if other <= place && stratum.count(data, a, b, earlier) > 0 {
            return None;
        }
        missed *= (1.0 - stratum.chance).powi(stratum.shared(data, a, b) as i32);
    }
    Some(1.0 / (1.0 - missed))
}

/// Pairs at random, and how many each stands for.
fn random_pairs(data: &Data, wanted: usize) -> (Vec<(u32, u32)>, f64) {
    let (nodes, first) = (data.nodes() as u64, data.second_file as u64);
    let mut out = Vec::with_capacity(wanted);
    let mut state = 0x1e55_0b5e_u64;
    let mut next = |below: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mix(state)) * u128::from(below)) >> 64) as u64
    };
    while out.len() < wanted {
        let (a, b) = if data.across { (next(first), first + next(nodes - first)) } else { (next(nodes), next(nodes)) };
        if a != b {
            out.push((a.min(b) as u32, a.max(b) as u32));
        }
    }
    (out, data.pairs() / wanted as f64)
}

/// A bijection of 64-bit words that leaves no pattern (SplitMix64's finisher).
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn unit(word: u64) -> f64 {
    (word >> 11) as f64 / (1u64 << 53) as f64
}
