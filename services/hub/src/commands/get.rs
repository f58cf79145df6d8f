//! `hub get`: one subject's attributes, each with its source.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use wire::query::get_subject_response::Result as Answered;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{Attribute, GetSubjectRequest, GetSubjectResponse, MinPosition, Subject, Value};

use super::asking::{PurposeArgs, SubjectArgs, SubjectKind, TimeArgs};
use crate::answers::{age_of, as_json, finding_line, line_of, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::{Output, Table};

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

/// Asks for the subject and shows each attribute with its source.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &GetArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, "portal/national").await?;
    let (known_at, valid_at) = args.time.wire();
    let min_position = |&(partition, index): &(u32, u64)| MinPosition { partition, index };
    let request = GetSubjectRequest {
        kind: args.kind.name().to_owned(),
        key: Some(args.subject.key().wire()),
        purpose: Some(args.purpose.wire()),
        fields: args.fields.clone(),
        known_at,
        valid_at,
        min_positions: args.min_positions.iter().map(min_position).collect(),
    };
    let answer = QueryServiceClient::new(channel).get_subject(request).await?.into_inner();
    context.output.show(&as_json("hub.query.v1.GetSubjectResponse", &answer), || told(&answer, context.output))?;
    Ok(if matches!(answer.result, Some(Answered::Subject(_))) { Exit::Ok } else { Exit::Failed })
}

pub(super) fn told(answer: &GetSubjectResponse, output: Output) -> String {
    let mut text = match &answer.result {
        Some(Answered::Subject(subject)) => subject_text(subject, output),
        Some(Answered::Ambiguous(several)) => {
            format!(
                "the key names {} subjects; ask again with --subject and one of\n  {}\n",
                several.subjects.len(),
                several.subjects.join("\n  ")
            )
        }
        Some(Answered::NotFound(none)) => format!("not found: {}\n", none.message),
        None => "the hub's answer is of a later version than this program\n".to_owned(),
    };
    if let Some(basis) = &answer.basis {
        let at = time_of(basis.answered_at.as_ref());
        text.push_str(&format!("access {} at {at}, entry {}\n", basis.access_id, basis.access_position));
    }
    text
}

fn subject_text(subject: &Subject, output: Output) -> String {
    let moved = if subject.moved { ", asked for by an earlier id" } else { "" };
    let mut text =
        output.bold(&format!("{} {} from {} records{moved}", subject.kind, subject.id, subject.records)) + "\n";
    let mut table = Table::new(["attribute", "value", "register", "record type", "version", "age", "notes"]);
    for attribute in &subject.attributes {
        let first = attribute.value.as_ref();
        let rows = first.into_iter().map(|value| (attribute.name.as_str(), value));
        for (name, value) in rows.chain(attribute.competing.iter().map(|value| ("", value))) {
            table.row(row(name, value, attribute, output));
        }
        if first.is_none() {
            let nothing = ["-", "-", "-", "-", "-", ""].map(str::to_owned);
            table.row(std::iter::once(attribute.name.clone()).chain(nothing));
        }
    }
    text.push_str(&table.text());
    text.push_str(&relations_text(subject));
    text.extend(subject.findings.iter().map(finding_line));
    text
}

/// One line for each relation, with every register that states it.
fn relations_text(subject: &Subject) -> String {
    let mut said: BTreeMap<(&str, &str, &str), BTreeSet<&str>> = BTreeMap::new();
    for relation in &subject.relations {
        let register = relation.source.as_ref().map_or("-", |source| source.register.as_str());
        let what = (relation.relation.as_str(), relation.direction.as_str(), relation.subject.as_str());
        said.entry(what).or_default().insert(register);
    }
    let mut text = String::new();
    for ((relation, direction, other), registers) in said {
        let registers = Vec::from_iter(registers).join(", ");
        let sentence = match direction {
            "from" => format!("is {relation} {other}"),
            _ => format!("{other} is {relation} this {}", subject.kind),
        };
        text.push_str(&format!("{sentence} (says {registers})\n"));
    }
    text
}

fn row(name: &str, value: &Value, attribute: &Attribute, output: Output) -> [String; 7] {
    let source = value.source.clone().unwrap_or_default();
    let mut notes = Vec::new();
    if attribute.disputed && !name.is_empty() {
        notes.push(output.bad(&format!("disputed by {}", attribute.disputed_by.join(", "))));
    }
    if name.is_empty() {
        let same = attribute.value.as_ref().is_some_and(|first| first.value == value.value);
        notes.push(if same { "the same".to_owned() } else { output.warn("differs") });
    }
    let age = age_of(source.age.as_ref());
    [
        name.to_owned(),
        line_of(value.value.as_ref()),
        source.register,
        source.record_type,
        source.version.to_string(),
        age,
        notes.join(", "),
    ]
}
