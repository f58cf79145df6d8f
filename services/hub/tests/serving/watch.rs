//! Watching subjects change, through the real process.

use serde_json::Value;

use crate::hub::{Hub, configured, lines, stderr, write_lines};

const WATCH: [&str; 8] = ["watch", "person", "--procedure", "1.001193", "--case", "W-1", "--once", "--json"];

/// The messages of a watch up to the present.
fn watch(hub: &Hub, more: &[&str]) -> Vec<Value> {
    let output = hub.ask(&[&WATCH[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON value a line")).collect()
}

fn changes(messages: &[Value]) -> Vec<&Value> {
    messages.iter().flat_map(|m| m["changes"]["changes"].as_array().into_iter().flatten()).collect()
}

fn subjects(changes: &[&Value]) -> Vec<String> {
    changes.iter().map(|c| c["subject"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_watch_shows_everybody_then_what_changes_and_goes_on_from_its_cursor_after_a_kill() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let all = lines("civil", 600);
    write_lines(&dir.path().join("first.ndjson"), &all[..400]);
    write_lines(&dir.path().join("second.ndjson"), &all[400..]);
    hub.json(&["publish", "--register", "civil", "first.ndjson"]);
    let persons = hub.folded()["subjects_persons"].as_u64().expect("a number");

    let first = watch(&hub, &["--cursor", "seen"]);
    assert_eq!(first[0]["reset"]["reason"], "start", "{}", first[0]);
    let snapshot = changes(&first);
    assert_eq!(snapshot.len() as u64, persons, "everybody once");
    assert!(snapshot.iter().all(|c| c["records"].as_array().is_some_and(|r| !r.is_empty())), "with records");
    let again = watch(&hub, &[]);
    assert!(changes(&again) == snapshot, "the same at the same cut, event ids included");

    hub.json(&["publish", "--register", "civil", "second.ndjson"]);
    hub.folded();
    hub.signal("-KILL");
    drop(hub);
    let hub = Hub::start(dir.path());
    hub.folded();
    let kept = std::fs::read(dir.path().join("seen")).expect("a cursor");
    let second = watch(&hub, &["--cursor", "seen"]);
    assert!(second.iter().all(|m| m["reset"].is_null()), "no reset: the journal outlives the process");
    let changed = changes(&second);
    assert!(!changed.is_empty() && changed.len() < snapshot.len() + 400, "only what changed: {}", changed.len());
    std::fs::write(dir.path().join("seen"), kept).expect("writable");
    assert!(changes(&watch(&hub, &["--cursor", "seen"])) == changed, "a repeat is the same");

    // What was told, put together, is what a new snapshot shows.
    let mut known: Vec<String> = subjects(&snapshot);
    known.extend(subjects(&changed));
    let retired = |c: &&&Value| c["records"].as_array().is_none_or(Vec::is_empty);
    let gone: Vec<String> =
        changed.iter().filter(retired).map(|c| c["subject"].as_str().expect("an id").to_owned()).collect();
    known.retain(|subject| !gone.contains(subject));
    known.sort();
    known.dedup();
    let mut now = subjects(&changes(&watch(&hub, &[])));
    now.sort();
    assert_eq!(now, known);

    let refused = hub.ask(&["watch", "person", "--procedure", "1.001193", "--case", "W-1", "--as", "register/civil"]);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    std::fs::write(dir.path().join("bad"), "{\"change/0\":1}").expect("writable");
    let bad = hub.ask(&[&WATCH[..], &["--cursor", "bad"]].concat());
    assert_eq!(bad.status.code(), Some(3), "{}", stderr(&bad));
    let first_of = |other: &str| -> Value {
        let mut cursor: Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("seen")).expect("a cursor")).expect("JSON");
        cursor[other] = 99.into();
        std::fs::write(dir.path().join("other"), cursor.to_string()).expect("writable");
        watch(&hub, &["--cursor", "other"]).remove(0)
    };
    assert_eq!(first_of("model")["reset"]["reason"], "cursor_of_another_model");
    assert_eq!(hub.stop().code(), Some(0));
}
