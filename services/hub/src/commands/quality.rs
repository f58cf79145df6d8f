//! `hub quality`: correct, sufficient, clean and alive.

use clap::{Args, Subcommand};
use wire::ingest::DeclareExpectedRequest;
use wire::ingest::ingest_service_client::IngestServiceClient;
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
#[command(
    after_help = "Examples:\n  hub quality\n  hub quality --register land --by commune --json\n  hub quality expect --register land --record-type parcel --commune 00004 --objects 5120

correct     agrees with the register that has the say, of what could be compared
sufficient  mandatory fields that are filled, times records that are there of those expected
clean       records that break no rule and are not surplus: a second one where a subject has but one
alive       changes published within the time that their contract promises",
    args_conflicts_with_subcommands = true
)]
pub struct QualityArgs {
    /// Something else than to show the measures.
    #[command(subcommand)]
    pub command: Option<QualityCommand>,
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

/// Commands of `hub quality`.
#[derive(Debug, Clone, Subcommand)]
pub enum QualityCommand {
    /// Say how many objects a register should hold; "sufficient" is measured against it
    #[command(
        after_help = "Examples:\n  hub quality expect --register civil --record-type birth --objects 98000\n  hub quality expect --register land --record-type parcel --commune 00004 --objects 5120\n\nA number of a commune counts besides those of other communes; the latest of the same counts."
    )]
    Expect(ExpectArgs),
}

/// Arguments of `hub quality expect`.
#[derive(Debug, Clone, Args)]
pub struct ExpectArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Its record type
    #[arg(long, value_name = "NAME")]
    pub record_type: String,
    /// Code of a commune; the whole register when absent
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    pub commune: String,
    /// How many there are in reality
    #[arg(long, value_name = "COUNT")]
    pub objects: u64,
    /// Which hub, and as whom; by default as register/NAME.
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
    if let Some(QualityCommand::Expect(args)) = &args.command {
        return expect(args, context).await;
    }
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

async fn expect(args: &ExpectArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let request = DeclareExpectedRequest {
        register: args.register.clone(),
        record_type: args.record_type.clone(),
        commune: args.commune.clone(),
        objects: args.objects,
    };
    let answer = IngestServiceClient::new(channel).declare_expected(request).await?.into_inner();
    context.output.show(&as_json("hub.ingest.v1.DeclareExpectedResponse", &answer), || {
        let at = answer.position.clone().unwrap_or_default();
        let of = if args.commune.is_empty() { String::new() } else { format!(" of commune {}", args.commune) };
        format!(
            "{}/{}{of}: {} expected, entry {}/{}/{}\n",
            args.register, args.record_type, args.objects, at.stream, at.partition, at.index
        )
    })?;
    Ok(Exit::Ok)
}

/// A row for each; agency and commune only where rows have one.
pub(super) fn told(answer: &GetQualityResponse, bounds: &Bounds, output: Output) -> String {
    let named = [
        ("agency", answer.rows.iter().any(|row| !row.agency.is_empty())),
        ("commune", answer.rows.iter().any(|row| !row.commune.is_empty())),
    ];
    let place = named.iter().filter(|(_, shown)| *shown).map(|(name, _)| *name);
    let measures = ["records", "surplus", "correct", "sufficient", "clean", "alive"];
    let mut table = Table::new(std::iter::once("register").chain(place).chain(measures));
    let name = |name: &str| if name.is_empty() { "-".to_owned() } else { name.to_owned() };
    for row in &answer.rows {
        let places = [&row.agency, &row.commune].into_iter().zip(named).filter(|(_, (_, shown))| *shown);
        let surplus = row.counters.get("surplus").copied().unwrap_or_default();
        let cells = std::iter::once(name(&row.register)).chain(places.map(|(text, _)| name(text)));
        table.row(cells.chain([
            row.records.to_string(),
            surplus.to_string(),
            measure(row.correct, bounds.correct_min, output),
            measure(row.sufficient, bounds.sufficient_min, output),
            measure(row.clean, bounds.clean_min, output),
            measure(row.alive, bounds.alive_min, output),
        ]));
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
