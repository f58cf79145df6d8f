//! `hub accesses`: who looked at a subject's records.

use clap::Args;

use super::asking::{PurposeArgs, SubjectArgs, SubjectKind};
use crate::connection::ConnectionArgs;

/// Arguments of `hub accesses`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub accesses person --personal-id 012345678901 --procedure audit --case A-7 --limit 20"
)]
pub struct AccessesArgs {
    /// What kind of subject
    #[arg(value_enum)]
    pub kind: SubjectKind,
    /// Whom or what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Most records to show, newest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    pub limit: u32,
    /// Why.
    #[command(flatten)]
    pub purpose: PurposeArgs,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
