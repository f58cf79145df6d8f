//! A day of a hub: published, asked, checked, verified, stopped, started again.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::hub::{CONFIG, Hub, command, configured, lines, run, stderr, write_lines};

const PURPOSE: [&str; 4] = ["--procedure", "1.001193", "--case", "HS-1"];

/// A birth whose child and mother have personal numbers.
fn birth(lines: &[Value]) -> &Value {
    let has_id =
        |line: &&Value, role: &str| line["record"][role]["personal_id"].as_str().is_some_and(|id| id.len() == 12);
    lines.iter().find(|line| line["record_type"] == "birth" && has_id(line, "child")).expect("a nation has births")
}

#[test]
fn what_is_published_is_found_checked_verified_and_survives_a_stop() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let lines = lines("civil", 400);
    write_lines(&dir.path().join("civil.ndjson"), &lines);

    let published = hub.json(&["publish", "--register", "civil", "civil.ndjson", "--batch", "50", "--resume", "done"]);
    assert_eq!((&published["accepted"], &published["broken"]), (&json!(400), &json!(0)), "{published}");
    assert_eq!(std::fs::read_to_string(dir.path().join("done")).expect("written"), "400\n");
    let resumed = hub.json(&["publish", "--register", "civil", "civil.ndjson", "--resume", "done"]);
    assert_eq!(resumed["answered"], 0, "all of it was acknowledged before");
    let again = hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    assert_eq!((&again["accepted"], &again["duplicate"]), (&json!(0), &json!(400)), "{again}");

    let status = hub.folded();
    assert_eq!(status["records"], 400, "{status}");
    assert!(status["subjects_persons"].as_u64() > Some(400), "{status}");

    let child = &birth(&lines)["record"]["child"];
    let id = child["personal_id"].as_str().expect("a personal number");
    let key = ["--personal-id", id, "--fields", "full_name,birth_date"];
    let got = hub.json(&[&["get", "person"][..], &key, &PURPOSE].concat());
    let name = got["subject"]["attributes"].as_array().and_then(|all| all.iter().find(|a| a["name"] == "full_name"));
    let name = name.unwrap_or_else(|| panic!("a name: {got}"));
    assert_eq!(name["value"]["source"]["register"], "civil", "{got}");
    let text = hub.ask(&[&["get", "person"][..], &key, &PURPOSE].concat());
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.contains("full_name") && !text.contains('\x1b'), "{text}");

    let role = format!("mother=personal:{id}");
    let checked = hub.ask(&["check", "1.001193", "--case", "HS-1", "--role", &role, "--json"]);
    assert_eq!(checked.status.code(), Some(1), "a procedure with something missing: {}", stderr(&checked));
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("one JSON value");
    let states: Vec<&str> =
        checked["items"].as_array().expect("items").iter().filter_map(|item| item["state"].as_str()).collect();
    assert!(states.contains(&"ITEM_STATE_NOT_CONNECTED") || states.contains(&"ITEM_STATE_MISSING"), "{states:?}");

    let refused =
        hub.ask(&[&["get", "person"][..], &["--personal-id", id, "--fields", "insurance_no"], &PURPOSE].concat());
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));

    let accesses = hub.json(&["accesses", "person", "--personal-id", id, "--case", "A-1"]);
    let accesses = accesses["accesses"].as_array().expect("a list").clone();
    assert!(accesses.iter().any(|a| a["action"] == "get_subject" && a["case_number"] == "HS-1"), "{accesses:?}");

    let quality = hub.json(&["quality"]);
    assert!(
        quality["rows"].as_array().is_some_and(|rows| rows.iter().any(|row| row["register"] == "civil")),
        "{quality}"
    );

    let verified = hub.json(&["views", "verify"]);
    assert_eq!(verified["equal"], true, "{verified}");
    let other = hub.json(&["views", "verify", "--store", "sled"]);
    assert_eq!(other["replay_digest"], verified["replay_digest"], "whichever the store");

    assert_eq!(hub.json(&["views", "verify", "--as", "auditor/main"])["equal"], true, "an auditor proves it too");
    assert_eq!(hub.ask(&["views", "verify", "--as", "portal/national"]).status.code(), Some(3));

    let before = hub.folded();
    assert_eq!(hub.stop().code(), Some(0));
    let again = Hub::start(dir.path());
    let after = again.folded();
    for field in ["digest", "records", "mentions", "subjects_persons"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(again.stop().code(), Some(0));
}

#[test]
fn a_killed_hub_has_everything_that_was_acknowledged() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 300));
    assert_eq!(hub.json(&["publish", "--register", "civil", "civil.ndjson"])["accepted"], 300);
    hub.signal("-KILL");
    drop(hub);
    let again = Hub::start(dir.path());
    assert_eq!(again.folded()["records"], 300);
    assert_eq!(again.json(&["publish", "--register", "civil", "civil.ndjson"])["duplicate"], 300);
    assert_eq!(again.json(&["views", "verify"])["equal"], true);
}

#[test]
fn publishing_goes_on_when_a_killed_hub_is_back() {
    let dir = configured();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let fixed = CONFIG.replace("127.0.0.1:0", &free.to_string());
    std::fs::write(dir.path().join("hub.toml"), fixed).expect("writable");
    let hub = Hub::start(dir.path());
    let lines: Vec<String> = lines("civil", 300).iter().map(|line| format!("{line}\n")).collect();
    let arguments = ["publish", "--register", "civil", "-", "--batch", "20", "--config", "hub.toml", "--json"];
    let mut publisher = command(dir.path(), &arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = publisher.stdin.take().expect("piped");
    input.write_all(lines[..100].concat().as_bytes()).expect("it reads");
    while hub.folded()["records"] != 100 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    hub.signal("-KILL");
    drop(hub);
    input.write_all(lines[100..200].concat().as_bytes()).expect("it reads");
    let hub = Hub::start(dir.path());
    input.write_all(lines[200..].concat().as_bytes()).expect("it reads");
    drop(input);
    let ended = publisher.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    let tally: Value = serde_json::from_slice(&ended.stdout).expect("one JSON value");
    assert_eq!(tally["answered"], 300, "{tally}");
    assert!(stderr(&ended).contains("trying again in"), "{}", stderr(&ended));
    assert_eq!(hub.folded()["records"], 300);
}

#[test]
fn a_register_that_comes_at_run_time_is_published_and_asked_for() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let lines = lines("population", 200);
    write_lines(&dir.path().join("population.ndjson"), &lines);
    let unknown = hub.ask(&["publish", "--register", "population", "population.ndjson"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("'population' has no contract"), "{}", stderr(&unknown));

    std::fs::write(dir.path().join("population.binpb"), nation::population_descriptor_set()).expect("writable");
    assert_eq!(hub.ask(&["contracts", "check", "population.binpb"]).status.code(), Some(0));
    let registered = hub.json(&["contracts", "register", "population.binpb", "--reason", "fourth register"]);
    assert_eq!((&registered["new_register"], &registered["unchanged"]), (&json!(true), &json!(false)));
    let listed = hub.json(&["contracts", "list"]);
    let population = listed["contracts"].as_array().and_then(|all| all.iter().find(|c| c["register"] == "population"));
    assert_eq!(population.map(|c| &c["registered_by"]), Some(&json!("spiffe://hub.test/operator/ops")));
    let again = hub.json(&["contracts", "register", "population.binpb", "--reason", "again"]);
    assert_eq!(again["unchanged"], true);

    let published = hub.json(&["publish", "--register", "population", "population.ndjson"]);
    assert_eq!(published["accepted"], 200, "{published}");
    assert_eq!(hub.folded()["records"], 200);
    let id = lines.iter().find_map(|line| line["record"]["personal_id"].as_str().filter(|id| id.len() == 12));
    let id = id.unwrap_or_else(|| panic!("a personal number: {}", lines[0]));
    let got = hub.json(&[
        "get",
        "person",
        "--personal-id",
        id,
        "--fields",
        "residence",
        "--procedure",
        "1.001193",
        "--case",
        "HS-1",
    ]);
    assert_eq!(got["subject"]["attributes"][0]["value"]["source"]["register"], "population", "{got}");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
}

#[test]
fn unit_lists_are_imported_in_their_order() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let nation = nation::Nation::new(nation::Config { persons: 100, seed: 1 }).expect("within bounds");
    let lists = nation.unit_lists();
    for list in &lists {
        for (name, text) in &list.files {
            std::fs::write(dir.path().join(name), text).expect("writable");
        }
    }
    let import = |at: usize| {
        let list = &lists[at];
        let names: Vec<&str> = list.files.iter().map(|(name, _)| *name).collect();
        let mut arguments = vec![
            "units",
            "import",
            "--list-version",
            list.version,
            "--valid-from",
            list.valid_from,
            "--reason",
            "reform",
        ];
        if !list.previous.is_empty() {
            arguments.extend(["--previous", list.previous]);
        }
        arguments.extend(names);
        hub.ask(&arguments)
    };
    let early = import(1);
    assert_eq!(early.status.code(), Some(3), "the list before is not known");
    assert!(stderr(&early).contains("import that one first"), "{}", stderr(&early));
    assert_eq!(import(0).status.code(), Some(0));
    assert_eq!(import(1).status.code(), Some(0));
    assert_eq!(import(1).status.code(), Some(0), "importing once more changes nothing");
    let listed = hub.json(&["units", "list"]);
    assert_eq!(listed["lists"].as_array().map(Vec::len), Some(2));
    assert!(listed["lists"][1]["split"].as_u64() > Some(0), "{listed}");
}

#[test]
fn exported_contracts_compile_and_register_as_what_is_in_force() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    assert_eq!(run(dir.path(), &["contracts", "export", "--dir", "out"]).status.code(), Some(0));
    let land = "out/hub/register/land/v1/land.proto";
    let registered = hub.json(&["contracts", "register", land, "--include", "out", "--reason", "the same"]);
    assert_eq!(registered["unchanged"], true, "{registered}");
    let shown = hub.json(&["contracts", "show", "land"]);
    assert_eq!(shown["register"], "land");
}
