//! `hub status`: how far the hub is.

use clap::Args;

use crate::connection::ConnectionArgs;

/// Arguments of `hub status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  hub status --json")]
pub struct StatusArgs {
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
