//! `hub views`: proving the views.

use clap::{Args, Subcommand};

use crate::connection::ConnectionArgs;

/// A store that views can be folded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// fjall.
    Fjall,
    /// sled.
    Sled,
}

/// Arguments of `hub views`.
#[derive(Debug, Clone, Args)]
pub struct ViewsArgs {
    /// What to do with the views.
    #[command(subcommand)]
    pub command: ViewsCommand,
}

/// Commands of `hub views`.
#[derive(Debug, Clone, Subcommand)]
pub enum ViewsCommand {
    /// Fold the log from scratch beside the live views and compare the digests; exit code 1 when they differ
    #[command(after_help = "Example:\n  hub views verify --store sled")]
    Verify(VerifyArgs),
}

/// Arguments of `hub views verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Store of the replay; the live one's kind when absent
    #[arg(long, value_enum, value_name = "KIND")]
    pub store: Option<StoreKind>,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
