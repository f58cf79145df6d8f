//! The file: a manifest and sections, one canonical JSON object on one line each.
//!
//! ```text
//! {"format":"hub.proof/v1","sections":["<sha256 of line 2, hex>","<sha256 of line 3, hex>",…]}
//! {"type":"checkpoint",…}
//! …
//! ```
//!
//! JSON Lines, because a verifier in any language has a parser for it, a person can look at it, and a section can be found by
//! its line. Canonical, because what has two spellings can be changed unnoticed: a line must be exactly what a compact
//! writer makes of it. The manifest's hashes prove nothing against a forger, who can write new ones; they find damage,
//! say in which section it is, and tell a file that was cut short from one that was changed.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::report::{Failure, Place, Problem};
use crate::section::Section;

/// The format of a bundle that opens no body.
pub const FORMAT: &str = "hub.proof/v1";
/// The format of one that does: who knows the first alone says that it is another, and not that a line was changed.
pub const FORMAT_WITH_BODIES: &str = "hub.proof/v2";

/// A bundle's sections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    /// In the order of their types.
    pub sections: Vec<Section>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    sections: Vec<String>,
}

/// What was read of a file: each section with its line, and what is wrong with the file as such.
pub(crate) struct Parsed {
    pub(crate) sections: Vec<(usize, Section)>,
    pub(crate) failures: Vec<Failure>,
}

impl Bundle {
    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let lines: Vec<_> = self.sections.iter().map(Section::to_line).collect();
        let sections = lines.iter().map(|line| hex_of_sha256(line.as_bytes())).collect();
        let manifest = Manifest { format: format_of(self.sections.iter()).into(), sections };
        let manifest = serde_json::to_string(&manifest).expect("a manifest has string keys and no maps");
        let mut out = manifest + "\n";
        lines.iter().for_each(|line| {
            out.push_str(line);
            out.push('\n');
        });
        out.into_bytes()
    }

    /// Reads a file, and checks its form and the manifest's hashes, but not what it proves.
    ///
    /// # Errors
    /// What is wrong with the file, each with its line.
    pub fn decode(bytes: &[u8]) -> Result<Self, Vec<Failure>> {
        let Parsed { sections, failures } = parse(bytes);
        if failures.is_empty() {
            return Ok(Self { sections: sections.into_iter().map(|(_, s)| s).collect() });
        }
        Err(failures)
    }
}

/// A format has one spelling: the name of the later one is kept for what needs it.
fn format_of<'s>(mut sections: impl Iterator<Item = &'s Section>) -> &'static str {
    if sections.any(|section| matches!(section, Section::Body { .. })) { FORMAT_WITH_BODIES } else { FORMAT }
}

pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut failures = Vec::new();
    let mut lines: Vec<_> = bytes.split(|b| *b == b'\n').collect();
    // What stands after the last newline is nothing, or a line that was cut short.
    let tail = lines.pop().unwrap_or_default();
    let Some(manifest) = lines.first().and_then(|line| read_manifest(line)) else {
        let problem = if lines.is_empty() { Problem::Torn { present: 0, named: None } } else { Problem::Manifest };
        failures.push(Failure { at: Place::manifest(), problem });
        return Parsed { sections: Vec::new(), failures };
    };
    let (present, named) = (lines.len() - 1, manifest.sections.len());
    let mut sections = Vec::with_capacity(present);
    for (number, line) in lines.iter().enumerate().skip(1) {
        let section = read_section(line);
        let name = section.as_ref().map_or_else(|| "section".into(), Section::name);
        let place = |field| Place { line: number + 1, section: name.clone(), field };
        match manifest.sections.get(number - 1) {
            Some(hash) if *hash == hex_of_sha256(line) => {}
            Some(_) => failures.push(Failure { at: place("line"), problem: Problem::Digest }),
            None => failures.push(Failure { at: place("line"), problem: Problem::Unnamed }),
        }
        match section {
            Some(section) => sections.push((number + 1, section)),
            None => failures.push(Failure { at: place("line"), problem: Problem::Section }),
        }
    }
    if present < named || !tail.is_empty() {
        let at = Place { line: present + 2, section: "section".into(), field: "line" };
        failures.push(Failure { at, problem: Problem::Torn { present, named: Some(named) } });
    } else if failures.is_empty() && manifest.format != format_of(sections.iter().map(|(_, section)| section)) {
        failures.push(Failure { at: Place::manifest(), problem: Problem::Manifest });
    }
    Parsed { sections, failures }
}

fn read_manifest(line: &[u8]) -> Option<Manifest> {
    // Whatever is wrong with it, nothing below can be read.
    let manifest: Manifest = serde_json::from_slice(line).ok()?;
    let canonical = serde_json::to_vec(&manifest).ok()? == line;
    let is_hash = |h: &String| h.len() == 64 && h.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let known = [FORMAT, FORMAT_WITH_BODIES].contains(&manifest.format.as_str());
    (canonical && known && manifest.sections.iter().all(is_hash)).then_some(manifest)
}

fn read_section(line: &[u8]) -> Option<Section> {
    // Whatever is wrong with it, the section says nothing.
    let section: Section = serde_json::from_slice(line).ok()?;
    (section.to_line().as_bytes() == line).then_some(section)
}

pub(crate) fn hex_of_sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut out, b| {
        write!(out, "{b:02x}").expect("writing to a string cannot fail");
        out
    })
}
