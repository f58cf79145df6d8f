//! Views that take over from others: a rebuild, another linkage model, a register that is stated anew.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use linkage::Model;
use serde_json::Value;

use crate::hub::{Hub, configured, lines, run, stderr, write_lines};

const REASON: [&str; 2] = ["--reason", "a test of switching"];

fn with_reason<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &REASON].concat()
}

fn publish(hub: &Hub, register: &str, lines: &[Value], more: &[&str]) -> Value {
    let file = hub.dir.join("changes.ndjson");
    write_lines(&file, lines);
    let told = hub.json(&[&["publish", "--register", register, "changes.ndjson"], more].concat());
    hub.folded();
    told
}

/// Asks for one person again and again while `work` runs; every answer must be one.
fn while_asked(hub: &Hub, personal_id: &str, work: impl FnOnce()) -> u32 {
    let (done, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let get = ["get", "person", "--personal-id", personal_id, "--fields", "full_name"];
            let purpose = ["--procedure", "1.001193", "--case", "HS-1"];
            while !done.load(Ordering::Acquire) {
                let answer = hub.json(&[&get[..], &purpose].concat());
                assert!(answer["subject"]["id"].is_string(), "{answer}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        work();
        done.store(true, Ordering::Release);
    });
    asked.into_inner()
}

fn a_child(lines: &[Value]) -> &str {
    let births = lines.iter().filter(|line| line["record_type"] == "birth");
    let mut ids = births.filter_map(|line| line["record"]["child"]["personal_id"].as_str());
    ids.find(|id| id.len() == 12).expect("a child has a personal number")
}

#[test]
fn a_rebuild_that_is_killed_goes_on_and_takes_over_without_a_failed_query() {
    let dir = configured();
    let mut hub = Hub::start(dir.path());
    let civil = lines("civil", 900);
    publish(&hub, "civil", &civil[..800], &[]);
    publish(&hub, "health", &lines("health", 1_500), &[]);
    publish(&hub, "land", &lines("land", 500), &[]);
    let before = hub.folded();
    let nothing = hub.ask(&with_reason(&["views", "replace"]));
    assert_eq!(nothing.status.code(), Some(3), "{}", stderr(&nothing));

    for _ in 0..3 {
        let mut looking = crate::hub::command(
            dir.path(),
            &["views", "prepare", "--share", "1", "--config", "hub.toml", "--endpoint", &hub.endpoint],
        );
        let mut looking = looking.spawn().expect("the command starts");
        let begun = std::time::Instant::now();
        while hub.json(&["status"])["prepared"].is_null() {
            assert!(begun.elapsed().as_secs() < 60, "nothing is prepared");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        hub.signal("-KILL");
        drop(hub);
        looking.wait().expect("it has ended");
        hub = Hub::start(dir.path());
        assert_eq!(hub.folded()["digest"], before["digest"]);
    }
    let plan = std::fs::read_to_string(dir.path().join("d/views/plan.json")).expect("a plan");
    assert!(plan.contains("\"number\": 2"), "what was prepared is kept over kills: {plan}");

    let asked = while_asked(&hub, a_child(&civil), || {
        let done = hub.json(&with_reason(&["views", "rebuild", "--share", "100"]));
        assert_eq!(done["before_digest"], done["after_digest"]);
        assert_eq!(done["before_digest"], before["digest"]);
    });
    assert!(asked > 0);
    let after = hub.json(&["status"]);
    for field in ["digest", "records", "mentions", "subjects_persons", "basis"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    publish(&hub, "civil", &civil[800..], &[]);
    let grown = hub.folded();
    assert_eq!(hub.stop().code(), Some(0));
    let hub = Hub::start(dir.path());
    assert_eq!(hub.folded()["digest"], grown["digest"], "the views that took over serve after a restart");

    // Back to those that served before: they are brought up to date.
    hub.json(&["views", "prepare", "--previous"]);
    let same = hub.json(&["views", "diff"]);
    assert_eq!((&same["equal"], &same["serving_digest"]), (&Value::Bool(true), &grown["digest"]));
    hub.json(&with_reason(&["views", "replace"]));
    assert_eq!(hub.json(&["status"])["digest"], grown["digest"]);
}

/// Writes a linkage model that joins less than the built-in one.
fn strict_model(dir: &Path) -> &'static str {
    let model = Model::epoch_1().with_threshold(60 * 1024);
    std::fs::write(dir.join("strict.model"), model.to_bytes()).expect("writable");
    "strict.model"
}

#[test]
fn a_model_is_proposed_compared_switched_and_rolled_back() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    publish(&hub, "civil", &lines("civil", 600), &[]);
    publish(&hub, "health", &lines("health", 300), &[]);
    let before = hub.folded();
    let unknown = hub.ask(&with_reason(&["link", "epoch", "switch", "2"]));
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));
    let proposed = hub.json(&with_reason(&["link", "epoch", "propose", strict_model(dir.path())]));
    assert_eq!(proposed["model"]["epoch"], 2);
    assert_eq!(hub.folded()["digest"], before["digest"], "a proposal links nothing");

    let diff = hub.ask(&["link", "epoch", "diff", "2", "--json"]);
    assert_eq!(diff.status.code(), Some(1), "{}", stderr(&diff));
    let diff: Value = serde_json::from_slice(&diff.stdout).expect("one JSON value");
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    assert!(number(&diff["split"]) > 0 && number(&diff["merged"]) == 0, "{diff}");
    assert!(number(&diff["prepared_subjects"]) > number(&diff["serving_subjects"]), "{diff}");
    let records = diff["records"].as_array().expect("rows");
    assert!(records.iter().all(|row| ["added", "changed", "removed"].iter().all(|f| number(&row[f]) == 0)), "{diff}");
    let causes = diff["causes"].as_array().expect("causes");
    let cause = |name: &str| causes.iter().find(|c| c["cause"] == name).map_or(0, |c| number(&c["count"]));
    assert_eq!((cause("split_by_links"), cause("split_by_records")), (number(&diff["split"]), 0), "{diff}");
    let kinds = diff["kinds"].as_array().expect("kinds of rows");
    let same = |name: &str| kinds.iter().find(|k| k["kind"] == name).map(|k| k["equal"] == true);
    assert_eq!((same("head"), same("finding"), same("mention")), (Some(true), Some(true), Some(false)), "{diff}");
    assert!(number(&diff["fields_subjects"]) >= number(&diff["split"]), "{diff}");
    assert_eq!(diff["serving_fold_version"], diff["prepared_fold_version"]);

    let switched = hub.json(&with_reason(&["link", "epoch", "switch", "2"]));
    assert_eq!(switched["serving"], true, "{switched}");
    let strict = hub.folded();
    assert_eq!((&strict["basis"], &strict["model_epoch"]), (&Value::from("model 2"), &Value::from(2)));
    assert_ne!(strict["digest"], before["digest"]);
    assert_eq!(hub.json(&["views", "verify", "--store", "sled"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));

    // From the log alone, the views are what the last switch wanted.
    std::fs::remove_dir_all(dir.path().join("d/views")).expect("removable");
    let hub = Hub::start(dir.path());
    let anew = hub.folded();
    assert_eq!((&anew["digest"], &anew["basis"]), (&strict["digest"], &strict["basis"]));

    let back = hub.json(&with_reason(&["link", "epoch", "rollback"]));
    assert_eq!((&back["before"], &back["after"], &back["serving"]), (&2.into(), &1.into(), &true.into()));
    assert_eq!(hub.json(&["status"])["digest"], before["digest"]);
    let models = hub.json(&["link", "epoch", "list"]);
    assert_eq!(models["models"].as_array().expect("models").len(), 2);
}

/// The record says something else, at once, under a higher version.
fn changed(line: &Value) -> Value {
    let mut line = line.clone();
    line["version"] = (line["version"].as_u64().expect("a version") + 1).into();
    line["legal_basis"] = "restated".into();
    line
}

#[test]
fn a_register_is_stated_anew_while_it_serves() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let land = lines("land", 310);
    publish(&hub, "civil", &lines("civil", 300), &[]);
    publish(&hub, "land", &land[..300], &[]);
    let before = hub.folded();

    // Aborted: no trace.
    assert_eq!(hub.json(&with_reason(&["register", "redo", "--register", "land"]))["epoch"], 1);
    let again = hub.ask(&with_reason(&["register", "redo", "--register", "land"]));
    assert_eq!(again.status.code(), Some(3), "one at a time: {}", stderr(&again));
    publish(&hub, "land", &land[..50], &["--epoch", "1"]);
    assert_eq!(hub.json(&["status"])["digest"], before["digest"], "the old epoch serves on");
    hub.json(&with_reason(&["register", "abort", "--register", "land"]));
    assert_eq!(hub.json(&["status"])["digest"], before["digest"]);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    write_lines(&dir.path().join("late.ndjson"), &land[50..60]);
    let late = hub.ask(&["publish", "--register", "land", "--epoch", "1", "late.ndjson"]);
    assert_eq!(late.status.code(), Some(3), "an aborted epoch takes nothing: {}", stderr(&late));

    // Restated: 200 as they were, 20 otherwise, 10 new; one that is not restated changes meanwhile.
    assert_eq!(hub.json(&with_reason(&["register", "redo", "--register", "land"]))["epoch"], 2);
    let restated: Vec<Value> = land[..200]
        .iter()
        .cloned()
        .chain(land[200..220].iter().map(changed))
        .chain(land[300..].iter().cloned())
        .collect();
    publish(&hub, "land", &restated, &["--epoch", "2"]);
    publish(&hub, "land", &[changed(&land[250])], &[]);
    let early = hub.ask(&with_reason(&["register", "commit", "--register", "land"]));
    assert_eq!(early.status.code(), Some(3), "nobody has looked at it: {}", stderr(&early));
    let report = hub.json(&["register", "report", "--register", "land"]);
    let rows = report["records"].as_array().expect("rows");
    let of =
        |register: &str| rows.iter().find(|row| row["register"] == register && row["agency"] == "").expect("a row");
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    let counted = |register: &str| ["added", "changed", "removed"].map(|field| number(&of(register)[field]));
    assert_eq!(counted("land"), [10, 20, 79], "{report}");
    assert_eq!(counted("civil"), [0, 0, 0], "{report}");

    let surprise = hub.ask(&with_reason(&["register", "commit", "--register", "land"]));
    assert_eq!(surprise.status.code(), Some(3));
    assert!(stderr(&surprise).contains("79 of 300"), "{}", stderr(&surprise));
    let done = hub.json(&with_reason(&["register", "commit", "--register", "land", "--confirm"]));
    assert_eq!((&done["epoch"], &done["serving"]), (&2.into(), &true.into()), "{done}");
    let after = hub.folded();
    assert_eq!(after["basis"], "model 1, land epoch 2");
    assert_eq!(number(&after["records"]) + 79, number(&before["records"]) + 10);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    publish(&hub, "land", &[changed(&changed(&land[0]))], &[]);
    let after = hub.folded();
    assert_eq!(hub.stop().code(), Some(0));
    std::fs::remove_dir_all(dir.path().join("d/views")).expect("removable");
    let hub = Hub::start(dir.path());
    assert_eq!(hub.folded()["digest"], after["digest"], "all of it replays");
    drop(hub);
    let help = run(dir.path(), &["register", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("commit"));
}
