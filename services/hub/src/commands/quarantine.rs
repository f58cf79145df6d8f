//! `hub quarantine`: changes that the fold cannot apply.

use clap::{Args, Subcommand};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{DropQuarantinedRequest, ListQuarantineRequest, RetryQuarantinedRequest};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

const DEFAULT_CALLER: &str = "operator/ops";

/// Arguments of `hub quarantine`.
#[derive(Debug, Clone, Args)]
pub struct QuarantineArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: QuarantineCommand,
}

/// Commands of `hub quarantine`.
#[derive(Debug, Clone, Subcommand)]
pub enum QuarantineCommand {
    /// Show changes that cannot be applied, why, and what is parked behind them
    #[command(after_help = "Example:\n  hub quarantine list --limit 20")]
    List(ListArgs),
    /// Try a parked record again, after what was wrong around it was mended; an entry of the log
    #[command(
        after_help = "Example:\n  hub quarantine retry 5d41402abc4b2a76b9719d911017c592 --reason 'the key file is back'"
    )]
    Retry(RetryArgs),
    /// Leave a change without effect for good; what its record said later counts; an entry of the log
    #[command(
        after_help = "Example:\n  hub quarantine drop 5d41402abc4b2a76b9719d911017c592 --position change/3/17 --reason 'written by a broken tool'"
    )]
    Drop(DropArgs),
}

/// Arguments of `hub quarantine list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Changes that are shown
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Go on where an answer ended
    #[arg(long, value_name = "TOKEN", default_value = "")]
    pub page: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub quarantine retry`.
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// The record, as the list names it
    #[arg(value_name = "RECORD")]
    pub record: String,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub quarantine drop`.
#[derive(Debug, Clone, Args)]
pub struct DropArgs {
    /// The record, as the list names it
    #[arg(value_name = "RECORD")]
    pub record: String,
    /// The change, as the list names it
    #[arg(long, value_name = "POSITION")]
    pub position: String,
    /// Why, kept in the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &QuarantineArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        QuarantineCommand::List(args) => list(args, context).await?,
        QuarantineCommand::Retry(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let request = RetryQuarantinedRequest { record: args.record.clone(), reason: args.reason.clone() };
            let answer = AdminServiceClient::new(channel).retry_quarantined(request).await?.into_inner();
            context.output.show(&as_json("hub.admin.v1.RetryQuarantinedResponse", &answer), || {
                outcome(answer.index, answer.applied, answer.parked)
            })?;
        }
        QuarantineCommand::Drop(args) => {
            let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
            let (record, position, reason) = (args.record.clone(), args.position.clone(), args.reason.clone());
            let request = DropQuarantinedRequest { record, position, reason };
            let answer = AdminServiceClient::new(channel).drop_quarantined(request).await?.into_inner();
            context.output.show(&as_json("hub.admin.v1.DropQuarantinedResponse", &answer), || {
                outcome(answer.index, answer.applied, answer.parked)
            })?;
        }
    }
    Ok(Exit::Ok)
}

fn outcome(index: u64, applied: u64, parked: u64) -> String {
    format!("entry control/0/{index}: {applied} changes applied, {parked} still parked\n")
}

async fn list(args: &ListArgs, context: &Context) -> Result<(), CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = ListQuarantineRequest { limit: args.limit, page_token: args.page.clone() };
    let answer = AdminServiceClient::new(channel).list_quarantine(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ListQuarantineResponse", &answer), || {
        let mut table = Table::new(["record", "register", "position", "version", "taken at", "why"]);
        for change in &answer.changes {
            let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            let why = if change.reason.is_empty() { "waits behind it" } else { &change.reason };
            table.row([
                change.record.clone(),
                or_dash(&change.register),
                change.position.clone(),
                change.version.to_string(),
                time_of(change.recorded_at.as_ref()),
                why.to_owned(),
            ]);
        }
        let mut text = format!("{}{} records are parked\n", table.text(), answer.records);
        if !answer.next_page_token.is_empty() {
            text.push_str(&format!("more: --page '{}'\n", answer.next_page_token));
        }
        text
    })
}
