//! `hub rejected`: a register's refused changes, and driving them again.

use clap::Args;
use ingest::RESPONSE_BYTES_MAX;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{ListRejectedRequest, ListRejectedResponse, RedriveRequest, RedriveResponse};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

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

/// Lists the register's refused changes, or has them judged again.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &RejectedArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let mut client = IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    if args.redrive {
        let request = RedriveRequest { register: args.register.clone(), positions: Vec::new() };
        let answer = client.redrive(request).await?.into_inner();
        context.output.show(&as_json("hub.ingest.v1.RedriveResponse", &answer), || {
            let RedriveResponse { accepted, duplicate, conflict, still_rejected } = &answer;
            format!("judged again: {accepted} accepted, {duplicate} duplicate, {conflict} conflict, {still_rejected} still refused\n")
        })?;
        return Ok(if answer.still_rejected == 0 { Exit::Ok } else { Exit::Refused });
    }
    let request = ListRejectedRequest { register: args.register.clone(), limit: args.limit, page_token: String::new() };
    let answer = client.list_rejected(request).await?.into_inner();
    context.output.show(&as_json("hub.ingest.v1.ListRejectedResponse", &answer), || told(&answer))?;
    Ok(Exit::Ok)
}

fn told(answer: &ListRejectedResponse) -> String {
    let mut table = Table::new(["entry", "at", "record", "version", "type", "field", "rule", "group", "what to do"]);
    for refused in &answer.changes {
        let change = refused.change.clone().unwrap_or_default();
        let entry = refused
            .position
            .as_ref()
            .map_or_else(|| "-".to_owned(), |at| format!("{}/{}/{}", at.stream, at.partition, at.index));
        for violation in &refused.violations {
            let violation = violation.clone();
            table.row([
                entry.clone(),
                time_of(refused.rejected_at.as_ref()),
                change.record_id.clone(),
                change.version.to_string(),
                change.record_type.clone(),
                violation.field_path,
                violation.rule_id,
                violation.group,
                violation.message,
            ]);
        }
    }
    let more = if answer.next_page_token.is_empty() { "" } else { "; there are more: raise --limit" };
    format!("{}{} refused changes{more}\n", table.text(), answer.changes.len())
}
