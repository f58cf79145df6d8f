//! The bytes that are kept for ever, pinned. A change here is a new format version, never an edit of these values.

use record::access::{Access, AccessBatch, Action, Decision};
use record::control::{Control, EpochStep, Order, QuarantineStep, Verdict};
use record::digest::{EdgeState, HeadVersion, LtHash, Row};
use record::envelope::{Refusal, RefusalClosed, RefusalReason, TraceContext};
use record::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn hash(bytes: &[u8]) -> String {
    hex(&blake3::hash(bytes).as_bytes()[..16])
}

fn envelope() -> Envelope<'static> {
    Envelope {
        record_id: RecordId::try_from("KS-0001/2025").unwrap(),
        record_type: "birth",
        operation: Operation::Upsert,
        agency: AgencyId::try_from("moj.hanoi").unwrap(),
        replaces: 0,
        effective_at: Timestamp(1_735_689_600_000_000),
        registered_at: Timestamp(1_735_693_200_000_000),
        legal_basis: "60/2014/QH13",
        reason: "",
        payload: &[0x0a, 0x01, 0x41],
        published_at: Timestamp(1_735_693_201_000_000),
        principal: "spiffe://hub.test/register/civil",
        trace: TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    }
}

fn header() -> EntryHeader {
    EntryHeader {
        kind: EntryKind::Upsert,
        codec: BodyCodec::SaltedPlain,
        register: Some(RegisterName::try_from("civil").unwrap()),
        epoch: RegisterEpoch(0),
        record: Pseudonym([0x11; 16]),
        version: 7,
        effective_at: Timestamp(1),
        recorded_at: Timestamp(2),
        contract: ContractId([0x22; 16]),
    }
}

fn positions() -> Positions {
    [(Stream::Change, Partition(3), Index(300)), (Stream::Control, Partition(0), Index(9))].into_iter().collect()
}

fn access() -> AccessBatch {
    let access = |decision| Access {
        action: Action::GetSubject,
        id: [5; 16],
        caller: "spiffe://hub.test/portal/national".into(),
        procedure: "1.001193".into(),
        case: "C-1".into(),
        records: vec![Pseudonym([1; 16]), Pseudonym([2; 16])],
        fields: vec!["full_name".into()],
        at: Timestamp(77),
        known_at: None,
        valid_at: Some(Timestamp(5)),
        decision,
    };
    AccessBatch {
        positions: positions(),
        control: Index(9),
        fold_version: 1,
        model_epoch: 1,
        policy: [9; 32],
        accesses: vec![
            access(Decision::Answered { salt: [3; 16], answer: [4; 32] }),
            access(Decision::Refused { code: "purpose_missing".into() }),
            access(Decision::NotFound),
            access(Decision::Ambiguous),
        ],
    }
}

fn controls() -> Vec<Order> {
    let register = || RegisterName::try_from("land").unwrap();
    let bytes = || vec![1, 2, 3];
    vec![
        Order::LogOpened { commitment: [8; 32], partitions: 64 },
        Order::Cut { at: Timestamp(99), ends: positions() },
        Order::Kinds { descriptors: bytes() },
        Order::Contract { register: register(), descriptors: bytes() },
        Order::Policy { document: bytes() },
        Order::Procedures { document: bytes() },
        Order::Units { document: bytes() },
        Order::Model { epoch: 1, model: bytes(), unit_lists: vec!["2025-07-01".into()] },
        Order::Expected { register: register(), record_type: "parcel".into(), commune: "00004".into(), objects: 12 },
        Order::RegisterEpoch {
            register: register(),
            epoch: RegisterEpoch(1),
            step: EpochStep::Opened,
            cut: positions(),
        },
        Order::Decision { a: MentionId([1; 16]), b: MentionId([2; 16]), verdict: Verdict::Cannot },
        Order::Erasure { records: vec![Pseudonym([6; 16])] },
    ]
}

fn rows() -> Vec<Vec<u8>> {
    let register = RegisterName::try_from("civil").unwrap();
    let version = HeadVersion {
        epoch: RegisterEpoch(0),
        version: 2,
        replaces: 1,
        operation: 1,
        effective_at: Timestamp(10),
        contract: ContractId([1; 16]),
        statement: [2; 32],
        conflicts: 0,
    };
    let rows = [
        Row::Head { register: &register, record: Pseudonym([1; 16]), versions: &[version] },
        Row::Mention { kind: Kind::Person, mention: MentionId([1; 16]), subject: MentionId([2; 16]) },
        Row::Edge { a: [1; 16], b: [2; 16], bits: 20_480, state: EdgeState::Accepted, reason: 0 },
        Row::Edge { a: [1; 16], b: [2; 16], bits: -1, state: EdgeState::Refused, reason: 3 },
        Row::Decision { control_index: 4, effect: 1 },
        Row::Relation { relation: "child-of", from: MentionId([1; 16]), to: MentionId([2; 16]) },
        Row::Finding { record: Pseudonym([1; 16]), rule: "r", field: "f", other: Some(Pseudonym([2; 16])) },
    ];
    rows.iter().map(Row::encode).collect()
}

#[test]
fn entry_is_pinned() {
    let bytes = Entry::encode_salted(&header(), &[0xaa; 16], b"body").unwrap();
    assert_eq!(
        hex(&bytes[..64]),
        "01000001000000000700000000000000010000000000000002000000000000001111111111111111111111111111111122222222222222222222222222222222"
    );
    assert_eq!(hash(&bytes), "1bdbc776d556b8260b0d5aee49b3ae68");
    let entry = Entry::decode(&bytes).unwrap();
    assert_eq!((&entry.header, entry.plain_body()), (&header(), Ok(b"body".as_slice())));
    assert!(entry.verify_body(&bytes));
}

#[test]
fn envelope_is_pinned() {
    let bytes = envelope().encode();
    assert_eq!(hash(&bytes), "db5ec9d453c67daa3666fdf52d5e217b");
    assert_eq!(Envelope::decode(&bytes), Ok(envelope()));
    assert_eq!(hex(&envelope().statement_hash().0[..8]), "08c1af379ebea5bc");
}

#[test]
fn retry_with_another_trace_is_the_same_statement() {
    let retry = Envelope { trace: None, published_at: Timestamp(9), principal: "x", ..envelope() };
    assert_eq!(retry.statement_hash(), envelope().statement_hash());
    let other = Envelope { payload: &[1], ..envelope() };
    assert_ne!(other.statement_hash(), envelope().statement_hash());
}

#[test]
fn refusal_is_pinned() {
    let reason = RefusalReason { field_path: "child.name", rule_id: "required", group: "missing", message: "fill it" };
    let refusal = Refusal { received: &[1, 2], principal: "p", published_at: Timestamp(3), reasons: vec![reason] };
    assert_eq!(hash(&refusal.encode()), "7b07357966cb5eb720a7046971e843a2");
    assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
    let closed = RefusalClosed { partition: Partition(0), index: Index(8), principal: "p" };
    assert_eq!(hex(&closed.encode()), "01000008000000000000000170");
    assert_eq!(RefusalClosed::decode(&closed.encode()), Ok(closed));
}

#[test]
fn access_entry_is_pinned() {
    let bytes = access().encode();
    assert_eq!(hash(&bytes), "e4028e43f7a9658eaba5a42a6f78c230");
    assert_eq!(AccessBatch::decode(&bytes), Ok(access()));
}

#[test]
fn control_entries_are_pinned() {
    let mut all = Vec::new();
    for order in controls() {
        let control = Control { actor: "ops".into(), reason: "test".into(), order };
        let bytes = control.encode();
        assert_eq!(Control::decode(&bytes), Ok(control));
        all.extend(bytes);
    }
    assert_eq!(hash(&all), "c48655fcf704ce6be589ba8192a20180");
}

#[test]
fn control_entries_of_several_processes_and_the_quarantine_are_pinned() {
    let quarantine =
        |step| Order::Quarantine { record: Pseudonym([3; 16]), partition: Partition(5), index: Index(6), step };
    let orders = [
        Order::Writer { term: 2, process: [1; 16] },
        quarantine(QuarantineStep::Retry),
        quarantine(QuarantineStep::Drop),
    ];
    let expected = [
        "30 0200000000000000 01010101010101010101010101010101",
        "31 03030303030303030303030303030303 0500 0600000000000000 01",
        "31 03030303030303030303030303030303 0500 0600000000000000 02",
    ];
    for (order, expected) in orders.into_iter().zip(expected) {
        let control = Control { actor: "ops".into(), reason: "test".into(), order };
        let bytes = control.encode();
        assert_eq!(hex(&bytes[10..]), expected.replace(' ', ""));
        assert_eq!(Control::decode(&bytes), Ok(control));
    }
}

#[test]
fn control_entries_about_keys_and_approvals_are_pinned() {
    let orders = [
        Order::Keys { ring: [1; 16], wrapping: [2; 16] },
        Order::Asked { order: Box::new(Order::Erasure { records: vec![Pseudonym([3; 16]), Pseudonym([4; 16])] }) },
        Order::Decided { asked: Index(7), approved: true },
        Order::Decided { asked: Index(7), approved: false },
        Order::SigningKey { former: "a+1".into(), next: "a+2".into(), serves: true },
        Order::FoldApproved { fold_version: 3, before: [1; 32], after: [2; 32] },
    ];
    let expected = [
        "2001010101010101010101010101010101020202020202020202020202020202 02",
        "210203030303030303030303030303030303040404040404040404040404040404 04",
        "22070000000000000001",
        "22070000000000000000",
        "2303612b31 03612b32 01",
        &format!("11 03000000 {} {}", "01".repeat(32), "02".repeat(32)),
    ];
    for (order, expected) in orders.into_iter().zip(expected) {
        let control = Control { actor: "ops".into(), reason: "test".into(), order };
        let bytes = control.encode();
        assert_eq!(hex(&bytes[10..]), expected.replace(' ', ""));
        assert_eq!(Control::decode(&bytes), Ok(control));
    }
}

#[test]
fn digest_rows_and_sum_are_pinned() {
    assert_eq!(hash(&rows().concat()), "683437c8989f54dc377b061753f2eb27");
    let mut sum = LtHash::default();
    rows().iter().for_each(|r| sum.add(r));
    assert_eq!(sum.digest().to_string(), "5f6062b1602406b19a3e3395b9c884089f01ffc891f8e7b723fb93d9ab8b9e56");
    assert_eq!(LtHash::from_bytes(&sum.to_bytes()), Ok(sum));
}

#[test]
fn names_derived_from_the_secret_are_pinned() {
    let secret = LogSecret::new(&[1; 32]);
    let record =
        secret.pseudonym(&RegisterName::try_from("civil").unwrap(), &RecordId::try_from("KS-0001/2025").unwrap());
    assert_eq!(record.to_hex(), "dac7b37c48408313181f3905eca1e221");
    assert_eq!(secret.mention_id(record, "child", b"").to_hex(), "5b48e97fbac632bab1ab0ee80e203447");
    assert_eq!(hex(&secret.commitment()[..8]), "f062c90f87901509");
}

#[test]
fn an_answer_is_hashed_under_a_key_of_its_own() {
    let secret = LogSecret::new(&[1; 32]);
    let (key, hash) = (secret.answer_key(&[2; 16]), secret.answer_hash(&[2; 16], b"answer"));
    assert_eq!(hex(&key[..8]), "c14838f283c725df");
    assert_eq!(hex(&hash[..8]), "389009a82645ce0b");
    assert_eq!(secret::answer_hash(&key, b"answer"), hash);
    assert!(secret.is_answer(&[2; 16], b"answer", &hash) && !secret.is_answer(&[3; 16], b"answer", &hash));
    let former = blake3::derive_key("hub 2026 answer salt v1", &[1; 32]);
    let former = *blake3::Hasher::new_keyed(&former).update(&[2; 16]).update(b"answer").finalize().as_bytes();
    assert!(secret.is_answer(&[2; 16], b"answer", &former), "an entry of a former version");
}
