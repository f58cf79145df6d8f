//! `hub contracts`: what registers promise.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::connection::ConnectionArgs;

/// Arguments of `hub contracts`.
#[derive(Debug, Clone, Args)]
pub struct ContractsArgs {
    /// What to do with the contracts.
    #[command(subcommand)]
    pub command: ContractsCommand,
}

/// Commands of `hub contracts`.
#[derive(Debug, Clone, Subcommand)]
pub enum ContractsCommand {
    /// Show the contracts in force
    #[command(after_help = "Example:\n  hub contracts list")]
    List(ConnectionArgs),
    /// Show one register's contract: record types, mentions, rules
    #[command(after_help = "Example:\n  hub contracts show civil")]
    Show(ShowArgs),
    /// Bring a register, or a new version of its contract, from a descriptor set
    #[command(
        after_help = "Example:\n  buf build -o population.binpb && hub contracts register population.binpb --reason 'fourth register'"
    )]
    Register(RegisterArgs),
    /// Say what would refuse a descriptor set, without registering it
    #[command(after_help = "Example:\n  hub contracts check population.binpb")]
    Check(CheckContractArgs),
    /// Write all .proto files that a publisher needs
    #[command(after_help = "Example:\n  hub contracts export --dir contracts")]
    Export(ExportArgs),
}

/// Arguments of `hub contracts show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The register
    pub register: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub contracts register`.
#[derive(Debug, Clone, Args)]
pub struct RegisterArgs {
    /// A serialised FileDescriptorSet with all imports
    #[arg(value_name = "FILE.binpb")]
    pub descriptors: PathBuf,
    /// Why, kept with the contract
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub contracts check`.
#[derive(Debug, Clone, Args)]
pub struct CheckContractArgs {
    /// A serialised FileDescriptorSet with all imports
    #[arg(value_name = "FILE.binpb")]
    pub descriptors: PathBuf,
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub contracts export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Where to write
    #[arg(long, default_value = "contracts", value_name = "DIR")]
    pub dir: PathBuf,
}
