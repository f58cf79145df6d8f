//! What Prometheus and whoever restarts the hub see. One process-wide set-up, hence one test.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use telemetry::{Action, ChangeOutcome, Decision, INSTRUMENTS, InitError, LABELS, LogFormat, TelemetryConfig};

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").expect("an open connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an HTTP answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    (status, body.to_owned())
}

fn config() -> TelemetryConfig {
    TelemetryConfig {
        log_format: LogFormat::Json,
        log_filter: "warn".to_owned(),
        otlp_endpoint: None,
        trace_ratio: 1.0,
        prometheus_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        service: "hub",
        version: "0.0.0",
        instance: "test".to_owned(),
    }
}

fn record_everything(metrics: &telemetry::Metrics) {
    let took = Duration::from_micros(1_500);
    metrics.publish("civil").changes(ChangeOutcome::Accepted, 98);
    metrics.publish("civil").changes(ChangeOutcome::Rejected, 2);
    metrics.publish("civil").batch(took);
    metrics.log("change").append(98, 49_000, took);
    let fold = metrics.fold();
    fold.batch(98, 1, took);
    fold.lag(took);
    fold.behind(7);
    fold.quarantined(1);
    let query = metrics.query();
    query.request(Action::GetSubject, Decision::Refused, took);
    query.access_entries(1);
    let ledger = metrics.ledger();
    ledger.signed(1_763_791_978, 3, [98, 1, 1, 0]);
    ledger.behind(2);
}

fn labels(metrics: &str) -> BTreeSet<&str> {
    let samples = metrics.lines().filter(|line| line.starts_with("hub_"));
    let inside = samples.filter_map(|line| line.split_once('{')?.1.split_once('}').map(|(inside, _)| inside));
    inside.flat_map(|inside| inside.split(',')).filter_map(|pair| pair.split_once('=').map(|(name, _)| name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_shows_every_instrument_with_no_other_labels_and_says_when_it_is_ready() {
    let guard = telemetry::init(&config()).expect("the first set-up of this process");
    let address = guard.metrics_address().expect("an address was given");
    record_everything(guard.metrics());

    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200);
    for instrument in INSTRUMENTS {
        assert!(text.contains(&instrument.name.replace('.', "_")), "{} is not in {text}", instrument.name);
        assert!(text.contains(instrument.description), "{} has no help text", instrument.name);
        assert!(instrument.labels.iter().all(|label| LABELS.contains(label)), "{}", instrument.name);
    }
    let known: BTreeSet<&str> = LABELS.into_iter().chain(["le", "otel_scope_name"]).collect();
    assert!(labels(&text).is_subset(&known), "{:?}", labels(&text));
    let value = |line: &str| text.lines().any(|other| other == line);
    assert!(value("hub_fold_behind 7") || text.contains("hub_fold_behind{otel_scope_name=\"hub\"} 7"), "{text}");
    let rejected = text.lines().find(|line| line.contains("outcome=\"rejected\"")).expect("a sample per outcome");
    assert!(rejected.starts_with("hub_publish_changes_total{") && rejected.ends_with(" 2"), "{rejected}");

    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz"), (503, "not ready: starting\n".to_owned()));
    guard.readiness().ready();
    assert_eq!(get(address, "/readyz"), (200, "ready\n".to_owned()));
    guard.readiness().fault("the ledger does not follow the log");
    assert_eq!(get(address, "/readyz"), (200, "ready, but the ledger does not follow the log\n".to_owned()));
    guard.readiness().not_ready("stopping");
    assert_eq!(get(address, "/readyz"), (503, "not ready: stopping\n".to_owned()));

    let taken = TelemetryConfig { prometheus_listen: Some(address), ..config() };
    assert!(matches!(telemetry::init(&taken), Err(InitError::Listen { address: at, .. }) if at == address));
    let malformed = TelemetryConfig { log_filter: "hub=loud".to_owned(), prometheus_listen: None, ..config() };
    assert!(matches!(telemetry::init(&malformed), Err(InitError::Filter(_))));
    let again = TelemetryConfig { prometheus_listen: None, ..config() };
    assert!(matches!(telemetry::init(&again), Err(InitError::Twice(_))));

    drop(guard);
    tokio::task::yield_now().await;
    let closed = || TcpStream::connect(address).is_err();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !closed() {
        assert!(std::time::Instant::now() < deadline, "the endpoint outlives its guard");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
