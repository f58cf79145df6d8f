//! `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts or routes.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, RwLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use prometheus::{Registry, TextEncoder};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Whether the hub can serve requests now. Starts as not ready. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<RwLock<Told>>);

#[derive(Debug)]
struct Told {
    obstacle: Option<&'static str>,
    /// How far it is with what it is not ready because of.
    progress: Option<String>,
    fault: Option<&'static str>,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RwLock::new(Told { obstacle: Some("starting"), progress: None, fault: None })))
    }

    /// Requests can be served.
    pub fn ready(&self) {
        self.set(None);
    }

    /// Requests cannot be served, because of `reason`, such as `catching up` or `stopping`.
    pub fn not_ready(&self, reason: &'static str) {
        self.set(Some(reason));
    }

    /// How far the hub is with what it is not ready because of; forgotten with the reason.
    pub fn progress(&self, progress: String) {
        self.0.write().expect("no holder of this lock can panic").progress = Some(progress);
    }

    /// Why requests cannot be served; `None` when they can.
    pub fn obstacle(&self) -> Option<&'static str> {
        self.0.read().expect("no holder of this lock can panic").obstacle
    }

    /// Something beside requests does not work, such as `the ledger does not follow the log`: requests are served, and `/readyz`
    /// says so in its answer. It stays until the process ends; of several, the first is told.
    pub fn fault(&self, fault: &'static str) {
        self.0.write().expect("no holder of this lock can panic").fault.get_or_insert(fault);
    }

    fn set(&self, obstacle: Option<&'static str>) {
        let mut told = self.0.write().expect("no holder of this lock can panic");
        (told.obstacle, told.progress) = (obstacle, None);
    }

    fn told(&self) -> (bool, String) {
        let state = self.0.read().expect("no holder of this lock can panic");
        match (state.obstacle, state.fault) {
            (Some(reason), _) => {
                let progress = state.progress.as_ref().map_or_else(String::new, |progress| format!(": {progress}"));
                (false, format!("not ready: {reason}{progress}\n"))
            }
            (None, Some(fault)) => (true, format!("ready, but {fault}\n")),
            (None, None) => (true, "ready\n".to_owned()),
        }
    }
}

#[derive(Clone)]
struct Shared {
    registry: Registry,
    readiness: Readiness,
}

/// The running endpoint. Dropping it stops it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves on a bound, non-blocking listener. Needs a tokio runtime.
pub(crate) fn serve(listener: TcpListener, registry: Registry, readiness: Readiness) -> std::io::Result<Endpoint> {
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Shared { registry, readiness });
    let task = tokio::spawn(async move {
        let stopped = async move { stopped.await.unwrap_or_default() };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the metrics endpoint ended");
        }
    });
    Ok(Endpoint { address, _stop: stop, task })
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.readiness.told() {
        (true, text) => text.into_response(),
        (false, text) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}
