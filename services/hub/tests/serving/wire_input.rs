//! Bad input over gRPC: each a typed error that says what to do, neighbours unharmed, nothing half-applied, memory bounded.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use wire::ingest::{Batch, Change, PublishBatchRequest, PublishRequest, outcome};
use wire::query::get_subject_response::Result as Found;
use wire::query::subject_key::Key;
use wire::query::{GetSubjectRequest, ListAccessesRequest, MinPosition, Purpose, SubjectKey};

use crate::client::{Ingest, ask, batch, change_of, changes, entries, letters, publish, refusal};
use crate::hub::{Hub, configured, contract_of, lines};
use crate::raw;

/// What one process may grow by, whatever it is sent: a few dozen batches of 8 MiB, which is its configured bound, and its allocator's slack.
const GROWTH_BYTES_MAX: u64 = 192 << 20;

const PUBLISH_BATCH: &str = "/hub.ingest.v1.IngestService/PublishBatch";
const PUBLISH: &str = "/hub.ingest.v1.IngestService/Publish";

fn assert_typed(status: &Status, code: Code, reason: &str) {
    assert_eq!((status.code(), refusal(status).1.as_str()), (code, reason), "{status:?}");
    assert!(status.message().contains(':'), "it says what to do: {status:?}");
}

/// A good change of another register is taken, and the views are where a replay ends.
async fn assert_unharmed(hub: &Hub) {
    let mut land = hub.ingest("register/land").await;
    let result = publish(&mut land, batch("land", changes("land", 1))).await.expect("answered");
    assert!(letters(&result) == "a" || letters(&result) == "d");
    hub.folded();
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_message_are_refused_by_name_and_change_nothing() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let before = hub.folded();
    let (civil, portal) = (hub.channel("register/civil").await, hub.channel("portal/national").await);
    let operator = hub.channel("operator/ops").await;
    let truncated = Bytes::from_static(&[0x0a, 0x7f, 0x01]);
    let wrong_wire_type = Bytes::from_static(&[0x08, 0x01]);
    let not_utf8 = Bytes::from_static(&[0x0a, 0x03, 0x12, 0x01, 0xff]);
    let no_message = Bytes::from_static(&[0xff; 64]);
    for bytes in [&truncated, &wrong_wire_type, &not_utf8, &no_message] {
        let refused = raw::call(civil.clone(), PUBLISH_BATCH, bytes.clone()).await.expect_err("no message");
        assert_typed(&refused, Code::InvalidArgument, "message_malformed");
        let refused = raw::stream(civil.clone(), PUBLISH, vec![bytes.clone()]).await.expect_err("no message");
        assert_typed(&refused, Code::InvalidArgument, "message_malformed");
    }
    let kind_not_utf8 = Bytes::from_static(&[0x0a, 0x01, 0xff]);
    for path in ["/hub.query.v1.QueryService/GetSubject", "/hub.query.v1.QueryService/Search"] {
        for bytes in [&truncated, &wrong_wire_type, &kind_not_utf8] {
            let refused = raw::call(portal.clone(), path, bytes.clone()).await.expect_err("no message");
            assert_typed(&refused, Code::InvalidArgument, "message_malformed");
        }
    }
    let register = "/hub.admin.v1.AdminService/RegisterContract";
    let refused = raw::call(operator, register, wrong_wire_type.clone()).await.expect_err("no message");
    assert_typed(&refused, Code::InvalidArgument, "message_malformed");

    let empty = raw::call(civil.clone(), PUBLISH_BATCH, Bytes::new()).await.expect_err("no batch");
    assert_typed(&empty, Code::InvalidArgument, "field_invalid");
    assert_eq!(refusal(&empty).2, ["batch"]);
    let empty = raw::call(portal.clone(), "/hub.query.v1.QueryService/GetSubject", Bytes::new()).await;
    assert_eq!(empty.expect_err("no question").code(), Code::InvalidArgument);
    let unknown = raw::call(civil.clone(), "/hub.ingest.v1.IngestService/Nothing", Bytes::new()).await;
    assert_typed(&unknown.expect_err("no method"), Code::Unimplemented, "method_unknown");

    // What stands before a broken message of a stream is answered; what stands behind it is left to the retry.
    let good = |register| PublishRequest { batch: Some(batch(register, changes("civil", 3))) }.encode_to_vec();
    let messages = vec![Bytes::from(good("civil")), truncated, Bytes::from(good("civil"))];
    let refused = raw::stream(civil, PUBLISH, messages).await.expect_err("the second is no message");
    assert_typed(&refused, Code::InvalidArgument, "message_malformed");
    let after = hub.folded();
    assert_eq!((entries(&after, "change"), entries(&after, "rejected")), (3, 0), "before: {before}");
    let mut again = hub.ingest("register/civil").await;
    assert_eq!(letters(&publish(&mut again, batch("civil", changes("civil", 3))).await.expect("answered")), "ddd");
    assert_unharmed(&hub).await;
}

fn rules(result: &wire::ingest::BatchResult, at: usize) -> Vec<&str> {
    match result.outcomes[at].outcome.as_ref() {
        Some(outcome::Outcome::Rejected(rejected)) => {
            assert!(rejected.violations.iter().all(|v| !v.message.is_empty() && !v.group.is_empty()), "{rejected:?}");
            rejected.violations.iter().map(|violation| violation.rule_id.as_str()).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_break_their_contract_are_refused_one_by_one_and_kept() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let mut civil = hub.ingest("register/civil").await;
    let sound = changes("civil", 3);
    let good = &sound[0];
    let with = |payload: Vec<u8>| Change { payload: payload.into(), ..good.clone() };
    let mut unknown_field = good.payload.to_vec();
    unknown_field.extend([0xf8, 0xff, 0x01, 0x01]);
    let cases = [
        (Change { record_type: "nothing".into(), ..good.clone() }, "hub.unknown_record_type"),
        (with(unknown_field), "hub.decode"),
        (with(vec![0x08, 0x01]), "hub.decode"),
        (with(good.payload[..good.payload.len() - 1].to_vec()), "hub.decode"),
        (with(vec![0x0a, 0x03, 0x0a, 0x01, 0xff]), "hub.decode"),
        (with(Vec::new()), "hub.payload_empty"),
        (with(vec![0; (1 << 20) + 1]), "hub.payload_bytes"),
        (Change { version: 0, ..good.clone() }, "hub.version"),
        (Change { record_id: String::new(), ..good.clone() }, "hub.record_id"),
        (Change { effective_at: None, ..good.clone() }, "hub.effective_at"),
        (Change { operation: 9, ..good.clone() }, "hub.operation"),
    ];
    let mut all = vec![sound[1].clone()];
    all.extend(cases.iter().map(|(change, _)| change.clone()));
    all.push(sound[2].clone());
    let result = publish(&mut civil, batch("civil", all.clone())).await.expect("answered");
    assert_eq!(letters(&result), format!("a{}a", "r".repeat(cases.len())));
    for (at, (_, rule)) in cases.iter().enumerate() {
        assert!(rules(&result, at + 1).contains(rule), "case {at}: {:?}", rules(&result, at + 1));
    }
    let status = hub.folded();
    assert_eq!((entries(&status, "change"), entries(&status, "rejected")), (2, cases.len() as u64), "{status}");
    assert_eq!(status["records"], 2);

    // The same version with other bytes: the first one counts.
    let other = Change { reason: "another".into(), ..sound[1].clone() };
    let result = publish(&mut civil, batch("civil", vec![other, sound[1].clone(), good.clone()])).await;
    assert_eq!(letters(&result.expect("answered")), "cda");
    assert_eq!(hub.folded()["records"], 3);

    let mut population = hub.ingest("register/population").await;
    let stranger = publish(&mut population, batch("population", changes("population", 1))).await.expect("answered");
    assert_eq!(rules(&stranger, 0), ["hub.unknown_register"]);
    let mut land = hub.ingest("register/land").await;
    let denied = publish(&mut land, batch("civil", vec![good.clone()])).await.expect("answered");
    let Some(outcome::Outcome::Unauthorised(why)) = &denied.outcomes[0].outcome else { panic!("denied: {denied:?}") };
    assert!(why.reason == "publish_not_granted" && !why.message.is_empty(), "{why:?}");
    let nameless = publish(&mut civil, batch("No Register", vec![good.clone()])).await.expect_err("no name");
    assert_eq!(refusal(&nameless), (Code::InvalidArgument, "field_invalid".into(), vec!["batch.register".into()]));
    assert_unharmed(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_batch_is_refused_by_its_bound_and_memory_stays_bounded() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let good = changes("civil", 2);
    let mut civil = hub.ingest("register/civil").await;
    assert_eq!(letters(&publish(&mut civil, batch("civil", good[..1].to_vec())).await.expect("answered")), "a");
    let before = hub.resident_bytes();

    let many = publish(&mut civil, batch("civil", vec![Change::default(); 10_001])).await.expect_err("too many");
    assert_eq!(refusal(&many), (Code::InvalidArgument, "batch_changes".into(), vec!["batch.changes".into()]));
    let large = Change { payload: vec![0; 8 << 20].into(), ..good[1].clone() };
    let heavy = publish(&mut civil, batch("civil", vec![good[1].clone(), large])).await.expect_err("too many bytes");
    assert_eq!(refusal(&heavy), (Code::InvalidArgument, "batch_bytes".into(), vec!["batch.changes".into()]));
    // Many callers at once, each with a message of 48 MiB.
    let huge = Bytes::from(vec![0; 48 << 20]);
    let callers: Vec<_> = (0..8).map(|_| hub.channel("register/civil")).collect();
    let mut calls = Vec::new();
    for caller in callers {
        calls.push(tokio::spawn(raw::call(caller.await, PUBLISH_BATCH, huge.clone())));
    }
    for call in calls {
        let refused = call.await.expect("no panic").expect_err("far too large");
        assert_typed(&refused, Code::OutOfRange, "message_bytes");
    }
    let grown = hub.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{} MiB more", grown >> 20);
    let status = hub.folded();
    assert_eq!((entries(&status, "change"), entries(&status, "rejected")), (1, 0), "nothing of it was kept");
    assert_eq!(letters(&publish(&mut civil, batch("civil", good)).await.expect("answered")), "da");
    assert_unharmed(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_holds_up_its_own_stream_and_nobody_else() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let before = hub.resident_bytes();
    let mut civil = hub.ingest("register/civil").await;
    // Refusals are long answers.
    let bad = Change { record_type: "birth".into(), payload: vec![0xff].into(), ..Change::default() };
    let (send, batches) = mpsc::channel::<Batch>(1);
    let requests = ReceiverStream::new(batches).map(|batch| PublishRequest { batch: Some(batch) });
    send.send(batch("civil", vec![bad.clone(); 2_000])).await.expect("an open stream");
    let mut answers = civil.publish(requests).await.expect("a stream").into_inner();
    let mut sent = 1;
    while let Ok(taken) =
        tokio::time::timeout(Duration::from_secs(2), send.send(batch("civil", vec![bad.clone(); 2_000]))).await
    {
        taken.expect("an open stream");
        sent += 1;
        assert!(sent < 500, "a reader that stops must stop its publisher");
    }
    let grown = hub.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{} MiB more after {sent} batches", grown >> 20);
    // Not even calls of its own connection.
    let mut beside = civil.clone();
    let beside = publish(&mut beside, batch("civil", changes("civil", 200)));
    let result = tokio::time::timeout(Duration::from_secs(30), beside).await.expect("there is room beside the stream");
    assert_eq!(letters(&result.expect("answered")), "a".repeat(200));
    assert_unharmed(&hub).await;
    drop(send);
    let mut answered = 0;
    while let Some(answer) = answers.message().await.expect("every batch is answered") {
        assert_eq!(answer.result.expect("a result").outcomes.len(), 2_000);
        answered += 1;
    }
    assert_eq!(answered, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_vanishes_anywhere_leaves_whole_batches() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let target = hub.address().parse().expect("an address");
    // From within the handshake to within the last batch; the last one stays to the end.
    let cuts = [900, 2_500, 3_500, 9_000, 20_000, 45_000, 70_000, 95_000, 100_000_000];
    let all = changes("civil", cuts.len() * 200);
    for (bytes, changes) in cuts.iter().zip(all.chunks(200)) {
        let address = raw::breaking(target, *bytes).await;
        let Ok(channel) = hub.channel_at(address, "register/civil").await else { continue };
        let batches: Vec<_> =
            changes.chunks(50).map(|c| PublishRequest { batch: Some(batch("civil", c.to_vec())) }).collect();
        // It vanishes: what it was told so far, and how its connection ended, it does not hear.
        if let Ok(answers) = Ingest::new(channel).publish(tokio_stream::iter(batches)).await {
            let mut answers = answers.into_inner();
            while let Ok(Some(_)) = answers.message().await {}
        }
    }
    let mut again = hub.ingest("register/civil").await;
    let mut accepted = 0;
    for changes in all.chunks(50) {
        let letters = letters(&publish(&mut again, batch("civil", changes.to_vec())).await.expect("answered"));
        assert!(letters == "a".repeat(50) || letters == "d".repeat(50), "half a batch was taken: {letters}");
        accepted += usize::from(letters.starts_with('a'));
    }
    assert!((1..all.len() / 50).contains(&accepted), "some batches were cut off and others were not: {accepted}");
    assert_eq!(entries(&hub.folded(), "change"), all.len() as u64);
    assert_unharmed(&hub).await;
}

/// Two people who are told to have one old number, and one who is not.
fn two_of_one_number() -> Vec<Change> {
    let contract = contract_of("health");
    let lines = lines("health", 400);
    let mut cards: Vec<Value> =
        lines.into_iter().filter(|line| line["record_type"] == "insurance_card").take(2).collect();
    cards.iter_mut().for_each(|line| line["record"]["personal_id"] = json!("917350284"));
    cards.iter().map(|line| change_of(&contract, line)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_cannot_be_answered_say_why_and_are_recorded() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let mut health = hub.ingest("register/health").await;
    assert_eq!(letters(&publish(&mut health, batch("health", two_of_one_number())).await.expect("answered")), "aa");
    let before = hub.folded();
    let mut portal = hub.query("portal/national").await;
    let good = ask(Key::OldId("917350284".into()), &["full_name"]);
    let purpose = |procedure: &str, case: &str| Some(Purpose { procedure: procedure.into(), case_number: case.into() });
    let many: Vec<String> = (0..5_000).map(|n| format!("field_{n}")).collect();
    let key = |key| Some(SubjectKey { key: Some(key) });
    let far = vec![MinPosition { partition: 0, index: 1 << 40 }];
    let cases = [
        (GetSubjectRequest { purpose: None, ..good.clone() }, "purpose_missing", "purpose"),
        (GetSubjectRequest { purpose: purpose("", ""), ..good.clone() }, "purpose_missing", "purpose"),
        (
            GetSubjectRequest { purpose: purpose("9.999999", "HS-1"), ..good.clone() },
            "procedure_unknown",
            "purpose.procedure",
        ),
        (GetSubjectRequest { fields: Vec::new(), ..good.clone() }, "fields_missing", "fields"),
        (GetSubjectRequest { fields: vec!["no_such_field".into()], ..good.clone() }, "field_unknown", "fields"),
        (GetSubjectRequest { fields: many, ..good.clone() }, "field_unknown", "fields"),
        (GetSubjectRequest { kind: "ship".into(), ..good.clone() }, "kind_unknown", "kind"),
        (GetSubjectRequest { key: None, ..good.clone() }, "key_missing", "key"),
        (GetSubjectRequest { key: key(Key::OldId("91735".into())), ..good.clone() }, "key_malformed", "key"),
        (GetSubjectRequest { min_positions: far, ..good.clone() }, "position_unknown", "min_positions[0]"),
    ];
    for (request, reason, field) in cases.clone() {
        let refused = portal.get_subject(request).await.expect_err(reason);
        assert_eq!(
            refusal(&refused),
            (Code::InvalidArgument, reason.to_owned(), vec![field.to_owned()]),
            "{refused:?}"
        );
    }
    let ambiguous = portal.get_subject(good.clone()).await.expect("a typed answer").into_inner().result;
    let Some(Found::Ambiguous(several)) = ambiguous else { panic!("two people have this number: {ambiguous:?}") };
    assert_eq!(several.subjects.len(), 2);
    let found = portal.get_subject(ask(Key::Subject(several.subjects[0].clone()), &["full_name"])).await;
    assert!(matches!(found.expect("one of them").into_inner().result, Some(Found::Subject(_))));

    let after = hub.folded();
    assert_eq!((&after["digest"], entries(&after, "change")), (&before["digest"], 2));
    // An entry may hold several accesses; each question was decided in its own turn.
    assert!(entries(&after, "access") >= cases.len() as u64 + 2, "each refusal is recorded: {after}");
    let mut auditor = hub.query("auditor/main").await;
    let listed = ListAccessesRequest {
        kind: "person".into(),
        key: key(Key::Subject(several.subjects[0].clone())),
        purpose: purpose("audit", "A-1"),
        limit: 100,
        page_token: String::new(),
    };
    let listed = auditor.list_accesses(listed).await.expect("granted").into_inner().accesses;
    assert!(listed.iter().any(|access| access.case_number == "HS-1"), "{listed:?}");
    assert_unharmed(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_ten_thousand_sound_changes_is_taken_whole() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let mut civil = hub.ingest("register/civil").await;
    let good = changes("civil", 10).remove(9);
    let retract =
        |n: usize| Change { record_id: format!("R-{n}"), operation: 2, payload: Bytes::new(), ..good.clone() };
    let all: Vec<_> = (0..10_000).map(retract).collect();
    let request = PublishBatchRequest { batch: Some(batch("civil", all)) };
    let result = civil.publish_batch(request).await.expect("answered").into_inner().result.expect("a result");
    assert_eq!(letters(&result), "a".repeat(10_000));
    assert_eq!(entries(&hub.folded(), "change"), 10_000);
    assert_unharmed(&hub).await;
}
