//! Contracts that cannot be taken, and rules that do not end.

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use wire::ingest::{Change, outcome};

use crate::client::{batch, changes, letters, publish};
use crate::hub::{Hub, configured, run, stderr};

/// A register whose one rule is `expression` over a list of words.
fn register_of(dir: &Path, expression: &str) {
    let proto = format!(
        r#"syntax = "proto3";
package hub.register.slow.v1;
import "buf/validate/validate.proto";
import "hub/contract/v1/options.proto";
option (hub.contract.v1.register) = {{ name: "population" title: "Slow" agency: "G01" freshness_seconds: 86400 }};
message Sample {{
  option (hub.contract.v1.record_type) = {{
    name: "sample" title: "Sample" freshness_seconds: 86400
    mention: {{ kind: "person" role: "holder" number: 1 }}
  }};
  option (buf.validate.message).cel = {{ id: "sample.slow" message: "words must be words" expression: "{expression}" }};
  string full_name = 1 [
    (buf.validate.field).required = true,
    (hub.contract.v1.field).identifies = FEATURE_FULL_NAME,
    (hub.contract.v1.field).asserts = "person.full_name"
  ];
  repeated string words = 2;
}}
"#
    );
    std::fs::create_dir_all(dir.join("out/hub/register/slow/v1")).expect("writable");
    std::fs::write(dir.join("out/hub/register/slow/v1/slow.proto"), proto).expect("writable");
}

fn register(hub: &Hub) -> std::process::Output {
    let file = "out/hub/register/slow/v1/slow.proto";
    hub.ask(&["contracts", "register", file, "--include", "out", "--reason", "a slow one", "--json"])
}

/// A record of it with so many words.
fn sample(good: &Change, id: usize, words: usize) -> Change {
    let mut payload = vec![0x0a, 4, b'N', b'a', b'm', b'e'];
    (0..words).for_each(|_| payload.extend([0x12, 1, b'w']));
    Change {
        record_id: format!("S-{id}"),
        record_type: "sample".into(),
        agency: String::new(),
        payload: Bytes::from(payload),
        ..good.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_rule_is_refused_or_bounded_and_other_registers_go_on() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    assert_eq!(run(dir.path(), &["contracts", "export", "--dir", "out"]).status.code(), Some(0));
    // Beyond what a rule may nest, it is no contract.
    register_of(dir.path(), "this.words.all(a, this.words.all(b, this.words.all(c, a != b || c != '')))");
    let refused = register(&hub);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("v1.Sample") && stderr(&refused).contains("nested loops"),
        "{}",
        stderr(&refused)
    );

    // Within it the work still grows with the square of the record.
    register_of(dir.path(), "this.words.all(a, this.words.all(b, a != '' || b != ''))");
    let taken = register(&hub);
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    let good = changes("civil", 40);
    let mut slow = hub.ingest("register/population").await;
    let small = publish(&mut slow, batch("population", vec![sample(&good[0], 0, 3)])).await.expect("answered");
    assert_eq!(letters(&small), "a", "{small:?}");
    let endless: Vec<_> = (0..100).map(|id| sample(&good[0], id + 1, 2_000)).collect();
    let publishing = tokio::spawn(async move { publish(&mut slow, batch("population", endless)).await });
    let mut civil = hub.ingest("register/civil").await;
    for change in &good {
        let result = publish(&mut civil, batch("civil", vec![change.clone()])).await.expect("answered");
        assert_eq!(letters(&result), "a", "another register goes on");
    }
    let result = publishing.await.expect("no panic").expect("answered");
    assert_eq!(letters(&result), "r".repeat(100));
    for outcome in &result.outcomes {
        let Some(outcome::Outcome::Rejected(rejected)) = &outcome.outcome else { panic!("refused: {outcome:?}") };
        let told = rejected.violations.iter().find(|violation| violation.message.contains("steps"));
        assert!(
            told.is_some_and(|violation| !violation.rule_id.is_empty()),
            "the rule is named, and why: {rejected:?}"
        );
    }
    assert_eq!(hub.folded()["records"], 41);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
}

#[test]
fn a_contract_that_breaks_many_promises_is_refused_in_one_readable_error() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    assert_eq!(run(dir.path(), &["contracts", "export", "--dir", "out"]).status.code(), Some(0));
    let path = dir.path().join("out/hub/register/civil/v1/civil.proto");
    // Every field gets another number.
    let mut text = String::new();
    for line in std::fs::read_to_string(&path).expect("exported").lines() {
        let moved = match line.trim_start().split_once(" = ") {
            Some((head, number)) if !head.starts_with("option") && number.starts_with(|c: char| c.is_ascii_digit()) => {
                line.replacen(" = ", " = 9", 1)
            }
            Some(_) | None => line.to_owned(),
        };
        writeln!(text, "{moved}").expect("writing to a string");
    }
    std::fs::write(&path, text).expect("writable");
    let file = "out/hub/register/civil/v1/civil.proto";
    let checked = hub.ask(&["contracts", "check", file, "--include", "out", "--json"]);
    assert_eq!(checked.status.code(), Some(3), "{}", stderr(&checked));
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("one JSON value");
    let breaks = checked["breaks"].as_array().map_or(0, Vec::len);
    assert!(breaks > 80, "{breaks}");
    let refused = hub.ask(&["contracts", "register", file, "--include", "out", "--reason", "slip"]);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    let told = stderr(&refused);
    assert!(told.contains(&format!("in {breaks} places")) && told.contains("FIELD_NO_DELETE"), "{told}");
    let listed = hub.json(&["contracts", "list"]);
    assert!(listed["contracts"].as_array().is_some_and(|all| all.iter().all(|c| c["registered_by"] == "built-in")));
    assert_eq!(hub.folded()["records"], 0, "the hub goes on");
}
