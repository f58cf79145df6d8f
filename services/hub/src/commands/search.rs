//! `hub search`: at most 20 masked hits.

use std::fmt;

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::search_request::Query as LookedFor;
use wire::query::{NameBirth, NameCommune, ParcelSheet, SearchRequest, SearchResponse};

use super::asking::{PurposeArgs, SubjectKind};
use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

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

/// Searches.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &SearchArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "portal/national").await?;
    let request = SearchRequest {
        kind: args.kind.name().to_owned(),
        purpose: Some(args.purpose.wire()),
        query: Some(args.looked_for()?),
    };
    let answer = QueryServiceClient::new(channel).search(request).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.SearchResponse", &answer), || told(&answer))?;
    Ok(if answer.hits.is_empty() { Exit::Failed } else { Exit::Ok })
}

impl SearchArgs {
    fn looked_for(&self) -> Result<LookedFor, CommandError> {
        let list_version = self.list.clone().unwrap_or_default();
        match (&self.name, &self.birth, &self.commune, &self.old_id, &self.sheet) {
            (Some(name), Some(birth), ..) => {
                Ok(LookedFor::NameBirth(NameBirth { full_name: name.clone(), birth_date: birth.clone() }))
            }
            (Some(name), None, Some(commune), ..) => Ok(LookedFor::NameCommune(NameCommune {
                full_name: name.clone(),
                commune_code: commune.clone(),
                list_version,
            })),
            (None, _, _, Some(old_id), _) => Ok(LookedFor::OldId(old_id.clone())),
            (None, _, Some(commune), None, Some(sheet)) => Ok(LookedFor::ParcelSheet(ParcelSheet {
                commune_code: commune.clone(),
                list_version,
                sheet: sheet.clone(),
            })),
            _ => Err(CommandError::usage("a name alone finds too many", "add --birth or --commune")),
        }
    }
}

pub(super) fn told(answer: &SearchResponse) -> String {
    let mut names: Vec<&String> = answer.hits.iter().flat_map(|hit| hit.masked.keys()).collect();
    names.sort();
    names.dedup();
    let mut table =
        Table::new(std::iter::once("subject").chain(names.iter().map(|name| name.as_str())).chain(["records"]));
    for hit in &answer.hits {
        let masked = names.iter().map(|name| hit.masked.get(*name).cloned().unwrap_or_else(|| "-".to_owned()));
        table.row(std::iter::once(hit.subject.clone()).chain(masked).chain([hit.records.to_string()]));
    }
    let more = if answer.more { "; more matched: say more" } else { "" };
    let access = answer.basis.as_ref().map_or("-", |basis| basis.access_id.as_str());
    format!("{}{} found{more}; access {access}\n", table.text(), answer.hits.len())
}
