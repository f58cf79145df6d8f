//! `hub rejected`: a register's refused changes, and driving them again.

use clap::Args;

use crate::connection::ConnectionArgs;

/// Arguments of `hub rejected`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  hub rejected --register civil\n  hub rejected --register civil --redrive")]
pub struct RejectedArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Most changes to list
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    pub limit: u32,
    /// Judge them all once more, by the contracts of today
    #[arg(long, conflicts_with = "limit")]
    pub redrive: bool,
    /// Which hub, and as whom; by default as register/NAME.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
