//! Trace context from a publisher's request through a stored text to the span of the fold.

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use telemetry::trace::{self, NotTraceparent};
use tonic::metadata::MetadataMap;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

const PUBLISHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traced() -> DefaultGuard {
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
}

#[test]
fn the_fold_continues_the_trace_that_the_publisher_began() {
    let _guard = traced();
    let mut request = MetadataMap::new();
    request.insert("traceparent", PUBLISHER.parse().expect("ASCII"));
    assert_eq!(trace::traceparent_of(&request), Some(PUBLISHER));

    let publish = tracing::info_span!("publish");
    trace::continue_from_metadata(&publish, &request);
    let stored = trace::traceparent(&publish).expect("a traced span");
    assert!(stored.contains(TRACE_ID) && stored != PUBLISHER, "{stored}");

    let fold = tracing::info_span!("fold");
    assert_eq!(trace::continue_from(&fold, &stored), Ok(()));
    let folded = trace::traceparent(&fold).expect("a traced span");
    assert!(folded.contains(TRACE_ID) && folded != stored, "{folded}");

    let mut onward = MetadataMap::new();
    trace::inject(&fold, &mut onward);
    assert_eq!(trace::traceparent_of(&onward), Some(folded.as_str()));
}

#[test]
fn without_a_tracer_nothing_is_carried_and_nothing_fails() {
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry());
    let span = tracing::info_span!("publish");
    assert_eq!(trace::continue_from(&span, PUBLISHER), Ok(()));
    assert_eq!(trace::traceparent(&span), None);
    let mut request = MetadataMap::new();
    trace::inject(&span, &mut request);
    assert!(request.is_empty());
}

#[test]
fn malformed_context_is_refused_and_ignored_in_requests() {
    let table = [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-name=canary",
    ];
    for text in table {
        assert_eq!(trace::check(text), Err(NotTraceparent), "{text}");
        let mut request = MetadataMap::new();
        request.insert("traceparent", text.parse().expect("ASCII"));
        assert_eq!(trace::traceparent_of(&request), None, "{text}");
    }
    assert_eq!(trace::check(PUBLISHER), Ok(()));
}
