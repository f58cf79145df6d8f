//! How fast the fold is, alone: a nation's changes from a log on disk into a fresh store.
//!
//! `cargo run --release --example fold_speed -- [PERSONS] [fjall|sled] [LOG_DIR] [all|one]`; a log folder that exists is used
//! again. `one` keeps records of one mention alone.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use event_log::{Embedded, EventLog};
use support::{append, log, nation_log, open_fold};
use view_store::StoreKind;
use views::fold::{Fed, Feed, FeedOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let persons: u32 = args.next().map_or(20_000, |a| a.parse().expect("PERSONS is a number"));
    let store = if args.next().is_some_and(|a| a == "sled") { StoreKind::Sled } else { StoreKind::Fjall };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let dir = args.next().map_or_else(|| scratch.path().join("log"), PathBuf::from);
    let log = if dir.exists() {
        EventLog::Embedded(Embedded::open(&dir).expect("the log opens"))
    } else {
        let mut nation = nation_log(persons, 1);
        if args.next().is_some_and(|mix| mix == "one") {
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
    let options = FeedOptions { entries_max: 4096, bytes_max: 8 << 20, follow: false };
    let feed = Feed::start(&fold, &log, options, |_| true).expect("the log is read");
    let begun = Instant::now();
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
