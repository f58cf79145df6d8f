//! `hub quality`: correct, sufficient, clean and alive.

use clap::Args;

use crate::connection::ConnectionArgs;

/// By what quality is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QualityBy {
    /// One row per register.
    Register,
    /// One row per agency.
    Agency,
    /// One row per commune.
    Commune,
}

/// Arguments of `hub quality`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  hub quality\n  hub quality --register land --by commune --json")]
pub struct QualityArgs {
    /// One register; all when absent
    #[arg(long, value_name = "NAME")]
    pub register: Option<String>,
    /// What a row is
    #[arg(long, value_enum, default_value = "register", value_name = "WHAT")]
    pub by: QualityBy,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
