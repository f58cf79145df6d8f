//! An answer of the past, made again when everything has changed since.

use linkage::Model;
use serde_json::{Value, json};

use crate::hub::{Hub, configured, lines, stderr, write_lines};

const PURPOSE: [&str; 4] = ["--procedure", "1.001193", "--case", "HS-1"];

#[test]
fn an_answer_is_made_again_byte_by_byte_after_corrections_decisions_and_another_model() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let civil = lines("civil", 500);
    write_lines(&dir.path().join("civil.ndjson"), &civil);
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();
    let birth = civil.iter().find(|line| {
        line["record_type"] == "birth"
            && line["record"]["child"]["personal_id"].as_str().is_some_and(|id| id.len() == 12)
    });
    let birth = birth.expect("a nation has births");
    let id = birth["record"]["child"]["personal_id"].as_str().expect("a number");
    let get = ["get", "person", "--personal-id", id, "--fields", "full_name,birth_date,sex"];
    let answer = hub.json(&[&get[..], &PURPOSE].concat());
    let (position, access) = (answer["basis"]["access_position"].clone(), answer["basis"]["access_id"].clone());
    let position = position.as_str().expect("a place");

    // Cuts come once a second: what was known is known as of one.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let then = jiff::Timestamp::now().to_string();
    std::thread::sleep(std::time::Duration::from_millis(1_500));

    // A correction that replaces the version, another model, and other records.
    let mut corrected = birth.clone();
    corrected["version"] = json!(birth["version"].as_u64().expect("a version") + 1);
    corrected["replaces"] = birth["version"].clone();
    corrected["record"]["child"]["full_name"] = json!("Trần Văn Khác");
    write_lines(&dir.path().join("corrected.ndjson"), &[corrected]);
    assert_eq!(hub.json(&["publish", "--register", "civil", "corrected.ndjson"])["accepted"], 1);
    write_lines(&dir.path().join("health.ndjson"), &lines("health", 300));
    hub.json(&["publish", "--register", "health", "health.ndjson"]);
    std::fs::write(dir.path().join("strict.model"), Model::epoch_1().with_threshold(60 * 1024).to_bytes())
        .expect("writable");
    let reason = ["--reason", "stricter"];
    hub.json(&[&["link", "epoch", "propose", "strict.model"][..], &reason].concat());
    hub.json(&[&["link", "epoch", "switch", "2"][..], &reason].concat());
    hub.folded();
    let now = hub.json(&[&get[..], &PURPOSE].concat());
    assert_ne!(now["subject"]["attributes"], answer["subject"]["attributes"]);

    let of_then = hub.json(&[&get[..], &PURPOSE, &["--known-at", &then]].concat());
    let values = |answer: &Value| {
        let attributes = answer["subject"]["attributes"].as_array().expect("attributes");
        attributes.iter().map(|a| (a["name"].clone(), a["value"]["value"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&of_then), values(&answer));
    assert_eq!(of_then["subject"]["id"], answer["subject"]["id"]);
    assert_eq!(of_then["basis"]["model_epoch"], 1, "linked as then");
    let of_today = hub.json(&[&get[..], &PURPOSE, &["--known-at", &jiff::Timestamp::now().to_string()]].concat());
    assert_eq!(values(&of_today), values(&now));

    let again = hub.json(&["audit", "reproduce", position, "--case", "A-1"]);
    assert_eq!(again["exact"], true, "{again}");
    assert_eq!(again["answer"]["subject"], answer["subject"]);
    assert_eq!((&again["model_epoch"], &again["case_number"]), (&json!(1), &json!("HS-1")));
    let by_id = ["audit", "reproduce", position, "--case", "A-1", "--access-id", access.as_str().expect("an id")];
    assert_eq!(hub.json(&by_id)["answer"], again["answer"]);

    let portal = hub.ask(&["audit", "reproduce", position, "--case", "A-1", "--as", "portal/national"]);
    assert_eq!(portal.status.code(), Some(3), "{}", stderr(&portal));
    let nowhere = hub.ask(&["audit", "reproduce", "access/0/99999", "--case", "A-1"]);
    assert_ne!(nowhere.status.code(), Some(0), "{}", stderr(&nowhere));
    let list = ["accesses", "person", "--personal-id", id, "--procedure", "audit", "--case", "A-1"];
    let accesses = hub.json(&list);
    let seen = accesses["accesses"].as_array().expect("a list").iter();
    let seen =
        seen.filter(|access: &&Value| access["procedure"] == "audit.reproduce" && access["decision"] == "answered");
    assert_eq!(seen.count(), 2, "what was shown again is an access of its own: {accesses}");
}
