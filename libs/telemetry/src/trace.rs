//! W3C trace context: in gRPC metadata between processes, as text in a change's envelope between publish and fold.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{KeyRef, MetadataKey, MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// Longest `traceparent` of version 00, in bytes (W3C Trace Context, section 3.2).
pub const TRACEPARENT_BYTES: usize = 55;

/// The text is no W3C `traceparent`. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct NotTraceparent;

struct Metadata<'a>(&'a MetadataMap);

impl Extractor for Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        let ascii = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(ascii).collect()
    }
}

struct MetadataMut<'a>(&'a mut MetadataMap);

impl Injector for MetadataMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), MetadataValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

struct Text(Option<String>);

impl Extractor for Text {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == TRACEPARENT)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

impl Injector for Text {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = Some(value);
        }
    }
}

/// Makes `span` a child of the caller's span, when the request names one. Call it before the span is entered.
pub fn continue_from_metadata(span: &Span, metadata: &MetadataMap) {
    let context = TraceContextPropagator::new().extract(&Metadata(metadata));
    set_parent(span, context);
}

/// Writes the trace context of `span` into a request's metadata. Nothing is written when it is not traced.
pub fn inject(span: &Span, metadata: &mut MetadataMap) {
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut MetadataMut(metadata));
    }
}

/// The `traceparent` of `span`; `None` when it is not traced.
pub fn traceparent(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let mut text = Text(None);
    TraceContextPropagator::new().inject_context(&span.context(), &mut text);
    text.0
}

/// The `traceparent` that a request came with, as text, when it is well formed.
pub fn traceparent_of(metadata: &MetadataMap) -> Option<&str> {
    let text = metadata.get(TRACEPARENT)?.to_str().ok()?;
    check(text).ok().map(|()| text)
}

/// Whether the text is a `traceparent` of version 00 that names a trace.
///
/// # Errors
/// It is not.
pub fn check(traceparent: &str) -> Result<(), NotTraceparent> {
    remote(traceparent).map(|_| ())
}

/// Makes `span` a child of the span that `traceparent` names, so that the fold continues the publisher's trace. Call it
/// before the span is entered.
///
/// # Errors
/// The text is malformed; the span keeps its own parent.
pub fn continue_from(span: &Span, traceparent: &str) -> Result<(), NotTraceparent> {
    set_parent(span, remote(traceparent)?);
    Ok(())
}

fn remote(traceparent: &str) -> Result<Context, NotTraceparent> {
    if traceparent.len() != TRACEPARENT_BYTES {
        return Err(NotTraceparent);
    }
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Text(Some(traceparent.to_owned())));
    if context.span().span_context().is_valid() { Ok(context) } else { Err(NotTraceparent) }
}

fn set_parent(span: &Span, context: Context) {
    // Fails when nothing is traced, when the span is filtered out, or when it was entered already: in none of them may a
    // trace stop the work that it describes.
    let _ = span.set_parent(context);
}
