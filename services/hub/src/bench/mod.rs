//! Figures of a hub of its own on a temporary directory, each beside a limit of the same run.
//!
//! A run publishes a synthetic nation of four registers over mutual TLS, client and hub on one machine, and measures at its end,
//! when the views hold all of it. What is measured against: handlers that do nothing, behind the same transport and with the same
//! messages; the same bytes in memory; the same fold when the log was short.

mod empty;
mod figure;
mod fold;
#[cfg(feature = "kafka")]
mod kafka;
mod load;
mod overload;
mod process;
mod replay;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use identity::{CertPaths, ClientTls};
use nation::{Nation, REGISTERS};
use record::{Positions, Stream};
use tonic::transport::{Channel, Endpoint};
use views::runtime::{StartError, ViewsHandle};
use wire::admin::RegisterContractRequest;
use wire::admin::admin_service_client::AdminServiceClient;

use crate::commands::dev_certs;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, told};
use crate::listening::telemetry_config;
use crate::progress::Progress;
use crate::server::{self, Server};
use crate::synthetic::unit_lists;

use figure::{Budget, Figure, Limit};
use load::{Load, Source, p99_ms};

pub use figure::Row;

/// Changes of a batch.
const BATCH: usize = 100;
/// Batches of a stream on their way; of queries twice as many.
const IN_FLIGHT: usize = 16;
/// Changes that a person of the nation brings, at least.
const CHANGES_PER_PERSON: u64 = 5;
/// Changes of a burst at most; all of them lie in memory before it begins.
const BURST_MAX: u64 = 100_000;
/// Persons that are asked for again and again.
const WARM: usize = 1_000;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Everything.
    All,
    /// A burst of publishing, against an empty handler on the same streams; publishing and fold together.
    Publish,
    /// The fold from scratch: rates at the end of the log, time of linkage.
    Fold,
    /// The fold in bulk, as a rebuild does it, against the fold in the order of the log.
    Bulk,
    /// Publishing at three times the maximum, questions meanwhile; one publisher and one search beside others.
    Overload,
    /// From publishing to the views, at half of the maximum load.
    Visible,
    /// Queries with durable access entries, warm and half cold, against an empty call; one at a time beside a rebuild of the views.
    Query,
    /// Verification of the log and a filtered replay, against the same work in memory.
    Replay,
    /// What a change costs at the log's end, by stage, against its beginning.
    Growth,
    /// The first answer after a kill; memory and processor of a hub that does nothing.
    Restart,
}

/// How to measure.
pub struct Plan {
    /// What.
    pub measure: Measure,
    /// Changes that are published before anything is measured at the end, about.
    pub records: u64,
    /// Longest time of each loop of queries and of steady publishing.
    pub each: Duration,
    /// How often everything is done, each time with a new hub.
    pub runs: u32,
    /// Seed of the nation.
    pub seed: u64,
    /// Brokers that the hub's log is to be on; `None`: files of the temporary directory.
    #[cfg(feature = "kafka")]
    pub kafka: Option<String>,
}

impl Plan {
    fn has(&self, measure: Measure) -> bool {
        self.measure == Measure::All || self.measure == measure
    }
}

/// Measures.
///
/// # Errors
/// The temporary hub cannot start or stops answering.
pub async fn run(plan: &Plan, context: &Context) -> Result<Vec<Row>, CommandError> {
    let mut config = Config::default();
    config.telemetry.log_filter = if context.global.verbose > 0 { "debug" } else { "warn" }.to_owned();
    let guard = telemetry::init(&telemetry_config(&config, std::process::id().to_string()))
        .map_err(|error| CommandError::failed(told(&error), "try again"))?;
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        runs.push(one_run(plan, config.clone(), &guard, context.output.is_json()).await?);
    }
    Ok(Row::of_runs(&runs))
}

async fn one_run(
    plan: &Plan,
    mut config: Config,
    guard: &telemetry::Guard,
    quiet: bool,
) -> Result<Vec<Figure>, CommandError> {
    let dir = tempfile::tempdir().map_err(|error| {
        CommandError::failed(format!("no temporary directory: {error}"), "set TMPDIR to a writable place")
    })?;
    config.top.data_dir = dir.path().to_owned();
    config.grpc.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.grpc.stop_timeout_ms = 1_000;
    dev_certs::ensure(&config)?;
    // Dropped after the hub has stopped.
    #[cfg(feature = "kafka")]
    let _topics = kafka::configure(plan, &mut config)?;
    let persons = (plan.records / CHANGES_PER_PERSON).clamp(nation::PERSONS_MIN.into(), nation::PERSONS_MAX.into());
    let persons = u32::try_from(persons).expect("it was clamped to 32 bits");
    let nation = Nation::new(nation::Config { persons, seed: plan.seed })
        .map_err(|error| CommandError::failed(error.to_string(), "try another seed"))?;
    let hub = server::start(&config, guard, unit_lists(&nation)).await?;
    let idle = empty::start(&config).await?;
    let mut bench = Bench { plan, config: &config, hub: &hub, idle: idle.address, figures: Vec::new(), quiet };
    let measured = bench.measure(&nation).await;
    let mut figures = bench.figures;
    idle.stop().await;
    hub.stop().await?;
    let known = measured?;
    if plan.has(Measure::Restart) {
        figures.extend(process::measure(&config, &known).await?);
        figures.extend(binary_size());
    }
    Ok(figures)
}

fn binary_size() -> Option<Figure> {
    let bytes = std::env::current_exe().and_then(std::fs::metadata).ok()?.len();
    let value = bytes as f64 / f64::from(1 << 20);
    Some(Figure { name: "binary", value, unit: "MiB", limit: None, budget: Budget::None })
}

/// One run.
struct Bench<'a> {
    plan: &'a Plan,
    config: &'a Config,
    hub: &'a Server,
    idle: SocketAddr,
    figures: Vec<Figure>,
    quiet: bool,
}

impl Bench<'_> {
    /// Measures what a running hub is needed for; a personal number that it knows.
    async fn measure(&mut self, nation: &Nation) -> Result<String, CommandError> {
        self.register_population().await?;
        let publishers = self.publishers(self.hub.address).await?;
        let mut source = Source::new(nation);
        let burst = BURST_MAX.min(self.plan.records / 2);
        let steady = burst / 2;
        let flood = if self.plan.has(Measure::Overload) { steady } else { 0 };
        self.fill(&publishers, &mut source, self.plan.records.saturating_sub(burst + steady + flood)).await?;
        let (published, together) = self.publish(&publishers, source.take(burst as usize)).await?;
        if self.plan.has(Measure::Overload) {
            self.overload(&publishers, &mut source, flood as usize, published).await?;
        }
        if self.plan.has(Measure::Visible) {
            self.visible(&publishers, source.take(steady as usize), together / 2.0).await?;
        }
        let known = source.personal_ids.first().cloned();
        let known = known.ok_or_else(|| CommandError::usage("no person was published", "give more --records"))?;
        if self.plan.has(Measure::Query) {
            self.query(&source.personal_ids).await?;
        }
        let hub = process::status_kib(std::process::id(), "VmHWM");
        self.figures.extend(hub.filter(|_| self.plan.has(Measure::Publish)).map(|kib| Figure {
            name: "memory",
            value: kib / 1024.0,
            unit: "MiB",
            limit: None,
            budget: Budget::None,
        }));
        if self.plan.has(Measure::Replay) {
            let auditor = connect_to(self.config, self.hub.address, "auditor/main").await?;
            self.figures.extend(replay::measure(&auditor, &self.hub.handle).await?);
        }
        if self.plan.has(Measure::Fold) || self.plan.has(Measure::Growth) {
            let growth = self.plan.has(Measure::Growth);
            self.fold(move |handle| fold::measure(handle, growth)).await?;
            #[cfg(feature = "kafka")]
            self.figures.extend(kafka::reading(self.plan, &self.hub.handle).await?);
        }
        if self.plan.has(Measure::Bulk) {
            self.fold(fold::bulk).await?;
        }
        Ok(known)
    }

    async fn register_population(&self) -> Result<(), CommandError> {
        let operator = connect_to(self.config, self.hub.address, "operator/ops").await?;
        let request = RegisterContractRequest {
            descriptors: nation::population_descriptor_set().to_vec(),
            reason: "the population register joins".to_owned(),
            dry_run: false,
        };
        AdminServiceClient::new(operator).register_contract(request).await?;
        Ok(())
    }

    async fn publishers(&self, address: SocketAddr) -> Result<Vec<Channel>, CommandError> {
        let mut channels = Vec::new();
        for register in REGISTERS {
            channels.push(connect_to(self.config, address, &format!("register/{register}")).await?);
        }
        Ok(channels)
    }

    /// What is there before anything is measured.
    async fn fill(&self, publishers: &[Channel], source: &mut Source<'_>, changes: u64) -> Result<(), CommandError> {
        let progress = Progress::new("fill", "changes", Some(changes), self.quiet);
        let mut left = changes;
        while left > 0 {
            let load = source.take(left.min(BURST_MAX) as usize);
            let taken = load.changes as u64;
            if taken == 0 {
                break;
            }
            load::publish(publishers, load).await?;
            self.folded().await?;
            progress.add(taken);
            left = left.saturating_sub(taken);
        }
        progress.finish();
        Ok(())
    }

    /// A burst; tells how many changes a second were published, and published and folded.
    async fn publish(&mut self, publishers: &[Channel], load: Load) -> Result<(f64, f64), CommandError> {
        let changes = load.changes as f64;
        let empty = match self.plan.has(Measure::Publish) {
            true => Some(load::publish(&self.publishers(self.idle).await?, load.clone()).await?),
            false => None,
        };
        let begun = Instant::now();
        let published = load::publish(publishers, load).await?;
        self.folded().await?;
        let together = changes / begun.elapsed().as_secs_f64().max(1e-3);
        if let Some(value) = empty {
            let limit = Some(Limit { what: "an empty handler on the same streams", value });
            let budget = Budget::AtLeast(150_000.0, Some(0.10));
            let unit = "changes/s";
            self.figures.push(Figure { name: "publish", value: published, unit, limit, budget });
            #[cfg(feature = "kafka")]
            self.figures.extend(kafka::figure(self.plan, self.config, &self.hub.handle.log, published).await?);
            let budget = Budget::AtLeast(15_000.0, None);
            self.figures.push(Figure { name: "publish_and_fold", value: together, unit, limit: None, budget });
        }
        Ok((published, together))
    }

    async fn overload(
        &mut self,
        publishers: &[Channel],
        source: &mut Source<'_>,
        changes: usize,
        published: f64,
    ) -> Result<(), CommandError> {
        let portal = connect_to(self.config, self.hub.address, "portal/national").await?;
        let (modest, load) = (source.take(changes / 4), source.take(changes - changes / 4));
        let somebody = source.somebody.clone();
        let somebody = somebody.ok_or_else(|| CommandError::usage("no person was published", "give more --records"))?;
        let ids: Vec<&str> = source.personal_ids.iter().take(WARM).map(String::as_str).collect();
        let flood = overload::flood(publishers, &portal, &ids, load, published).await?;
        self.figures.extend(overload::figures(flood, published));
        self.folded().await?;
        self.figures.push(overload::beside_publisher(publishers, modest).await?);
        self.folded().await?;
        self.figures.push(overload::beside_search(&portal, &ids, &somebody, self.plan.each).await?);
        Ok(())
    }

    async fn visible(&mut self, publishers: &[Channel], load: Load, per_s: f64) -> Result<(), CommandError> {
        let times = load::visible(publishers, load, per_s, self.plan.each, &self.hub.handle.folded).await?;
        let (value, budget) = (p99_ms(times), Budget::AtMost(50.0));
        self.figures.push(Figure { name: "visible_p99", value, unit: "ms", limit: None, budget });
        self.folded().await.map(|_| ())
    }

    async fn query(&mut self, ids: &[String]) -> Result<(), CommandError> {
        let portal = connect_to(self.config, self.hub.address, "portal/national").await?;
        let idle = connect_to(self.config, self.idle, "portal/national").await?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (warm, cold) = ids.split_at(WARM.min(ids.len() / 2));
        let each = self.plan.each;
        let empty = load::query(&idle, warm.iter().copied().cycle(), each).await?;
        // Asked for once before: then they are warm.
        load::query(&portal, warm.iter().copied(), each).await?;
        let warmed = load::query(&portal, warm.iter().copied().cycle(), each).await?;
        // Every second one is asked for the first time, from all over the nation.
        let step = (cold.len() / 2).max(1) | 1;
        let spread = (0..cold.len()).map(|at| cold[at * step % cold.len()]);
        let mixed = spread.zip(warm.iter().copied().cycle()).flat_map(|(cold, warm)| [cold, warm]);
        let half_cold = load::query(&portal, mixed, each).await?;
        let limit = Some(Limit { what: "an empty unary call", value: empty.per_s });
        for (asked, rate, p99, per_s, share) in [
            (warmed, "query_warm", "query_warm_p99", 10_000.0, 0.25),
            (half_cold, "query_half_cold", "query_half_cold_p99", 6_000.0, 0.15),
        ] {
            let budget = Budget::AtLeast(per_s, Some(share));
            self.figures.push(Figure { name: rate, value: asked.per_s, unit: "queries/s", limit, budget });
            let (value, budget) = (p99_ms(asked.times), Budget::AtMost(5.0));
            self.figures.push(Figure { name: p99, value, unit: "ms", limit: None, budget });
        }
        let operator = connect_to(self.config, self.hub.address, "operator/ops").await?;
        self.figures.push(overload::beside_rebuild(&portal, operator, warm, each).await?);
        Ok(())
    }

    async fn fold(
        &mut self,
        measure: impl FnOnce(&ViewsHandle) -> Result<Vec<Figure>, StartError> + Send + 'static,
    ) -> Result<(), CommandError> {
        let handle = self.hub.handle.clone();
        let measured = tokio::task::spawn_blocking(move || measure(&handle)).await;
        let measured = measured.map_err(|error| CommandError::failed(error.to_string(), "run with -v to see why"))?;
        self.figures.extend(measured.map_err(|error| CommandError::failed(told(&error), "run with -v to see why"))?);
        Ok(())
    }

    /// Waits until the views hold all changes.
    async fn folded(&self) -> Result<(), CommandError> {
        let mut positions = self.hub.handle.folded.clone();
        let changes = |positions: &Positions| -> u64 { positions.of(Stream::Change).total() };
        let end = changes(&self.hub.handle.log.ends());
        let reached = positions.wait_for(|positions| changes(positions) >= end).await;
        reached.map(|_| ()).map_err(|_| CommandError::failed("the fold has stopped", "run with -v to see why"))
    }
}

async fn connect_to(config: &Config, address: SocketAddr, caller: &str) -> Result<Channel, CommandError> {
    let failed = |error: &dyn std::error::Error| CommandError::failed(told(error), "try again");
    let tls =
        ClientTls::load(&CertPaths::dev_client(&config.dev_certs_dir(), caller)).map_err(|error| failed(&error))?;
    let endpoint = Endpoint::from_shared(format!("https://{address}")).map_err(|error| failed(&error))?;
    let endpoint = endpoint.tcp_nodelay(true).tls_config(tls.tonic()).map_err(|error| failed(&error))?;
    endpoint.connect().await.map_err(|error| failed(&error))
}
