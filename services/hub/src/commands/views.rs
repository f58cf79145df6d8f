//! `hub views`: proving the views.

use clap::{Args, Subcommand};
use wire::admin::VerifyViewsRequest;
use wire::admin::admin_service_client::AdminServiceClient;

use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::progress::Progress;

/// A store that views can be folded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// fjall.
    Fjall,
    /// sled.
    Sled,
}

/// Arguments of `hub views`.
#[derive(Debug, Clone, Args)]
pub struct ViewsArgs {
    /// What to do with the views.
    #[command(subcommand)]
    pub command: ViewsCommand,
}

/// Commands of `hub views`.
#[derive(Debug, Clone, Subcommand)]
pub enum ViewsCommand {
    /// Fold the log from scratch beside the live views and compare the digests; exit code 1 when they differ
    #[command(after_help = "Example:\n  hub views verify --store sled")]
    Verify(VerifyArgs),
}

/// Arguments of `hub views verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Store of the replay; the live one's kind when absent
    #[arg(long, value_enum, value_name = "KIND")]
    pub store: Option<StoreKind>,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &ViewsArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ViewsCommand::Verify(args) => verify(args, context).await,
    }
}

async fn verify(args: &VerifyArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "operator/ops").await?;
    let store = match args.store {
        None => "",
        Some(StoreKind::Fjall) => "fjall",
        Some(StoreKind::Sled) => "sled",
    };
    let request = VerifyViewsRequest { store: store.to_owned() };
    let mut answers = AdminServiceClient::new(channel).verify_views(request).await?.into_inner();
    let progress = Progress::new("verify", "entries", None, context.output.is_json());
    let mut result = None;
    while let Some(answer) = answers.message().await? {
        progress.total(answer.entries_total);
        progress.set(answer.entries);
        result = answer.result.or(result);
    }
    progress.finish();
    let result = result
        .ok_or_else(|| CommandError::failed("the hub ended the verification without a result", "see the hub's log"))?;
    context.output.show(&as_json("hub.admin.v1.Verification", &result), || {
        let verdict = if result.equal { context.output.good("equal") } else { context.output.bad("DIFFERENT") };
        let (live, replay) = (&result.live_digest, &result.replay_digest);
        format!("live    {live}\nreplay  {replay}\n{verdict}: {} entries in {:.1} s\n", result.entries, result.seconds)
    })?;
    Ok(if result.equal { Exit::Ok } else { Exit::Failed })
}
