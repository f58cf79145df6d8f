//! `hub receipt`: receipts, checked without a hub.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ledger::{Policy, VerifierKey};
use serde_json::json;

use crate::commands::audit::check::{policy_of, unreadable};
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::receipts::{self, Kept};

/// Failures that are told one by one.
const TOLD_MAX: usize = 20;

/// Arguments of `hub receipt`.
#[derive(Debug, Clone, Args)]
pub struct ReceiptArgs {
    /// What to do with receipts.
    #[command(subcommand)]
    pub command: ReceiptCommand,
}

/// Commands of `hub receipt`.
#[derive(Debug, Clone, Subcommand)]
pub enum ReceiptCommand {
    /// Check the receipts of a file without a hub: each is signed by a key of the log, and its path leads to what was signed
    #[command(
        after_help = "Examples:\n  hub publish --register civil births.ndjson --receipts births.receipts\n  hub audit trust > policy\n  hub receipt check births.receipts --trust policy\n\nThe file is what 'hub publish --receipts' wrote, a JSON answer of PublishBatch, or a receipt in the format of docs/proofs.md. A receipt is\nthe hub's promise that an entry is in its log; 'hub audit prove --receipt' turns it into a proof. Keys that were rotated since\nare in the policy, too. The exit code is 1 when a receipt does not hold."
    )]
    Check(CheckReceiptArgs),
}

/// Arguments of `hub receipt check`.
#[derive(Debug, Clone, Args)]
pub struct CheckReceiptArgs {
    /// Receipts
    pub file: PathBuf,
    /// Whom to trust: a policy's text, as 'hub audit trust' prints it
    #[arg(long, value_name = "POLICY")]
    pub trust: PathBuf,
}

/// Runs what was asked for.
///
/// # Errors
/// A file cannot be read, or holds something else.
pub fn run(args: &ReceiptArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ReceiptCommand::Check(args) => check(args, context),
    }
}

/// What came of one receipt: the key that signed it, or what is wrong with it.
type Checked<'a> = (&'a Kept, Result<&'a VerifierKey, String>);

fn check(args: &CheckReceiptArgs, context: &Context) -> Result<Exit, CommandError> {
    let policy = policy_of(&args.trust)?;
    let bytes = fs::read(&args.file).map_err(|error| unreadable(&args.file, &error))?;
    let kept = receipts::read(&bytes).map_err(|error| {
        let what = format!("{}: {error}", args.file.display());
        CommandError::usage(what, "name a file that 'hub publish --receipts' wrote, or an answer with receipts")
    })?;
    let checked: Vec<Checked<'_>> = kept.iter().map(|kept| (kept, verify(&policy, kept))).collect();
    let failed: Vec<_> = checked.iter().filter_map(|(kept, result)| result.as_ref().err().map(|e| (kept, e))).collect();
    let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
    checked.iter().filter_map(|(_, result)| result.as_ref().ok()).for_each(|key| {
        *by_key.entry(key.to_string()).or_default() += 1;
    });
    let good = checked.len() - failed.len();
    let wrong: Vec<_> = failed
        .iter()
        .map(|(kept, error)| json!({ "line": kept.line, "change": kept.change, "position": kept.receipt.position.to_string(), "wrong": error }))
        .collect();
    context.output.show(&json!({ "good": good, "wrong": wrong, "signed_by": by_key }), || {
        let mut text = String::new();
        for (kept, error) in failed.iter().take(TOLD_MAX) {
            let of = if kept.change.is_empty() { String::new() } else { format!(" ({})", kept.change) };
            text.push_str(&format!("line {}: {}{of}: {error}\n", kept.line, kept.receipt.position));
        }
        if failed.len() > TOLD_MAX {
            text.push_str(&format!("{} further ones are wrong\n", failed.len() - TOLD_MAX));
        }
        for (key, receipts) in &by_key {
            text.push_str(&format!("{receipts} signed by {key}\n"));
        }
        let counts = format!("{good} good, {} wrong", failed.len());
        text + &if failed.is_empty() { context.output.good(&counts) } else { context.output.bad(&counts) } + "\n"
    })?;
    Ok(if failed.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// The note's first line names the log; whoever is trusted for that log may have signed it.
fn verify<'p>(policy: &'p Policy, kept: &Kept) -> Result<&'p VerifierKey, String> {
    let first = kept.receipt.signed_root.lines().next().unwrap_or_default();
    let origin = first.strip_suffix("/receipts").ok_or("what is signed is no root of receipts")?;
    let mut keys = policy.keys(origin).peekable();
    if keys.peek().is_none() {
        return Err(format!("the policy knows no log '{origin}'"));
    }
    kept.receipt.verify_by_any(keys, origin).map_err(|error| error.to_string())
}
