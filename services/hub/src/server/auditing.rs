//! The ledger and the audit service, joined with the parts of this process that they need.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use audit::tiles::Listener;
use audit::{Audit, Deps, Ledger, LedgerHandle, LedgerOptions, Recorder, Subjects, Witnesses};
use event_log::EventLog;
use futures::FutureExt as _;
use ingest::system_clock;
use ledger::Signers;
use projection::FOLD_VERSION;
use record::{Partition, Stream};
use telemetry::Guard;
use tokio::sync::watch;
use views::access_log::{AccessLog, Basis};
use views::runtime::ViewsHandle;

use crate::config::Config;
use crate::error::{CommandError, told};

/// Folder of the ledger within the data directory.
const LEDGER_DIR: &str = "ledger";

/// Listens where tiles are to be served; before anything is opened, so that a taken port changes nothing on the disk.
pub(super) async fn listen(config: &Config) -> Result<Option<Listener>, CommandError> {
    let Some(address) = config.ledger.listen else { return Ok(None) };
    let bound = Listener::bind(address).await.map_err(|error| {
        CommandError::failed(
            format!("cannot listen on {address} for tiles: {error}"),
            "stop what listens there or change ledger.listen",
        )
    })?;
    Ok(Some(bound))
}

/// Starts to follow the log. Witnesses are asked while `asks` is true: of several processes that keep the same ledger one is enough.
pub(super) fn start_ledger(
    config: &Config,
    log: &EventLog,
    signers: &Arc<Signers>,
    telemetry: &Guard,
    asks: watch::Receiver<bool>,
) -> Result<Ledger, CommandError> {
    let keys = &config.ledger;
    let options = LedgerOptions {
        dir: config.top.data_dir.join(LEDGER_DIR),
        origin: config.top.origin.clone(),
        checkpoint_interval: Duration::from_millis(keys.checkpoint_interval_ms),
        commit_interval: Duration::from_millis(keys.commit_interval_ms),
        verify_on_start: keys.verify_on_start,
    };
    let witnesses = witnesses(config, signers)?;
    let (log, signers, readiness) = (log.clone(), Arc::clone(signers), telemetry.readiness().clone());
    Ledger::start(log, signers, options, witnesses, asks, telemetry.metrics(), readiness).map_err(|error| {
        CommandError::failed(format!("the ledger's thread cannot be started: {error}"), "raise the limit on threads")
    })
}

fn witnesses(config: &Config, signers: &Arc<Signers>) -> Result<Option<Witnesses>, CommandError> {
    let Some(path) = &config.ledger.witnesses else { return Ok(None) };
    let path = config.path(path);
    let wrong = |what: String| {
        CommandError::usage(
            format!("ledger.witnesses: {}: {what}", path.display()),
            "name a trust policy (c2sp.org/tlog-policy) with the URLs of witnesses, and a 'quorum' line",
        )
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let tls = match Witnesses::needs_tls(&text) {
        false => None,
        true => Some(identity::anonymous_client(&config.path(&config.ledger.witness_ca)).map_err(|error| {
            CommandError::usage(format!("ledger.witness_ca: {}", told(&error)), "name a PEM file with authorities")
        })?),
    };
    Witnesses::new(&text, Arc::clone(signers), tls).map(Some).map_err(|error| wrong(told(&error)))
}

/// The audit service.
pub(super) fn service(
    log: &EventLog,
    ledger: LedgerHandle,
    handle: &ViewsHandle,
    access_log: &AccessLog,
    stopping: watch::Receiver<bool>,
) -> Audit {
    Audit::new(Deps {
        log: log.clone(),
        secret: handle.secret.clone(),
        ledger,
        access: handle.access.clone(),
        control: handle.control.clone(),
        heads: handle.reader.clone(),
        record: recorder(handle, access_log),
        subjects: subjects(handle),
        clock: system_clock(),
        stopping,
    })
}

/// Writes an audit's access down like any other.
fn recorder(handle: &ViewsHandle, access_log: &AccessLog) -> Recorder {
    let (handle, access_log) = (handle.clone(), access_log.clone());
    Arc::new(move |access| {
        let positions = handle.folded.borrow().clone();
        let basis = Basis {
            control: positions.get(Stream::Control, Partition(0)),
            positions,
            fold_version: FOLD_VERSION,
            model_epoch: handle.control.load().model.as_ref().map_or(0, |known| known.model.epoch()),
            policy: *handle.access.load().policy_hash().as_bytes(),
        };
        let access_log = access_log.clone();
        async move { access_log.record(Arc::new(basis), access).await.map_err(|error| told(&error)) }.boxed()
    })
}

fn subjects(handle: &ViewsHandle) -> Subjects {
    let reader = handle.reader.clone();
    Arc::new(move |mention, max| {
        let view = reader.view().map_err(|error| told(&error))?;
        views::mentions::records_of(&view, mention, max).map_err(|error| told(&error))
    })
}

/// Serves tiles, when they are to be served. Tells where.
pub(super) fn serve_tiles(
    config: &Config,
    listener: Option<Listener>,
    ledger: LedgerHandle,
    stopping: watch::Receiver<bool>,
) -> Option<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = listener?;
    let address = listener.address;
    Some((address, listener.serve(ledger, config.ledger.requests_max as usize, stopping)))
}
