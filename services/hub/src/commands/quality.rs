//! `hub quality`: correct, sufficient, clean and alive.

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{GetQualityRequest, GetQualityResponse};

use crate::answers::as_json;
use crate::config::Quality as Bounds;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::{Output, Table};

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

/// Below the bound by at most this much is yellow; below that, red.
const NEAR: f64 = 0.05;

/// Shows the measures, coloured by the configuration's bounds.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &QualityArgs, context: &Context) -> Result<Exit, CommandError> {
    let bounds = context.config()?.quality;
    let channel = args.connection.connect(context, "operator/ops").await?;
    let by = match args.by {
        QualityBy::Register => "register",
        QualityBy::Agency => "agency",
        QualityBy::Commune => "commune",
    };
    let request = GetQualityRequest { register: args.register.clone().unwrap_or_default(), by: by.to_owned() };
    let answer = QueryServiceClient::new(channel).get_quality(request).await?.into_inner();
    context
        .output
        .show(&as_json("hub.query.v1.GetQualityResponse", &answer), || told(&answer, &bounds, context.output))?;
    Ok(Exit::Ok)
}

pub(super) fn told(answer: &GetQualityResponse, bounds: &Bounds, output: Output) -> String {
    let mut table = Table::new(["register", "agency", "commune", "records", "correct", "sufficient", "clean", "alive"]);
    let name = |name: &str| if name.is_empty() { "-".to_owned() } else { name.to_owned() };
    for row in &answer.rows {
        table.row([
            name(&row.register),
            name(&row.agency),
            name(&row.commune),
            row.records.to_string(),
            measure(row.correct, bounds.correct_min, output),
            measure(row.sufficient, bounds.sufficient_min, output),
            measure(row.clean, bounds.clean_min, output),
            measure(row.alive, bounds.alive_min, output),
        ]);
    }
    table.text()
}

fn measure(value: Option<f64>, min: f64, output: Output) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = format!("{value:.4}");
    if value >= min {
        output.good(&text)
    } else if value >= min - NEAR {
        output.warn(&text)
    } else {
        output.bad(&text)
    }
}
