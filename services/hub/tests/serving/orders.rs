//! What an operator and a register order: policy, procedures, expected numbers.

use serde_json::{Value, json};

use crate::hub::{CONFIG, Hub, configured, lines, stderr, write_lines};

const ASK: [&str; 10] = [
    "get",
    "person",
    "--personal-id",
    "099190000025",
    "--fields",
    "full_name",
    "--procedure",
    "1.001193",
    "--case",
    "HS-1",
];

fn text(hub: &Hub, arguments: &[&str]) -> String {
    let output = hub.ask(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_policy_is_shown_replaced_and_in_force_and_a_broken_one_changes_nothing() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    assert_eq!(hub.ask(&ASK).status.code(), Some(1), "nobody has this number yet");
    let shown = hub.json(&["policy", "show"]);
    let document = text(&hub, &["policy", "show"]);
    assert_eq!(shown["document"], json!(document), "what is piped to a file is the document itself");
    assert_eq!(hub.ask(&["policy", "show", "--as", "portal/national"]).status.code(), Some(3));

    let without = document.replace("spiffe://hub.test/portal/national", "spiffe://hub.test/portal/other");
    std::fs::write(dir.path().join("policy.toml"), &without).expect("writable");
    let put = hub.json(&["policy", "put", "policy.toml", "--reason", "the portal has moved"]);
    let now = hub.json(&["policy", "show"]);
    assert_eq!((&now["policy"], &now["document"]), (&put["policy"], &json!(without)));
    assert_ne!(put["policy"], shown["policy"]);
    assert_eq!(hub.ask(&ASK).status.code(), Some(3), "who is not named may do nothing");

    std::fs::write(dir.path().join("policy.toml"), "version = 1\npolicies = 'permit everything'\n").expect("writable");
    let broken = hub.ask(&["policy", "put", "policy.toml", "--reason", "a mistake"]);
    assert_eq!(broken.status.code(), Some(3), "{}", stderr(&broken));
    assert_eq!(hub.json(&["policy", "show"])["policy"], put["policy"]);
    assert_eq!(hub.ask(&["policy", "put", "absent.toml", "--reason", "a mistake"]).status.code(), Some(2));
}

#[test]
fn procedures_are_listed_shown_and_replaced() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let codes = |hub: &Hub| -> Vec<String> {
        let listed = hub.json(&["procedures", "list"]);
        let rows = listed["procedures"].as_array().expect("a list").clone();
        rows.iter().filter_map(|row| row["code"].as_str().map(str::to_owned)).collect()
    };
    let before = codes(&hub);
    assert!(before.len() >= 10 && before.iter().any(|code| code == "1.001193"), "{before:?}");
    let birth = hub.json(&["procedures", "show", "1.001193"]);
    let items: Vec<&str> =
        birth["items"].as_array().expect("items").iter().filter_map(|item| item["item"].as_str()).collect();
    assert!(items.contains(&"mother_id"), "{birth}");
    assert!(text(&hub, &["procedures", "show", "1.001193"]).contains("person.personal_id"));
    assert_eq!(hub.ask(&["procedures", "show", "9.999999"]).status.code(), Some(3));

    let document = text(&hub, &["procedures", "show"]).replace("\"1.001193\"", "\"7.001193\"");
    std::fs::write(dir.path().join("procedures.toml"), document).expect("writable");
    let put = hub.json(&["procedures", "put", "procedures.toml", "--reason", "a new code"]);
    assert_eq!(put["procedures"], json!(before.len()));
    let after = codes(&hub);
    assert!(after.iter().any(|code| code == "7.001193") && !after.iter().any(|code| code == "1.001193"), "{after:?}");
}

#[test]
fn sufficient_is_measured_once_a_register_says_what_it_expects() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 100));
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();
    let sufficient = |hub: &Hub| {
        let quality = hub.json(&["quality", "--register", "civil"]);
        quality["rows"][0]["sufficient"].clone()
    };
    assert_eq!(sufficient(&hub), Value::Null, "no expected number, no measure");
    let expect = ["quality", "expect", "--register", "civil", "--record-type", "birth", "--objects", "1000"];
    let said = text(&hub, &expect);
    assert!(said.starts_with("civil/birth: 1000 expected, entry control/0/"), "{said}");
    hub.folded();
    let measured = sufficient(&hub).as_f64().expect("a measure");
    assert!(measured > 0.05 && measured <= 0.1, "{measured}");
    let foreign = hub.ask(&[&expect[..], &["--as", "register/land"]].concat());
    assert_eq!(foreign.status.code(), Some(3), "{}", stderr(&foreign));
}

/// The number under which a refused command says that its order waits.
fn waits(output: &std::process::Output) -> String {
    assert_eq!(output.status.code(), Some(3), "{}", stderr(output));
    let told = stderr(output);
    let number = told.split("hub orders approve ").nth(1).and_then(|rest| rest.split(' ').next());
    number.unwrap_or_else(|| panic!("no number: {told}")).to_owned()
}

#[test]
fn an_order_that_needs_a_second_person_counts_when_another_one_approves_it_also_after_a_restart() {
    let dir = configured();
    let config = format!("{CONFIG}[admin]\nsecond_person = [\"policy\", \"contract\", \"model_switch\"]\n");
    std::fs::write(dir.path().join("hub.toml"), config).expect("writable");
    let hub = Hub::start(dir.path());
    assert_eq!(text(&hub, &["orders", "list"]), "no order waits\n");
    let before = hub.json(&["policy", "show"]);
    let document = text(&hub, &["policy", "show"]);
    let without = document.replace("spiffe://hub.test/portal/national", "spiffe://hub.test/portal/other");
    std::fs::write(dir.path().join("policy.toml"), &without).expect("writable");
    let put = ["policy", "put", "policy.toml", "--reason", "the portal has moved"];
    let number = waits(&hub.ask(&put));
    assert_eq!(hub.json(&["policy", "show"])["policy"], before["policy"], "nothing counts yet");
    let listed = hub.json(&["orders", "list"]);
    let waiting = &listed["waiting"][0];
    assert_eq!((&waiting["order"], &waiting["reason"]), (&json!("policy"), &json!("the portal has moved")));
    assert!(waiting["actor"].as_str().is_some_and(|actor| actor.ends_with("operator/ops")), "{waiting}");

    let reason = ["--reason", "the change was read"];
    let own = hub.ask(&[&["orders", "approve", &number, "--as", "operator/ops"], &reason[..]].concat());
    assert!(own.status.code() == Some(3) && stderr(&own).contains("another person"), "{}", stderr(&own));
    let unpermitted = hub.ask(&[&["orders", "approve", &number, "--as", "auditor/main"], &reason[..]].concat());
    assert_eq!(unpermitted.status.code(), Some(3), "{}", stderr(&unpermitted));
    let rejected = waits(&hub.ask(&put));
    assert!(hub.stop().success());

    let hub = Hub::start(dir.path());
    assert!(text(&hub, &[&["orders", "reject", &rejected], &reason[..]].concat()).contains("never count"));
    assert!(text(&hub, &[&["orders", "approve", &number], &reason[..]].concat()).contains("counts from now on"));
    assert_eq!(hub.json(&["policy", "show"])["document"], json!(without));
    assert_eq!(hub.ask(&ASK).status.code(), Some(3), "who is not named may do nothing");
    let again = hub.ask(&[&["orders", "approve", &number], &reason[..]].concat());
    assert!(stderr(&again).contains("no order waits under number"), "{}", stderr(&again));
    let unknown = hub.ask(&["link", "epoch", "switch", "7", "--reason", "a slip"]);
    assert!(unknown.status.code() == Some(3) && !stderr(&unknown).contains("approve"), "{}", stderr(&unknown));
    assert!(hub.stop().success());

    let hub = Hub::start(dir.path());
    assert_eq!(hub.json(&["policy", "show"])["document"], json!(without), "the log says so");
    assert_eq!(text(&hub, &["orders", "list"]), "no order waits\n");
    let verified = hub.json(&["views", "verify"]);
    assert_eq!(verified["live"], verified["replay"]);
}

#[test]
fn a_contract_that_a_second_person_approved_takes_changes_and_can_be_fetched() {
    let dir = configured();
    let config = format!("{CONFIG}[admin]\nsecond_person = [\"contract\"]\n");
    std::fs::write(dir.path().join("hub.toml"), config).expect("writable");
    let hub = Hub::start(dir.path());
    std::fs::write(dir.path().join("population.binpb"), nation::population_descriptor_set()).expect("writable");
    let register = ["contracts", "register", "population.binpb", "--reason", "we join"];
    let number = waits(&hub.ask(&register));
    let people = lines("population", 20);
    write_lines(&dir.path().join("people.ndjson"), &people);
    let publish = ["publish", "--register", "population", "people.ndjson"];
    assert_ne!(hub.ask(&publish).status.code(), Some(0), "no contract is in force");
    hub.json(&["orders", "approve", &number, "--reason", "the contract was read"]);
    let listed = hub.json(&["contracts", "list"]);
    let found = listed["contracts"].as_array().expect("a list").iter().find(|c| c["register"] == "population");
    let by = found.and_then(|contract| contract["registered_by"].as_str()).expect("it is listed");
    assert!(by.ends_with("operator/ops"), "who gave the order: {by}");
    assert!(text(&hub, &["contracts", "show", "population"]).contains("residence"));
    assert_eq!(hub.json(&publish)["accepted"], 20);
}
