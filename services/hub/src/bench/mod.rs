//! Rates of a hub of its own on a temporary directory, beside those of handlers that do nothing.

mod empty;
mod load;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use identity::{CertPaths, ClientTls};
use nation::Nation;
use record::{Positions, Stream};
use tonic::transport::{Channel, Endpoint};

use crate::commands::dev_certs;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, told};
use crate::listening::telemetry_config;
use crate::server::{self, Server};

/// Persons of the nation whose changes are published.
const PERSONS: u32 = 20_000;
/// Changes of a batch.
const BATCH: usize = 100;
/// Batches on their way, and queries on their way.
const IN_FLIGHT: usize = 16;

/// What to measure, and for how long each.
pub struct Plan {
    /// Publishing, and the fold of what was published.
    pub publish: bool,
    /// Querying.
    pub query: bool,
    /// Longest time of each measurement; publishing ends earlier when the nation has no more changes.
    pub each: Duration,
    /// Seed of the nation.
    pub seed: u64,
}

/// One measured rate.
pub struct Row {
    /// What was done.
    pub what: &'static str,
    /// What was counted.
    pub unit: &'static str,
    /// So many a second.
    pub per_s: f64,
    /// A handler that does nothing, in the same run.
    pub limit_per_s: Option<f64>,
}

impl Row {
    /// The share of the limit that was reached.
    pub fn ratio(&self) -> Option<f64> {
        self.limit_per_s.map(|limit| self.per_s / limit.max(f64::MIN_POSITIVE))
    }
}

/// Measures.
///
/// # Errors
/// The temporary hub cannot start or stops answering.
pub async fn run(plan: &Plan, context: &Context) -> Result<Vec<Row>, CommandError> {
    let dir = tempfile::tempdir().map_err(|error| {
        CommandError::failed(format!("no temporary directory: {error}"), "set TMPDIR to a writable place")
    })?;
    let mut config = Config::default();
    config.top.data_dir = dir.path().to_owned();
    config.grpc.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.grpc.stop_timeout_ms = 1_000;
    config.telemetry.log_filter = if context.global.verbose > 0 { "debug" } else { "warn" }.to_owned();
    dev_certs::ensure(&config)?;
    let guard = telemetry::init(&telemetry_config(&config, std::process::id().to_string()))
        .map_err(|error| CommandError::failed(told(&error), "try again"))?;
    let hub = server::start(&config, &guard, Vec::new()).await?;
    let idle = empty::start(&config).await?;
    let measured = measure(plan, &config, &hub, idle.address).await;
    idle.stop().await;
    hub.stop().await?;
    measured
}

async fn measure(plan: &Plan, config: &Config, hub: &Server, idle: SocketAddr) -> Result<Vec<Row>, CommandError> {
    let nation = Nation::new(nation::Config { persons: PERSONS, seed: plan.seed })
        .map_err(|error| CommandError::failed(error.to_string(), "try another seed"))?;
    let changes: Vec<_> = nation.changes("civil").map(load::wire_change).collect();
    let mut rows = Vec::new();
    let publisher = |address| connect(config, address, "register/civil");
    // Querying needs records too.
    let begun = Instant::now();
    let published = load::publish(publisher(hub.address).await?, &changes, plan.each).await?;
    let folded = folded(hub).await?;
    let together = folded as f64 / begun.elapsed().as_secs_f64().max(0.001);
    if plan.publish {
        let limit = load::publish(publisher(idle).await?, &changes, plan.each).await?;
        rows.push(Row {
            what: "publish, batches of 100, durable",
            unit: "changes",
            per_s: published.per_s,
            limit_per_s: Some(limit.per_s),
        });
    }
    if plan.publish {
        let alone = fold_alone(hub).await?;
        let limit_per_s = Some(alone);
        rows.push(Row { what: "publish and fold together", unit: "changes", per_s: together, limit_per_s });
        rows.push(Row { what: "fold alone, from scratch", unit: "changes", per_s: alone, limit_per_s: None });
    }
    if plan.query {
        let ids = load::personal_ids(&nation);
        let portal = |address| connect(config, address, "portal/national");
        let per_s = load::query(portal(hub.address).await?, &ids, plan.each).await?;
        let limit = load::query(portal(idle).await?, &ids, plan.each).await?;
        rows.push(Row { what: "get_subject, access entry durable", unit: "queries", per_s, limit_per_s: Some(limit) });
    }
    Ok(rows)
}

/// Folds what was published from scratch beside the views, and tells how many changes a second.
async fn fold_alone(hub: &Server) -> Result<f64, CommandError> {
    let handle = hub.handle.clone();
    let scratch = tempfile::tempdir().map_err(|error| {
        CommandError::failed(format!("no temporary directory: {error}"), "set TMPDIR to a writable place")
    })?;
    let verified = tokio::task::spawn_blocking(move || {
        let dir = scratch.path().join("views");
        let claim = views::verify::Claim::of(&handle)?;
        views::verify::verify(&handle.log, &handle.secret, &claim, &dir, handle.store, |_, _| true)
    });
    let verified = verified.await.map_err(|error| CommandError::failed(error.to_string(), "run with -v to see why"))?;
    let verified = verified.map_err(|error| CommandError::failed(error.to_string(), "run with -v to see why"))?;
    let verified = verified.expect("a verification that is never told to stop has a result");
    if !verified.equal() {
        return Err(CommandError::failed(
            "the fold from scratch has another digest than the live views",
            "this is a fault of the hub: report it",
        ));
    }
    Ok(verified.entries as f64 / verified.elapsed.as_secs_f64().max(0.001))
}

/// Waits until the fold has everything, and tells how many changes.
async fn folded(hub: &Server) -> Result<u64, CommandError> {
    let mut positions = hub.handle.folded.clone();
    let changes = |positions: &Positions| -> u64 { positions.of(Stream::Change).total() };
    let end = changes(&hub.handle.log.ends());
    let reached = positions.wait_for(|positions| changes(positions) >= end).await;
    reached.map(|_| end).map_err(|_| CommandError::failed("the fold has stopped", "run with -v to see why"))
}

async fn connect(config: &Config, address: SocketAddr, caller: &str) -> Result<Channel, CommandError> {
    let failed = |error: &dyn std::error::Error| CommandError::failed(told(error), "try again");
    let tls =
        ClientTls::load(&CertPaths::dev_client(&config.dev_certs_dir(), caller)).map_err(|error| failed(&error))?;
    let endpoint = Endpoint::from_shared(format!("https://{address}")).map_err(|error| failed(&error))?;
    let endpoint = endpoint.tcp_nodelay(true).tls_config(tls.tonic()).map_err(|error| failed(&error))?;
    endpoint.connect().await.map_err(|error| failed(&error))
}
