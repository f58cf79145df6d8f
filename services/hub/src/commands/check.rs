//! `hub check`: every item of a public service, available or what is missing.

use clap::Args;

use super::asking::{RoleKey, TimeArgs};
use crate::connection::ConnectionArgs;

/// Arguments of `hub check`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub check 1.001193 --case HS-1 --role mother=personal:012345678901 --role child=personal:098765432109"
)]
pub struct CheckArgs {
    /// Code of the procedure
    pub procedure: String,
    /// Case number at the asking agency
    #[arg(long = "case", value_name = "NUMBER")]
    pub case_number: String,
    /// Who plays a role of the procedure; may be repeated
    #[arg(long = "role", required = true, value_name = "ROLE=TYPE:VALUE")]
    pub roles: Vec<RoleKey>,
    /// As of when.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Which hub, and as whom; by default as portal/national.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
