//! What a hub tells of itself arrives at a collector.

use wire::query::subject_key::Key;

use crate::client::{ask, batch, changes, letters, publish};
use crate::collector::{Collector, SOON, attribute, configuration, text};
use crate::hub::{Hub, configured};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_publishers_trace_goes_through_the_log_to_the_fold_and_metrics_and_logs_arrive() {
    let collector = Collector::start().await;
    let dir = configured();
    std::fs::write(dir.path().join("hub.toml"), configuration(&collector, "info")).expect("writable");
    let hub = Hub::start_in(dir.path(), &SOON);

    let mut request =
        tonic::Request::new(wire::ingest::PublishBatchRequest { batch: Some(batch("civil", changes("civil", 20))) });
    let traceparent = format!("00-{TRACE_ID}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
    let mut client = hub.ingest("register/civil").await;
    let result = client.publish_batch(request).await.expect("answered").into_inner().result.expect("a result");
    assert_eq!(letters(&result), "a".repeat(20));

    let of_trace = |name: &'static str| {
        move |span: &&opentelemetry_proto::tonic::trace::v1::Span| span.name == name && hex(&span.trace_id) == TRACE_ID
    };
    let arrived = collector.wait_for("the fold's span", |arrived| arrived.spans().any(|s| of_trace("fold")(&s))).await;
    let span = |name| arrived.spans().find(of_trace(name)).unwrap_or_else(|| panic!("no span {name}: {arrived:?}"));
    let (call, publish_span, fold) = (span("ingest"), span("publish"), span("fold"));
    assert_eq!(hex(&call.parent_span_id), PARENT, "the call continues the publisher's span");
    assert_eq!(publish_span.parent_span_id, call.span_id, "the batch is a part of the call");
    assert_eq!(fold.parent_span_id, publish_span.span_id, "the fold continues what the log carried");
    assert!(fold.start_time_unix_nano >= publish_span.start_time_unix_nano, "the fold comes after");

    // A caller that decided against recording is not recorded.
    let mut silent = tonic::Request::new(ask(Key::PersonalId("099000000001".into()), &["full_name"]));
    let unsampled = traceparent.replace("-01", "-00").replace("4bf9", "5bf9");
    silent.metadata_mut().insert("traceparent", unsampled.parse().expect("ASCII"));
    let mut portal = hub.query("portal/national").await;
    portal.get_subject(silent).await.expect("answered");
    portal.get_subject(ask(Key::PersonalId("099000000001".into()), &["full_name"])).await.expect("answered");

    let names = ["hub.publish.changes", "hub.log.append.duration", "hub.fold.entries", "hub.query.requests"];
    let arrived = collector
        .wait_for("every metric", |arrived| {
            names.iter().all(|name| arrived.metrics().any(|metric| metric.name == *name))
                && arrived.spans().any(|span| span.name == "query")
        })
        .await;
    assert!(arrived.spans().all(|span| !hex(&span.trace_id).starts_with("5bf9")), "its caller did not want it");

    let started = |arrived: &crate::collector::Arrived| {
        arrived.logs().any(|log| text(log.body.as_ref()).contains("a new log was begun"))
    };
    let arrived = collector.wait_for("the log line of the start", started).await;
    for resource in arrived.resources() {
        assert_eq!(attribute(resource, "service.name"), "hub");
        assert_eq!(attribute(resource, "service.instance.id"), hub.process().to_string());
        assert!(!attribute(resource, "service.version").is_empty());
    }
    assert!(hub.metrics("/metrics").contains("hub_publish_changes_total"), "{}", hub.metrics("/metrics"));
    assert!(hub.metrics("/readyz").ends_with("ready\n"));

    // What is still queued is sent when the hub stops.
    assert_eq!(hub.stop().code(), Some(0));
    let stopped = |arrived: &crate::collector::Arrived| arrived.logs().any(|log| text(log.body.as_ref()) == "stopped");
    collector.wait_for("the last log line", stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let collector = Collector::start().await;
    let dir = configured();
    std::fs::write(dir.path().join("hub.toml"), configuration(&collector, "info")).expect("writable");
    drop(collector);
    let hub = Hub::start_in(dir.path(), &SOON);
    let mut client = hub.ingest("register/civil").await;
    let result = publish(&mut client, batch("civil", changes("civil", 5))).await.expect("answered");
    assert_eq!(letters(&result), "aaaaa");
    assert_eq!(hub.folded()["records"], 5);
    assert_eq!(hub.stop().code(), Some(0));
}
