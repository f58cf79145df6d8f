//! The list of errors is complete: every word that the sources say stands in the tables, every word of the tables is said, and the page is made of
//! them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hub::errors::{SECTIONS, page};
use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn source(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All sources of a folder in one text, its tests left out.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a name").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "proto") {
                let source = std::fs::read_to_string(&path).expect("UTF-8");
                text += source.split("#[cfg(test)]").next().unwrap_or_default();
            }
        }
    }
    text
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The words in the functions of that name.
fn said_by(function: &str, text: &str) -> BTreeSet<String> {
    let head = format!("fn {function}(");
    let bodies = text.split(&head).skip(1);
    bodies.flat_map(|rest| found("\"([a-z_0-9]+)\"", rest.split("\n    }\n").next().unwrap_or_default())).collect()
}

fn table(title: &str) -> BTreeSet<String> {
    let section =
        SECTIONS.iter().find(|section| section.title == title).unwrap_or_else(|| panic!("no section {title}"));
    let words: BTreeSet<String> = section.words.iter().map(|word| word.word.to_owned()).collect();
    assert_eq!(words.len(), section.words.len(), "a word stands twice in {title}");
    words
}

#[track_caller]
fn assert_complete(title: &str, said: &BTreeSet<String>) {
    let known = table(title);
    let missing: Vec<_> = said.difference(&known).collect();
    let never: Vec<_> = known.difference(said).collect();
    assert!(missing.is_empty(), "{title}: not in services/hub/src/errors: {missing:?}");
    assert!(never.is_empty(), "{title}: nobody says: {never:?}");
}

#[test]
fn every_reason_of_a_command_is_listed() {
    let text = source("services/hub/src/error.rs");
    let mut said = found("Self::new\\(\\s*Exit::\\w+,\\s*\"([a-z_]+)\"", &text);
    said.extend(found("\\(\\s*Exit::\\w+,\\s*\"([a-z_]+)\"", &text));
    assert_complete("Reasons of commands", &said);
}

#[test]
fn every_reason_of_a_permit_is_listed() {
    assert_complete("Permits", &said_by("code", &source("libs/access/src/refusal.rs")));
}

#[test]
fn every_reason_of_publishing_is_listed() {
    let text = source("services/ingest/src/error.rs");
    let mut said = said_by("reason", &text);
    said.extend(found("\\(Code::\\w+, \"([a-z_]+)\"", text.split("#[cfg(test)]").next().unwrap_or_default()));
    assert_complete("Publishing", &said);
}

#[test]
fn every_reason_of_a_query_is_listed() {
    let text = sources("services/views/src/query");
    let mut said = said_by("reason", &source("services/views/src/query/error.rs"));
    said.extend(found("Error::field\\(\\s*[^,]+,\\s*\"([a-z_]+)\"", &text));
    said.extend(found("wrong\\(\\s*\"([a-z_]+)\"", &text));
    said.extend(found("\"((?:cursor|key|query|role)_[a-z_]+)\"", &text));
    let permits = table("Permits");
    said.retain(|word| !permits.contains(word));
    assert_complete("Queries", &said);
}

#[test]
fn every_reason_of_the_administration_is_listed() {
    assert_complete("Administration", &said_by("reason", &source("services/hub/src/admin/error.rs")));
}

#[test]
fn every_reason_of_an_audit_is_listed() {
    assert_complete("Audits", &said_by("reason", &source("services/audit/src/error.rs")));
}

#[test]
fn every_reason_of_http_is_listed() {
    let mut said = found("Code::\\w+, \"([a-z_0-9]+)\", what", &source("libs/http-json/src/problem.rs"));
    said.extend(found("Problem::field\\(\"([a-z_]+)\"", &source("libs/http-json/src/message.rs")));
    assert_complete("HTTP", &said);
}

#[test]
fn every_reason_of_a_certificate_is_listed() {
    assert_complete("Certificates", &said_by("reason", &source("libs/identity/src/refusal.rs")));
}

#[test]
fn every_rule_of_a_change_is_listed() {
    let text: String = ["libs/contract/src", "libs/projection/src", "services/ingest/src", "services/views/src/query"]
        .map(sources)
        .concat();
    let mut said = found("\"(hub\\.[a-z_.]+)\"", &text);
    said.extend(found("id: \"([a-z_.]+)\"", &sources("proto/hub")));
    said.insert("required".to_owned());
    assert_complete("Rules", &said);
}

#[test]
fn every_break_of_a_contract_is_listed() {
    assert_complete("Breaks", &found("\"([A-Z]+(?:_[A-Z]+)+)\"", &source("libs/contract/src/compat.rs")));
}

#[test]
fn every_exit_code_is_listed() {
    let text = source("services/hub/src/error.rs");
    let body = text.split("pub enum Exit {").nth(1).and_then(|rest| rest.split('}').next()).expect("the exit codes");
    assert_complete("Exit codes", &found("= ([0-9]),", body));
}

#[test]
fn the_page_is_made_of_the_tables() {
    assert!(
        source("docs/errors.md") == page(),
        "docs/errors.md is not what the tables say: run 'hub errors --markdown > docs/errors.md'"
    );
}
