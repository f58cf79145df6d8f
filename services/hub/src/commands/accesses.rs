//! `hub accesses`: who looked at a subject's records.

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{ListAccessesRequest, ListAccessesResponse, Purpose};

use super::asking::{SubjectArgs, SubjectKind};
use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

/// Arguments of `hub accesses`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  hub accesses person --personal-id 012345678901 --case A-7 --limit 20")]
pub struct AccessesArgs {
    /// What kind of subject
    #[arg(value_enum)]
    pub kind: SubjectKind,
    /// Whom or what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Most records to show, newest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    pub limit: u32,
    /// Case number of the audit, or of the person's request
    #[arg(long = "case", value_name = "NUMBER", help_heading = "Purpose")]
    pub case_number: String,
    /// Code of a procedure, where the listing serves one
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true, help_heading = "Purpose")]
    pub procedure: String,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Lists accesses, newest first.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &AccessesArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    let request = ListAccessesRequest {
        kind: args.kind.name().to_owned(),
        key: Some(args.subject.key().wire()),
        purpose: Some(Purpose { procedure: args.procedure.clone(), case_number: args.case_number.clone() }),
        limit: args.limit,
        page_token: String::new(),
    };
    let answer = QueryServiceClient::new(channel).list_accesses(request).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.ListAccessesResponse", &answer), || told(&answer))?;
    Ok(Exit::Ok)
}

fn told(answer: &ListAccessesResponse) -> String {
    let mut table =
        Table::new(["at", "caller", "action", "procedure", "case", "decision", "reason", "fields", "entry"]);
    for access in &answer.accesses {
        let at = time_of(access.at.as_ref());
        let access = access.clone();
        let fields = access.fields.join(",");
        table.row([
            at,
            access.caller,
            access.action,
            access.procedure,
            access.case_number,
            access.decision,
            access.reason,
            fields,
            access.position,
        ]);
    }
    let more = if answer.next_page_token.is_empty() { "" } else { "; there are earlier ones: raise --limit" };
    format!("{}{} accesses{more}\n", table.text(), answer.accesses.len())
}
