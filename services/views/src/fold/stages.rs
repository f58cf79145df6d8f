//! How long each stage of a fold takes. Told to those who measure; nothing that is folded depends on it.

use std::time::Duration;

/// Buckets for each doubling of a time.
const STEPS: u32 = 4;
/// From 1 ns to about 73 minutes.
const BUCKETS: usize = 42 * STEPS as usize;

/// Time by stage, and how the time of linkage is distributed over records.
#[derive(Debug, Clone)]
pub struct Stages {
    /// A record's entry moves its head, and yields its mentions.
    pub records: Duration,
    /// Mentions move nodes, edges and clusters.
    pub links: Duration,
    /// What changed moves digest, counters and the journal.
    pub subjects: Duration,
    /// Rows are gathered and handed to the store, or wait for the batch before.
    pub rows: Duration,
    linked: Box<[u64; BUCKETS]>,
}

impl Default for Stages {
    fn default() -> Self {
        let none = Duration::ZERO;
        Self { records: none, links: none, subjects: none, rows: none, linked: Box::new([0; BUCKETS]) }
    }
}

impl Stages {
    /// Counts the linkage of one record.
    pub(super) fn link(&mut self, took: Duration) {
        self.links += took;
        self.linked[bucket(took)] += 1;
    }

    /// Adds those of another batch.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.links += other.links;
        self.subjects += other.subjects;
        self.rows += other.rows;
        self.linked.iter_mut().zip(other.linked.iter()).for_each(|(sum, n)| *sum += n);
    }

    /// The time within which linkage was done for this share (such as 0.99) of the records, to the next fifth; zero when there
    /// were none.
    pub fn link_quantile(&self, share: f64) -> Duration {
        let total: u64 = self.linked.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.linked.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return Duration::from_nanos(2f64.powf((at + 1) as f64 / f64::from(STEPS)) as u64);
            }
        }
        Duration::ZERO
    }
}

fn bucket(took: Duration) -> usize {
    let nanos = took.as_nanos().max(1) as f64;
    ((nanos.log2() * f64::from(STEPS)) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_fifth_above_the_time() {
        let mut stages = Stages::default();
        (1..=100).for_each(|n| stages.link(Duration::from_micros(n)));
        for (share, micros) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = stages.link_quantile(share).as_secs_f64() * 1e6;
            assert!(found >= micros && found <= micros * 1.2, "{share}: {found}");
        }
        let mut both = Stages::default();
        both.add(&stages);
        assert_eq!((both.links, Stages::default().link_quantile(0.99)), (stages.links, Duration::ZERO));
    }
}
