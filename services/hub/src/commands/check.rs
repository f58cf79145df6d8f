//! `hub check`: every item of a public service, available or what is missing.

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{CheckProcedureRequest, CheckProcedureResponse, ItemState, Purpose};

use super::asking::{RoleKey, TimeArgs};
use crate::answers::{age_of, as_json, finding_line, line_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::{Output, Table};

/// Arguments of `hub check`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub check 1.001193 --case HS-1 --role mother=personal:012345678901 --role child=personal:098765432109\n\nThe exit code is 1 when an item that is needed is not available."
)]
pub struct CheckArgs {
    /// Code of the procedure
    pub procedure: String,
    /// Case number at the asking agency
    #[arg(long = "case", value_name = "NUMBER")]
    pub case_number: String,
    /// Who plays a role of the procedure; may be repeated
    #[arg(long = "role", required = true, value_name = "ROLE=TYPE:VALUE")]
    pub roles: Vec<RoleKey>,
    /// As of when.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Which hub, and as whom; by default as portal/national.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Checks the procedure's items.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &CheckArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "portal/national").await?;
    let (known_at, valid_at) = args.time.wire();
    let request = CheckProcedureRequest {
        purpose: Some(Purpose { procedure: args.procedure.clone(), case_number: args.case_number.clone() }),
        roles: args.roles.iter().map(|role| (role.role.clone(), role.key.wire())).collect(),
        known_at,
        valid_at,
        min_positions: Vec::new(),
    };
    let answer = QueryServiceClient::new(channel).check_procedure(request).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.CheckProcedureResponse", &answer), || told(&answer, context.output))?;
    Ok(if answer.complete { Exit::Ok } else { Exit::Failed })
}

pub(super) fn told(answer: &CheckProcedureResponse, output: Output) -> String {
    let mut table = Table::new(["item", "role", "state", "value", "register", "age", "owner", "what to do"]);
    for item in &answer.items {
        let (state, register) = (state_text(item.state(), output), item.register.clone());
        let age = age_of(item.source.as_ref().and_then(|source| source.age.as_ref()));
        let value = line_of(item.value.as_ref());
        table.row([
            item.item.clone(),
            item.role.clone(),
            state,
            value,
            register,
            age,
            item.owner.clone(),
            item.what_to_do.clone(),
        ]);
    }
    let findings: String = answer.findings.iter().map(finding_line).collect();
    let complete = if answer.complete { output.good("complete") } else { output.bad("not complete") };
    let access = answer.basis.as_ref().map_or("-", |basis| basis.access_id.as_str());
    format!(
        "{}\n{}{findings}{complete}; access {access}\n",
        output.bold(&format!("{} {}", answer.procedure, answer.title)),
        table.text()
    )
}

fn state_text(state: ItemState, output: Output) -> String {
    match state {
        ItemState::Available => output.good("available"),
        ItemState::NotNeeded => "not needed".to_owned(),
        ItemState::Missing => output.bad("missing"),
        ItemState::Stale => output.warn("stale"),
        ItemState::Disputed => output.bad("disputed"),
        ItemState::OnPaperOnly => output.warn("on paper only"),
        ItemState::NotConnected => output.warn("not connected"),
        ItemState::Ambiguous => output.bad("ambiguous"),
        ItemState::Unspecified => "unknown".to_owned(),
    }
}
