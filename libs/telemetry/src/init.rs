//! Setting up the process.

use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, filter::ParseError};

use crate::endpoint::{self, Endpoint, Readiness};
use crate::metrics::Metrics;

/// What an exporter may still take when the process ends.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// The exporters' own libraries: what they log must not be exported, or each export would cause another.
const OWN_NOISE: [&str; 6] =
    ["h2=off", "hyper=off", "tonic=off", "tower=off", "opentelemetry=off", "opentelemetry_sdk=off"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to set up.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged: a level or `tracing` directives, such as `info` or `info,ingest=debug`.
    pub log_filter: String,
    /// Where traces, metrics and logs go by OTLP/gRPC, such as `http://127.0.0.1:4317`; nowhere when absent.
    pub otlp_endpoint: Option<String>,
    /// Share of traces that begin here and are recorded, 0 to 1. A caller's own decision comes first.
    pub trace_ratio: f64,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; nowhere when absent.
    pub prometheus_listen: Option<SocketAddr>,
    /// `service.name`.
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`: tells processes of one service apart.
    pub instance: String,
}

/// Why telemetry was not set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The log filter is neither a level nor a list of directives.
    #[error("the log filter is malformed")]
    Filter(#[from] ParseError),
    /// The metrics address cannot be listened on.
    #[error("cannot listen on {address} for metrics")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The OTLP endpoint is no usable URI.
    #[error("the OTLP endpoint is not usable")]
    Otlp(#[from] ExporterBuildError),
    /// The Prometheus exporter was refused.
    #[error("the metrics exporter cannot be set up")]
    Prometheus(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The process has a subscriber already.
    #[error("telemetry was set up twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry running. Dropping it sends what is still queued, at most 3 seconds per signal.
pub struct Guard {
    metrics: Metrics,
    readiness: Readiness,
    endpoint: Option<Endpoint>,
    meters: SdkMeterProvider,
    exporters: Option<(SdkTracerProvider, SdkLoggerProvider)>,
}

impl Guard {
    /// The hub's instruments.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What `/readyz` answers.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Where metrics are served, with the port that the system chose when 0 was asked for.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|endpoint| endpoint.address)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // An unreachable collector is not worth more than these bounded waits, and there is nobody left to tell.
        let _ = self.meters.shutdown_with_timeout(FLUSH_MAX);
        if let Some((traces, logs)) = &self.exporters {
            let _ = traces.shutdown_with_timeout(FLUSH_MAX);
            let _ = logs.shutdown_with_timeout(FLUSH_MAX);
        }
    }
}

/// Sets up the process. Call it once, on a multi-threaded tokio runtime, and keep the guard until the end.
///
/// # Errors
/// See [`InitError`]; a process in which it failed may still log through an own subscriber.
///
/// # Panics
/// Outside a tokio runtime, when an endpoint or a metrics address is given.
pub fn init(config: &TelemetryConfig) -> Result<Guard, InitError> {
    let resource = resource(config);
    let readiness = Readiness::new();
    let (meters, endpoint) = meters(config, &resource, &readiness)?;
    let exporters = config.otlp_endpoint.as_deref().map(|otlp| exporters(config, otlp, resource)).transpose()?;
    let mut layers = vec![lines(config)?];
    if let Some((traces, logs)) = &exporters {
        let tracer = traces.tracer("hub");
        layers.push(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(exported(config)?).boxed());
        layers.push(OpenTelemetryTracingBridge::new(logs).with_filter(exported(config)?).boxed());
    }
    tracing_subscriber::registry().with(layers).try_init()?;
    Ok(Guard { metrics: Metrics::new(&meters), readiness, endpoint, meters, exporters })
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn lines(config: &TelemetryConfig) -> Result<BoxedLayer, InitError> {
    let filter = EnvFilter::try_new(&config.log_filter)?;
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    Ok(match config.log_format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            layer.with_ansi(colours).with_filter(filter).boxed()
        }
        LogFormat::Json => layer.with_ansi(false).json().flatten_event(true).with_filter(filter).boxed(),
    })
}

fn exported(config: &TelemetryConfig) -> Result<EnvFilter, InitError> {
    let filter = EnvFilter::try_new(&config.log_filter)?;
    let quiet = |filter: EnvFilter, directive: &&str| {
        filter.add_directive(directive.parse().expect("the directives are constants of this file"))
    };
    Ok(OWN_NOISE.iter().fold(filter, quiet))
}

fn resource(config: &TelemetryConfig) -> Resource {
    Resource::builder()
        .with_service_name(config.service)
        .with_attribute(KeyValue::new("service.version", config.version))
        .with_attribute(KeyValue::new("service.instance.id", config.instance.clone()))
        .build()
}

fn meters(
    config: &TelemetryConfig,
    resource: &Resource,
    readiness: &Readiness,
) -> Result<(SdkMeterProvider, Option<Endpoint>), InitError> {
    let mut builder = SdkMeterProvider::builder().with_resource(resource.clone());
    if let Some(otlp) = &config.otlp_endpoint {
        let exporter = MetricExporter::builder().with_tonic().with_endpoint(otlp).build()?;
        builder = builder.with_periodic_exporter(exporter);
    }
    let mut served = None;
    if let Some(address) = config.prometheus_listen {
        let registry = prometheus::Registry::new();
        builder = builder.with_reader(opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?);
        let serve = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            endpoint::serve(listener, registry, readiness.clone())
        };
        served = Some(serve().map_err(|source| InitError::Listen { address, source })?);
    }
    Ok((builder.build(), served))
}

fn exporters(
    config: &TelemetryConfig,
    otlp: &str,
    resource: Resource,
) -> Result<(SdkTracerProvider, SdkLoggerProvider), InitError> {
    let spans = SpanExporter::builder().with_tonic().with_endpoint(otlp).build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_ratio)));
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(sampler)
        .with_batch_exporter(spans)
        .build();
    let records = LogExporter::builder().with_tonic().with_endpoint(otlp).build()?;
    let logs = SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(records).build();
    Ok((traces, logs))
}
