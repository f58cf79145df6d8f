//! `hub publish`: sends record changes of one register.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tonic::transport::Channel;
use wire::admin::GetContractRequest;
use wire::admin::admin_service_client::AdminServiceClient;

use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::progress::Progress;
use crate::publish::{Lines, Resume, Sent, Source, Tally, Target, read, send};

/// Broken and refused lines that are told one by one; the rest is counted, and is in the file of --outcomes.
const TOLD_MAX: u64 = 20;

/// How the input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InputFormat {
    /// One JSON object per line: a change with its record.
    Ndjson,
    /// A heading, then one record per line.
    Csv,
}

/// Arguments of `hub publish`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub publish --register civil changes.ndjson\n  zcat parcels.csv.gz | hub publish --register land --format csv --record-type parcel -\n  hub publish --register civil changes.ndjson --resume changes.done
  hub publish --register civil changes.ndjson --receipts changes.receipts

A line of NDJSON:
  {\"record_id\":\"KS-1\",\"version\":1,\"record_type\":\"birth\",\"effective_at\":\"2024-05-06\",\"record\":{...}}
Further keys: operation (upsert or retract), registered_at, replaces, agency, legal_basis, reason.
In a CSV file these are columns, and every other column is the path of a field, such as child.full_name or parties.0.share.

A lost connection is tried again for about half a minute; sending a change again is safe.
The exit code is 3 when the hub refused a change, 1 when a line could not be read, and 4 when the hub did not answer."
)]
pub struct PublishArgs {
    /// The register that is published
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Input; - for standard input
    #[arg(value_name = "FILE|-")]
    pub input: PathBuf,
    /// Format of the input; by its name when absent, NDJSON for standard input
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<InputFormat>,
    /// Record type of every line of a CSV file
    #[arg(long, value_name = "NAME")]
    pub record_type: Option<String>,
    /// The register's epoch, when it is stated anew: 'hub register redo' tells it
    #[arg(long, value_name = "EPOCH", default_value_t = 0, hide_default_value = true)]
    pub epoch: u32,
    /// Changes per batch
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "COUNT")]
    pub batch: u32,
    /// Remember in this file how far the input was acknowledged, and go on from there
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Write one JSON line per accepted change with its receipt; 'hub receipt check' checks them without a hub
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
    /// Write one JSON line per change that was not accepted
    #[arg(long, value_name = "FILE")]
    pub outcomes: Option<PathBuf>,
    /// Which hub, and as whom; by default as register/NAME.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl PublishArgs {
    /// The format that was named, or that the input's name says.
    pub fn input_format(&self) -> InputFormat {
        let is_csv = self.input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        self.format.unwrap_or(if is_csv { InputFormat::Csv } else { InputFormat::Ndjson })
    }

    /// Whether the input is standard input.
    pub fn from_stdin(&self) -> bool {
        self.input.as_os_str() == "-"
    }
}

/// Publishes.
///
/// # Errors
/// The input cannot be read; the hub refused the stream or did not answer.
pub async fn run(args: &PublishArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let lines = contract_of(channel.clone(), args).await?;
    let (resume, after) = match args.resume.as_deref().map(Resume::open).transpose()? {
        Some((resume, after)) => (Some(resume), after),
        None => (None, 0),
    };
    let total = if args.from_stdin() { None } else { Some(count_lines(&args.input)?.saturating_sub(after)) };
    let input: Box<dyn Read + Send> =
        if args.from_stdin() { Box::new(std::io::stdin()) } else { Box::new(open(&args.input)?) };
    let source = Source { input, format: args.input_format(), after, batch: args.batch as usize };
    let (found, finding) = mpsc::channel(4);
    // Not joined: a standard input that nobody closes would hold it for ever.
    std::thread::Builder::new().name("reader".into()).spawn(move || read(source, &lines, found)).map_err(|error| {
        CommandError::failed(format!("the system gives no thread: {error}"), "raise the limit of processes")
    })?;
    let mut report = Report::new(args, context, total, resume)?;
    let target = Target { register: &args.register, epoch: args.epoch, receipts: args.receipts.is_some() };
    let sent = send(channel, target, finding, |sent| report.take(sent)).await;
    report.end();
    let tally = sent?;
    context.output.show(&tally_json(&tally), || tally_text(&tally, context))?;
    Ok(match (tally.broken, tally.refused()) {
        (0, 0) => Exit::Ok,
        (0, _) => Exit::Refused,
        _ => Exit::Failed,
    })
}

async fn contract_of(channel: Channel, args: &PublishArgs) -> Result<Lines, CommandError> {
    let mut client = AdminServiceClient::new(channel).max_decoding_message_size(contract::DESCRIPTOR_SET_BYTES_MAX * 2);
    let answer = client.get_contract(GetContractRequest { register: args.register.clone() }).await?.into_inner();
    Lines::new(&answer.descriptors, args.record_type.clone())
        .map_err(|what| CommandError::usage(what, "see 'hub contracts show' for the record types"))
}

fn open(path: &Path) -> Result<File, CommandError> {
    File::open(path).map_err(|error| {
        CommandError::usage(
            format!("cannot read {}: {error}", path.display()),
            "name a readable file, or - for standard input",
        )
    })
}

fn count_lines(path: &Path) -> Result<u64, CommandError> {
    let mut reader = BufReader::with_capacity(1 << 16, open(path)?);
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf().map_err(|error| {
            CommandError::usage(format!("cannot read {}: {error}", path.display()), "name a readable file")
        })?;
        if buffer.is_empty() {
            return Ok(lines);
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let taken = buffer.len();
        reader.consume(taken);
    }
}

/// Shows what came of the lines, and remembers how far they were answered.
struct Report {
    progress: Progress,
    resume: Option<Resume>,
    outcomes: Option<BufWriter<File>>,
    receipts: Option<BufWriter<File>>,
    told: u64,
}

impl Report {
    fn new(
        args: &PublishArgs,
        context: &Context,
        total: Option<u64>,
        resume: Option<Resume>,
    ) -> Result<Self, CommandError> {
        let create = |path: &PathBuf| {
            let file = File::options().create(true).append(true).open(path);
            file.map(BufWriter::new).map_err(|error| {
                CommandError::usage(
                    format!("cannot write {}: {error}", path.display()),
                    "name another file with --outcomes or --receipts",
                )
            })
        };
        let outcomes = args.outcomes.as_ref().map(create).transpose()?;
        let receipts = args.receipts.as_ref().map(create).transpose()?;
        let progress = Progress::new("publish", "changes", total, context.output.is_json());
        Ok(Self { progress, resume, outcomes, receipts, told: 0 })
    }

    fn take(&mut self, sent: Sent) -> Result<(), CommandError> {
        match sent {
            Sent::Answered { changes, reached, refused, receipts } => {
                self.progress.add(changes);
                keep(self.receipts.as_mut(), "receipts", &receipts)?;
                refused.into_iter().try_for_each(|refused| self.refused(&refused))?;
                self.resume.as_ref().map_or(Ok(()), |resume| resume.reached(reached))
            }
            Sent::Lost { what, wait } => {
                eprintln!("hub: {what}; trying again in {:.1} s", wait.as_secs_f64());
                Ok(())
            }
            Sent::Broken(broken) => {
                self.tell(&broken.to_string());
                self.keep(
                    &json!({ "line": broken.line, "outcome": "broken", "field": broken.field, "message": broken.what }),
                )
            }
        }
    }

    fn refused(&mut self, refused: &Json) -> Result<(), CommandError> {
        let violations = refused["violations"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let reasons: Vec<String> = violations
            .iter()
            .map(|v| format!("{}: {} ({})", text(&v["field"]), text(&v["message"]), text(&v["rule"])))
            .collect();
        let reasons = if reasons.is_empty() { text(&refused["message"]) } else { reasons.join("; ") };
        self.tell(&format!("line {}: {}: {reasons}", refused["line"], text(&refused["outcome"])));
        self.keep(refused)
    }

    fn tell(&mut self, line: &str) {
        self.told += 1;
        match self.told {
            ..=TOLD_MAX => eprintln!("hub: {line}"),
            n if n == TOLD_MAX + 1 => eprintln!("hub: further lines are counted only; --outcomes FILE keeps them all"),
            _ => {}
        }
    }

    fn keep(&mut self, outcome: &Json) -> Result<(), CommandError> {
        keep(self.outcomes.as_mut(), "outcomes", std::slice::from_ref(outcome))
    }

    fn end(self) {
        self.progress.finish();
    }
}

/// Appends lines to a file, where there is one; they are written before anything after them is acknowledged.
fn keep(file: Option<&mut BufWriter<File>>, what: &str, lines: &[Json]) -> Result<(), CommandError> {
    let Some(file) = file.filter(|_| !lines.is_empty()) else { return Ok(()) };
    let written = lines.iter().try_for_each(|line| writeln!(file, "{line}"));
    written.and_then(|()| file.flush()).map_err(|error| {
        CommandError::failed(
            format!("the {what} cannot be written: {error}"),
            format!("name another file with --{what}; repeating is safe"),
        )
    })
}

fn tally_json(tally: &Tally) -> Json {
    json!({
        "answered": tally.answered(),
        "accepted": tally.accepted,
        "duplicate": tally.duplicate,
        "conflict": tally.conflict,
        "rejected": tally.rejected,
        "unauthorised": tally.unauthorised,
        "broken": tally.broken,
    })
}

fn tally_text(tally: &Tally, context: &Context) -> String {
    let Tally { accepted, duplicate, conflict, rejected, unauthorised, broken } = tally;
    let counts = format!(
        "{accepted} accepted, {duplicate} duplicate, {conflict} conflict, {rejected} rejected, {unauthorised} unauthorised, {broken} broken lines"
    );
    if tally.refused() + broken == 0 { context.output.good(&counts) } else { context.output.bad(&counts) }
}
