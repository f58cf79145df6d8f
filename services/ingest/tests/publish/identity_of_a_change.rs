use ledger::Receipt;
use projection::head::{Change as HeadChange, Facts, Head, HeadFinding, Linked};
use record::{
    ContractId, Entry, EntryHash, Envelope, Index, Operation, Partition, Position, RecordId, RegisterEpoch,
    RegisterName, Stream, Timestamp,
};
use view_store::Table;
use wire::ingest::{BatchResult, GetChangeStatusRequest, outcome};

use crate::hub::{Hub, ORIGIN, batch, letters, publish, sound};

#[tokio::test]
async fn a_retry_is_a_duplicate_and_other_bytes_are_a_conflict() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let changes = sound("civil", 3);
    assert_eq!(letters(&publish(&mut client, batch("civil", changes.clone())).await), "aaa");
    let again = publish(&mut client, batch("civil", changes.clone())).await;
    assert_eq!(letters(&again), "ddd");
    let Some(outcome::Outcome::Duplicate(duplicate)) = &again.outcomes[0].outcome else { panic!("a duplicate") };
    assert_eq!(duplicate.of.as_ref().expect("it is in the log").stream, "change");
    let mut other = changes;
    other[1].reason = "another".into();
    assert_eq!(letters(&publish(&mut client, batch("civil", other)).await), "dcd");
    assert_eq!(hub.changes_in_log(), 3);
}

#[tokio::test]
async fn an_identity_twice_in_one_batch_is_appended_once() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let one = sound("civil", 1).remove(0);
    let mut other = one.clone();
    other.reason = "another".into();
    let result = publish(&mut client, batch("civil", vec![one.clone(), one, other])).await;
    assert_eq!(letters(&result), "adc");
    assert_eq!(hub.changes_in_log(), 1);
}

#[tokio::test]
async fn the_same_batch_from_many_at_once_is_appended_once() {
    let hub = Hub::start().await;
    let changes = sound("civil", 50);
    let client = hub.client("register/civil").await;
    let calls = (0..8).map(|_| {
        let (mut client, changes) = (client.clone(), changes.clone());
        tokio::spawn(async move { letters(&publish(&mut client, batch("civil", changes)).await) })
    });
    let mut accepted = 0;
    for call in calls.collect::<Vec<_>>() {
        let letters = call.await.expect("no panic");
        assert!(letters.chars().all(|c| c == 'a' || c == 'd'), "{letters}");
        accepted += letters.chars().filter(|c| *c == 'a').count();
    }
    assert_eq!((accepted, hub.changes_in_log()), (50, 50));
}

#[tokio::test]
async fn what_only_the_heads_know_is_found() {
    let mut hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let change = sound("civil", 1).remove(0);
    publish(&mut client, batch("civil", vec![change.clone()])).await;
    fold_one(&mut hub, Vec::new());
    // The index forgets when the next append is done.
    let next = sound("civil", 2).remove(1);
    publish(&mut client, batch("civil", vec![next])).await;
    let mut other = change.clone();
    other.legal_basis = "another".into();
    let result = publish(&mut client, batch("civil", vec![change.clone(), change.clone(), other])).await;
    assert_eq!(letters(&result), "ddc");
    let key =
        wire::ingest::ChangeKey { register: "civil".into(), record_id: change.record_id, version: change.version };
    let unknown = wire::ingest::ChangeKey { version: 99, ..key.clone() };
    let statuses = client.get_change_status(GetChangeStatusRequest { keys: vec![key, unknown] }).await;
    let statuses = statuses.expect("answered").into_inner().statuses;
    assert_eq!(statuses.iter().map(|s| s.state).collect::<Vec<_>>(), [2, 1]);
    assert!(statuses[0].position.is_some());
}

#[tokio::test]
async fn the_folds_findings_say_what_the_door_said() {
    let mut hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let contract =
        hub.control.load().current(&RegisterName::try_from("civil").expect("a name")).expect("built in").clone();
    let vague = |c: &wire::ingest::Change| {
        !contract.contract.judge(&c.record_type, &c.payload, 0).expect("a record type").soft.is_empty()
    };
    let change = sound("civil", 400).into_iter().find(vague).expect("some books are vague");
    let result = publish(&mut client, batch("civil", vec![change.clone()])).await;
    let Some(outcome::Outcome::Accepted(accepted)) = &result.outcomes[0].outcome else { panic!("{result:?}") };
    let mut said = accepted.findings.clone();
    said.sort_by(|a, b| (&a.rule_id, &a.field_path).cmp(&(&b.rule_id, &b.field_path)));
    let finding = |v: &wire::ingest::Violation| HeadFinding {
        rule: v.rule_id.clone(),
        field: v.field_path.clone(),
        group: v.group.clone(),
    };
    fold_one(&mut hub, said.iter().map(finding).collect());
    let key =
        wire::ingest::ChangeKey { register: "civil".into(), record_id: change.record_id, version: change.version };
    let statuses = client.get_change_status(GetChangeStatusRequest { keys: vec![key] }).await;
    let status = statuses.expect("answered").into_inner().statuses.remove(0);
    assert!(!said.is_empty() && said.iter().all(|v| !v.message.is_empty()), "{said:?}");
    assert_eq!(status.findings, said);
}

#[tokio::test]
async fn what_was_not_folded_before_a_restart_is_found_after_it() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let changes = sound("civil", 200);
    assert_eq!(letters(&publish(&mut client, batch("civil", changes.clone())).await), "a".repeat(200));
    drop(client);
    let (dir, log) = hub.stop().await;

    let hub = Hub::over(dir, log, ingest::Limits::default()).await;
    let mut client = hub.client("register/civil").await;
    let again = publish(&mut client, batch("civil", changes.clone())).await;
    assert_eq!(letters(&again), "d".repeat(200));
    let Some(outcome::Outcome::Duplicate(duplicate)) = &again.outcomes[7].outcome else { panic!("a duplicate") };
    assert!(duplicate.of.is_some(), "and it is told where it is");
    let other = wire::ingest::Change { reason: "another".into(), ..changes[3].clone() };
    assert_eq!(letters(&publish(&mut client, batch("civil", vec![other])).await), "c");
    assert_eq!(hub.changes_in_log(), 200);
    drop(client);
    let (dir, log) = hub.stop().await;

    // Past its bound the index forgets, the oldest first.
    let hub = Hub::over(dir, log, ingest::Limits { unfolded_max: 40, ..ingest::Limits::default() }).await;
    let mut client = hub.client("register/civil").await;
    let letters = letters(&publish(&mut client, batch("civil", changes)).await);
    assert_eq!(letters.matches('d').count(), 40, "{letters}");
}

/// Folds the one change of the log into its head, as far as the door reads heads.
fn fold_one(hub: &mut Hub, findings: Vec<HeadFinding>) {
    let logged = crate::hub::entries(&hub.log, Stream::Change).remove(0);
    let entry = Entry::decode(&logged.bytes).expect("an entry");
    let envelope = Envelope::decode(entry.plain_body().expect("plain")).expect("an envelope");
    let register = entry.header.register.clone().expect("a change has a register");
    let mut head = Head::new(register);
    head.apply(&HeadChange {
        epoch: entry.header.epoch,
        version: entry.header.version,
        replaces: envelope.replaces,
        operation: envelope.operation,
        effective_at: envelope.effective_at,
        contract: entry.header.contract,
        statement: envelope.statement_hash(),
        index: logged.position.index,
        locator: logged.locator.0,
        published_at: envelope.published_at,
    });
    head.linked = Linked::In(Box::new(Facts {
        version: (entry.header.epoch, entry.header.version),
        record_type: envelope.record_type.to_owned(),
        agency: envelope.agency.clone(),
        unit: (String::new(), String::new()),
        promise_seconds: 86_400,
        promise_from: Timestamp(0),
        required: 0,
        filled: 0,
        mentions: Vec::new(),
        distinct: Vec::new(),
        relations: Vec::new(),
        findings,
    }));
    let mut txn = hub.store.begin().expect("sound");
    txn.put(Table::Head, &entry.header.record.0, &head.encode());
    txn.commit(b"positions", &[0; 32]).expect("sound");
    hub.folded.send_replace(hub.log.ends());
}

fn receipts(result: &BatchResult) -> Vec<Receipt> {
    let accepted = result.outcomes.iter().filter_map(|o| match &o.outcome {
        Some(outcome::Outcome::Accepted(accepted)) => accepted.receipt.clone(),
        _ => None,
    });
    let hash = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).expect("32 bytes");
    accepted
        .map(|receipt| {
            let at = receipt.position.expect("a receipt names its place");
            let partition = Partition(u16::try_from(at.partition).expect("few"));
            Receipt {
                position: Position { stream: Stream::Change, partition, index: Index(at.index) },
                entry: EntryHash(hash(receipt.entry_hash)),
                leaf_index: receipt.leaf_index,
                leaf_count: receipt.leaf_count,
                path: receipt.path.into_iter().map(hash).collect(),
                signed_root: result.signed_root.clone(),
            }
        })
        .collect()
}

#[tokio::test]
async fn every_receipt_proves_its_entry_and_a_group_is_signed_once() {
    let hub = Hub::start().await;
    let client = hub.client("register/civil").await;
    let changes = sound("civil", 120);
    let calls: Vec<_> = changes
        .chunks(10)
        .map(|chunk| {
            let (mut client, chunk) = (client.clone(), chunk.to_vec());
            tokio::spawn(async move { publish(&mut client, batch("civil", chunk)).await })
        })
        .collect();
    let mut leaves = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for call in calls {
        let receipts = receipts(&call.await.expect("no panic"));
        assert_eq!(receipts.len(), 10);
        for receipt in receipts {
            receipt.verify(hub.key.verifier(), ORIGIN).expect("a good receipt");
            let stored = hub.log.read_position(receipt.position).expect("it is in the log");
            assert_eq!(EntryHash::of(&stored.bytes), receipt.entry);
            let group = leaves.entry(receipt.signed_root.clone()).or_insert((0, receipt.leaf_count));
            group.0 += 1;
        }
    }
    assert!(leaves.values().all(|(seen, count)| seen == count), "a signature covers its whole group: {leaves:?}");
}

#[tokio::test]
async fn an_entry_tells_what_was_stated_and_by_whom() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let mut change = sound("civil", 1).remove(0);
    change.agency = String::new();
    change.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
    publish(&mut client, batch("civil", vec![change.clone()])).await;
    let logged = crate::hub::entries(&hub.log, Stream::Change).remove(0);
    let entry = Entry::decode(&logged.bytes).expect("an entry");
    let register = RegisterName::try_from("civil").expect("a name");
    let record = RecordId::try_from(change.record_id.as_str()).expect("an id");
    assert_eq!(entry.header.record, hub.secret.pseudonym(&register, &record));
    assert_eq!(logged.position.partition, entry.header.record.partition(4));
    assert_ne!(entry.header.contract, ContractId::default());
    assert_eq!((entry.header.epoch, entry.header.version), (RegisterEpoch(0), change.version));
    assert!(entry.verify_body(&logged.bytes) && entry.header.recorded_at > Timestamp(0));
    let envelope = Envelope::decode(entry.plain_body().expect("plain")).expect("an envelope");
    assert_eq!(envelope.payload, &change.payload[..]);
    assert_eq!((envelope.operation, envelope.principal), (Operation::Upsert, "spiffe://hub.test/register/civil"));
    let state = hub.control.load();
    assert_eq!(envelope.agency.as_str(), state.current(&register).expect("built in").contract.agency());
    assert_eq!(envelope.trace.expect("given").to_header(), change.traceparent);
}
