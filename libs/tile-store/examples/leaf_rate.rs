//! How fast a ledger grows: appends so many leaves over 64 partitions with a tick for each 100,000, and prints the rates.
//!
//! usage: `cargo run --release -p tile-store --example leaf_rate -- [LEAVES] [FOLDER]`

use std::path::PathBuf;
use std::time::Instant;

use ledger::{Shape, SigningKey, leaf_hash, tree::Frontier};
use record::{EntryHash, Partition, Stream, Timestamp};
use tile_store::TileStore;

const LEAVES_PER_TICK: u64 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let leaves: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("leaf-rate"), PathBuf::from);
    let shape = Shape { change: 64, access: 1, rejected: 1 };
    let key = SigningKey::new("hub.test/log", &[1; 32])?;
    let entry = |i: u64| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&i.to_le_bytes());
        EntryHash(hash)
    };

    let begun = Instant::now();
    let mut frontier = Frontier::default();
    (0..leaves).for_each(|i| frontier.push(leaf_hash(&entry(i).0)));
    let hashing = begun.elapsed();
    println!("hashing alone, in memory   {:>9.0} leaves/s", leaves as f64 / hashing.as_secs_f64());

    let begun = Instant::now();
    let mut store = TileStore::create(&dir, "hub.test/log", shape)?;
    for tick in 0..leaves.div_ceil(LEAVES_PER_TICK) {
        let (from, to) = (tick * LEAVES_PER_TICK, ((tick + 1) * LEAVES_PER_TICK).min(leaves));
        for partition in 0..u64::from(shape.change) {
            let of_partition = (from..to).filter(|i| i % u64::from(shape.change) == partition);
            store.append(Stream::Change, Partition(partition as u16), of_partition.map(entry))?;
        }
        let ends = store.ends();
        store.tick(Timestamp(tick as i64), &ends)?;
        store.publish(&key)?;
    }
    let written = begun.elapsed();
    store.commit()?;
    let durable = begun.elapsed();
    println!("written, with signed ticks {:>9.0} leaves/s", leaves as f64 / written.as_secs_f64());
    println!("and made durable           {:>9.0} leaves/s", leaves as f64 / durable.as_secs_f64());
    println!(
        "commit took {:.3} s; root of the super-log {:02x?}",
        (durable - written).as_secs_f64(),
        &store.state().root[..4]
    );
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
