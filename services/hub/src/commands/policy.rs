//! `hub policy`: who may do what.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{GetPolicyRequest, PutPolicyRequest};

use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub policy`.
#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// What to do with the policy.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// Commands of `hub policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Print the policy document in force: policies, roles and who is granted what
    #[command(after_help = "Example:\n  hub policy show > policy.toml")]
    Show(ConnectionArgs),
    /// Replace the policy document
    #[command(
        after_help = "Example:\n  hub policy show > policy.toml\n  hub policy put policy.toml --reason 'the tax register joins'\n\nThe document is checked against kinds and procedures first; it is in force when the command ends."
    )]
    Put(PutArgs),
}

/// Arguments of `hub policy put` and `hub procedures put`.
#[derive(Debug, Clone, Args)]
pub struct PutArgs {
    /// The document, TOML
    #[arg(value_name = "FILE.toml")]
    pub document: PathBuf,
    /// Why, kept with the document
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The file cannot be read; the hub refused or did not answer.
pub async fn run(args: &PolicyArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        PolicyCommand::Show(connection) => show(connection, context).await,
        PolicyCommand::Put(args) => put(args, context).await,
    }
}

async fn show(connection: &ConnectionArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = connection.connect(context, DEFAULT_CALLER).await?;
    let answer = AdminServiceClient::new(channel).get_policy(GetPolicyRequest {}).await?.into_inner();
    let document = text(answer.document)?;
    context.output.show(&json!({ "policy": answer.policy, "document": document }), || document.clone())?;
    Ok(Exit::Ok)
}

async fn put(args: &PutArgs, context: &Context) -> Result<Exit, CommandError> {
    let document = read(&args.document)?;
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = PutPolicyRequest { document, reason: args.reason.clone() };
    let answer = AdminServiceClient::new(channel).put_policy(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.PutPolicyResponse", &answer), || {
        format!("in force: policy {}\n", answer.policy)
    })?;
    Ok(Exit::Ok)
}

/// The bytes of a document.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| {
        CommandError::usage(format!("cannot read {}: {error}", path.display()), "name a readable TOML file")
    })
}

/// A document of the hub as text.
pub(super) fn text(document: Vec<u8>) -> Result<String, CommandError> {
    String::from_utf8(document)
        .map_err(|error| CommandError::failed(format!("the hub's document is no text: {error}"), "see the hub's log"))
}
