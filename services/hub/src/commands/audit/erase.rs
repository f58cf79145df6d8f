//! `hub audit erase`, `approve`, `erasures`: records that are to be gone for good.

use std::path::PathBuf;

use clap::Args;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{DecideErasureRequest, EraseRequest, Erased, ListErasuresRequest, NamedRecord};

use super::prove::record_arg;
use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

/// Arguments of `hub audit erase`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub audit erase --record civil/KS-1/2015 --reason 'order 12/2026 of the court'\n  hub audit approve 41 --reason 'the order was seen'"
)]
pub struct EraseArgs {
    /// The record; may be given several times
    #[arg(long, value_name = "REGISTER/RECORD", value_parser = record_arg, required_unless_present = "records")]
    pub record: Vec<(String, String)>,
    /// A file with one REGISTER/RECORD a line
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Why, kept in the log for ever; without personal data
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub audit approve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  hub audit approve 41 --reason 'the order was seen'")]
pub struct ApproveArgs {
    /// Number of the erasure, as 'hub audit erasures' lists it
    pub index: u64,
    /// Why, kept in the log for ever; without personal data
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Reject it instead: nothing is erased
    #[arg(long)]
    pub reject: bool,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub audit erasures`.
#[derive(Debug, Clone, Args)]
pub struct ErasuresArgs {
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Orders an erasure, or asks for it.
///
/// # Errors
/// The hub refused or did not answer; the file cannot be read.
pub async fn erase(args: &EraseArgs, context: &Context) -> Result<Exit, CommandError> {
    let mut records = args.record.clone();
    if let Some(file) = &args.records {
        records.extend(listed(file)?);
    }
    let records = records.into_iter().map(|(register, record_id)| NamedRecord { register, record_id }).collect();
    let channel = args.connection.connect(context, "operator/ops").await?;
    let request = EraseRequest { records, reason: args.reason.clone() };
    let answer = AdminServiceClient::new(channel).erase(request).await?.into_inner().erased.unwrap_or_default();
    context.output.show(&as_json("hub.admin.v1.Erased", &answer), || told(&answer))?;
    Ok(Exit::Ok)
}

fn listed(file: &PathBuf) -> Result<Vec<(String, String)>, CommandError> {
    let wrong =
        |what: String| CommandError::usage(format!("{}: {what}", file.display()), "write one REGISTER/RECORD a line");
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(at, line)| record_arg(line).map_err(|what| wrong(format!("line {}: {what}", at + 1)))).collect()
}

/// Approves or rejects an erasure.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn approve(args: &ApproveArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    let request = DecideErasureRequest { index: args.index, approve: !args.reject, reason: args.reason.clone() };
    let answer =
        AdminServiceClient::new(channel).decide_erasure(request).await?.into_inner().erased.unwrap_or_default();
    context.output.show(&as_json("hub.admin.v1.Erased", &answer), || {
        if args.reject { format!("rejected, entry control/0/{}\n", answer.index) } else { told(&answer) }
    })?;
    Ok(Exit::Ok)
}

fn told(answer: &Erased) -> String {
    let Erased { index, records, keys_destroyed, plain_entries, .. } = answer;
    if answer.waits {
        let mut out = format!(
            "{records} records wait for a second person: hub audit approve {index} --reason …; nothing is erased yet\n"
        );
        out.push_str(&plain(*plain_entries));
        return out;
    }
    let purged = if answer.purged {
        "files were rewritten without them"
    } else {
        "the views are built anew without them when the hub is started again"
    };
    let mut out =
        format!("{records} records erased, {keys_destroyed} keys destroyed; {purged}; entry control/0/{index}\n");
    out.push_str(&plain(*plain_entries));
    out
}

fn plain(entries: u64) -> String {
    match entries {
        0 => String::new(),
        n => format!("{n} entries were stored plain, before bodies were encrypted: their bytes stay in the log\n"),
    }
}

/// Lists the erasures that wait.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn erasures(args: &ErasuresArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    let answer = AdminServiceClient::new(channel).list_erasures(ListErasuresRequest {}).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ListErasuresResponse", &answer), || {
        let mut table = Table::new(["number", "asked at", "by", "records", "why"]);
        for waiting in &answer.waiting {
            table.row([
                waiting.index.to_string(),
                time_of(waiting.asked_at.as_ref()),
                waiting.actor.clone(),
                waiting.records.len().to_string(),
                waiting.reason.clone(),
            ]);
        }
        let waiting = if answer.waiting.is_empty() { "no erasure waits\n".to_owned() } else { table.text() };
        format!("{waiting}{} records are erased\n", answer.erased)
    })?;
    Ok(Exit::Ok)
}
