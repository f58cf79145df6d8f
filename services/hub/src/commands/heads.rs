//! `hub heads`: what the hub has of records, by their ids.

use clap::Args;
use serde_json::json;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{GetHeadsRequest, HeadState, RecordHead};

use crate::answers::time_of;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

/// Arguments of `hub heads`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub heads --register civil KS-1/2015 KS-2/2015\n\nA whole register is compared by 'hub compare'."
)]
pub struct HeadsArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Ids of records, as the register publishes them
    #[arg(value_name = "RECORD", required = true, num_args = 1..=1_000)]
    pub record_ids: Vec<String>,
    /// Case number, for who is not the register's publisher
    #[arg(long = "case", value_name = "NUMBER", default_value = "", hide_default_value = true)]
    pub case_number: String,
    /// Which hub, and as whom; by default as register/NAME.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Shows the newest version of each record.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &HeadsArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let request = GetHeadsRequest {
        register: args.register.clone(),
        record_ids: args.record_ids.clone(),
        case_number: args.case_number.clone(),
    };
    let answer = QueryServiceClient::new(channel).get_heads(request).await?.into_inner();
    let json = json!({ "heads": answer.heads.iter().map(shown).collect::<Vec<_>>() });
    context.output.show(&json, || text(&answer.heads))?;
    Ok(Exit::Ok)
}

fn state(head: &RecordHead) -> &'static str {
    match head.state() {
        HeadState::Stated if head.parked => "waits for its contract",
        HeadState::Stated => "stated",
        HeadState::Retracted => "retracted",
        HeadState::Absent => "absent",
        HeadState::Erased => "erased",
        HeadState::Unspecified => "-",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(head: &RecordHead) -> serde_json::Value {
    json!({
        "record_id": head.record_id,
        "state": state(head),
        "version": head.version,
        "hash": hex(&head.hash),
        "effective_at": time_of(head.effective_at.as_ref()),
        "published_at": time_of(head.published_at.as_ref()),
        "position": head.position,
        "versions": head.versions,
    })
}

fn text(heads: &[RecordHead]) -> String {
    let mut table = Table::new(["record", "state", "version", "of", "effective", "published", "entry", "hash"]);
    for head in heads {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        table.row([
            head.record_id.clone(),
            state(head).to_owned(),
            head.version.to_string(),
            head.versions.to_string(),
            time_of(head.effective_at.as_ref()),
            time_of(head.published_at.as_ref()),
            or_dash(head.position.clone()),
            or_dash(hex(&head.hash)),
        ]);
    }
    table.text()
}
