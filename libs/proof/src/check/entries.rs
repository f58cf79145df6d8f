//! From the heads to entries, and from an access entry to its answer.

use ledger::{Receipt, leaf_hash, verify_inclusion};
use record::access::{Access, AccessBatch, Decision};
use record::secret::answer_hash;
use record::{BodyCodec, Entry, EntryHash, EntryKind, Positions, Pseudonym};

use super::Checker;
use crate::report::{AnswerShown, Disclosed, EntryShown, Outcome, Problem, Standing};
use crate::section::{Blob, Hash32, Inclusion, hashes};

/// An entry that holds, with what later sections need of it.
pub(super) struct Proven {
    pub(super) shown: EntryShown,
    bytes: Option<Vec<u8>>,
}

/// An entry as a bundle tells it: whole, or by its hash.
type Content<'a> = (&'a Option<Blob>, &'a Option<Hash32>);

impl Checker<'_> {
    pub(super) fn entry(
        &mut self,
        log: &str,
        position: &str,
        content: Content<'_>,
        inclusion: &Option<Inclusion>,
        receipt: &Option<Blob>,
    ) {
        let position = match position.parse::<record::Position>() {
            Ok(position) => position,
            Err(_) => return self.fail("position", Problem::Form("<stream>/<partition>/<index>")),
        };
        let before = self.failures.len();
        let (hash, disclosed) = match content {
            (Some(bytes), None) => (EntryHash::of(&bytes.0), self.disclosed(position, &bytes.0)),
            (None, Some(hash)) => (EntryHash(hash.0), None),
            _ => return self.fail("bytes", Problem::Form("either 'bytes' or 'hash'")),
        };
        let included = inclusion.as_ref().is_some_and(|i| self.included(position, hash, i));
        if let Some(receipt) = receipt {
            self.receipt(log, position, hash, receipt);
        } else if inclusion.is_none() {
            self.fail("inclusion", Problem::Unsupported);
        }
        let standing = if included { Standing::Included } else { Standing::Promised };
        // An entry whose head did not hold is not proven, though nothing of its own is wrong.
        let holds = self.failures.len() == before && (included || inclusion.is_none());
        let proven = holds.then(|| Proven {
            shown: EntryShown { position, hash, standing, disclosed, body: None },
            bytes: content.0.as_ref().map(|b| b.0.clone()),
        });
        self.entries.insert(position, proven);
    }

    fn disclosed(&mut self, position: record::Position, bytes: &[u8]) -> Option<Disclosed> {
        let entry = match Entry::decode(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                self.fail("bytes", Problem::Entry(error));
                return None;
            }
        };
        if !entry.verify_body(bytes) {
            self.fail("bytes", Problem::Body);
        }
        if entry.header.kind.stream() != position.stream {
            self.fail("bytes", Problem::Stream);
        }
        let header = entry.header;
        Some(Disclosed {
            kind: header.kind,
            register: header.register.map(String::from),
            record: header.record,
            version: header.version,
            contract: header.contract,
            effective_at: header.effective_at,
            recorded_at: header.recorded_at,
            encrypted: header.codec == BodyCodec::Aes256Gcm,
        })
    }

    fn included(&mut self, position: record::Position, hash: EntryHash, inclusion: &Inclusion) -> bool {
        let head = match self.heads.get(&(inclusion.tick, position.stream, position.partition)) {
            Some(Some(head)) => *head,
            // The head's own failure stands already.
            Some(None) => return false,
            None => {
                let tree = ledger::tick::tree_name(position.stream, position.partition);
                self.fail("inclusion", Problem::Missing(format!("head of {tree} at tick {}", inclusion.tick)));
                return false;
            }
        };
        let path = hashes(&inclusion.path);
        let held = verify_inclusion(leaf_hash(&hash.0), position.index.0, head.size, &head.root, &path);
        held.map_err(|error| self.fail("inclusion", error.into())).is_ok()
    }

    fn receipt(&mut self, log: &str, position: record::Position, hash: EntryHash, bytes: &Blob) {
        let receipt = match Receipt::decode(&bytes.0) {
            Ok(receipt) => receipt,
            Err(error) => return self.fail("receipt", Problem::Receipt(error.to_string())),
        };
        if (receipt.position, receipt.entry) != (position, hash) {
            return self.fail("receipt", Problem::Receipt("the receipt is of another entry".into()));
        }
        let keys = self.trust.policy.keys(log);
        let verdicts: Vec<_> = keys.map(|key| receipt.verify(key, log)).collect();
        if let (Some(Err(error)), false) = (verdicts.last(), verdicts.iter().any(Result::is_ok)) {
            self.fail("receipt", Problem::Receipt(error.to_string()));
        }
    }

    /// Opens an entry's body. The commitment in the stored body leaves its secret no choice, and the entry's hash covers both.
    pub(super) fn body(&mut self, position: &str, secret: &Hash32) {
        let at = match position.parse::<record::Position>() {
            Ok(at) => at,
            Err(_) => return self.fail("position", Problem::Form("<stream>/<partition>/<index>")),
        };
        let bytes = match self.entries.get(&at) {
            Some(Some(proven)) => proven.bytes.clone(),
            // The entry's own failure stands already.
            Some(None) => return,
            None => return self.fail("position", Problem::Missing(format!("entry {at}"))),
        };
        let Some(bytes) = bytes else { return self.fail("position", Problem::Missing(format!("bytes of entry {at}"))) };
        match Entry::decode(&bytes).map_err(Problem::Entry).and_then(|e| e.body_by(&secret.0).map_err(Problem::Secret))
        {
            Ok(body) => {
                self.bodies.insert(at, Blob(body));
            }
            Err(problem) => self.fail("secret", problem),
        }
    }

    pub(super) fn answer(&mut self, position: &str, id: &str, key: &Option<Hash32>, bytes: &Option<Blob>) {
        let at = match position.parse::<record::Position>() {
            Ok(at) => at,
            Err(_) => return self.fail("position", Problem::Form("<stream>/<partition>/<index>")),
        };
        let entry = match self.entries.get(&at) {
            Some(Some(proven)) => proven.bytes.clone(),
            // The entry's own failure stands already.
            Some(None) => return,
            None => return self.fail("position", Problem::Missing(format!("entry {at}"))),
        };
        let Some((batch, access)) = entry.and_then(|bytes| find_access(&bytes, id)) else {
            return self.fail("access", Problem::NoAccess);
        };
        let outcome = match (&access.decision, key, bytes) {
            (Decision::Answered { answer, .. }, Some(key), Some(bytes)) => {
                if answer_hash(&key.0, &bytes.0) != *answer {
                    return self.fail("bytes", Problem::Answer);
                }
                Outcome::Answered { bytes: bytes.0.len() }
            }
            (Decision::Answered { .. }, None, None) => Outcome::Undisclosed,
            (Decision::Refused { code }, None, None) => Outcome::Refused(code.clone()),
            (Decision::NotFound, None, None) => Outcome::NotFound,
            (Decision::Ambiguous, None, None) => Outcome::Ambiguous,
            _ => return self.fail("bytes", Problem::Form("'key' and 'bytes' together, and only of an answer")),
        };
        let records = access.records.iter().map(|r| (*r, self.entries_of(*r, &batch.positions))).collect();
        self.answers.push(AnswerShown {
            access: access.id,
            position: at,
            action: access.action,
            caller: access.caller,
            procedure: access.procedure,
            case: access.case,
            at: access.at,
            basis: batch.positions,
            outcome,
            records,
        });
    }

    /// Entries of a record in the bundle that counted when the answer was given.
    fn entries_of(&self, record: Pseudonym, basis: &Positions) -> usize {
        let of_record = |proven: &&Proven| {
            let shown = &proven.shown;
            let is_change =
                |d: &Disclosed| matches!(d.kind, EntryKind::Upsert | EntryKind::Retract) && d.record == record;
            basis.covers(shown.position) && shown.disclosed.as_ref().is_some_and(is_change)
        };
        self.entries.values().flatten().filter(of_record).count()
    }
}

fn find_access(entry: &[u8], id: &str) -> Option<(AccessBatch, Access)> {
    // Whatever cannot be read holds no access.
    let body = Entry::decode(entry).ok().filter(|e| e.header.kind == EntryKind::Access)?.plain_body().ok()?;
    let mut batch = AccessBatch::decode(body).ok()?;
    let at = batch.accesses.iter().position(|a| Pseudonym(a.id).to_hex() == id)?;
    let access = batch.accesses.swap_remove(at);
    Some((batch, access))
}
