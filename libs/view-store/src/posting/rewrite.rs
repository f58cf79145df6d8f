//! What runs on other threads: writing the front as a run, and merging runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memmap2::Advice;

use super::DeadNodes;
use super::front::Front;
use super::run::Run;
use super::run_writer::RunWriter;
use crate::error::Error;
use crate::work::Work;

/// Postings between two pauses of a merge.
const PAUSE_POSTINGS: u32 = 64 * 1024;
/// Longest single pause.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Begins to write the front's postings, those of the nodes from `first_node` to `end_node` (exclusive), to a file.
pub(super) fn begin_flush(front: Arc<Front>, first_node: u32, end_node: u32, to: PathBuf) -> Result<Work, Error> {
    Work::begin("posting-flush", &to.clone(), move |stop| {
        let postings = front.sorted();
        let mut run = RunWriter::create(&to, first_node, end_node, postings.len() as u64)?;
        for (key, node) in postings {
            run.push(key, node)?;
        }
        if stop.load(Ordering::Relaxed) { Ok(()) } else { run.finish() }
    })
}

/// Begins to merge neighbouring runs into a file, leaving out dead nodes. It rests as long as it works.
pub(super) fn begin_merge(inputs: Vec<Arc<Run>>, dead: Option<DeadNodes>, to: PathBuf) -> Result<Work, Error> {
    Work::begin("posting-merge", &to.clone(), move |stop| merge(&inputs, dead.as_ref(), &to, stop))
}

fn merge(inputs: &[Arc<Run>], dead: Option<&DeadNodes>, to: &Path, stop: &AtomicBool) -> Result<(), Error> {
    let (first, last) = (inputs.first().expect("at least two"), inputs.last().expect("at least two"));
    let entries_max = inputs.iter().map(|run| u64::from(run.entries())).sum();
    let mut out = RunWriter::create(to, first.first_node(), last.end_node(), entries_max)?;
    let mut throttle = Throttle::new();
    let mut heads = BinaryHeap::new();
    for (input, run) in inputs.iter().enumerate() {
        run.advise(Advice::Sequential)?;
        if run.entries() > 0 {
            heads.push(Reverse((run.entry(0)?, input, 0)));
        }
    }
    while let Some(Reverse(((key, node), input, number))) = heads.pop() {
        if number + 1 < inputs[input].entries() {
            heads.push(Reverse((inputs[input].entry(number + 1)?, input, number + 1)));
        }
        if dead.is_none_or(|dead| !dead(node)) {
            out.push(key, node)?;
        }
        throttle.count();
        if throttle.is_due() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            throttle.rest();
        }
    }
    for run in inputs {
        run.advise(Advice::Random)?;
    }
    out.finish()
}

/// Rests for as long as the work since the last rest took.
struct Throttle {
    since: Instant,
    postings: u32,
}

impl Throttle {
    fn new() -> Self {
        Self { since: Instant::now(), postings: 0 }
    }

    fn count(&mut self) {
        self.postings += 1;
    }

    fn is_due(&self) -> bool {
        self.postings >= PAUSE_POSTINGS
    }

    fn rest(&mut self) {
        std::thread::sleep(self.since.elapsed().min(PAUSE_MAX));
        *self = Self::new();
    }
}
