//! The embedded log, read through: checksums, gaps, torn tails, and whether each entry is the one that its header names.

use event_log::{Inspection, Logged, OpenError, ReadError};
use ledger::VerifierKey;
use record::control::{Control, Order};
use record::{Entry, Positions, Stream};

use super::ledger::Comparison;
use super::{Finding, Findings, State, first_of};
use crate::config::Config;
use crate::error::told;

const PART: &str = "log";
const RESTORE: &str =
    "restore the file from a copy (docs/operations.md, Restore); nothing else can bring the entries back";

/// What the log says about the rest of the data directory.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What names the log.
    pub log_id: Option<[u8; 16]>,
    /// What its first entry says about the log's secret.
    pub commitment: Option<[u8; 32]>,
    /// The keys that its bodies are encrypted under.
    pub ring: Option<[u8; 16]>,
    /// The keys that were announced, sign, or have signed.
    pub signers: Vec<VerifierKey>,
    /// The first index of every partition, and its end; absent when the log was not read.
    pub extent: Option<(Positions, Positions)>,
    /// Whether it was read through and is sound.
    pub sound: bool,
}

pub(super) fn look(config: &Config, quick: bool, ledger: &mut Comparison, findings: &mut Findings) -> Told {
    let dir = config.top.data_dir.join("log");
    let mut told = Told::default();
    if quick {
        // Its manifest was read just before.
        told.log_id = event_log::describe(&dir).ok().map(|(log_id, _)| log_id);
        findings.add(PART, State::Note, "entries were not read", "leave --quick out to read the log through");
        return told;
    }
    let mut wrong = Vec::new();
    let inspection = event_log::inspect(&dir, |logged| {
        wrong.extend(judge(logged, &mut told));
        ledger.push(logged);
    });
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => {
            refused(&error, findings);
            return told;
        }
    };
    faults(&inspection, findings);
    let (shown, more) = first_of(&wrong);
    findings.0.extend(shown.iter().cloned());
    findings.0.extend(more.map(|more| finding(State::Fault, more, RESTORE)));
    notes(config, &inspection, findings);
    told.sound = findings.is_well(PART);
    if told.sound {
        let Inspection { entries, segments, bytes, .. } = &inspection;
        findings.ok(PART, format!("{entries} entries in {segments} segments of {bytes} bytes, each as it was written"));
    }
    told.log_id = Some(inspection.log_id);
    told.extent = Some((inspection.first, inspection.ends));
    told
}

/// The log cannot be looked at.
pub(super) fn refused(error: &OpenError, findings: &mut Findings) {
    findings.fault(PART, told(error), RESTORE);
}

/// What is wrong with one entry; and what it says about the rest.
fn judge(logged: &Logged, told: &mut Told) -> Option<Finding> {
    let place = logged.position.to_string();
    let fault = |what: String| {
        let next = "keep the files as they are and ask whoever wrote the entry: its frame is sound, its content is not";
        Some(Finding { entry: Some(place.clone()), ..finding(State::Fault, format!("entry {place}: {what}"), next) })
    };
    let entry = match Entry::decode(&logged.bytes) {
        Ok(entry) => entry,
        Err(error) => return fault(error.to_string()),
    };
    if !entry.verify_body(&logged.bytes) {
        return fault("its body is not the one that its header names".into());
    }
    if logged.position.stream != Stream::Control {
        return None;
    }
    let Ok(body) = entry.plain_body() else { return fault("a control entry is not plain".into()) };
    match Control::decode(body) {
        Ok(control) => {
            match control.order {
                Order::LogOpened { commitment, .. } => told.commitment = told.commitment.or(Some(commitment)),
                Order::Keys { ring, .. } => told.ring = told.ring.or(Some(ring)),
                Order::SigningKey { former, next, .. } => {
                    // What is no key has signed nothing.
                    told.signers.extend([former, next].iter().filter_map(|key| VerifierKey::parse(key).ok()));
                }
                _ => {}
            }
            None
        }
        Err(error) => fault(error.to_string()),
    }
}

fn faults(inspection: &Inspection, findings: &mut Findings) {
    let (shown, more) = first_of(&inspection.faults);
    for error in shown {
        let found = findings.fault(PART, told(error), RESTORE);
        match error {
            OpenError::Read(ReadError::Damaged(damage)) => {
                found.file = Some(damage.file.clone());
                found.entry = damage.position.map(|position| position.to_string());
            }
            OpenError::Read(ReadError::Gap { expected, file, .. }) => {
                found.file = Some(file.clone());
                found.entry = Some(expected.to_string());
            }
            OpenError::MissingSegment { file } => found.file = Some(file.clone()),
            _ => {}
        }
    }
    findings.0.extend(more.map(|more| finding(State::Fault, more, RESTORE)));
}

fn notes(config: &Config, inspection: &Inspection, findings: &mut Findings) {
    for torn in &inspection.unfinished {
        let what = format!(
            "{} ends in {} bytes of a write that a crash broke off at offset {}; nobody was promised it",
            torn.file.display(),
            torn.torn_bytes,
            torn.at
        );
        findings.add(PART, State::Note, what, "the next start of the hub cuts it off").about(&torn.file);
    }
    for file in &inspection.left_behind {
        let what = format!("{} was left behind when a segment was begun", file.display());
        findings.add(PART, State::Note, what, "the next start of the hub removes it").about(file);
    }
    let fixed = u32::from(inspection.partitions.change);
    if fixed != config.log.partitions {
        let what = format!("log.partitions is {}, and the log was created with {fixed}", config.log.partitions);
        findings.add(PART, State::Note, what, "partitions never change; correct the configuration to say what is");
    }
}

fn finding(state: State, what: String, next: &str) -> Finding {
    Finding { part: PART, state, what, what_to_do: next.into(), file: None, entry: None }
}
