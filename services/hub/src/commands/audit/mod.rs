//! `hub audit`: what the hub can prove, and what its log holds.

mod body;
pub(crate) mod check;
mod erase;
mod fields;
mod ledger;
mod parquet;
pub(crate) mod prove;
mod replay;
mod reproduce;
mod state;
mod witness;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::{CommandError, Exit};

/// Arguments of `hub audit`.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// What to audit.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// Commands of `hub audit`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Write a proof bundle of a record, an entry, an answer or a receipt
    Prove(prove::ProveArgs),
    /// Check a proof bundle offline: no hub, no network, no secret is needed
    Check(check::CheckBundleArgs),
    /// Make an answer of the past again, from views as they were then
    Reproduce(reproduce::ReproduceArgs),
    /// Show entries of the log as they are, filtered
    Replay(replay::ReplayArgs),
    /// Show how far the ledger is
    Status(ledger::LedgerArgs),
    /// Print the trust policy that a verifier needs: the log's key and its witnesses
    Trust(ledger::LedgerArgs),
    /// Read the whole log against the ledger; exit code 1 when they differ
    Verify(ledger::LedgerArgs),
    /// Erase records for good, or ask for it where a second person must approve
    Erase(erase::EraseArgs),
    /// Approve or reject an erasure that another person asked for
    Approve(erase::ApproveArgs),
    /// List erasures that wait for a second person
    Erasures(erase::ErasuresArgs),
    /// Be a witness: cosign checkpoints of logs that only grow
    Witness(witness::WitnessArgs),
}

/// Runs what was asked for.
///
/// # Errors
/// The hub refused or did not answer; a file cannot be read or written.
pub async fn run(args: &AuditArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        AuditCommand::Prove(args) => prove::run(args, context).await,
        AuditCommand::Check(args) => check::run(args, context),
        AuditCommand::Reproduce(args) => reproduce::run(args, context).await,
        AuditCommand::Replay(args) => replay::run(args, context).await,
        AuditCommand::Status(args) => ledger::status(args, context).await,
        AuditCommand::Trust(args) => ledger::trust(args, context).await,
        AuditCommand::Verify(args) => ledger::verify(args, context).await,
        AuditCommand::Erase(args) => erase::erase(args, context).await,
        AuditCommand::Approve(args) => erase::approve(args, context).await,
        AuditCommand::Erasures(args) => erase::erasures(args, context).await,
        AuditCommand::Witness(args) => witness::run(args, context).await,
    }
}
