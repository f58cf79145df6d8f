//! `hub audit reproduce`: an answer of the past, made again.

use clap::Args;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{ReproduceAnswerRequest, ReproducedAnswer, get_subject_response};

use crate::answers::{as_json, line_of, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::progress::Progress;

/// Arguments of `hub audit reproduce`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  hub audit reproduce access/3/5 --case A-7\n\nThe log is folded up to what the answer was made from: versions, links, model and policy of then. The exit code is 1 when\nthe answer that comes out is not the one that was given, byte by byte. What is shown is written down as an access."
)]
pub struct ReproduceArgs {
    /// The place of the answer's access entry, as the answer or 'hub accesses' names it
    #[arg(value_name = "POSITION")]
    pub position: String,
    /// Which access of the entry, when it holds several
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub access_id: String,
    /// Case number of the audit
    #[arg(long = "case", value_name = "NUMBER", help_heading = "Purpose")]
    pub case_number: String,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Reproduces.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &ReproduceArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "auditor/main").await?;
    let request = ReproduceAnswerRequest {
        access_position: args.position.clone(),
        access_id: args.access_id.clone(),
        case_number: args.case_number.clone(),
    };
    let mut answers = QueryServiceClient::new(channel).reproduce_answer(request).await?.into_inner();
    let progress = Progress::new("fold", "entries", None, context.output.is_json());
    let mut found = None;
    while let Some(answer) = answers.message().await? {
        if answer.entries_total > 0 {
            progress.total(answer.entries_total);
            progress.set(answer.entries);
        }
        found = answer.answer.or(found);
    }
    progress.finish();
    let found = found.ok_or_else(|| CommandError::failed("the hub ended without an answer", "see the hub's log"))?;
    context.output.show(&as_json("hub.query.v1.ReproducedAnswer", &found), || text(&found, context))?;
    Ok(if found.exact { Exit::Ok } else { Exit::Failed })
}

fn text(found: &ReproducedAnswer, context: &Context) -> String {
    let verdict = if found.exact {
        context.output.good("the same, byte by byte")
    } else {
        context.output.bad("NOT the bytes that were answered")
    };
    let mut table = Table::new(["field", "value", "source"]);
    let answer = found.answer.as_ref().and_then(|answer| answer.result.as_ref());
    if let Some(get_subject_response::Result::Subject(subject)) = answer {
        for attribute in &subject.attributes {
            let value = attribute.value.as_ref();
            let source = value.and_then(|value| value.source.as_ref());
            table.row([
                attribute.name.clone(),
                line_of(value.and_then(|value| value.value.as_ref())),
                source.map_or_else(String::new, |s| format!("{} {} version {}", s.register, s.record_type, s.version)),
            ]);
        }
    }
    format!(
        "{} to {} for {} case {}, linkage model {}\n{verdict}\n\n{}",
        time_of(found.answered_at.as_ref()),
        found.caller,
        found.procedure,
        found.case_number,
        found.model_epoch,
        table.text()
    )
}
