//! An erasure reaches back: whenever it comes, and whether the key is destroyed by then or not, the views are those of a log
//! in which the record never stood.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use event_log::EventLog;
use projection::basis::Basis;
use record::control::Order;
use record::{BodyCodec, Entry, EntryHeader, KeyTree, Keyring, MentionId, Pseudonym};
use support::*;
use tempfile::tempdir;
use view_store::{Expect, KeyRange, Options, StoreKind, Table, ViewStore};
use views::fold::Fold;

fn ring() -> Keyring {
    Keyring::new([1; 16], KeyTree::new([9; 32]))
}

/// The same entry with its body encrypted.
fn encrypted(bytes: &Bytes, keys: &KeyTree) -> Bytes {
    let entry = Entry::decode(bytes).expect("own entries decode");
    let header = EntryHeader { codec: BodyCodec::Aes256Gcm, ..entry.header.clone() };
    let key = keys.key(header.record).expect("no key is destroyed yet");
    Entry::encode_encrypted(&header, &key, &[5; 16], entry.plain_body().expect("plain")).expect("it fits").into()
}

fn open(dir: &Path, store: StoreKind, log: &EventLog, keys: &Keyring) -> Fold {
    let options = Options { store, ..Options::default() };
    let expect = Expect { fold_version: projection::FOLD_VERSION, log_id: LOG_ID };
    let store = ViewStore::open(dir, options, expect).expect("the store opens").into_store();
    Fold::resume(store, log.clone(), secret().with_keys(keys.clone()), Basis::default()).expect("the fold resumes")
}

#[derive(Debug, PartialEq)]
struct Outcome {
    digest: String,
    totals: views::fold::Totals,
    subjects: BTreeMap<MentionId, MentionId>,
    counters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Outcome {
    fn of(fold: &Fold) -> Self {
        Self {
            digest: fold.digest().digest().to_string(),
            totals: fold.totals(),
            subjects: subjects(fold),
            counters: counters(fold),
        }
    }
}

fn destroy(keys: &Keyring, records: &BTreeSet<Pseudonym>) {
    let mut tree = KeyTree::clone(&keys.load());
    records.iter().for_each(|record| assert!(tree.destroy(*record)));
    keys.store(tree);
}

/// Rows under look-ups of erased records.
fn lookups_of(fold: &Fold, records: &BTreeSet<Pseudonym>) -> usize {
    let view = fold.reader().view().expect("a view");
    let rows = view.range(Table::Lookup, KeyRange::All, usize::MAX).expect("look-ups");
    let of = |value: &[u8]| records.contains(&Pseudonym(value.try_into().expect("a pseudonym")));
    rows.iter().filter(|(_, value)| of(value)).count()
}

fn holds(dir: &Path, wanted: &BTreeSet<[u8; 8]>) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found += holds(&path, wanted);
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found += bytes.windows(8).filter(|w| wanted.contains(<&[u8; 8]>::try_from(*w).expect("eight"))).count();
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_an_erasure_comes_the_views_are_as_if_the_record_never_had() {
    let nation = nation_log(50, 17);
    let mut chance = Chance(0x1234_5678_9abc_def1);
    let all: Vec<Pseudonym> = nation.changes.iter().map(|c| c.record).collect::<BTreeSet<_>>().into_iter().collect();
    let erased: BTreeSet<Pseudonym> = (0..all.len() / 4).map(|_| all[chance.below(all.len())]).collect();
    let without: Vec<Bytes> =
        nation.changes.iter().filter(|c| !erased.contains(&c.record)).map(|c| c.bytes.clone()).collect();
    let run =
        async |entries: Vec<Bytes>, keys: Keyring, store: StoreKind, chance: &mut Chance, destroy_at: Option<usize>| {
            let dir = tempdir().expect("a folder");
            let log = log(&dir.path().join("log"));
            append(&log, entries).await;
            let views = dir.path().join("views");
            let mut fold = open(&views, store, &log, &keys);
            let mut batches = 0;
            loop {
                if destroy_at == Some(batches) {
                    destroy(&keys, &erased);
                }
                batches += 1;
                if fold_batches(&mut fold, &log, 1 + chance.below(300), 1) && destroy_at.is_none_or(|at| at < batches) {
                    break;
                }
                if chance.below(4) == 0 {
                    drop(fold);
                    fold = open(&views, store, &log, &keys);
                }
            }
            let outcome = Outcome::of(&fold);
            fold.close().expect("the store closes");
            log.close().await;
            outcome
        };
    let prefix = || nation.prefix.iter().cloned().chain([nation.late_contract.clone()]);
    let never = run(prefix().chain(without).collect(), ring(), StoreKind::Fjall, &mut chance, None).await;
    assert!(never.totals.records as usize == all.len() - erased.len() && never.totals.persons > 10);
    for round in 0..10 {
        let keys = ring();
        let tree = keys.load();
        let mut entries: Vec<Bytes> = nation
            .changes
            .iter()
            // Every third round has plain entries of before among them.
            .map(|c| if round % 3 == 0 && chance.below(2) == 0 { c.bytes.clone() } else { encrypted(&c.bytes, &tree) })
            .collect();
        let orders: Vec<Bytes> = erased.iter().map(|r| control(Order::Erasure { records: vec![*r] })).collect();
        for order in orders {
            entries.insert(chance.below(entries.len() + 1), order);
        }
        // Never, before everything, or somewhere between.
        let destroy_at = [None, Some(0), Some(1 + chance.below(6))][round % 3];
        let store = if round % 2 == 0 { StoreKind::Fjall } else { StoreKind::Sled };
        let outcome = run(prefix().chain(entries).collect(), keys, store, &mut chance, destroy_at).await;
        assert_eq!(outcome, never, "round {round}, destroyed at {destroy_at:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_what_files_still_hold_of_erased_records_and_moves_no_view() {
    let nation = nation_log(60, 23);
    let dir = tempdir().expect("a folder");
    let (log, views, keys) = (log(&dir.path().join("log")), dir.path().join("views"), ring());
    let tree = keys.load();
    let changes = nation.changes.iter().map(|c| encrypted(&c.bytes, &tree));
    append(&log, nation.prefix.iter().cloned().chain([nation.late_contract.clone()]).chain(changes).collect()).await;
    let mut fold = open(&views, StoreKind::Fjall, &log, &keys);
    fold_all(&mut fold, &log);
    let all: BTreeSet<Pseudonym> = nation.changes.iter().map(|c| c.record).collect();
    let erased: BTreeSet<Pseudonym> = all.iter().copied().step_by(5).collect();
    // What the heads hold of them: hashes of what was stated.
    let mut statements = BTreeSet::new();
    {
        let view = fold.reader().view().expect("a view");
        for record in &erased {
            let row = view.get(Table::Head, &record.0).expect("a read").expect("a head");
            let head = projection::head::Head::decode(&row).expect("sound");
            statements.extend(head.versions.iter().map(|v| <[u8; 8]>::try_from(&v.row.statement[..8]).expect("eight")));
        }
    }
    assert!(lookups_of(&fold, &erased) > erased.len() / 2);
    assert!(holds(&views, &statements) >= statements.len(), "the search finds what is there");
    // Half of the keys are destroyed before the fold can read the bodies again, as after a crash.
    let (early, late): (BTreeSet<Pseudonym>, BTreeSet<Pseudonym>) = erased.iter().partition(|r| r.0[15] % 2 == 0);
    destroy(&keys, &early);
    append(&log, erased.iter().map(|r| control(Order::Erasure { records: vec![*r] })).collect()).await;
    fold_all(&mut fold, &log);
    let after = Outcome::of(&fold);
    destroy(&keys, &late);
    assert!(fold.purge(true).expect("a sound disk"), "fjall is rewritten while it is open");
    assert_eq!(Outcome::of(&fold), after);
    assert_eq!((lookups_of(&fold, &erased), holds(&views, &statements)), (0, 0));
    drop(fold);
    let mut fold = open(&views, StoreKind::Fjall, &log, &keys);
    fold_all(&mut fold, &log);
    assert_eq!(Outcome::of(&fold), after);
    let mut replayed = open(&dir.path().join("replay"), StoreKind::Fjall, &log, &keys);
    fold_all(&mut replayed, &log);
    assert_eq!(Outcome::of(&replayed), after, "live = replayed");
    let mut replayed = open(&dir.path().join("bulk"), StoreKind::Fjall, &log, &keys);
    fold_all_in_bulk(&mut replayed, &log);
    assert_eq!(Outcome::of(&replayed), after, "live = replayed in bulk");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_for_an_erasure_does_not_approve_it() {
    let nation = nation_log(20, 5);
    let dir = tempdir().expect("a folder");
    let log = log(&dir.path().join("log"));
    let changes = nation.changes.iter().map(|c| c.bytes.clone());
    append(&log, nation.prefix.iter().cloned().chain([nation.late_contract.clone()]).chain(changes).collect()).await;
    let mut fold = open(&dir.path().join("views"), StoreKind::Fjall, &log, &ring());
    fold_all(&mut fold, &log);
    let before = Outcome::of(&fold);
    let record = nation.changes[0].record;
    let asked = record::Index(nation.prefix.len() as u64 + 1);
    let by = |actor: &str, order| {
        let header = EntryHeader::of_hub(record::EntryKind::Control, record::Timestamp(1));
        let body = record::control::Control { actor: actor.into(), reason: "r".into(), order }.encode();
        Bytes::from(Entry::encode_salted(&header, &[1; 16], &body).expect("a control entry fits"))
    };
    let decide = |approved| Order::Decided { asked, approved };
    append(
        &log,
        vec![
            by("a", Order::Asked { order: Box::new(Order::Erasure { records: vec![record] }) }),
            by("a", decide(true)),
        ],
    )
    .await;
    fold_all(&mut fold, &log);
    assert_eq!((Outcome::of(&fold), fold.control().asked.len()), (before, 1));
    append(&log, vec![by("b", decide(true)), by("c", decide(true))]).await;
    fold_all(&mut fold, &log);
    let state = fold.control();
    assert!(state.erased.contains(&record) && state.asked.is_empty());
    assert_eq!(state.void.len(), 2, "{:?}", state.void);
}
