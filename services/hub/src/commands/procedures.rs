//! `hub procedures`: what each public service may ask for.

use access::{Item, Procedure, ProcedureSet, What};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{GetProceduresRequest, PutProceduresRequest};

use super::policy::{PutArgs, read, text};
use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::output::{Output, Table};

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub procedures`.
#[derive(Debug, Clone, Args)]
pub struct ProceduresArgs {
    /// What to do with the procedures.
    #[command(subcommand)]
    pub command: ProceduresCommand,
}

/// Commands of `hub procedures`.
#[derive(Debug, Clone, Subcommand)]
pub enum ProceduresCommand {
    /// Show the procedures in force, with their roles
    #[command(after_help = "Example:\n  hub procedures list")]
    List(ConnectionArgs),
    /// Show the items of one procedure, or print the whole document
    #[command(after_help = "Examples:\n  hub procedures show 1.001193\n  hub procedures show > procedures.toml")]
    Show(ShowArgs),
    /// Replace the document with all procedures
    #[command(
        after_help = "Example:\n  hub procedures show > procedures.toml\n  hub procedures put procedures.toml --reason 'decree 123/2026'\n\nThe document is checked against kinds and policy first; it is in force when the command ends."
    )]
    Put(PutArgs),
}

/// Arguments of `hub procedures show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Code of the procedure; the whole document when absent
    pub code: Option<String>,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The file cannot be read; there is no such procedure; the hub refused or did not answer.
pub async fn run(args: &ProceduresArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ProceduresCommand::List(connection) => list(connection, context).await,
        ProceduresCommand::Show(args) => show(args, context).await,
        ProceduresCommand::Put(args) => put(args, context).await,
    }
}

async fn document(connection: &ConnectionArgs, context: &Context) -> Result<(String, ProcedureSet), CommandError> {
    let channel = connection.connect(context, DEFAULT_CALLER).await?;
    let answer = AdminServiceClient::new(channel).get_procedures(GetProceduresRequest {}).await?.into_inner();
    let procedures = ProcedureSet::parse(&answer.document).map_err(|error| {
        let what = format!("the hub's document cannot be read: {}", told(&error));
        CommandError::failed(what, "use a program of the hub's version")
    })?;
    Ok((text(answer.document)?, procedures))
}

async fn list(connection: &ConnectionArgs, context: &Context) -> Result<Exit, CommandError> {
    let (_, procedures) = document(connection, context).await?;
    let rows: Vec<Json> = procedures.iter().map(summary).collect();
    context.output.show(&json!({ "procedures": rows }), || {
        let mut table = Table::new(["code", "title", "owner", "roles", "items"]);
        for procedure in procedures.iter() {
            let cells = [procedure.code(), &procedure.title().en, procedure.owner(), &roles(procedure).join(", ")];
            table.row(cells.map(str::to_owned).into_iter().chain([procedure.items().len().to_string()]));
        }
        table.text()
    })?;
    Ok(Exit::Ok)
}

async fn show(args: &ShowArgs, context: &Context) -> Result<Exit, CommandError> {
    let (document, procedures) = document(&args.connection, context).await?;
    let Some(code) = &args.code else {
        context.output.show(&json!({ "document": document }), || document.clone())?;
        return Ok(Exit::Ok);
    };
    let procedure = procedures.get(code).ok_or_else(|| {
        CommandError::refused(format!("there is no procedure {code}"), "see 'hub procedures list' for those that are")
    })?;
    let mut shown = summary(procedure);
    shown["items"] = procedure.items().iter().map(item).collect();
    context.output.show(&shown, || items(procedure, context.output))?;
    Ok(Exit::Ok)
}

async fn put(args: &PutArgs, context: &Context) -> Result<Exit, CommandError> {
    let document = read(&args.document)?;
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = PutProceduresRequest { document, reason: args.reason.clone() };
    let answer = AdminServiceClient::new(channel).put_procedures(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.PutProceduresResponse", &answer), || {
        format!("in force: {} procedures\n", answer.procedures)
    })?;
    Ok(Exit::Ok)
}

fn roles(procedure: &Procedure) -> Vec<&str> {
    procedure.roles().iter().map(access::Role::name).collect()
}

fn summary(procedure: &Procedure) -> Json {
    json!({
        "code": procedure.code(),
        "title": procedure.title().en,
        "title_vi": procedure.title().vi,
        "owner": procedure.owner(),
        "roles": roles(procedure),
    })
}

fn item(item: &Item) -> Json {
    json!({
        "item": item.id(),
        "role": item.role(),
        "what": what(item),
        "registers": item.registers().collect::<Vec<_>>(),
        "owner": item.owner(),
        "title": item.title().en,
    })
}

fn items(procedure: &Procedure, output: Output) -> String {
    let mut table = Table::new(["item", "role", "what", "registers", "owner"]);
    for item in procedure.items() {
        let registers = item.registers().collect::<Vec<_>>().join(", ");
        table.row([item.id(), item.role(), &what(item), &registers, item.owner()].map(str::to_owned));
    }
    format!("{}\n{}", output.bold(&format!("{} {}", procedure.code(), procedure.title().en)), table.text())
}

fn what(item: &Item) -> String {
    match item.what() {
        What::Attribute(attribute) => attribute.to_string(),
        What::Relation { name, to } => format!("{name} {}", to.as_deref().unwrap_or("anybody")),
        What::Record(record_type) => format!("record {record_type}"),
        What::Rule { source, .. } => format!("rule {source}"),
    }
}
