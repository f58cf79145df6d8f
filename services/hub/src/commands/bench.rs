//! `hub bench`: figures of this machine, each beside a limit measured in the same run and its budget.

use std::time::Duration;

use clap::Args;

use crate::bench::{self, Measure, Row};
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

/// Arguments of `hub bench`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub bench\n  hub bench publish --records 1000000 --runs 3 --json\n  hub bench growth --records 3000000\n  hub bench publish --kafka 127.0.0.1:19092\n  hub bench fold --kafka 127.0.0.1:19092\n\nA hub of its own is started on a temporary directory (TMPDIR), with mutual TLS on loopback; client and hub share the machine.\nA budget is met absolutely, or as a share of the limit of the same run."
)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    pub measure: Measure,
    /// Changes that the hub holds when it is measured, about
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2_000..=5_000_000), value_name = "COUNT")]
    pub records: u64,
    /// Runs, each with a new hub; shown is the one in the middle
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99), value_name = "COUNT")]
    pub runs: u32,
    /// Seconds of each loop of queries and of steady publishing
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600), value_name = "SECONDS")]
    pub seconds: u32,
    /// Seed of the changes
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Put the log on these Kafka brokers, on topics of its own: publishing is compared with a bare producer, too, fold and replay with the same log in files
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "BOOTSTRAP")]
    pub kafka: Option<String>,
}

/// Measures and shows a table.
///
/// # Errors
/// The temporary hub cannot start or stops answering.
pub async fn run(args: &BenchArgs, context: &Context) -> Result<Exit, CommandError> {
    let plan = bench::Plan {
        measure: args.measure,
        records: args.records,
        each: Duration::from_secs(args.seconds.into()),
        runs: args.runs,
        seed: args.seed,
        #[cfg(feature = "kafka")]
        kafka: args.kafka.clone(),
    };
    let rows = bench::run(&plan, context).await?;
    let as_json: Vec<_> = rows.iter().map(Row::json).collect();
    context.output.show(&as_json, || text(&rows))?;
    Ok(Exit::Ok)
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(["name", "value", "unit", "limit", "ratio", "budget", "met", "the limit is"]);
    rows.iter().for_each(|row| table.row(row.cells()));
    table.text()
}
