//! `hub demo`: a synthetic nation, published, linked and queried.

mod proof;
mod publish;
mod report;
mod show;
#[cfg(feature = "kafka")]
pub(crate) mod topics;
mod truth;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use identity::{CertPaths, ClientTls};
use nation::{Nation, REGISTERS};
use tonic::transport::{Channel, Endpoint};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{RegisterContractRequest, Verification, VerifyViewsRequest};

use super::dev_certs;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::listening::telemetry_config;
use crate::progress::Progress;
use crate::server::{self, Server};
use crate::signals::Signals;
use crate::synthetic::unit_lists;

use report::Report;

/// Arguments of `hub demo`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub demo\n  hub demo --persons 5000 --seed 7 --json\n  hub demo --keep --data-dir demo-data"
)]
pub struct DemoArgs {
    /// Persons of the nation, 100 to 1000000
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000), value_name = "COUNT")]
    pub persons: u32,
    /// The same seed makes the same nation
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Keep serving afterwards and print what to try next
    #[arg(long)]
    pub keep: bool,
    /// Keep the proof bundle of one answer in this file, and whom its check trusts in FILE.policy
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Put the log on the Kafka cluster with these brokers, host:port separated by commas, in topics of its own
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "BROKERS")]
    pub kafka: Option<String>,
}

/// A folder that is removed when the demo ends, unless it was named or is kept.
struct DataDir {
    path: PathBuf,
    remove: bool,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.remove
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "the demo's data directory could not be removed");
        }
    }
}

/// The running demo: the hub, and how to reach it as any caller.
struct Demo {
    config: Config,
    server: Server,
    quiet: bool,
}

impl Demo {
    /// A connection over mutual TLS as one of the development clients.
    async fn connect(&self, caller: &str) -> Result<Channel, CommandError> {
        let paths = CertPaths::dev_client(&self.config.dev_certs_dir(), caller);
        let failed = |error: &dyn std::error::Error| {
            CommandError::failed(
                format!("the demo's hub cannot be reached as {caller}: {}", told(error)),
                "see the messages above",
            )
        };
        let tls = ClientTls::load(&paths).map_err(|e| failed(&e))?;
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", self.server.address.port()))
            .and_then(|e| e.tcp_nodelay(true).tls_config(tls.tonic()))
            .map_err(|e| failed(&e))?;
        endpoint.connect().await.map_err(|e| failed(&e))
    }

    /// Registers, at run time, the contract that is not compiled in.
    async fn register_population(&self) -> Result<(), CommandError> {
        let request = RegisterContractRequest {
            descriptors: nation::population_descriptor_set().to_vec(),
            reason: "the population register joins".to_owned(),
            dry_run: false,
        };
        AdminServiceClient::new(self.connect("operator/ops").await?).register_contract(request).await?;
        Ok(())
    }

    /// Waits until the views hold everything that the log held at the call.
    async fn folded(&self) -> Result<(), CommandError> {
        let target = self.server.handle.log.ends();
        let target: record::Positions = target.iter().filter(|(s, _, _)| *s != record::Stream::Access).collect();
        let total = target.total();
        let progress = Progress::new("fold", "entries", Some(total), self.quiet);
        let mut status = self.server.handle.status.clone();
        loop {
            let now = status.borrow_and_update().clone();
            if let Some(reason) = &now.stopped {
                return Err(CommandError::failed(
                    format!("the fold has stopped: {reason}"),
                    "this is a fault of the hub: report it",
                ));
            }
            progress.set(now.positions.total().min(total));
            if now.positions.covers_all(&target) {
                progress.finish();
                return Ok(());
            }
            status
                .changed()
                .await
                .map_err(|e| CommandError::failed(format!("the views are gone: {e}"), "see the hub's log"))?;
        }
    }

    /// Folds the log from scratch and compares the digests, through the API.
    async fn verify(&self) -> Result<Verification, CommandError> {
        let channel = self.connect("operator/ops").await?;
        let request = VerifyViewsRequest { store: String::new() };
        let mut answers = AdminServiceClient::new(channel).verify_views(request).await?.into_inner();
        let progress = Progress::new("replay", "entries", None, self.quiet);
        let mut result = None;
        while let Some(answer) = answers.message().await? {
            progress.total(answer.entries_total);
            progress.set(answer.entries);
            result = answer.result.or(result);
        }
        progress.finish();
        result
            .ok_or_else(|| CommandError::failed("the hub ended the verification without a result", "see the hub's log"))
    }
}

/// Runs the demo.
///
/// # Errors
/// A part of it did not do what it should.
pub async fn run(args: &DemoArgs, context: &Context) -> Result<Exit, CommandError> {
    let (config, data_dir) = configure(args, context)?;
    dev_certs::ensure(&config)?;
    #[cfg(feature = "kafka")]
    let topics = topics::make(&config, args.keep)?;
    let mut signals = Signals::listen()?;
    let guard = telemetry::init(&telemetry_config(&config, "demo".to_owned())).map_err(|error| {
        CommandError::usage(format!("telemetry cannot be set up: {}", told(&error)), "correct section [telemetry]")
    })?;
    let nation = Nation::new(nation::Config { persons: args.persons, seed: args.seed })
        .map_err(|error| CommandError::usage(told(&error), "choose another number with --persons"))?;
    let server = server::start(&config, &guard, unit_lists(&nation)).await?;
    let demo = Demo { config, server, quiet: context.output.is_json() };
    let report = tokio::select! {
        report = Box::pin(demonstrate(&demo, &nation, args.proof.as_deref())) => report,
        signal = signals.next() => Err(CommandError::failed(format!("stopped by {signal}"), "run it again")),
    };
    let exit = match &report {
        Ok(report) => {
            context.output.show(&report.json(), || report.text(context.output))?;
            if report.passed() { Exit::Ok } else { Exit::Failed }
        }
        Err(_) => Exit::Failed,
    };
    if args.keep && report.is_ok() {
        if !context.output.is_json() {
            crate::output::print(next_steps(&demo, report.as_ref().ok()).as_bytes())?;
        }
        signals.next().await;
    }
    demo.server.stop().await?;
    #[cfg(feature = "kafka")]
    drop(topics);
    drop(guard);
    drop(data_dir);
    report.map(|_| exit)
}

fn configure(args: &DemoArgs, context: &Context) -> Result<(Config, DataDir), CommandError> {
    let mut config = context.config()?;
    let named = context.global.data_dir.is_some() || context.global.config.is_some();
    if !named {
        config.top.data_dir = std::env::temp_dir().join(format!("hub-demo-{}", std::process::id()));
    }
    if !args.keep {
        config.grpc.listen.set_port(0);
    }
    if context.global.config.is_none() && context.global.verbose == 0 {
        // A torn tail, a refused certificate or a stopped fold are still told.
        config.telemetry.log_filter = "warn".to_owned();
    }
    #[cfg(feature = "kafka")]
    if let Some(brokers) = &args.kafka {
        topics::configure(&mut config, brokers)?;
    }
    let log = config.top.data_dir.join("log");
    if log.exists() {
        let what = format!("{} holds a log already, and the demo begins a new one", config.top.data_dir.display());
        return Err(CommandError::usage(what, "name an empty folder with --data-dir"));
    }
    let data_dir = DataDir { path: config.top.data_dir.clone(), remove: !named };
    Ok((config, data_dir))
}

async fn demonstrate(demo: &Demo, nation: &Nation, keep: Option<&Path>) -> Result<Report, CommandError> {
    demo.register_population().await?;
    publish::declare_expected(demo, nation).await?;
    let begin = Instant::now();
    let published = publish::publish(demo, nation).await?;
    let publishing = begin.elapsed();
    demo.folded().await?;
    let folding = begin.elapsed();
    let links = truth::measure(demo, nation)?;
    let shown = show::show(demo, nation).await?;
    let verification = demo.verify().await?;
    let proof = proof::prove(demo, shown.subject.as_ref(), keep).await?;
    let totals = demo.server.handle.status.borrow().totals;
    let rate = |n: u64, time: Duration| n as f64 / time.as_secs_f64().max(1e-9);
    Ok(Report {
        persons: nation.config().persons,
        publish_per_s: rate(published.published, publishing),
        fold_per_s: rate(published.published, folding),
        replay_per_s: rate(verification.entries, Duration::from_secs_f64(verification.seconds.max(1e-9))),
        no_common_id: nation.report().without_common_id_per_mille() as f64 / 1000.0,
        published,
        totals,
        links,
        shown,
        verification,
        proof,
    })
}

fn next_steps(demo: &Demo, report: Option<&Report>) -> String {
    let dir = demo.config.top.data_dir.display();
    let hub = format!("hub --data-dir {dir}");
    let at = format!("--endpoint https://localhost:{}", demo.server.address.port());
    let person = report.and_then(|r| r.shown.personal_id.clone()).unwrap_or_else(|| "099…".to_owned());
    let (mother, father) =
        report.and_then(|r| r.shown.parents.clone()).unwrap_or_else(|| (person.clone(), "099…".into()));
    format!(
        "\nThe hub goes on serving {} registers; stop it with Ctrl-C. In another terminal:\n\
         \n  {hub} get person --personal-id {person} --procedure 1.000894 --case TRY-1 --fields full_name,birth_date {at}\
         \n  {hub} check 1.001193 --case TRY-2 --role mother=personal:{mother} --role father=personal:{father} {at}\
         \n  {hub} accesses person --personal-id {person} --case TRY-3 {at}\
         \n  {hub} quality --by agency {at}\
         \n  {hub} procedures show 1.001193 {at}\
         \n  {hub} views verify --store sled {at}\
         \n  {hub} audit replay --stream access --case TRY-4 {at}\
         \n  {hub} audit verify {at}\
         \n  {hub} status {at}\n",
        REGISTERS.len()
    )
}
