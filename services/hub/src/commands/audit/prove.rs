//! `hub audit prove`: a proof bundle.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tonic::transport::Channel;
use wire::audit::audit_service_client::AuditServiceClient;
use wire::audit::prove_request::What;
use wire::audit::{ProveRequest, ProvenAnswer, ProvenRecord};

use super::check::{text_of, unreadable};
use crate::answers::from_json;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::receipts;

/// Responses that an access entry holds the hash of.
pub(super) const RESPONSES: [&str; 6] = [
    "hub.query.v1.GetSubjectResponse",
    "hub.query.v1.CheckProcedureResponse",
    "hub.query.v1.SearchResponse",
    "hub.query.v1.ListAccessesResponse",
    "hub.query.v1.ExplainLinkResponse",
    "hub.query.v1.ListReviewsResponse",
];

/// Arguments of `hub audit prove`.
#[derive(Debug, Clone, Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true).multiple(true)),
    after_help = "Examples:\n  hub audit prove --record civil/KS-1/2015 --case A-7 -o record.proof\n  hub get person ... --json > answer.json && hub audit prove --response answer.json --case A-7 -o answer.proof\n  hub audit prove --record civil/KS-1/2015 --reveal --case A-7 -o record.proof\n  hub audit prove --position change/0/17 --case A-7 --since last.checkpoint -o entry.proof\n  hub audit trust > policy && hub audit check answer.proof --trust policy\n\nA bundle discloses entries as they stand in the log: encrypted bodies stay closed. With --reveal it opens them: whoever has\nthe bundle reads these entries' records, and no others. A receipt's bundle discloses nothing. What was shown is written down as\nan access. It waits up to ten seconds for a checkpoint that covers what is to be proven."
)]
pub struct ProveArgs {
    /// A record: all its entries, or one with --record-version
    #[arg(long, value_name = "REGISTER/RECORD", group = "what", value_parser = record_arg, conflicts_with_all = ["position", "answer", "response", "receipt"])]
    pub record: Option<(String, String)>,
    /// Only this version of the record
    #[arg(long, value_name = "NUMBER", requires = "record")]
    pub record_version: Option<u64>,
    /// One entry, such as change/0/17
    #[arg(long, value_name = "POSITION", group = "what", conflicts_with_all = ["answer", "response", "receipt"])]
    pub position: Option<String>,
    /// An answer: the place of its access entry, such as access/3/5, as the answer or 'hub accesses' names it
    #[arg(long, value_name = "POSITION", group = "what", conflicts_with = "receipt")]
    pub answer: Option<String>,
    /// Which access of the entry, when it holds several
    #[arg(long, value_name = "ID")]
    pub access_id: Option<String>,
    /// The answer as it was received: the JSON of 'hub get --json' and the like, or the serialised response; names its access entry itself
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "receipt")]
    pub response: Option<PathBuf>,
    /// A receipt, as 'hub publish --receipts' keeps it or docs/proofs.md encodes it: becomes a proof that its entry is in the log
    #[arg(long, value_name = "FILE", group = "what")]
    pub receipt: Option<PathBuf>,
    /// Open the encrypted bodies of the entries: the bundle shows what they say to whoever holds it
    #[arg(long, conflicts_with = "receipt")]
    pub reveal: bool,
    /// A checkpoint from before: the bundle shows that the log continues it
    #[arg(long, value_name = "CHECKPOINT")]
    pub since: Option<PathBuf>,
    /// Case number of the audit; not needed for a receipt
    #[arg(
        long = "case",
        value_name = "NUMBER",
        default_value = "",
        hide_default_value = true,
        required_unless_present = "receipt",
        help_heading = "Purpose"
    )]
    pub case_number: String,
    /// Where the bundle goes; standard output when absent
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which hub, and as whom; by default as auditor/main.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// A register's name has no slash; a record's id may have some.
pub(super) fn record_arg(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('/') {
        Some((register, record)) if !register.is_empty() && !record.is_empty() => {
            Ok((register.to_owned(), record.to_owned()))
        }
        _ => Err("write it as REGISTER/RECORD, such as civil/KS-1/2015"),
    }
}

/// Asks for a bundle and writes it.
///
/// # Errors
/// The hub refused or did not answer; a file cannot be read or written.
pub async fn run(args: &ProveArgs, context: &Context) -> Result<Exit, CommandError> {
    let request = ProveRequest {
        what: Some(what(args)?),
        since: args.since.as_deref().map(text_of).transpose()?.unwrap_or_default(),
        case_number: args.case_number.clone(),
        reveal: args.reveal,
    };
    let channel = args.connection.connect(context, "auditor/main").await?;
    let bundle = bundle(channel, request).await?;
    let Some(file) = &args.output else {
        return crate::output::print(&bundle).map(|()| Exit::Ok);
    };
    write(file, &bundle)?;
    let count = |kind: &str| {
        let begin = format!("{{\"type\":\"{kind}\"");
        bundle.split(|byte| *byte == b'\n').filter(|line| line.starts_with(begin.as_bytes())).count()
    };
    let (entries, bodies) = (count("entry"), count("body"));
    let (name, bytes) = (file.display().to_string(), bundle.len());
    context.output.show(&json!({ "file": name, "bytes": bytes, "entries": entries, "bodies": bodies }), || {
        let opened = if args.reveal { format!(", {bodies} of their bodies opened") } else { String::new() };
        format!("{name}: {entries} entries{opened}, {bytes} bytes; 'hub audit check {name} --trust POLICY' verifies it")
    })?;
    Ok(Exit::Ok)
}

/// The bundle, whole.
pub(crate) async fn bundle(channel: Channel, request: ProveRequest) -> Result<Vec<u8>, CommandError> {
    let mut pieces = AuditServiceClient::new(channel).prove(request).await?.into_inner();
    let mut bundle = Vec::new();
    while let Some(piece) = pieces.message().await? {
        bundle.extend(piece.piece);
    }
    Ok(bundle)
}

fn what(args: &ProveArgs) -> Result<What, CommandError> {
    if let Some((register, record_id)) = &args.record {
        let version = args.record_version.unwrap_or(0);
        return Ok(What::Record(ProvenRecord { register: register.clone(), record_id: record_id.clone(), version }));
    }
    if let Some(position) = &args.position {
        return Ok(What::Position(position.clone()));
    }
    if let Some(receipt) = &args.receipt {
        return Ok(What::Receipt(receipt_of(receipt)?));
    }
    let mut answer = match &args.response {
        Some(file) => answer_of(file)?,
        None => ProvenAnswer::default(),
    };
    if let Some(position) = &args.answer {
        answer.position.clone_from(position);
    }
    if let Some(id) = &args.access_id {
        answer.access_id.clone_from(id);
    }
    match answer.position.is_empty() {
        true => Err(CommandError::usage(
            "the response does not name its access entry",
            "name it with --answer, as 'hub accesses' shows it",
        )),
        false => Ok(What::Answer(answer)),
    }
}

/// The receipt of a file that holds one; what cannot be read as one is for the hub to refuse.
fn receipt_of(file: &Path) -> Result<Vec<u8>, CommandError> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    match receipts::read(&bytes).as_deref() {
        Ok([one]) => Ok(one.receipt.encode()),
        Ok(several) => Err(CommandError::usage(
            format!("{} holds {} receipts", file.display(), several.len()),
            "name a file with one of them: a line of it will do",
        )),
        Err(_) => Ok(bytes),
    }
}

fn answer_of(file: &Path) -> Result<ProvenAnswer, CommandError> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let Ok(json) = serde_json::from_slice::<Value>(&bytes) else {
        // What is no JSON is the serialised response.
        return Ok(ProvenAnswer { response: bytes, ..ProvenAnswer::default() });
    };
    let text = |name: &str| json["basis"][name].as_str().unwrap_or_default().to_owned();
    let response = from_json(&RESPONSES, &json).ok_or_else(|| {
        CommandError::usage(format!("{}: no answer of the hub", file.display()), "name what 'hub get --json' printed")
    })?;
    Ok(ProvenAnswer { position: text("access_position"), access_id: text("access_id"), response })
}

/// Writes a file whole or not at all.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut new| {
        new.write_all(bytes)?;
        new.persist(file).map(|_| ()).map_err(|error| error.error)
    });
    written.map_err(|error| {
        CommandError::failed(format!("cannot write {}: {error}", file.display()), "name a file that can be written")
    })
}
