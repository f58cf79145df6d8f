//! The verifier: one pass over a bundle, from the checkpoint outwards.

mod entries;
mod ledger_part;

use std::collections::{BTreeMap, BTreeSet};

use ::ledger::policy::Cosigned;
use ::ledger::{Checkpoint, Head, Policy, Tick, verify_consistency};
use record::{Partition, Position, Stream};

use crate::bundle::{Parsed, parse};
use crate::report::{
    AnswerShown, EntryShown, Failure, Grown, HeadShown, Outcome, Place, Problem, Rejected, Report, Standing, Unproven,
};
use crate::section::{Blob, Hash32, Section, hashes};

/// Whom and what the one who checks trusts.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Known logs and witnesses, and the quorum.
    pub policy: &'a Policy,
    /// The last checkpoint known of the log, from an earlier check or another source. With one, a bundle must show that its
    /// own checkpoint is the same or continues it.
    pub known: Option<&'a Checkpoint>,
}

/// Checks a bundle.
///
/// # Errors
/// [`Rejected`] with everything that is wrong. What depends on something that failed is not checked.
pub fn check(bundle: &[u8], trust: &Trust<'_>) -> Result<Report, Rejected> {
    let Parsed { sections, failures } = parse(bundle);
    let torn = failures.iter().any(|f| matches!(f.problem, Problem::Torn { .. } | Problem::Manifest));
    let mut checker = Checker::new(trust, failures);
    // Of a file that was cut short, what is missing would be reported as wrong.
    if !torn {
        checker.run(&sections);
    }
    checker.finish()
}

/// What has been proven so far.
struct Checker<'a> {
    trust: &'a Trust<'a>,
    failures: Vec<Failure>,
    line: usize,
    section: String,
    checkpoint: Option<(Checkpoint, Vec<Cosigned>)>,
    continues: Vec<Checkpoint>,
    /// Number of a tick; `None` when it did not hold.
    ticks: BTreeMap<u64, Option<Tick>>,
    heads: BTreeMap<(u64, Stream, Partition), Option<Head>>,
    grown: Vec<Grown>,
    entries: BTreeMap<Position, Option<entries::Proven>>,
    bodies: BTreeMap<Position, Blob>,
    answers: Vec<AnswerShown>,
}

impl<'a> Checker<'a> {
    fn new(trust: &'a Trust<'a>, failures: Vec<Failure>) -> Self {
        Self {
            trust,
            failures,
            line: 0,
            section: String::new(),
            checkpoint: None,
            continues: Vec::new(),
            ticks: BTreeMap::new(),
            heads: BTreeMap::new(),
            grown: Vec::new(),
            entries: BTreeMap::new(),
            bodies: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    fn run(&mut self, sections: &[(usize, Section)]) {
        let mut rank = 0;
        let mut seen = BTreeSet::new();
        for (line, section) in sections {
            (self.line, self.section) = (*line, section.name());
            if section.rank() < rank || !seen.insert(self.section.clone()) {
                self.fail("type", Problem::Order);
            }
            rank = section.rank();
            self.section(section);
        }
        (self.line, self.section) = (2, "checkpoint".into());
        match &self.checkpoint {
            Some((checkpoint, _)) => {
                let checkpoint = checkpoint.clone();
                self.known(&checkpoint);
            }
            None if !sections.iter().any(|(_, s)| s.rank() == 0) => {
                self.fail("line", Problem::Missing("checkpoint".into()));
            }
            None => {}
        }
    }

    fn section(&mut self, section: &Section) {
        if let Section::Checkpoint { note } = section {
            return self.checkpoint(note);
        }
        // Nothing leads anywhere without the checkpoint, whose own failure stands already.
        let Some((checkpoint, _)) = self.checkpoint.clone() else { return };
        match section {
            Section::Checkpoint { .. } => {}
            Section::Consistency { note, proof } => self.consistency(&checkpoint, note, proof),
            Section::Tick { index, text, path } => self.tick(&checkpoint, *index, text, path),
            Section::Head { tick, text, path } => self.head(&checkpoint.origin, *tick, text, path),
            Section::Growth { partition, from, to, proof } => self.growth(partition, (*from, *to), proof),
            Section::Entry { position, bytes, hash, inclusion, receipt } => {
                self.entry(&checkpoint.origin, position, (bytes, hash), inclusion, receipt);
            }
            Section::Body { position, secret } => self.body(position, secret),
            Section::Answer { position, access, key, bytes } => self.answer(position, access, key, bytes),
        }
    }

    fn checkpoint(&mut self, note: &str) {
        match self.trust.policy.verify(note) {
            Ok(trusted) => self.checkpoint = Some((trusted.checkpoint, trusted.cosigned)),
            Err(untrusted) => self.fail("note", untrusted.into()),
        }
    }

    fn consistency(&mut self, checkpoint: &Checkpoint, note: &str, proof: &[Hash32]) {
        let older = match self.trust.policy.verify_log(note) {
            Ok(trusted) => trusted.checkpoint,
            Err(untrusted) => return self.fail("note", untrusted.into()),
        };
        if older.origin != checkpoint.origin {
            return self.fail("note", Problem::OtherLog);
        }
        let (from, to) = ((older.size, &older.root), (checkpoint.size, &checkpoint.root));
        match verify_consistency(from, to, &hashes(proof)) {
            Ok(()) => self.continues.push(older),
            Err(error) => self.fail("proof", error.into()),
        }
    }

    /// How the checkpoint stands to the one that was known before.
    fn known(&mut self, found: &Checkpoint) {
        let Some(known) = self.trust.known else { return };
        let same_size = [found].into_iter().chain(&self.continues).find(|c| c.size == known.size);
        let problem = match same_size {
            _ if known.origin != found.origin => Problem::OtherLog,
            Some(same) if same.root == known.root => return,
            Some(_) => Problem::Forked { size: known.size },
            None if found.size < known.size => Problem::Older { known: known.size, found: found.size },
            None => Problem::Unconnected { known: known.size },
        };
        self.fail("note", problem);
    }

    fn fail(&mut self, field: &'static str, problem: Problem) {
        let at = Place { line: self.line, section: self.section.clone(), field };
        self.failures.push(Failure { at, problem });
    }

    fn finish(mut self) -> Result<Report, Rejected> {
        let (Some((checkpoint, cosigned)), true) = (self.checkpoint, self.failures.is_empty()) else {
            self.failures.sort_by_key(|f| f.at.line);
            return Err(Rejected { failures: self.failures });
        };
        let mut bodies = self.bodies;
        let shown =
            |proven: entries::Proven| EntryShown { body: bodies.remove(&proven.shown.position), ..proven.shown };
        let entries: Vec<_> = self.entries.into_values().flatten().map(shown).collect();
        let unproven = unproven(&cosigned, &entries, &self.answers);
        let head = |((tick, stream, partition), head): ((u64, Stream, Partition), Option<Head>)| {
            Some(HeadShown { tick, stream, partition, size: head?.size })
        };
        Ok(Report {
            checkpoint,
            cosigned,
            continues: self.continues,
            ticks: self.ticks.into_iter().filter_map(|(index, tick)| Some((index, tick?.at))).collect(),
            heads: self.heads.into_iter().filter_map(head).collect(),
            grown: self.grown,
            entries,
            answers: self.answers,
            unproven,
        })
    }
}

fn unproven(cosigned: &[Cosigned], entries: &[EntryShown], answers: &[AnswerShown]) -> Vec<Unproven> {
    let mut out = Vec::new();
    if cosigned.is_empty() {
        out.push(Unproven::Unwitnessed);
    }
    let promised = entries.iter().filter(|e| e.standing == Standing::Promised);
    out.extend(promised.map(|e| Unproven::Uncovered(e.position)));
    let records = answers.iter().flat_map(|a| &a.records);
    let bare: BTreeSet<_> = records.filter(|(_, entries)| *entries == 0).map(|(record, _)| *record).collect();
    out.extend(bare.into_iter().map(Unproven::RecordWithoutEntry));
    let sealed = |e: &&EntryShown| e.body.is_none() && e.disclosed.as_ref().is_some_and(|d| d.encrypted);
    out.extend(entries.iter().filter(sealed).map(|e| Unproven::Sealed(e.position)));
    if !entries.is_empty() {
        out.push(Unproven::Completeness);
    }
    if answers.iter().any(|a| a.outcome != Outcome::Undisclosed) {
        out.push(Unproven::Derivation);
    }
    out.push(Unproven::Times);
    out
}
