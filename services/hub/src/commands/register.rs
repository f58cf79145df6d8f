//! `hub register`: stating a register anew, as a whole.

use clap::{Args, Subcommand};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{AbortRedoRequest, CommitRedoRequest, CompareViewsRequest, OpenRedoRequest, PrepareViewsRequest};

use super::views;
use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub register`.
#[derive(Debug, Clone, Args)]
pub struct RegisterArgs {
    /// What to do with the register.
    #[command(subcommand)]
    pub command: RegisterCommand,
}

/// Commands of `hub register`.
#[derive(Debug, Clone, Subcommand)]
pub enum RegisterCommand {
    /// Open a complete re-statement; the register goes on serving and taking changes
    #[command(
        after_help = "Example:\n  hub register redo --register land --reason 'database rebuilt from the paper files'\n  hub publish --register land --epoch 1 land-restated.ndjson\n  hub register report --register land\n  hub register commit --register land --reason 'report read'"
    )]
    Redo(OpenArgs),
    /// Show what the re-statement adds, changes and removes, by agency and commune
    #[command(after_help = "Example:\n  hub register report --register land")]
    Report(ReportArgs),
    /// Let the re-statement serve; what was neither stated again nor changed since the opening is gone in one step
    #[command(after_help = "Example:\n  hub register commit --register land --reason 'report read'")]
    Commit(CommitArgs),
    /// End the re-statement without a trace in the views
    #[command(after_help = "Example:\n  hub register abort --register land --reason 'wrong file'")]
    Abort(OpenArgs),
}

/// Arguments of `hub register redo` and `hub register abort`.
#[derive(Debug, Clone, Args)]
pub struct OpenArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub register report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Changed subjects and records that are named, of each sort
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub samples: u32,
    /// Percent of one thread's time
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub share: u32,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub register commit`.
#[derive(Debug, Clone, Args)]
pub struct CommitArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Percent of the register's records that may go
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub removed_share_max: u32,
    /// Also when more go
    #[arg(long)]
    pub confirm: bool,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &RegisterArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        RegisterCommand::Redo(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = OpenRedoRequest { register: args.register.clone(), reason: args.reason.clone() };
            let opened = AdminServiceClient::new(channel).open_redo(request).await?.into_inner();
            context.output.show(&as_json("hub.admin.v1.OpenRedoResponse", &opened), || {
                let (register, epoch) = (&args.register, opened.epoch);
                format!(
                    "epoch {epoch} of {register} is open: state every record again with 'hub publish --register {register} --epoch {epoch}', then read 'hub register report --register {register}'\n"
                )
            })?;
        }
        RegisterCommand::Report(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let restated = vec![args.register.clone()];
            let request = PrepareViewsRequest { restated, share: args.share, ..PrepareViewsRequest::default() };
            views::prepare(channel.clone(), request, context).await?;
            views::diff(channel, CompareViewsRequest { samples: args.samples, previous: false }, context).await?;
        }
        RegisterCommand::Commit(args) => commit(args, context).await?,
        RegisterCommand::Abort(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = AbortRedoRequest { register: args.register.clone(), reason: args.reason.clone() };
            let done = AdminServiceClient::new(channel).abort_redo(request).await?.into_inner();
            context.output.show(&as_json("hub.admin.v1.AbortRedoResponse", &done), || {
                format!("epoch {} of {} has ended; nothing of it is seen\n", done.epoch, args.register)
            })?;
        }
    }
    Ok(Exit::Ok)
}

async fn commit(args: &CommitArgs, context: &Context) -> Result<(), CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = CommitRedoRequest {
        register: args.register.clone(),
        reason: args.reason.clone(),
        confirm: args.confirm,
        removed_share_max: args.removed_share_max,
    };
    let done = AdminServiceClient::new(channel).commit_redo(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.CommitRedoResponse", &done), || {
        let records = done.records.clone().unwrap_or_default();
        let when = if done.serving { "serves" } else { "serves in a moment" };
        format!(
            "epoch {} of {} {when}: {} records as before, {} added, {} changed, {} removed\n",
            done.epoch,
            args.register,
            records.same + records.other_rows,
            records.added,
            records.changed,
            records.removed
        )
    })
}
