//! A register and its database: compared, looked up, and told what is wrong.

use std::fs;

use serde_json::{Value, json};

use crate::hub::{Hub, configured, lines, stderr, write_lines};

/// A hub with sixty births and the like, and what was published.
fn hub_with_records(dir: &std::path::Path) -> (Hub, Vec<Value>) {
    let hub = Hub::start(dir);
    let mut lines = lines("civil", 60);
    lines.sort_by(|a, b| a["record_id"].as_str().cmp(&b["record_id"].as_str()));
    write_lines(&dir.join("changes.ndjson"), &lines);
    let published = hub.ask(&["publish", "--register", "civil", "changes.ndjson"]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    hub.folded();
    (hub, lines)
}

fn csv(lines: &[Value]) -> String {
    let row = |line: &Value| format!("{},{}\n", line["record_id"].as_str().expect("an id"), line["version"]);
    std::iter::once("record_id,version\n".to_owned()).chain(lines.iter().map(row)).collect()
}

fn compared(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

#[test]
fn what_is_missing_extra_and_different_is_named_and_the_rest_counted() {
    let dir = configured();
    let (hub, lines) = hub_with_records(dir.path());
    fs::write(dir.path().join("heads.csv"), csv(&lines)).expect("writable");
    let same = hub.ask(&["compare", "--register", "civil", "heads.csv", "--json"]);
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
    assert_eq!((compared(&same)["equal"].as_u64(), compared(&same)["compared"].as_u64()), (Some(60), Some(60)));
    // What they state is the same, too.
    let content = hub.ask(&["compare", "--register", "civil", "changes.ndjson", "--content"]);
    assert_eq!(content.status.code(), Some(0), "{}", stderr(&content));

    let mut other = lines.clone();
    let extra = other.remove(7);
    other[20]["version"] = json!(other[20]["version"].as_u64().expect("a version") + 1);
    let different = other[20].clone();
    let mut missing = lines[0].clone();
    missing["record_id"] = json!("zz-missing");
    other.push(missing);
    fs::write(dir.path().join("other.csv"), csv(&other)).expect("writable");
    let differs = hub.ask(&["compare", "--register", "civil", "other.csv", "--json", "--differences", "all.ndjson"]);
    assert_eq!(differs.status.code(), Some(1), "{}", stderr(&differs));
    let found = compared(&differs);
    let count = |name: &str| found[name].as_u64().expect("a count");
    assert_eq!(
        [count("compared"), count("equal"), count("missing"), count("extra"), count("different")],
        [60, 58, 1, 1, 1]
    );
    let named = |what: &str| {
        let all = found["differences"].as_array().expect("a list");
        let one = all.iter().find(|d| d["difference"] == what).unwrap_or_else(|| panic!("no {what}: {found}"));
        one["record_id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(json!(named("missing")), "zz-missing");
    assert_eq!(json!(named("extra")), extra["record_id"]);
    assert_eq!(json!(named("different")), different["record_id"]);
    let kept = fs::read_to_string(dir.path().join("all.ndjson")).expect("written");
    assert_eq!(kept.lines().count(), 3);

    // One that states something else under the same version.
    let mut stated = lines.clone();
    stated[3]["reason"] = json!("other words");
    write_lines(&dir.path().join("stated.ndjson"), &stated);
    let content = compared(&hub.ask(&["compare", "--register", "civil", "stated.ndjson", "--content", "--json"]));
    assert_eq!((content["different"].as_u64(), content["equal"].as_u64()), (Some(1), Some(59)));
    assert_eq!(content["differences"][0]["other_statement"], true);
    hub.stop();
}

#[test]
fn a_file_that_is_not_in_order_is_refused_with_its_line_and_a_way_out() {
    let dir = configured();
    let (hub, mut lines) = hub_with_records(dir.path());
    lines.swap(10, 11);
    fs::write(dir.path().join("heads.csv"), csv(&lines)).expect("writable");
    let output = hub.ask(&["compare", "--register", "civil", "heads.csv"]);
    assert_eq!(output.status.code(), Some(2));
    let line = stderr(&output);
    assert!(line.starts_with("hub: line 13 does not come after") && line.contains("LC_ALL=C sort"), "{line}");
    hub.stop();
}

#[test]
fn only_the_publisher_of_a_register_or_an_auditor_with_a_case_compares_it() {
    let dir = configured();
    let (hub, lines) = hub_with_records(dir.path());
    fs::write(dir.path().join("heads.csv"), csv(&lines)).expect("writable");
    let as_caller = |caller: &str, more: &[&str]| {
        hub.ask(&[&["compare", "--register", "civil", "heads.csv", "--as", caller], more].concat()).status.code()
    };
    assert_eq!(as_caller("portal/national", &[]), Some(3));
    assert_eq!(as_caller("register/land", &[]), Some(3));
    assert_eq!(as_caller("auditor/main", &[]), Some(3));
    assert_eq!(as_caller("auditor/main", &["--case", "A-7"]), Some(0));
    let accesses = hub.ask(&["audit", "replay", "--case", "A-8"]);
    let text = String::from_utf8(accesses.stdout).expect("UTF-8");
    let seen: Vec<&str> = text.lines().filter(|line| line.contains("register.compare")).collect();
    assert_eq!(seen.len(), 4, "three refusals and an answer: {text}");
    hub.stop();
}

#[test]
fn a_register_learns_what_is_wrong_and_what_to_do() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let births = lines("civil", 100).into_iter().filter(|line| line["record_type"] == "birth");
    let mut lines: Vec<Value> = births.take(5).collect();
    lines.iter_mut().for_each(|line| line["effective_at"] = json!("2026-01-02T00:00:00Z"));
    let mut second = lines[0].clone();
    second["record_id"] = json!("zz-second");
    second["effective_at"] = json!("2026-02-02T00:00:00Z");
    lines.push(second);
    write_lines(&dir.path().join("changes.ndjson"), &lines);
    let published = hub.ask(&["publish", "--register", "civil", "changes.ndjson"]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    hub.folded();
    let found = hub.json(&["findings", "--register", "civil", "--criterion", "clean"]);
    let surplus = found["findings"].as_array().expect("a list").iter().find(|f| f["rule_id"] == "hub.surplus");
    let surplus = surplus.unwrap_or_else(|| panic!("no surplus: {found}"));
    assert_eq!((&surplus["record_id"], &surplus["other_record"]), (&json!("zz-second"), &lines[0]["record_id"]));
    assert_eq!((&surplus["other_register"], &surplus["group"]), (&json!("civil"), &json!("duplicate")));
    let text = hub.ask(&["findings", "--register", "civil"]);
    assert!(String::from_utf8(text.stdout).expect("UTF-8").contains("retract one of the two"));
    assert_eq!(hub.ask(&["findings", "--register", "civil", "--as", "portal/national"]).status.code(), Some(3));

    // The measures lead there, in a table and on a page.
    let worst = hub.json(&["quality", "--by", "criterion", "--worst", "1"]);
    assert_eq!(worst["rows"].as_array().map(Vec::len), Some(1));
    let command = worst["rows"][0]["findings"].as_str().expect("a command");
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    assert!(hub.json(&words)["findings"].as_array().is_some_and(|found| !found.is_empty()), "{command}");
    let page = hub.ask(&["quality", "--html", "quality.html"]);
    assert_eq!(page.status.code(), Some(0), "{}", stderr(&page));
    let html = fs::read_to_string(dir.path().join("quality.html")).expect("written");
    assert!(html.contains("hub findings --register civil --criterion") && !html.contains("src="));

    let heads = hub.json(&["heads", "--register", "civil", "zz-second", "nobody"]);
    let states: Vec<_> = heads["heads"].as_array().expect("a list").iter().map(|h| h["state"].clone()).collect();
    assert_eq!(states, ["stated", "absent"]);
    hub.stop();
}
