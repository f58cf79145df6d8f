//! `hub audit check`: a proof bundle, verified without a hub.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use ledger::{Checkpoint, Policy};
use proof::report::{AnswerShown, Disclosed, EntryShown, Grown, Outcome, Standing};
use proof::{Failure, Rejected, Report, Trust, check};
use record::Timestamp;
use serde_json::{Value, json};

use super::body;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Output;

/// Arguments of `hub audit check`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub audit check answer.proof --trust policy\n  hub audit check answer.proof --trust policy --known last.checkpoint --keep last.checkpoint\n\nThe trust policy is a text (c2sp.org/tlog-policy): the log's key, witnesses' keys, and how many must have cosigned.\nThe exit code is 1 when the bundle does not hold; every place that fails is named."
)]
pub struct CheckBundleArgs {
    /// The bundle
    pub bundle: PathBuf,
    /// Whom to trust: a policy's text
    #[arg(long, value_name = "POLICY")]
    pub trust: PathBuf,
    /// A checkpoint of the log from an earlier check: the bundle must continue it
    #[arg(long, value_name = "CHECKPOINT")]
    pub known: Option<PathBuf>,
    /// Write the bundle's checkpoint there when it holds, as --known of the next check
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
}

/// Checks a bundle, and shows what it proves or where it fails.
///
/// # Errors
/// A file cannot be read or written, or the policy is wrong.
pub fn run(args: &CheckBundleArgs, context: &Context) -> Result<Exit, CommandError> {
    let policy = policy_of(&args.trust)?;
    let known = args.known.as_deref().map(|file| known_checkpoint(file, &policy)).transpose()?;
    let bundle = fs::read(&args.bundle).map_err(|error| unreadable(&args.bundle, &error))?;
    let output = context.output;
    match check(&bundle, &Trust { policy: &policy, known: known.as_ref() }) {
        Ok(report) => {
            if let Some(file) = &args.keep {
                keep(file, &bundle)?;
            }
            output.show(&proven(&report), || proven_text(&report, output))?;
            Ok(Exit::Ok)
        }
        Err(rejected) => {
            output.show(&refuted(&rejected), || refuted_text(&rejected, output))?;
            Ok(Exit::Failed)
        }
    }
}

/// Reads a trust policy.
pub(crate) fn policy_of(file: &Path) -> Result<Policy, CommandError> {
    Policy::parse(&text_of(file)?).map_err(|error| {
        let what = format!("{}: {error}", file.display());
        CommandError::usage(what, "correct the policy; c2sp.org/tlog-policy describes it")
    })
}

fn known_checkpoint(file: &Path, policy: &Policy) -> Result<Checkpoint, CommandError> {
    let trusted = policy.verify_log(&text_of(file)?).map_err(|error| {
        let what = format!("{}: {error}", file.display());
        CommandError::usage(what, "name a checkpoint that was kept by --keep, or is signed by a log of the policy")
    })?;
    Ok(trusted.checkpoint)
}

/// Writes the note of a bundle that holds.
fn keep(file: &Path, bundle: &[u8]) -> Result<(), CommandError> {
    let sections = proof::Bundle::decode(bundle).expect("the bundle holds").sections;
    let note = sections.iter().find_map(|section| match section {
        proof::Section::Checkpoint { note } => Some(note),
        _ => None,
    });
    fs::write(file, note.expect("a bundle that holds has a checkpoint")).map_err(|error| {
        CommandError::failed(format!("cannot write {}: {error}", file.display()), "name a file that can be written")
    })
}

pub(super) fn text_of(file: &Path) -> Result<String, CommandError> {
    fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> CommandError {
    CommandError::usage(format!("cannot read {}: {error}", file.display()), "name a file that can be read")
}

pub(crate) fn proven(report: &Report) -> Value {
    let cosigned: Vec<_> = report.cosigned.iter().map(|c| json!({ "witness": c.witness, "time": c.time })).collect();
    let heads: Vec<_> = report
        .heads
        .iter()
        .map(|h| json!({ "stream": h.stream.name(), "partition": h.partition.0, "tick": h.tick, "size": h.size }))
        .collect();
    json!({
        "holds": true,
        "log": report.checkpoint.origin,
        "checkpoint": report.checkpoint.size,
        "cosigned": cosigned,
        "continues": report.continues.iter().map(|c| c.size).collect::<Vec<_>>(),
        "ticks": report.ticks.iter().map(|(index, at)| json!({ "index": index, "at": time(*at) })).collect::<Vec<_>>(),
        "heads": heads,
        "grown": report.grown.iter().map(grown).collect::<Vec<_>>(),
        "entries": report.entries.iter().map(entry).collect::<Vec<_>>(),
        "answers": report.answers.iter().map(answer).collect::<Vec<_>>(),
        "unproven": report.unproven.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn grown(grown: &Grown) -> Value {
    let partition = ledger::tick::tree_name(grown.stream, grown.partition);
    json!({ "partition": partition, "from": grown.from, "to": grown.to })
}

fn entry(entry: &EntryShown) -> Value {
    let disclosed = entry.disclosed.as_ref();
    json!({
        "position": entry.position.to_string(),
        "included": entry.standing == Standing::Included,
        "disclosed": disclosed.is_some(),
        "register": disclosed.and_then(|d| d.register.clone()),
        "record": disclosed.map(|d| d.record.to_hex()),
        "version": disclosed.map(|d| d.version),
        "recorded_at": disclosed.map(|d| time(d.recorded_at)),
        "body": body::shown(entry),
    })
}

fn answer(answer: &AnswerShown) -> Value {
    let records = answer.records.iter().map(|(record, n)| json!({ "record": record.to_hex(), "entries": n }));
    json!({
        "access": record::Pseudonym(answer.access).to_hex(),
        "position": answer.position.to_string(),
        "action": answer.action.name(),
        "caller": answer.caller,
        "procedure": answer.procedure,
        "case": answer.case,
        "at": time(answer.at),
        "outcome": outcome(&answer.outcome),
        "records": records.collect::<Vec<_>>(),
    })
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { bytes } => format!("answered with these {bytes} bytes"),
        Outcome::Undisclosed => "answered, and the answer is not disclosed".into(),
        Outcome::Refused(code) => format!("refused ({code})"),
        Outcome::NotFound => "not found".into(),
        Outcome::Ambiguous => "ambiguous".into(),
    }
}

pub(crate) fn proven_text(report: &Report, output: Output) -> String {
    let mut lines = vec![format!("{}: the bundle holds", output.good("proven"))];
    let witnesses: Vec<_> = report.cosigned.iter().map(|c| c.witness.as_str()).collect();
    let witnesses = if witnesses.is_empty() { "no witness".into() } else { witnesses.join(", ") };
    let Checkpoint { origin, size, .. } = &report.checkpoint;
    lines.push(format!("checkpoint {size} of {origin}, signed by the log, cosigned by {witnesses}"));
    lines.extend(report.continues.iter().map(|older| format!("it continues checkpoint {}", older.size)));
    lines.extend(report.ticks.iter().map(|(index, at)| format!("tick {index}: the log at {}", time(*at))));
    lines.extend(report.grown.iter().map(|g| {
        let tree = ledger::tick::tree_name(g.stream, g.partition);
        format!("{tree} only grew from tick {} to tick {}", g.from, g.to)
    }));
    lines.extend(report.entries.iter().map(entry_text));
    for answer in &report.answers {
        let id = record::Pseudonym(answer.access).to_hex();
        lines.push(format!("access {id} of {}, {}: {}", answer.caller, time(answer.at), outcome(&answer.outcome)));
        let records = answer.records.iter();
        lines
            .extend(records.map(|(record, n)| format!("  from record {record}: {n} of its entries are in the bundle")));
    }
    lines.push(format!("{}:", output.warn("not proven")));
    lines.extend(report.unproven.iter().map(|unproven| format!("  {unproven}")));
    lines.join("\n")
}

fn entry_text(entry: &EntryShown) -> String {
    let standing = match entry.standing {
        Standing::Included => "in the log",
        Standing::Promised => "promised by a receipt",
    };
    let what = match &entry.disclosed {
        Some(Disclosed { register: Some(register), record, version, .. }) => {
            format!("{register} record {record} version {version}")
        }
        Some(d) => format!("of the hub's own, kind {}", d.kind as u8),
        None => "not disclosed".into(),
    };
    let said = body::line(entry).map(|said| format!("\n  {said}")).unwrap_or_default();
    format!("entry {}: {standing}; {what}{said}", entry.position)
}

fn refuted(rejected: &Rejected) -> Value {
    let failure = |f: &Failure| json!({ "line": f.at.line, "section": f.at.section, "field": f.at.field, "problem": f.problem.to_string() });
    json!({
        "holds": false,
        "cut_short": rejected.is_torn(),
        "failures": rejected.failures.iter().map(failure).collect::<Vec<_>>(),
    })
}

fn refuted_text(rejected: &Rejected, output: Output) -> String {
    let failures = rejected.failures.iter().map(ToString::to_string);
    let first = format!("{}: the bundle does not hold", output.bad("refuted"));
    std::iter::once(first).chain(failures).collect::<Vec<_>>().join("\n")
}

/// A time of the log; its number of microseconds when no calendar has it.
pub(super) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.0.to_string(), |t| t.to_string())
}
