//! A record's head: every version that counts, which of them linkage reads, and what it came to.

use record::digest::HeadVersion;
use record::{
    AgencyId, ContractId, DecodeError, Index, Kind, MentionId, Operation, Pseudonym, Reader, RegisterEpoch,
    RegisterName, Row, StatementHash, Timestamp, Writer,
};

const HEAD_VERSION: u8 = 2;

/// Most versions that one record keeps in effect; a later one is parked with the record.
pub const VERSIONS_MAX: usize = 65_535;

/// What the fold stores of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The register.
    pub register: RegisterName,
    /// Every version that counts, ascending by (epoch, version).
    pub versions: Vec<StoredVersion>,
    /// What the version that linkage reads came to.
    pub linked: Linked,
}

/// A version of a record with where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredVersion {
    /// What reaches the digest.
    pub row: HeadVersion,
    /// Index in the record's partition of the change stream.
    pub index: Index,
    /// Where the local log keeps the entry: a hint, not part of any view.
    pub locator: u64,
    /// Later entries with the same statement.
    pub duplicates: u32,
    /// When its publisher sent it.
    pub published_at: Timestamp,
}

/// What linkage made of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Linked {
    /// No upsert is in force at any time: the record leaves the links.
    #[default]
    Out,
    /// The version's contract, its kinds or its register epoch are not there yet.
    Waiting {
        /// The contract that is waited for.
        contract: ContractId,
    },
    /// The fold could not read the version by its contract; the record's sequence goes on.
    Unreadable {
        /// Epoch and version.
        version: (RegisterEpoch, u64),
    },
    /// In the links.
    In(Box<Facts>),
}

/// What the linked version states, as far as later steps need it without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Epoch and version.
    pub version: (RegisterEpoch, u64),
    /// The record type.
    pub record_type: String,
    /// The agency that acted.
    pub agency: AgencyId,
    /// Commune as printed: code and list version; empty when the record names none.
    pub unit: (String, String),
    /// The contract's promise: a change is published within this many seconds of its taking effect.
    pub promise_seconds: u64,
    /// From when the promise holds: what took effect before is stock, neither in time nor late.
    pub promise_from: Timestamp,
    /// Mandatory fields of the contract.
    pub required: u16,
    /// Those that are filled.
    pub filled: u16,
    /// The mentions, in the contract's order.
    pub mentions: Vec<HeadMention>,
    /// Pairs of them, by place, that are certainly different subjects.
    pub distinct: Vec<(u16, u16)>,
    /// Relations between them: number of the type, from, to.
    pub relations: Vec<(u8, u16, u16)>,
    /// Soft rules that it breaks.
    pub findings: Vec<HeadFinding>,
}

/// A mention of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadMention {
    /// The mention's permanent id.
    pub id: MentionId,
    /// The kind.
    pub kind: Kind,
    /// Number of the role in the record type.
    pub role: u8,
    /// Whether a subject should have but one live record of this type in this role.
    pub once: bool,
}

/// A rule that a record breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeadFinding {
    /// The rule.
    pub rule: String,
    /// The field's path.
    pub field: String,
    /// One of the eight groups, by name.
    pub group: String,
}

/// What a change did to its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The first entry of its identity: it counts.
    New,
    /// An equal entry counted before.
    Duplicate,
    /// Another statement counted before: this one is without effect, and a finding.
    Conflict,
    /// The record has [`VERSIONS_MAX`] versions.
    Full,
}

/// The change as the head sees it.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The register epoch it was stamped for.
    pub epoch: RegisterEpoch,
    /// The version.
    pub version: u64,
    /// The earlier version that it corrects; 0 for none.
    pub replaces: u64,
    /// Upsert or retract.
    pub operation: Operation,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// The contract.
    pub contract: ContractId,
    /// The statement's hash.
    pub statement: StatementHash,
    /// Index in its partition.
    pub index: Index,
    /// Where the local log keeps the entry.
    pub locator: u64,
    /// When its publisher sent it.
    pub published_at: Timestamp,
}

impl Head {
    /// The head of a record of which nothing is known.
    pub fn new(register: RegisterName) -> Self {
        Self { register, versions: Vec::new(), linked: Linked::Out }
    }

    /// Counts one entry of the record, in the order of its partition.
    pub fn apply(&mut self, change: &Change) -> Applied {
        let key = (change.epoch, change.version);
        match self.versions.binary_search_by_key(&key, |v| (v.row.epoch, v.row.version)) {
            Ok(at) => {
                let found = &mut self.versions[at];
                if found.row.statement == change.statement.0 {
                    found.duplicates = found.duplicates.saturating_add(1);
                    Applied::Duplicate
                } else {
                    found.row.conflicts = found.row.conflicts.saturating_add(1);
                    Applied::Conflict
                }
            }
            Err(_) if self.versions.len() >= VERSIONS_MAX => Applied::Full,
            Err(at) => {
                self.versions.insert(at, change.stored());
                Applied::New
            }
        }
    }

    /// The version in force at valid time `t` among those that `counts` admits and that are not replaced: the greatest
    /// `(effective_at, version)` with `effective_at ≤ t`. Where a restatement and an ordinary change state one version, the
    /// restatement's.
    pub fn in_force(&self, t: Timestamp, counts: impl Fn(&StoredVersion) -> bool) -> Option<&StoredVersion> {
        let live = |v: &&StoredVersion| counts(v);
        let replaced = |v: &StoredVersion| self.versions.iter().filter(live).any(|w| w.row.replaces == v.row.version);
        self.versions
            .iter()
            .filter(live)
            .filter(|v| v.row.effective_at <= t && !replaced(v))
            .max_by_key(|v| v.row.precedence())
    }

    /// Whether the version is in force at some valid time.
    pub fn ever_in_force(&self, of: &StoredVersion) -> bool {
        let replaced = |v: &StoredVersion| self.versions.iter().any(|w| w.row.replaces == v.row.version);
        let outdone = |w: &StoredVersion| {
            w.row.effective_at == of.row.effective_at && w.row.precedence() > of.row.precedence() && !replaced(w)
        };
        !replaced(of) && !self.versions.iter().any(outdone)
    }

    /// The version that linkage reads: the highest upsert that is in force at some valid time. Needs no clock.
    pub fn linkage_version(&self) -> Option<&StoredVersion> {
        // Nearly every record has one version, or a plain sequence: try from the greatest down.
        let mut upserts: Vec<&StoredVersion> =
            self.versions.iter().filter(|v| v.row.operation == Operation::Upsert as u8).collect();
        upserts.sort_unstable_by_key(|v| std::cmp::Reverse(v.row.precedence()));
        upserts.into_iter().find(|v| self.ever_in_force(v))
    }

    /// The version with that number in that epoch.
    pub fn version(&self, epoch: RegisterEpoch, version: u64) -> Option<&StoredVersion> {
        let at = self.versions.binary_search_by_key(&(epoch, version), |v| (v.row.epoch, v.row.version)).ok()?;
        Some(&self.versions[at])
    }

    /// The version with that number, of the newest epoch that states it.
    pub fn newest(&self, version: u64) -> Option<&StoredVersion> {
        self.versions.iter().rfind(|v| v.row.version == version)
    }

    /// What linkage made of it, when it is in the links.
    pub fn facts(&self) -> Option<&Facts> {
        match &self.linked {
            Linked::In(facts) => Some(facts),
            Linked::Out | Linked::Waiting { .. } | Linked::Unreadable { .. } => None,
        }
    }

    /// Every digest row that this head alone gives: the head itself, its relations and its findings.
    pub fn rows(&self, record: Pseudonym, mut each: impl FnMut(Vec<u8>)) {
        let versions: Vec<HeadVersion> = self.versions.iter().map(|v| v.row).collect();
        each(Row::Head { register: &self.register, record, versions: &versions }.encode());
        let finding = |rule: &str, field: &str| Row::Finding { record, rule, field, other: None }.encode();
        if versions.iter().any(|v| v.conflicts > 0) {
            each(finding(RULE_CONFLICT, ""));
        }
        if matches!(self.linked, Linked::Unreadable { .. }) {
            each(finding(RULE_UNREADABLE, ""));
        }
        let Some(facts) = self.facts() else { return };
        for (relation, from, to) in &facts.relations {
            let id = |i: &u16| facts.mentions[usize::from(*i)].id;
            each(Row::Relation { relation: relation_name(*relation), from: id(from), to: id(to) }.encode());
        }
        for f in &facts.findings {
            each(finding(&f.rule, &f.field));
        }
    }

    /// Whether the record breaks any rule, as "clean" counts it: what is missing counts under "sufficient", and what came late
    /// under "alive".
    pub fn violated(&self) -> bool {
        let counts = |f: &HeadFinding| !matches!(f.group.as_str(), "missing" | "stale");
        let conflict = self.versions.iter().any(|v| v.row.conflicts > 0);
        conflict
            || matches!(self.linked, Linked::Unreadable { .. })
            || self.facts().is_some_and(|f| f.findings.iter().any(counts))
    }

    /// The encoding in the store.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.u8(HEAD_VERSION).text(self.register.as_str()).varint(self.versions.len() as u64);
        for v in &self.versions {
            v.encode(&mut w);
        }
        match &self.linked {
            Linked::Out => {
                w.u8(0);
            }
            Linked::Waiting { contract } => {
                w.u8(1).raw(&contract.0);
            }
            Linked::Unreadable { version } => {
                w.u8(2).u32(version.0.0).varint(version.1);
            }
            Linked::In(facts) => {
                w.u8(3);
                facts.encode(&mut w);
            }
        }
        w.finish()
    }

    /// The versions of what [`Head::encode`] wrote, without what linkage made of them. `None` for a record of another register,
    /// which is told without reading further.
    ///
    /// # Errors
    /// [`DecodeError`]: the store is damaged.
    pub fn decode_versions(bytes: &[u8], register: &RegisterName) -> Result<Option<Vec<StoredVersion>>, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("head row", HEAD_VERSION)?;
        if r.text()? != register.as_str() {
            return Ok(None);
        }
        (0..r.count(60)?).map(|_| StoredVersion::decode(&mut r)).collect::<Result<_, _>>().map(Some)
    }

    /// Reads what [`Head::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`]: the store is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("head row", HEAD_VERSION)?;
        let register = r.id()?;
        let versions = (0..r.count(60)?).map(|_| StoredVersion::decode(&mut r)).collect::<Result<_, _>>()?;
        let at = r.at();
        let linked = match r.u8()? {
            0 => Linked::Out,
            1 => Linked::Waiting { contract: ContractId(r.array()?) },
            2 => Linked::Unreadable { version: (RegisterEpoch(r.u32()?), r.varint()?) },
            3 => Linked::In(Box::new(Facts::decode(&mut r)?)),
            _ => return Err(DecodeError::Invalid { at, what: "link state" }),
        };
        r.end("head row")?;
        Ok(Self { register, versions, linked })
    }
}

/// Rule id of the finding that an identity was stated twice, differently.
pub const RULE_CONFLICT: &str = "hub.version_conflict";
/// Rule of a change that the fold cannot apply.
pub const RULE_QUARANTINED: &str = "hub.quarantined";
/// Rule id of the finding that a version cannot be read by its contract.
pub const RULE_UNREADABLE: &str = "hub.unreadable";

/// The relation types by number, as `hub.contract.v1.RelationType` has them.
pub const RELATIONS: [&str; 6] = ["child-of", "spouse-of", "owner-of", "resident-of", "holder-of", "derived-from"];

/// The name of a relation type.
pub fn relation_name(number: u8) -> &'static str {
    usize::from(number).checked_sub(1).and_then(|i| RELATIONS.get(i)).copied().unwrap_or("related-to")
}

impl Change {
    fn stored(&self) -> StoredVersion {
        StoredVersion {
            row: HeadVersion {
                epoch: self.epoch,
                version: self.version,
                replaces: self.replaces,
                operation: self.operation as u8,
                effective_at: self.effective_at,
                contract: self.contract,
                statement: self.statement.0,
                conflicts: 0,
            },
            index: self.index,
            locator: self.locator,
            duplicates: 0,
            published_at: self.published_at,
        }
    }
}

/// The version with the highest number: what a register has published last. Of several epochs', the newest one's.
pub fn last_published(versions: &[StoredVersion]) -> Option<&StoredVersion> {
    versions.iter().max_by_key(|v| (v.row.version, v.row.epoch))
}

impl StoredVersion {
    fn encode(&self, w: &mut Writer) {
        let row = &self.row;
        w.u32(row.epoch.0).varint(row.version).varint(row.replaces).u8(row.operation);
        w.i64(row.effective_at.0).raw(&row.contract.0).raw(&row.statement).varint(u64::from(row.conflicts));
        w.varint(self.index.0).varint(self.locator).varint(u64::from(self.duplicates));
        w.i64(self.published_at.0);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let row = HeadVersion {
            epoch: RegisterEpoch(r.u32()?),
            version: r.varint()?,
            replaces: r.varint()?,
            operation: r.u8()?,
            effective_at: Timestamp(r.i64()?),
            contract: ContractId(r.array()?),
            statement: r.array()?,
            conflicts: small(r, "conflicts")?,
        };
        Ok(Self {
            row,
            index: Index(r.varint()?),
            locator: r.varint()?,
            duplicates: small(r, "duplicates")?,
            published_at: Timestamp(r.i64()?),
        })
    }
}

fn small(r: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    let at = r.at();
    u32::try_from(r.varint()?).map_err(|_| DecodeError::Invalid { at, what })
}

impl Facts {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.version.0.0).varint(self.version.1).text(&self.record_type).text(self.agency.as_str());
        w.text(&self.unit.0).text(&self.unit.1).varint(self.promise_seconds).i64(self.promise_from.0);
        w.u16(self.required).u16(self.filled);
        w.varint(self.mentions.len() as u64);
        for m in &self.mentions {
            w.raw(&m.id.0).u8(m.kind as u8).u8(m.role).u8(u8::from(m.once));
        }
        w.varint(self.distinct.len() as u64);
        for (a, b) in &self.distinct {
            w.u16(*a).u16(*b);
        }
        w.varint(self.relations.len() as u64);
        for (relation, from, to) in &self.relations {
            w.u8(*relation).u16(*from).u16(*to);
        }
        w.varint(self.findings.len() as u64);
        for f in &self.findings {
            w.text(&f.rule).text(&f.field).text(&f.group);
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = (RegisterEpoch(r.u32()?), r.varint()?);
        let record_type = r.text()?.to_owned();
        let agency = r.id()?;
        let unit = (r.text()?.to_owned(), r.text()?.to_owned());
        let (promise_seconds, promise_from) = (r.varint()?, Timestamp(r.i64()?));
        let (required, filled) = (r.u16()?, r.u16()?);
        let mentions: Vec<_> = (0..r.count(19)?).map(|_| HeadMention::decode(r)).collect::<Result<_, _>>()?;
        let pair = |r: &mut Reader<'_>| {
            let at = r.at();
            let pair = (r.u16()?, r.u16()?);
            let fits = usize::from(pair.0.max(pair.1)) < mentions.len();
            if fits { Ok(pair) } else { Err(DecodeError::Invalid { at, what: "pair of mentions" }) }
        };
        let distinct = (0..r.count(4)?).map(|_| pair(r)).collect::<Result<_, _>>()?;
        let mut relations = Vec::new();
        for _ in 0..r.count(5)? {
            let relation = r.u8()?;
            let (from, to) = pair(r)?;
            relations.push((relation, from, to));
        }
        let mut findings = Vec::new();
        for _ in 0..r.count(3)? {
            let (rule, field, group) = (r.text()?.to_owned(), r.text()?.to_owned(), r.text()?.to_owned());
            findings.push(HeadFinding { rule, field, group });
        }
        Ok(Self {
            version,
            record_type,
            agency,
            unit,
            promise_seconds,
            promise_from,
            required,
            filled,
            mentions,
            distinct,
            relations,
            findings,
        })
    }
}

impl HeadMention {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = MentionId(r.array()?);
        let at = r.at();
        let kind = Kind::from_u8(r.u8()?).ok_or(DecodeError::Invalid { at, what: "kind" })?;
        Ok(Self { id, kind, role: r.u8()?, once: r.u8()? != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(version: u64, effective: i64, operation: Operation, replaces: u64, statement: u8) -> Change {
        Change {
            epoch: RegisterEpoch(0),
            version,
            replaces,
            operation,
            effective_at: Timestamp(effective),
            contract: ContractId([1; 16]),
            statement: StatementHash([statement; 32]),
            index: Index(version),
            locator: 0,
            published_at: Timestamp(0),
        }
    }

    fn head(changes: &[Change]) -> Head {
        let mut head = Head::new(RegisterName::try_from("civil").unwrap());
        changes.iter().for_each(|c| {
            head.apply(c);
        });
        head
    }

    fn linked(head: &Head) -> Option<u64> {
        head.linkage_version().map(|v| v.row.version)
    }

    fn in_force(head: &Head, t: i64) -> Option<u64> {
        head.in_force(Timestamp(t), |_| true).map(|v| v.row.version)
    }

    #[test]
    fn first_entry_of_an_identity_counts_and_later_ones_do_not() {
        let mut head = head(&[change(1, 10, Operation::Upsert, 0, 1)]);
        assert_eq!(head.apply(&change(1, 10, Operation::Upsert, 0, 1)), Applied::Duplicate);
        assert_eq!(head.apply(&change(1, 10, Operation::Upsert, 0, 2)), Applied::Conflict);
        assert_eq!(head.versions.len(), 1);
        assert_eq!((head.versions[0].duplicates, head.versions[0].row.conflicts), (1, 1));
        assert!(head.violated());
    }

    #[test]
    fn backdated_change_holds_from_its_own_time_and_yields_to_what_came_later() {
        let head = head(&[change(1, 100, Operation::Upsert, 0, 1), change(2, 50, Operation::Upsert, 0, 2)]);
        assert_eq!((in_force(&head, 49), in_force(&head, 60), in_force(&head, 100)), (None, Some(2), Some(1)));
        assert_eq!(linked(&head), Some(1));
    }

    #[test]
    fn replaced_version_never_holds() {
        let head = head(&[change(1, 100, Operation::Upsert, 0, 1), change(2, 50, Operation::Upsert, 1, 2)]);
        assert_eq!((in_force(&head, 60), in_force(&head, 200)), (Some(2), Some(2)));
        assert!(!head.ever_in_force(head.newest(1).unwrap()));
    }

    #[test]
    fn retraction_from_the_start_takes_the_record_out_of_the_links() {
        let gone = head(&[change(1, 100, Operation::Upsert, 0, 1), change(2, 100, Operation::Retract, 0, 2)]);
        assert_eq!(linked(&gone), None);
        let ended = head(&[change(1, 100, Operation::Upsert, 0, 1), change(2, 200, Operation::Retract, 0, 2)]);
        assert_eq!(linked(&ended), Some(1));
        assert_eq!(in_force(&ended, 250), Some(2));
    }

    #[test]
    fn future_dated_change_does_not_hold_before_its_time() {
        let head = head(&[change(1, 100, Operation::Upsert, 0, 1), change(2, 900, Operation::Upsert, 0, 2)]);
        assert_eq!((in_force(&head, 899), in_force(&head, 900)), (Some(1), Some(2)));
    }

    fn any_change() -> impl Strategy<Value = Change> {
        (1_u64..6, 0_i64..4, any::<bool>(), 0_u64..6)
            .prop_map(|(v, t, up, r)| change(v, t, if up { Operation::Upsert } else { Operation::Retract }, r, v as u8))
    }

    proptest! {
        #[test]
        fn linkage_reads_the_highest_upsert_that_holds_at_some_time(changes in prop::collection::vec(any_change(), 0..8)) {
            let head = head(&changes);
            let ever: Vec<&StoredVersion> =
                (0..4).filter_map(|t| head.in_force(Timestamp(t), |_| true)).collect();
            let expected = ever
                .into_iter()
                .filter(|v| v.row.operation == Operation::Upsert as u8)
                .max_by_key(|v| (v.row.effective_at, v.row.version))
                .map(|v| v.row.version);
            prop_assert_eq!(linked(&head), expected);
        }

        #[test]
        fn encoded_heads_decode(changes in prop::collection::vec(any_change(), 0..8), waiting in any::<bool>()) {
            let mut head = head(&changes);
            if waiting {
                head.linked = Linked::Waiting { contract: ContractId([3; 16]) };
            }
            let (bytes, other) = (head.encode(), RegisterName::try_from("land").unwrap());
            prop_assert_eq!(Head::decode_versions(&bytes, &head.register), Ok(Some(head.versions.clone())));
            prop_assert_eq!(Head::decode_versions(&bytes, &other), Ok(None));
            prop_assert_eq!(Head::decode(&bytes), Ok(head));
        }

        #[test]
        fn decoding_random_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::decode(&bytes);
        }
    }
}
