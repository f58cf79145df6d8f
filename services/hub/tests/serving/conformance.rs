//! The scripted publisher and portal against a hub.

use std::fs;

use crate::hub::{Hub, configured, stderr};

#[test]
fn a_hub_passes_its_own_conformance_and_says_so_as_junit() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let output = hub.ask(&["conformance", "--register", "civil", "--junit", "junit.xml", "--json"]);
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text} {}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!((report["failed"].as_u64(), report["skipped"].as_u64()), (Some(0), Some(0)), "{text}");
    let xml = fs::read_to_string(dir.path().join("junit.xml")).expect("written");
    let cases = report["cases"].as_array().expect("cases").len();
    assert_eq!(xml.matches("<testcase ").count(), cases);
    assert!(xml.contains(&format!("tests=\"{cases}\" failures=\"0\"")));

    // What was published is taken back.
    hub.folded();
    let quality = hub.json(&["quality", "--register", "civil"]);
    let records = quality["rows"][0]["records"].as_u64().unwrap_or_default();
    assert_eq!(records, 0, "{quality}");
    // A caller who may not publish fails the publisher's cases, and is told so.
    let other = hub.ask(&["conformance", "--register", "civil", "--as", "register/land", "--no-portal"]);
    assert_eq!(other.status.code(), Some(1), "{}", stderr(&other));
    hub.stop();
}
