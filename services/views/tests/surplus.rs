//! Surplus: live records of one subject beyond the first, where its contract says that there is but one.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use nation::{Flaw, Nation, Operation, PublishedChange, REGISTERS};
use projection::mention::mention_id;
use projection::quality::{Cell, Counts};
use record::{MentionId, RecordId, RegisterName};
use support::*;
use tempfile::{TempDir, tempdir};
use view_store::StoreKind;
use views::fold::Fold;

/// A fold over its own log.
struct Folded {
    log: event_log::EventLog,
    fold: Fold,
    _dir: TempDir,
}

impl Folded {
    async fn new() -> Self {
        let dir = tempdir().expect("a folder");
        let log = log(&dir.path().join("log"));
        append(&log, prefix()).await;
        append(&log, vec![late_contract()]).await;
        let fold = open_fold(&dir.path().join("views"), StoreKind::Fjall, &log);
        Self { log, fold, _dir: dir }
    }

    async fn take(&mut self, entries: Vec<Bytes>) {
        append(&self.log, entries).await;
        fold_all(&mut self.fold, &self.log);
    }

    async fn publish(&mut self, change: &PublishedChange) {
        self.take(vec![entry(&contracts()[change.register], change).bytes]).await;
    }

    /// Surplus records by register.
    fn surplus(&self) -> BTreeMap<String, u64> {
        let mut by_register = BTreeMap::new();
        for (key, counts) in counters(&self.fold) {
            let cell = Cell::from_key(&key).expect("a cell's key");
            let surplus = Counts::decode(&counts).expect("counters").surplus;
            if surplus > 0 {
                *by_register.entry(cell.register.as_str().to_owned()).or_default() += surplus;
            }
        }
        by_register
    }
}

/// A registration of a birth, faultless and never corrected.
fn birth(nation: &Nation) -> PublishedChange {
    let clean = |c: &PublishedChange| {
        let child = c.truth.first();
        c.record_type == "birth" && c.version == 1 && c.live && child.is_some_and(|m| !m.ids.is_empty())
    };
    nation.changes("civil").find(clean).expect("a nation has births")
}

fn under(record_id: &str, change: &PublishedChange) -> PublishedChange {
    PublishedChange { record_id: record_id.to_owned(), ..change.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_registered_twice_is_surplus_until_one_is_retracted() {
    let nation = Nation::new(nation::Config { persons: 400, seed: 3 }).expect("within bounds");
    let first = birth(&nation);
    let second = under("KS-SECOND", &first);
    let mut folded = Folded::new().await;
    folded.publish(&first).await;
    assert_eq!(folded.surplus(), BTreeMap::new());
    folded.publish(&second).await;
    assert_eq!(folded.surplus(), BTreeMap::from([("civil".to_owned(), 1)]));
    folded.publish(&under("KS-THIRD", &first)).await;
    assert_eq!(folded.surplus(), BTreeMap::from([("civil".to_owned(), 2)]));
    for (record, left) in [("KS-SECOND", 1), ("KS-THIRD", 0)] {
        let mut gone = under(record, &first);
        (gone.version, gone.operation, gone.payload) = (2, Operation::Retract, Vec::new());
        folded.publish(&gone).await;
        assert_eq!(folded.surplus().values().sum::<u64>(), left, "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_moves_to_another_agency_stays_counted_once() {
    let nation = Nation::new(nation::Config { persons: 400, seed: 3 }).expect("within bounds");
    let first = birth(&nation);
    let mut folded = Folded::new().await;
    folded.publish(&first).await;
    folded.publish(&under("KS-SECOND", &first)).await;
    let mut moved = under("KS-SECOND", &first);
    (moved.version, moved.agency) = (2, "G15.99".to_owned());
    folded.publish(&moved).await;
    assert_eq!(folded.surplus(), BTreeMap::from([("civil".to_owned(), 1)]));
    (moved.version, moved.operation, moved.payload) = (3, Operation::Retract, Vec::new());
    folded.publish(&moved).await;
    assert_eq!(folded.surplus(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn surplus_of_a_nation_is_what_its_subjects_have_too_many_of() {
    let nation = Nation::new(nation::Config { persons: 2000, seed: 5 }).expect("within bounds");
    let contracts = contracts();
    let mut folded = Folded::new().await;
    let (mut entries, mut single) = (Vec::new(), BTreeMap::<MentionId, (&str, &str, u8)>::new());
    for register in REGISTERS {
        for change in nation.changes(register).filter(|c| c.flaw != Flaw::Refused) {
            entries.push(entry(&contracts[register], &change).bytes);
            if !change.live || change.operation == Operation::Retract {
                continue;
            }
            let name = RegisterName::try_from(register).expect("a name");
            let id = RecordId::try_from(change.record_id.as_str()).expect("an id");
            let record = secret().pseudonym(&name, &id);
            let facts = contracts[register].facts(change.record_type, &change.payload).expect("a good record");
            for mention in facts.mentions.iter().filter(|m| m.once) {
                let of = (register, change.record_type, mention.role_number);
                single.insert(mention_id(&secret(), record, mention), of);
            }
        }
    }
    folded.take(entries).await;
    let mut by_subject: BTreeMap<(MentionId, (&str, &str, u8)), u64> = BTreeMap::new();
    for (mention, subject) in subjects(&folded.fold) {
        if let Some(of) = single.get(&mention) {
            *by_subject.entry((subject, *of)).or_default() += 1;
        }
    }
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for ((_, (register, _, _)), records) in by_subject.into_iter().filter(|(_, n)| *n > 1) {
        *expected.entry(register.to_owned()).or_default() += records - 1;
    }
    println!("surplus {expected:?}");
    assert!(expected.get("civil").is_some_and(|n| *n > 0), "the nation has births that are registered twice");
    assert_eq!(folded.surplus(), expected);
}
