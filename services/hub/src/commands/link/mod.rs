//! `hub link`: which records are one entity.

mod epoch;
mod files;
mod measure;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::{CommandError, Exit};

/// Arguments of `hub link`.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// What to link.
    #[command(subcommand)]
    pub command: LinkCommand,
}

/// Commands of `hub link`.
#[derive(Debug, Clone, Subcommand)]
pub enum LinkCommand {
    /// Find the records of one file that are one entity
    #[command(after_help = "Example:\n  hub link dedupe people.csv --id person_id -o people-linked")]
    Dedupe(files::DedupeArgs),
    /// Find the records of two files that are one entity; links go across the files only
    #[command(after_help = "Example:\n  hub link match register.csv survey.csv --id person_id -o linked")]
    Match(files::MatchArgs),
    /// Learn a model epoch from files, to use with --model
    #[command(after_help = "Example:\n  hub link train people.csv --id person_id -o model.json")]
    Train(files::TrainArgs),
    /// Link files and measure the result against a column that holds the truth
    #[command(
        after_help = "Examples:\n  hub link evaluate people.csv --id person_id --truth entity\n  hub link evaluate dataset3.csv --id rec_id --truth rec_id --truth-pattern '^rec-([0-9]+)-'"
    )]
    Evaluate(measure::EvaluateArgs),
    /// Propose, compare and switch the linkage models of a hub
    Epoch(epoch::EpochArgs),
}

/// Runs what was asked for.
///
/// # Errors
/// A file, the spec or the model is wrong, the results cannot be written, or a hub refused or did not answer.
pub async fn run(args: &LinkArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        LinkCommand::Dedupe(args) => files::dedupe(args, context),
        LinkCommand::Match(args) => files::match_files(args, context),
        LinkCommand::Train(args) => files::train(args, context),
        LinkCommand::Evaluate(args) => measure::evaluate(args, context),
        LinkCommand::Epoch(args) => epoch::run(args, context).await,
    }
}
