//! Receipts that are checked without a hub, and the key that signs them changed while the hub serves.

use std::fs;

use serde_json::Value;

use crate::hub::{Hub, audited, lines, run, stderr, write_lines};

fn publish(hub: &Hub, name: &str, from: usize) {
    write_lines(&hub.dir.join(name), &lines("civil", from + 5)[from..]);
    let receipts = format!("{name}.receipts");
    let published = hub.ask(&["publish", "--register", "civil", name, "--receipts", &receipts]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
}

fn trust(hub: &Hub, name: &str) -> String {
    let printed = hub.ask(&["audit", "trust"]);
    assert_eq!(printed.status.code(), Some(0), "{}", stderr(&printed));
    fs::write(hub.dir.join(name), &printed.stdout).expect("writable");
    String::from_utf8(printed.stdout).expect("UTF-8")
}

/// The check runs without a hub: only with the files.
fn check(hub: &Hub, receipts: &str, policy: &str) -> (Option<i32>, Value) {
    let output = run(&hub.dir, &["receipt", "check", receipts, "--trust", policy, "--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code(), report)
}

#[test]
fn receipts_stay_good_when_the_signing_key_is_rotated_while_the_hub_serves() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    publish(&hub, "first.ndjson", 0);
    let before = trust(&hub, "before");
    assert_eq!(check(&hub, "first.ndjson.receipts", "before").0, Some(0));

    let announced = hub.json(&["keys", "signing", "announce", "--reason", "yearly"]);
    let next = announced["next"].as_str().expect("a key").to_owned();
    assert!(trust(&hub, "announced").contains(&next), "whoever takes this policy is ready for the next key");
    let rotated = hub.json(&["keys", "signing", "rotate", "--reason", "yearly"]);
    assert_eq!(rotated["next"], next.as_str());
    publish(&hub, "second.ndjson", 5);
    let after = trust(&hub, "after");
    assert_eq!(after.lines().filter(|line| line.starts_with("log ")).count(), 2, "{after}");

    // Old and new receipts by the policy of today; new ones not by that of before.
    for (receipts, policy, good) in [
        ("first.ndjson.receipts", "after", 5),
        ("second.ndjson.receipts", "after", 5),
        ("second.ndjson.receipts", "announced", 5),
        ("second.ndjson.receipts", "before", 0),
    ] {
        let (code, report) = check(&hub, receipts, policy);
        assert_eq!((report["good"].as_u64(), code), (Some(good), Some(i32::from(good == 0))), "{receipts} {policy}");
    }
    let (_, report) = check(&hub, "second.ndjson.receipts", "after");
    assert!(report["signed_by"].get(&next).is_some(), "{report}");

    let listed = hub.json(&["keys", "signing", "list"]);
    let keys = listed["keys"].as_array().expect("a list");
    assert_eq!((keys.len(), keys[0]["signs"].as_bool(), keys[1]["signs"].as_bool()), (2, Some(false), Some(true)));
    assert_eq!(keys[0]["valid_until"], keys[1]["valid_from"]);
    assert!(before.contains(keys[0]["verifier"].as_str().expect("a key")));

    // A checkpoint of the new key continues those of the former one: a proof of an old receipt under it.
    hub.checkpointed();
    let ledger = hub.ledger();
    assert_eq!(ledger["verifier"], next.as_str());
    let first = fs::read_to_string(dir.path().join("first.ndjson.receipts")).expect("written");
    fs::write(dir.path().join("one"), first.lines().next().expect("a receipt")).expect("writable");
    let proven = hub.ask(&["audit", "prove", "--receipt", "one", "-o", "one.proof", "--as", "register/civil"]);
    assert_eq!(proven.status.code(), Some(0), "{}", stderr(&proven));
    let checked = run(dir.path(), &["audit", "check", "one.proof", "--trust", "after"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    hub.stop();

    // The next start signs with the key that the log names, and still knows the former one.
    let hub = Hub::start(dir.path());
    assert_eq!(hub.ledger()["verifier"], next.as_str());
    assert_eq!(trust(&hub, "again"), after);
    assert_eq!(check(&hub, "first.ndjson.receipts", "again").0, Some(0));
    hub.stop();
}

#[test]
fn a_receipt_that_was_changed_is_refuted_with_its_line() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    publish(&hub, "first.ndjson", 0);
    trust(&hub, "policy");
    let text = fs::read_to_string(dir.path().join("first.ndjson.receipts")).expect("written");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut third: Value = serde_json::from_str(&lines[2]).expect("a line");
    third["receipt"]["position"]["index"] = 77.into();
    lines[2] = third.to_string();
    fs::write(dir.path().join("forged"), lines.join("\n")).expect("writable");
    let (code, report) = check(&hub, "forged", "policy");
    assert_eq!((code, report["good"].as_u64(), report["wrong"].as_array().map(Vec::len)), (Some(1), Some(4), Some(1)));
    assert_eq!(report["wrong"][0]["line"], 3);
    let refused = hub.ask(&["keys", "signing", "rotate", "--reason", "x", "--as", "auditor/main"]);
    assert_eq!(refused.status.code(), Some(3), "only an operator rotates");
    hub.stop();
}
