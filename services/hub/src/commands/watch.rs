//! `hub watch`: subjects that change, as they change.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::watch_response::Message;
use wire::query::{SubjectChange, WatchRequest, WatchResponse};

use super::asking::{PurposeArgs, SubjectKind};
use crate::answers::as_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};

/// Arguments of `hub watch`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub watch person --procedure 1.001193 --case W-1 --from-now\n  hub watch person --procedure 1.001193 --case W-1 --cursor seen.json --json\n\nWithout --from-now and without a cursor, everybody whom the purpose may see is shown first. With --json each message is one line."
)]
pub struct WatchArgs {
    /// What kind of subject
    #[arg(value_enum)]
    pub kind: SubjectKind,
    /// Why.
    #[command(flatten)]
    pub purpose: PurposeArgs,
    /// Go on where this file says, and keep in it how far the watch has come; it is made when absent
    #[arg(long, value_name = "FILE")]
    pub cursor: Option<PathBuf>,
    /// Begin with what changes from now on
    #[arg(long, conflicts_with = "cursor")]
    pub from_now: bool,
    /// End when everything up to the present has been shown
    #[arg(long)]
    pub once: bool,
    /// Which hub, and as whom; by default as portal/national.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Watches until it is stopped.
///
/// # Errors
/// The hub refused, did not answer, or ended the watch; the cursor's file cannot be read or written.
pub async fn run(args: &WatchArgs, context: &Context) -> Result<Exit, CommandError> {
    let cursor = args.cursor.as_deref().map_or(Ok(HashMap::new()), read)?;
    let request = WatchRequest {
        kind: args.kind.name().to_owned(),
        purpose: Some(args.purpose.wire()),
        cursor,
        from_now: args.from_now,
    };
    let channel = args.connection.connect(context, "portal/national").await?;
    let mut messages = QueryServiceClient::new(channel).watch(request).await?.into_inner();
    while let Some(message) = messages.message().await? {
        context.output.show(&as_json("hub.query.v1.WatchResponse", &message), || told(&message))?;
        if let Some(Message::Changes(changes)) = &message.message
            && !changes.cursor.is_empty()
        {
            if let Some(path) = &args.cursor {
                write(path, &changes.cursor)?;
            }
            if args.once {
                break;
            }
        }
    }
    Ok(Exit::Ok)
}

fn told(message: &WatchResponse) -> String {
    match &message.message {
        Some(Message::Reset(reset)) => format!("from the beginning: {}\n", reset.reason),
        Some(Message::Changes(changes)) => changes.changes.iter().map(told_change).collect(),
        None => String::new(),
    }
}

fn told_change(change: &SubjectChange) -> String {
    let kinds = change.kinds().map(|kind| kind.as_str_name().trim_start_matches("CHANGE_KIND_").to_lowercase());
    let kinds: Vec<String> = kinds.collect();
    let moved = if change.moved_to.is_empty() { String::new() } else { format!(", now {}", change.moved_to) };
    format!("{}  {} records  {}{moved}\n", change.subject, change.records.len(), kinds.join(" "))
}

fn read(path: &Path) -> Result<HashMap<String, u64>, CommandError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            CommandError::usage(
                format!("{} holds no cursor: {error}", path.display()),
                "name the file that an earlier watch wrote, or remove it to begin anew",
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => {
            Err(CommandError::usage(format!("cannot read {}: {error}", path.display()), "name a readable file"))
        }
    }
}

/// Replaces the file in one step, so that it never holds half a cursor.
fn write(path: &Path, cursor: &HashMap<String, u64>) -> Result<(), CommandError> {
    let sorted: BTreeMap<_, _> = cursor.iter().collect();
    let text = serde_json::to_vec(&sorted).expect("a map of numbers is JSON");
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).map_err(|error| {
        CommandError::failed(format!("cannot write {}: {error}", path.display()), "choose another place with --cursor")
    })
}
