//! Bad input of publishers and askers: a typed refusal, and neighbours unharmed.
//!
//! Where each kind of bad input is tried on the real process, by module of this program:
//!
//! | bad input | test |
//! |---|---|
//! | unknown register, type or field number; wrong wire type | `wire_input::changes_that_break_their_contract_are_refused_one_by_one_and_kept` |
//! | truncated, oversized, empty records; invalid UTF-8 | the same |
//! | truncated, oversized, empty messages; invalid UTF-8 | `wire_input::bytes_that_are_no_message_are_refused_by_name_and_change_nothing` |
//! | same version, other bytes | `wire_input::changes_that_break_their_contract_are_refused_one_by_one_and_kept` |
//! | wrong, expired or no certificate; no TLS | `connections::wrong_expired_future_and_missing_certificates_are_refused_and_the_reason_is_logged` |
//! | a publisher that writes another's register | `another_registers_certificate_may_not_write`, and in `wire_input` |
//! | no purpose, unknown field, ambiguous key | `wire_input::questions_that_cannot_be_answered_say_why_and_are_recorded` |
//! | huge batch | `wire_input::a_huge_batch_is_refused_by_its_bound_and_memory_stays_bounded` |
//! | a reader that stops reading | `wire_input::a_reader_that_stops_holds_up_its_own_stream_and_nobody_else` |
//! | a publisher that vanishes mid-batch | `wire_input::a_publisher_that_vanishes_anywhere_leaves_whole_batches` |
//! | a broken line of NDJSON or CSV | `broken_lines_are_told_by_number_and_field_and_neighbours_go_on`, `a_broken_csv_line_is_told_and_its_neighbours_go_on` |
//! | a damaged configuration, a port in use | `start::a_damaged_configuration_keeps_it_from_starting`, `start::a_port_in_use_is_named` |
//! | an incompatible contract | `an_incompatible_contract_is_refused_with_each_break_named`, and with hundreds of breaks in `contracts` |
//! | an endless CEL rule | `contracts::an_endless_rule_is_refused_or_bounded_and_other_registers_go_on` |
//! | kill -9 while publishing | `kill` of suite `faults` |
//! | a full disk, a failed write | `full_disk`, `flush` of suite `faults`; `full_disk` of the tests of `ingest`; `crash` of those of `event-log` |
//! | views that are emptied, damaged, of another log or version | `views_trust`, `start::emptied_views_are_folded_again_and_the_log_says_so` |
//! | personal values in places that are told | `canary` |

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::hub::{Hub, command, configured, lines, stderr, write_lines};

#[test]
fn broken_lines_are_told_by_number_and_field_and_neighbours_go_on() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let mut lines = lines("civil", 6);
    lines[1]["record"]["no_such_field"] = json!("canary-value-7");
    lines[3].as_object_mut().expect("an object").remove("version");
    let mut text: Vec<String> = lines.iter().map(Value::to_string).collect();
    text[4] = "{\"record_id\": ".to_owned();
    std::fs::write(dir.path().join("civil.ndjson"), text.join("\n")).expect("writable");
    let published = hub.ask(&["publish", "--register", "civil", "civil.ndjson", "--outcomes", "out", "--json"]);
    assert_eq!(published.status.code(), Some(1));
    let tally: Value = serde_json::from_slice(&published.stdout).expect("one JSON value");
    assert_eq!((&tally["accepted"], &tally["broken"]), (&json!(3), &json!(3)), "{tally}");
    let told = stderr(&published);
    assert!(told.contains("line 2: record: no_such_field"), "{told}");
    assert!(told.contains("line 4: version: is missing") && told.contains("line 5: not JSON"), "{told}");
    assert!(!told.contains("canary"), "{told}");
    let outcomes = std::fs::read_to_string(dir.path().join("out")).expect("written");
    assert_eq!(outcomes.lines().filter(|line| line.contains("broken")).count(), 3, "{outcomes}");
}

#[test]
fn a_broken_csv_line_is_told_and_its_neighbours_go_on() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let lines = lines("civil", 200);
    let deaths: Vec<&Value> = lines.iter().filter(|line| line["record_type"] == "death").take(3).collect();
    assert_eq!(deaths.len(), 3, "a nation has deaths");
    // Only paths that lead to single values; what a death needs stands among them.
    let mut paths = std::collections::BTreeSet::new();
    deaths.iter().for_each(|death| leaves("", &death["record"], &mut paths));
    let mut csv = csv::Writer::from_path(dir.path().join("deaths.csv")).expect("writable");
    let envelope = ["record_id", "version", "effective_at", "registered_at", "agency"];
    csv.write_record(envelope.iter().copied().chain(paths.iter().map(String::as_str))).expect("a row");
    let row = |death: &Value| -> Vec<String> {
        let outer = envelope.iter().map(|key| cell(&death[*key]));
        outer.chain(paths.iter().map(|path| cell(at(&death["record"], path)))).collect()
    };
    csv.write_record(row(deaths[0])).expect("a row");
    csv.flush().expect("writable");
    drop(csv);
    let mut file = std::fs::File::options().append(true).open(dir.path().join("deaths.csv")).expect("there");
    writeln!(file, "only,three,cells").expect("writable");
    let mut rest = csv::WriterBuilder::new().has_headers(false).from_writer(file);
    rest.write_record(row(deaths[1])).expect("a row");
    let mut bad = row(deaths[2]);
    bad[1] = "many".to_owned();
    rest.write_record(bad).expect("a row");
    rest.flush().expect("writable");
    drop(rest);

    let published = hub.ask(&["publish", "--register", "civil", "--record-type", "death", "deaths.csv", "--json"]);
    let told = stderr(&published);
    assert_eq!(published.status.code(), Some(1), "{told}");
    let tally: Value = serde_json::from_slice(&published.stdout).expect("one JSON value");
    assert_eq!((&tally["accepted"], &tally["broken"]), (&json!(2), &json!(2)), "{tally} {told}");
    assert!(told.contains("line 3: has 3 cells"), "{told}");
    assert!(told.contains("line 5: version: must be a whole number"), "{told}");
}

fn leaves(path: &str, value: &Value, out: &mut std::collections::BTreeSet<String>) {
    let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| leaves(&inner(key), value, out)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(at, value)| leaves(&inner(&at.to_string()), value, out))
        }
        Value::Null => {}
        _ => {
            out.insert(path.to_owned());
        }
    }
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .fold(value, |value, step| step.parse::<usize>().map_or_else(|_| &value[step], |index| &value[index]))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn standard_input_is_taken_and_a_refused_change_is_kept_and_driven_again() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let mut lines = lines("civil", 3);
    let role = lines[1]["record"]
        .as_object()
        .expect("a record")
        .iter()
        .find_map(|(key, value)| value["personal_id"].as_str().map(|_| key.clone()));
    let role = role.unwrap_or_else(|| panic!("someone with a number: {}", lines[1]));
    lines[1]["record"][role.as_str()]["personal_id"] = json!("12");
    let mut child = command(
        &dir.path().join("."),
        &[
            "publish",
            "--register",
            "civil",
            "-",
            "--config",
            "hub.toml",
            "--endpoint",
            &format!("https://{}", hub.address()),
            "--json",
        ],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    for line in &lines {
        writeln!(stdin, "{line}").expect("taken");
    }
    drop(stdin);
    let published = child.wait_with_output().expect("ends");
    assert_eq!(published.status.code(), Some(3), "{}", stderr(&published));
    let tally: Value = serde_json::from_slice(&published.stdout).expect("one JSON value");
    assert_eq!((&tally["accepted"], &tally["rejected"]), (&json!(2), &json!(1)), "{tally}");

    let listed = hub.json(&["rejected", "--register", "civil"]);
    let violations = listed["changes"][0]["violations"].as_array().expect("reasons").clone();
    assert!(violations.iter().any(|v| v["field_path"] == format!("{role}.personal_id")), "{listed}");
    let driven = hub.ask(&["rejected", "--register", "civil", "--redrive", "--json"]);
    assert_eq!(driven.status.code(), Some(3), "by the same contract it is refused again: {}", stderr(&driven));
}

#[test]
fn another_registers_certificate_may_not_write() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 5));
    let published = hub.ask(&["publish", "--register", "civil", "civil.ndjson", "--as", "register/land", "--json"]);
    assert_eq!(published.status.code(), Some(3), "{}", stderr(&published));
    assert_eq!(hub.folded()["records"], 0);
    let commanded = hub.ask(&["views", "verify", "--as", "register/land"]);
    assert_eq!(commanded.status.code(), Some(3), "{}", stderr(&commanded));
}

#[test]
fn without_a_certificate_of_the_hubs_authority_nobody_is_let_in() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let other = configured();
    assert_eq!(crate::hub::run(other.path(), &["dev-certs", "--config", "hub.toml"]).status.code(), Some(0));
    let certs = other.path().join("d/dev-certs");
    let path = |name: &str| certs.join(name).display().to_string();
    let (cert, key) = (path("operator-ops.pem"), path("operator-ops.key"));
    let stranger = hub.ask(&["status", "--cert", &cert, "--key", &key]);
    assert_eq!(stranger.status.code(), Some(4), "{}", stderr(&stranger));
    let plain = crate::hub::run(dir.path(), &["status", "--endpoint", &format!("http://{}", hub.address())]);
    assert_eq!(plain.status.code(), Some(4), "{}", stderr(&plain));
    assert_eq!(hub.folded()["records"], 0, "the hub goes on");
}

#[test]
fn an_incompatible_contract_is_refused_with_each_break_named() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    assert_eq!(crate::hub::run(dir.path(), &["contracts", "export", "--dir", "out"]).status.code(), Some(0));
    let path = dir.path().join("out/hub/register/civil/v1/civil.proto");
    let text = std::fs::read_to_string(&path).expect("exported");
    // Another number for a field: the old one is gone.
    let field = text.lines().find(|line| line.starts_with("  string ") && line.contains(" = ")).expect("a text field");
    std::fs::write(&path, text.replacen(field, &field.replacen(" = ", " = 90", 1), 1)).expect("writable");
    let file = "out/hub/register/civil/v1/civil.proto";
    let checked = hub.ask(&["contracts", "check", file, "--include", "out", "--json"]);
    assert_eq!(checked.status.code(), Some(3), "{}", stderr(&checked));
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{}", stderr(&checked)));
    assert!(
        checked["breaks"].as_array().is_some_and(|breaks| breaks.iter().any(|b| b["rule_id"] == "FIELD_NO_DELETE")),
        "{checked}"
    );
    let registered = hub.ask(&["contracts", "register", file, "--include", "out", "--reason", "slip"]);
    assert_eq!(registered.status.code(), Some(3));
    assert!(stderr(&registered).contains("FIELD_NO_DELETE"), "{}", stderr(&registered));
    std::fs::write(dir.path().join("junk.binpb"), [0xff; 64]).expect("writable");
    let junk = hub.ask(&["contracts", "register", "junk.binpb", "--reason", "slip"]);
    assert_eq!(junk.status.code(), Some(3), "{}", stderr(&junk));
}

#[test]
fn a_question_needs_its_fields_and_a_known_purpose() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let ask = |procedure: &str, fields: &str| {
        hub.ask(&[
            "get",
            "person",
            "--personal-id",
            "099000000001",
            "--fields",
            fields,
            "--procedure",
            procedure,
            "--case",
            "HS-1",
        ])
    };
    let unknown = ask("9.999999", "full_name");
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));
    let field = ask("1.001193", "no_such_field");
    assert_eq!(field.status.code(), Some(3), "{}", stderr(&field));
    let nobody = ask("1.001193", "full_name");
    assert_eq!(nobody.status.code(), Some(1), "{}", stderr(&nobody));
}
