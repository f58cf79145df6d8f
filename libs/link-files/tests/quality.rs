//! How well records are linked by default: no spec, no labels, no threshold.

mod common;

use common::{Made, articles, dir, linked, persons, truth};
use link_files::evaluate::{Evaluation, evaluate};
use link_files::result::record_clusters;

fn measured(made: &[&Made]) -> Evaluation {
    let dir = dir();
    let (table, outcome) = linked(dir.path(), made);
    evaluate(&table, &outcome, &record_clusters(&outcome), &truth(made))
}

#[test]
fn duplicates_of_persons_are_found_without_labels() {
    let made = persons(2_000, 3, 12, 5, 1);
    let found = measured(&[&made]);
    assert!(found.pairs.f1 >= 0.99, "{:?}", found.pairs);
    assert!(found.b_cubed.f1 >= 0.99, "{:?}", found.b_cubed);
    assert!(found.blocking_recall >= 0.98, "{}", found.blocking_recall);
}

#[test]
fn sparse_persons_with_many_records_stay_together() {
    let made = persons(300, 20, 12, 40, 2);
    let found = measured(&[&made]);
    assert!(found.pairs.precision >= 0.95, "{:?}", found.pairs);
    assert!(found.pairs.f1 >= 0.85, "{:?}", found.pairs);
}

#[test]
fn articles_match_across_two_files() {
    let (first, second) = articles(1_500, 3);
    let found = measured(&[&first, &second]);
    assert!(found.pairs.f1 >= 0.95, "{:?}", found.pairs);
}

#[test]
fn records_without_duplicates_are_not_linked() {
    let made = persons(1_500, 1, 0, 5, 4);
    let dir = dir();
    let (table, outcome) = linked(dir.path(), &[&made]);
    let mut clusters = record_clusters(&outcome);
    clusters.sort_unstable();
    clusters.dedup();
    assert!(clusters.len() >= table.records() - 5, "{} of {}", clusters.len(), table.records());
}

/// Set `LINK_FILES_FEBRL` to a folder that holds `dataset1.csv` to `dataset3.csv`. Without it, records of their shape are made.
#[test]
fn febrl_is_linked_from_the_file_alone() {
    let Some(folder) = std::env::var_os("LINK_FILES_FEBRL") else {
        assert!(measured(&[&persons(2_000, 6, 8, 3, 5)]).pairs.f1 >= 0.99);
        return;
    };
    for (number, least) in [(1, 0.99), (2, 0.99), (3, 0.996)] {
        let file = std::path::Path::new(&folder).join(format!("dataset{number}.csv"));
        let mut builder = link_files::table::TableBuilder::new("rec_id");
        link_files::read_csv(&file, None, &mut builder, &link_files::Silent).expect("a FEBRL file");
        let table = builder.finish().expect("records");
        let ids = (0..table.records()).map(|record| table.ids.text(record));
        let truth: Vec<u32> =
            ids.map(|id| id.split('-').nth(1).and_then(|n| n.parse().ok()).map_or(0, |n: u32| n + 1)).collect();
        let options = link_files::run::Options { keep_all: true, ..Default::default() };
        let outcome = link_files::run::run(&table, &options, &link_files::Silent).expect("a run");
        let found = evaluate(&table, &outcome, &record_clusters(&outcome), &truth);
        assert!(found.pairs.f1 >= least, "{number}: {:?}", found.pairs);
    }
}
