//! `hub demo`: a synthetic nation, published, linked and queried.

use clap::Args;

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
}
