//! `hub audit status`, `trust` and `verify`: the ledger of a running hub.

use clap::Args;
use serde_json::json;
use wire::audit::audit_service_client::AuditServiceClient;
use wire::audit::{GetLedgerRequest, GetLedgerResponse, LedgerDifference, LedgerVerification, VerifyLedgerRequest};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::{Output, Table};
use crate::progress::Progress;

/// Which hub.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  hub audit status\n  hub audit trust > policy\n  hub audit verify")]
pub struct LedgerArgs {
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

async fn ledger(args: &LedgerArgs, context: &Context) -> Result<GetLedgerResponse, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    Ok(AuditServiceClient::new(channel).get_ledger(GetLedgerRequest {}).await?.into_inner())
}

/// Shows how far the ledger is; the exit code is 1 when it has stopped or differs from the log.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn status(args: &LedgerArgs, context: &Context) -> Result<Exit, CommandError> {
    let ledger = ledger(args, context).await?;
    context.output.show(&as_json("hub.audit.v1.GetLedgerResponse", &ledger), || told(&ledger, context.output))?;
    let good = ledger.stopped.is_empty() && !matches!(ledger.verification.as_str(), "different" | "failed");
    Ok(if good { Exit::Ok } else { Exit::Failed })
}

fn told(ledger: &GetLedgerResponse, output: Output) -> String {
    let size = |note: &str| note.lines().nth(1).unwrap_or("none").to_owned();
    let witnesses = |note: &str| note.lines().filter(|line| line.starts_with('\u{2014}')).count().saturating_sub(1);
    let mut table = Table::new(["ledger", ""]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("log", ledger.origin.clone());
    row("key", ledger.verifier.clone());
    row("checkpoint", size(&ledger.checkpoint));
    row("signed at", time_of(ledger.signed_at.as_ref()));
    if !ledger.cosigned.is_empty() {
        row("cosigned", format!("{} by {} witnesses", size(&ledger.cosigned), witnesses(&ledger.cosigned)));
    }
    row("entries covered", ledger.covered.values().sum::<u64>().to_string());
    row("entries behind", ledger.behind.to_string());
    row("compared at start", ledger.verification.clone());
    let mut text = table.text();
    if !ledger.stopped.is_empty() {
        text.push_str(&format!("{}: {}\n", output.bad("the ledger has stopped"), ledger.stopped));
    }
    text
}

/// Prints the trust policy.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn trust(args: &LedgerArgs, context: &Context) -> Result<Exit, CommandError> {
    let ledger = ledger(args, context).await?;
    context.output.show(&json!({ "trust": ledger.trust }), || ledger.trust.clone())?;
    Ok(Exit::Ok)
}

/// Lets the hub read its log against the ledger.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn verify(args: &LedgerArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    let mut answers = AuditServiceClient::new(channel).verify_ledger(VerifyLedgerRequest {}).await?.into_inner();
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
    let json = as_json("hub.audit.v1.LedgerVerification", &result);
    context.output.show(&json, || verified(&result, context.output))?;
    Ok(if result.equal { Exit::Ok } else { Exit::Failed })
}

fn verified(result: &LedgerVerification, output: Output) -> String {
    let verdict = if result.equal { output.good("equal") } else { output.bad("DIFFERENT") };
    let size = result.checkpoint.lines().nth(1).unwrap_or("-");
    let rate = result.proven as f64 / result.seconds.max(0.001);
    let mut text = format!(
        "{verdict}: {} entries are as checkpoint {size} has them, {:.1} s, {rate:.0}/s\n\
         {} entries are beyond it, and not proven\n",
        result.proven, result.seconds, result.uncovered
    );
    if result.expired > 0 {
        text.push_str(&format!("{} entries are past their retention; the ledger has their hashes\n", result.expired));
    }
    text.extend(result.differences.iter().map(difference));
    text
}

fn difference(difference: &LedgerDifference) -> String {
    let LedgerDifference { partition, kind, first, cause } = difference;
    let first = first.map(|first| format!(" from entry {partition}/{first} on")).unwrap_or_default();
    let cause = if cause.is_empty() { String::new() } else { format!(" ({cause})") };
    format!("{partition}: {}{first}{cause}\n", kind.replace('_', " "))
}
