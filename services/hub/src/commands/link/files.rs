//! Linkage of files, without a hub.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use link_files::guess::guess;
use link_files::model::Model;
use link_files::run::{Options, Outcome, run};
use link_files::spec::{Kind, Partners, Spec};
use link_files::summary::Summary;
use link_files::table::{Table, TableBuilder};
use link_files::{Error, output, read_csv, read_parquet};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table as Rows;
use crate::progress::Progress;

/// How files are read and what of them is compared.
#[derive(Debug, Clone, Args)]
pub struct HowArgs {
    /// Column that names a record; it is never compared
    #[arg(long, value_name = "COLUMN")]
    pub id: String,
    /// Spec (TOML) of what is compared and how; guessed from the files when absent
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Save the guessed spec to this file
    #[arg(long, value_name = "FILE", conflicts_with = "spec")]
    pub save_spec: Option<PathBuf>,
    /// Column that is not compared; may be given several times
    #[arg(long, value_name = "COLUMN")]
    pub ignore: Vec<String>,
    /// Model epoch of an earlier run, instead of learning one
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Least match weight of a link in bits; that of best expected F1 when absent
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    pub threshold: Option<f64>,
    /// Character between the cells of CSV files; found by itself when absent
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<char>,
}

/// Arguments of `hub link dedupe`.
#[derive(Debug, Clone, Args)]
pub struct DedupeArgs {
    /// The file, CSV or Parquet (by its ending)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder for the results; made when it is not there
    #[arg(short, long, value_name = "DIR", default_value = "linked")]
    pub out: PathBuf,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Arguments of `hub link match`.
#[derive(Debug, Clone, Args)]
pub struct MatchArgs {
    /// One file, CSV or Parquet (by its ending)
    #[arg(value_name = "FILE_A")]
    pub first: PathBuf,
    /// The other
    #[arg(value_name = "FILE_B")]
    pub second: PathBuf,
    /// Folder for the results; made when it is not there
    #[arg(short, long, value_name = "DIR", default_value = "linked")]
    pub out: PathBuf,
    /// Partners of a record in the other file; learned from the files when absent
    #[arg(long, value_enum, value_name = "PARTNERS")]
    pub partners: Option<PartnersArg>,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Partners of a record in the other file.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum PartnersArg {
    /// One at most
    One,
    /// Any number
    Many,
}

/// Arguments of `hub link train`.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// One file, or two between which links are looked for
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub files: Vec<PathBuf>,
    /// Where the model epoch is written
    #[arg(short, long, value_name = "FILE", default_value = "model.json")]
    pub out: PathBuf,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Runs `hub link dedupe`.
pub(super) fn dedupe(args: &DedupeArgs, context: &Context) -> Result<Exit, CommandError> {
    link(std::slice::from_ref(&args.file), &args.how, None, &args.out, context)
}

/// Runs `hub link match`.
pub(super) fn match_files(args: &MatchArgs, context: &Context) -> Result<Exit, CommandError> {
    let partners = args.partners.map(|partners| match partners {
        PartnersArg::One => Partners::One,
        PartnersArg::Many => Partners::Many,
    });
    link(&[args.first.clone(), args.second.clone()], &args.how, partners, &args.out, context)
}

fn link(
    files: &[PathBuf],
    how: &HowArgs,
    partners: Option<Partners>,
    out: &Path,
    context: &Context,
) -> Result<Exit, CommandError> {
    let table = read(files, how, context)?;
    let mut options = options(&table, how, context)?;
    if let (Some(partners), Some(spec)) = (partners, &mut options.spec) {
        spec.partners = partners;
    }
    let outcome = run(&table, &options, &Told::new(context)).map_err(told)?;
    let summary = output::write(out, &table, &outcome).map_err(told)?;
    context.output.show(&summary, || text(&summary, out))?;
    Ok(Exit::Ok)
}

/// Runs `hub link train`.
pub(super) fn train(args: &TrainArgs, context: &Context) -> Result<Exit, CommandError> {
    let table = read(&args.files, &args.how, context)?;
    let options = options(&table, &args.how, context)?;
    let Outcome { model, expected_f1, .. } = run(&table, &options, &Told::new(context)).map_err(told)?;
    std::fs::write(&args.out, model.to_json())
        .map_err(|source| told(Error::Write { file: args.out.clone(), source }))?;
    let file = args.out.display().to_string();
    let shown = json!({ "file": file, "model": model.hash(), "expected_f1": expected_f1,
        "threshold_bits": f64::from(model.threshold) / 1024.0, "diagnostics": model.diagnostics });
    context.output.show(&shown, || {
        format!(
            "{file}: epoch {}, learned from {} records in {} rounds; threshold {:.2} bits",
            model.hash(),
            model.diagnostics.records,
            model.diagnostics.rounds,
            f64::from(model.threshold) / 1024.0
        )
    })?;
    Ok(Exit::Ok)
}

/// Reads the files.
pub(super) fn read(files: &[PathBuf], how: &HowArgs, context: &Context) -> Result<Table, CommandError> {
    let delimiter = how.delimiter.map(u8::try_from).transpose().map_err(|_| {
        // The error has nothing to say but that it is no byte.
        CommandError::usage("--delimiter is not one ASCII character", "give one such as ';'")
    })?;
    let mut builder = TableBuilder::new(&how.id);
    let progress = Told::new(context);
    for file in files {
        let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "parquet" | "pq" => read_parquet(file, &mut builder, &progress),
            _ => read_csv(file, delimiter, &mut builder, &progress),
        }
        .map_err(told)?;
    }
    builder.finish().map_err(told)
}

/// What a run is asked for. A guessed spec is shown on standard error, and saved where that was asked for.
pub(super) fn options(table: &Table, how: &HowArgs, context: &Context) -> Result<Options, CommandError> {
    for name in how.ignore.iter().filter(|name| table.column(name).is_none()) {
        if !table.files.iter().any(|file| file.alone.contains(name)) {
            return Err(CommandError::usage(
                format!("--ignore names '{name}', which is not a column of the files"),
                "name a column of the first line",
            ));
        }
    }
    let spec = match &how.spec {
        Some(file) => {
            let mut spec = Spec::from_toml(&read_text(file)?).map_err(told)?;
            spec.columns.retain(|column| !how.ignore.contains(&column.name));
            spec
        }
        None => {
            let spec = guess(table, &how.ignore);
            show_guess(&spec, context);
            spec
        }
    };
    if let Some(file) = &how.save_spec {
        std::fs::write(file, spec.to_toml()).map_err(|source| told(Error::Write { file: file.clone(), source }))?;
    }
    let model = how.model.as_ref().map(|file| read_text(file).and_then(|text| Model::from_json(&text).map_err(told)));
    let threshold = how.threshold.map(|bits| (bits.clamp(-200.0, 200.0) * 1024.0).round() as i32);
    Ok(Options { spec: Some(spec), model: model.transpose()?, threshold, ..Options::default() })
}

fn read_text(file: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(file).map_err(|source| told(Error::Read { file: file.to_owned(), source }))
}

fn show_guess(spec: &Spec, context: &Context) {
    if context.output.is_json() {
        return;
    }
    eprintln!("compared, as guessed (change it with --save-spec FILE and --spec FILE):");
    for column in &spec.columns {
        let kind = kind_name(column.kind);
        let more = column.swaps_with.as_ref().or(column.longitude.as_ref());
        let more = more.map(|other| format!(", with {other}")).unwrap_or_default();
        eprintln!("  {}: {kind}{more}", column.name);
    }
    if !spec.ignore.is_empty() {
        eprintln!("not compared: {}", spec.ignore.join(", "));
    }
}

fn kind_name(kind: Kind) -> String {
    serde_json::to_string(&kind).expect("a kind is a word").trim_matches('"').to_owned()
}

fn text(summary: &Summary, out: &Path) -> String {
    let several = || summary.cluster_sizes.iter().filter(|(size, _)| **size > 1);
    let mut rows = Rows::new(["", ""]);
    let mut row = |name: &str, value: String| rows.row([name.to_owned(), value]);
    row("records", summary.records.to_string());
    row("clusters", summary.clusters.to_string());
    row("clusters of several records", several().map(|(_, clusters)| clusters).sum::<usize>().to_string());
    row("records in them", several().map(|(size, clusters)| size * clusters).sum::<usize>().to_string());
    row("largest cluster", summary.cluster_sizes.keys().next_back().copied().unwrap_or(0).to_string());
    row("pairs compared", summary.pairs_scored.to_string());
    row("pairs linked", summary.pairs_accepted.to_string());
    row("pairs kept apart", summary.pairs_refused.to_string());
    row("threshold in bits", format!("{:.2}", summary.threshold_bits));
    row("expected F1", format!("{:.4}", summary.expected_f1));
    let mut text = rows.text();
    for note in &summary.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!("results in {}; open {}\n", out.display(), out.join("report.html").display()));
    text
}

/// The crate's errors as the command line's.
pub(super) fn told(error: Error) -> CommandError {
    let what_to_do = match &error {
        Error::Read { .. } => "name a readable file",
        Error::Write { .. } => "choose another place with --out",
        Error::Line { .. } | Error::SameColumn { .. } => "correct the line, or give the right --delimiter",
        Error::Parquet { .. } => "write the file again, or export it as CSV",
        Error::NoColumn { .. } => "name one of its columns",
        Error::NoId { .. } | Error::SameId { .. } => "choose a column with --id that names every record once",
        Error::TooLarge { .. } => "split the file",
        Error::NothingToCompare => "compare another column with --spec, or ignore fewer",
        Error::TooFew(_) => "give a file with records",
        Error::Spec(_) => "correct the spec; --save-spec writes one to begin with",
        Error::Model(_) => "give the model.json of a run over the same columns",
        Error::Truth(_) => "name the column that holds the entities, and a --truth-pattern that fits it",
    };
    match error {
        Error::Write { .. } | Error::TooLarge { .. } => CommandError::failed(error.to_string(), what_to_do),
        _ => CommandError::usage(error.to_string(), what_to_do),
    }
}

/// Shows a run's stages as they go.
pub(super) struct Told {
    quiet: bool,
    now: Mutex<Option<Progress>>,
}

impl Told {
    /// Shows nothing with `--json`.
    pub(super) fn new(context: &Context) -> Told {
        Told { quiet: context.output.is_json(), now: Mutex::new(None) }
    }

    fn with(&self, act: impl FnOnce(&mut Option<Progress>)) {
        // Only a panic of a stage poisons it, and then nobody looks any more.
        act(&mut self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl link_files::Progress for Told {
    fn begin(&self, stage: &'static str, total: u64) {
        let unit = match stage {
            "comparing" => "pairs",
            "reading" => "bytes or rows",
            _ => "",
        };
        self.with(|now| *now = Some(Progress::new(stage, unit, (total > 0).then_some(total), self.quiet)));
    }

    fn at(&self, done: u64) {
        self.with(|now| {
            if let Some(progress) = now {
                progress.set(done);
            }
        });
    }

    fn end(&self) {
        self.with(|now| {
            if let Some(progress) = now.take() {
                progress.finish();
            }
        });
    }
}
