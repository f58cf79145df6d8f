//! Views that cannot be trusted: rebuilt from the log, or refused, and said so.

use std::path::{Path, PathBuf};

use event_log::{Embedded, Tuning};
use serde_json::Value;
use view_store::{Expect, Incoming, KeyRange, Options, Table, ViewStore};

use crate::hub::{CONFIG, Hub, configured, lines, run, stderr, write_lines};

const PURPOSE: [&str; 4] = ["--procedure", "1.001193", "--case", "HS-1"];

/// A hub's directory with some records, stopped, and its last status.
fn stopped(dir: &Path) -> Value {
    let hub = Hub::start(dir);
    write_lines(&dir.join("civil.ndjson"), &lines("civil", 150));
    assert_eq!(hub.json(&["publish", "--register", "civil", "civil.ndjson"])["accepted"], 150);
    let status = hub.folded();
    assert_eq!(hub.stop().code(), Some(0));
    status
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("serve.log")).expect("a log")
}

fn assert_rebuilt(dir: &Path, before: &Value, why: &str) {
    let hub = Hub::start(dir);
    let after = hub.folded();
    for field in ["digest", "records", "mentions", "subjects_persons"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let log = log_of(dir);
    let said = log.lines().any(|line| line.contains("folded") && line.contains(why));
    assert!(said, "{why} is not said: {log}");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
}

fn log_id(dir: &Path) -> [u8; 16] {
    Embedded::open_with(&dir.join("d/log"), &Tuning::default()).expect("a stopped hub's log").log_id()
}

#[test]
fn views_of_another_fold_version_are_folded_again() {
    let dir = configured();
    let before = stopped(dir.path());
    let views = dir.path().join("d/views/1");
    std::fs::remove_dir_all(&views).expect("removable");
    let other = Expect { fold_version: u32::MAX, log_id: log_id(dir.path()) };
    drop(ViewStore::open(&views, Options::default(), other).expect("a new store"));
    assert_rebuilt(dir.path(), &before, "fold version");
    assert!(
        views.join("manifest").exists() && dir.path().join("d/views/2").exists(),
        "another program can go back to its own"
    );
}

#[test]
fn what_another_fold_version_said_otherwise_is_told_with_causes_and_fields() {
    let dir = configured();
    let before = stopped(dir.path());
    // Views as an earlier version of the fold would have left them: one record stands in them otherwise.
    let record = plant(dir.path());
    let of_earlier = projection::FOLD_VERSION - 1;
    rewrite_as(dir.path(), of_earlier);

    let hub = Hub::start(dir.path());
    assert_eq!(hub.folded()["digest"], before["digest"]);
    let none = hub.ask(&["views", "diff"]);
    assert_eq!(none.status.code(), Some(3), "nothing is prepared: {}", stderr(&none));
    let told = hub.ask(&["views", "diff", "--previous", "--json"]);
    assert_eq!(told.status.code(), Some(0), "the digest that it committed is the same: {}", stderr(&told));
    let diff: Value = serde_json::from_slice(&told.stdout).expect("one JSON value");
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    let versions = (number(&diff["serving_fold_version"]), number(&diff["prepared_fold_version"]));
    assert_eq!(versions, (u64::from(of_earlier), u64::from(projection::FOLD_VERSION)), "{diff}");
    assert_eq!(diff["record_samples"], Value::from(vec![record]), "{diff}");
    let causes = diff["causes"].as_array().expect("causes");
    assert!(causes.len() == 1 && number(&causes[0]["count"]) == 1, "{diff}");
    let kinds = diff["kinds"].as_array().expect("kinds of rows");
    let other: Vec<_> = kinds.iter().filter(|kind| kind["equal"] == false).map(|kind| &kind["kind"]).collect();
    assert_eq!(other, [&Value::from("head")], "{diff}");
    assert!(number(&diff["fields_subjects"]) >= 1 && diff["fields"] == Value::Array(vec![]), "{diff}");
    let text = hub.ask(&["views", "diff", "--previous"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains(&format!("fold version {of_earlier}")) && text.contains("cause"), "{text}");
    assert!(text.contains("hub views approve"), "the next step is said: {text}");
    let digest = diff["prepared_digest"].as_str().expect("a digest");
    let unread = hub.ask(&["views", "approve", &"0".repeat(64), "--reason", "never read"]);
    assert_eq!(unread.status.code(), Some(3), "{}", stderr(&unread));
    let approved = hub.json(&["views", "approve", digest, "--reason", "one head is said otherwise"]);
    assert_eq!(number(&approved["fold_version"]), u64::from(projection::FOLD_VERSION), "{approved}");
    let entries = hub.ask(&["audit", "replay", "--stream", "control", "--case", "audit 7", "--json"]);
    let entries = String::from_utf8_lossy(&entries.stdout).into_owned();
    assert!(entries.contains("fold_approved") && entries.contains("one head is said otherwise"), "{entries}");
    hub.json(&["views", "discard", "--previous"]);
    let gone = hub.ask(&["views", "diff", "--previous"]);
    assert_eq!(gone.status.code(), Some(3), "{}", stderr(&gone));
}

#[test]
fn views_of_another_log_are_refused_and_left_alone() {
    let (dir, other) = (configured(), configured());
    stopped(dir.path());
    let theirs = stopped(other.path());
    std::fs::rename(dir.path().join("d/views"), dir.path().join("views-kept")).expect("movable");
    std::fs::rename(other.path().join("d/views"), dir.path().join("d/views")).expect("movable");
    let refused = run(dir.path(), &["serve", "--config", "hub.toml", "--dev-certs"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    let reason = told.lines().last().expect("a reason");
    assert!(reason.starts_with("hub: ") && reason.contains("another log"), "{told}");
    // Back where they belong, they are what they were.
    std::fs::rename(dir.path().join("d/views"), other.path().join("d/views")).expect("movable");
    std::fs::rename(dir.path().join("views-kept"), dir.path().join("d/views")).expect("movable");
    let hub = Hub::start(other.path());
    assert_eq!(hub.folded()["digest"], theirs["digest"]);
    assert!(!log_of(other.path()).contains("discarded"), "nothing was touched");
}

#[test]
fn another_store_is_folded_anew_and_serves_the_same() {
    let dir = configured();
    let before = stopped(dir.path());
    std::fs::write(dir.path().join("hub.toml"), format!("{CONFIG}kind = \"sled\"\n")).expect("writable");
    assert_rebuilt(dir.path(), &before, "store");

    let hub = Hub::start(dir.path());
    assert_eq!(hub.folded()["store"], "sled");
    let published = lines("civil", 150);
    let ids = published.iter().filter(|line| line["record_type"] == "birth");
    let id = ids.filter_map(|line| line["record"]["child"]["personal_id"].as_str()).find(|id| id.len() == 12);
    let id = id.expect("a child has a personal number");
    let get = [&["get", "person", "--personal-id", id, "--fields", "full_name"][..], &PURPOSE].concat();
    assert!(hub.json(&get)["subject"]["id"].is_string());
    let accesses = |hub: &Hub| {
        let list = ["accesses", "person", "--personal-id", id, "--procedure", "audit", "--case", "A-1"];
        let accesses = hub.json(&list)["accesses"].as_array().expect("a list").clone();
        accesses.iter().filter(|access| access["action"] == "get_subject").count()
    };
    assert_eq!(accesses(&hub), 1, "the index of accesses is a store of this kind too");
    let fjall = hub.json(&["views", "verify", "--store", "fjall"]);
    assert_eq!((&fjall["equal"], &fjall["replay_digest"]), (&Value::Bool(true), &before["digest"]));
    assert_eq!(hub.json(&["views", "verify", "--store", "sled"])["equal"], true);

    // After a crash the index is caught up from the log; without its folder it is built again.
    hub.signal("-KILL");
    drop(hub);
    let hub = Hub::start(dir.path());
    assert_eq!(hub.folded()["digest"], before["digest"]);
    assert_eq!(accesses(&hub), 1);
    assert_eq!(hub.stop().code(), Some(0));
    let index = dir.path().join("d/access-index");
    std::fs::remove_dir_all(&index).expect("removable");
    std::fs::create_dir(&index).expect("writable");
    std::fs::write(index.join("conf"), "no store").expect("writable");
    let hub = Hub::start(dir.path());
    assert_eq!(accesses(&hub), 1);
}

/// The files of the views, largest first.
fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
    out.sort();
}

#[test]
fn views_with_any_damaged_file_are_never_served_as_sound() {
    let dir = configured();
    let before = stopped(dir.path());
    let mut all = Vec::new();
    files(&dir.path().join("d/views"), &mut all);
    let mut damaged = 0;
    for at in 0..all.len() {
        // The names change with every rebuild.
        let mut now = Vec::new();
        files(&dir.path().join("d/views"), &mut now);
        let Some(file) = now.get(at).filter(|file| std::fs::metadata(file).expect("there").len() > 0) else { continue };
        let name = file.display().to_string();
        let bytes = std::fs::read(file).expect("readable");
        std::fs::write(file, &bytes[..bytes.len() / 2]).expect("writable");
        damaged += 1;
        let hub = match Hub::try_start_in(dir.path(), &[]) {
            Ok(hub) => hub,
            Err((status, log)) => {
                // Refused, and said why: whoever discards them has them folded again.
                let reason = log.lines().last().expect("a reason");
                assert!(status.code() == Some(1) && reason.contains("the views cannot be opened"), "{name}: {reason}");
                std::fs::remove_dir_all(dir.path().join("d/views")).expect("removable");
                Hub::start(dir.path())
            }
        };
        let after = hub.folded();
        assert_eq!(after["digest"], before["digest"], "{name}");
        assert_eq!(after["records"], before["records"], "{name}");
        assert_eq!(hub.json(&["views", "verify"])["equal"], true, "{name}");
        let stopped = hub.stop().code();
        assert!(stopped == Some(0) || log_of(dir.path()).contains("the fold had stopped"), "{name}: {stopped:?}");
    }
    assert!(damaged > 2, "{all:?}");
}

/// Changes one row of stopped views as no fold would: with sound checksums, and the digest left as it was.
fn plant(dir: &Path) -> String {
    let expect = Expect { fold_version: projection::FOLD_VERSION, log_id: log_id(dir) };
    let mut store = ViewStore::open(&dir.join("d/views/1"), Options::default(), expect).expect("views").into_store();
    let view = store.reader().view().expect("a view");
    let (positions, digest) = (view.committed().positions.clone(), view.committed().digest.clone());
    let rows = view.range(Table::Head, KeyRange::All, 40).expect("heads");
    let (key, value) = rows.last().expect("a head");
    let mut head = projection::head::Head::decode(value).expect("a sound head");
    head.versions[0].row.statement[7] ^= 1;
    let mut txn = store.begin().expect("a batch");
    txn.put(Table::Head, key, &head.encode());
    txn.commit(&positions, &digest).expect("committed");
    drop(view);
    store.close().expect("closed");
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same views, as a program of another fold version writes them.
fn rewrite_as(dir: &Path, fold_version: u32) {
    let (views, other) = (dir.join("d/views/1"), dir.join("other"));
    let expect = Expect { fold_version: projection::FOLD_VERSION, log_id: log_id(dir) };
    let mut store = ViewStore::open(&views, Options::default(), expect).expect("views").into_store();
    let mut outgoing = store.outgoing(&dir.join("aside")).expect("readable");
    let mut header = outgoing.header().clone();
    header.committed.fold_version = fold_version;
    let expect = Expect { fold_version, ..expect };
    let mut incoming = Incoming::begin(&other, &Options::default(), expect, header).expect("an empty folder");
    while let Some(piece) = outgoing.next_piece(1 << 20).expect("readable") {
        incoming.take(&piece).expect("writable");
    }
    incoming.finish().expect("whole");
    drop(ViewStore::open(&other, Options::default(), expect).expect("views"));
    drop((outgoing, store));
    std::fs::remove_dir_all(&views).expect("removable");
    std::fs::rename(&other, &views).expect("movable");
}

#[test]
fn a_row_that_was_changed_on_the_disk_is_found_named_and_folded_anew() {
    let dir = configured();
    let before = stopped(dir.path());
    let record = plant(dir.path());
    let looking = format!("{CONFIG}check_interval_s = 1\n");
    std::fs::write(dir.path().join("hub.toml"), looking).expect("writable");
    let hub = Hub::start(dir.path());
    let wrong = |hub: &Hub| hub.json(&["status"])["rows_checked"]["wrong"].as_str().map(str::to_owned);
    let begun = std::time::Instant::now();
    while wrong(&hub).is_none_or(|wrong| wrong.is_empty()) {
        assert!(begun.elapsed().as_secs() < 60, "nobody looked");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(hub.folded()["digest"], before["digest"], "the digest alone does not tell");
    let verified = hub.ask(&["views", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{}", stderr(&verified));
    let verified: Value = serde_json::from_slice(&verified.stdout).expect("one JSON value");
    assert_eq!((&verified["equal"], &verified["live_digest"]), (&Value::Bool(false), &verified["replay_digest"]));
    assert_ne!(verified["rows_digest"], verified["live_digest"]);
    let named = verified["differences"].as_array().expect("a list");
    assert_eq!(named, &[Value::from(format!("record {record}: different"))], "{verified}");
    hub.json(&["views", "rebuild", "--share", "100", "--reason", "a row was changed"]);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    let begun = std::time::Instant::now();
    while wrong(&hub).as_deref() != Some("") {
        assert!(begun.elapsed().as_secs() < 60, "nobody looked again");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
