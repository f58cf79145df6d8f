//! One batch from received changes to what is to be appended: pure work on the processor and reads of the heads. Runs on a blocking thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use access::{Access, Refusal as Denied};
use bytes::Bytes;
use contract::Contract;
use event_log::{APPEND_BYTES_MAX, Append};
use projection::head::Head;
use projection::state::ControlState;
use prost::Message as _;
use record::entry::SALT_BYTES;
use record::envelope::{Refusal, RefusalClosed, RefusalReason, TraceContext};
use record::{
    BodyCodec, ContractId, Entry, EntryHash, EntryHeader, EntryKind, KeyTree, Operation, Partition, Position,
    Pseudonym, RecordId, RegisterEpoch, RegisterName, StatementHash, Stream, Timestamp,
};
use telemetry::told;
use view_store::Table;
use wire::ingest::{Change, Violation};

use crate::change::{Delivery, Framed, frame, of_contract, violation};
use crate::error::Error;
use crate::shared::Core;
use crate::source::draw;
use crate::unfolded::{Claim, Claims, Flight, Identity, Place};

/// Changes of one register and one delivery.
pub(crate) struct Batch {
    pub(crate) register: RegisterName,
    pub(crate) epoch: RegisterEpoch,
    /// Who states them.
    pub(crate) principal: Arc<str>,
    pub(crate) published_at: Timestamp,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) source: Source,
    pub(crate) changes: Vec<Change>,
}

/// Where the changes come from.
pub(crate) enum Source {
    /// A publisher: the policy is asked for each record type, and what is refused is kept.
    Published,
    /// The refused changes at these positions, one per change; the caller was authorised. What is taken closes its refusal, what is refused
    /// again stays as it was kept.
    Redriven(Vec<Position>),
}

/// What became of one change, as far as it is known before the append.
pub(crate) enum Slot {
    /// The next of the appended changes.
    Accepted { findings: Vec<Violation> },
    /// Refused; the next of the kept refusals when `kept`.
    Rejected { violations: Vec<Violation>, kept: bool },
    /// The same statement is known.
    Duplicate { of: Known },
    /// Another statement is known.
    Conflict { with: Known },
    /// Nothing is kept.
    Unauthorised { denied: Denied },
}

/// Where a known statement is.
pub(crate) enum Known {
    At(Position),
    /// In this flight, which may be the batch's own.
    Flight(Flight, Identity),
}

/// A judged batch. Its appends are first the changes, then the refusals, then the closings.
pub(crate) struct Judged {
    pub(crate) slots: Vec<Slot>,
    pub(crate) appends: Vec<Append>,
    /// Of the changes, in order.
    pub(crate) hashes: Vec<EntryHash>,
    /// How many refusals follow the changes.
    pub(crate) refusals: usize,
    /// The refusals that are closed by the entries that follow.
    pub(crate) closed: Vec<Position>,
    pub(crate) claims: Claims,
}

/// A change after its own check.
enum Own<'a> {
    Denied(Denied),
    Refused {
        stated: Option<(Identity, StatementHash)>,
        violations: Vec<Violation>,
    },
    /// The record is erased: nothing of it is kept any more, not even a refusal.
    Erased,
    Good {
        framed: Box<Framed<'a>>,
        identity: Identity,
        statement: StatementHash,
        findings: Vec<Violation>,
    },
}

impl Own<'_> {
    fn stated(&self) -> Option<(Identity, StatementHash)> {
        match self {
            Self::Denied(_) | Self::Erased => None,
            Self::Refused { stated, .. } => *stated,
            Self::Good { identity, statement, .. } => Some((*identity, *statement)),
        }
    }
}

/// Judges a batch and claims its identities.
pub(crate) fn judge(core: &Core, batch: &Batch) -> Result<Judged, Error> {
    let now = (core.clock)();
    let state = core.control.load();
    let contract = state.current(&batch.register).map(|known| known.contract.clone());
    let access = core.access.load();
    let epoch = stamp(&state, batch);
    let (erased, keys) = (Arc::clone(&state.erased), core.secret.keys());
    let judging = Judging { core, batch, contract, epoch, now, erased, keys };
    let own = judging.own(&access);
    let good = own.iter().filter_map(|own| match own {
        Own::Good { identity, statement, .. } => Some((*identity, *statement)),
        Own::Denied(_) | Own::Refused { .. } | Own::Erased => None,
    });
    let (claims, found) = core.unfolded.claim(good);
    judging.settle(own, claims, found)
}

/// The register epoch that the batch's changes are stamped with; `None` for one that takes no changes.
fn stamp(state: &ControlState, batch: &Batch) -> Option<RegisterEpoch> {
    let (serving, open) = (state.register_epoch(&batch.register), state.open_epoch(&batch.register));
    let present = batch.epoch == RegisterEpoch::default() || batch.epoch == serving;
    // What was refused under an epoch that served then is an ordinary change today.
    let driven_again = !matches!(batch.source, Source::Published);
    if open.is_some_and(|open| open.epoch == batch.epoch) {
        Some(batch.epoch)
    } else if present || (driven_again && state.served(&batch.register, batch.epoch)) {
        Some(serving)
    } else {
        None
    }
}

struct Judging<'a> {
    core: &'a Core,
    batch: &'a Batch,
    contract: Option<Arc<Contract>>,
    /// What the changes are stamped with.
    epoch: Option<RegisterEpoch>,
    now: Timestamp,
    erased: Arc<BTreeSet<Pseudonym>>,
    keys: Arc<KeyTree>,
}

impl<'a> Judging<'a> {
    fn own(&self, access: &Access) -> Vec<Own<'a>> {
        let batch = self.batch;
        let delivery = Delivery {
            principal: &batch.principal,
            published_at: batch.published_at,
            trace: batch.trace,
            payload_bytes_max: self.core.limits.payload_bytes_max,
        };
        // Most batches hold one record type: the policy is asked once for a run of them.
        let mut last: Option<(&str, Result<(), Denied>)> = None;
        let mut out = Vec::with_capacity(batch.changes.len());
        for change in &batch.changes {
            if matches!(batch.source, Source::Published) {
                let record_type = change.record_type.as_str();
                if last.as_ref().is_none_or(|(asked, _)| *asked != record_type) {
                    let verdict = access.may_write(&batch.principal, batch.register.as_str(), record_type);
                    last = Some((record_type, verdict));
                }
                if let Some((_, Err(denied))) = &last {
                    out.push(Own::Denied(denied.clone()));
                    continue;
                }
            }
            out.push(self.own_one(change, &delivery));
        }
        out
    }

    fn own_one(&self, change: &'a Change, delivery: &Delivery<'a>) -> Own<'a> {
        let Some(contract) = &self.contract else {
            let message = format!("register {} has no contract: register one first", self.batch.register);
            let violations = vec![violation("", "hub.unknown_register", "broken_reference", message)];
            return Own::Refused { stated: None, violations };
        };
        let Some(epoch) = self.epoch else {
            let message = "no such restatement of the register is open: send register epoch 0, or open one";
            let violations = vec![violation("", "hub.register_epoch", "stale", message)];
            return Own::Refused { stated: None, violations };
        };
        let framed = match frame(change, delivery, contract.agency()) {
            Ok(framed) => framed,
            Err(violations) => return Own::Refused { stated: None, violations },
        };
        let record = self.core.secret.pseudonym(&self.batch.register, &framed.envelope.record_id);
        if self.is_erased(record) {
            return Own::Erased;
        }
        let identity = (record, epoch, framed.version.get());
        let statement = framed.envelope.statement_hash();
        let refused = |violations| Own::Refused { stated: Some((identity, statement)), violations };
        let record_type = match contract.record_type(&change.record_type) {
            Ok(record_type) => record_type,
            Err(error) => {
                // Without the name that was sent: a publisher that mixes up its columns may have sent anything.
                let message =
                    format!("the register's record types are {}: send one, or register a newer contract", error.known);
                return refused(vec![violation("", "hub.unknown_record_type", "broken_reference", message)]);
            }
        };
        let findings = match framed.envelope.operation {
            Operation::Retract => Vec::new(),
            Operation::Upsert => {
                let judgement = record_type.judge(&change.payload, self.now.0);
                if !judgement.accepts() {
                    return refused(judgement.hard.into_iter().map(of_contract).collect());
                }
                judgement.soft.into_iter().map(of_contract).collect()
            }
        };
        Own::Good { framed: Box::new(framed), identity, statement, findings }
    }

    /// Whether the record was erased, or its key will have been a moment from now.
    fn is_erased(&self, record: Pseudonym) -> bool {
        self.erased.contains(&record) || self.keys.is_destroyed(record)
    }

    /// Joins each change with what is known of its identity, and encodes what is to be appended.
    fn settle(&self, own: Vec<Own<'a>>, mut claims: Claims, found: Vec<Claim>) -> Result<Judged, Error> {
        let mut known = self.known(&own, found, &claims)?;
        let stated: hashbrown::HashSet<Identity> =
            known.iter().filter(|(_, k)| k.by_head).filter_map(|(i, _)| own[*i].stated()).map(|s| s.0).collect();
        claims.give_back(|identity| stated.contains(identity));
        let mut sealing = Sealing::new(self, own.len())?;
        let mut slots = Vec::with_capacity(own.len());
        for (at, own) in own.into_iter().enumerate() {
            slots.push(self.slot(at, own, known.remove(&at), &mut sealing)?);
        }
        debug_assert_eq!(sealing.changes.len(), claims.identities().len(), "each claimed identity is appended");
        sealing.finish(slots, claims)
    }

    fn slot(
        &self,
        at: usize,
        own: Own<'_>,
        known: Option<Prior>,
        sealing: &mut Sealing<'_, 'a>,
    ) -> Result<Slot, Error> {
        let change = &self.batch.changes[at];
        let refused = match own {
            Own::Denied(denied) => return Ok(Slot::Unauthorised { denied }),
            Own::Erased => {
                sealing.close(at)?;
                let message = "the record was erased for good: nothing is kept of it, and its id cannot be used again";
                let violations = vec![violation("record_id", "hub.record_erased", "contradiction", message)];
                return Ok(Slot::Rejected { violations, kept: false });
            }
            Own::Good { framed, identity, findings, .. } => match known {
                None => {
                    sealing.change(&framed, identity)?;
                    sealing.close(at)?;
                    return Ok(Slot::Accepted { findings });
                }
                Some(prior) => {
                    sealing.close(at)?;
                    return Ok(prior.slot());
                }
            },
            Own::Refused { violations, stated } => match known {
                // A retry of what a former contract let in is no refusal.
                Some(prior) if prior.equal => {
                    sealing.close(at)?;
                    return Ok(prior.slot());
                }
                Some(_) | None => (violations, stated),
            },
        };
        let (violations, stated) = refused;
        let kept = matches!(self.batch.source, Source::Published)
            && sealing.refusal(change, stated.map(|(identity, _)| identity.0), &violations)?;
        Ok(Slot::Rejected { violations, kept })
    }

    /// What is known of the changes' identities, by place in the batch; changes of which nothing is known are left out.
    fn known(&self, own: &[Own<'_>], found: Vec<Claim>, claims: &Claims) -> Result<BTreeMap<usize, Prior>, Error> {
        let mut out = BTreeMap::new();
        let mut ask = Vec::new();
        let mut found = found.into_iter();
        for (at, own) in own.iter().enumerate() {
            let Some((identity, statement)) = own.stated() else { continue };
            let claim = match own {
                Own::Good { .. } => found.next().expect("one answer per claimed identity"),
                Own::Denied(_) | Own::Erased | Own::Refused { .. } => match self.core.unfolded.find(&identity) {
                    Some((known, place)) => Claim::Known { equal: known == statement, place },
                    None => Claim::New,
                },
            };
            match claim {
                Claim::New => ask.push((identity, statement, at)),
                Claim::Known { equal, place: Place::Log(position) } => {
                    out.insert(at, Prior { equal, known: Known::At(position), by_head: false });
                }
                // The heads may know it by now: then nobody has to wait.
                Claim::Known { equal, place: Place::Flight(flight) } => {
                    debug_assert!(!claims.is_own(&flight) || matches!(own, Own::Good { .. } | Own::Refused { .. }));
                    out.insert(at, Prior { equal, known: Known::Flight(flight, identity), by_head: false });
                    ask.push((identity, statement, at));
                }
            }
        }
        self.ask_heads(ask, &mut out)?;
        Ok(out)
    }

    fn ask_heads(
        &self,
        mut ask: Vec<(Identity, StatementHash, usize)>,
        out: &mut BTreeMap<usize, Prior>,
    ) -> Result<(), Error> {
        let Some(heads) = self.core.heads.as_ref().filter(|_| !ask.is_empty()) else { return Ok(()) };
        ask.sort_unstable_by_key(|(identity, _, at)| (*identity, *at));
        let views = |error: view_store::Error| {
            tracing::error!(error = %told(&error), "the heads cannot be read");
            Error::Views
        };
        let view = heads.view().map_err(views)?;
        let keys: Vec<[u8; 16]> = ask.chunk_by(|a, b| a.0.0 == b.0.0).map(|same| same[0].0.0.0).collect();
        let rows = view.multi_get(Table::Head, &keys).map_err(views)?;
        for (same, row) in ask.chunk_by(|a, b| a.0.0 == b.0.0).zip(rows) {
            let Some(row) = row else { continue };
            let head = Head::decode(&row).map_err(|error| {
                tracing::error!(error = %told(&error), "a head cannot be decoded");
                Error::Views
            })?;
            for ((record, epoch, version), statement, at) in same {
                let Some(stored) = head.version(*epoch, *version) else { continue };
                let partition = record.partition(self.core.partitions.change);
                let position = Position { stream: Stream::Change, partition, index: stored.index };
                let equal = stored.row.statement == statement.0;
                out.insert(*at, Prior { equal, known: Known::At(position), by_head: true });
            }
        }
        Ok(())
    }
}

/// What is known of a change's identity.
struct Prior {
    equal: bool,
    known: Known,
    by_head: bool,
}

impl Prior {
    fn slot(self) -> Slot {
        if self.equal { Slot::Duplicate { of: self.known } } else { Slot::Conflict { with: self.known } }
    }
}

/// Encodes entries.
struct Sealing<'j, 'a> {
    judging: &'j Judging<'a>,
    salts: std::vec::IntoIter<[u8; SALT_BYTES]>,
    contract: ContractId,
    changes: Vec<Append>,
    hashes: Vec<EntryHash>,
    refusals: Vec<Kept>,
    closings: Vec<Append>,
    closed: Vec<Position>,
}

/// A refusal with what it takes to encode it again, shorter.
struct Kept {
    append: Append,
    first_only: Append,
}

impl<'j, 'a> Sealing<'j, 'a> {
    fn new(judging: &'j Judging<'a>, changes: usize) -> Result<Self, Error> {
        // A change is one entry and, when it was driven again, one more; a refusal is sealed twice and may need a pseudonym.
        let salts = draw(&judging.core.salts, 3 * changes).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            Error::Internal
        })?;
        Ok(Self {
            judging,
            salts: salts.into_iter(),
            contract: judging.contract.as_ref().map_or_else(ContractId::default, |contract| contract.id()),
            changes: Vec::with_capacity(changes),
            hashes: Vec::with_capacity(changes),
            refusals: Vec::new(),
            closings: Vec::new(),
            closed: Vec::new(),
        })
    }

    fn header(&self, kind: EntryKind, record: Pseudonym, version: u64, effective_at: Timestamp) -> EntryHeader {
        EntryHeader {
            register: Some(self.judging.batch.register.clone()),
            epoch: self.judging.epoch.unwrap_or(self.judging.batch.epoch),
            record,
            version,
            effective_at,
            contract: self.contract,
            ..EntryHeader::of_hub(kind, self.judging.now)
        }
    }

    fn salt(&mut self) -> [u8; SALT_BYTES] {
        self.salts.next().expect("three salts per change")
    }

    /// How bodies that tell of a record are stored.
    fn codec(&self) -> BodyCodec {
        if self.judging.keys.is_absent() { BodyCodec::SaltedPlain } else { BodyCodec::Aes256Gcm }
    }

    fn seal(&mut self, header: &EntryHeader, body: &[u8], partition: Partition) -> Result<Append, Error> {
        let salt = self.salt();
        let sealed = match header.codec {
            BodyCodec::SaltedPlain => Entry::encode_salted(header, &salt, body),
            BodyCodec::Aes256Gcm => {
                // Whoever asks for this codec has seen that there is a key, in the same keys.
                let key = self.judging.keys.key(header.record).map_err(|error| {
                    tracing::error!(%error, "a body cannot be encrypted");
                    Error::Internal
                })?;
                Entry::encode_encrypted(header, &key, &salt, body)
            }
        };
        let bytes = sealed.map_err(|error| {
            tracing::error!(%error, "an entry within the limits is larger than the log takes");
            Error::Internal
        })?;
        Ok(Append { stream: header.kind.stream(), partition, bytes: Bytes::from(bytes) })
    }

    fn change(&mut self, framed: &Framed<'_>, identity: Identity) -> Result<(), Error> {
        let kind = match framed.envelope.operation {
            Operation::Upsert => EntryKind::Upsert,
            Operation::Retract => EntryKind::Retract,
        };
        let header = self.header(kind, identity.0, identity.2, framed.envelope.effective_at);
        let header = EntryHeader { codec: self.codec(), ..header };
        let partition = identity.0.partition(self.judging.core.partitions.change);
        let append = self.seal(&header, &framed.envelope.encode(), partition)?;
        self.hashes.push(EntryHash::of(&append.bytes));
        self.changes.push(append);
        Ok(())
    }

    /// Keeps a refusal; false when its record is erased. One that names no record gets a pseudonym of its own, so that its body
    /// has a key of its own.
    fn refusal(&mut self, change: &Change, record: Option<Pseudonym>, violations: &[Violation]) -> Result<bool, Error> {
        let judging = self.judging;
        let by_id = || {
            let id = RecordId::try_from(change.record_id.as_str()).ok()?;
            Some(judging.core.secret.pseudonym(&judging.batch.register, &id))
        };
        let record = record.or_else(by_id);
        if record.is_some_and(|record| judging.is_erased(record)) {
            return Ok(false);
        }
        let codec = self.codec();
        let record = match (record, codec) {
            (Some(record), _) => record,
            (None, BodyCodec::SaltedPlain) => Pseudonym::default(),
            (None, BodyCodec::Aes256Gcm) => Pseudonym(self.salt()),
        };
        let header = self.header(EntryKind::Rejected, record, change.version, judging.now);
        let header = EntryHeader { codec, ..header };
        let partition = record.partition(judging.core.partitions.rejected);
        // A record beyond any bound is named and not kept: the log's own bound would refuse the whole batch.
        let oversized = change.payload.len() > judging.core.limits.payload_bytes_max;
        let received = if oversized {
            Change { payload: Bytes::new(), ..change.clone() }.encode_to_vec()
        } else {
            change.encode_to_vec()
        };
        let body = |reasons: &[Violation]| {
            let reasons = reasons.iter().map(|v| RefusalReason {
                field_path: &v.field_path,
                rule_id: &v.rule_id,
                group: &v.group,
                message: &v.message,
            });
            let (principal, published_at) = (&*judging.batch.principal, judging.batch.published_at);
            Refusal { received: &received, principal, published_at, reasons: reasons.collect() }.encode()
        };
        let append = self.seal(&header, &body(violations), partition)?;
        let first_only = match violations {
            [_, _, ..] => self.seal(&header, &body(&violations[..1]), partition)?,
            [] | [_] => append.clone(),
        };
        self.refusals.push(Kept { append, first_only });
        Ok(true)
    }

    /// Closes the refusal that the change at `at` came from, when it was driven again.
    fn close(&mut self, at: usize) -> Result<(), Error> {
        let batch = self.judging.batch;
        let Source::Redriven(positions) = &batch.source else { return Ok(()) };
        let refusal = positions[at];
        let closed = RefusalClosed { partition: refusal.partition, index: refusal.index, principal: &batch.principal };
        let header = self.header(EntryKind::RejectedClosed, Pseudonym::default(), 0, self.judging.now);
        let append = self.seal(&header, &closed.encode(), refusal.partition)?;
        self.closings.push(append);
        self.closed.push(refusal);
        Ok(())
    }

    fn finish(self, slots: Vec<Slot>, claims: Claims) -> Result<Judged, Error> {
        let bytes = |appends: &[Append]| appends.iter().map(|a| a.bytes.len()).sum::<usize>();
        let refusals: usize = self.refusals.iter().map(|kept| kept.append.bytes.len()).sum();
        let shorter = bytes(&self.changes) + bytes(&self.closings) + refusals > APPEND_BYTES_MAX;
        let count = self.refusals.len();
        let kept = self.refusals.into_iter().map(|kept| if shorter { kept.first_only } else { kept.append });
        let mut appends = self.changes;
        appends.extend(kept);
        appends.extend(self.closings);
        let found = bytes(&appends);
        if found > APPEND_BYTES_MAX {
            return Err(Error::AppendTooLarge { found, max: APPEND_BYTES_MAX });
        }
        Ok(Judged { slots, appends, hashes: self.hashes, refusals: count, closed: self.closed, claims })
    }
}
