//! The view at a cut is a function of each record's own sequence and the control sequence: nothing else enters.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use record::control::{Order, Verdict};
use record::{MentionId, Pseudonym};
use support::*;
use tempfile::tempdir;
use view_store::StoreKind;

/// Reviewers' decisions on pairs of mentions, some of the same person, most of any two; some contradict, some are undone.
fn decisions(nation: &NationLog, count: usize, chance: &mut Chance) -> Vec<Bytes> {
    let mentions: Vec<(MentionId, nation::TrueSubject)> =
        nation.changes.iter().flat_map(|c| c.truth.iter().copied()).collect();
    let mut pairs: Vec<(MentionId, MentionId)> = Vec::new();
    let decision = |_| {
        let verdict = [Verdict::Must, Verdict::Cannot, Verdict::Unsure, Verdict::Undo][chance.below(4)];
        let (a, subject) = mentions[chance.below(mentions.len())];
        let same: Vec<MentionId> = mentions.iter().filter(|(_, s)| *s == subject).map(|(m, _)| *m).collect();
        let b = match chance.below(3) {
            0 => mentions[chance.below(mentions.len())].0,
            _ => same[chance.below(same.len())],
        };
        let (a, b) = if chance.below(3) == 0 && !pairs.is_empty() { pairs[chance.below(pairs.len())] } else { (a, b) };
        pairs.push((a, b));
        control(Order::Decision { a, b, verdict })
    };
    (0..count).map(decision).collect()
}

/// The changes in another interleaving: each record's own order is kept, and that of the control entries, which come
/// anywhere.
fn interleave(nation: &NationLog, control: &[Bytes], chance: &mut Chance) -> Vec<Bytes> {
    let mut by_record: BTreeMap<Pseudonym, Vec<&Bytes>> = BTreeMap::new();
    for change in &nation.changes {
        by_record.entry(change.record).or_default().push(&change.bytes);
    }
    let mut order: Vec<Pseudonym> = nation.changes.iter().map(|c| c.record).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, chance.below(i + 1));
    }
    let mut next: BTreeMap<Pseudonym, usize> = BTreeMap::new();
    let mut out: Vec<Bytes> = Vec::with_capacity(order.len() + control.len());
    for record in order {
        let at = next.entry(record).or_default();
        out.push(by_record[&record][*at].clone());
        *at += 1;
    }
    let mut places: Vec<usize> = control.iter().map(|_| chance.below(out.len() + 1)).collect();
    places.sort_unstable();
    for (at, entry) in places.into_iter().zip(control).rev() {
        out.insert(at, entry.clone());
    }
    out
}

struct Outcome {
    digest: String,
    totals: views::fold::Totals,
    subjects: BTreeMap<MentionId, MentionId>,
    counters: Vec<(Vec<u8>, Vec<u8>)>,
}

async fn fold_in_order(nation: &NationLog, entries: Vec<Bytes>, store: StoreKind, chance: &mut Chance) -> Outcome {
    let dir = tempdir().expect("a folder");
    let partitions = 1 + chance.below(12) as u16;
    let log = log_of(&dir.path().join("log"), partitions);
    let opened = std::iter::once(opened(partitions)).chain(nation.prefix[1..].iter().cloned());
    append_to(&log, partitions, opened.chain(entries).collect()).await;
    let views = dir.path().join("views");
    let fold = fold_with_kills(&views, store, &log, 700, chance);
    let outcome = Outcome {
        digest: fold.digest().digest().to_string(),
        totals: fold.totals(),
        subjects: subjects(&fold),
        counters: counters(&fold),
    };
    let view = fold.reader().view().expect("a view");
    let read = views::rows::sums(&view, |_| true).expect("sound rows").expect("nothing ends it");
    assert_eq!(read.digest().to_string(), outcome.digest, "the rows of the store are what the digest is the sum of");
    drop(view);
    fold.close().expect("the store closes");
    log.close().await;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn interleaving_partitions_batches_crashes_and_stores_do_not_reach_the_views() {
    let nation = nation_log(60, 11);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut control = decisions(&nation, 60, &mut chance);
    control.insert(chance.below(control.len()), nation.late_contract.clone());
    let mut first: Option<Outcome> = None;
    for round in 0..20 {
        let store = if round % 2 == 0 { StoreKind::Fjall } else { StoreKind::Sled };
        let entries = interleave(&nation, &control, &mut chance);
        let outcome = fold_in_order(&nation, entries, store, &mut chance).await;
        assert!(outcome.totals.persons >= 60 && outcome.totals.waiting == 0, "{:?}", outcome.totals);
        if let Some(first) = &first {
            assert_eq!(outcome.subjects, first.subjects, "round {round}");
            assert_eq!(outcome.counters, first.counters, "round {round}");
            assert_eq!(outcome.totals, first.totals, "round {round}");
            assert_eq!(outcome.digest, first.digest, "round {round}");
        }
        first.get_or_insert(outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_move_subjects_and_undone_decisions_leave_no_trace_in_them() {
    let nation = nation_log(40, 3);
    let dir = tempdir().expect("a folder");
    let log = log(&dir.path().join("log"));
    let changes = nation.changes.iter().map(|c| c.bytes.clone());
    let entries = nation.prefix.iter().cloned().chain([nation.late_contract.clone()]).chain(changes);
    append(&log, entries.collect()).await;
    let mut fold = open_fold(&dir.path().join("views"), StoreKind::Fjall, &log);
    fold_all(&mut fold, &log);
    let (before, counted, totals) = (subjects(&fold), counters(&fold), fold.totals());
    let pair = |together: bool| {
        let others = |a: &MentionId| before.iter().filter(move |(b, _)| *b != a).map(|(b, _)| *b).collect::<Vec<_>>();
        let truth: BTreeMap<_, _> = nation.changes.iter().flat_map(|c| c.truth.iter().copied()).collect();
        let person = |m: &MentionId| matches!(truth[m], nation::TrueSubject::Person(_));
        let fits = |a: &MentionId, b: &MentionId| (before[a] == before[b]) == together && person(a) && person(b);
        let found = before.keys().find_map(|a| others(a).into_iter().find(|b| fits(a, b)).map(|b| (*a, b)));
        found.expect("there is such a pair")
    };
    let ((a, b), (c, d)) = (pair(true), pair(false));
    let decide = |a, b, verdict| control(Order::Decision { a, b, verdict });
    let orders = [decide(a, b, Verdict::Cannot), decide(c, d, Verdict::Must), decide(d, c, Verdict::Cannot)];
    append(&log, orders.into()).await;
    fold_all(&mut fold, &log);
    let decided = subjects(&fold);
    assert_ne!(decided[&a], decided[&b]);
    assert_eq!(decided[&c], decided[&d], "of two decisions on a pair the first stands");
    append(&log, vec![decide(b, a, Verdict::Undo), decide(c, d, Verdict::Undo)]).await;
    fold_all(&mut fold, &log);
    assert_eq!((subjects(&fold), counters(&fold), fold.totals()), (before, counted, totals));
}

async fn log_of_nation(nation: &NationLog, dir: &std::path::Path) -> event_log::EventLog {
    let log = log(&dir.join("log"));
    let mut entries = nation.prefix.clone();
    entries.push(nation.late_contract.clone());
    entries.extend(nation.changes.iter().map(|c| c.bytes.clone()));
    append(&log, entries).await;
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_nation_are_precise_and_nearly_complete() {
    let nation = nation_log(3000, 1);
    let dir = tempdir().expect("a folder");
    let log = log_of_nation(&nation, dir.path()).await;
    let mut fold = open_fold(&dir.path().join("views"), StoreKind::Fjall, &log);
    fold_all(&mut fold, &log);
    assert_links(&nation, &fold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_learned_from_the_log_links_a_nation_as_well() {
    let nation = nation_log(3000, 1);
    let dir = tempdir().expect("a folder");
    let log = log_of_nation(&nation, dir.path()).await;
    let mut fold = open_fold(&dir.path().join("views"), StoreKind::Fjall, &log);
    fold_all(&mut fold, &log);
    let control = fold.control().clone();
    let sample = |rows_max| {
        let rows = views::learn::sample(&log, fold.positions(), &control, &secret(), rows_max, |_, _| true);
        rows.expect("the log is sound").expect("it was not ended")
    };
    assert!(sample(2_000).len() <= 2_000, "a sample is bounded");
    let mut rows = sample(100_000);
    let known = control.model.as_ref().expect("a model");
    let learned = known.model.learn(&rows).expect("a nation tells enough");
    rows.reverse();
    let again = known.model.learn(&rows).expect("a nation tells enough");
    assert_eq!(learned.model.hash(), again.model.hash(), "the order of rows does not matter");
    assert!(learned.levels.iter().filter(|level| level.kept.is_empty()).count() > 10, "{learned:?}");
    let model = std::sync::Arc::new(learned.model.with_epoch(2));
    let basis = projection::basis::Basis {
        model: Some(projection::basis::KnownModel { model, ..known.clone() }),
        registers: BTreeMap::new(),
    };
    let mut fold = open_fold_on(&dir.path().join("other"), StoreKind::Fjall, &log, basis);
    fold_all(&mut fold, &log);
    assert_eq!(fold.control().serving().model, 2);
    assert_links(&nation, &fold);
}

fn assert_links(nation: &NationLog, fold: &views::fold::Fold) {
    let subjects = subjects(fold);
    let truth: BTreeMap<MentionId, nation::TrueSubject> =
        nation.changes.iter().filter(|c| c.live).flat_map(|c| c.truth.iter().copied()).collect();
    assert_eq!(truth.keys().collect::<Vec<_>>(), subjects.keys().collect::<Vec<_>>(), "live mentions");
    let pairs = |sizes: Vec<u64>| sizes.into_iter().map(|n| n * (n - 1) / 2).sum::<u64>();
    let mut together: BTreeMap<(MentionId, nation::TrueSubject), u64> = BTreeMap::new();
    let mut by_subject: BTreeMap<MentionId, u64> = BTreeMap::new();
    let mut by_truth: BTreeMap<nation::TrueSubject, u64> = BTreeMap::new();
    for (mention, subject) in &subjects {
        *together.entry((*subject, truth[mention])).or_default() += 1;
        *by_subject.entry(*subject).or_default() += 1;
        *by_truth.entry(truth[mention]).or_default() += 1;
    }
    let right = pairs(together.into_values().collect());
    let (linked, real) = (pairs(by_subject.into_values().collect()), pairs(by_truth.into_values().collect()));
    println!("pairs: right {right}, linked {linked}, real {real}; {:?}", fold.totals());
    assert!(right * 1000 >= linked * 999, "precision {right}/{linked}");
    assert!(right * 100 >= real * 97, "recall {right}/{real}");
}
