//! `hub status`: how far the hub is.

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{GetStatusRequest, GetStatusResponse};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};

/// Arguments of `hub status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  hub status --json")]
pub struct StatusArgs {
    /// Which hub, and as whom; by default as operator/ops.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Shows how far the hub is.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "operator/ops").await?;
    let status = QueryServiceClient::new(channel).get_status(GetStatusRequest {}).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.GetStatusResponse", &status), || told(&status))?;
    Ok(Exit::Ok)
}

fn rows(status: &GetStatusResponse) -> String {
    match &status.rows_checked {
        None => "not looked through yet".to_owned(),
        Some(looked) if looked.wrong.is_empty() => {
            format!("{} as they were folded, {}", looked.rows, time_of(looked.at.as_ref()))
        }
        Some(looked) => format!("WRONG: {}, {}", looked.wrong, time_of(looked.at.as_ref())),
    }
}

fn prepared(status: &GetStatusResponse) -> String {
    let ordered = if status.switching_to.is_empty() { "" } else { ", as ordered" };
    match &status.prepared {
        None if status.switching_to.is_empty() => "none".to_owned(),
        None => format!("{} is ordered", status.switching_to),
        Some(views) if !views.failed.is_empty() => format!("{}{ordered}: FAILED: {}", views.basis, views.failed),
        Some(views) if views.level => format!("{}{ordered}: level", views.basis),
        Some(views) if views.entries_ordered > 0 => {
            let (read, of) = (views.entries_ordered, views.entries_total);
            format!("{}{ordered}: {read} of {of} entries read, to put changes in order", views.basis)
        }
        Some(views) => format!("{}{ordered}: {} of {} entries", views.basis, views.entries, views.entries_total),
    }
}

fn told(status: &GetStatusResponse) -> String {
    let mut contracts: Vec<_> = status.contracts.iter().map(|(register, id)| format!("{register} {id}")).collect();
    contracts.sort();
    let entries = |stream: &str| -> u64 {
        status.log_ends.iter().filter(|(name, _)| name.starts_with(stream)).map(|(_, end)| end).sum()
    };
    let fold = match (status.fold_stopped.as_str(), status.rebuilding_because.as_str()) {
        ("", "") => "runs".to_owned(),
        ("", reason) => format!("begins again from the log: {reason}"),
        (reason, _) => format!("HAS STOPPED: {reason}"),
    };
    let lines = [
        ("version", status.version.clone()),
        ("log", status.log.clone()),
        ("changes", entries("change/").to_string()),
        ("refused changes", entries("rejected/").to_string()),
        ("control entries", entries("control/").to_string()),
        ("accesses", entries("access/").to_string()),
        ("fold", fold),
        ("not yet folded", status.behind.to_string()),
        ("store", status.store.clone()),
        ("records", status.records.to_string()),
        ("mentions", status.mentions.to_string()),
        ("persons", status.subjects_persons.to_string()),
        ("parcels", status.subjects_parcels.to_string()),
        ("parked", status.parked.to_string()),
        ("quarantined", quarantined(status)),
        ("digest", status.digest.clone()),
        ("fold version", status.fold_version.to_string()),
        ("views on", status.basis.clone()),
        ("prepared", prepared(status)),
        ("rows", rows(status)),
        ("last cut", time_of(status.last_cut.as_ref())),
        ("contracts", contracts.join(", ")),
    ];
    lines.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect()
}

fn quarantined(status: &GetStatusResponse) -> String {
    match status.quarantined {
        0 => "none".to_owned(),
        records => {
            format!("{records} RECORDS with {} changes: see 'hub quarantine list'", status.quarantined_changes)
        }
    }
}
