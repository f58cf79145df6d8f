//! How long a fault test goes on, and where its chance comes from.
//!
//! In short: a fixed number of rounds. With `HUB_FAULTS_SECONDS`: as many as begin within that time. The rounds' seeds are consecutive from
//! `HUB_FAULTS_SEED` (1 when absent) on, and each is printed before its round: a failure is repeated by naming its seed.

use std::time::{Duration, Instant};

/// Rounds to come.
pub struct Rounds {
    what: &'static str,
    seed: u64,
    left: u64,
    until: Option<Instant>,
}

impl Rounds {
    pub fn new(what: &'static str, short: u64) -> Self {
        let number = |name| std::env::var(name).ok().map(|n| n.parse().expect("a number"));
        let until = number("HUB_FAULTS_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Self { what, seed: number("HUB_FAULTS_SEED").unwrap_or(1), left: short, until }
    }

    /// Whether this is the long form.
    pub fn is_long(&self) -> bool {
        self.until.is_some()
    }
}

impl Iterator for Rounds {
    type Item = Chance;

    fn next(&mut self) -> Option<Chance> {
        let more = self.until.map_or(self.left > 0, |until| Instant::now() < until);
        if !more {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let seed = self.seed;
        self.seed += 1;
        eprintln!("{}: HUB_FAULTS_SEED={seed}", self.what);
        Some(Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// Numbers that look random and follow from a seed alone (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// One in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }
}

/// What a test found, as `tests/soak` gathers it.
pub fn figure(name: &str, value: impl std::fmt::Display) {
    println!("figure {name} {value}");
}
