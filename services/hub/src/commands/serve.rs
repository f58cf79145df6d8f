//! `hub serve`: runs the hub.

use std::net::SocketAddr;

use clap::Args;

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
