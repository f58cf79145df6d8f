//! How fast the fold is, alone: a nation's changes from a log on disk into a fresh store.
//!
//! `cargo run --release --example fold_speed -- [PERSONS] [fjall|sled] [LOG_DIR] [all|one] [stream|bulk]`; a log folder that exists is used
//! again. `one` keeps records of one mention alone; `bulk` folds as a rebuild does.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use event_log::{Embedded, EventLog};
use support::{append, log, nation_log, open_fold};
use view_store::StoreKind;
use views::fold::{BulkOptions, BulkProgress, Fed, Feed, FeedOptions, Fold};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let persons: u32 = args.next().map_or(20_000, |a| a.parse().expect("PERSONS is a number"));
    let store = if args.next().is_some_and(|a| a == "sled") { StoreKind::Sled } else { StoreKind::Fjall };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let dir = args.next().map_or_else(|| scratch.path().join("log"), PathBuf::from);
    let mix = args.next();
    let bulk = args.next().is_some_and(|how| how == "bulk");
    let log = if dir.exists() {
        EventLog::Embedded(Embedded::open(&dir).expect("the log opens"))
    } else {
        let mut nation = nation_log(persons, 1);
        if mix.is_some_and(|mix| mix == "one") {
            nation.changes.retain(|change| change.truth.len() == 1);
        }
        let log = log(&dir);
        let mut entries = nation.prefix;
        entries.push(nation.late_contract);
        // The registers side by side, as publishers send them.
        let quarter = nation.changes.len().div_ceil(4);
        let parts: Vec<_> = nation.changes.chunks(quarter).collect();
        for i in 0..quarter {
            entries.extend(parts.iter().filter_map(|p| p.get(i)).map(|c| c.bytes.clone()));
        }
        append(&log, entries).await;
        log
    };
    let mut fold = open_fold(&scratch.path().join("views"), store, &log);
    let begun = Instant::now();
    let entries = if bulk { in_bulk(&mut fold, &log, &scratch.path().join("sort")) } else { in_order(&mut fold, &log) };
    fold.settle().expect("the store takes every batch");
    let seconds = begun.elapsed().as_secs_f64();
    let totals = fold.totals();
    println!("{entries} entries, {} live mentions, {} persons", totals.mentions, totals.persons);
    println!(
        "{:.2} s  {:.0} entries/s  {:.0} mentions/s",
        seconds,
        entries as f64 / seconds,
        totals.mentions as f64 / seconds
    );
    println!("digest {}", fold.digest().digest());
}

/// Entries that a fold in the order of the log took.
fn in_order(fold: &mut Fold, log: &EventLog) -> u64 {
    let options = FeedOptions { entries_max: 4096, bytes_max: 8 << 20, follow: false };
    let feed = Feed::start(fold, log, options, |_| true).expect("the log is read");
    let (mut entries, mut mark) = (0_u64, (0_u64, Instant::now()));
    loop {
        let batch = match feed.next(Duration::from_secs(1)).expect("the log is sound") {
            Fed::Batch(batch) => batch,
            Fed::Idle => continue,
            Fed::End => break,
        };
        entries += batch.len() as u64;
        fold.fold_ahead(batch, || ()).expect("the fold takes every entry");
        if entries - mark.0 >= 20_000 {
            let rate = (entries - mark.0) as f64 / mark.1.elapsed().as_secs_f64();
            println!("{entries:>10} entries  {rate:>9.0} entries/s");
            mark = (entries, Instant::now());
        }
    }
    entries
}

/// Entries that a fold in bulk took.
fn in_bulk(fold: &mut Fold, log: &EventLog, sort: &std::path::Path) -> u64 {
    let (mut mark, begun) = ((0_u64, Instant::now()), Instant::now());
    let told = |BulkProgress { ordered, folded }, _| {
        if folded > 0 && mark.0 == 0 {
            println!("ordered in {:.2} s", begun.elapsed().as_secs_f64());
        }
        if ordered == 0 && folded - mark.0 >= 20_000 {
            let rate = (folded - mark.0) as f64 / mark.1.elapsed().as_secs_f64();
            println!("{folded:>10} changes  {rate:>9.0} changes/s");
            mark = (folded, Instant::now());
        }
        true
    };
    assert!(fold.fold_bulk(sort, &log.ends(), BulkOptions::ALONE, told).expect("the fold takes every entry"));
    fold.positions().total()
}
