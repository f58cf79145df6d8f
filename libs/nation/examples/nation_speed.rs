//! Prints how fast a nation is made and written: `cargo run --release -p nation --example nation_speed -- 20000`.

use std::time::Instant;

use nation::{Config, Nation, REGISTERS};

fn main() {
    let persons = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let start = Instant::now();
    let nation = match Nation::new(Config { persons, seed: 1 }) {
        Ok(nation) => nation,
        Err(error) => return eprintln!("{error}"),
    };
    println!("truth of {persons} persons, {} parcels: {:?}", nation.parcels(), start.elapsed());
    for register in REGISTERS {
        let start = Instant::now();
        let (mut changes, mut bytes) = (0u64, 0u64);
        for change in nation.changes(register) {
            changes += 1;
            bytes += change.payload.len() as u64;
        }
        println!("{register}: {changes} changes, {} bytes each, {:?}", bytes / changes.max(1), start.elapsed());
    }
    let start = Instant::now();
    let report = nation.report();
    println!(
        "{report:#?}\nwithout a common identifier: {} per mille, {:?}",
        report.without_common_id_per_mille(),
        start.elapsed()
    );
    let start = Instant::now();
    println!("{:#?} {:?}", nation.showcase(), start.elapsed());
}
