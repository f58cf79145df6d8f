//! `hub search`: at most 20 masked hits.

use std::fmt;

use clap::Args;

use super::asking::{PurposeArgs, SubjectKind};
use crate::connection::ConnectionArgs;

/// Arguments of `hub search`.
#[derive(Clone, Args)]
#[command(
    after_help = "Examples:\n  hub search person --name 'Nguyễn Thị Hoa' --birth 1990-02-14 --procedure 1.001193 --case HS-1\n  hub search parcel --commune 00004 --sheet 12 --procedure 1.012783 --case HS-2"
)]
#[group(id = "search_by", required = true, multiple = true, args = ["name", "old_id", "sheet"])]
pub struct SearchArgs {
    /// What kind of subject
    #[arg(value_enum)]
    pub kind: SubjectKind,
    /// Full name; with --birth or --commune
    #[arg(long, value_name = "NAME", conflicts_with_all = ["old_id", "sheet"])]
    pub name: Option<String>,
    /// Date of birth, YYYY-MM-DD or YYYY
    #[arg(long, value_name = "DATE", requires = "name", conflicts_with = "commune")]
    pub birth: Option<String>,
    /// Code of a commune
    #[arg(long, value_name = "CODE")]
    pub commune: Option<String>,
    /// Unit list that the commune code is of; the newest when absent
    #[arg(long, value_name = "VERSION", requires = "commune")]
    pub list: Option<String>,
    /// Number of an old identity card
    #[arg(long, value_name = "ID", conflicts_with = "sheet")]
    pub old_id: Option<String>,
    /// Sheet of a commune's cadastral map
    #[arg(long, value_name = "SHEET", requires = "commune")]
    pub sheet: Option<String>,
    /// Why.
    #[command(flatten)]
    pub purpose: PurposeArgs,
    /// Which hub, and as whom; by default as portal/national.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

// What is searched for is personal data: it is not shown where arguments are logged.
impl fmt::Debug for SearchArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchArgs").field("kind", &self.kind).finish_non_exhaustive()
    }
}
