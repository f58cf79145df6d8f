//! The command line. A command is one module in `commands` and one variant here.

use clap::{Parser, Subcommand};

use crate::commands::{completions, config, dev_certs};
use crate::context::{Context, GlobalArgs};
use crate::error::{CommandError, Exit};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  tried and failed
  2  the command line or the configuration is wrong
  3  the hub refused
  4  the hub did not answer

Example:
  hub dev-certs && hub config explain > hub.toml";

/// National Data-Sharing Hub: takes record changes from registers, keeps them in a provable log, and answers portals
/// with the least data that a purpose needs.
#[derive(Debug, Parser)]
#[command(name = "hub", version, after_help = AFTER_HELP, propagate_version = true, subcommand_required = true)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make certificates for a development machine: authority, server, clients
    DevCerts(dev_certs::DevCertsArgs),
    /// Explain or check the configuration
    Config(config::ConfigArgs),
    /// Print what a shell needs to complete commands and flags
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// What it could not do, why, and what the user can do about it.
    pub async fn run(&self, context: &Context) -> Result<Exit, CommandError> {
        match self {
            Self::DevCerts(args) => dev_certs::run(args, context),
            Self::Config(args) => config::run(args, context),
            Self::Completions(args) => completions::run(args, context),
        }
    }
}
