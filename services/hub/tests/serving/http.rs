//! The API as JSON over HTTP, asked with curl: the same certificates, permits, answers and accesses as over gRPC.

use std::io::Read as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::hub::{Hub, configured, lines, stderr, write_lines};

const QUERY: &str = "/hub.query.v1.QueryService";

/// What curl was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        found.next().unwrap_or_else(|| panic!("no {name}: {}", self.head))
    }
}

fn curl(hub: &Hub, caller: &str, path: &str, more: &[&str]) -> Command {
    let certs = hub.dir.join("d/dev-certs");
    let paths = identity::CertPaths::dev_client(&certs, caller);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--cacert"]).arg(certs.join("ca.pem"));
    curl.arg("--cert").arg(paths.cert).arg("--key").arg(paths.key);
    curl.args(more).arg(format!("https://{}{path}", hub.address()));
    curl
}

fn get(hub: &Hub, caller: &str, path: &str, more: &[&str]) -> Answer {
    let output = curl(hub, caller, path, &[&["--include"], more].concat()).output().expect("curl is there");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn post(hub: &Hub, caller: &str, path: &str, body: &Value, more: &[&str]) -> Answer {
    let body = body.to_string();
    get(hub, caller, path, &[&["--header", "Content-Type: application/json", "--data", body.as_str()], more].concat())
}

fn question(subject: &str, fields: &[&str]) -> Value {
    let purpose = json!({ "procedure": "1.000894", "caseNumber": "HS-1" });
    json!({ "kind": "person", "key": { "subject": subject }, "purpose": purpose, "fields": fields })
}

/// A hub with some civil records, and the id of a person.
fn with_persons(dir: &std::path::Path) -> (Hub, String) {
    let hub = Hub::start(dir);
    write_lines(&dir.join("civil.ndjson"), &lines("civil", 50));
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();
    let told = curl(&hub, "portal/national", &format!("{QUERY}/Watch"), &["--no-buffer"]);
    let watched = listen(told, &json!({ "kind": "person", "purpose": { "procedure": "1.000894", "caseNumber": "W" } }));
    let subject = watched["changes"]["changes"][0]["subject"].as_str().expect("a subject").to_owned();
    (hub, subject)
}

/// Listens until the first changes have come.
fn listen(mut curl: Command, request: &Value) -> Value {
    let request = request.to_string();
    curl.args(["--header", "Content-Type: application/json", "--data", &request]).stdout(Stdio::piped());
    let mut child = curl.spawn().expect("curl is there");
    let mut out = child.stdout.take().expect("piped");
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    let found = loop {
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
        let mut messages = data.map(|data| serde_json::from_str::<Value>(data).expect("JSON"));
        if let Some(found) = messages.find(|message| message["changes"]["changes"].is_array()) {
            break found;
        }
        let read = out.read(&mut piece).expect("a pipe");
        assert!(read > 0, "the stream ended: {text}");
        text.push_str(std::str::from_utf8(&piece[..read]).expect("ids are ASCII"));
    };
    child.kill().expect("a child");
    child.wait().expect("a child");
    found
}

#[test]
fn json_gets_what_grpc_gets_and_every_answer_and_refusal_is_an_access() {
    let dir = configured();
    let (hub, subject) = with_persons(dir.path());
    let path = format!("{QUERY}/GetSubject");
    for version in ["--http1.1", "--http2"] {
        let answer = post(&hub, "portal/national", &path, &question(&subject, &["full_name"]), &[version]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let by_json = answer.json();
        let arguments = ["--procedure", "1.000894", "--case", "HS-1", "--fields", "full_name"];
        let by_grpc = hub.json(&[&["get", "person", "--subject", &subject], &arguments[..]].concat());
        let value = |of: &Value| of["subject"]["attributes"][0]["value"]["value"].clone();
        assert!(value(&by_json).is_string(), "{by_json}");
        assert_eq!(value(&by_json), value(&by_grpc), "{by_grpc}");
        assert_eq!(answer.header("hub-access-id"), by_json["basis"]["accessId"], "the access is told");
    }

    let refused = post(&hub, "portal/national", &path, &question(&subject, &["ethnicity"]), &[]);
    assert_eq!((refused.status, refused.header("content-type")), (403, "application/problem+json"));
    let problem = refused.json();
    let by_grpc = hub.ask(&[
        "get",
        "person",
        "--subject",
        &subject,
        "--procedure",
        "1.000894",
        "--case",
        "HS-1",
        "--fields",
        "ethnicity",
    ]);
    assert!(stderr(&by_grpc).contains(problem["detail"].as_str().expect("a text")), "{problem}");
    assert_eq!(problem["domain"], "hub");
    assert!(problem["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{problem}");

    // A caller whom the policy does not know, and one without a certificate.
    let stranger = post(&hub, "register/civil", &path, &question(&subject, &["full_name"]), &[]);
    assert_eq!(stranger.status, 403, "{}", stranger.body);
    let ca = dir.path().join("d/dev-certs/ca.pem");
    let mut nobody = Command::new("curl");
    nobody.args(["--silent", "--cacert"]).arg(ca).arg(format!("https://{}/openapi.json", hub.address()));
    assert!(!nobody.status().expect("curl is there").success());

    let accesses =
        json!({ "kind": "person", "key": { "subject": subject }, "purpose": { "caseNumber": "A" }, "limit": 50 });
    let accesses = post(&hub, "portal/national", &format!("{QUERY}/ListAccesses"), &accesses, &[]).json();
    let decisions = accesses["accesses"].as_array().expect("accesses").iter();
    let decisions: Vec<_> =
        decisions.filter(|access| access["action"] == "get_subject").map(|access| &access["decision"]).collect();
    assert!(decisions.iter().filter(|decision| **decision == "answered").count() >= 4, "{accesses}");
    assert_eq!(hub.stop().code(), Some(0));
}

#[test]
fn an_answer_that_would_be_said_again_is_304_and_still_an_access() {
    let dir = configured();
    let (hub, subject) = with_persons(dir.path());
    let path = format!("{QUERY}/GetSubject");
    let first = post(&hub, "portal/national", &path, &question(&subject, &["full_name"]), &[]);
    let known = format!("If-None-Match: {}", first.header("etag"));
    let again = post(&hub, "portal/national", &path, &question(&subject, &["full_name"]), &["--header", &known]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_ne!(again.header("hub-access-id"), first.header("hub-access-id"));
    let accesses = json!({ "kind": "person", "key": { "subject": subject }, "purpose": { "caseNumber": "A" } });
    let accesses = post(&hub, "portal/national", &format!("{QUERY}/ListAccesses"), &accesses, &[]).json();
    assert!(accesses.to_string().contains(again.header("hub-access-id")), "it is in the log: {accesses}");
    let more = question(&subject, &["full_name", "birth_date"]);
    assert_eq!(post(&hub, "portal/national", &path, &more, &["--header", &known]).status, 200);
}

#[test]
fn a_batch_as_json_is_judged_and_folded_as_one_over_grpc() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let contract = crate::hub::contract_of("civil");
    let line = &lines("civil", 1)[0];
    let payload =
        contract.json_to_body(line["record_type"].as_str().expect("a name"), &line["record"]).expect("a record");

    let change = json!({
        "recordId": line["record_id"], "version": line["version"].to_string(), "operation": "OPERATION_UPSERT",
        "recordType": line["record_type"], "effectiveAt": line["effective_at"], "registeredAt": line["registered_at"],
        "payload": base64::engine::general_purpose::STANDARD.encode(&payload),
    });
    let bad = json!({ "recordId": "X", "version": 1, "operation": "OPERATION_UPSERT", "recordType": "birth",
        "effectiveAt": line["effective_at"], "registeredAt": line["registered_at"], "payload": "CAE=" });
    let batch = json!({ "batch": { "sequence": 1, "register": "civil", "publishedAt": "2026-01-01T00:00:00Z", "changes": [change, bad] } });
    let path = "/hub.ingest.v1.IngestService/PublishBatch";
    let answer = post(&hub, "register/civil", path, &batch, &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let result = &answer.json()["result"];
    assert!(result["outcomes"][0]["accepted"]["receipt"]["path"].is_array(), "{result}");
    assert!(result["outcomes"][1]["rejected"]["violations"][0]["message"].is_string(), "{result}");
    let again = post(&hub, "register/civil", path, &batch, &[]).json();
    assert!(again["result"]["outcomes"][0]["duplicate"].is_object(), "{again}");
    assert_eq!(hub.folded()["records"], 1);
}

#[test]
fn the_description_is_that_of_the_command_line_and_http_can_be_switched_off() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let served = get(&hub, "operator/ops", "/openapi.json", &[]);
    let printed = crate::hub::run(dir.path(), &["contracts", "openapi"]);
    assert_eq!(served.body.trim_end(), String::from_utf8(printed.stdout).expect("UTF-8").trim_end());
    drop(hub);
    let config = format!("{}[http]\nenabled = false\n", crate::hub::CONFIG);
    std::fs::write(dir.path().join("hub.toml"), config).expect("writable");
    let hub = Hub::start(dir.path());
    assert!(!curl(&hub, "operator/ops", "/openapi.json", &["--http1.1"]).status().expect("curl is there").success());
    let answer = get(&hub, "operator/ops", "/openapi.json", &["--http2"]);
    assert_eq!(answer.header("content-type"), "application/grpc", "{}", answer.body);
    assert_eq!(hub.folded()["behind"], 0, "gRPC goes on");
}

#[test]
fn where_a_register_stands_is_told_as_json_with_the_same_rights() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let civil = lines("civil", 3);
    write_lines(&dir.path().join("civil.ndjson"), &civil);
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();
    let heads = json!({ "register": "civil", "recordIds": [civil[0]["record_id"], "nobody"] });
    let answer = post(&hub, "register/civil", &format!("{QUERY}/GetHeads"), &heads, &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let states: Vec<Value> =
        answer.json()["heads"].as_array().expect("heads").iter().map(|head| head["state"].clone()).collect();
    assert_eq!(states, ["HEAD_STATE_STATED", "HEAD_STATE_ABSENT"]);
    let refused = post(&hub, "portal/national", &format!("{QUERY}/GetHeads"), &heads, &[]);
    assert_eq!(refused.status, 403, "{}", refused.body);
    let findings = json!({ "register": "civil", "criterion": "clean" });
    let answer = post(&hub, "register/civil", &format!("{QUERY}/ListFindings"), &findings, &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let history = post(&hub, "operator/ops", &format!("{QUERY}/GetQualityHistory"), &json!({}), &[]);
    assert_eq!(history.status, 200, "{}", history.body);
    let keys = post(&hub, "register/civil", "/hub.ingest.v1.IngestService/GetKeys", &json!({}), &[]);
    assert_eq!(keys.json()["keys"][0]["signs"], true);
    hub.stop();
}
