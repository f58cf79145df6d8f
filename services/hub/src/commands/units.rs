//! `hub units`: dated lists of administrative units.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::connection::ConnectionArgs;

/// Arguments of `hub units`.
#[derive(Debug, Clone, Args)]
pub struct UnitsArgs {
    /// What to do with the lists.
    #[command(subcommand)]
    pub command: UnitsCommand,
}

/// Commands of `hub units`.
#[derive(Debug, Clone, Subcommand)]
pub enum UnitsCommand {
    /// Add a dated list from CSV files
    #[command(
        after_help = "Example:\n  hub units import provinces.csv communes.csv --reason 'Resolution 202/2025/QH15'"
    )]
    Import(ImportArgs),
    /// Show the lists in force
    #[command(after_help = "Example:\n  hub units list")]
    List(ConnectionArgs),
}

/// Arguments of `hub units import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The list's files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Why, kept with the list
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
