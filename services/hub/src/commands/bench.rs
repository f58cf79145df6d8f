//! `hub bench`: rates on this machine, with the ratio to a limit measured in the same run.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::bench::{self, Row};
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Everything.
    All,
    /// Publishing, against an empty handler on the same stream; and the fold of what was published.
    Publish,
    /// Querying, against an empty unary call.
    Query,
}

/// Arguments of `hub bench`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub bench publish --seconds 10 --json\n\nA hub of its own is started on a temporary directory, with mutual TLS on loopback; client and hub share the machine."
)]
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

/// Measures and shows a table.
///
/// # Errors
/// The temporary hub cannot start or stops answering.
pub async fn run(args: &BenchArgs, context: &Context) -> Result<Exit, CommandError> {
    let (publish, query) = (args.measure != Measure::Query, args.measure != Measure::Publish);
    let plan = bench::Plan { publish, query, each: Duration::from_secs(args.seconds.into()), seed: args.seed };
    let rows = bench::run(&plan, context).await?;
    let as_json: Vec<_> = rows
        .iter()
        .map(|row| json!({ "what": row.what, "unit": row.unit, "per_s": row.per_s, "limit_per_s": row.limit_per_s, "ratio": row.ratio() }))
        .collect();
    context.output.show(&as_json, || text(&rows))?;
    Ok(Exit::Ok)
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(["what", "unit", "per second", "limit per second", "ratio"]);
    for row in rows {
        let limit = row.limit_per_s.map_or_else(|| "-".to_owned(), |limit| format!("{limit:.0}"));
        let ratio = row.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        table.row([row.what.to_owned(), row.unit.to_owned(), format!("{:.0}", row.per_s), limit, ratio]);
    }
    table.text()
}
