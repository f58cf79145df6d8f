//! `hub serve`: runs the hub.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;

use super::dev_certs;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::listening::telemetry_config;
use crate::server::door::{self, Door};
use crate::server::roles::Roles;
use crate::server::{self, Server};
use crate::signals::Signals;

/// Arguments of `hub serve`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub serve --data-dir /var/lib/hub\n  hub serve --config hub.toml --listen 0.0.0.0:7443\n  hub serve --config hub.toml --roles ingest --registers land"
)]
pub struct ServeArgs {
    /// Address and port, instead of the configuration's
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// What this process does: ingest, views, audit; several separated by commas. Instead of the configuration's; all by default
    #[arg(long, value_name = "ROLES")]
    pub roles: Option<String>,
    /// Registers whose changes this process takes, separated by commas; all by default
    #[arg(long, value_name = "REGISTERS", value_delimiter = ',')]
    pub registers: Vec<String>,
    /// Make development certificates first when there are none
    #[arg(long)]
    pub dev_certs: bool,
}

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// The hub cannot start, or did not stop cleanly.
pub async fn run(args: &ServeArgs, context: &Context) -> Result<Exit, CommandError> {
    let mut config = context.config()?;
    if let Some(listen) = args.listen {
        config.grpc.listen = listen;
    }
    if let Some(roles) = &args.roles {
        config.roles.serve.clone_from(roles);
    }
    if !args.registers.is_empty() {
        config.roles.registers.clone_from(&args.registers);
    }
    let roles = Roles::of(&config)?;
    if args.dev_certs {
        dev_certs::ensure(&config)?;
    }
    // Before anything is opened: a signal while starting ends the start cleanly.
    let mut signals = Signals::listen()?;
    let guard = telemetry::init(&telemetry_config(&config, std::process::id().to_string())).map_err(|error| {
        CommandError::usage(format!("telemetry cannot be set up: {}", told(&error)), "correct section [telemetry]")
    })?;
    let starting = async {
        Ok::<_, CommandError>(match roles.fold() {
            true => Process::Views(Box::new(server::start(&config, &guard, Vec::new()).await?)),
            false => Process::Door(Box::new(door::start(&config, &roles, &guard).await?)),
        })
    };
    let process = tokio::select! {
        biased;
        started = starting => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before it served");
            return Ok(Exit::Ok);
        }
    };
    announce(&config, &roles, &process, guard.metrics_address(), context)?;
    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    match process {
        Process::Views(server) => server.stop().await?,
        Process::Door(door) => door.stop().await,
    }
    tracing::info!("stopped");
    Ok(Exit::Ok)
}

/// What runs.
enum Process {
    Views(Box<Server>),
    Door(Box<Door>),
}

fn announce(
    config: &Config,
    roles: &Roles,
    process: &Process,
    metrics: Option<SocketAddr>,
    context: &Context,
) -> Result<(), CommandError> {
    let scheme = if config.mutual_tls() { "https" } else { "http" };
    let (address, tiles) = match process {
        Process::Views(server) => (server.address, server.tiles),
        Process::Door(door) => (door.address, None),
    };
    let uri = format!("{scheme}://{address}");
    let names = roles.names();
    let data_dir = config.top.data_dir.display().to_string();
    let mut serving = json!({ "endpoint": uri, "address": address.to_string(), "data_dir": data_dir, "roles": names });
    if let Some(metrics) = metrics {
        serving["metrics"] = format!("http://{metrics}").into();
    }
    if let Some(tiles) = tiles {
        serving["tiles"] = format!("http://{tiles}").into();
    }
    let all = roles.ingest && roles.views && roles.audit && roles.registers.is_empty();
    let what = if all { String::new() } else { format!(" {names}") };
    context
        .output
        .show(&serving, || format!("hub serves{what} on {uri}, data in {data_dir}; stop it with Ctrl-C or SIGTERM"))
}
