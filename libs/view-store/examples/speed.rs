//! Records per second that each store takes, with the fold's own work left out.
//!
//! Each record is one mention and makes one node: a head looked up and put, 8 blocking keys looked up (about one
//! candidate, whose feature row is read), 8 postings, a feature row, a state row and a component put. Prints the rate
//! of every tenth of the run, since a store that slows down as it grows shows only at the end.
//!
//! ```text
//! cargo run --release -p view-store --example speed -- [records] [fjall|sled] [directory]
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use view_store::{DenseTable, Error, Expect, Options, StoreKind, Table, Txn, ViewStore};

const BATCH_RECORDS: u32 = 4096;
const KEYS: u64 = 8;
const STEPS: u32 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let records: u32 = arguments.first().map_or(Ok(200_000), |text| text.parse())?;
    let kinds = match arguments.get(1).map(String::as_str) {
        Some("fjall") => vec![StoreKind::Fjall],
        Some("sled") => vec![StoreKind::Sled],
        _ => vec![StoreKind::Fjall, StoreKind::Sled],
    };
    let scratch = tempfile::tempdir()?;
    let dir = arguments.get(2).map_or(scratch.path(), Path::new);
    println!("store    records/s   last tenth   look-ups µs   inserts µs   puts µs   commit µs   (per record)");
    for kind in kinds {
        run(&dir.join(kind.to_string()), kind, records)?;
    }
    Ok(())
}

fn run(dir: &Path, kind: StoreKind, records: u32) -> Result<(), Box<dyn std::error::Error>> {
    let expect = Expect { fold_version: 1, log_id: [0; 16] };
    let mut store = ViewStore::open(dir, Options { store: kind, ..Options::default() }, expect)?.into_store();
    let mut spent = Spent::default();
    let began = Instant::now();
    let mut last_tenth = began;
    let mut next = 0;
    while next < records {
        if next < records / STEPS * (STEPS - 1) {
            last_tenth = Instant::now();
        }
        let end = (next + BATCH_RECORDS).min(records);
        let mut txn = store.begin()?;
        fold(&mut txn, next..end, records, &mut spent)?;
        let committing = Instant::now();
        txn.commit(&end.to_le_bytes(), &[0; 32])?;
        spent.commit += committing.elapsed();
        next = end;
    }
    let rate = f64::from(records) / began.elapsed().as_secs_f64();
    let tail = f64::from(records / STEPS) / last_tenth.elapsed().as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(records);
    println!(
        "{:<6} {rate:>11.0} {tail:>12.0} {:>13.2} {:>12.2} {:>9.2} {:>11.2}",
        kind.to_string(),
        each(spent.lookups),
        each(spent.inserts),
        each(spent.puts),
        each(spent.commit)
    );
    store.close()?;
    Ok(())
}

#[derive(Default)]
struct Spent {
    lookups: Duration,
    inserts: Duration,
    puts: Duration,
    commit: Duration,
}

/// Look-ups of the whole batch first, then its writes, as the fold does it.
fn fold(txn: &mut Txn<'_>, batch: std::ops::Range<u32>, records: u32, spent: &mut Spent) -> Result<(), Error> {
    let (mut nodes, mut row, mut sum) = (Vec::new(), [0; 96], 0u64);
    let began = Instant::now();
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
    spent.lookups += began.elapsed();
    std::hint::black_box(sum);
    let began = Instant::now();
    for number in batch.clone() {
        let node = txn.dense_append(DenseTable::NodeFeature, &[number as u8; 96])?;
        txn.dense_append(DenseTable::NodeState, &[number as u8; 16])?;
        for key in keys(number, records) {
            txn.insert_posting(key, node);
        }
    }
    spent.inserts += began.elapsed();
    let began = Instant::now();
    for number in batch {
        txn.put(Table::Head, &pseudonym(number), &[number as u8; 72]);
        txn.put(Table::Component, &number.to_be_bytes(), &[number as u8; 48]);
    }
    spent.puts += began.elapsed();
    Ok(())
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
