//! The ledger of a running hub: one history over restarts and crashes, and whoever changes the log behind its back is noticed.

use std::path::Path;

use event_log::{Append, Embedded, EventLog, LogOptions, StreamSet, Tuning};
use record::{BodyCodec, Entry, EntryHeader, Positions, Stream};
use serde_json::Value;

use crate::client::{batch, changes, letters, publish};
use crate::hub::{Hub, audited, run, stderr};

const SEGMENT: u64 = 4 << 20;

async fn publish_some(hub: &Hub, from: usize, to: usize) {
    let mut civil = hub.ingest("register/civil").await;
    let result = publish(&mut civil, batch("civil", changes("civil", to)[from..].to_vec())).await.expect("taken");
    assert_eq!(letters(&result), "a".repeat(to - from));
}

/// Waits until the hub has compared its log with the ledger, and finds them equal.
fn compared(hub: &Hub) {
    let ledger = hub.until("log and ledger were compared", |ledger| ledger["verification"] != "running");
    assert_eq!((&ledger["verification"], &ledger["stopped"]), (&"equal".into(), &"".into()), "{ledger}");
}

/// A bundle that leads from an older checkpoint of the hub to its newest.
fn continues(hub: &Hub, older: &Value) {
    let dir = &hub.dir;
    std::fs::write(dir.join("older"), older["checkpoint"].as_str().expect("a note")).expect("writable");
    std::fs::write(dir.join("policy"), hub.ask(&["audit", "trust"]).stdout).expect("writable");
    hub.json(&[
        "audit",
        "prove",
        "--position",
        "control/0/0",
        "--since",
        "older",
        "--case",
        "A-1",
        "-o",
        "grown.proof",
    ]);
    let checked = run(dir, &["audit", "check", "grown.proof", "--trust", "policy", "--known", "older"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
}

fn ticks(ledger: &Value) -> u64 {
    let note = ledger["checkpoint"].as_str().expect("a note");
    note.lines().nth(1).expect("three lines").parse().expect("a size")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_and_a_kill_9_continue_the_same_tree() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    publish_some(&hub, 0, 40).await;
    let first = hub.checkpointed();
    assert_eq!(hub.stop().code(), Some(0));

    let hub = Hub::start(dir.path());
    compared(&hub);
    let again = hub.checkpointed();
    assert!(ticks(&again) >= ticks(&first), "{again}");
    continues(&hub, &first);
    for round in 1..4 {
        publish_some(&hub, 40 * round, 40 * (round + 1)).await;
    }
    let before = hub.checkpointed();
    publish_some(&hub, 160, 200).await;
    hub.signal("-KILL");
    drop(hub);

    let hub = Hub::start(dir.path());
    compared(&hub);
    publish_some(&hub, 200, 240).await;
    let after = hub.checkpointed();
    assert!(ticks(&after) > ticks(&before), "{after}");
    continues(&hub, &before);
    let verified = hub.json(&["audit", "verify"]);
    assert_eq!((&verified["equal"], &verified["expired"]), (&Value::from(true), &Value::from(0)), "{verified}");
    assert!(verified["proven"].as_u64() >= Some(240), "{verified}");
    assert_eq!(hub.stop().code(), Some(0));
}

/// The log written anew with another entry in one place, checksums and all, as somebody with every right on the machine would leave it.
async fn rewrite_log(dir: &Path, change: impl Fn(usize, Vec<u8>) -> Option<Vec<u8>>) {
    let (old, new) = (dir.join("d/log"), dir.join("d/log.new"));
    let tuning = || Tuning { segment_bytes: SEGMENT, access_segment_bytes: SEGMENT, ..Tuning::default() };
    let log = Embedded::open_with(&old, &tuning()).expect("a log");
    let options = LogOptions { partitions: log.partitions(), tuning: tuning() };
    let to: EventLog = Embedded::create(&new, &options, log.log_id()).expect("an empty folder").into();
    let from: EventLog = log.into();
    let mut reader = from.reader(&Positions::new(), StreamSet::ALL).expect("from the beginning");
    let mut changes = 0;
    loop {
        let entries = reader.next_batch(1_000, 1 << 20).expect("readable").entries;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let is_change = entry.position.stream == Stream::Change;
            let bytes = if is_change { change(changes, entry.bytes.to_vec()) } else { Some(entry.bytes.to_vec()) };
            changes += usize::from(is_change);
            let Some(bytes) = bytes else { continue };
            let (stream, partition) = (entry.position.stream, entry.position.partition);
            to.append(vec![Append { stream, partition, bytes: bytes.into() }]).await.expect("durable");
        }
    }
    drop(reader);
    from.close().await;
    to.close().await;
    drop((from, to));
    std::fs::remove_dir_all(&old).expect("removable");
    std::fs::rename(&new, &old).expect("in its place");
}

/// The same entry with another body, whose hash the header names again.
fn forged(bytes: &[u8]) -> Vec<u8> {
    let entry = Entry::decode(bytes).expect("an entry");
    let header = EntryHeader { codec: BodyCodec::SaltedPlain, ..entry.header.clone() };
    let body = vec![1; entry.stored_body.len() - 16];
    Entry::encode_salted(&header, &[7; 16], &body).expect("of the same size")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_was_changed_is_named_at_start_and_by_verify() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    publish_some(&hub, 0, 40).await;
    hub.checkpointed();
    assert_eq!(hub.stop().code(), Some(0));
    rewrite_log(dir.path(), |n, bytes| Some(if n == 3 { forged(&bytes) } else { bytes })).await;

    let hub = Hub::start(dir.path());
    let found = hub.until("the log was compared", |ledger| ledger["verification"] != "running");
    assert_eq!(found["verification"], "different", "{found}");
    assert_eq!(hub.ask(&["audit", "status"]).status.code(), Some(1));
    let verified = hub.ask(&["audit", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{}", stderr(&verified));
    let report: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    let difference = &report["differences"][0];
    assert_eq!((&difference["kind"], &difference["cause"]), (&"tampered".into(), &"rewritten".into()), "{report}");
    assert!(difference["first"].is_u64() && report["differences"].as_array().map(Vec::len) == Some(1), "{report}");
    let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("UTF-8");
    assert!(log.contains("the log is not as the ledger has it"), "{log}");
    // Publishing goes on.
    publish_some(&hub, 40, 60).await;
    assert_eq!(hub.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_were_taken_away_stop_the_ledger_and_nothing_else() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    publish_some(&hub, 0, 40).await;
    hub.checkpointed();
    assert_eq!(hub.stop().code(), Some(0));
    rewrite_log(dir.path(), |n, bytes| (n < 30).then_some(bytes)).await;
    // The views are of the longer log too, and would say so first.
    std::fs::remove_dir_all(dir.path().join("d/views")).expect("removable");

    let hub = Hub::start(dir.path());
    let stopped = hub.until("the ledger has stopped", |ledger| ledger["stopped"] != "");
    assert!(stopped["stopped"].as_str().expect("a text").contains("entries were taken away"), "{stopped}");
    publish_some(&hub, 40, 60).await;
    let prove = hub.ask(&["audit", "prove", "--position", "change/0/0", "--case", "A-1"]);
    assert_eq!(prove.status.code(), Some(3), "{}", stderr(&prove));
    assert_eq!(hub.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiles_are_served_as_the_format_says_and_nothing_else_is() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    publish_some(&hub, 0, 40).await;
    let ledger = hub.checkpointed();
    let (head, note) = hub.tile("/checkpoint");
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    assert!(head.contains("cache-control: no-cache"), "{head}");
    let note = String::from_utf8(note).expect("UTF-8");
    assert!(note.starts_with("hub.test/log\n") && note.lines().count() == 5, "{note}");

    let size = ledger["covered"]["change/0"].as_u64().expect("a size");
    let (head, tile) = hub.tile(&format!("/change/0/tile/0/000.p/{size}"));
    assert!(head.starts_with("http/1.1 200") && head.contains("immutable"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert_eq!(tile.len() as u64, 32 * size);
    let (_, entries) = hub.tile(&format!("/change/0/tile/entries/000.p/{size}"));
    assert_eq!(entries.len() as u64, 34 * size);

    for path in [
        "/",
        "/heads",
        "/signed",
        "/change/0/tile/0/000",
        "/change/0/tile/0/000.p/255",
        "/change/9/checkpoint",
        "/change/0/../../../secret/log",
        "/../secret/log",
        "/change/0/%2e%2e/%2e%2e/secret/log",
        "/tile/0/../../heads",
        "/checkpoint/",
    ] {
        let (head, _) = hub.tile(path);
        assert!(head.starts_with("http/1.1 404") || head.starts_with("http/1.1 400"), "{path}: {head}");
    }
    assert_eq!(hub.stop().code(), Some(0));
}
