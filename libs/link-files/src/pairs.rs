//! Finds and scores candidate pairs, key by key, without keeping a list of the pairs seen.
//!
//! A pair is scored at the first key that both records share, so that it is scored once whatever it shares. A block of more
//! than K nodes yields nothing: that is a function of the set of records, where "the first N of a block" would not be.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::atoms::Atom;
use crate::data::Data;
use crate::progress::Progress;
use crate::sample::mix;
use crate::score::Scorer;

/// Most hashes of one node in one key.
const SLOTS_MAX: usize = 8;

/// A scored pair of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScoredPair {
    /// Smaller node.
    pub a: u32,
    /// Larger node.
    pub b: u32,
    /// Match weight in 1/1024 bit.
    pub bits: i32,
}

/// What a key found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyReport {
    /// Its atoms, `column:part`.
    pub key: Vec<String>,
    /// Pairs that no earlier key had.
    pub pairs: u64,
    /// Blocks of more than K records, which yielded nothing.
    pub large_blocks: u64,
    /// Records of those blocks.
    pub large_block_records: u64,
    /// Records of the largest block.
    pub largest_block: u64,
}

/// Scored pairs, and how they were found.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// Pairs of at least the floor's weight, by nodes.
    pub pairs: Vec<ScoredPair>,
    /// Pairs by weight in whole bits, from [`HISTOGRAM_MIN`] on.
    pub histogram: Vec<u64>,
    /// Number of pairs scored.
    pub scored: u64,
    /// By key.
    pub keys: Vec<KeyReport>,
    /// K: most nodes of a block.
    pub block_max: usize,
}

/// Lowest weight of the histogram in bits; lower ones are counted with it.
pub const HISTOGRAM_MIN: i32 = -60;
/// Places of the histogram; higher weights are counted with the last.
pub const HISTOGRAM_LEN: usize = 161;

/// Place of a weight in the histogram.
pub fn histogram_place(bits: i32) -> usize {
    (bits.div_euclid(1024) - HISTOGRAM_MIN).clamp(0, HISTOGRAM_LEN as i32 - 1) as usize
}

/// Bounds of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most pairs scored; K is lowered until they fit.
    pub pairs_max: u64,
    /// K: most nodes of a block, at first.
    pub block_max: usize,
    /// Lighter pairs are counted, not kept. In 1/1024 bit.
    pub floor: i32,
    /// Look for pairs within a file where pairs across files are wanted: to learn whether a file repeats its records.
    pub within: bool,
}

impl Bounds {
    /// What suits so many nodes.
    pub fn of(nodes: usize) -> Bounds {
        let pairs_max = pairs_budget(nodes);
        let block_max = (10 * pairs_max as usize / nodes.max(1)).clamp(120, 1_000);
        Bounds { pairs_max: 3 * pairs_max, block_max, floor: -8 * 1024, within: false }
    }
}

/// Pairs that the keys of so many nodes should yield.
pub fn pairs_budget(nodes: usize) -> u64 {
    let nodes = nodes as u64;
    (nodes * 250).min(8_000_000).max(nodes * 12)
}

/// The hashes of all nodes in one key, a fixed number of slots each; 0 is none.
struct KeyHashes {
    slots: usize,
    hashes: Vec<u32>,
}

impl KeyHashes {
    fn of(&self, node: u32) -> &[u32] {
        let start = node as usize * self.slots;
        &self.hashes[start..start + self.slots]
    }

    fn shares(&self, a: u32, b: u32) -> bool {
        let others = self.of(b);
        self.of(a).iter().any(|hash| *hash != 0 && others.contains(hash))
    }

    fn first_shared(&self, a: u32, b: u32) -> u32 {
        let others = self.of(b);
        self.of(a).iter().copied().find(|hash| *hash != 0 && others.contains(hash)).unwrap_or(0)
    }
}

/// Finds and scores all pairs that share a key. `keys` are places in `atoms`.
pub fn find(
    scorer: &Scorer<'_>,
    atoms: &[Atom],
    keys: &[Vec<usize>],
    bounds: Bounds,
    progress: &dyn Progress,
) -> Candidates {
    let data = scorer.data;
    let mut hashes: Vec<KeyHashes> = keys.iter().map(|key| key_hashes(data, atoms, key)).collect();
    let sizes: Vec<Vec<u32>> = hashes.par_iter().map(block_sizes).collect();
    let block_max = fitting_block(&sizes, bounds);
    let expected: u64 = sizes.iter().map(|sizes| pairs_of(sizes, block_max)).sum();
    progress.begin("comparing", expected);
    let mut out =
        Candidates { pairs: Vec::new(), histogram: vec![0; HISTOGRAM_LEN], scored: 0, keys: Vec::new(), block_max };
    let done = AtomicU64::new(0);
    for place in 0..keys.len() {
        let entries = entries(&hashes[place]);
        let mut report = report_of(data, atoms, &keys[place], &entries, block_max);
        clear_large(&mut hashes[place], &entries, block_max);
        let found = score_blocks(scorer, &hashes, place, &entries, block_max, bounds, &done);
        progress.at(done.load(Ordering::Relaxed).min(expected));
        for part in found {
            report.pairs += part.scored;
            out.scored += part.scored;
            out.pairs.extend_from_slice(&part.pairs);
            out.histogram.iter_mut().zip(&part.histogram).for_each(|(sum, more)| *sum += more);
        }
        out.keys.push(report);
    }
    out.pairs.par_sort_unstable();
    progress.end();
    out
}

/// A node's hashes: one of each combination of its atoms' hashes.
fn key_hashes(data: &Data, atoms: &[Atom], key: &[usize]) -> KeyHashes {
    let parts: Vec<(&Atom, &[u32])> =
        key.iter().map(|a| (&atoms[*a], &*data.columns[atoms[*a].column].codes)).collect();
    let combine = |node: usize, out: &mut Vec<u32>| {
        out.clear();
        out.push(1);
        for (atom, codes) in &parts {
            let own = atom.of(codes[node]);
            let more = out.iter().flat_map(|so_far| own.iter().map(|hash| joined(*so_far, *hash)));
            *out = more.collect();
        }
        out.sort_unstable();
        out.dedup();
        out.truncate(SLOTS_MAX);
    };
    let nodes = data.nodes();
    let lists: Vec<(Vec<u32>, Vec<u8>)> = (0..nodes.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let (mut all, mut lens, mut own) = (Vec::new(), Vec::new(), Vec::new());
            for node in chunk * CHUNK..((chunk + 1) * CHUNK).min(nodes) {
                combine(node, &mut own);
                all.extend_from_slice(&own);
                lens.push(own.len() as u8);
            }
            (all, lens)
        })
        .collect();
    let slots = lists.iter().flat_map(|(_, lens)| lens).copied().max().unwrap_or(0).max(1) as usize;
    let mut hashes = vec![0; nodes * slots];
    let mut node = 0;
    for (all, lens) in lists {
        let mut at = 0;
        for len in lens {
            let len = usize::from(len);
            hashes[node * slots..node * slots + len].copy_from_slice(&all[at..at + len]);
            (at, node) = (at + len, node + 1);
        }
    }
    KeyHashes { slots, hashes }
}

const CHUNK: usize = 16_384;

fn joined(a: u32, b: u32) -> u32 {
    (mix(u64::from(a) << 32 | u64::from(b)) as u32).max(1)
}

/// `hash << 32 | node`, ascending.
fn entries(key: &KeyHashes) -> Vec<u64> {
    let all = key.hashes.iter().enumerate().filter(|(_, hash)| **hash != 0);
    let mut out: Vec<u64> = all.map(|(at, hash)| u64::from(*hash) << 32 | (at / key.slots) as u64).collect();
    out.par_sort_unstable();
    out
}

fn same_block(a: &u64, b: &u64) -> bool {
    a >> 32 == b >> 32
}

fn block_sizes(key: &KeyHashes) -> Vec<u32> {
    let mut all: Vec<u32> = key.hashes.iter().copied().filter(|hash| *hash != 0).collect();
    all.sort_unstable();
    all.chunk_by(|a, b| a == b).map(|block| block.len() as u32).filter(|size| *size > 1).collect()
}

fn pairs_of(sizes: &[u32], block_max: usize) -> u64 {
    let small = sizes.iter().map(|size| u64::from(*size)).filter(|size| *size <= block_max as u64);
    small.map(|size| size * (size - 1) / 2).sum()
}

/// The largest K, halving from the first, with which the pairs fit.
fn fitting_block(sizes: &[Vec<u32>], bounds: Bounds) -> usize {
    let mut block_max = bounds.block_max;
    while block_max > 2 && sizes.iter().map(|sizes| pairs_of(sizes, block_max)).sum::<u64>() > bounds.pairs_max {
        block_max /= 2;
    }
    block_max
}

fn report_of(data: &Data, atoms: &[Atom], key: &[usize], entries: &[u64], block_max: usize) -> KeyReport {
    let mut report = KeyReport {
        key: key.iter().map(|atom| atoms[*atom].name(data)).collect(),
        pairs: 0,
        large_blocks: 0,
        large_block_records: 0,
        largest_block: 0,
    };
    for block in entries.chunk_by(same_block) {
        report.largest_block = report.largest_block.max(block.len() as u64);
        if block.len() > block_max {
            report.large_blocks += 1;
            report.large_block_records += block.len() as u64;
        }
    }
    report
}

/// Takes the hashes of large blocks away, so that later keys do not take them for shared.
fn clear_large(key: &mut KeyHashes, entries: &[u64], block_max: usize) {
    for block in entries.chunk_by(same_block).filter(|block| block.len() > block_max) {
        let hash = (block[0] >> 32) as u32;
        for entry in block {
            let start = (entry & 0xffff_ffff) as usize * key.slots;
            key.hashes[start..start + key.slots].iter_mut().filter(|slot| **slot == hash).for_each(|slot| *slot = 0);
        }
    }
}

struct Part {
    pairs: Vec<ScoredPair>,
    histogram: Vec<u64>,
    scored: u64,
}

fn score_blocks(
    scorer: &Scorer<'_>,
    hashes: &[KeyHashes],
    place: usize,
    entries: &[u64],
    block_max: usize,
    bounds: Bounds,
    done: &AtomicU64,
) -> Vec<Part> {
    let score = |blocks: &[&[u64]]| {
        let mut part = Part { pairs: Vec::new(), histogram: vec![0; HISTOGRAM_LEN], scored: 0 };
        let mut seen = 0;
        for block in blocks {
            seen += (block.len() * (block.len() - 1) / 2) as u64;
            score_block(scorer, hashes, place, block, bounds, &mut part);
        }
        done.fetch_add(seen, Ordering::Relaxed);
        part
    };
    let small = |block: &&[u64]| block.len() > 1 && block.len() <= block_max;
    let blocks: Vec<&[u64]> = entries.chunk_by(same_block).filter(small).collect();
    blocks.par_chunks(2_048).map(score).collect()
}

fn score_block(
    scorer: &Scorer<'_>,
    hashes: &[KeyHashes],
    place: usize,
    block: &[u64],
    bounds: Bounds,
    part: &mut Part,
) {
    let hash = (block[0] >> 32) as u32;
    for (i, first) in block.iter().enumerate() {
        let a = *first as u32;
        for second in &block[i + 1..] {
            let b = *second as u32;
            let known = || hashes[..place].iter().any(|key| key.shares(a, b));
            if a == b
                || scorer.data.is_pair(a, b) == bounds.within
                || known()
                || hashes[place].first_shared(a, b) != hash
            {
                continue;
            }
            let bits = scorer.bits(a, b);
            part.scored += 1;
            part.histogram[histogram_place(bits)] += 1;
            if bits >= bounds.floor {
                part.pairs.push(ScoredPair { a, b, bits });
            }
        }
    }
}
