//! A process that only takes changes. It keeps nothing: what it needs it reads from the log, and its secrets it is given.
//!
//! A change that is sent again through another such process may be appended again; the fold counts it once.

use std::net::SocketAddr;
use std::time::Duration;

use ingest::{Deps, Ingest, Limits, Takes, system_clock, system_salts};
use record::{Partition, Stream};
use telemetry::{Guard, Readiness};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tower::util::{MapResponseLayer, option_layer};

use super::background::{Standing, tell_health, watch_log};
use super::control::ControlFollower;
use super::roles::Roles;
use super::{data_dir, end_serving, reflection, tonic_server, typed};
use crate::admin::ContractReads;
use crate::config::Config;
use crate::error::{CommandError, told};
use crate::http_api;
use crate::listening::listen;

/// Identities of changes that such a process remembers, so that a retry is answered as one. About 120 bytes each.
const REMEMBERED_MAX: usize = 1_000_000;

/// A process that takes changes.
pub(crate) struct Door {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: event_log::EventLog,
    ingest: Ingest,
    follower: ControlFollower,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    background: Vec<JoinHandle<()>>,
    stop: oneshot::Sender<()>,
    stopping: watch::Sender<bool>,
    drain: Duration,
    stop_timeout: Duration,
    readiness: Readiness,
    _lock: data_dir::Lock,
}

/// Starts it.
///
/// # Errors
/// One line: the port is taken, the brokers do not answer, the secrets are refused.
pub(crate) async fn start(config: &Config, roles: &Roles, telemetry: &Guard) -> Result<Door, CommandError> {
    let (incoming, address) = listen(config).await?;
    let opened = data_dir::open(config, roles).await?;
    let log = opened.log.clone();
    if let super::Begun::Nobody = super::begun(&opened) {
        super::begin(&opened, super::configured_unit_lists(config)?, super::first_policy(config)?).await?;
    }
    let (follows, keys) = (log.clone(), opened.keys.ring());
    let follower = tokio::task::spawn_blocking(move || ControlFollower::start(&follows, keys)).await;
    let follower = follower.map_err(|panic| CommandError::failed(panic.to_string(), "see the hub's log"))?;
    let follower = follower.map_err(|error| {
        CommandError::failed(format!("the control stream: {}", told(&error)), "mend what is named, then start it again")
    })?;
    opened.signing.settle(&follower.control.load())?;
    let limits = Limits {
        stream_batches_max: config.limits.batches_in_flight as usize,
        unfolded_max: REMEMBERED_MAX,
        ..Limits::default()
    };
    let ingest = Ingest::new(Deps {
        log: log.clone(),
        secret: opened.secret.clone(),
        signers: opened.signing.signers(),
        origin: config.top.origin.clone(),
        control: follower.control.clone(),
        access: follower.access.clone(),
        heads: None,
        folded: watch::channel(log.ends()).1,
        takes: takes(roles),
        limits,
        clock: system_clock(),
        salts: system_salts(),
        metrics: telemetry.metrics().clone(),
    });
    let stopping = watch::Sender::new(false);
    let (stop, stopped) = oneshot::channel::<()>();
    let (health, health_service) = tonic_health::server::health_reporter();
    let json = config.http.enabled.then(|| http_api::layer(config, &opened.secret));
    let router = tonic_server(config)
        .layer(option_layer(json))
        .layer(MapResponseLayer::new(typed))
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(ingest.service())
        .add_service(ContractReads::new(log.clone(), follower.control.clone()));
    let stopped = async move {
        // An error means that the server was dropped: that stops it too.
        let _ = stopped.await;
    };
    let serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming.into_stream(), stopped));
    let (stalled, watching) = watch_log(log.clone(), stopping.subscribe());
    let target = log.ends().get(Stream::Control, Partition(0));
    let (read, broken) = (follower.read.clone(), follower.stopped.clone());
    let standing = move || {
        let stopped = *broken.borrow();
        Standing { gone: stopped, stopped, caught_up: *read.borrow() >= target }
    };
    let readiness = telemetry.readiness().clone();
    let (writable, ends) = (ingest.writable(), stopping.subscribe());
    let services = vec![wire::ingest::ingest_service_server::SERVICE_NAME];
    let control = follower.control.clone();
    let keys = tokio::spawn(opened.signing.follow(config.clone(), log.clone(), control, stopping.subscribe()));
    let health = tokio::spawn(tell_health(health, services, readiness.clone(), writable, standing, stalled, ends));
    Ok(Door {
        address,
        log,
        ingest,
        follower,
        serving,
        background: vec![watching, keys, health],
        stop,
        stopping,
        drain: Duration::from_millis(config.grpc.drain_ms),
        stop_timeout: Duration::from_millis(config.grpc.stop_timeout_ms),
        readiness,
        _lock: opened.lock,
    })
}

/// Whose changes a process takes.
pub(super) fn takes(roles: &Roles) -> Takes {
    match (roles.ingest, roles.registers.is_empty()) {
        (false, _) => Takes::Nothing,
        (true, true) => Takes::All,
        (true, false) => Takes::Only(roles.registers.iter().cloned().collect()),
    }
}

impl Door {
    /// Says that it is not ready, serves on for as long as that takes to be seen, then ends what runs and makes everything durable.
    pub(crate) async fn stop(self) {
        self.readiness.not_ready("stopping");
        self.stopping.send_replace(true);
        tokio::time::sleep(self.drain).await;
        self.ingest.end_streams();
        // Fails when the server has ended already.
        let _ = self.stop.send(());
        end_serving(self.serving, self.stop_timeout).await;
        self.ingest.shutdown().await;
        for task in self.background {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task ended in a panic");
            }
        }
        let follower = self.follower;
        if let Err(error) = tokio::task::spawn_blocking(move || follower.stop()).await {
            tracing::error!(%error, "following the control stream ended in a panic");
        }
        self.log.close().await;
    }
}
