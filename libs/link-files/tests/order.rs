//! The partition is a function of the set of records.

mod common;

use std::collections::BTreeMap;

use common::{Dice, Made, articles, dir, linked, persons};
use link_files::output;
use link_files::result::record_clusters;

/// By id, the cluster's number.
fn partition(made: &[&Made]) -> BTreeMap<String, u32> {
    let dir = dir();
    let (table, outcome) = linked(dir.path(), made);
    let clusters = record_clusters(&outcome);
    clusters.iter().enumerate().map(|(record, cluster)| (table.ids.text(record).into_owned(), *cluster)).collect()
}

#[test]
fn shuffled_records_give_the_same_clusters_with_the_same_numbers() {
    let made = persons(600, 5, 12, 15, 11);
    let expected = partition(&[&made]);
    for seed in 0..3 {
        let mut shuffled = made.clone();
        shuffled.shuffle(&mut Dice::new(seed));
        assert_eq!(partition(&[&shuffled]), expected);
    }
}

#[test]
fn renamed_records_give_the_same_clusters() {
    let made = persons(600, 5, 12, 15, 12);
    let mut renamed = made.clone();
    let name = |id: &str| id.bytes().rev().map(char::from).collect::<String>() + "x";
    renamed.rows.iter_mut().for_each(|(row, _)| row[0] = name(&row[0]));
    let expected: BTreeMap<String, u32> =
        partition(&[&made]).into_iter().map(|(id, cluster)| (name(&id), cluster)).collect();
    assert_eq!(partition(&[&renamed]), expected);
}

#[test]
fn two_files_match_alike_in_any_order_of_records() {
    let (first, second) = articles(500, 13);
    let expected = partition(&[&first, &second]);
    let (mut x, mut y) = (first, second);
    x.shuffle(&mut Dice::new(1));
    y.shuffle(&mut Dice::new(2));
    assert_eq!(partition(&[&x, &y]), expected);
}

#[test]
fn two_runs_write_the_same_bytes() {
    let made = persons(400, 4, 12, 15, 14);
    let dir = dir();
    let files = ["clusters.csv", "pairs.csv", "model.json", "spec.toml", "summary.json", "report.html"];
    let runs = ["a", "b"].map(|name| {
        let (table, outcome) = linked(dir.path(), &[&made]);
        let out = dir.path().join(name);
        output::write(&out, &table, &outcome).expect("a writable directory");
        files.map(|file| std::fs::read(out.join(file)).expect("a written file"))
    });
    assert!(runs[0] == runs[1]);
}
