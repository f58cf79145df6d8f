//! `hub findings`: what is wrong with a register's records.

use clap::{Args, ValueEnum};
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{ListFindingsRequest, ListFindingsResponse, RecordFinding};

use crate::answers::{as_json, time_of, wire_time};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

/// Findings that the hub tells at once.
const PAGE: u32 = 1_000;

/// A measure of quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Criterion {
    /// Agrees with the register that has the say.
    Correct,
    /// Mandatory fields are filled.
    Sufficient,
    /// Breaks no rule, and is not there twice.
    Clean,
    /// Was published in time.
    Alive,
}

impl Criterion {
    /// As the API names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Sufficient => "sufficient",
            Self::Clean => "clean",
            Self::Alive => "alive",
        }
    }
}

/// Arguments of `hub findings`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub findings --register civil\n  hub findings --register land --criterion clean --commune 00004\n  hub findings --register civil --since 2026-11-01T00:00:00Z --json\n  hub findings --register land --criterion correct --case A-7 --as auditor/main

Each row is something that is wrong with a record: a rule that it breaks, a second record where a subject has but one (hub.surplus), what
the register that has the say states otherwise (hub.disputed), a change that came late (hub.late). The criterion is the measure of
'hub quality' that it counts against."
)]
pub struct FindingsArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Only what has been wrong since this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<jiff::Timestamp>,
    /// Only what counts against this measure
    #[arg(long, value_enum, value_name = "MEASURE")]
    pub criterion: Option<Criterion>,
    /// Only records of this agency
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub agency: String,
    /// Only records of this commune, as 'hub quality --by commune' names it
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    pub commune: String,
    /// Most findings to show
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "COUNT")]
    pub limit: u32,
    /// Case number, for who is not the register's publisher
    #[arg(long = "case", value_name = "NUMBER", default_value = "", hide_default_value = true)]
    pub case_number: String,
    /// Which hub, and as whom; by default as register/NAME.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Lists them, page after page.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &FindingsArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let mut client = QueryServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let mut request = ListFindingsRequest {
        register: args.register.clone(),
        case_number: args.case_number.clone(),
        since: args.since.map(wire_time),
        criterion: args.criterion.map(Criterion::name).unwrap_or_default().to_owned(),
        agency: args.agency.clone(),
        commune: args.commune.clone(),
        limit: PAGE,
        page_token: String::new(),
    };
    let limit = args.limit as usize;
    let mut found: Vec<RecordFinding> = Vec::new();
    let more = loop {
        request.limit = u32::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE);
        let answer = client.list_findings(request.clone()).await?.into_inner();
        found.extend(answer.findings);
        // The hub tells all of a record, which may be more than was asked for.
        if found.len() > limit || (found.len() == limit && !answer.next_page_token.is_empty()) {
            found.truncate(limit);
            break true;
        }
        if answer.next_page_token.is_empty() {
            break false;
        }
        request.page_token = answer.next_page_token;
    };
    let answer = ListFindingsResponse { findings: found, next_page_token: String::new() };
    context.output.show(&as_json("hub.query.v1.ListFindingsResponse", &answer), || text(&answer.findings, more))?;
    Ok(Exit::Ok)
}

fn text(findings: &[RecordFinding], more: bool) -> String {
    let mut table =
        Table::new(["record", "version", "type", "field", "rule", "group", "measure", "other", "since", "what to do"]);
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for finding in findings {
        let other = [finding.other_register.as_str(), finding.other_record.as_str()].join(" ");
        table.row([
            or_dash(&finding.record_id),
            finding.version.to_string(),
            or_dash(&finding.record_type),
            or_dash(&finding.field_path),
            finding.rule_id.clone(),
            finding.group.clone(),
            finding.criterion.clone(),
            or_dash(other.trim()),
            time_of(finding.since.as_ref()),
            or_dash(&finding.what_to_do),
        ]);
    }
    let more = if more { "; there are more: raise --limit" } else { "" };
    format!("{}{} findings{more}\n", table.text(), findings.len())
}
