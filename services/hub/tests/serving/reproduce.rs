//! An answer of the past, made again when everything has changed since.

use linkage::Model;
use serde_json::{Value, json};
use wire::query::{CheckProcedureRequest, Purpose, SubjectKey, subject_key};

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
    let (birth, id) = birth(&civil);
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

/// A birth that names a child with a number.
fn birth(lines: &[Value]) -> (&Value, &str) {
    let found = lines.iter().find_map(|line| {
        let number = line["record"]["child"]["personal_id"].as_str().filter(|id| id.len() == 12)?;
        (line["record_type"] == "birth").then_some((line, number))
    });
    found.expect("a nation has births")
}

/// The JSON of a command, whatever its exit code.
fn told(hub: &Hub, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = hub.ask(&[arguments, &["--json"]].concat());
    let json = serde_json::from_slice(&output.stdout);
    (output.status.code(), json.unwrap_or_else(|_| panic!("{arguments:?}: {}", stderr(&output))))
}

fn place(answer: &Value) -> &str {
    answer["basis"]["access_position"].as_str().expect("a place")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_in_either_language_and_a_search_are_made_again_and_compared_field_by_field() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let civil = lines("civil", 400);
    write_lines(&dir.path().join("civil.ndjson"), &civil);
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();
    let (birth, id) = birth(&civil);
    let child = &birth["record"]["child"];
    let (name, born) = (child["full_name"].as_str().expect("a name"), child["birth_date"].as_str().expect("a date"));

    // A role that names a subject, one that names nobody, and one that is left out.
    let (of_child, nobody) = (format!("child=personal:{id}"), "mother=personal:099999999999");
    let check = ["check", "1.001193", "--case", "HS-2", "--role", &of_child, "--role", nobody];
    let (_, checked) = told(&hub, &check);
    let key = SubjectKey { key: Some(subject_key::Key::PersonalId(id.to_owned())) };
    let mut request = tonic::Request::new(CheckProcedureRequest {
        purpose: Some(Purpose { procedure: "1.001193".into(), case_number: "HS-3".into() }),
        roles: [("child".to_owned(), key)].into(),
        ..CheckProcedureRequest::default()
    });
    request.metadata_mut().insert("accept-language", "vi-VN".parse().expect("ASCII"));
    let vietnamese = hub.query("portal/national").await.check_procedure(request).await.expect("granted").into_inner();
    assert_eq!(vietnamese.title, "Đăng ký khai sinh");
    let search = ["search", "person", "--name", name, "--birth", &born[born.len() - 4..]];
    let (code, found) = told(&hub, &[&search[..], &PURPOSE].concat());
    assert_eq!(code, Some(0), "{found}");

    // Everything changes.
    let mut corrected = birth.clone();
    corrected["version"] = json!(birth["version"].as_u64().expect("a version") + 1);
    corrected["replaces"] = birth["version"].clone();
    corrected["record"]["child"]["full_name"] = json!("Trần Văn Khác");
    write_lines(&dir.path().join("corrected.ndjson"), &[corrected]);
    assert_eq!(hub.json(&["publish", "--register", "civil", "corrected.ndjson"])["accepted"], 1);
    hub.folded();

    let again = hub.json(&["audit", "reproduce", place(&checked), "--case", "A-1"]);
    assert_eq!((&again["exact"], &again["action"]), (&json!(true), &json!("check_procedure")), "{again}");
    assert_eq!(again["checked"]["items"], checked["items"]);
    let position = vietnamese.basis.expect("a basis").access_position;
    let again = hub.json(&["audit", "reproduce", &position, "--case", "A-1"]);
    assert_eq!((&again["exact"], &again["checked"]["title"]), (&json!(true), &json!("Đăng ký khai sinh")), "{again}");
    assert_eq!(again["obstacles"], json!([]));
    std::fs::write(dir.path().join("found.json"), found.to_string()).expect("writable");
    let again = hub.json(&["audit", "reproduce", "--response", "found.json", "--case", "A-1"]);
    assert_eq!((&again["exact"], &again["found"]["hits"]), (&json!(true), &found["hits"]), "{again}");
    assert!(again["compared"]["fields"].as_u64() > Some(3) && again["compared"]["differences"] == json!([]), "{again}");

    // What a portal shows as its answer, and was not the answer, is named by its field.
    let mut other = found.clone();
    other["hits"][0]["records"] = json!(77);
    std::fs::write(dir.path().join("other.json"), other.to_string()).expect("writable");
    let (code, again) = told(&hub, &["audit", "reproduce", "--response", "other.json", "--case", "A-1"]);
    assert_eq!((code, &again["exact"]), (Some(1), &json!(true)), "{again}");
    let differences = again["compared"]["differences"].as_array().expect("a list");
    let field = differences[0]["field"].as_str().expect("a path");
    assert!(differences.len() == 1 && field.starts_with("hits[") && field.ends_with("].records"), "{again}");
    let text = hub.ask(&["audit", "reproduce", "--response", "other.json", "--case", "A-1"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("1 differ"), "{}", stderr(&text));

    let list = hub.json(&["accesses", "person", "--personal-id", id, "--procedure", "audit", "--case", "A-1"]);
    let audits = list["accesses"].as_array().expect("a list").iter().filter(|a| a["procedure"] == "audit.reproduce");
    assert!(audits.count() >= 3, "what was shown again is an access of its own: {list}");
}

#[test]
fn an_answer_from_a_record_that_was_erased_since_says_which_record_is_missing() {
    let dir = configured();
    let config = std::fs::read_to_string(dir.path().join("hub.toml")).expect("written");
    std::fs::write(dir.path().join("hub.toml"), config + "[keys]\nsecond_person = false\n").expect("writable");
    let hub = Hub::start(dir.path());
    let civil = lines("civil", 300);
    write_lines(&dir.path().join("civil.ndjson"), &civil);
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();
    let (birth, id) = birth(&civil);
    let get = ["get", "person", "--personal-id", id, "--fields", "full_name"];
    let answer = hub.json(&[&get[..], &PURPOSE].concat());
    let role = format!("child=personal:{id}");
    let (_, checked) = told(&hub, &["check", "1.001193", "--case", "HS-2", "--role", &role]);
    let record = format!("civil/{}", birth["record_id"].as_str().expect("an id"));
    hub.json(&["audit", "erase", "--record", &record, "--reason", "court order 12"]);
    for given in [&answer, &checked] {
        let (code, again) = told(&hub, &["audit", "reproduce", place(given), "--case", "A-1"]);
        assert_eq!((code, &again["exact"]), (Some(1), &json!(false)), "{again}");
        let obstacles = again["obstacles"].as_array().expect("a list");
        assert_eq!((obstacles.len(), &obstacles[0]["reason"]), (1, &json!("record_erased")), "{again}");
        assert_eq!(obstacles[0]["record"].as_str().map(str::len), Some(32), "{again}");
    }
}
