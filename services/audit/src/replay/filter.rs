//! Which entries are wanted, where they can stand, and what that says about completeness.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use contract::Contract;
use event_log::Logged;
use projection::state::ControlState;
use record::access::AccessBatch;
use record::control::Control;
use record::entry::BodyError;
use record::envelope::{Refusal, RefusalClosed};
use record::{Entry, EntryKind, Envelope, KeyTree, Partition, Pseudonym, RecordId, RegisterName, Stream, Timestamp};
use wire::audit::ReplayRequest;

use crate::error::Error;
use crate::service::Inner;

/// Most records of one subject that are looked for.
const RECORDS_MAX: usize = 8_192;

/// What is read of one partition: from (inclusive), to (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What an entry must be.
pub(super) struct Filter {
    streams: Vec<Stream>,
    register: Option<RegisterName>,
    records: Option<BTreeSet<Pseudonym>>,
    by_subject: bool,
    record_type: String,
    agency: String,
    commune: String,
    caller: String,
    times: bool,
    indexes: bool,
    control: Arc<ControlState>,
}

/// A matching entry, decoded as far as it can be.
pub(super) enum Found<'a> {
    Change(Entry<'a>, Envelope<'a>),
    Control(Control),
    /// The accesses of the entry that match.
    Access(AccessBatch),
    Refusal(Refusal<'a>),
    Closed(RefusalClosed<'a>),
    /// Why it cannot be read.
    Unread(&'static str),
}

/// An entry with its body, as far as it is looked at.
pub(super) enum Opened<'a> {
    Body(Entry<'a>, Cow<'a, [u8]>),
    /// Its header says that it is not asked for.
    Elsewhere,
    /// Why it cannot be read.
    Unread(&'static str),
}

/// A request as its access entry tells it. A record's id is left out, since it may be a person's: the entry names the pseudonym.
pub(super) fn in_words(request: &ReplayRequest) -> Vec<String> {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(|at| format!("{}.{:09}", at.seconds, at.nanos));
    let text = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
    let id = |value: &str| text(value).map(|value| blake3::hash(value.as_bytes()).to_hex()[..8].to_owned());
    let pairs = [
        ("streams", text(&request.streams.join(","))),
        ("partition", request.partition.map(|n| n.to_string())),
        ("index_from", Some(request.index_from).filter(|n| *n > 0).map(|n| n.to_string())),
        ("index_to", request.index_to.map(|n| n.to_string())),
        ("from", time(&request.from)),
        ("to", time(&request.to)),
        ("register", text(&request.register)),
        ("record", id(&request.record_id)),
        ("subject", text(&request.subject)),
        ("record_type", text(&request.record_type)),
        ("agency", text(&request.agency)),
        ("commune", text(&request.commune)),
        ("caller", text(&request.caller)),
    ];
    pairs.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))).collect()
}

fn time_of(field: &'static str, at: &Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Error> {
    let Some(at) = at else { return Ok(None) };
    let micros = at.seconds.checked_mul(1_000_000).and_then(|us| us.checked_add(i64::from(at.nanos) / 1_000));
    micros.map(|us| Some(Timestamp(us))).ok_or_else(|| Error::field(field, "not a time of this calendar"))
}

impl Filter {
    pub(super) fn new(inner: &Inner, request: &ReplayRequest) -> Result<Self, Error> {
        let register = match request.register.as_str() {
            "" => None,
            name => Some(RegisterName::try_from(name).map_err(|error| Error::field("register", error.to_string()))?),
        };
        let records = match (request.record_id.as_str(), request.subject.as_str()) {
            ("", "") => None,
            (id, "") => {
                let register = register.as_ref().ok_or_else(|| Error::field("record_id", "name its register too"))?;
                let id = RecordId::try_from(id).map_err(|error| Error::field("record_id", error.to_string()))?;
                Some([inner.deps.secret.pseudonym(register, &id)].into())
            }
            ("", subject) => Some(records_of(inner, subject)?),
            _ => return Err(Error::field("subject", "name a record or a subject, not both")),
        };
        Ok(Self {
            streams: streams_of(request)?,
            register,
            records,
            by_subject: !request.subject.is_empty(),
            record_type: request.record_type.clone(),
            agency: request.agency.clone(),
            commune: request.commune.clone(),
            caller: request.caller.clone(),
            times: request.from.is_some() || request.to.is_some(),
            indexes: request.partition.is_some() || request.index_from > 0 || request.index_to.is_some(),
            control: inner.deps.control.load_full(),
        })
    }

    /// The records that are asked for by name.
    pub(super) fn records(&self) -> impl Iterator<Item = Pseudonym> {
        self.records.iter().flatten().copied()
    }

    /// Where matching entries can stand: only there is read.
    pub(super) fn spans(
        &self,
        inner: &Inner,
        request: &ReplayRequest,
    ) -> Result<HashMap<(Stream, Partition), Span>, Error> {
        let log = &inner.deps.log;
        let (ends, first, counts) = (log.ends(), log.first(), log.partitions());
        let (after, before) = (time_of("from", &request.from)?, time_of("to", &request.to)?);
        let one = request.partition.map(|n| u16::try_from(n).unwrap_or(u16::MAX));
        if let (Some(partition), [stream]) = (one, self.streams.as_slice())
            && partition >= counts.of(*stream)
        {
            return Err(Error::field("partition", format!("{} has {}", stream.name(), counts.of(*stream))));
        }
        let homes: Option<BTreeSet<_>> =
            self.records.as_ref().map(|records| records.iter().map(|r| r.partition(counts.change)).collect());
        let mut spans = HashMap::new();
        for &stream in &self.streams {
            for partition in (0..counts.of(stream)).map(Partition) {
                let elsewhere = stream == Stream::Change && homes.as_ref().is_some_and(|h| !h.contains(&partition));
                if elsewhere || one.is_some_and(|one| one != partition.0) {
                    continue;
                }
                let mut span = Span { from: first.get(stream, partition).0, to: ends.get(stream, partition).0 };
                if let Some(at) = after {
                    span.from = span.from.max(log.find_time(stream, partition, at)?.0);
                }
                if let Some(at) = before {
                    span.to = span.to.min(log.find_time(stream, partition, at)?.0);
                }
                span.from = span.from.max(request.index_from);
                span.to = span.to.min(request.index_to.unwrap_or(u64::MAX));
                spans.insert((stream, partition), span);
            }
        }
        Ok(spans)
    }

    /// Whether nothing but place and time is asked for.
    fn takes_all(&self) -> bool {
        let texts = [&self.record_type, &self.agency, &self.commune, &self.caller];
        self.register.is_none() && self.records.is_none() && texts.iter().all(|text| text.is_empty())
    }

    /// The entry with its body opened; what stands elsewhere is not opened.
    pub(super) fn open<'a>(&self, logged: &'a Logged, keys: &KeyTree) -> Opened<'a> {
        let Ok(entry) = Entry::decode(&logged.bytes) else { return Opened::Unread("it is no entry of a known format") };
        if self.is_elsewhere(&entry) {
            return Opened::Elsewhere;
        }
        match entry.body(keys) {
            Ok(body) => Opened::Body(entry, body),
            Err(BodyError::Erased) => Opened::Unread("its record is erased"),
            Err(BodyError::Encrypted | BodyError::OtherKey) => {
                Opened::Unread("its body is encrypted under another key")
            }
            Err(BodyError::Changed | BodyError::Plain | BodyError::Short) => Opened::Unread("its body is torn"),
        }
    }

    /// Whether the header alone tells that the entry is not asked for.
    fn is_elsewhere(&self, entry: &Entry<'_>) -> bool {
        let header = &entry.header;
        let of_register = matches!(header.kind.stream(), Stream::Change | Stream::Rejected);
        let other_register = self.register.as_ref().is_some_and(|register| header.register.as_ref() != Some(register));
        let other_record = self.records.as_ref().is_some_and(|records| !records.contains(&header.record));
        of_register && (other_register || other_record)
    }

    /// The entry, decoded, when it matches.
    pub(super) fn matches<'a>(&self, opened: &'a Opened<'a>) -> Option<Found<'a>> {
        let (entry, body) = match opened {
            Opened::Body(entry, body) => (entry, body.as_ref()),
            Opened::Elsewhere => return None,
            Opened::Unread(why) => return self.unread(why),
        };
        let header = &entry.header;
        let change = matches!(header.kind, EntryKind::Upsert | EntryKind::Retract);
        let found = match header.kind {
            EntryKind::Upsert | EntryKind::Retract => Envelope::decode(body).map(|e| Found::Change(entry.clone(), e)),
            EntryKind::Control => Control::decode(body).map(Found::Control),
            EntryKind::Access => AccessBatch::decode(body).map(Found::Access),
            EntryKind::Rejected => Refusal::decode(body).map(Found::Refusal),
            EntryKind::RejectedClosed => RefusalClosed::decode(body).map(Found::Closed),
        };
        debug_assert_eq!(change, header.kind.stream() == Stream::Change);
        match found {
            Ok(found) => self.holds(found),
            Err(_) => self.unread("its body has a format that this program does not know"),
        }
    }

    /// What cannot be read is shown where everything is asked for, and matches nothing else.
    fn unread<'a>(&self, why: &'static str) -> Option<Found<'a>> {
        self.takes_all().then_some(Found::Unread(why))
    }

    fn holds<'a>(&self, found: Found<'a>) -> Option<Found<'a>> {
        let of_changes = [&self.record_type, &self.agency, &self.commune].iter().any(|text| !text.is_empty());
        let caller = |name: &str| self.caller.is_empty() || self.caller == name;
        match found {
            Found::Change(entry, envelope) => {
                let same = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
                let plain =
                    same(&self.record_type, envelope.record_type) && same(&self.agency, envelope.agency.as_str());
                let holds = plain && caller(envelope.principal) && self.in_commune(&entry, &envelope);
                holds.then_some(Found::Change(entry, envelope))
            }
            Found::Control(control) => {
                let of: &[Pseudonym] = match control.subject() {
                    record::control::Order::Erasure { records } => records,
                    _ => &[],
                };
                let named = self.records.as_ref().is_none_or(|records| of.iter().any(|r| records.contains(r)));
                let holds = !of_changes && self.of_no_register_or(&control) && named && caller(&control.actor);
                holds.then_some(Found::Control(control))
            }
            Found::Access(mut batch) => {
                if of_changes || (self.register.is_some() && self.records.is_none()) {
                    return None;
                }
                batch.accesses.retain(|access| {
                    let read = |records: &BTreeSet<Pseudonym>| access.records.iter().any(|r| records.contains(r));
                    caller(&access.caller) && self.records.as_ref().is_none_or(read)
                });
                (!batch.accesses.is_empty()).then_some(Found::Access(batch))
            }
            Found::Refusal(refusal) => (!of_changes && caller(refusal.principal)).then_some(Found::Refusal(refusal)),
            Found::Closed(closed) => (!of_changes && caller(closed.principal)).then_some(Found::Closed(closed)),
            Found::Unread(why) => Some(Found::Unread(why)),
        }
    }

    /// Whether an order is of the register that is asked for.
    fn of_no_register_or(&self, control: &Control) -> bool {
        use record::control::Order;
        let Some(wanted) = &self.register else { return true };
        if self.records.is_some() {
            return true;
        }
        match &control.order {
            Order::Contract { register, .. }
            | Order::Expected { register, .. }
            | Order::RegisterEpoch { register, .. } => register == wanted,
            _ => false,
        }
    }

    fn in_commune(&self, entry: &Entry<'_>, envelope: &Envelope<'_>) -> bool {
        if self.commune.is_empty() {
            return true;
        }
        let Some(contract) = self.contract(entry) else { return false };
        // A record that its contract cannot read names no commune.
        let Ok(facts) = contract.facts(envelope.record_type, envelope.payload) else { return false };
        facts.unit.is_some_and(|unit| unit.code == self.commune)
    }

    /// The contract that a change was checked against.
    pub(super) fn contract(&self, entry: &Entry<'_>) -> Option<&Arc<Contract>> {
        self.control.by_id(entry.header.contract)
    }

    /// What this filter proves about completeness, and what it cannot.
    pub(super) fn completeness(&self) -> (Vec<String>, Vec<String>) {
        let (mut complete, mut not) = (Vec::new(), Vec::new());
        let mut yes = |text: &str| complete.push(text.to_owned());
        let mut no = |text: &str| not.push(text.to_owned());
        yes("the hub read every entry of the ranges that are named, without a gap: indexes are consecutive");
        if self.takes_all() {
            yes("every entry of these ranges is shown, so a missing index is seen by whoever reads the output");
        }
        if self.records.is_some() && !self.by_subject {
            yes("all changes of a record stand in one partition, which was read whole within the range");
        }
        no(
            "that the hub showed every match: compare the entries' hashes with the ledger ('hub audit verify', 'hub audit prove'), or replay a copy of the log",
        );
        if self.by_subject {
            no(
                "that these were the subject's records at another time: a subject is what links make of records today, and records that were linked before are not looked for",
            );
        }
        if !self.commune.is_empty() {
            no(
                "records whose contract names no commune, or that their contract cannot read, are never matched by a commune",
            );
        }
        if !self.takes_all() {
            no(
                "changes of records that were erased: nobody can read what they said, and they are shown only where everything is asked for",
            );
        }
        if !self.caller.is_empty() {
            no("what somebody did under another name: callers are the SPIFFE ids of certificates");
        }
        if self.times {
            no(
                "that clocks were right: times are the hub's own, of appending; a checkpoint's cosignature has the witness's",
            );
        }
        if self.indexes || self.times {
            no("anything outside of the range");
        }
        if self.streams.contains(&Stream::Access) {
            no("accesses that retention has let go of: the range of 'access' begins where the log begins");
        }
        (complete, not)
    }
}

fn streams_of(request: &ReplayRequest) -> Result<Vec<Stream>, Error> {
    let named = |name: &String| {
        let found = Stream::ALL.into_iter().find(|stream| stream.name() == name);
        found.ok_or_else(|| Error::field("streams", "the streams are change, control, access and rejected"))
    };
    let mut streams: Vec<_> = request.streams.iter().map(named).collect::<Result<_, _>>()?;
    streams.sort_unstable();
    streams.dedup();
    if streams.is_empty() {
        streams = Stream::ALL.to_vec();
    }
    let ranged = request.partition.is_some();
    if ranged && streams.len() != 1 {
        return Err(Error::field("partition", "name the one stream that it is of"));
    }
    if !ranged && (request.index_from > 0 || request.index_to.is_some()) {
        return Err(Error::field("index_from", "indexes are of one partition: name stream and partition too"));
    }
    Ok(streams)
}

fn records_of(inner: &Inner, subject: &str) -> Result<BTreeSet<Pseudonym>, Error> {
    let id = Pseudonym::from_hex(subject)
        .ok_or_else(|| Error::field("subject", "a subject id has 32 hexadecimal digits"))?;
    let records = (inner.deps.subjects)(record::MentionId(id.0), RECORDS_MAX).map_err(|error| {
        tracing::error!(%error, "a subject's records cannot be read");
        Error::Internal
    })?;
    match records.len() {
        0 => Err(Error::NotFound("no live record has a subject with that id".into())),
        RECORDS_MAX.. => Err(Error::TooMuch(RECORDS_MAX)),
        _ => Ok(records),
    }
}
