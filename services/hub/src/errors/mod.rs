//! Every stable word by which the hub says no, with its cause and what to do: exit codes, reasons of answers, certificates, rules of changes
//! and of contracts. `docs/errors.md` is made from these tables, `hub errors WORD` shows one of them; `tests/errors.rs` of this crate keeps them complete against
//! the sources.

mod changes;
mod reasons;

use std::fmt::Write as _;

use serde::Serialize;

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Word {
    /// As it is told.
    pub word: &'static str,
    /// Why it comes.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Words of one place.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Where they stand.
    pub intro: &'static str,
    /// What the words are called.
    pub heading: &'static str,
    /// They, in the order that a reader meets them.
    pub words: &'static [Word],
}

const fn word(word: &'static str, cause: &'static str, remedy: &'static str) -> Word {
    Word { word, cause, remedy }
}

/// Every section, in the order of the page.
pub const SECTIONS: [Section; 11] = [
    reasons::EXIT_CODES,
    reasons::COMMANDS,
    reasons::PERMITS,
    reasons::PUBLISHING,
    reasons::QUERIES,
    reasons::ADMINISTRATION,
    reasons::AUDITS,
    reasons::HTTP,
    reasons::CERTIFICATES,
    changes::RULES,
    changes::BREAKS,
];

const HEAD: &str = "\
# Errors

Every stable word by which the hub says no. Made by `hub errors --markdown` from the tables in `services/hub/src/errors`; a test keeps page, tables and sources
equal. `hub errors WORD` shows one of them.

A refusal over gRPC is a status with `google.rpc.ErrorInfo` (its `reason` is the word), `BadRequest` where a field is at fault, and `RetryInfo` where sending again
later may help. Over HTTP the same facts are problem details with `reason`, `violations` and `retryAfterMs` ([http](http.md)). A command prints one line, `hub: what; what to
do`, or with `--json` one object `error` with `what`, `what_to_do`, `reason` and `exit_code`.

The same word means the same in every section where it stands.
";

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        let Section { title, intro, heading, words } = section;
        write!(page, "\n## {title}\n\n{intro}\n\n| {heading} | cause | what to do |\n|---|---|---|\n")
            .expect("writing to a String does not fail");
        for Word { word, cause, remedy } in words {
            writeln!(page, "| `{word}` | {cause} | {remedy} |").expect("writing to a String does not fail");
        }
    }
    page
}

/// Where a word stands and what it means; several when more than one part of the hub says it.
pub fn find(wanted: &str) -> Vec<(&'static str, Word)> {
    let all = SECTIONS.into_iter().flat_map(|section| section.words.iter().map(move |word| (section.title, *word)));
    all.filter(|(_, word)| word.word == wanted).collect()
}
