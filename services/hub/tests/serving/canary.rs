//! Nothing personal is told: unmistakable values are planted in whatever a hub is given, and everything that it writes is searched for
//! them: both outputs, log lines, exported traces, metrics and logs, the metrics page, file names, errors. The bodies of the log and the
//! stores hold them, and so do answers to those who may have them.

use std::fmt::Write as _;
use std::path::Path;

use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};
use wire::admin::{GetContractRequest, RegisterContractRequest};
use wire::ingest::{
    BatchResult, Change, ChangeKey, DeclareExpectedRequest, GetChangeStatusRequest, ListRejectedRequest, Operation,
    RedriveRequest, outcome,
};
use wire::query::get_subject_response::Result as Found;
use wire::query::search_request::Query as Search;
use wire::query::subject_key::Key;
use wire::query::{
    CheckProcedureRequest, GetSubjectRequest, ListAccessesRequest, NameBirth, NameCommune, Purpose, SearchRequest,
    SubjectKey,
};

use crate::client::{ask, batch, change_of, letters, publish};
use crate::collector::{Collector, SOON, configuration};
use crate::hub::{Hub, configured, contract_of, lines, stderr, write_lines};
use crate::planted::Planted;

const CHILD: &str = "Zqxkim Vựcthẳm";
const MOTHER: &str = "Wjodan Hoảlòsơn";
const FATHER: &str = "Kvylor Sươngmùbiếc";
const REQUESTER: &str = "Bzifon Đáquýhiếm";
const PATIENT: &str = "Gwexor Thạchsanhtử";
const PERSONAL_ID: &str = "099190736451";
const MOTHERS_ID: &str = "099188515302";
const BROKEN_ID: &str = "0991907364x1";
const OLD_ID: &str = "917350284";
const CARD: &str = "DN4790615283497";
const INSURANCE_NO: &str = "0615283497";
const PHONE: &str = "0987350164";
const ADDRESS: &str = "77 Ngõtrămhoa, Xyzzyplugh";
const BIRTH: [&str; 3] = ["13.02.1937", "1937-02-13", "19370213"];
const EFFECTIVE: &str = "1987-03-29T04:17:09Z";
const EFFECTIVE_SECONDS: &str = "543989829";
const RECORD_ID: &str = "KSQuuxkhaisinh-0177";
const CASE: &str = "HSQwfpghoso-2941";
const REASON: &str = "Lýdoqwertzbímật";

fn planted() -> Planted {
    Planted::new(&[
        ("child's name", CHILD),
        ("mother's name", MOTHER),
        ("father's name", FATHER),
        ("requester's name", REQUESTER),
        ("patient's name", PATIENT),
        ("personal id", PERSONAL_ID),
        ("mother's personal id", MOTHERS_ID),
        ("broken personal id", BROKEN_ID),
        ("old id", OLD_ID),
        ("card number", CARD),
        ("insurance number", INSURANCE_NO),
        ("telephone number", PHONE),
        ("address", ADDRESS),
        ("date of birth as printed", BIRTH[0]),
        ("date of birth", BIRTH[1]),
        ("date of birth in compact form", BIRTH[2]),
        ("effective time", EFFECTIVE),
        ("effective time in seconds", EFFECTIVE_SECONDS),
        ("record id", RECORD_ID),
        ("case number", CASE),
        ("reason", REASON),
    ])
}

/// Everything but files that the hub or a command has told, with the place where it stood.
#[derive(Default)]
struct Told(Vec<(String, Vec<u8>)>);

impl Told {
    /// An error that a call ended with, as its receiver sees it.
    fn refused<T: std::fmt::Debug>(&mut self, place: &str, code: Code, result: Result<T, Status>) {
        let status = result.err().unwrap_or_else(|| panic!("{place} is refused"));
        assert_eq!(status.code(), code, "{place}: {status:?}");
        assert!(!status.message().is_empty(), "{place}: an error says what to do");
        let mut text = format!("{status} {status:?}").into_bytes();
        text.extend_from_slice(status.details());
        self.0.push((place.to_owned(), text));
    }

    /// The reasons of a batch's outcomes.
    fn outcomes(&mut self, place: &str, result: &BatchResult, expected: &str) {
        assert_eq!(letters(result), expected, "{place}: {result:?}");
        for outcome in &result.outcomes {
            let text = match outcome.outcome.as_ref().expect("an outcome") {
                outcome::Outcome::Rejected(rejected) => format!("{:?}", rejected.violations),
                outcome::Outcome::Accepted(accepted) => format!("{:?}", accepted.findings),
                other => format!("{other:?}"),
            };
            self.0.push((place.to_owned(), text.into_bytes()));
        }
    }

    fn line(&mut self, place: &str, text: String) {
        self.0.push((place.to_owned(), text.into_bytes()));
    }
}

/// A birth with planted values in every field that speaks of somebody.
fn birth() -> Change {
    let lines = lines("civil", 400);
    let whole = |line: &&Value| {
        let record = &line["record"];
        line["record_type"] == "birth" && record["mother"].is_object() && record["father"].is_object()
    };
    let mut line = lines.iter().find(whole).expect("a nation has births").clone();
    let record = &mut line["record"];
    record["child"]["full_name"] = json!(CHILD);
    record["child"]["personal_id"] = json!(PERSONAL_ID);
    record["child"]["birth_date"] = json!(BIRTH[0]);
    record["child"]["birthplace"] = json!(ADDRESS);
    record["mother"]["full_name"] = json!(MOTHER);
    record["mother"]["identity_paper_no"] = json!(MOTHERS_ID);
    record["father"]["full_name"] = json!(FATHER);
    record["requester"] = json!({ "full_name": REQUESTER });
    record["entry"]["note"] = json!(REASON);
    line["record_id"] = json!(RECORD_ID);
    line["effective_at"] = json!(EFFECTIVE);
    line["registered_at"] = json!(EFFECTIVE);
    Change { reason: REASON.into(), ..change_of(&contract_of("civil"), &line) }
}

/// Two insurance cards of two people, who are told to have one old number.
fn cards() -> Vec<Change> {
    let contract = contract_of("health");
    let lines = lines("health", 400);
    let mut two: Vec<Value> = lines.iter().filter(|l| l["record_type"] == "insurance_card").take(2).cloned().collect();
    assert_eq!(two.len(), 2, "a nation has insurance cards");
    for line in &mut two {
        line["record"]["personal_id"] = json!(OLD_ID);
    }
    let record = &mut two[0]["record"];
    record["full_name"] = json!(PATIENT);
    record["birth_date"] = json!(BIRTH[2]);
    record["phone"] = json!(PHONE);
    record["address"] = json!(ADDRESS);
    record["card_no"] = json!(CARD);
    record["insurance_no"] = json!(INSURANCE_NO);
    two.iter().map(|line| change_of(&contract, line)).collect()
}

fn with_personal_id(change: &Change, id: &str) -> Change {
    let contract = contract_of("civil");
    let mut record = contract.body_to_json(&change.record_type, &change.payload).expect("a sound record");
    record["child"]["personal_id"] = json!(id);
    let payload = contract.json_to_body(&change.record_type, &record).expect("a record");
    Change { payload: payload.into(), version: change.version + 1, ..change.clone() }
}

async fn publish_everything(hub: &Hub, told: &mut Told) {
    let good = birth();
    let mut civil = hub.ingest("register/civil").await;
    let mut send = async |place: &str, change: Change, expected: &str| {
        let result = publish(&mut civil, batch("civil", vec![change])).await.expect("answered");
        told.outcomes(place, &result, expected);
    };
    send("an accepted change", good.clone(), "a").await;
    send("a duplicate", good.clone(), "d").await;
    send("a conflict", Change { legal_basis: REASON.into(), ..good.clone() }, "c").await;
    send("a broken rule", with_personal_id(&good, BROKEN_ID), "r").await;
    let changed = |change: Change| Change { version: good.version + 2, ..change };
    let cut = good.payload.slice(..good.payload.len() - 3);
    send("a truncated record", changed(Change { payload: cut, ..good.clone() }), "r").await;
    let mut bytes = good.payload.to_vec();
    let name = bytes.windows(6).position(|w| w == &CHILD.as_bytes()[..6]).expect("the name stands in the record");
    bytes[name] = 0xff;
    send("text that is not UTF-8", changed(Change { payload: bytes.into(), ..good.clone() }), "r").await;
    send("a name as the record type", changed(Change { record_type: CHILD.into(), ..good.clone() }), "r").await;
    send("a name as the agency", changed(Change { agency: CHILD.into(), ..good.clone() }), "r").await;
    let long = changed(Change { reason: REASON.repeat(100), ..good.clone() });
    send("a reason that is too long", long, "r").await;
    let id = changed(Change { record_id: format!("{RECORD_ID}\u{7}"), ..good.clone() });
    send("a malformed record id", id, "r").await;
    let traced = Change { traceparent: PERSONAL_ID.into(), version: good.version + 3, ..good.clone() };
    send("a malformed trace context", traced, "a").await;
    let retract = Change { operation: Operation::Retract.into(), ..changed(good.clone()) };
    send("a retraction with a record", retract, "r").await;

    let mut health = hub.ingest("register/health").await;
    let result = publish(&mut health, batch("health", cards())).await.expect("answered");
    told.outcomes("insurance cards", &result, "aa");
    let mut land = hub.ingest("register/land").await;
    let result = publish(&mut land, batch("civil", vec![good.clone()])).await.expect("answered");
    told.outcomes("another's register", &result, "u");
    told.refused("a name as the register", Code::InvalidArgument, publish(&mut civil, batch(CHILD, vec![good])).await);
}

async fn ask_the_door(hub: &Hub, told: &mut Told) {
    let mut civil = hub.ingest("register/civil").await;
    let key = |record_id: &str| ChangeKey { register: "civil".into(), record_id: record_id.into(), version: 1 };
    let request = GetChangeStatusRequest { keys: vec![key(RECORD_ID), key("unknown")] };
    assert_eq!(civil.get_change_status(request).await.expect("answered").into_inner().statuses.len(), 2);
    let bad = GetChangeStatusRequest { keys: vec![key(&format!("{RECORD_ID}\u{7}"))] };
    told.refused("the status of a malformed id", Code::InvalidArgument, civil.get_change_status(bad).await);
    let list = ListRejectedRequest { register: "civil".into(), limit: 0, page_token: PERSONAL_ID.into() };
    told.refused("a page token", Code::InvalidArgument, civil.list_rejected(list.clone()).await);
    let list = ListRejectedRequest { page_token: String::new(), ..list };
    assert!(civil.list_rejected(list).await.expect("its owner's").into_inner().changes.len() >= 7);
    let redrive = RedriveRequest { register: "civil".into(), positions: Vec::new() };
    civil.redrive(redrive).await.expect("its owner's");
    let expected = |record_type: &str, commune: &str| DeclareExpectedRequest {
        register: "civil".into(),
        record_type: record_type.into(),
        commune: commune.into(),
        objects: 1,
    };
    let bad = civil.declare_expected(expected("birth", ADDRESS)).await;
    told.refused("an address as a commune", Code::InvalidArgument, bad);
    let bad = civil.declare_expected(expected(CHILD, "")).await;
    told.refused("a name as a record type", Code::InvalidArgument, bad);

    let mut admin = hub.admin().await;
    let bad = RegisterContractRequest { descriptors: CHILD.as_bytes().to_vec(), reason: REASON.into(), dry_run: false };
    told.refused("a name as a contract", Code::InvalidArgument, admin.register_contract(bad).await);
    let bad = GetContractRequest { register: CHILD.into() };
    told.refused("a name as a register", Code::NotFound, admin.get_contract(bad).await);
}

fn by_id(fields: &[&str]) -> GetSubjectRequest {
    let purpose = Some(Purpose { procedure: "1.001193".into(), case_number: CASE.into() });
    GetSubjectRequest { purpose, ..ask(Key::PersonalId(PERSONAL_ID.into()), fields) }
}

async fn ask_for_people(hub: &Hub, told: &mut Told) {
    let mut portal = hub.query("portal/national").await;
    let mut request = Request::new(by_id(&["full_name", "birth_date"]));
    for name in ["x-name", "traceparent", "tracestate", "baggage", "user-agent-note"] {
        request.metadata_mut().insert(name, PERSONAL_ID.parse().expect("ASCII"));
    }
    let found = portal.get_subject(request).await.expect("answered").into_inner().result;
    let Some(Found::Subject(subject)) = found else { panic!("the child is found: {found:?}") };
    assert!(format!("{subject:?}").contains(CHILD), "the caller may have it: {subject:?}");
    let several =
        GetSubjectRequest { key: Some(SubjectKey { key: Some(Key::OldId(OLD_ID.into())) }), ..by_id(&["full_name"]) };
    let several = portal.get_subject(several).await.expect("answered").into_inner().result;
    assert!(matches!(&several, Some(Found::Ambiguous(several)) if several.subjects.len() == 2), "{several:?}");

    let good = by_id(&["full_name"]);
    let purpose = |procedure: &str, case: &str| Some(Purpose { procedure: procedure.into(), case_number: case.into() });
    let key = |key| Some(SubjectKey { key: Some(key) });
    let cases = [
        ("a field of no item", Code::PermissionDenied, by_id(&["insurance_no"])),
        ("a name as a field", Code::InvalidArgument, by_id(&[CHILD])),
        ("no fields", Code::InvalidArgument, by_id(&[])),
        ("a name as a kind", Code::InvalidArgument, GetSubjectRequest { kind: CHILD.into(), ..good.clone() }),
        (
            "a name as a procedure",
            Code::InvalidArgument,
            GetSubjectRequest { purpose: purpose(CHILD, CASE), ..good.clone() },
        ),
        (
            "a malformed case",
            Code::InvalidArgument,
            GetSubjectRequest { purpose: purpose("1.001193", &format!("{CASE}\u{7}")), ..good.clone() },
        ),
        ("no purpose", Code::InvalidArgument, GetSubjectRequest { purpose: None, ..good.clone() }),
        (
            "a broken id",
            Code::InvalidArgument,
            GetSubjectRequest { key: key(Key::PersonalId(BROKEN_ID.into())), ..good.clone() },
        ),
        (
            "a name as a subject",
            Code::InvalidArgument,
            GetSubjectRequest { key: key(Key::Subject(CHILD.into())), ..good.clone() },
        ),
        (
            "a card of another form",
            Code::InvalidArgument,
            GetSubjectRequest { key: key(Key::InsuranceNo(PATIENT.into())), ..good.clone() },
        ),
        ("an id for a parcel", Code::InvalidArgument, GetSubjectRequest { kind: "parcel".into(), ..good.clone() }),
        (
            "an impossible time",
            Code::InvalidArgument,
            GetSubjectRequest {
                known_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -5 }),
                ..good.clone()
            },
        ),
    ];
    for (place, code, request) in cases {
        told.refused(place, code, portal.get_subject(request).await);
    }
    let mut civil = hub.query("register/civil").await;
    told.refused("a caller without a grant", Code::PermissionDenied, civil.get_subject(good.clone()).await);
    let role = |role: &str| CheckProcedureRequest {
        purpose: good.purpose.clone(),
        roles: [(role.to_owned(), SubjectKey { key: Some(Key::PersonalId(PERSONAL_ID.into())) })].into(),
        ..CheckProcedureRequest::default()
    };
    told.refused("a name as a role", Code::InvalidArgument, portal.check_procedure(role(CHILD)).await);
    portal.check_procedure(role("mother")).await.expect("answered");
    search(hub, told).await;
}

async fn search(hub: &Hub, told: &mut Told) {
    let mut portal = hub.query("portal/national").await;
    let purpose = Some(Purpose { procedure: "1.001193".into(), case_number: CASE.into() });
    let request = |query| SearchRequest { kind: "person".into(), purpose: purpose.clone(), query: Some(query) };
    let by_birth = |birth: &str| Search::NameBirth(NameBirth { full_name: CHILD.into(), birth_date: birth.into() });
    let hits = portal.search(request(by_birth(BIRTH[1]))).await.expect("answered").into_inner().hits;
    assert_eq!(hits.len(), 1, "{hits:?}");
    told.refused("a date in another form", Code::InvalidArgument, portal.search(request(by_birth(BIRTH[0]))).await);
    let commune = NameCommune { full_name: CHILD.into(), commune_code: ADDRESS.into(), list_version: CHILD.into() };
    let bad = portal.search(request(Search::NameCommune(commune))).await;
    told.refused("an address as a commune", Code::InvalidArgument, bad);
    let bad = portal.search(request(Search::OldId(PATIENT.into()))).await;
    told.refused("a name as an old id", Code::InvalidArgument, bad);
    portal.search(request(Search::OldId(OLD_ID.into()))).await.expect("answered");
    let accesses = |page_token: &str| ListAccessesRequest {
        kind: "person".into(),
        key: Some(SubjectKey { key: Some(Key::PersonalId(PERSONAL_ID.into())) }),
        purpose: Some(Purpose { procedure: "audit".into(), case_number: CASE.into() }),
        limit: 0,
        page_token: page_token.into(),
    };
    let mut auditor = hub.query("auditor/main").await;
    let listed = auditor.list_accesses(accesses("")).await.expect("answered").into_inner().accesses;
    assert!(listed.iter().any(|access| access.case_number == CASE), "an auditor may have it: {listed:?}");
    told.refused("a name as a page token", Code::InvalidArgument, auditor.list_accesses(accesses(CHILD)).await);
    told.refused(
        "a list without a grant",
        Code::PermissionDenied,
        hub.query("register/land").await.list_accesses(accesses("")).await,
    );
}

/// What the commands say when they fail.
fn command_lines(hub: &Hub, told: &mut Told) {
    let mut line = lines("civil", 1).remove(0);
    line["record"]["entry"]["number"] = json!({ "of": CHILD });
    line["reason"] = json!(REASON);
    let path = hub.dir.join("broken.ndjson");
    write_lines(&path, std::slice::from_ref(&line));
    let mut text = std::fs::read_to_string(&path).expect("written");
    writeln!(text, "{{\"record_id\": \"{RECORD_ID}\", {CHILD}").expect("writing to a string");
    std::fs::write(&path, text).expect("writable");
    let published = hub.ask(&["publish", "--register", "civil", "broken.ndjson"]);
    assert_eq!(published.status.code(), Some(1));
    told.line("hub publish", stderr(&published));
    let got = ["get", "person", "--personal-id", PERSONAL_ID, "--fields", "insurance_no", "--case", CASE];
    let got = hub.ask(&[&got[..], &["--procedure", "1.001193"]].concat());
    assert_eq!(got.status.code(), Some(3));
    told.line("hub get", stderr(&got));
}

/// The names of all files below a directory.
fn names_below(dir: &Path, names: &mut String) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        writeln!(names, "{}", path.display()).expect("writing to a string");
        if path.is_dir() {
            names_below(&path, names);
        }
    }
}

const LOG_FILTER: &str =
    "debug,hub=trace,ingest=trace,views=trace,identity=trace,event_log=trace,view_store=trace,telemetry=trace";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_told_by_logs_telemetry_file_names_or_errors() {
    let collector = Collector::start().await;
    let dir = configured();
    std::fs::write(dir.path().join("hub.toml"), configuration(&collector, LOG_FILTER)).expect("writable");
    let mut told = Told::default();
    let hub = Hub::start_in(dir.path(), &SOON);
    publish_everything(&hub, &mut told).await;
    hub.folded();
    ask_the_door(&hub, &mut told).await;
    ask_for_people(&hub, &mut told).await;
    command_lines(&hub, &mut told);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    told.line("the metrics page", hub.metrics("/metrics"));
    told.line("a page that is not there", hub.metrics(&format!("/{PERSONAL_ID}?phone={PHONE}")));
    hub.signal("-KILL");
    drop(hub);
    // In the place of the killed one; the log is read again, and the views go on from their last commit.
    let hub = Hub::start_in(dir.path(), &SOON);
    hub.folded();
    ask_for_people(&hub, &mut told).await;
    told.line("the metrics page after a restart", hub.metrics("/metrics"));
    assert_eq!(hub.stop().code(), Some(0));

    let planted = planted();
    let mut leaks: Vec<String> = told.0.iter().filter_map(|(place, text)| planted.complaint(place, text)).collect();
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("written");
    let (lines, out) = (read("serve.log"), read("serve.out"));
    assert!(lines.windows(15).any(|window| window == b"\"level\":\"DEBUG\""), "log lines at debug level");
    leaks.extend(lines.split(|byte| *byte == b'\n').filter_map(|line| planted.complaint("a log line", line)));
    leaks.extend(planted.complaint("standard output", &out));
    let mut names = String::new();
    names_below(&dir.path().join("d"), &mut names);
    assert!(names.lines().count() > 20, "{names}");
    leaks.extend(planted.complaint("a file's name", &names));
    let arrived = collector.arrived();
    let queries = arrived.spans().filter(|span| span.name == "query").count();
    assert!(queries > 20 && arrived.metrics().count() > 20 && arrived.logs().count() > 20, "telemetry arrived");
    leaks.extend(arrived.traces.iter().filter_map(|sent| planted.complaint("a trace", sent.encode_to_vec())));
    leaks.extend(arrived.metrics.iter().filter_map(|sent| planted.complaint("a metric", sent.encode_to_vec())));
    leaks.extend(arrived.logs.iter().filter_map(|sent| planted.complaint("an exported line", sent.encode_to_vec())));
    leaks.truncate(40);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));

    // The search would have found them: they are in the log's bodies, whole; and stored changes and refusals show none.
    let (stored, bodies) = crate::erasure::bodies(&dir.path().join("d")).await;
    let in_bodies = |value: &str| bodies.windows(value.len()).any(|window| window == value.as_bytes());
    assert_eq!(planted.complaint("a stored change or refusal", &stored), None);
    for value in [CHILD, MOTHER, FATHER, REQUESTER, PATIENT, PERSONAL_ID, MOTHERS_ID, BROKEN_ID, OLD_ID, CARD, PHONE]
        .into_iter()
        .chain([INSURANCE_NO, ADDRESS, BIRTH[0], BIRTH[2], RECORD_ID, CASE, REASON])
    {
        assert!(in_bodies(value), "what was planted did not reach the log: {value}");
        assert!(planted.first_in(format!("x{value}y").as_bytes()).is_some() || value.len() <= 10);
    }
}
