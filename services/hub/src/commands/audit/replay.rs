//! `hub audit replay`: the log's entries as they are, filtered.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use wire::audit::audit_service_client::AuditServiceClient;
use wire::audit::{ReplayRequest, ReplaySummary, ReplayedEntry};

use super::parquet::Parquet;
use super::state::{Kept, State};
use crate::answers::{as_json, time_of, wire_time};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Output;
use crate::progress::Progress;

/// Largest message of a replay: a thousand entries, or one large one.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A stream of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// What registers published.
    Change,
    /// What operators ordered, and cuts.
    Control,
    /// Who was answered what.
    Access,
    /// What was refused.
    Rejected,
}

impl StreamName {
    fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Control => "control",
            Self::Access => "access",
            Self::Rejected => "rejected",
        }
    }
}

/// Arguments of `hub audit replay`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub audit replay --record civil/KS-1/2015 --case A-7\n  hub audit replay --caller spiffe://hub.test/portal/national --stream access --from 2026-11-01T00:00:00Z --case A-7\n  hub audit replay --register land --commune 00004 --json --case A-7 -o land.ndjson --state land.state\n  hub audit replay --register land --records --case A-7 --parquet land.parquet --state land.state\n\nEverything that is given must hold. What was asked for is written down as an access. With --state, a replay that was broken off\ngoes on where its output ends; the output file is cut to what the state covers first. A Parquet file goes on behind its last\nfinished row group, which is kept in FILE.part until the file is whole.\nAt the end it is said what was read, and what the filter can and cannot prove about completeness."
)]
pub struct ReplayArgs {
    /// Streams to read; may be repeated; all when absent
    #[arg(long = "stream", value_enum, value_name = "NAME")]
    pub streams: Vec<StreamName>,
    /// A range of one partition, such as change/3/100..200; either number may be left out
    #[arg(long, value_name = "RANGE", value_parser = range, conflicts_with = "streams")]
    pub positions: Option<Range>,
    /// Appended at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub from: Option<jiff::Timestamp>,
    /// Appended before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub to: Option<jiff::Timestamp>,
    /// A register's changes, refusals and orders
    #[arg(long, value_name = "NAME")]
    pub register: Option<String>,
    /// One record: its changes and refusals, and who was answered from it
    #[arg(long, value_name = "REGISTER/RECORD", conflicts_with_all = ["register", "subject"])]
    pub record: Option<String>,
    /// The records that a subject is made of now, by its id
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// Changes of this record type
    #[arg(long = "type", value_name = "NAME")]
    pub record_type: Option<String>,
    /// Changes of this agency
    #[arg(long, value_name = "NAME")]
    pub agency: Option<String>,
    /// Changes whose record names this commune, by its code
    #[arg(long, value_name = "CODE")]
    pub commune: Option<String>,
    /// What this SPIFFE id published, asked or ordered
    #[arg(long = "caller", value_name = "ID")]
    pub called_by: Option<String>,
    /// Show changes with their records
    #[arg(long)]
    pub records: bool,
    /// Show entries with their stored bytes (base64); only with --json
    #[arg(long)]
    pub bytes: bool,
    /// Where the entries go; standard output when absent
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the entries to this file as Parquet: a row per entry, or per access
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "bytes"])]
    pub parquet: Option<PathBuf>,
    /// Remember in this file how far the output is, and go on from there
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Case number of the audit
    #[arg(long = "case", value_name = "NUMBER", help_heading = "Purpose")]
    pub case_number: String,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// A range of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    stream: String,
    partition: u32,
    from: u64,
    to: Option<u64>,
}

fn range(text: &str) -> Result<Range, &'static str> {
    const FORM: &str = "write it as STREAM/PARTITION/FROM..TO, such as change/3/100..200";
    let mut parts = text.split('/');
    let (stream, partition, span) = (parts.next(), parts.next(), parts.next());
    let (Some(stream), Some(partition), Some(span), None) = (stream, partition, span, parts.next()) else {
        return Err(FORM);
    };
    let (from, to) = span.split_once("..").ok_or(FORM)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| FORM);
    Ok(Range {
        stream: stream.to_owned(),
        partition: partition.parse().map_err(|_| FORM)?,
        from: if from.is_empty() { 0 } else { number(from)? },
        to: if to.is_empty() { None } else { Some(number(to)?) },
    })
}

impl ReplayArgs {
    fn request(&self, resume: &str) -> Result<ReplayRequest, CommandError> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (mut register, mut record_id) = (text(&self.register), String::new());
        if let Some(record) = &self.record {
            let (of, id) = record.split_once('/').ok_or_else(|| {
                CommandError::usage(format!("'{record}' names no record"), "write it as REGISTER/RECORD")
            })?;
            (register, record_id) = (of.to_owned(), id.to_owned());
        }
        let mut streams: Vec<_> = self.streams.iter().map(|stream| stream.name().to_owned()).collect();
        streams.extend(self.positions.iter().map(|range| range.stream.clone()));
        Ok(ReplayRequest {
            streams,
            partition: self.positions.as_ref().map(|range| range.partition),
            index_from: self.positions.as_ref().map_or(0, |range| range.from),
            index_to: self.positions.as_ref().and_then(|range| range.to),
            from: self.from.map(wire_time),
            to: self.to.map(wire_time),
            register,
            record_id,
            subject: text(&self.subject),
            record_type: text(&self.record_type),
            agency: text(&self.agency),
            commune: text(&self.commune),
            caller: text(&self.called_by),
            with_bytes: self.bytes,
            with_records: self.records,
            resume: resume.to_owned(),
            case_number: self.case_number.clone(),
        })
    }
}

/// Replays and writes what matches.
///
/// # Errors
/// The hub refused or did not answer; a file cannot be read or written.
pub async fn run(args: &ReplayArgs, context: &Context) -> Result<Exit, CommandError> {
    let output = context.output;
    if args.bytes && !output.is_json() {
        return Err(CommandError::usage("--bytes shows bytes as JSON only", "add --json"));
    }
    let mut state = State::open(args.state.as_deref())?;
    let request = args.request(&state.kept.resume)?;
    let channel = args.connection.connect(context, "auditor/main").await?;
    let mut client = AuditServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut answers = client.replay(request).await?.into_inner();
    let mut sink = Sink::open(args, &state)?;
    let mut columns = args.parquet.as_deref().map(|path| Parquet::open(path, &state.kept)).transpose()?;
    let to_terminal = args.output.is_none() && columns.is_none();
    let progress = Progress::new("replay", "entries", None, output.is_json() || to_terminal);
    if to_terminal && !output.is_json() && state.kept.entries == 0 {
        sink.write(HEADING.as_bytes())?;
    }
    let (mut entries, mut resume, mut summary) = (state.kept.entries, state.kept.resume.clone(), None);
    while let Some(answer) = answers.message().await? {
        progress.total(answer.total);
        progress.set(answer.read);
        let mut text = String::new();
        for entry in &answer.entries {
            if let Some(columns) = &mut columns {
                columns.write(entry);
                continue;
            }
            text.push_str(&if output.is_json() { format!("{}\n", as_line(entry)) } else { line(entry, args.records) });
        }
        entries += answer.entries.len() as u64;
        resume = answer.resume;
        match &mut columns {
            Some(columns) => {
                if columns.settle()? {
                    state.keep(columns.kept(resume.clone(), entries))?;
                }
            }
            None => {
                sink.write(text.as_bytes())?;
                sink.flush()?;
                state.keep(Kept { resume: resume.clone(), entries, bytes: sink.bytes, groups: 0 })?;
            }
        }
        summary = answer.summary.or(summary);
    }
    progress.finish();
    if let Some(columns) = columns.filter(|_| summary.is_some()) {
        columns.finish(resume, entries, &mut state)?;
    }
    let summary =
        summary.ok_or_else(|| CommandError::failed("the hub ended the replay before its end", "go on with --state"))?;
    conclude(&summary, entries, to_terminal, output)?;
    Ok(Exit::Ok)
}

/// Where entries go.
struct Sink {
    to: To,
    /// Bytes of the output so far.
    bytes: u64,
}

enum To {
    File(File, PathBuf),
    Terminal,
}

impl Sink {
    fn open(args: &ReplayArgs, state: &State) -> Result<Self, CommandError> {
        let Some(path) = &args.output else { return Ok(Self { to: To::Terminal, bytes: 0 }) };
        let bytes = state.kept.bytes;
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path).and_then(|mut file| {
            // What lies behind the state was written and not kept: it comes again.
            file.set_len(bytes.min(file.metadata()?.len()))?;
            let end = file.seek(io::SeekFrom::End(0))?;
            Ok((file, end))
        });
        match opened {
            Ok((file, end)) if end == bytes => Ok(Self { to: To::File(file, path.clone()), bytes }),
            Ok((_, end)) => Err(CommandError::usage(
                format!("{} has {end} bytes, and the state covers {bytes}", path.display()),
                "name the output that the state belongs to, or remove the state to begin anew",
            )),
            Err(error) => Err(cannot_write(path, &error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.bytes += bytes.len() as u64;
        match &mut self.to {
            To::Terminal => crate::output::print(bytes),
            To::File(file, path) => file.write_all(bytes).map_err(|error| cannot_write(path, &error)),
        }
    }

    fn flush(&mut self) -> Result<(), CommandError> {
        match &mut self.to {
            To::Terminal => Ok(()),
            To::File(file, path) => file.flush().map_err(|error| cannot_write(path, &error)),
        }
    }
}

fn cannot_write(path: &std::path::Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()), "name a file that can be written")
}

/// An entry as one JSON object; its record is JSON too, not text.
fn as_line(entry: &ReplayedEntry) -> Value {
    let mut json = as_json("hub.audit.v1.ReplayedEntry", entry);
    let record = entry.change.as_ref().map(|change| serde_json::from_str(&change.record).unwrap_or(Value::Null));
    if let Some(record) = record {
        json["change"]["record"] = record;
    }
    json
}

const HEADING: &str = "entry                 at                    kind      what\n";

fn line(entry: &ReplayedEntry, records: bool) -> String {
    let at = time_of(entry.appended_at.as_ref());
    let mut text = format!("{:<20}  {at:<20}  {:<8}  {}\n", entry.position, entry.kind, what(entry));
    if let Some(change) = entry.change.as_ref().filter(|change| records && !change.record.is_empty()) {
        text.push_str(&format!("    {}\n", change.record));
    }
    text
}

fn what(entry: &ReplayedEntry) -> String {
    if !entry.unread.is_empty() {
        return format!("not shown: {}", entry.unread);
    }
    if let Some(change) = &entry.change {
        let (register, id, by) = (&change.register, &change.record_id, &change.published_by);
        return format!("{register} {id} version {} {} by {by}", change.version, change.record_type);
    }
    if let Some(control) = &entry.control {
        let reason = if control.reason.is_empty() { String::new() } else { format!(": {}", control.reason) };
        return format!("{} by {}{reason}", control.order, control.actor);
    }
    if let Some(refusal) = &entry.refusal {
        return format!("by {}: {}", refusal.published_by, refusal.reasons.join("; "));
    }
    let access = |a: &wire::audit::ReplayedAccess| {
        let refusal = if a.refusal.is_empty() { String::new() } else { format!(" ({})", a.refusal) };
        let fields = if a.fields.is_empty() { String::new() } else { format!(" {}", a.fields.join(",")) };
        format!("{} {} case {} by {}: {}{refusal}{fields}", a.action, a.procedure, a.case_number, a.caller, a.decision)
    };
    entry.accesses.iter().map(access).collect::<Vec<_>>().join("; ")
}

/// Says what was read and what that proves: behind the entries as JSON, on standard error as text when the entries are on standard output.
fn conclude(summary: &ReplaySummary, entries: u64, to_terminal: bool, output: Output) -> Result<(), CommandError> {
    if output.is_json() {
        return output.show(&json!({ "summary": as_json("hub.audit.v1.ReplaySummary", summary) }), String::new);
    }
    let read: u64 = summary.ranges.values().map(|range| range_size(range)).sum();
    let mut lines = vec![format!("{entries} entries match, of {read} read in {} partitions", summary.ranges.len())];
    lines.push(format!("{}:", output.good("complete")));
    lines.extend(summary.complete.iter().map(|line| format!("  {line}")));
    lines.push(format!("{}:", output.warn("not proven")));
    lines.extend(summary.not_complete.iter().map(|line| format!("  {line}")));
    let text = lines.join("\n") + "\n";
    if to_terminal {
        eprint!("{text}");
        return Ok(());
    }
    crate::output::print(text.as_bytes())
}

fn range_size(range: &str) -> u64 {
    let (from, to) = range.split_once("..").unwrap_or(("0", "0"));
    // A range of a later hub in another form counts for nothing.
    to.parse::<u64>().unwrap_or(0).saturating_sub(from.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_one_partition_and_may_be_open() {
        let of = |from, to| Range { stream: "change".into(), partition: 3, from, to };
        assert_eq!(range("change/3/100..200"), Ok(of(100, Some(200))));
        assert_eq!(range("change/3/100.."), Ok(of(100, None)));
        assert_eq!(range("change/3/.."), Ok(of(0, None)));
        for wrong in ["change/3", "change/3/5", "change/x/0..1", "change/3/a..b", "change/3/0..1/2"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
