//! `hub link evaluate`: a linkage of files against the truth.

use std::path::PathBuf;

use clap::Args;
use link_files::Error;
use link_files::evaluate::{Evaluation, Quality, evaluate as measure, truth_of};
use link_files::result::record_clusters;
use link_files::run::{Options, run};
use link_files::table::RawColumn;
use regex::Regex;

use super::files::{HowArgs, Told, options, read, told};
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table as Rows;

/// Arguments of `hub link evaluate`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateArgs {
    /// One file, or two between which links are looked for
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub files: Vec<PathBuf>,
    /// Column that holds each record's true entity; it is never compared
    #[arg(long, value_name = "COLUMN")]
    pub truth: String,
    /// Regular expression; its first group is the entity within the column's value
    #[arg(long, value_name = "REGEX")]
    pub truth_pattern: Option<String>,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Runs `hub link evaluate`.
pub(super) fn evaluate(args: &EvaluateArgs, context: &Context) -> Result<Exit, CommandError> {
    let pattern = args.truth_pattern.as_deref().map(Regex::new).transpose().map_err(|error| {
        CommandError::usage(format!("--truth-pattern is no regular expression: {error}"), "correct it")
    })?;
    let mut table = read(&args.files, &args.how, context)?;
    let column = if args.truth == args.how.id {
        // The ids name the entities too: a column of its own is made of them.
        RawColumn { name: args.truth.clone(), values: table.ids.clone(), codes: (0..table.records() as u32).collect() }
    } else {
        table.take_column(&args.truth).ok_or_else(|| {
            CommandError::usage(
                format!("the files have no column '{}' in common", args.truth),
                "name the truth's column",
            )
        })?
    };
    let truth = truth_of(&column, |value| entity(value, pattern.as_ref())).map_err(told)?;
    let options = Options { keep_all: true, ..options(&table, &args.how, context)? };
    let outcome = run(&table, &options, &Told::new(context)).map_err(told)?;
    let clusters = record_clusters(&outcome);
    let evaluation = measure(&table, &outcome, &clusters, &truth);
    if evaluation.records < 2 {
        return Err(told(Error::Truth("fewer than two records have an entity".to_owned())));
    }
    context.output.show(&evaluation, || text(&evaluation))?;
    Ok(Exit::Ok)
}

fn entity(value: &str, pattern: Option<&Regex>) -> Option<String> {
    let found = match pattern {
        Some(pattern) => pattern.captures(value).and_then(|groups| groups.get(1)).map(|group| group.as_str()),
        None => Some(value),
    };
    found.filter(|entity| !entity.is_empty()).map(str::to_owned)
}

fn text(evaluation: &Evaluation) -> String {
    let number = |value: f64| format!("{value:.4}");
    let mut quality = Rows::new(["", "precision", "recall", "F1"]);
    let mut row = |name: &str, q: &Quality| {
        quality.row([name.to_owned(), number(q.precision), number(q.recall), number(q.f1)]);
    };
    row("pairs", &evaluation.pairs);
    row("clusters", &evaluation.clusters);
    row("clusters of several", &evaluation.clusters_of_several);
    row("B-cubed", &evaluation.b_cubed);
    let mut thresholds = Rows::new(["pairs alone, from bits", "pairs", "precision", "recall", "F1"]);
    for row in &evaluation.thresholds {
        let q = &row.quality;
        thresholds.row([
            row.bits.to_string(),
            row.pairs.to_string(),
            number(q.precision),
            number(q.recall),
            number(q.f1),
        ]);
    }
    let mut calibration = Rows::new(["bits from", "below", "pairs", "expected matches", "actual matches"]);
    for row in &evaluation.calibration {
        calibration.row([
            row.from_bits.to_string(),
            row.to_bits.to_string(),
            row.pairs.to_string(),
            number(row.expected),
            number(row.actual),
        ]);
    }
    format!(
        "{} records, {} true pairs, threshold {:.2} bits, blocking recall {:.4}\n\n{}\n{}\n{}",
        evaluation.records,
        evaluation.true_pairs,
        evaluation.threshold_bits,
        evaluation.blocking_recall,
        quality.text(),
        thresholds.text(),
        calibration.text()
    )
}
