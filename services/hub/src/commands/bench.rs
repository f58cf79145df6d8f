//! `hub bench`: rates on this machine, with the ratio to a limit measured in the same run.

use clap::Args;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Everything.
    All,
    /// Publishing, against an empty handler.
    Publish,
    /// Folding, against the posting index and store alone.
    Fold,
    /// Querying, against an empty unary call.
    Query,
}

/// Arguments of `hub bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  hub bench publish --seconds 10 --json")]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    pub measure: Measure,
    /// Seconds per measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600), value_name = "SECONDS")]
    pub seconds: u32,
    /// Seed of the changes
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}
