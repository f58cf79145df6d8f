//! `hub audit reproduce`: an answer of the past, made again.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{ReproduceAnswerRequest, ReproducedAnswer};

use super::check::unreadable;
use super::fields::{Compared, compare};
use super::prove::RESPONSES;
use crate::answers::{as_json, from_json, json_of, time_of};
use crate::commands::{check, get, search};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::progress::Progress;

/// Fields that differ of which the text shows each.
const SHOWN_MAX: usize = 100;

/// Arguments of `hub audit reproduce`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub audit reproduce access/3/5 --case A-7\n  hub get person ... --json > answer.json && hub audit reproduce --response answer.json --case A-7\n\nAnswers of get, check and search. The log is folded up to what the answer was made from: versions, links, model and policy of\nthen. With the answer as it was received, both are compared field by field. The exit code is 1 when the answer that comes out\nis not the one that was given, byte by byte; why is said, such as a record that was erased since. What is shown is written down\nas an access."
)]
pub struct ReproduceArgs {
    /// The place of the answer's access entry, as the answer or 'hub accesses' names it
    #[arg(value_name = "POSITION", required_unless_present = "response")]
    pub position: Option<String>,
    /// The answer as it was received, to compare with: the JSON of 'hub get --json' and the like; names its access entry itself
    #[arg(long, value_name = "FILE")]
    pub response: Option<PathBuf>,
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
/// The hub refused or did not answer; the response cannot be read.
pub async fn run(args: &ReproduceArgs, context: &Context) -> Result<Exit, CommandError> {
    let given = args.response.as_deref().map(given).transpose()?;
    let request = request(args, given.as_ref())?;
    let channel = args.connection.connect(context, "auditor/main").await?;
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
    let compared = given.map(|given| compare(&bare(given), &again(&found)));
    let mut json = as_json("hub.query.v1.ReproducedAnswer", &found);
    if let Some(compared) = &compared {
        json["compared"] = serde_json::to_value(compared).expect("a comparison has text keys only");
    }
    context.output.show(&json, || text(&found, compared.as_ref(), context))?;
    let same = found.exact && compared.is_none_or(|compared| compared.differences.is_empty());
    Ok(if same { Exit::Ok } else { Exit::Failed })
}

/// The answer of a file, with every field as the API has it.
fn given(file: &Path) -> Result<Value, CommandError> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let json = serde_json::from_slice::<Value>(&bytes).ok();
    let answer = json.and_then(|json| RESPONSES.iter().find_map(|name| json_of(name, &from_json(&[name], &json)?)));
    answer.ok_or_else(|| {
        CommandError::usage(format!("{}: no answer of the hub", file.display()), "name what 'hub get --json' printed")
    })
}

fn request(args: &ReproduceArgs, given: Option<&Value>) -> Result<ReproduceAnswerRequest, CommandError> {
    let named = |name: &str| given.and_then(|given| given["basis"][name].as_str()).unwrap_or_default().to_owned();
    let access_position = args.position.clone().unwrap_or_else(|| named("access_position"));
    if access_position.is_empty() {
        return Err(CommandError::usage(
            "the response does not name its access entry",
            "name it by its place, as 'hub accesses' shows it",
        ));
    }
    let access_id = if args.access_id.is_empty() { named("access_id") } else { args.access_id.clone() };
    Ok(ReproduceAnswerRequest { access_position, access_id, case_number: args.case_number.clone() })
}

/// The answer alone.
fn again(found: &ReproducedAnswer) -> Value {
    let answer = found.answer.as_ref().map(|answer| as_json("hub.query.v1.GetSubjectResponse", answer));
    let checked = found.checked.as_ref().map(|checked| as_json("hub.query.v1.CheckProcedureResponse", checked));
    let searched = found.found.as_ref().map(|found| as_json("hub.query.v1.SearchResponse", found));
    bare(answer.or(checked).or(searched).unwrap_or_else(|| Value::Object(serde_json::Map::new())))
}

/// Without what is of one moment.
fn bare(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("basis");
    }
    answer
}

fn text(found: &ReproducedAnswer, compared: Option<&Compared>, context: &Context) -> String {
    let output = context.output;
    let nothing = found.answer.is_none() && found.checked.is_none() && found.found.is_none();
    let verdict = match (found.exact, nothing) {
        (true, _) => output.good("the same, byte by byte"),
        (false, false) => output.bad("NOT the bytes that were answered"),
        (false, true) => output.bad("no answer comes out"),
    };
    let mut text = format!(
        "{} of {} to {} for {} case {}, linkage model {}\n{verdict}\n",
        found.action,
        time_of(found.answered_at.as_ref()),
        found.caller,
        found.procedure,
        found.case_number,
        found.model_epoch,
    );
    for obstacle in &found.obstacles {
        let record = if obstacle.record.is_empty() { String::new() } else { format!(" {}", obstacle.record) };
        text.push_str(&format!("{}{record}: {}\n", obstacle.reason, obstacle.description));
    }
    text.push_str(&compared.map(compared_text).unwrap_or_default());
    text.push('\n');
    text.extend(found.answer.as_ref().map(|answer| get::told(answer, output)));
    text.extend(found.checked.as_ref().map(|checked| check::told(checked, output)));
    text.extend(found.found.as_ref().map(search::told));
    text
}

fn compared_text(compared: &Compared) -> String {
    let differ = compared.differences.len();
    if differ == 0 {
        return format!("{} fields compared with the response: all the same\n", compared.fields);
    }
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
    let mut table = Table::new(["field", "in the response", "made again"]);
    for difference in compared.differences.iter().take(SHOWN_MAX) {
        table.row([difference.field.clone(), shown(&difference.given), shown(&difference.again)]);
    }
    let more = differ.saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!("and {more} more; '--json' shows all\n") } else { String::new() };
    format!("{} fields compared with the response, {differ} differ\n{}{more}", compared.fields, table.text())
}
