//! Records per second that each store takes, with the fold's own work left out.
//!
//! Each record is one mention and makes one node: a head looked up and put, 8 blocking keys looked up (about one
//! candidate, whose feature row is read), 8 postings, a feature row, a state row and a component put. The rate of the
//! last tenth stands beside the whole run's, since a store that slows down as it grows shows only at the end. Times
//! of the steps are processor time of the folding thread, which a busy machine does not stretch.
//!
//! ```text
//! cargo run --release -p view-store --example store_speed -- [records] [fjall|sled] [directory]
//! ```

use std::path::Path;
use std::time::Instant;

use view_store::{DenseTable, Expect, Options, StoreKind, Table, Txn, ViewStore};

type Failed = Box<dyn std::error::Error>;

const BATCH_RECORDS: u32 = 4096;
const KEYS: u64 = 8;
const STEPS: u32 = 10;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let records: u32 = arguments.first().map_or(Ok(200_000), |text| text.parse())?;
    let kinds = match arguments.get(1).map(String::as_str) {
        Some("fjall") => vec![StoreKind::Fjall],
        Some("sled") => vec![StoreKind::Sled],
        _ => vec![StoreKind::Fjall, StoreKind::Sled],
    };
    let scratch = tempfile::tempdir()?;
    let dir = arguments.get(2).map_or(scratch.path(), Path::new);
    println!(
        "store    records/s   last tenth   look-ups µs   inserts µs   puts µs   commit µs   sum µs   worst commit ms   \
         restart ms: wall, processor"
    );
    for kind in kinds {
        run(&dir.join(kind.to_string()), kind, records)?;
    }
    Ok(())
}

fn run(dir: &Path, kind: StoreKind, records: u32) -> Result<(), Failed> {
    let expect = Expect { fold_version: 1, log_id: [0; 16] };
    let options = Options { store: kind, ..Options::default() };
    let mut store = ViewStore::open(dir, options.clone(), expect)?.into_store();
    let mut spent = Spent::default();
    let began = Instant::now();
    let mut last_tenth = (began, 0);
    let mut next = 0;
    while next < records {
        if next < records / STEPS * (STEPS - 1) {
            last_tenth = (Instant::now(), next);
        }
        let end = (next + BATCH_RECORDS).min(records);
        let mut txn = store.begin()?;
        fold(&mut txn, next..end, records, &mut spent)?;
        let (before, committing) = (thread_ns()?, Instant::now());
        txn.commit(&end.to_le_bytes(), &[0; 32])?;
        spent.commit += thread_ns()? - before;
        spent.worst_commit_ms = spent.worst_commit_ms.max(committing.elapsed().as_millis());
        next = end;
    }
    let rate = f64::from(records) / began.elapsed().as_secs_f64();
    let tail = f64::from(records - last_tenth.1) / last_tenth.0.elapsed().as_secs_f64();
    let each = |spent_ns: u64| spent_ns as f64 / 1e3 / f64::from(records);
    let sum = spent.lookups + spent.inserts + spent.puts + spent.commit;
    // As a killed process leaves it: redo rows to apply, postings to restore.
    drop(store);
    let (restarting, before) = (Instant::now(), thread_ns()?);
    let mut store = ViewStore::open(dir, options, expect)?.into_store();
    let first = |row: &[u8]| u32::from_le_bytes([row[0], row[1], row[2], row[3]]);
    store.restore_postings(|_, row, found| found.extend(keys(first(row), records)))?;
    let (restart_ms, restart_cpu_ms) = (restarting.elapsed().as_millis(), (thread_ns()? - before) / 1_000_000);
    println!(
        "{:<6} {rate:>11.0} {tail:>12.0} {:>13.2} {:>12.2} {:>9.2} {:>11.2} {:>8.2} {:>17} {restart_ms:>17} \
         {restart_cpu_ms:>10}",
        kind.to_string(),
        each(spent.lookups),
        each(spent.inserts),
        each(spent.puts),
        each(spent.commit),
        each(sum),
        spent.worst_commit_ms
    );
    store.close()?;
    Ok(())
}

/// Nanoseconds on the processor, by step.
#[derive(Default)]
struct Spent {
    lookups: u64,
    inserts: u64,
    puts: u64,
    commit: u64,
    /// Longest commit by the clock.
    worst_commit_ms: u128,
}

/// Look-ups of the whole batch first, then its writes, as the fold does it.
fn fold(txn: &mut Txn<'_>, batch: std::ops::Range<u32>, records: u32, spent: &mut Spent) -> Result<(), Failed> {
    let (mut nodes, mut row, mut sum) = (Vec::new(), [0; 96], 0u64);
    let before = thread_ns()?;
    for number in batch.clone() {
        assert!(txn.get(Table::Head, &pseudonym(number))?.is_none());
        nodes.clear();
        for key in keys(number, records) {
            txn.lookup(key, 64, &mut nodes)?;
        }
        if let Some(candidate) = nodes.first() {
            txn.dense_get(DenseTable::NodeFeature, *candidate, &mut row)?;
            sum += u64::from(row[0]);
        }
    }
    spent.lookups += thread_ns()? - before;
    std::hint::black_box(sum);
    let before = thread_ns()?;
    for number in batch.clone() {
        row[..4].copy_from_slice(&number.to_le_bytes());
        let node = txn.dense_append(DenseTable::NodeFeature, &row)?;
        txn.dense_append(DenseTable::NodeState, &[number as u8; 16])?;
        for key in keys(number, records) {
            txn.insert_posting(key, node);
        }
    }
    spent.inserts += thread_ns()? - before;
    let before = thread_ns()?;
    for number in batch {
        txn.put(Table::Head, &pseudonym(number), &[number as u8; 72]);
        txn.put(Table::Component, &number.to_be_bytes(), &[number as u8; 48]);
    }
    spent.puts += thread_ns()? - before;
    Ok(())
}

/// Nanoseconds that this thread has run on a processor, as Linux counts them.
fn thread_ns() -> Result<u64, Failed> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(counted.split_whitespace().next().ok_or("schedstat is empty")?.parse()?)
}

/// One key in eight is shared with about one earlier record; the others are the record's own.
fn keys(number: u32, records: u32) -> impl Iterator<Item = u64> {
    let shared = mix(u64::from(number)) % u64::from(records / 2).max(1);
    (0..KEYS).map(move |key| if key == 0 { mix(shared) } else { mix(1 << 40 | u64::from(number) << 3 | key) })
}

fn pseudonym(number: u32) -> [u8; 16] {
    (u128::from(mix(u64::from(number))) << 64 | u128::from(mix(!u64::from(number)))).to_be_bytes()
}

/// splitmix64's finaliser.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
