//! `hub compare`: what a register's database holds, against what the hub has of it.

mod read;

use std::fs::File;
use std::io::{BufWriter, Read, Write as _};
use std::path::PathBuf;

use clap::Args;
use contract::Contract;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use wire::admin::GetContractRequest;
use wire::admin::admin_service_client::AdminServiceClient;
use wire::query::compare_response::Message;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::{CompareRequest, Comparison, DifferenceKind, HeadDifference};

use crate::answers::as_json;
use crate::commands::publish::InputFormat;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;
use crate::publish::Lines;

/// Arguments of `hub compare`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub compare --register civil heads.csv\n  psql -c \"COPY (SELECT record_id, version FROM births ORDER BY record_id COLLATE \\\"C\\\") TO STDOUT CSV HEADER\" | hub compare --register civil --format csv -\n  hub compare --register land parcels.ndjson --content --differences differences.ndjson

The file holds each record of the register once, in the order of the bytes of record_id: a CSV file with the columns record_id and
version, or NDJSON:
  {\"record_id\":\"KS-1\",\"version\":7}
A hash (64 hexadecimal digits, as 'hub heads' shows it) is compared, too. With --content lines are changes as 'hub publish' takes them, and
what they state is compared; that holds for records that 'hub publish' has published, because other programs may serialise them otherwise.

missing    the hub has nothing of it: publish it
extra      the register has it not: retract it
different  another version or statement is in the hub, or it is retracted there
erased     the hub has erased it and takes nothing of it any more

The exit code is 1 when something differs."
)]
pub struct CompareArgs {
    /// The register
    #[arg(long, value_name = "NAME")]
    pub register: String,
    /// Records of the register, sorted; - for standard input
    #[arg(value_name = "FILE|-")]
    pub input: PathBuf,
    /// Format of the input; by its name when absent, NDJSON for standard input
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<InputFormat>,
    /// Lines are changes as 'hub publish' takes them (NDJSON); compare what they state, too
    #[arg(long)]
    pub content: bool,
    /// Differences to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "COUNT")]
    pub limit: u32,
    /// Write every difference to this file, one JSON object a line; the hub names a million at most
    #[arg(long, value_name = "FILE")]
    pub differences: Option<PathBuf>,
    /// Case number, for who is not the register's publisher
    #[arg(long = "case", value_name = "NUMBER", default_value = "", hide_default_value = true)]
    pub case_number: String,
    /// Which hub, and as whom; by default as register/NAME.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Compares.
///
/// # Errors
/// The input cannot be read or is not in order; the hub refused or did not answer.
pub async fn run(args: &CompareArgs, context: &Context) -> Result<Exit, CommandError> {
    let is_csv = args.input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let csv = args.format.map_or(is_csv, |format| format == InputFormat::Csv);
    if csv && args.content {
        return Err(CommandError::usage("--content wants changes as NDJSON", "leave it out to compare versions"));
    }
    let input = open(args)?;
    let channel = args.connection.connect(context, &format!("register/{}", args.register)).await?;
    let content = match args.content {
        true => Some(contract_of(channel.clone(), &args.register).await?),
        false => None,
    };
    let (out, outgoing) = mpsc::channel(2);
    let first = CompareRequest {
        register: args.register.clone(),
        case_number: args.case_number.clone(),
        differences_max: if args.differences.is_some() { 1_000_000 } else { args.limit },
        heads: Vec::new(),
    };
    let reader = read::Reader { content, csv, first, out };
    let (failed, mut failing) = oneshot::channel();
    // Not joined: a standard input that nobody closes would hold it for ever.
    let reading = move || {
        // What is wrong is told before the stream ends.
        let out = reader.out.clone();
        if let Err(error) = reader.run(input) {
            // Fails when the command has ended, and has told why.
            let _ = failed.send(error);
        }
        drop(out);
    };
    std::thread::Builder::new().name("reader".into()).spawn(reading).map_err(|error| {
        CommandError::failed(format!("the system gives no thread: {error}"), "raise the limit of processes")
    })?;
    let mut report = Report::new(args)?;
    let mut client = QueryServiceClient::new(channel).max_encoding_message_size(16 << 20);
    let comparing = async {
        let mut answers = client.compare(ReceiverStream::new(outgoing)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            match answer.message {
                Some(Message::Differences(found)) => report.take(found.differences)?,
                Some(Message::Comparison(result)) => return Ok(result),
                None => {}
            }
        }
        Err(CommandError::unreachable("the hub ended the stream before it had compared", "compare again"))
    };
    let result = tokio::select! {
        biased;
        // Without an error the reader is done, and the answer follows.
        Ok(error) = &mut failing => Err(error),
        result = comparing => result,
    }?;
    report.show(&result, context)?;
    let differs = result.missing + result.extra + result.different + result.erased > 0;
    Ok(if differs { Exit::Failed } else { Exit::Ok })
}

fn open(args: &CompareArgs) -> Result<Box<dyn Read + Send>, CommandError> {
    if args.input.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(&args.input).map_err(|error| {
        CommandError::usage(
            format!("cannot read {}: {error}", args.input.display()),
            "name a readable file, or - for standard input",
        )
    })?;
    Ok(Box::new(file))
}

async fn contract_of(channel: tonic::transport::Channel, register: &str) -> Result<(Lines, Contract), CommandError> {
    let mut client = AdminServiceClient::new(channel).max_decoding_message_size(contract::DESCRIPTOR_SET_BYTES_MAX * 2);
    let answer = client.get_contract(GetContractRequest { register: register.to_owned() }).await?.into_inner();
    let unusable = |what: String| CommandError::usage(what, "see 'hub contracts show' for the register's contract");
    let contract = Contract::compile(&answer.descriptors).map_err(|error| unusable(error.to_string()))?;
    Ok((Lines::new(&answer.descriptors, None).map_err(unusable)?, contract))
}

/// Differences: the first are shown, all are kept in a file where that is wanted.
struct Report {
    shown: Vec<HeadDifference>,
    limit: usize,
    file: Option<BufWriter<File>>,
}

impl Report {
    fn new(args: &CompareArgs) -> Result<Self, CommandError> {
        let create = |path: &PathBuf| {
            File::create(path).map(BufWriter::new).map_err(|error| {
                CommandError::usage(
                    format!("cannot write {}: {error}", path.display()),
                    "name another file with --differences",
                )
            })
        };
        let file = args.differences.as_ref().map(create).transpose()?;
        Ok(Self { shown: Vec::new(), limit: args.limit as usize, file })
    }

    fn take(&mut self, differences: Vec<HeadDifference>) -> Result<(), CommandError> {
        if let Some(file) = &mut self.file {
            let written = differences.iter().try_for_each(|difference| writeln!(file, "{}", shown(difference)));
            written.map_err(|error| unwritable(&error))?;
        }
        let room = self.limit - self.shown.len();
        self.shown.extend(differences.into_iter().take(room));
        Ok(())
    }

    fn show(mut self, result: &Comparison, context: &Context) -> Result<(), CommandError> {
        if let Some(file) = &mut self.file {
            file.flush().map_err(|error| unwritable(&error))?;
        }
        let mut json = as_json("hub.query.v1.Comparison", result);
        json["differences"] = self.shown.iter().map(shown).collect();
        context.output.show(&json, || self.text(result, context))
    }

    fn text(&self, result: &Comparison, context: &Context) -> String {
        let Comparison { compared, equal, missing, extra, different, erased, .. } = result;
        let mut table = Table::new(["record", "difference", "version", "in the hub"]);
        for difference in &self.shown {
            let number = |version: u64| if version == 0 { "-".to_owned() } else { version.to_string() };
            let what = if difference.retracted {
                "retracted"
            } else if difference.other_statement {
                "other statement"
            } else {
                kind_name(difference)
            };
            table.row([
                difference.record_id.clone(),
                what.to_owned(),
                number(difference.version),
                number(difference.hub_version),
            ]);
        }
        let all = missing + extra + different + erased;
        let more = all.saturating_sub(self.shown.len() as u64);
        let table = if self.shown.is_empty() { String::new() } else { table.text() };
        let more = if more == 0 {
            String::new()
        } else {
            format!("{more} further differences: --limit or --differences FILE\n")
        };
        let counts = format!(
            "{compared} compared: {equal} equal, {missing} missing, {extra} extra, {different} different, {erased} erased"
        );
        let counts = if all == 0 { context.output.good(&counts) } else { context.output.bad(&counts) };
        format!("{table}{more}{counts}\n")
    }
}

fn kind_name(difference: &HeadDifference) -> &'static str {
    match difference.kind() {
        DifferenceKind::Missing => "missing",
        DifferenceKind::Extra => "extra",
        DifferenceKind::Different => "different",
        DifferenceKind::Erased => "erased",
        DifferenceKind::Unspecified => "-",
    }
}

fn shown(difference: &HeadDifference) -> Json {
    json!({
        "record_id": difference.record_id,
        "difference": kind_name(difference),
        "version": difference.version,
        "hub_version": difference.hub_version,
        "retracted": difference.retracted,
        "other_statement": difference.other_statement,
    })
}

fn unwritable(error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("the differences cannot be written: {error}"), "name another file with --differences")
}
