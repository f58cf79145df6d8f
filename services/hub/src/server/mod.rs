//! The hub as a running part: the roles of this process, started and stopped in order.
//!
//! Order: the data directory is taken, the log opened or begun, the views opened, the ledger started, then the door, the queries, the
//! administration and audits are served. Stopping goes the other way round, so that nothing is answered that is not done.

mod auditing;
mod background;
mod control;
mod copies;
pub(crate) mod data_dir;
pub(crate) mod door;
pub(crate) mod keys;
mod peers;
pub(crate) mod roles;
pub(crate) mod signing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::audit::Ledger;
use event_log::EventLog;
use ingest::{
    Bootstrap, Bootstrapped, Candidate, Cutter, Deps, Ingest, Limits, append_control, bootstrap, refusal_of_transport,
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
use views::quality_history::QualityHistory;
use views::query::{Options as QueryOptions, Query};
use views::runtime::{Views, ViewsHandle, ViewsOptions};
use wire::admin::admin_service_server::AdminServiceServer;

use crate::admin::{Admin, SecondPerson};
use crate::config::Config;
use crate::erasure::{Eraser, Held};
use crate::error::{CommandError, told};
use crate::http_api;
use crate::listening::listen;
use crate::protos;

use background::{
    check_rows, fill_local, retain, sample_quality, standing_of, tell_health, to_catch_up_with, watch_log,
};
use copies::Copies;
use peers::Peers;
use roles::Roles;

/// Requests of one connection that run at the same time; further ones wait.
const STREAMS_MAX: u32 = 256;
/// Memory of the store that holds the index of accesses.
const ACCESS_CACHE_BYTES: u64 = 32 << 20;
/// What a stream may send that is not read yet.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same of a whole connection: a stream that is held back leaves room for the calls beside it.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
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
    cutter: Option<Cutter>,
    access_log: AccessLogTask,
    ledger: Option<Ledger>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    background: Vec<JoinHandle<()>>,
    stop: oneshot::Sender<()>,
    stopping: watch::Sender<bool>,
    drain: Duration,
    stop_timeout: Duration,
    readiness: Readiness,
    // Dropped last: the directory is let go of when nothing works on it any more.
    _lock: data_dir::Lock,
}

/// Starts a hub on the configured data directory and address, with roles that need views. `unit_lists` are loaded when the log is created, after
/// those of the configuration.
///
/// # Errors
/// One line: the port is taken, the directory cannot be used or is in use, a secret is missing, the views belong to another log.
pub async fn start(config: &Config, telemetry: &Guard, unit_lists: Vec<UnitList>) -> Result<Server, CommandError> {
    let roles = Roles::of(config)?;
    // First, so that a taken port or a missing certificate changes nothing on the disk.
    let (incoming, address) = listen(config).await?;
    let tiles = if roles.audit { auditing::listen(config).await? } else { None };
    let policy = first_policy(config)?;
    let mut opened = data_dir::open(config, &roles).await?;
    let log = opened.log.clone();
    if let Begun::Nobody = begun(&opened) {
        let mut lists = configured_unit_lists(config)?;
        lists.extend(unit_lists);
        begin(&opened, lists, policy).await?;
    }
    clear_scratch(&config.top.data_dir.join("scratch"))?;
    let log_id = name_of(&log)?;
    let options = views_options(config);
    copies::take(config, &log, log_id, &options, telemetry.readiness()).await?;
    let views = start_views(options, &opened, log_id, telemetry).await?;
    let handle = views.handle.clone();
    let eraser = Eraser::new(std::mem::replace(&mut opened.keys, Held::Plain), handle.clone(), &config.top.data_dir);
    opened.signing.settle(&handle.control.load())?;
    let signers = opened.signing.signers();
    let ingest = Ingest::new(deps(config, &roles, &opened, &handle, telemetry));
    let cutter = roles.audit.then(|| start_cutter(config, &log, &handle)).transpose()?;
    let stopping = watch::Sender::new(false);
    let (query, access_log, recording) =
        start_query(config, &opened, log_id, &handle, telemetry, stopping.subscribe()).await?;
    let ledger = match &cutter {
        Some(cutter) => Some(auditing::start_ledger(config, &log, &signers, telemetry, cutter.writes())?),
        None => None,
    };
    let audit = ledger
        .as_ref()
        .map(|ledger| auditing::service(&log, ledger.handle.clone(), &handle, &access_log, stopping.subscribe()));
    let (stop, stopped) = oneshot::channel::<()>();
    let (health, health_service) = tonic_health::server::health_reporter();
    let message_bytes = config.grpc.message_bytes_max as usize;
    // A folder of its own: views of the past stand beside it.
    let scratch = config.top.data_dir.join("scratch").join("verify");
    let second_person =
        SecondPerson { erasures: config.keys.second_person, orders: config.admin.second_person.clone() };
    let signing = opened.signing.clone();
    let admin = Admin::new(handle.clone(), eraser.clone(), signing, second_person, scratch, stopping.subscribe());
    let json = config.http.enabled.then(|| http_api::layer(config, &opened.secret));
    let gives = peers::are_given(config, &roles);
    let peers = gives.then(|| Peers::service(config, &opened));
    let copies = copies::are_given(config).then(|| Copies::service(config, log_id, &handle, stopping.subscribe()));
    let services = services(&roles);
    let router = tonic_server(config)
        .layer(option_layer(json))
        .layer(MapResponseLayer::new(typed))
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(ingest.service())
        .add_service(query.service().max_decoding_message_size(message_bytes))
        .add_service(AdminServiceServer::new(admin).max_decoding_message_size(message_bytes))
        .add_optional_service(audit.map(|audit| audit.service().max_decoding_message_size(message_bytes)))
        .add_optional_service(peers)
        .add_optional_service(copies);
    let stopped = async move {
        // An error means that the server was dropped: that stops it too.
        let _ = stopped.await;
    };
    let serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming.into_stream(), stopped));
    let (stalled, watching) = watch_log(log.clone(), stopping.subscribe());
    let readiness = telemetry.readiness().clone();
    let standing = standing_of(&handle, to_catch_up_with(&log));
    let (writable, ends) = (ingest.writable(), stopping.subscribe());
    let mut background = vec![
        watching,
        tokio::spawn(tell_health(health, services, readiness.clone(), writable, standing, stalled, ends)),
        tokio::spawn(check_rows(
            handle.clone(),
            Duration::from_secs(u64::from(config.store.check_interval_s)),
            stopping.subscribe(),
        )),
        tokio::spawn(eraser.follow(log.kind() == "kafka", stopping.subscribe())),
        tokio::spawn(opened.signing.clone().follow(
            config.clone(),
            log.clone(),
            handle.control.clone(),
            stopping.subscribe(),
        )),
        tokio::spawn(retain(log.clone(), config.log.access_retention_days, stopping.subscribe())),
    ];
    if roles.views {
        if let Some(target) = to_catch_up_with(&log) {
            background.push(tokio::spawn(fill_local(handle.clone(), log.clone(), target, stopping.subscribe())));
        }
        background.push(tokio::spawn(sample_quality(handle.clone(), quality_history(config), stopping.subscribe())));
    }
    let tiles = ledger
        .as_ref()
        .and_then(|ledger| auditing::serve_tiles(config, tiles, ledger.handle.clone(), stopping.subscribe()));
    let tiles = tiles.map(|(address, serving)| {
        background.push(serving);
        address
    });
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
        drain: Duration::from_millis(config.grpc.drain_ms),
        stop_timeout: Duration::from_millis(config.grpc.stop_timeout_ms),
        readiness,
        _lock: opened.lock,
    };
    Ok(Server { address, tiles, handle, running })
}

/// Names of the services that a process with views has, as health checks know them.
fn services(roles: &Roles) -> Vec<&'static str> {
    let mut services =
        vec![wire::ingest::ingest_service_server::SERVICE_NAME, wire::admin::admin_service_server::SERVICE_NAME];
    // Also where the role is audit alone: for the status, and for whoever asks there.
    services.push(wire::query::query_service_server::SERVICE_NAME);
    services.extend(roles.audit.then_some(wire::audit::audit_service_server::SERVICE_NAME));
    services
}

fn tonic_server(config: &Config) -> Tonic {
    Tonic::builder()
        .accept_http1(config.http.enabled)
        .http2_keepalive_interval(Some(Duration::from_millis(config.grpc.keepalive_interval_ms)))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// Writes cuts where this process is the log's only one, else when it is elected.
fn start_cutter(config: &Config, log: &EventLog, handle: &ViewsHandle) -> Result<Cutter, CommandError> {
    let mut process = [0; 16];
    getrandom::fill(&mut process).map_err(|error| {
        CommandError::failed(format!("the system gives no random bytes: {error}"), "mend the system")
    })?;
    let patience = Duration::from_millis(config.roles.takeover_after_ms);
    let candidate = (log.kind() == "kafka").then_some(Candidate { process, patience });
    Ok(Cutter::start(log.clone(), handle.control.clone(), candidate, system_clock(), system_salts()))
}

impl Server {
    /// Says that it is not ready and serves on for as long as that takes to be seen; then takes no more requests, ends those that run (within the configured time), makes everything durable and lets go of the directory.
    ///
    /// # Errors
    /// The fold had stopped before, and why.
    pub async fn stop(self) -> Result<(), CommandError> {
        let Self { handle, running, .. } = self;
        drop(handle);
        running.readiness.not_ready("stopping");
        tokio::time::sleep(running.drain).await;
        running.stopping.send_replace(true);
        running.ingest.end_streams();
        // Fails when the server has ended already.
        let _ = running.stop.send(());
        end_serving(running.serving, running.stop_timeout).await;
        running.ingest.shutdown().await;
        running.access_log.stop().await;
        // After the last access: the last cut covers everything, and the ledger signs it.
        if let Some(cutter) = running.cutter {
            cutter.shutdown().await;
        }
        let ledger = running.ledger;
        if let Err(error) = tokio::task::spawn_blocking(move || ledger.map(Ledger::stop)).await {
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

/// The policy that a new log begins with, as the configuration names it. Where there is a log already the file is not needed any more.
///
/// # Errors
/// A new log is to be begun, and the file cannot be read or is no policy.
pub fn first_policy(config: &Config) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(path) = config.top.policy.as_ref().map(|path| config.path(path)) else { return Ok(None) };
    let wrong = |what: String| {
        let next = "name a policy document in the configuration; 'hub init' writes one to start from";
        CommandError::usage(format!("policy: {}: {what}", path.display()), next)
    };
    let document = match std::fs::read(&path) {
        Ok(document) => document,
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && config.top.data_dir.join("secret").join("log").exists() =>
        {
            return Ok(None);
        }
        Err(error) => return Err(wrong(error.to_string())),
    };
    access::PolicyDocument::parse(&document).map_err(|error| wrong(told(&error)))?;
    Ok(Some(document))
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

/// Who begins the log.
enum Begun {
    /// Another process: this one was given its secrets.
    Elsewhere,
    /// This process, if nobody has yet.
    Nobody,
}

fn begun(opened: &data_dir::DataDir) -> Begun {
    if opened.given { Begun::Elsewhere } else { Begun::Nobody }
}

async fn begin(
    opened: &data_dir::DataDir,
    unit_lists: Vec<UnitList>,
    policy: Option<Vec<u8>>,
) -> Result<(), CommandError> {
    let keys = match &opened.keys {
        Held::File(store) => {
            let status = store.status();
            Some(Order::Keys { ring: status.ring.0, wrapping: status.wrapping.0 })
        }
        Held::Plain | Held::Memory(_) => None,
    };
    let (clock, salts) = (system_clock(), system_salts());
    let first = Bootstrap {
        kinds: protos::kinds(),
        unit_lists,
        policy,
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
        (Bootstrapped::Verified, Some(order)) if opened.keys_made => {
            append_control(&opened.log, &Control::by_hub(order), &clock, &salts).await.map_err(|error| {
                CommandError::failed(format!("the keys are not in the log: {}", told(&error)), "start the hub again")
            })?;
        }
        (Bootstrapped::Verified, _) => {}
    }
    Ok(())
}

/// Removes what a killed hub has left of replays and views of the past: it may hold what is erased since. The folder itself stays,
/// because it may be a disk of its own.
fn clear_scratch(dir: &std::path::Path) -> Result<(), CommandError> {
    let clear = || {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    clear().or_else(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(CommandError::failed(
            format!("cannot clear {}: {error}", dir.display()),
            "let the hub's user own the data directory",
        )),
    })
}

/// What views and indexes belong to.
fn name_of(log: &EventLog) -> Result<[u8; 16], CommandError> {
    let named = log.log_id().map_err(|error| {
        CommandError::failed(
            format!("the log's first entry cannot be read: {}", told(&error)),
            "bring its brokers back",
        )
    })?;
    Ok(named.expect("a log that was begun has a first entry"))
}

fn views_options(config: &Config) -> ViewsOptions {
    let store = if config.store.kind == "sled" { StoreKind::Sled } else { StoreKind::Fjall };
    ViewsOptions {
        dir: config.top.data_dir.join("views"),
        store: StoreOptions { store, cache_bytes: config.store.cache_bytes, ..StoreOptions::default() },
        batch_entries_max: config.store.batch_records as usize,
        batch_bytes_max: 16 << 20,
        rebuild: true,
    }
}

async fn start_views(
    options: ViewsOptions,
    opened: &data_dir::DataDir,
    log_id: [u8; 16],
    telemetry: &Guard,
) -> Result<Views, CommandError> {
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
        quality: Some(quality_history(config)),
        stopping,
        ..QueryOptions::new(system_clock(), env!("CARGO_PKG_VERSION"), telemetry.metrics().clone())
    };
    Ok((Query::new(handle.clone(), access_log.clone(), options), access_log, task))
}

fn quality_history(config: &Config) -> QualityHistory {
    QualityHistory::new(config.top.data_dir.join("quality"))
}

fn deps(config: &Config, roles: &Roles, opened: &data_dir::DataDir, handle: &ViewsHandle, telemetry: &Guard) -> Deps {
    let limits = Limits { stream_batches_max: config.limits.batches_in_flight as usize, ..Limits::default() };
    Deps {
        log: opened.log.clone(),
        secret: opened.secret.clone(),
        signers: opened.signing.signers(),
        origin: config.top.origin.clone(),
        control: handle.control.clone(),
        access: handle.access.clone(),
        heads: Some(handle.reader.clone()),
        folded: handle.folded.clone(),
        takes: door::takes(roles),
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
