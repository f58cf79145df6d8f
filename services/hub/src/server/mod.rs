//! The hub as a running part: all roles in one process, started and stopped in order.
//!
//! Order: the data directory is taken, the log opened or begun, the views opened, the ledger started, then the door, the queries, the
//! administration and audits are served. Stopping goes the other way round, so that nothing is answered that is not done.

mod auditing;
mod background;
pub(crate) mod data_dir;
pub(crate) mod keys;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::audit::Ledger;
use event_log::EventLog;
use ingest::{
    Bootstrap, Bootstrapped, Cutter, Deps, Ingest, Limits, append_control, bootstrap, refusal_of_transport,
    system_clock, system_salts,
};
use projection::units::UnitList;
use record::control::{Control, Order};
use telemetry::{Guard, Readiness};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::transport::Server as Tonic;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tower::util::{MapResponseLayer, option_layer};
use view_store::{Options as StoreOptions, StoreKind};
use views::access_log::{AccessLog, AccessLogOptions, AccessLogTask};
use views::query::{Options as QueryOptions, Query};
use views::runtime::{Views, ViewsHandle, ViewsOptions};
use wire::admin::admin_service_server::AdminServiceServer;

use crate::admin::Admin;
use crate::config::Config;
use crate::erasure::Eraser;
use crate::error::{CommandError, told};
use crate::http_api;
use crate::listening::listen;
use crate::protos;

use background::{check_rows, retain, tell_health, to_catch_up_with, watch_log};

/// Requests of one connection that run at the same time; further ones wait.
const STREAMS_MAX: u32 = 256;
/// Memory of the store that holds the index of accesses.
const ACCESS_CACHE_BYTES: u64 = 32 << 20;
/// A peer that answers no ping for this long is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A hub that serves.
pub struct Server {
    /// Where it listens, with the port that the system chose when 0 was asked for.
    pub address: SocketAddr,
    /// Where the ledger's tiles are served, when they are.
    pub tiles: Option<SocketAddr>,
    /// What the views tell. Drop all clones before the data directory is opened again.
    pub handle: ViewsHandle,
    running: Running,
}

struct Running {
    log: EventLog,
    views: Views,
    ingest: Ingest,
    cutter: Cutter,
    access_log: AccessLogTask,
    ledger: Ledger,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    background: Vec<JoinHandle<()>>,
    stop: oneshot::Sender<()>,
    stopping: watch::Sender<bool>,
    stop_timeout: Duration,
    readiness: Readiness,
    // Dropped last: the directory is let go of when nothing works on it any more.
    _lock: data_dir::Lock,
}

/// Starts a hub on the configured data directory and address. `unit_lists` are loaded when the log is created, after those of the
/// configuration.
///
/// # Errors
/// One line: the port is taken, the directory cannot be used or is in use, a secret is missing, the views belong to another log.
pub async fn start(config: &Config, telemetry: &Guard, unit_lists: Vec<UnitList>) -> Result<Server, CommandError> {
    // First, so that a taken port or a missing certificate changes nothing on the disk.
    let (incoming, address) = listen(config).await?;
    let tiles = auditing::listen(config).await?;
    let mut opened = data_dir::open(config)?;
    let log = opened.log.clone();
    let mut lists = configured_unit_lists(config)?;
    lists.extend(unit_lists);
    begin(&opened, lists).await?;
    clear_scratch(&config.top.data_dir.join("scratch"))?;
    let log_id = name_of(&log)?;
    let keys = opened.keys.take().map(|(store, _)| store);
    let views = start_views(config, &opened, log_id, telemetry).await?;
    let handle = views.handle.clone();
    let eraser = Eraser::new(keys, handle.clone());
    let ingest = Ingest::new(deps(config, &opened, &handle, telemetry));
    let cutter = Cutter::start(log.clone(), handle.control.clone(), system_clock(), system_salts());
    let stopping = watch::Sender::new(false);
    let (query, access_log, recording) =
        start_query(config, &opened, log_id, &handle, telemetry, stopping.subscribe()).await?;
    let ledger = auditing::start_ledger(config, &log, &opened.key, telemetry)?;
    let audit = auditing::service(&log, ledger.handle.clone(), &handle, &access_log, stopping.subscribe());
    let (stop, stopped) = oneshot::channel::<()>();
    let (health, health_service) = tonic_health::server::health_reporter();
    let message_bytes = config.grpc.message_bytes_max as usize;
    // A folder of its own: views of the past stand beside it.
    let scratch = config.top.data_dir.join("scratch").join("verify");
    let admin = Admin::new(handle.clone(), eraser.clone(), config.keys.second_person, scratch, stopping.subscribe());
    let json = config.http.enabled.then(|| http_api::layer(config, &opened.secret));
    let router = Tonic::builder()
        .accept_http1(config.http.enabled)
        .http2_keepalive_interval(Some(Duration::from_millis(config.grpc.keepalive_interval_ms)))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .layer(option_layer(json))
        .layer(MapResponseLayer::new(typed))
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(ingest.service())
        .add_service(query.service().max_decoding_message_size(message_bytes))
        .add_service(AdminServiceServer::new(admin).max_decoding_message_size(message_bytes))
        .add_service(audit.service().max_decoding_message_size(message_bytes));
    let stopped = async move {
        // An error means that the server was dropped: that stops it too.
        let _ = stopped.await;
    };
    let serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming.into_stream(), stopped));
    let (stalled, watching) = watch_log(log.clone(), stopping.subscribe());
    let mut background = vec![
        watching,
        tokio::spawn(tell_health(
            health,
            telemetry.readiness().clone(),
            ingest.writable(),
            handle.status.clone(),
            stalled,
            to_catch_up_with(&log),
            stopping.subscribe(),
        )),
        tokio::spawn(check_rows(
            handle.clone(),
            Duration::from_secs(u64::from(config.store.check_interval_s)),
            stopping.subscribe(),
        )),
        tokio::spawn(eraser.watch_start(stopping.subscribe())),
        tokio::spawn(retain(log.clone(), config.log.access_retention_days, stopping.subscribe())),
    ];
    let tiles = auditing::serve_tiles(config, tiles, ledger.handle.clone(), stopping.subscribe());
    let tiles = tiles.map(|(address, serving)| {
        background.push(serving);
        address
    });
    let stop_timeout = Duration::from_millis(config.grpc.stop_timeout_ms);
    let readiness = telemetry.readiness().clone();
    let lock = opened.lock;
    let running = Running {
        log,
        views,
        ingest,
        cutter,
        access_log: recording,
        ledger,
        serving,
        background,
        stop,
        stopping,
        stop_timeout,
        readiness,
        _lock: lock,
    };
    Ok(Server { address, tiles, handle, running })
}

impl Server {
    /// Takes no more requests, ends those that run (within the configured time), makes everything durable and lets go of the directory.
    ///
    /// # Errors
    /// The fold had stopped before, and why.
    pub async fn stop(self) -> Result<(), CommandError> {
        let Self { handle, running, .. } = self;
        drop(handle);
        running.readiness.not_ready("stopping");
        running.stopping.send_replace(true);
        // Fails when the server has ended already.
        let _ = running.stop.send(());
        end_serving(running.serving, running.stop_timeout).await;
        running.ingest.shutdown().await;
        running.access_log.stop().await;
        // After the last access: the last cut covers everything, and the ledger signs it.
        running.cutter.shutdown().await;
        let ledger = running.ledger;
        if let Err(error) = tokio::task::spawn_blocking(move || ledger.stop()).await {
            tracing::error!(%error, "stopping the ledger ended in a panic");
        }
        for task in running.background {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task ended in a panic");
            }
        }
        let views = running.views;
        let folded = tokio::task::spawn_blocking(move || views.stop()).await;
        running.log.close().await;
        match folded {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(fold_stopped(&told(&error))),
            Err(panic) => Err(fold_stopped(&panic.to_string())),
        }
    }
}

fn fold_stopped(why: &str) -> CommandError {
    CommandError::failed(
        format!("the fold had stopped: {why}"),
        "see the hub's log; the views can be folded again from the log",
    )
}

async fn end_serving(mut serving: JoinHandle<Result<(), tonic::transport::Error>>, patience: Duration) {
    match tokio::time::timeout(patience, &mut serving).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::error!(error = %told(&error), "the server ended with an error"),
        Ok(Err(error)) => tracing::error!(%error, "the server ended in a panic"),
        Err(_elapsed) => {
            tracing::warn!(waited_ms = patience.as_millis(), "requests still run and are cut off");
            serving.abort();
            let _ = serving.await;
        }
    }
}

/// The unit lists that the configuration names: files in the hub's own format, oldest first.
///
/// # Errors
/// A file cannot be read or is no unit list.
pub fn configured_unit_lists(config: &Config) -> Result<Vec<UnitList>, CommandError> {
    config.top.unit_lists.iter().map(|path| read_unit_list(&config.path(path))).collect()
}

fn read_unit_list(path: &std::path::Path) -> Result<UnitList, CommandError> {
    let wrong = |what: String| {
        CommandError::usage(
            format!("unit_lists: {}: {what}", path.display()),
            "name files that 'hub units import --out FILE' wrote",
        )
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    UnitList::decode(&bytes).map_err(|error| wrong(error.to_string()))
}

async fn begin(opened: &data_dir::DataDir, unit_lists: Vec<UnitList>) -> Result<(), CommandError> {
    let keys = opened.keys.as_ref().map(|(store, _)| {
        let status = store.status();
        Order::Keys { ring: status.ring.0, wrapping: status.wrapping.0 }
    });
    let (clock, salts) = (system_clock(), system_salts());
    let first = Bootstrap {
        kinds: protos::kinds(),
        unit_lists,
        keys: keys.clone(),
        clock: clock.clone(),
        salts: salts.clone(),
    };
    let begun = bootstrap(&opened.log, &opened.secret, &first).await.map_err(|error| {
        CommandError::failed(told(&error), "restore the data directory from one copy, log and secrets together")
    })?;
    match (begun, keys) {
        (Bootstrapped::Written(entries), _) => {
            tracing::info!(
                entries,
                "a new log was begun: contracts, policy, procedures and the linkage model are its first entries"
            );
        }
        // A log from before bodies were encrypted: from here on they are.
        (Bootstrapped::Verified, Some(order)) if opened.keys.as_ref().is_some_and(|(_, made)| *made) => {
            append_control(&opened.log, &Control::by_hub(order), &clock, &salts).await.map_err(|error| {
                CommandError::failed(format!("the keys are not in the log: {}", told(&error)), "start the hub again")
            })?;
        }
        (Bootstrapped::Verified, _) => {}
    }
    Ok(())
}

/// What views and indexes belong to.
/// Removes what a killed hub has left of replays and views of the past: it may hold what is erased since.
fn clear_scratch(dir: &std::path::Path) -> Result<(), CommandError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CommandError::failed(
            format!("cannot clear {}: {error}", dir.display()),
            "let the hub's user own the data directory",
        )),
        _ => Ok(()),
    }
}

fn name_of(log: &EventLog) -> Result<[u8; 16], CommandError> {
    let named = log.log_id().map_err(|error| {
        CommandError::failed(
            format!("the log's first entry cannot be read: {}", told(&error)),
            "bring its brokers back",
        )
    })?;
    Ok(named.expect("a log that was begun has a first entry"))
}

async fn start_views(
    config: &Config,
    opened: &data_dir::DataDir,
    log_id: [u8; 16],
    telemetry: &Guard,
) -> Result<Views, CommandError> {
    let store = if config.store.kind == "sled" { StoreKind::Sled } else { StoreKind::Fjall };
    let options = ViewsOptions {
        dir: config.top.data_dir.join("views"),
        store: StoreOptions { store, cache_bytes: config.store.cache_bytes, ..StoreOptions::default() },
        batch_entries_max: config.store.batch_records as usize,
        batch_bytes_max: 16 << 20,
        rebuild: true,
    };
    let (log, secret, metrics) = (opened.log.clone(), opened.secret.clone(), telemetry.metrics().clone());
    let started = tokio::task::spawn_blocking(move || Views::start(log, log_id, secret, options, &metrics)).await;
    let started = started.map_err(|panic| CommandError::failed(format!("the views: {panic}"), "see the hub's log"))?;
    started.map_err(|error| {
        CommandError::failed(
            format!("the views cannot be opened: {}", told(&error)),
            "mend what is named; the views can always be folded again from the log",
        )
    })
}

async fn start_query(
    config: &Config,
    opened: &data_dir::DataDir,
    log_id: [u8; 16],
    handle: &ViewsHandle,
    telemetry: &Guard,
    stopping: watch::Receiver<bool>,
) -> Result<(Query, AccessLog, AccessLogTask), CommandError> {
    let options = AccessLogOptions {
        store: handle.store,
        cache_bytes: ACCESS_CACHE_BYTES,
        log_id,
        clock: system_clock(),
        metrics: Arc::new(telemetry.metrics().query()),
    };
    let dir = config.top.data_dir.join("access-index");
    let (access_log, task) = AccessLog::start(opened.log.clone(), dir, options).await.map_err(|error| {
        CommandError::failed(
            format!("the index of accesses cannot be opened: {}", told(&error)),
            "mend what is named; the index can always be built again from the log",
        )
    })?;
    let options = QueryOptions {
        waiting_max: config.limits.queries_max as usize,
        scratch: Some(config.top.data_dir.join("scratch")),
        stopping,
        ..QueryOptions::new(system_clock(), env!("CARGO_PKG_VERSION"), telemetry.metrics().clone())
    };
    Ok((Query::new(handle.clone(), access_log.clone(), options), access_log, task))
}

fn deps(config: &Config, opened: &data_dir::DataDir, handle: &ViewsHandle, telemetry: &Guard) -> Deps {
    let limits = Limits { stream_batches_max: config.limits.batches_in_flight as usize, ..Limits::default() };
    Deps {
        log: opened.log.clone(),
        secret: opened.secret.clone(),
        key: opened.key.clone(),
        origin: config.top.origin.clone(),
        control: handle.control.clone(),
        access: handle.access.clone(),
        heads: handle.reader.clone(),
        folded: handle.folded.clone(),
        limits,
        clock: system_clock(),
        salts: system_salts(),
        metrics: telemetry.metrics().clone(),
    }
}

/// What the transport refuses by itself, such as bytes that are no message, says what to do like everything else that is refused.
fn typed(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()).as_ref().and_then(refusal_of_transport) {
        Some(status) => status.into_http(),
        None => response,
    }
}

/// The API, and the contracts that are built in; others are had by `GetContract`.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, CommandError> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    for contract in contract::builtin() {
        builder = builder.register_encoded_file_descriptor_set(contract.descriptor_set);
    }
    builder.build_v1().map_err(|error| {
        CommandError::failed(
            format!("the API's own descriptors cannot be read: {}", told(&error)),
            "report this build of the hub as broken",
        )
    })
}
