//! A nation as log entries, and the log and the fold around them.
#![allow(dead_code, reason = "each test uses its part")]

mod chance;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
#[allow(unused_imports, reason = "each test uses its part")]
pub use chance::Chance;
use contract::Contract;
use event_log::{Append, Embedded, EventLog, LogOptions, PartitionCounts, StreamSet, Tuning};
use nation::{Flaw, Nation, PublishedChange, TrueSubject};
use projection::basis::Basis;
use projection::mention::mention_id;
use projection::units::{Unit, UnitList};
use record::control::{Control, Order};
use record::*;
use view_store::{Expect, Options, StoreKind, Table, ViewStore};
use views::fold::{BulkOptions, Fold};

pub const PARTITIONS: u16 = 8;
pub const LOG_ID: [u8; 16] = *b"a log for a test";

pub fn secret() -> LogSecret {
    LogSecret::new(&[7; 32])
}

/// An entry of a record, with whom its mentions really mean.
pub struct ChangeEntry {
    pub record: Pseudonym,
    pub bytes: Bytes,
    pub live: bool,
    pub truth: Vec<(MentionId, TrueSubject)>,
}

/// Everything that is appended, in the order of the registers.
pub struct NationLog {
    /// Control entries that come before anything else.
    pub prefix: Vec<Bytes>,
    /// The contract of the register that is registered at run time.
    pub late_contract: Bytes,
    pub changes: Vec<ChangeEntry>,
}

pub fn control(order: Order) -> Bytes {
    let header = EntryHeader::of_hub(EntryKind::Control, Timestamp(1));
    let body = Control { actor: "hub".into(), reason: String::new(), order }.encode();
    Entry::encode_salted(&header, &[1; 16], &body).expect("a control entry fits").into()
}

pub fn unit_lists() -> Vec<UnitList> {
    let nation = Nation::new(nation::Config { persons: 10, seed: 1 }).expect("10 persons are enough");
    let list = |l: nation::UnitListCsv| UnitList {
        version: l.version.into(),
        valid_from: l.valid_from.into(),
        previous: l.previous.into(),
        units: l
            .units
            .iter()
            .map(|u| Unit { code: u.code.to_string(), name: u.name.to_string(), province: u.province.to_string() })
            .collect(),
        map: l.map.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
    };
    nation.unit_lists().into_iter().map(list).collect()
}

/// The entry that opens a log with so many partitions of changes.
pub fn opened(partitions: u16) -> Bytes {
    control(Order::LogOpened { commitment: secret().commitment(), partitions })
}

pub fn prefix() -> Vec<Bytes> {
    let lists = unit_lists();
    let mut orders = Vec::new();
    for c in contract::builtin() {
        let register = RegisterName::try_from(c.register).expect("a built-in register has a name");
        orders.push(Order::Contract { register, descriptors: c.descriptor_set.to_vec() });
    }
    orders.push(Order::Policy { document: ::access::BUILTIN_POLICY.as_bytes().to_vec() });
    orders.push(Order::Procedures { document: ::access::BUILTIN_PROCEDURES.as_bytes().to_vec() });
    orders.extend(lists.iter().map(|l| Order::Units { document: l.encode() }));
    let unit_lists = lists.iter().map(|l| l.version.clone()).collect();
    orders.push(Order::Model { epoch: 1, model: linkage::Model::epoch_1().to_bytes(), unit_lists });
    std::iter::once(opened(PARTITIONS)).chain(orders.into_iter().map(control)).collect()
}

pub fn late_contract() -> Bytes {
    let register = RegisterName::try_from("population").expect("a name");
    control(Order::Contract { register, descriptors: nation::population_descriptor_set().to_vec() })
}

pub fn contracts() -> BTreeMap<&'static str, Arc<Contract>> {
    let mut all: BTreeMap<&'static str, Arc<Contract>> = contract::builtin()
        .iter()
        .map(|c| (c.register, Arc::new(Contract::compile(c.descriptor_set).expect("built-in contracts compile"))))
        .collect();
    let population = Contract::compile(nation::population_descriptor_set()).expect("population compiles");
    all.insert("population", Arc::new(population));
    all
}

pub fn nation_log(persons: u32, seed: u64) -> NationLog {
    let nation = Nation::new(nation::Config { persons, seed }).expect("a valid number of persons");
    let contracts = contracts();
    let mut changes = Vec::new();
    for register in nation::REGISTERS {
        for change in nation.changes(register).filter(|c| c.flaw != Flaw::Refused) {
            changes.push(entry(&contracts[register], &change));
        }
    }
    NationLog { prefix: prefix(), late_contract: late_contract(), changes }
}

pub fn entry(contract: &Contract, change: &PublishedChange) -> ChangeEntry {
    let register = RegisterName::try_from(change.register).expect("a name");
    let record_id = RecordId::try_from(change.record_id.as_str()).expect("an id");
    let record = secret().pseudonym(&register, &record_id);
    let (kind, operation) = match change.operation {
        nation::Operation::Upsert => (EntryKind::Upsert, Operation::Upsert),
        nation::Operation::Retract => (EntryKind::Retract, Operation::Retract),
    };
    let header = EntryHeader {
        kind,
        codec: BodyCodec::SaltedPlain,
        register: Some(register),
        epoch: RegisterEpoch(0),
        record,
        version: change.version,
        effective_at: Timestamp(change.effective_at),
        recorded_at: Timestamp(change.published_at),
        contract: contract.id(),
    };
    let envelope = Envelope {
        record_id,
        record_type: change.record_type,
        operation,
        agency: AgencyId::try_from(change.agency.as_str()).expect("an agency"),
        replaces: change.replaces,
        effective_at: Timestamp(change.effective_at),
        registered_at: Timestamp(change.registered_at),
        legal_basis: change.legal_basis,
        reason: change.reason,
        payload: &change.payload,
        published_at: Timestamp(change.published_at),
        principal: "spiffe://hub.test/register/test",
        trace: None,
    };
    let bytes = Entry::encode_salted(&header, &[2; 16], &envelope.encode()).expect("a change fits").into();
    let mut truth = Vec::new();
    if operation == Operation::Upsert {
        let facts = contract.facts(change.record_type, &change.payload).expect("what is not refused can be read");
        assert_eq!(facts.mentions.len(), change.truth.len());
        truth.extend(
            facts.mentions.iter().zip(&change.truth).map(|(m, t)| (mention_id(&secret(), record, m), t.subject)),
        );
    }
    ChangeEntry { record, bytes, live: change.live, truth }
}

pub fn log(dir: &Path) -> EventLog {
    log_of(dir, PARTITIONS)
}

pub fn log_of(dir: &Path, partitions: u16) -> EventLog {
    let options = LogOptions {
        partitions: PartitionCounts { change: partitions, rejected: 1, access: 1 },
        tuning: Tuning { segment_bytes: 64 << 20, access_segment_bytes: 1 << 20, ..Tuning::default() },
    };
    EventLog::Embedded(Embedded::create(dir, &options, LOG_ID).expect("an empty folder takes a log"))
}

pub async fn append(log: &EventLog, entries: Vec<Bytes>) {
    append_to(log, PARTITIONS, entries).await;
}

pub async fn append_to(log: &EventLog, partitions: u16, entries: Vec<Bytes>) {
    for chunk in entries.chunks(2000) {
        let batch = chunk.iter().map(|bytes| {
            let header = Entry::decode(bytes).expect("own entries decode").header;
            let stream = header.kind.stream();
            let partition = if stream == Stream::Change { header.record.partition(partitions) } else { Partition(0) };
            Append { stream, partition, bytes: bytes.clone() }
        });
        log.append(batch.collect()).await.expect("the log takes entries");
    }
}

pub fn open_fold(dir: &Path, store: StoreKind, log: &EventLog) -> Fold {
    open_fold_on(dir, store, log, Basis::default())
}

/// A fold that a fresh store begins on a basis.
pub fn open_fold_on(dir: &Path, store: StoreKind, log: &EventLog, basis: Basis) -> Fold {
    let options = Options { store, ..Options::default() };
    let expect = Expect { fold_version: projection::FOLD_VERSION, log_id: LOG_ID };
    let store = ViewStore::open(dir, options, expect).expect("the store opens").into_store();
    Fold::resume(store, log.clone(), secret(), basis).expect("the fold resumes")
}

/// Folds what the log holds, in batches of at most `batch` entries, at most `stop_after` batches.
pub fn fold_batches(fold: &mut Fold, log: &EventLog, batch: usize, stop_after: usize) -> bool {
    let mut reader = log.reader(fold.positions(), StreamSet::ALL_BUT_ACCESS).expect("the log is read");
    for _ in 0..stop_after {
        let read = reader.next_batch(batch, 8 << 20).expect("the log is sound");
        if read.entries.is_empty() {
            return true;
        }
        fold.fold(read.entries).expect("the fold takes every entry");
    }
    false
}

pub fn fold_all(fold: &mut Fold, log: &EventLog) {
    assert!(fold_batches(fold, log, 4096, usize::MAX));
}

/// Folds what the log holds in bulk, in batches of at most `batch` changes, about `stop_after` of them, with the order of the changes in
/// `sort`. True when the bulk fold is done.
pub fn fold_bulk(fold: &mut Fold, log: &EventLog, sort: &Path, batch: usize, mut stop_after: usize) -> bool {
    let options = BulkOptions { changes_min: 1, batch, threads: 1 + batch % 3 };
    let go_on = |_, _| {
        stop_after = stop_after.saturating_sub(1);
        stop_after > 0
    };
    fold.fold_bulk(sort, &log.ends(), options, go_on).expect("the fold takes every entry")
}

/// Folds the log by way of crashes, in batches of chance, and at first in bulk, as views are that are folded beside others, or not.
pub fn fold_with_kills(views: &Path, store: StoreKind, log: &EventLog, batch_max: usize, chance: &mut Chance) -> Fold {
    let sort = views.with_extension("sort");
    let mut fold = open_fold(views, store, log);
    let mut bulk = chance.below(2) == 0;
    loop {
        let (batch, stop_after) = (1 + chance.below(batch_max), 1 + chance.below(6));
        if bulk {
            assert!(fold.bulk_goes_on(&sort).expect("readable"), "a kill takes nothing of the order");
            bulk = !fold_bulk(&mut fold, log, &sort, batch, stop_after);
        } else if fold_batches(&mut fold, log, batch, stop_after) {
            return fold;
        }
        // Dropped without a word, as a killed process would; the store then redoes what it must.
        drop(fold);
        fold = open_fold(views, store, log);
    }
}

/// Folds what the log holds in bulk.
pub fn fold_all_in_bulk(fold: &mut Fold, log: &EventLog) {
    let sort = tempfile::tempdir().expect("a folder");
    assert!(fold_bulk(fold, log, &sort.path().join("sort"), 4096, usize::MAX));
    fold_all(fold, log);
}

/// The subject of every live mention, as the views have it.
pub fn subjects(fold: &Fold) -> BTreeMap<MentionId, MentionId> {
    let view = fold.reader().view().expect("a view");
    let all = view.range(Table::Mention, view_store::KeyRange::All, usize::MAX).expect("mentions");
    let mut out = BTreeMap::new();
    for (key, value) in all {
        let meta = view.get(Table::NodeMeta, &value[..4]).expect("a read").expect("a live mention has a node");
        let meta = views::fold::decode_node(&meta).expect("a sound row");
        out.insert(MentionId(key.as_ref().try_into().expect("16 bytes")), meta.subject);
    }
    out
}

/// Every counter row.
pub fn counters(fold: &Fold) -> Vec<(Vec<u8>, Vec<u8>)> {
    let view = fold.reader().view().expect("a view");
    let rows = view.range(Table::Counter, view_store::KeyRange::All, usize::MAX).expect("counters");
    // The cell's number (4 bytes) depends on arrival; the counters behind it do not.
    let zero = projection::quality::Counts::default().encode();
    rows.iter().map(|(k, v)| (k.to_vec(), v[4..].to_vec())).filter(|(_, v)| *v != zero).collect()
}
