//! `hub get`: one subject's attributes, each with its source.

use clap::Args;

use super::asking::{PurposeArgs, SubjectArgs, SubjectKind, TimeArgs};
use crate::connection::ConnectionArgs;

/// Arguments of `hub get`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub get person --personal-id 012345678901 --procedure 1.001193 --case HS-1 --fields full_name,birth_date"
)]
pub struct GetArgs {
    /// What kind of subject
    #[arg(value_enum)]
    pub kind: SubjectKind,
    /// Whom or what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Attributes to read, separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    pub fields: Vec<String>,
    /// Wait until this has been folded, from a receipt; may be repeated
    #[arg(long = "after", value_name = "PARTITION/INDEX", value_parser = min_position)]
    pub min_positions: Vec<(u32, u64)>,
    /// Why.
    #[command(flatten)]
    pub purpose: PurposeArgs,
    /// As of when.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Which hub, and as whom; by default as portal/national.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

fn min_position(text: &str) -> Result<(u32, u64), &'static str> {
    let (partition, index) = text.split_once('/').ok_or("write it as PARTITION/INDEX")?;
    match (partition.parse(), index.parse()) {
        (Ok(partition), Ok(index)) => Ok((partition, index)),
        _ => Err("partition and index are whole numbers"),
    }
}
