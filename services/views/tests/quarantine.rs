//! A change that cannot be applied parks its record's sequence, and nothing else; the order in which it, its record's other changes and the
//! orders about it come does not matter.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use event_log::{Append, EventLog, StreamSet};
use record::control::{Order, QuarantineStep};
use record::*;
use support::*;
use tempfile::tempdir;
use view_store::StoreKind;
use views::fold::{Fold, Quarantined, parked, parked_of};

/// An entry of the record whose body is no envelope.
fn broken(of: &ChangeEntry) -> Bytes {
    let header = EntryHeader { version: 900, ..Entry::decode(&of.bytes).expect("sound").header };
    Entry::encode_salted(&header, &[3; 16], b"not an envelope").expect("it fits").into()
}

/// What one record says, in order; `bad` is the place of an entry that cannot be applied.
#[derive(Clone)]
struct Sequence {
    record: Pseudonym,
    entries: Vec<Bytes>,
    bad: Option<usize>,
}

fn sequences(nation: &NationLog) -> Vec<Sequence> {
    let mut by_record: BTreeMap<Pseudonym, Sequence> = BTreeMap::new();
    for change in &nation.changes {
        let new = || Sequence { record: change.record, entries: Vec::new(), bad: None };
        by_record.entry(change.record).or_insert_with(new).entries.push(change.bytes.clone());
    }
    by_record.into_values().collect()
}

/// Appends changes in some interleaving and says where each record's broken entry went.
async fn append_all(
    log: &EventLog,
    sequences: &[Sequence],
    chance: &mut Chance,
    mut at_place: impl FnMut(Pseudonym, Position) -> Vec<Bytes>,
) {
    for bytes in prefix().into_iter().chain([late_contract()]) {
        append(log, vec![bytes]).await;
    }
    let mut order: Vec<usize> = sequences.iter().enumerate().flat_map(|(n, s)| vec![n; s.entries.len()]).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, chance.below(i + 1));
    }
    let (mut next, mut ends) = (vec![0; sequences.len()], BTreeMap::<Partition, u64>::new());
    let (mut changes, mut orders) = (Vec::new(), Vec::new());
    for n in order {
        let (sequence, at) = (&sequences[n], next[n]);
        let partition = sequence.record.partition(PARTITIONS);
        let end = ends.entry(partition).or_default();
        if sequence.bad == Some(at) {
            let position = Position { stream: Stream::Change, partition, index: Index(*end) };
            orders.extend(at_place(sequence.record, position));
        }
        changes.push(Append { stream: Stream::Change, partition, bytes: sequence.entries[at].clone() });
        *end += 1;
        next[n] += 1;
    }
    for order in orders {
        let place = chance.below(changes.len());
        changes.insert(place, Append { stream: Stream::Control, partition: Partition(0), bytes: order });
    }
    for chunk in changes.chunks(1_000) {
        log.append(chunk.to_vec()).await.expect("the log takes entries");
    }
}

struct Outcome {
    digest: Digest,
    totals: views::fold::Totals,
    quarantined: Quarantined,
}

fn outcome(fold: &Fold) -> Outcome {
    let view = fold.reader().view().expect("a view");
    let read = views::rows::sums(&view, |_| true).expect("sound rows").expect("nothing ends it");
    assert_eq!(read.digest(), fold.digest().digest(), "the rows of the store are what the digest is the sum of");
    Outcome { digest: fold.digest().digest(), totals: fold.totals(), quarantined: fold.quarantined() }
}

async fn folded(sequences: &[Sequence], dropped: &[Pseudonym], store: StoreKind, chance: &mut Chance) -> Outcome {
    let dir = tempdir().expect("a folder");
    let log = log(&dir.path().join("log"));
    append_all(&log, sequences, chance, |record, Position { partition, index, .. }| {
        let order = |step| control(Order::Quarantine { record, partition, index, step });
        match dropped.contains(&record) {
            true => vec![order(QuarantineStep::Drop)],
            false => vec![order(QuarantineStep::Retry)],
        }
    })
    .await;
    let views = dir.path().join("views");
    let fold = fold_with_kills(&views, store, &log, 300, chance);
    let outcome = outcome(&fold);
    fold.close().expect("the store closes");
    log.close().await;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_and_what_is_dropped_depends_on_no_interleaving_and_touches_no_other_record() {
    let nation = nation_log(40, 5);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let sound = sequences(&nation);
    let whole = folded(&sound, &[], StoreKind::Fjall, &mut chance).await;
    assert_eq!(whole.quarantined, Quarantined::default());

    let mut broken_ones = sound.clone();
    let (mut bad, mut behind) = (Vec::new(), 0);
    for (n, sequence) in broken_ones.iter_mut().enumerate().filter(|(n, _)| n % 9 == 0) {
        let place = chance.below(sequence.entries.len() + 1);
        let entry = nation.changes.iter().find(|c| c.record == sequence.record).expect("it is of the nation");
        behind += if bad.len() % 2 == 0 { 0 } else { sequence.entries.len() - place };
        sequence.entries.insert(place, broken(entry));
        sequence.bad = Some(place);
        bad.push((n, sequence.record));
    }
    let every: Vec<Pseudonym> = bad.iter().map(|(_, record)| *record).collect();
    let half: Vec<Pseudonym> = every.iter().step_by(2).copied().collect();

    // All broken entries dropped: as if they had never come.
    for store in [StoreKind::Fjall, StoreKind::Sled] {
        let dropped = folded(&broken_ones, &every, store, &mut chance).await;
        assert_eq!((dropped.digest, dropped.totals), (whole.digest, whole.totals));
        assert_eq!(dropped.quarantined, Quarantined::default());
    }
    // Half of them: the others are parked from there on.
    let mut first: Option<Outcome> = None;
    for round in 0..10 {
        let store = if round % 2 == 0 { StoreKind::Fjall } else { StoreKind::Sled };
        let parked = folded(&broken_ones, &half, store, &mut chance).await;
        let records = (every.len() - half.len()) as u64;
        assert_eq!(parked.quarantined, Quarantined { records, changes: records + behind as u64 }, "round {round}");
        if let Some(first) = &first {
            assert_eq!((parked.digest, parked.totals), (first.digest, first.totals), "round {round}");
        }
        first.get_or_insert(parked);
    }
    assert_ne!(first.expect("ten rounds").digest, whole.digest);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_at_all_is_parked_by_its_place_and_can_be_dropped() {
    let nation = nation_log(20, 7);
    let dir = tempdir().expect("a folder");
    let log = log(&dir.path().join("log"));
    let sequences = sequences(&nation);
    let mut chance = Chance(77);
    append_all(&log, &sequences, &mut chance, |_, _| Vec::new()).await;
    let mut fold = open_fold(&dir.path().join("views"), StoreKind::Fjall, &log);
    fold_all(&mut fold, &log);
    let before = outcome(&fold);

    let mut torn = nation.changes[0].bytes.to_vec();
    let last = torn.len() - 1;
    torn[last] ^= 1;
    let raw = |bytes: Bytes| Append { stream: Stream::Change, partition: Partition(3), bytes };
    let garbage = log.append(vec![raw(Bytes::from_static(b"no entry")), raw(torn.into())]).await.expect("appended");
    fold_all(&mut fold, &log);
    let after = outcome(&fold);
    assert_eq!(after.quarantined, Quarantined { records: 2, changes: 2 });
    assert_eq!(after.totals, before.totals);
    let view = fold.reader().view().expect("a view");
    let all = parked(&view, None, 10).expect("sound rows");
    let reasons: Vec<_> = all.iter().map(|p| p.reason.clone().expect("each cannot be applied")).collect();
    assert!(reasons.iter().any(|r| r.contains("decoded")) && reasons.iter().any(|r| r.contains("hash")), "{reasons:?}");
    assert_eq!(parked_of(&view, nation.changes[0].record, 10).expect("sound").len(), 1);
    drop(view);

    for parked in all {
        let Position { partition, index, .. } = parked.position;
        assert!(garbage.iter().any(|appended| appended.position == parked.position));
        let order = Order::Quarantine { record: parked.record, partition, index, step: QuarantineStep::Drop };
        append(&log, vec![control(order)]).await;
    }
    fold_all(&mut fold, &log);
    let end = outcome(&fold);
    assert_eq!((end.digest, end.quarantined), (before.digest, Quarantined::default()));
}

#[tokio::test]
async fn an_erased_record_leaves_the_quarantine() {
    let nation = nation_log(10, 9);
    let dir = tempdir().expect("a folder");
    let log = log(&dir.path().join("log"));
    append(&log, nation.prefix.iter().cloned().chain([nation.late_contract.clone()]).collect()).await;
    let of = &nation.changes[0];
    append(&log, vec![of.bytes.clone(), broken(of), of.bytes.clone()]).await;
    let mut fold = open_fold(&dir.path().join("views"), StoreKind::Fjall, &log);
    fold_all(&mut fold, &log);
    assert_eq!(fold.quarantined(), Quarantined { records: 1, changes: 2 });
    append(&log, vec![control(Order::Erasure { records: vec![of.record] }), of.bytes.clone()]).await;
    fold_all(&mut fold, &log);
    let end = outcome(&fold);
    assert_eq!(end.quarantined, Quarantined::default());
    assert_eq!(end.digest, LtHash::default().digest(), "nothing of it is left");
    assert!(log.reader(&Positions::new(), StreamSet::ALL).is_ok());
}
