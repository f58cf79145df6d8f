//! `hub serve`: runs the hub.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;

use super::dev_certs;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::listening::telemetry_config;
use crate::server;
use crate::signals::Signals;

/// Arguments of `hub serve`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub serve --data-dir /var/lib/hub\n  hub serve --config hub.toml --listen 0.0.0.0:7443"
)]
pub struct ServeArgs {
    /// Address and port, instead of the configuration's
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
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
    if args.dev_certs {
        dev_certs::ensure(&config)?;
    }
    // Before anything is opened: a signal while starting ends the start cleanly.
    let mut signals = Signals::listen()?;
    let guard = telemetry::init(&telemetry_config(&config, std::process::id().to_string())).map_err(|error| {
        CommandError::usage(format!("telemetry cannot be set up: {}", told(&error)), "correct section [telemetry]")
    })?;
    let server = server::start(&config, &guard, Vec::new()).await?;
    announce(&config, &server, guard.metrics_address(), context)?;
    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    server.stop().await?;
    tracing::info!("stopped");
    Ok(Exit::Ok)
}

fn announce(
    config: &Config,
    server: &server::Server,
    metrics: Option<SocketAddr>,
    context: &Context,
) -> Result<(), CommandError> {
    let scheme = if config.mutual_tls() { "https" } else { "http" };
    let uri = format!("{scheme}://{}", server.address);
    let data_dir = config.top.data_dir.display().to_string();
    let mut serving = json!({ "endpoint": uri, "address": server.address.to_string(), "data_dir": data_dir });
    if let Some(metrics) = metrics {
        serving["metrics"] = format!("http://{metrics}").into();
    }
    if let Some(tiles) = server.tiles {
        serving["tiles"] = format!("http://{tiles}").into();
    }
    context.output.show(&serving, || format!("hub serves on {uri}, data in {data_dir}; stop it with Ctrl-C or SIGTERM"))
}
