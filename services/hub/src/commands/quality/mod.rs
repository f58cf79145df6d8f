//! `hub quality`: correct, sufficient, clean and alive.

mod measure;
mod page;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use tonic::transport::Channel;
use wire::ingest::DeclareExpectedRequest;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{GetQualityHistoryRequest, GetQualityRequest, GetQualityResponse, Quality};

use crate::answers::{as_json, time_of};
use crate::commands::findings::Criterion;
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
    /// One row per register and measure.
    Criterion,
}

/// Arguments of `hub quality`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub quality\n  hub quality --by commune --worst 20\n  hub quality --by criterion --worst 5\n  hub quality --html quality.html\n  hub quality --register land --by commune --json\n  hub quality expect --register land --record-type parcel --commune 00004 --objects 5120

correct     agrees with the register that has the say, of what could be compared
sufficient  mandatory fields that are filled, times records that are there of those expected
clean       records that break no rule and are not surplus: a second one where a subject has but one
alive       changes published within the time that their contract promises

Green is from 0.90 on, yellow from 0.75, red below; the configuration has the bounds. Behind a measure stands by how many percentage points
it has changed. 'hub findings' lists the records behind any number; the commands are printed.",
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
    /// Only so many rows, the worst first, each with the command that lists its faulty records
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub worst: Option<u32>,
    /// Compare with what the measures were so many days ago, or with the oldest sample; 0 for no trend
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(0..=92))]
    pub trend: u32,
    /// Write one page with charts of registers, agencies and communes, which opens offline
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
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

/// Rows of the page's tables when nothing else is said.
const WORST_OF_PAGE: u32 = 20;
/// Commands that are printed where not every row has one.
const COMMANDS_MAX: usize = 5;

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
    if let Some(file) = &args.html {
        return html(args, file, channel, &bounds, context).await;
    }
    let by = match args.by {
        QualityBy::Register | QualityBy::Criterion => "register",
        QualityBy::Agency => "agency",
        QualityBy::Commune => "commune",
    };
    let mut answer = ask(args, channel, by).await?;
    if args.by == QualityBy::Criterion {
        return by_criterion(args, &answer, &bounds, context);
    }
    if let Some(worst) = args.worst {
        answer.rows.sort_by(|a, b| badness(a).total_cmp(&badness(b)).then_with(|| b.records.cmp(&a.records)));
        answer.rows.truncate(worst as usize);
    }
    let json = with_commands(&answer);
    context.output.show(&json, || {
        let table = if args.worst.is_some() {
            worst(&answer, &bounds, context.output)
        } else {
            told(&answer, &bounds, context.output)
        };
        let commands = if args.worst.is_some() { String::new() } else { commands(&answer, &bounds) };
        format!("{table}{}{commands}", compared(args, &answer))
    })?;
    Ok(Exit::Ok)
}

async fn ask(args: &QualityArgs, channel: Channel, by: &str) -> Result<GetQualityResponse, CommandError> {
    let request = GetQualityRequest {
        register: args.register.clone().unwrap_or_default(),
        by: by.to_owned(),
        trend_hours: args.trend * 24,
    };
    let mut client = QueryServiceClient::new(channel).max_decoding_message_size(256 << 20);
    Ok(client.get_quality(request).await?.into_inner())
}

async fn html(
    args: &QualityArgs,
    file: &Path,
    channel: Channel,
    bounds: &Bounds,
    context: &Context,
) -> Result<Exit, CommandError> {
    let registers = ask(args, channel.clone(), "register").await?;
    let agencies = ask(args, channel.clone(), "agency").await?;
    let communes = ask(args, channel.clone(), "commune").await?;
    let request = GetQualityHistoryRequest { register: args.register.clone().unwrap_or_default() };
    let history = QueryServiceClient::new(channel).get_quality_history(request).await?.into_inner();
    let page = page::Page {
        registers: &registers,
        agencies: &agencies,
        communes: &communes,
        history: &history,
        worst: args.worst.unwrap_or(WORST_OF_PAGE) as usize,
        bounds,
        at: jiff::Timestamp::now(),
    };
    let html = page.html();
    crate::commands::audit::prove::write(file, html.as_bytes())?;
    let name = file.display().to_string();
    context.output.show(&json!({ "file": name, "bytes": html.len(), "registers": registers.rows.len() }), || {
        format!("{name}: {} registers, {} bytes; open it in a browser\n", registers.rows.len(), html.len())
    })?;
    Ok(Exit::Ok)
}

/// What rows are ordered by: their least measure. What is not measured at all comes last.
fn badness(row: &Quality) -> f64 {
    measure::least(row).map_or(f64::INFINITY, |(_, value)| value)
}

fn by_criterion(
    args: &QualityArgs,
    answer: &GetQualityResponse,
    bounds: &Bounds,
    context: &Context,
) -> Result<Exit, CommandError> {
    let mut rows: Vec<(&Quality, Criterion, f64)> = Vec::new();
    for row in &answer.rows {
        let measured = |criterion| Some((row, criterion, measure::value(row, criterion)?));
        rows.extend(measure::CRITERIA.into_iter().filter_map(measured));
    }
    if let Some(worst) = args.worst {
        rows.sort_by(|a, b| a.2.total_cmp(&b.2));
        rows.truncate(worst as usize);
    }
    let json: Vec<Json> = rows
        .iter()
        .map(|(row, criterion, value)| {
            let (faults, of) = measure::faults(row, *criterion);
            json!({
                "register": row.register,
                "criterion": criterion.name(),
                "value": value,
                "colour": measure::Colour::of(*value, *criterion, bounds).name(),
                "trend": measure::trend(row, *criterion),
                "faults": faults,
                "of": of,
                "findings": measure::command(row, *criterion),
            })
        })
        .collect();
    context.output.show(&json!({ "rows": json }), || {
        let mut table = Table::new(["register", "measure", "value", "at fault", "of", "the records"]);
        for (row, criterion, _) in &rows {
            let (faults, of) = measure::faults(row, *criterion);
            table.row([
                row.register.clone(),
                criterion.name().to_owned(),
                measure::cell(row, *criterion, bounds, context.output),
                faults.to_string(),
                of.to_owned(),
                measure::command(row, *criterion),
            ]);
        }
        format!("{}{}", table.text(), compared(args, answer))
    })?;
    Ok(Exit::Ok)
}

/// The answer, with the command behind each measure of each row.
fn with_commands(answer: &GetQualityResponse) -> Json {
    let mut json = as_json("hub.query.v1.GetQualityResponse", answer);
    for (shown, row) in json["rows"].as_array_mut().into_iter().flatten().zip(&answer.rows) {
        let command =
            |criterion: &Criterion| (criterion.name().to_owned(), Json::from(measure::command(row, *criterion)));
        let measured = measure::CRITERIA.iter().filter(|criterion| measure::value(row, **criterion).is_some());
        shown["findings"] = Json::Object(measured.map(command).collect());
    }
    json
}

/// With what the trend compares.
fn compared(args: &QualityArgs, answer: &GetQualityResponse) -> String {
    match &answer.compared_at {
        None if args.trend == 0 || answer.rows.is_empty() => String::new(),
        None => {
            "no trend yet: the hub keeps the first sample within a minute of the first records, then one each hour\n"
                .to_owned()
        }
        at => format!("changes in percentage points since {}\n", time_of(at.as_ref())),
    }
}

/// The commands that list what is behind the measures that are not green, the worst first.
fn commands(answer: &GetQualityResponse, bounds: &Bounds) -> String {
    let mut found: Vec<(f64, String)> = Vec::new();
    for row in &answer.rows {
        for criterion in measure::CRITERIA {
            let Some(value) = measure::value(row, criterion) else { continue };
            if measure::Colour::of(value, criterion, bounds) != measure::Colour::Green {
                found.push((value, measure::command(row, criterion)));
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let lines: String = found.iter().take(COMMANDS_MAX).map(|(_, command)| format!("  {command}\n")).collect();
    if lines.is_empty() { lines } else { format!("the records behind what is not green:\n{lines}") }
}

/// A row for each with the command behind its worst measure.
fn worst(answer: &GetQualityResponse, bounds: &Bounds, output: Output) -> String {
    let mut table = Table::new([
        "register",
        "agency",
        "commune",
        "records",
        "correct",
        "sufficient",
        "clean",
        "alive",
        "the records behind the worst",
    ]);
    let name = |name: &str| if name.is_empty() { "-".to_owned() } else { name.to_owned() };
    for row in &answer.rows {
        let places = [name(&row.register), name(&row.agency), name(&row.commune), row.records.to_string()];
        let measures = measure::CRITERIA.map(|criterion| measure::cell(row, criterion, bounds, output));
        let command = measure::least(row).map(|(criterion, _)| measure::command(row, criterion));
        table.row(places.into_iter().chain(measures).chain([command.unwrap_or_else(|| "-".to_owned())]));
    }
    table.text()
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
        let measures = measure::CRITERIA.map(|criterion| measure::cell(row, criterion, bounds, output));
        table.row(cells.chain([row.records.to_string(), surplus.to_string()]).chain(measures));
    }
    table.text()
}
