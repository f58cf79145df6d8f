//! From a published change and a given answer to bundles that hold without the hub, and to their limits.

use std::path::Path;

use ledger::Receipt;
use record::{EntryHash, Index, Partition, Position, Stream};
use serde_json::Value;
use tonic::Code;
use wire::audit::audit_service_client::AuditServiceClient;
use wire::audit::prove_request::What;
use wire::audit::{ProveRequest, ProvenRecord};
use wire::ingest::{BatchResult, outcome};

use crate::client::{batch, changes, letters, publish, refusal};
use crate::hub::{Hub, audited, lines, run, stderr, write_lines};

/// Publishes civil records, and gives the id of one and a personal number that stands on it.
fn published(hub: &Hub, count: usize) -> (String, String) {
    let lines = lines("civil", count);
    let path = hub.dir.join("civil.ndjson");
    write_lines(&path, &lines);
    let output = hub.ask(&["publish", "--register", "civil", "civil.ndjson"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    hub.folded();
    let birth = lines.iter().find(|line| line["record"]["child"]["personal_id"].is_string()).expect("a birth");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&birth["record_id"]), text(&birth["record"]["child"]["personal_id"]))
}

fn check(dir: &Path, bundle: &str, more: &[&str]) -> (Option<i32>, Value) {
    let output = run(dir, &[&["audit", "check", bundle, "--trust", "policy", "--json"], more].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output))))
}

fn trust(hub: &Hub) {
    let policy = hub.ask(&["audit", "trust"]);
    std::fs::write(hub.dir.join("policy"), policy.stdout).expect("writable");
}

#[test]
fn an_answer_is_proven_to_a_stranger_and_one_flipped_byte_is_found() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    let (record, number) = published(&hub, 30);
    trust(&hub);
    let answer = hub.json(&[
        "get",
        "person",
        "--personal-id",
        &number,
        "--procedure",
        "1.000894",
        "--case",
        "HS-1",
        "--fields",
        "full_name,birth_date",
    ]);
    std::fs::write(dir.path().join("answer.json"), answer.to_string()).expect("writable");
    hub.json(&["audit", "prove", "--response", "answer.json", "--case", "A-1", "-o", "answer.proof"]);
    let (code, proven) = check(dir.path(), "answer.proof", &["--keep", "known"]);
    assert_eq!((code, &proven["holds"]), (Some(0), &Value::from(true)), "{proven}");
    let record = format!("civil/{record}");
    let since = ["--since", "known", "--case", "A-2"];
    hub.json(&[&["audit", "prove", "--record", &record, "-o", "record.proof"][..], &since].concat());
    hub.json(&[&["audit", "prove", "--position", "control/0/0", "-o", "first.proof"][..], &since].concat());
    assert_eq!(hub.stop().code(), Some(0));

    // Nothing of the hub is there any more.
    for bundle in ["answer.proof", "record.proof", "first.proof"] {
        let (code, report) = check(dir.path(), bundle, &["--known", "known"]);
        assert_eq!((code, &report["holds"]), (Some(0), &Value::from(true)), "{bundle}: {report}");
    }
    let shown = &proven["answers"][0];
    assert_eq!((&shown["access"], &shown["case"]), (&answer["basis"]["access_id"], &Value::from("HS-1")));
    assert!(shown["outcome"].as_str().expect("a text").starts_with("answered with these"), "{shown}");
    let records = shown["records"].as_array().expect("the records that were read");
    assert!(!records.is_empty() && records.iter().all(|record| record["entries"].as_u64() >= Some(1)), "{shown}");
    let entries = proven["entries"].as_array().expect("entries");
    assert!(entries.iter().all(|entry| entry["included"] == true), "{proven}");
    let bundle = std::fs::read(dir.path().join("answer.proof")).expect("written");
    let sections: Vec<_> = bundle.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    for (from, to) in sections.iter().zip(&sections[1..]) {
        let mut bad = bundle.clone();
        bad[(from + to) / 2] ^= 1;
        std::fs::write(dir.path().join("bad.proof"), &bad).expect("writable");
        let (code, refuted) = check(dir.path(), "bad.proof", &[]);
        let line = bundle[..=*from].iter().filter(|byte| **byte == b'\n').count() + 1;
        assert_eq!((code, &refuted["holds"]), (Some(1), &Value::from(false)));
        assert_eq!(refuted["failures"][0]["line"].as_u64(), Some(line as u64), "{refuted}");
    }
}

#[test]
fn an_answer_that_was_changed_is_not_proven_and_only_auditors_may_ask() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    let (record, number) = published(&hub, 30);
    let mut answer = hub.json(&[
        "get",
        "person",
        "--personal-id",
        &number,
        "--procedure",
        "1.000894",
        "--case",
        "HS-1",
        "--fields",
        "full_name",
    ]);
    answer["subject"]["attributes"][0]["value"]["value"] = "Another Name".into();
    std::fs::write(dir.path().join("changed.json"), answer.to_string()).expect("writable");
    let changed = hub.ask(&["audit", "prove", "--response", "changed.json", "--case", "A-1", "-o", "x.proof"]);
    assert_ne!(changed.status.code(), Some(0));
    assert!(stderr(&changed).contains("not the one whose hash is in the access entry"), "{}", stderr(&changed));
    assert!(!dir.path().join("x.proof").exists());

    let record = format!("civil/{record}");
    let prove = |more: &[&str]| hub.ask(&[&["audit", "prove", "--record", &record], more].concat());
    let portal = prove(&["--case", "A-1", "--as", "portal/national"]);
    assert_eq!(portal.status.code(), Some(3), "{}", stderr(&portal));
    let other = prove(&["--case", "A-1", "--record-version", "99"]);
    assert!(stderr(&other).contains("no such record or version"), "{}", stderr(&other));
    prove(&["--case", "A-9"]);
    let replayed = hub.ask(&["audit", "replay", "--stream", "access", "--case", "A-2"]);
    let told = String::from_utf8(replayed.stdout).expect("UTF-8");
    assert!(told.contains("operate audit.prove case A-9") && told.contains("refused (action_not_granted)"), "{told}");
}

fn receipts(result: &BatchResult) -> Vec<Receipt> {
    let receipt = |outcome: &wire::ingest::Outcome| match &outcome.outcome {
        Some(outcome::Outcome::Accepted(accepted)) => accepted.receipt.clone().expect("a receipt"),
        other => panic!("{other:?}"),
    };
    let of = |receipt: wire::ingest::Receipt| {
        let at = receipt.position.expect("a place");
        let hash = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("32 bytes");
        Receipt {
            position: Position {
                stream: Stream::Change,
                partition: Partition(u16::try_from(at.partition).expect("a partition")),
                index: Index(at.index),
            },
            entry: EntryHash(hash(&receipt.entry_hash)),
            leaf_index: receipt.leaf_index,
            leaf_count: receipt.leaf_count,
            path: receipt.path.iter().map(|node| hash(node)).collect(),
            signed_root: result.signed_root.clone(),
        }
    };
    result.outcomes.iter().map(receipt).map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_turns_its_receipt_into_a_proof_that_discloses_nothing() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    let mut civil = hub.ingest("register/civil").await;
    let result = publish(&mut civil, batch("civil", changes("civil", 5))).await.expect("taken");
    assert_eq!(letters(&result), "aaaaa");
    let receipt = receipts(&result).remove(3);
    std::fs::write(dir.path().join("receipt"), receipt.encode()).expect("writable");
    let proven = hub.json(&["audit", "prove", "--receipt", "receipt", "-o", "receipt.proof", "--as", "register/civil"]);
    assert_eq!(proven["entries"], 1);
    trust(&hub);
    let (code, report) = check(dir.path(), "receipt.proof", &[]);
    assert_eq!(code, Some(0), "{report}");
    let entry = &report["entries"][0];
    assert_eq!((&entry["included"], &entry["disclosed"]), (&Value::from(true), &Value::from(false)), "{report}");

    let mut client = AuditServiceClient::new(hub.channel("register/civil").await);
    let mut forged = receipt.clone();
    forged.position.index = Index(forged.position.index.0 + 1);
    let ask = |what| ProveRequest { what: Some(what), case_number: "A-1".into(), ..ProveRequest::default() };
    let status = client.prove(ask(What::Receipt(forged.encode()))).await.expect_err("refused");
    assert_eq!(refusal(&status), (Code::InvalidArgument, "field_invalid".into(), vec!["receipt".into()]));
    let record = ProvenRecord { register: "civil".into(), record_id: "KS-1".into(), version: 0 };
    let status = client.prove(ask(What::Record(record))).await.expect_err("refused");
    assert_eq!(refusal(&status).0, Code::PermissionDenied);
}

#[test]
fn an_opened_body_shows_a_stranger_what_the_register_stated_and_nothing_else() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    let (record, _) = published(&hub, 30);
    trust(&hub);
    let named = format!("civil/{record}");
    let prove = |more: &[&str]| hub.ask(&[&["audit", "prove", "--record", &named], more].concat());
    assert_eq!(prove(&["--case", "A-1", "-o", "closed.proof"]).status.code(), Some(0));
    let opened = prove(&["--case", "A-1", "--reveal", "-o", "opened.proof"]);
    assert_eq!(opened.status.code(), Some(0), "{}", stderr(&opened));
    assert!(String::from_utf8_lossy(&opened.stdout).contains("1 entries, 1 of their bodies opened"));
    let portal = prove(&["--case", "A-1", "--reveal", "--as", "portal/national"]);
    assert_eq!(portal.status.code(), Some(3), "{}", stderr(&portal));
    let replayed = hub.ask(&["audit", "replay", "--stream", "access", "--case", "A-2", "--json"]);
    let told = String::from_utf8(replayed.stdout).expect("UTF-8");
    let fields = r#""fields":["record of civil","bodies"]"#;
    assert!(told.contains(fields), "that bodies were opened is in the log: {told}");
    assert_eq!(hub.stop().code(), Some(0));

    let (code, closed) = check(dir.path(), "closed.proof", &[]);
    assert_eq!((code, &closed["entries"][0]["body"]), (Some(0), &Value::Null), "{closed}");
    assert!(closed["unproven"].to_string().contains("its body is encrypted"), "{closed}");
    let (code, report) = check(dir.path(), "opened.proof", &[]);
    assert_eq!(code, Some(0), "{report}");
    assert!(!report["unproven"].to_string().contains("its body is encrypted"), "{report}");
    let stated = lines("civil", 30).into_iter().find(|line| line["record_id"].as_str() == Some(&record));
    let body = &report["entries"][0]["body"];
    assert_eq!(body["record_id"].as_str(), Some(record.as_str()));
    assert_eq!(body["record"]["child"]["full_name"], stated.expect("published")["record"]["child"]["full_name"]);
    let text = run(dir.path(), &["audit", "check", "opened.proof", "--trust", "policy"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains(&format!("it says: upsert of birth {record}")));

    let bundle = std::fs::read_to_string(dir.path().join("opened.proof")).expect("UTF-8");
    let at = bundle.find(r#""secret":""#).expect("a secret") + 12;
    let mut bad = bundle.clone().into_bytes();
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(dir.path().join("bad.proof"), &bad).expect("writable");
    let (code, refuted) = check(dir.path(), "bad.proof", &[]);
    let failures = refuted["failures"].as_array().expect("failures");
    let named = failures.iter().any(|failure| failure["field"] == "secret");
    assert!(code == Some(1) && named && failures[0]["section"].to_string().contains("body change/"), "{refuted}");
}
