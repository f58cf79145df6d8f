//! A small log with its ledger: two records, one answer about them, witnesses.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;

use ledger::{CosigningKey, Heads, Policy, Receipt, ReceiptBatch, Shape, SigningKey, Tick, Tile, TreeOf};
use proof::Draft;
use record::access::{Access, AccessBatch, Action, Decision};
use record::*;
use tempfile::TempDir;
use tile_store::TileStore;

pub const ORIGIN: &str = "hub.test/log";
pub const SHAPE: Shape = Shape { change: 2, access: 1, rejected: 1 };
pub const ACCESS_ID: [u8; 16] = [0xa1; 16];
pub const SALT: [u8; 16] = [7; 16];
pub const ANSWER: &[u8] = b"full_name: Nguyen Van An; birth_date: 2015-03-02";

pub type Tree = (Stream, Partition);
pub const CHANGE_0: Tree = (Stream::Change, Partition(0));
pub const CHANGE_1: Tree = (Stream::Change, Partition(1));
pub const ACCESS: Tree = (Stream::Access, Partition(0));

pub fn position((stream, partition): Tree, index: u64) -> Position {
    Position { stream, partition, index: Index(index) }
}

/// A change of record `n`, as the log stores it.
pub fn change(n: u8, version: u64) -> Vec<u8> {
    let header = EntryHeader {
        kind: EntryKind::Upsert,
        codec: BodyCodec::SaltedPlain,
        register: Some(RegisterName::try_from("civil").unwrap()),
        epoch: RegisterEpoch(0),
        record: Pseudonym([n; 16]),
        version,
        effective_at: Timestamp(1_000_000 * version as i64),
        recorded_at: Timestamp(2_000_000 * version as i64),
        contract: ContractId([0x22; 16]),
    };
    let envelope = Envelope {
        record_id: RecordId::try_from(format!("KS-{n}").as_str()).unwrap(),
        record_type: "birth",
        operation: Operation::Upsert,
        agency: AgencyId::try_from("moj.hanoi").unwrap(),
        replaces: 0,
        effective_at: header.effective_at,
        registered_at: header.effective_at,
        legal_basis: "60/2014/QH13",
        reason: "",
        payload: &[0x0a, n],
        published_at: header.recorded_at,
        principal: "spiffe://hub.test/register/civil",
        trace: None,
    };
    Entry::encode_salted(&header, &[n; 16], &envelope.encode()).unwrap()
}

pub fn secret() -> LogSecret {
    LogSecret::new(&[9; 32])
}

pub fn access(decision: Decision, records: Vec<Pseudonym>, basis: Positions) -> Vec<u8> {
    let access = |id: [u8; 16], decision| Access {
        action: Action::GetSubject,
        id,
        caller: "spiffe://hub.test/portal/national".into(),
        procedure: "1.000894".into(),
        case: "HS-1".into(),
        records: records.clone(),
        fields: vec!["person.full_name".into()],
        at: Timestamp(5_000_000),
        known_at: None,
        valid_at: None,
        decision,
    };
    let batch = AccessBatch {
        positions: basis,
        control: Index(1),
        fold_version: 1,
        model_epoch: 1,
        policy: [3; 32],
        accesses: vec![access([0xa0; 16], Decision::NotFound), access(ACCESS_ID, decision)],
    };
    let header = EntryHeader::of_hub(EntryKind::Access, Timestamp(5_000_000));
    Entry::encode_salted(&header, &[8; 16], &batch.encode()).unwrap()
}

pub fn answered() -> Decision {
    Decision::Answered { salt: SALT, answer: secret().answer_hash(&SALT, ANSWER) }
}

pub fn log_key() -> SigningKey {
    SigningKey::new(ORIGIN, &[1; 32]).unwrap()
}

pub fn witness(n: u8) -> CosigningKey {
    CosigningKey::new(&format!("witness.test/{n}"), &[0x50 + n; 32]).unwrap()
}

/// One log, three witnesses, two of which must have cosigned.
pub fn policy_text() -> String {
    let witnesses: String = (1..=3).map(|n| format!("witness w{n} {}\n", witness(n).verifier())).collect();
    format!("log {}\n{witnesses}group most 2 w1 w2 w3\nquorum most\n", log_key().verifier())
}

pub fn policy() -> Policy {
    Policy::parse(&policy_text()).unwrap()
}

/// The checkpoint's text with the log's signature and those of these witnesses.
pub fn cosign(note: &str, witnesses: &[u8]) -> String {
    let (text, _) = note.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    witnesses.iter().fold(note.to_owned(), |note, n| note + &witness(*n).cosign(&text, 1_763_791_980 + u64::from(*n)))
}

/// A log in memory, its ledger on disk.
pub struct World {
    pub dir: TempDir,
    pub store: TileStore,
    pub entries: BTreeMap<Tree, Vec<Vec<u8>>>,
    pub clock: i64,
}

/// A checkpoint with what is needed to make proofs under it.
#[derive(Clone)]
pub struct Published {
    pub note: String,
    pub tick: Tick,
    pub heads: Heads,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = TileStore::create(dir.path(), ORIGIN, SHAPE).unwrap();
        Self { dir, store, entries: BTreeMap::new(), clock: 1_763_791_978_000_000 }
    }

    pub fn append(&mut self, (stream, partition): Tree, entry: Vec<u8>) -> Position {
        let hash = EntryHash::of(&entry);
        let entries = self.entries.entry((stream, partition)).or_default();
        entries.push(entry);
        let at = position((stream, partition), entries.len() as u64 - 1);
        self.store.append(stream, partition, [hash]).unwrap();
        at
    }

    /// Takes a tick of everything appended so far, signs it, and lets these witnesses cosign.
    pub fn publish(&mut self, witnesses: &[u8]) -> Published {
        self.clock += 1_000_000;
        let ends = self.store.ends();
        self.store.tick(Timestamp(self.clock), &ends).unwrap();
        let note = cosign(&self.store.publish(&log_key()).unwrap().signed.note, witnesses);
        let state = self.store.state();
        Published { note, tick: state.tick.unwrap(), heads: state.heads.clone() }
    }

    pub fn draft(
        &self,
        under: &Published,
    ) -> Draft<impl FnMut(TreeOf, Tile) -> Result<Vec<u8>, tile_store::Error> + use<>> {
        let dir = self.dir.path().to_owned();
        let tile = move |tree, tile| TileStore::tile(&dir, tree, tile);
        Draft::new(&under.note, under.tick, under.heads.clone(), tile).unwrap()
    }

    pub fn bytes(&self, at: Position) -> Vec<u8> {
        self.entries[&(at.stream, at.partition)][at.index.0 as usize].clone()
    }
}

/// The hub's receipt of one entry that was committed with two others.
pub fn receipt(at: Position, entry: &[u8]) -> Receipt {
    let other = |n: u8| (position(CHANGE_1, 1_000 + u64::from(n)), EntryHash::of(&[n]));
    let hash = EntryHash::of(entry);
    let batch = ReceiptBatch::sign(&log_key(), ORIGIN, [other(0), (at, hash), other(1)]);
    Receipt {
        position: at,
        entry: hash,
        leaf_index: 1,
        leaf_count: 3,
        path: batch.path(1),
        signed_root: batch.signed_root().into(),
    }
}

/// A bundle that has every kind of section, and its parts.
pub struct Example {
    pub world: World,
    pub older: Published,
    pub newer: Published,
    pub bundle: Vec<u8>,
}

pub fn example() -> Example {
    let mut world = World::new();
    for n in 0..40 {
        world.append(if n % 2 == 0 { CHANGE_0 } else { CHANGE_1 }, change(n, 1));
    }
    let older = world.publish(&[1, 2]);
    let (first, second) = (position(CHANGE_0, 3), position(CHANGE_1, 4));
    let later = world.append(CHANGE_0, change(6, 2));
    let basis = [(CHANGE_0.0, CHANGE_0.1, Index(21)), (CHANGE_1.0, CHANGE_1.1, Index(20))].into_iter().collect();
    let records = vec![Pseudonym([6; 16]), Pseudonym([9; 16]), Pseudonym([200; 16])];
    let asked = world.append(ACCESS, access(answered(), records, basis));
    for n in 0..5 {
        world.append(CHANGE_0, change(100 + n, 1));
        world.publish(&[]);
    }
    let newer = world.publish(&[1, 3]);
    let promised = world.append(CHANGE_1, change(120, 1));

    let mut draft = world.draft(&newer);
    draft.since(&older.note).unwrap();
    draft.grown_since(0, older.tick, older.heads.clone(), CHANGE_0);
    for at in [first, second, later, asked, promised] {
        draft.entry(at, world.bytes(at));
    }
    draft.withheld(position(CHANGE_0, 22), EntryHash::of(&world.bytes(position(CHANGE_0, 22))));
    draft.receipt(&receipt(first, &world.bytes(first)));
    draft.receipt(&receipt(promised, &world.bytes(promised)));
    draft.answer(asked, ACCESS_ID, Some((secret().answer_key(&SALT), ANSWER.to_vec())));
    let bundle = draft.finish().unwrap();
    Example { world, older, newer, bundle }
}
