//! What keys and encrypted bodies cost on this machine: `cargo run --release -p record --example key_speed`.

use std::hint::black_box;
use std::time::Instant;

use record::{BodyCodec, Entry, EntryHeader, EntryKind, KeyTree, Pseudonym, Timestamp};

const TIMES: u32 = 50_000;

fn record(n: u32) -> Pseudonym {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Pseudonym(out)
}

/// The best of five rounds, in nanoseconds for one.
fn time(name: &str, mut each: impl FnMut(u32)) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        (0..TIMES).for_each(&mut each);
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(TIMES));
    }
    println!("{name:<44} {best:>8.0} ns");
}

fn main() {
    let tree = KeyTree::new([1; 32]);
    time("a record's key", |n| drop(black_box(tree.key(record(n)))));
    let mut erased = tree.clone();
    (0..1_000).for_each(|n| assert!(erased.destroy(record(n * 7))));
    println!("1,000 erasures: {} bytes", erased.encode().len());
    time("a record's key after 1,000 erasures", |n| drop(black_box(erased.key(record(n)))));
    for bytes in [400, 1_200, 4_000] {
        let body = vec![7; bytes];
        let header =
            |n, codec| EntryHeader { codec, record: record(n), ..EntryHeader::of_hub(EntryKind::Upsert, Timestamp(1)) };
        time(&format!("an entry with a plain body of {bytes} bytes"), |n| {
            drop(black_box(Entry::encode_salted(&header(n, BodyCodec::SaltedPlain), &[1; 16], &body)));
        });
        let seal = |n| {
            let key = tree.key(record(n)).expect("no key is destroyed");
            Entry::encode_encrypted(&header(n, BodyCodec::Aes256Gcm), &key, &[1; 16], &body).expect("it fits")
        };
        time("the same, encrypted", |n| drop(black_box(seal(n))));
        let sealed = seal(3);
        time("opening it", |_| drop(black_box(Entry::decode(&sealed).expect("an entry").body(&tree))));
    }
}
