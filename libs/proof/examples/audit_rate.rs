//! How fast an audit reads: entries of 500 bytes against a head, with and without the ledger's leaves at hand.
//!
//! usage: `cargo run --release -p proof --example audit_rate -- [ENTRIES]`

use std::time::Instant;

use ledger::tree::Frontier;
use ledger::{Hash, Head, leaf_hash};
use proof::{PartitionAudit, Verdict};
use record::{EntryHash, Partition, Stream};

const ENTRY_BYTES: usize = 500;

fn entry(index: u64, into: &mut [u8; ENTRY_BYTES]) {
    into[..8].copy_from_slice(&index.to_le_bytes());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entries: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let mut bytes = [7; ENTRY_BYTES];
    let mut leaves: Vec<Hash> = Vec::new();
    let mut frontier = Frontier::default();
    let begun = Instant::now();
    for index in 0..entries {
        entry(index, &mut bytes);
        let leaf = leaf_hash(&EntryHash::of(&bytes).0);
        frontier.push(leaf);
        leaves.push(leaf);
    }
    println!("hashing pass           {:>9.0} entries/s", entries as f64 / begun.elapsed().as_secs_f64());
    let head = Head { stream: Stream::Change, partition: Partition(0), size: entries, root: frontier.root() };
    audit("audit against the root", head, &mut bytes, |_| None);
    audit("and against each leaf ", head, &mut bytes, |index| leaves.get(index as usize).copied());
    Ok(())
}

fn audit(name: &str, head: Head, bytes: &mut [u8; ENTRY_BYTES], leaf: impl FnMut(u64) -> Option<Hash>) {
    let begun = Instant::now();
    let mut audit = PartitionAudit::new(head, leaf);
    for index in 0..head.size {
        entry(index, bytes);
        audit.push(&*bytes);
    }
    let verdict = audit.finish();
    assert_eq!(verdict, Verdict::Proven { covered: head.size, uncovered: 0, damaged_tile: None });
    println!("{name} {:>9.0} entries/s", head.size as f64 / begun.elapsed().as_secs_f64());
}
