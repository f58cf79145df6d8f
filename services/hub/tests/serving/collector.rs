//! A collector: takes traces, metrics and logs by OTLP/gRPC and keeps them as they came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1 as logs;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as traces;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// What arrived, request by request.
#[derive(Debug, Default, Clone)]
pub struct Arrived {
    pub traces: Vec<traces::ExportTraceServiceRequest>,
    pub metrics: Vec<metrics::ExportMetricsServiceRequest>,
    pub logs: Vec<logs::ExportLogsServiceRequest>,
}

impl Arrived {
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        let resources = self.traces.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
    }

    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        let resources = self.metrics.iter().flat_map(|request| &request.resource_metrics);
        resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics)
    }

    pub fn logs(&self) -> impl Iterator<Item = &LogRecord> {
        let resources = self.logs.iter().flat_map(|request| &request.resource_logs);
        resources.flat_map(|resource| &resource.scope_logs).flat_map(|scope| &scope.log_records)
    }

    /// The attributes of every resource that sent something.
    pub fn resources(&self) -> Vec<&[KeyValue]> {
        let traces = self.traces.iter().flat_map(|r| &r.resource_spans).map(|r| &r.resource);
        let metrics = self.metrics.iter().flat_map(|r| &r.resource_metrics).map(|r| &r.resource);
        let logs = self.logs.iter().flat_map(|r| &r.resource_logs).map(|r| &r.resource);
        traces.chain(metrics).chain(logs).flatten().map(|resource| resource.attributes.as_slice()).collect()
    }
}

/// The text of an attribute or a body; empty when it is none.
pub fn text(value: Option<&AnyValue>) -> &str {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        _ => "",
    }
}

/// The text of an attribute by its name.
pub fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> &'a str {
    text(attributes.iter().find(|attribute| attribute.key == name).and_then(|found| found.value.as_ref()))
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Arrived>>);

impl Sink {
    fn keep(&self, keep: impl FnOnce(&mut Arrived)) {
        keep(&mut self.0.lock().expect("no panic happens while it is held"));
    }
}

#[tonic::async_trait]
impl traces::trace_service_server::TraceService for Sink {
    async fn export(
        &self,
        request: Request<traces::ExportTraceServiceRequest>,
    ) -> Result<Response<traces::ExportTraceServiceResponse>, Status> {
        self.keep(|arrived| arrived.traces.push(request.into_inner()));
        Ok(Response::new(traces::ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl metrics::metrics_service_server::MetricsService for Sink {
    async fn export(
        &self,
        request: Request<metrics::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics::ExportMetricsServiceResponse>, Status> {
        self.keep(|arrived| arrived.metrics.push(request.into_inner()));
        Ok(Response::new(metrics::ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl logs::logs_service_server::LogsService for Sink {
    async fn export(
        &self,
        request: Request<logs::ExportLogsServiceRequest>,
    ) -> Result<Response<logs::ExportLogsServiceResponse>, Status> {
        self.keep(|arrived| arrived.logs.push(request.into_inner()));
        Ok(Response::new(logs::ExportLogsServiceResponse::default()))
    }
}

/// A collector on loopback, until it is dropped.
pub struct Collector {
    pub address: SocketAddr,
    sink: Sink,
    _stop: oneshot::Sender<()>,
}

/// What makes a hub export within moments instead of within a minute.
pub const SOON: [(&str, &str); 3] =
    [("OTEL_BSP_SCHEDULE_DELAY", "100"), ("OTEL_BLRP_SCHEDULE_DELAY", "100"), ("OTEL_METRIC_EXPORT_INTERVAL", "200")];

impl Collector {
    /// Starts it on the current tokio runtime.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let sink = Sink::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tonic::transport::Server::builder()
            .add_service(traces::trace_service_server::TraceServiceServer::new(sink.clone()))
            .add_service(metrics::metrics_service_server::MetricsServiceServer::new(sink.clone()))
            .add_service(logs::logs_service_server::LogsServiceServer::new(sink.clone()))
            .serve_with_incoming_shutdown(tokio_stream::wrappers::TcpListenerStream::new(listener), async move {
                // Its sender was dropped: the test is over.
                let _ = stopped.await;
            });
        tokio::spawn(serving);
        Self { address, sink, _stop: stop }
    }

    pub fn arrived(&self) -> Arrived {
        self.sink.0.lock().expect("no panic happens while it is held").clone()
    }

    /// Waits until what arrived is enough.
    pub async fn wait_for(&self, what: &str, enough: impl Fn(&Arrived) -> bool) -> Arrived {
        let begin = Instant::now();
        loop {
            let arrived = self.arrived();
            if enough(&arrived) {
                return arrived;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{what} did not arrive: {arrived:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The configuration of a hub that exports to this collector, and serves its metrics on a port of its own.
pub fn configuration(collector: &Collector, log_filter: &str) -> String {
    format!(
        "{}[telemetry]\nlog_format = \"json\"\nlog_filter = \"{log_filter}\"\notlp_endpoint = \"http://{}\"\n\
         trace_ratio = 1.0\nprometheus_listen = \"127.0.0.1:0\"\n",
        crate::hub::CONFIG,
        collector.address
    )
}
