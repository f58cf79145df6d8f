use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::block::BLOCK_BYTES;

const FRONT_POSTINGS: usize = 60;

fn persisted() -> Result<(), Error> {
    Ok(())
}

/// Few keys with long lists, among many with short ones; uniform over 64 bits as keys must be.
fn key(seed: u16) -> u64 {
    let few = if seed.is_multiple_of(3) { u64::from(seed % 5) } else { u64::from(seed) };
    (few + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

struct Subject {
    dir: tempfile::TempDir,
    index: PostingIndex,
    /// Postings by node, committed.
    nodes: Vec<Vec<u64>>,
    dead: BTreeSet<u32>,
}

impl Subject {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let index = PostingIndex::open(dir.path(), FRONT_POSTINGS, 0).expect("an empty directory");
        Self { dir, index, nodes: Vec::new(), dead: BTreeSet::new() }
    }

    fn insert(&mut self, node: usize, keys: &[u64]) {
        keys.iter().for_each(|key| self.index.insert(*key, node as u32));
    }

    fn batch(&mut self, nodes: Vec<Vec<u64>>) {
        for keys in nodes {
            self.insert(self.nodes.len(), &keys);
            self.nodes.push(keys);
        }
        self.index.keep_changes(self.nodes.len() as u32, &mut persisted).expect("a sound disk");
    }

    fn kill(&mut self, dead: u32) {
        self.dead.insert(dead);
        let dead = self.dead.clone();
        self.index.set_dead_nodes(Arc::new(move |node| dead.contains(&node)));
    }

    fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.index.flush.is_some() || self.index.merge.is_some() {
            self.index.keep_changes(self.nodes.len() as u32, &mut persisted).expect("a sound disk");
            assert!(Instant::now() < deadline, "flush and merge come to an end");
            std::thread::yield_now();
        }
    }

    /// As after a crash, and after a loss of the last nodes in the store.
    fn reopen(&mut self, lost_nodes: usize) {
        self.nodes.truncate(self.nodes.len().saturating_sub(lost_nodes));
        let nodes = self.nodes.len() as u32;
        let closed = PostingIndex::open(&self.dir.path().join("other"), FRONT_POSTINGS, 0).expect("writable");
        drop(std::mem::replace(&mut self.index, closed));
        std::fs::remove_dir_all(self.dir.path().join("other")).expect("it exists");
        self.index = PostingIndex::open(self.dir.path(), FRONT_POSTINGS, nodes).expect("a sound disk");
        assert!(self.index.covered_nodes() <= nodes);
        for node in self.index.covered_nodes() as usize..self.nodes.len() {
            let keys = self.nodes[node].clone();
            self.insert(node, &keys);
        }
        self.index.keep_changes(nodes, &mut persisted).expect("a sound disk");
    }

    fn check(&self) {
        let mut model: BTreeMap<u64, Vec<u32>> = BTreeMap::from([(1, Vec::new()), (u64::MAX, Vec::new())]);
        for (node, keys) in (0..).zip(&self.nodes) {
            keys.iter().for_each(|key| model.entry(*key).or_default().push(node));
        }
        for (key, nodes) in model {
            let mut found = Vec::new();
            let all = self.index.lookup(key, nodes.len() + 1, &mut found).expect("sound");
            assert_eq!(all, super::Found::All);
            let alive = |nodes: &[u32]| {
                let mut alive: Vec<u32> = nodes.iter().copied().filter(|node| !self.dead.contains(node)).collect();
                alive.sort_unstable();
                alive
            };
            assert_eq!(alive(&found), alive(&nodes), "key {key:x}");
            if found.len() > 1 {
                let (limit, mut some) = (found.len() - 1, Vec::new());
                assert_eq!(self.index.lookup(key, limit, &mut some).expect("sound"), super::Found::Some);
                assert_eq!(some.len(), limit);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Batch(Vec<Vec<u16>>),
    GiveUp(Vec<u16>),
    Kill(u32),
    Settle,
    FlushAll,
    Reopen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec(any::<u16>(), 0..6);
    prop_oneof![
        8 => prop::collection::vec(keys(), 1..20).prop_map(Step::Batch),
        1 => keys().prop_map(Step::GiveUp),
        1 => any::<u32>().prop_map(Step::Kill),
        2 => Just(Step::Settle),
        1 => Just(Step::FlushAll),
        1 => prop_oneof![3 => Just(0usize), 1 => 0..30usize].prop_map(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn index_equals_a_map_across_flushes_merges_and_reopening(steps in prop::collection::vec(step(), 1..60)) {
        let mut subject = Subject::new();
        for step in steps {
            match step {
                Step::Batch(nodes) => {
                    subject.batch(nodes.iter().map(|keys| keys.iter().copied().map(key).collect()).collect());
                }
                Step::GiveUp(keys) => {
                    let keys: Vec<u64> = keys.into_iter().map(key).collect();
                    subject.insert(subject.nodes.len(), &keys);
                    subject.index.undo_changes();
                }
                // A lost node's number comes again, so only nodes that no step can lose die.
                Step::Kill(seed) if subject.nodes.len() > 600 => subject.kill(seed % 20),
                Step::Kill(_) => {}
                Step::Settle => subject.settle(),
                Step::FlushAll => {
                    let nodes = subject.nodes.len() as u32;
                    subject.index.flush_all(nodes, &mut persisted).expect("a sound disk");
                    prop_assert_eq!(subject.index.covered_nodes(), nodes);
                }
                Step::Reopen(lost_nodes) => subject.reopen(lost_nodes),
            }
            subject.check();
        }
    }
}

fn nodes(count: u16) -> Vec<Vec<u64>> {
    (0..count).map(|node| vec![key(node), key(node.wrapping_add(1)), key(node.wrapping_mul(31))]).collect()
}

#[test]
fn runs_of_a_tier_are_merged_and_their_files_removed() {
    let mut subject = Subject::new();
    for _ in 0..64 {
        subject.batch(nodes(25));
        subject.settle();
    }
    subject.check();
    assert!(subject.index.runs.len() <= 3 * 3, "{} runs after 64 flushes", subject.index.runs.len());
    let files = names(subject.dir.path()).expect("a directory");
    assert_eq!(files.len(), subject.index.runs.len());
}

#[test]
fn merged_run_beside_its_inputs_counts_alone() {
    let mut subject = Subject::new();
    let mut inputs = Vec::new();
    for _ in 0..4 {
        subject.batch(nodes(25));
        while subject.index.flush.is_some() {
            subject.index.install_flush(&mut persisted).expect("a sound disk");
        }
        inputs = subject.index.runs.iter().map(|run| (run.path().to_owned(), std::fs::read(run.path()))).collect();
    }
    assert_eq!(inputs.len(), 4);
    subject.index.keep_changes(100, &mut persisted).expect("a sound disk");
    subject.settle();
    assert_eq!(subject.index.runs.len(), 1);
    for (path, bytes) in inputs {
        std::fs::write(path, bytes.expect("a run")).expect("writable");
    }
    std::fs::write(subject.dir.path().join(MERGE_FILE), b"half").expect("writable");
    subject.reopen(0);
    assert_eq!(subject.index.runs.len(), 1);
    assert_eq!(names(subject.dir.path()).expect("a directory").len(), 1);
    subject.check();
}

#[test]
fn no_run_is_named_when_the_store_cannot_be_put_on_disk() {
    let mut subject = Subject::new();
    for (node, keys) in (0..).zip(nodes(25)) {
        subject.insert(node, &keys);
    }
    let failed = subject.index.flush_all(25, &mut || Err(Error::Poisoned));
    assert!(matches!(failed, Err(Error::Poisoned)));
    let files = names(subject.dir.path()).expect("a directory");
    assert!(files.iter().all(|name| name == FLUSH_FILE), "{files:?}");
}

#[test]
fn any_flipped_bit_of_a_run_is_noticed() {
    let mut subject = Subject::new();
    subject.batch(nodes(2000));
    subject.index.flush_all(2000, &mut persisted).expect("a sound disk");
    let path = subject.index.runs[0].path().to_owned();
    let sound = std::fs::read(&path).expect("a run");
    assert!(sound.len() > 10 * BLOCK_BYTES);
    for bit in (0..sound.len() * 8).step_by(8191) {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // Another file, because the index has this one mapped.
        let copy = subject.dir.path().join("copy");
        std::fs::write(&copy, &flipped).expect("writable");
        let noticed = Run::open(&copy).and_then(|run| {
            let mut found = Vec::new();
            subject.nodes.iter().flatten().try_for_each(|key| run.lookup(*key, usize::MAX, &mut found).map(|_| ()))
        });
        assert!(noticed.is_err(), "bit {bit}");
    }
}
