//! Writes a ledger for tests/stock_tools: partitions of several sizes, ticks, a cosigned checkpoint, and the keys.
//!
//! usage: `sample_ledger FOLDER` (which must be absent or empty)
//!
//! `FOLDER/ledger` is the ledger, `FOLDER/log.vkey` and `FOLDER/witness.vkey` are the public keys.

use std::path::Path;

use ledger::{CosigningKey, Shape, SigningKey};
use record::{EntryHash, Partition, Stream, Timestamp};
use tile_store::TileStore;

const ORIGIN: &str = "hub.test/log";
/// Entries of each partition of `change`: none, one, one full tile, and more than a full tile of level 1.
const SIZES: [u64; 4] = [0, 1, 256, 70_000];
const TICKS: u64 = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: sample_ledger FOLDER")?;
    let folder = Path::new(&folder);
    let key = SigningKey::new(ORIGIN, &[1; 32])?;
    let witness = CosigningKey::new("witness.test/a", &[2; 32])?;

    let shape = Shape { change: SIZES.len() as u16, access: 1, rejected: 1 };
    let mut store = TileStore::create(&folder.join("ledger"), ORIGIN, shape)?;
    for tick in 1..=TICKS {
        for (partition, size) in (0..).map(Partition).zip(SIZES) {
            let from = store.ends().get(Stream::Change, partition).0;
            let hashes = (from..size * tick / TICKS).map(|i| EntryHash::of(format!("{} {i}", partition.0).as_bytes()));
            store.append(Stream::Change, partition, hashes)?;
        }
        let ends = store.ends();
        store.tick(Timestamp(1_763_791_978_000_000 + tick as i64), &ends)?;
    }
    let mut signed = store.publish(&key)?.signed;
    signed.note += &witness.cosign(&signed.state.checkpoint().to_text(), 1_763_791_979);
    store.write_cosigned(&signed)?;
    store.commit()?;
    std::fs::write(folder.join("log.vkey"), key.verifier().to_string())?;
    std::fs::write(folder.join("witness.vkey"), witness.verifier().to_string())?;
    Ok(())
}
