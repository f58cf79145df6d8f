//! The fold of a whole log from scratch, by stage.

use std::path::Path;
use std::time::{Duration, Instant};

use event_log::EventLog;
use projection::FOLD_VERSION;
use projection::basis::Basis;
use record::Stream;
use view_store::{Expect, Options, ViewStore};
use views::fold::{BulkOptions, Fed, Feed, FeedOptions, Fold, FoldError, Stages};
use views::runtime::{StartError, ViewsHandle};

use super::figure::{Budget, Figure, Limit};

const OPTIONS: FeedOptions = FeedOptions { entries_max: 4096, bytes_max: 8 << 20, follow: false };
/// Parts of the log whose costs are told apart.
const PARTS: u64 = 10;
const SCRATCH_LOG: [u8; 16] = *b"scratch of bench";

/// A part of the fold: changes, mentions that came, and times.
#[derive(Clone, Default)]
struct Part {
    changes: u64,
    mentions: u64,
    took: Duration,
    stages: Stages,
}

impl Part {
    fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(1e-6)
    }

    fn micros(&self, stage: impl Fn(&Stages) -> Duration) -> f64 {
        stage(&self.stages).as_secs_f64() * 1e6 / self.changes.max(1) as f64
    }
}

/// Folds the log from scratch; `growth` tells costs by stage beside the rates.
pub(super) fn measure(handle: &ViewsHandle, growth: bool) -> Result<Vec<Figure>, StartError> {
    let scratch = tempfile::tempdir()?;
    let mut fold = begin(scratch.path(), &handle.log, handle)?;
    let read_alone = read_alone(&fold, handle)?;
    let parts = parts(&mut fold, &handle.log)?;
    let (whole, last) = (sum(&parts), sum(&parts[parts.len() - 2..]));
    let limit = Some(Limit { what: "reading, decrypting and checking the entries alone", value: read_alone });
    let figure = |name, value, unit, limit, budget| Figure { name, value, unit, limit, budget };
    let mut figures = vec![
        figure("fold", last.per_s(last.changes), "changes/s", limit, Budget::AtLeast(30_000.0, None)),
        figure("fold_mentions", last.per_s(last.mentions), "mentions/s", None, Budget::AtLeast(40_000.0, None)),
        figure("fold_link_p99", whole.stages.link_quantile(0.99).as_secs_f64() * 1e3, "ms", None, Budget::AtMost(1.0)),
    ];
    if growth {
        let first = &parts[1];
        for (name, stage) in STAGES {
            let limit = Some(Limit { what: "the same in the second tenth of the log", value: first.micros(stage) });
            figures.push(figure(name, last.micros(stage), "µs/change", limit, Budget::Grows(2.5)));
        }
    }
    Ok(figures)
}

/// Folds the log in bulk, against the same in its own order, each from the first change to the last.
pub(super) fn bulk(handle: &ViewsHandle) -> Result<Vec<Figure>, StartError> {
    let (in_order, bulk) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut stream = begin(in_order.path(), &handle.log, handle)?;
    let whole = sum(&parts(&mut stream, &handle.log)?);
    let mut fold = begin(bulk.path(), &handle.log, handle)?;
    // What the log holds that is compared.
    let (target, begun) = (stream.positions().clone(), Instant::now());
    fold.fold_bulk(&bulk.path().join("sort"), &target, BulkOptions::ALONE, |_, _| true)?;
    let (took, changes) = (begun.elapsed(), target.of(Stream::Change).total());
    let equal = f64::from(u8::from(fold.digest().digest() == stream.digest().digest())) * 100.0;
    let limit = Some(Limit { what: "the fold in the order of the log", value: whole.per_s(whole.changes) });
    let value = changes as f64 / took.as_secs_f64().max(1e-6);
    let budget = Budget::AtLeast(60_000.0, Some(2.0));
    Ok(vec![
        Figure { name: "bulk", value, unit: "changes/s", limit, budget },
        Figure {
            name: "bulk_equal",
            value: equal,
            unit: "% of digests",
            limit: None,
            budget: Budget::AtLeast(100.0, None),
        },
    ])
}

/// Changes a second at the end of a log, which may be another one than the views are of, with the same entries.
#[cfg(feature = "kafka")]
pub(super) fn rate(log: &EventLog, handle: &ViewsHandle) -> Result<f64, StartError> {
    let scratch = tempfile::tempdir()?;
    let parts = parts(&mut begin(scratch.path(), log, handle)?, log)?;
    let last = sum(&parts[parts.len() - 2..]);
    Ok(last.per_s(last.changes))
}

/// A fold of a log from its beginning.
fn begin(scratch: &Path, log: &EventLog, handle: &ViewsHandle) -> Result<Fold, StartError> {
    let expect = Expect { fold_version: FOLD_VERSION, log_id: SCRATCH_LOG };
    let options = Options { store: handle.store, ..Options::default() };
    let store = ViewStore::open(&scratch.join("views"), options, expect)?.into_store();
    Ok(Fold::resume(store, log.clone(), handle.secret.as_ref().clone(), Basis::default())?)
}

type Stage = (&'static str, fn(&Stages) -> Duration);
const STAGES: [Stage; 4] = [
    ("growth_records", |s| s.records),
    ("growth_links", |s| s.links),
    ("growth_subjects", |s| s.subjects),
    ("growth_rows", |s| s.rows),
];

/// Entries a second that are made ready for a fold that does nothing.
fn read_alone(fold: &Fold, handle: &ViewsHandle) -> Result<f64, FoldError> {
    let feed = Feed::start(fold, &handle.log, OPTIONS, |_| true)?;
    let (begun, mut entries) = (Instant::now(), 0);
    loop {
        match feed.next(Duration::from_secs(1))? {
            Fed::Batch(batch) => entries += batch.len(),
            Fed::Idle => {}
            Fed::End => return Ok(entries as f64 / begun.elapsed().as_secs_f64().max(1e-6)),
        }
    }
}

fn parts(fold: &mut Fold, log: &EventLog) -> Result<Vec<Part>, FoldError> {
    let total = log.ends().of(Stream::Change).total();
    let feed = Feed::start(fold, log, OPTIONS, |_| true)?;
    let mut parts = vec![Part::default(); PARTS as usize];
    let mut done = 0;
    loop {
        let begun = Instant::now();
        let batch = match feed.next(Duration::from_secs(1))? {
            Fed::Batch(batch) => batch,
            Fed::Idle => continue,
            Fed::End => break,
        };
        let before = fold.totals().mentions;
        let folded = fold.fold_ahead(batch, || ())?;
        let part = &mut parts[(done * PARTS / total.max(1)).min(PARTS - 1) as usize];
        part.changes += folded.changes;
        part.mentions += fold.totals().mentions.saturating_sub(before);
        part.stages.add(&folded.stages);
        part.took += begun.elapsed();
        done += folded.changes;
    }
    let begun = Instant::now();
    fold.settle()?;
    parts[PARTS as usize - 1].took += begun.elapsed();
    Ok(parts)
}

fn sum(parts: &[Part]) -> Part {
    parts.iter().fold(Part::default(), |mut sum, part| {
        sum.changes += part.changes;
        sum.mentions += part.mentions;
        sum.took += part.took;
        sum.stages.add(&part.stages);
        sum
    })
}
