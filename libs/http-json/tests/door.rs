//! The door in front of a service that answers what it is told to: what is passed in, what comes out, what is refused.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use http_json::openapi::Info;
use http_json::{Api, Json, JsonLayer, Options, Resumable, Validators};
use prost::Message;
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::util::BoxCloneService;
use tower::{Layer as _, Service as _, ServiceExt as _};
use wire::query::{
    Attribute, Basis, GetStatusResponse, GetSubjectRequest, GetSubjectResponse, Provenance, Subject, SubjectChange,
    SubjectChanges, Value as Valued, WatchRequest, WatchResponse, get_subject_response, watch_response,
};

const GET_SUBJECT: &str = "/hub.query.v1.QueryService/GetSubject";
const GET_STATUS: &str = "/hub.query.v1.QueryService/GetStatus";
const WATCH: &str = "/hub.query.v1.QueryService/Watch";

type Inner = BoxCloneService<Request<Body>, Response<Body>, Infallible>;
type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

fn options() -> Options {
    Options {
        body_bytes_max: 1000,
        body_timeout: Duration::from_millis(200),
        answer_bytes_max: 1 << 20,
        requests_max: 4,
        heartbeat: Duration::from_secs(15),
        domain: "test",
        validators: Some(Validators {
            key: [7; 32],
            basis: "hub.query.v1.Basis",
            volatile: vec!["hub.query.v1.Provenance.age"],
            told: vec![("hub-access-id", "access_id")],
        }),
        resumable: vec![Resumable {
            method: "hub.query.v1.QueryService.Watch",
            told: &["changes", "cursor"],
            asked: "cursor",
        }],
    }
}

/// A door before a service that notes what it was asked and answers these messages, then this status.
fn door(answers: Vec<Vec<u8>>, end: Status) -> (Json<Inner>, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (noted, answers, end) = (noted.clone(), answers.clone(), end.clone());
        async move {
            let (head, body) = request.into_parts();
            let frame = body.collect().await.expect("a body").to_bytes();
            assert_eq!(frame[0], 0, "not compressed");
            assert_eq!(u32::from_be_bytes(frame[1..5].try_into().expect("four")) as usize, frame.len() - 5);
            noted.lock().expect("no panic").push((head.headers, frame.slice(5..)));
            let frames = answers.into_iter().map(|message| {
                let mut frame = vec![0];
                frame.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
                frame.extend_from_slice(&message);
                Ok::<_, Status>(Frame::data(Bytes::from(frame)))
            });
            let mut trailers = HeaderMap::new();
            end.add_header(&mut trailers).expect("a status");
            let frames: Vec<_> = frames.chain([Ok(Frame::trailers(trailers))]).collect();
            Ok(Response::new(Body::new(StreamBody::new(futures::stream::iter(frames)))))
        }
    });
    let api = Api::new(wire::DESCRIPTORS, options(), &Info::default()).expect("an API");
    (JsonLayer::new(api).layer(BoxCloneService::new(service)), seen)
}

fn ok() -> Status {
    Status::new(Code::Ok, "")
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::new(Full::new(body.into()))).expect("a request")
}

async fn ask(door: &mut Json<Inner>, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = door.ready().await.expect("ready").call(request).await.expect("answered");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().expect("ASCII")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

fn subject(value: &str, age: i64, access: &str) -> Vec<u8> {
    let source = Provenance {
        register: "civil".into(),
        version: 1 << 60,
        age: Some(prost_types::Duration { seconds: age, nanos: 0 }),
        ..Provenance::default()
    };
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(value.into())) };
    let value = Valued { value: Some(value), source: Some(source) };
    let attribute = Attribute { name: "full_name".into(), value: Some(value), ..Attribute::default() };
    let subject = Subject { id: "ab".into(), attributes: vec![attribute], ..Subject::default() };
    let basis = Basis { access_id: access.into(), ..Basis::default() };
    let result = Some(get_subject_response::Result::Subject(subject));
    GetSubjectResponse { result, basis: Some(basis) }.encode_to_vec()
}

#[tokio::test]
async fn a_request_reaches_the_service_as_the_message_it_states_with_the_headers_that_handlers_read() {
    let (mut door, seen) = door(vec![subject("An", 3, "a1")], ok());
    let body = json!({ "kind": "person", "key": { "personalId": "099" }, "purpose": { "case_number": "HS" }, "fields": ["a"] });
    let mut request = post(GET_SUBJECT, body.to_string());
    let headers = request.headers_mut();
    headers.insert("traceparent", "00-1-2-01".parse().expect("a value"));
    headers.insert("accept-language", "en".parse().expect("a value"));
    headers.insert("cookie", "no".parse().expect("a value"));
    headers.insert("connect-timeout-ms", "1500".parse().expect("a value"));
    let (status, headers, answer) = ask(&mut door, request).await;
    assert_eq!((status, value(&headers, "content-type")), (StatusCode::OK, "application/json"), "{answer}");
    assert_eq!(headers["cache-control"], "private, no-cache");
    let answer = parsed(&answer);
    assert_eq!(answer["subject"]["attributes"][0]["value"]["value"], "An");
    assert_eq!(answer["subject"]["attributes"][0]["value"]["source"]["version"], (1_u64 << 60).to_string());
    assert_eq!(answer["subject"]["attributes"][0]["disputed"], false, "defaults are shown");
    assert_eq!(answer["notFound"], Value::Null);
    let seen = seen.lock().expect("no panic");
    let (metadata, message) = &seen[0];
    let request = GetSubjectRequest::decode(message.clone()).expect("a message");
    assert_eq!((request.kind.as_str(), request.purpose.expect("one").case_number.as_str()), ("person", "HS"));
    assert_eq!((value(metadata, "traceparent"), value(metadata, "accept-language")), ("00-1-2-01", "en"));
    assert_eq!((value(metadata, "grpc-timeout"), value(metadata, "content-type")), ("1500m", "application/grpc"));
    assert!(!metadata.contains_key("cookie"));
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_the_name_of_what_is_wrong_and_none_of_its_values() {
    let (mut door, seen) = door(vec![subject("An", 3, "a1")], ok());
    let cases = [
        (r#"{"kind":"person","birthday":"SECRET"}"#, "field_unknown", "birthday"),
        (r#"{"key":{"personalId":"1","SEC":"SECRET"}}"#, "field_unknown", "key.SEC"),
        (r#"{"minPositions":[{"index":"0"},{"index":"SECRET"}]}"#, "field_malformed", "minPositions[1].index"),
        (r#"{"fields":["SECRET",{"SECRET":1}]}"#, "field_malformed", "fields[1]"),
        (r#"{"knownAt":"SECRET"}"#, "field_malformed", "knownAt"),
        (r#"{"key":{"personalId":"SECRET","oldId":"SECRET"}}"#, "field_malformed", "key"),
        (r#"{"kind":"#, "message_malformed", ""),
        (r#"{"kind":"person"} SECRET"#, "message_malformed", ""),
        ("[\"SECRET\"]", "field_malformed", ""),
        ("\"SECRET\"", "field_malformed", ""),
        ("null", "field_malformed", ""),
    ];
    for (body, reason, field) in cases {
        let (status, headers, text) = ask(&mut door, post(GET_SUBJECT, body)).await;
        let problem = parsed(&text);
        assert_eq!((status, &problem["reason"]), (StatusCode::BAD_REQUEST, &reason.into()), "{body}: {text}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(problem["violations"][0]["field"].as_str().unwrap_or_default(), field, "{body}: {text}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(": ")), "what to do: {text}");
        assert!(!text.contains("SECRET"), "{text}");
    }
    let deep = "[".repeat(400);
    let (status, _, text) = ask(&mut door, post(GET_SUBJECT, deep)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert!(seen.lock().expect("no panic").is_empty(), "none of them reached the service");
}

#[tokio::test]
async fn what_does_not_belong_here_is_told_what_to_send() {
    let (mut door, _) = door(vec![GetStatusResponse::default().encode_to_vec()], ok());
    let with = |method: Method, path: &str, kind: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        request.body(Body::new(Full::new(Bytes::from("{}")))).expect("a request")
    };
    let json = "application/json";
    let publish = "/hub.ingest.v1.IngestService/Publish";
    let cases = [
        (with(Method::GET, GET_STATUS, json), 405, "verb_not_allowed"),
        (with(Method::PUT, WATCH, json), 405, "verb_not_allowed"),
        (with(Method::POST, "/openapi.json", json), 405, "verb_not_allowed"),
        (with(Method::POST, GET_STATUS, "text/plain"), 415, "content_type"),
        (with(Method::POST, GET_STATUS, "application/grpc"), 415, "grpc_needs_http2"),
        (with(Method::POST, publish, json), 415, "grpc_only"),
        (with(Method::POST, "/", json), 404, "method_unknown"),
        (with(Method::POST, "/hub.query.v1.QueryService/getStatus", json), 404, "method_unknown"),
        (with(Method::POST, "/hub.query.v1.QueryService/GetStatus/", json), 404, "method_unknown"),
        (post(GET_STATUS, vec![b' '; 1001]), 413, "message_bytes"),
    ];
    for (request, status, reason) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        let (found, headers, text) = ask(&mut door, request).await;
        assert_eq!((found.as_u16(), &parsed(&text)["reason"]), (status, &reason.into()), "{what}: {text}");
        assert_eq!(headers.contains_key("allow"), status == 405, "{what}");
    }
    let slow = Body::new(StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>()));
    let request = Request::post(GET_STATUS).header("content-type", json).body(slow).expect("a request");
    assert_eq!(ask(&mut door, request).await.0, StatusCode::REQUEST_TIMEOUT);
    let mut hurried = post(GET_STATUS, "{}");
    hurried.headers_mut().insert("connect-timeout-ms", "soon".parse().expect("a value"));
    assert_eq!(ask(&mut door, hurried).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&mut door, post(GET_STATUS, "")).await.0, StatusCode::OK, "nothing is the empty request");
    let grpc = Request::post(GET_STATUS).version(Version::HTTP_2).header("content-type", "application/grpc+proto");
    let grpc = grpc.body(Body::new(Full::new(Bytes::from_static(&[0; 5])))).expect("a request");
    let passed = door.ready().await.expect("ready").call(grpc).await.expect("answered").into_body();
    assert_eq!(passed.collect().await.expect("a body").to_bytes()[0], 0, "gRPC passes as it is");
}

#[tokio::test]
async fn a_refusal_has_the_facts_of_the_status_as_problem_details_and_in_connects_form() {
    let mut details =
        ErrorDetails::with_error_info("fields_missing", "hub", [("kind".to_owned(), "person".to_owned())]);
    details.add_bad_request_violation("fields", "name some");
    details.set_retry_info(Some(Duration::from_millis(1500)));
    let (mut door, _) = door(vec![], Status::with_error_details(Code::PermissionDenied, "no: ask", details));
    let (status, headers, text) = ask(&mut door, post(GET_SUBJECT, "{}")).await;
    assert_eq!((status, value(&headers, "retry-after")), (StatusCode::FORBIDDEN, "2"));
    let told = json!({
        "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "no: ask", "code": "permission_denied",
        "reason": "fields_missing", "domain": "hub", "metadata": { "kind": "person" },
        "violations": [{ "field": "fields", "description": "name some" }], "retryAfterMs": 1500,
    });
    assert_eq!(parsed(&text), told);
    let mut request = post(GET_SUBJECT, "{}");
    request.headers_mut().insert("connect-protocol-version", "1".parse().expect("a value"));
    let (status, headers, text) = ask(&mut door, request).await;
    assert_eq!((status, value(&headers, "content-type")), (StatusCode::FORBIDDEN, "application/json"));
    let told = parsed(&text);
    assert_eq!((&told["code"], &told["message"]), (&"permission_denied".into(), &"no: ask".into()));
    let kinds: Vec<_> = told["details"].as_array().expect("details").iter().map(|d| d["type"].clone()).collect();
    assert_eq!(kinds.len(), 3, "{text}");
    assert!(kinds.contains(&"google.rpc.ErrorInfo".into()) && kinds.contains(&"google.rpc.RetryInfo".into()));
}

#[tokio::test]
async fn the_same_said_again_has_the_same_validator_and_is_not_sent_again() {
    let asked = |tag: Option<&str>| {
        let mut request = post(GET_SUBJECT, "{}");
        if let Some(tag) = tag {
            request.headers_mut().insert("if-none-match", tag.parse().expect("a value"));
        }
        request
    };
    let (mut first, _) = door(vec![subject("An", 3, "a1")], ok());
    let (status, headers, _) = ask(&mut first, asked(None)).await;
    let tag = headers["etag"].to_str().expect("ASCII").to_owned();
    assert_eq!((status, value(&headers, "hub-access-id")), (StatusCode::OK, "a1"));
    let (mut later, seen) = door(vec![subject("An", 99, "a2")], ok());
    let (status, headers, text) = ask(&mut later, asked(Some(&tag))).await;
    assert_eq!((status, text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(
        (value(&headers, "etag"), value(&headers, "hub-access-id")),
        (tag.as_str(), "a2"),
        "another access, the same answer"
    );
    assert_eq!(seen.lock().expect("no panic").len(), 1, "the service was asked");
    let (mut other, _) = door(vec![subject("Bình", 3, "a3")], ok());
    let (status, headers, _) = ask(&mut other, asked(Some(&tag))).await;
    assert!(status == StatusCode::OK && headers["etag"] != tag.as_str());
    let (mut without, _) = door(vec![GetStatusResponse::default().encode_to_vec()], ok());
    assert!(!ask(&mut without, post(GET_STATUS, "{}")).await.1.contains_key("etag"), "it tells no basis");
}

fn changes(cursor: Option<u64>) -> Vec<u8> {
    let change = SubjectChange { subject: "ab".into(), ..SubjectChange::default() };
    let cursor = cursor.map(|at| ("change/0".to_owned(), at)).into_iter().collect();
    let changes = SubjectChanges { changes: vec![change], cursor, ..SubjectChanges::default() };
    WatchResponse { message: Some(watch_response::Message::Changes(changes)) }.encode_to_vec()
}

#[tokio::test]
async fn a_stream_is_events_whose_ids_resume_it() {
    let (mut stream, seen) =
        door(vec![changes(None), changes(Some(7))], Status::unavailable("the hub is stopping: later"));
    let listen = |id: Option<&str>| {
        let request = Request::get(format!("{WATCH}?message=%7B%22kind%22%3A%22person%22%7D"));
        let request = id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        request.body(Body::empty()).expect("a request")
    };
    let (status, headers, text) = ask(&mut stream, listen(None)).await;
    assert_eq!((status, value(&headers, "content-type")), (StatusCode::OK, "text/event-stream"), "{text}");
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 3, "{text}");
    assert!(events[0].starts_with("data: {"), "not everything up to a cut is told: no id");
    let (id, data) = events[1].strip_prefix("id: ").expect("an id").split_once("\ndata: ").expect("data");
    assert_eq!(parsed(data)["changes"]["cursor"], json!({ "change/0": "7" }));
    let problem = events[2].strip_prefix("event: error\ndata: ").expect("how it ended");
    assert_eq!(parsed(problem)["code"], "unavailable");
    ask(&mut stream, listen(Some(id))).await;
    let asked = WatchRequest::decode(seen.lock().expect("no panic")[1].1.clone()).expect("a message");
    assert_eq!((asked.kind.as_str(), asked.cursor["change/0"]), ("person", 7));

    let smuggled = WatchRequest { kind: "parcel".into(), ..asked }.encode_to_vec();
    let smuggled = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, smuggled);
    for id in ["", "!", "AAAA", smuggled.as_str()] {
        let (status, _, text) = ask(&mut stream, listen(Some(id))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{id}: {text}");
    }
    assert_eq!(seen.lock().expect("no panic").len(), 2, "none of these reached the service");
    let (mut ended, _) = door(vec![changes(Some(1))], ok());
    assert!(ask(&mut ended, listen(None)).await.2.ends_with("event: end\ndata: {}\n\n"));
    let (mut refused, _) = door(vec![], Status::permission_denied("no: ask"));
    assert_eq!(ask(&mut refused, post(WATCH, "{}")).await.0, StatusCode::FORBIDDEN, "before it begins it has a status");
}

#[tokio::test]
async fn the_description_is_served_with_a_validator() {
    let (mut door, _) = door(vec![], ok());
    let get = |tag: Option<&str>| {
        let request = Request::get("/openapi.json");
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-none-match", tag));
        request.body(Body::empty()).expect("a request")
    };
    let (status, headers, text) = ask(&mut door, get(None)).await;
    assert_eq!((status, &parsed(&text)["openapi"]), (StatusCode::OK, &"3.1.0".into()));
    let tag = headers["etag"].to_str().expect("ASCII").to_owned();
    assert_eq!(ask(&mut door, get(Some(&tag))).await.0, StatusCode::NOT_MODIFIED);
}
