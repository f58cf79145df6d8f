//! A change in the log that no fold can apply: its record waits, everybody else goes on, and an operator decides.

use event_log::{Append, Embedded, EventLog, StreamSet, Tuning};
use record::{Entry, EntryHeader, EntryKind, Positions, Stream};
use serde_json::Value;
use wire::ingest::{ChangeKey, ChangeState, GetChangeStatusRequest};

use crate::client::{batch, changes, letters, publish};
use crate::hub::{CONFIG, Hub, configured, stderr};

/// Writes a change of the record of the first entry into the log of a hub that does not run, as a broken tool might.
async fn plant(dir: &std::path::Path) -> Entry<'static> {
    let tuning = Tuning { segment_bytes: 4 << 20, access_segment_bytes: 4 << 20, ..Tuning::default() };
    let log: EventLog = Embedded::open_with(&dir.join("d/log"), &tuning).expect("no hub has it").into();
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change)).expect("a log");
    let first = reader.next_batch(1, 1 << 20).expect("sound").entries.remove(0);
    let bytes: &'static [u8] = first.bytes.to_vec().leak();
    let entry = Entry::decode(bytes).expect("an entry");
    let header = EntryHeader { kind: EntryKind::Upsert, version: 77, ..entry.header.clone() };
    let header = EntryHeader { codec: record::BodyCodec::SaltedPlain, ..header };
    let bytes = Entry::encode_salted(&header, &[5; 16], b"what no program reads").expect("it fits");
    let append = Append { stream: Stream::Change, partition: first.position.partition, bytes: bytes.into() };
    log.append(vec![append]).await.expect("appended");
    log.close().await;
    entry
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_cannot_be_applied_parks_its_record_until_an_operator_drops_it() {
    let dir = configured();
    let telemetry = "[telemetry]\nprometheus_listen = \"127.0.0.1:0\"\n";
    std::fs::write(dir.path().join("hub.toml"), format!("{CONFIG}{telemetry}")).expect("writable");
    let hub = Hub::start(dir.path());
    let all = changes("civil", 60);
    let mut civil = hub.ingest("register/civil").await;
    assert_eq!(
        letters(&publish(&mut civil, batch("civil", all[..40].to_vec())).await.expect("published")),
        "a".repeat(40)
    );
    let before = hub.folded();
    assert_eq!(hub.stop().code(), Some(0));
    let victim = plant(dir.path()).await;

    let hub = Hub::start(dir.path());
    let parked = hub.folded();
    assert_eq!((&parked["quarantined"], &parked["fold_stopped"]), (&Value::from(1), &Value::from("")));
    let listed = hub.json(&["quarantine", "list"]);
    let change = &listed["changes"][0];
    assert_eq!(change["record"], victim.header.record.to_hex());
    assert!(change["reason"].as_str().is_some_and(|reason| reason.contains("decoded")), "{listed}");
    let metrics = hub.metrics("/metrics");
    let gauge = metrics.lines().find(|line| line.starts_with("hub_fold_quarantined")).expect("a gauge");
    assert!(gauge.ends_with(" 1"), "{gauge}");

    // Others go on, and this record's next version waits behind the bad one; its publisher is told.
    let mut civil = hub.ingest("register/civil").await;
    assert_eq!(publish(&mut civil, batch("civil", all[40..].to_vec())).await.expect("published").outcomes.len(), 20);
    let own = all.iter().find(|change| is_parked(&hub, &change.record_id)).expect("the victim is one of the first");
    let next = wire::ingest::Change { version: 78, ..own.clone() };
    assert_eq!(letters(&publish(&mut civil, batch("civil", vec![next])).await.expect("published")), "a");
    let status = hub.folded();
    assert_eq!((&status["records"], &status["quarantined_changes"]), (&Value::from(60), &Value::from(2)));
    let key = ChangeKey { register: "civil".into(), record_id: own.record_id.clone(), version: 78 };
    let asked = civil.get_change_status(GetChangeStatusRequest { keys: vec![key.clone()] }).await.expect("answered");
    let asked = asked.into_inner().statuses.remove(0);
    assert_eq!(asked.state(), ChangeState::Parked);
    assert!(asked.findings[0].message.contains("before it"), "{asked:?}");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true, "a replay parks the same");

    let record = change["record"].as_str().expect("a pseudonym");
    let retried = hub.json(&["quarantine", "retry", record, "--reason", "nothing was mended"]);
    assert_eq!((&retried["applied"], &retried["parked"]), (&Value::from(0), &Value::from(2)), "it is as bad as before");
    let wrong = hub.ask(&["quarantine", "drop", record, "--position", "change/0/999", "--reason", "a slip"]);
    assert_eq!(wrong.status.code(), Some(3), "{}", stderr(&wrong));
    let position = change["position"].as_str().expect("a position");
    let dropped =
        hub.json(&["quarantine", "drop", record, "--position", position, "--reason", "a broken tool wrote it"]);
    assert_eq!((&dropped["applied"], &dropped["parked"]), (&Value::from(1), &Value::from(0)));
    let status = hub.folded();
    assert_eq!((&status["quarantined"], &status["records"]), (&Value::from(0), &Value::from(60)));
    let asked = civil.get_change_status(GetChangeStatusRequest { keys: vec![key] }).await.expect("answered");
    assert_eq!(asked.into_inner().statuses[0].state(), ChangeState::Applied);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true, "a replay drops the same");
    assert_ne!(before["digest"], status["digest"]);
}

/// Whether the quarantine's record is this one: its version 77 is parked.
fn is_parked(hub: &Hub, record_id: &str) -> bool {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        runtime.block_on(async {
            let key = ChangeKey { register: "civil".into(), record_id: record_id.to_owned(), version: 77 };
            let mut civil = hub.ingest("register/civil").await;
            let asked = civil.get_change_status(GetChangeStatusRequest { keys: vec![key] }).await.expect("answered");
            asked.into_inner().statuses[0].state() == ChangeState::Parked
        })
    })
}
