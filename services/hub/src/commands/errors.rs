//! `hub errors`: what a word means by which the hub says no.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::errors::{SECTIONS, Word, find, page};
use crate::output::Table;

/// Arguments of `hub errors`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub errors log_full\n  hub errors hub.personal_id.sex\n  hub errors --markdown > docs/errors.md"
)]
pub struct ErrorsArgs {
    /// A reason, rule or exit code; all of them when absent
    #[arg(value_name = "WORD")]
    pub word: Option<String>,
    /// Print the page of the documentation
    #[arg(long, conflicts_with = "word")]
    pub markdown: bool,
}

/// Explains.
///
/// # Errors
/// There is no such word; standard output cannot be written.
pub fn run(args: &ErrorsArgs, context: &Context) -> Result<Exit, CommandError> {
    if args.markdown {
        context.output.show(&json!(null), page)?;
        return Ok(Exit::Ok);
    }
    let found: Vec<(&str, Word)> = match &args.word {
        Some(word) => find(word),
        None => SECTIONS.iter().flat_map(|section| section.words.iter().map(|word| (section.title, *word))).collect(),
    };
    if let Some(word) = args.word.as_ref().filter(|_| found.is_empty()) {
        let next = "'hub errors' lists every word; rules such as string.pattern are protovalidate's, others stand in the register's .proto file";
        return Err(CommandError::usage(format!("'{word}' is no reason, rule or exit code of the hub"), next));
    }
    let shown: Vec<_> = found.iter().map(|(section, word)| json!({ "section": section, "error": word })).collect();
    context.output.show(&shown, || {
        let mut table = Table::new(["word", "where", "cause", "what to do"]);
        for (section, Word { word, cause, remedy }) in &found {
            table.row([word, *section, cause, remedy].map(|cell| (*cell).to_owned()));
        }
        table.text()
    })?;
    Ok(Exit::Ok)
}
