//! `hub publish`: sends record changes of one register.

use std::path::PathBuf;

use clap::Args;

use crate::connection::ConnectionArgs;

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
    after_help = "Examples:\n  hub publish --register civil changes.ndjson\n  zcat parcels.csv.gz | hub publish --register land --format csv --record-type parcel -\n  hub publish --register civil changes.ndjson --resume changes.done"
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
    /// Changes per batch
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "COUNT")]
    pub batch: u32,
    /// Remember in this file how far the input was acknowledged, and go on from there
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
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
