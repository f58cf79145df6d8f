//! From a record's version to its mentions: permanent ids, feature rows, pairs that are different subjects, search keys.

use contract::{Contract, FactsError, Ident, Kinds, MentionFact, Severity, UnitRef, Violation};
use linkage::{FeatureRow, MentionInput, Model, ParcelFields, PersonFields, search_name};
use record::{AgencyId, Kind, LogSecret, MentionId, Pseudonym, RegisterEpoch, RegisterName, Timestamp};

use crate::head::{Facts, HeadFinding, HeadMention};
use crate::units::{Resolved, Units};

/// What a version is read by. Everything that its reading depends on.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The contract that the version was checked against.
    pub contract: &'a Contract,
    /// The kinds.
    pub kinds: &'a Kinds,
    /// The linkage model.
    pub model: &'a Model,
    /// The unit lists that the model normalises with.
    pub units: &'a Units,
    /// The log's secret.
    pub secret: &'a LogSecret,
}

/// The version to read.
#[derive(Clone, Copy)]
pub struct VersionBody<'a> {
    /// The register.
    pub register: &'a RegisterName,
    /// The record.
    pub record: Pseudonym,
    /// Epoch and version.
    pub version: (RegisterEpoch, u64),
    /// The record type.
    pub record_type: &'a str,
    /// The agency that acted.
    pub agency: &'a AgencyId,
    /// When the hub took it: the clock by which its rules are judged.
    pub recorded_at: Timestamp,
    /// The record.
    pub payload: &'a [u8],
}

/// A version that has been read.
#[derive(Debug, Clone)]
pub struct ReadVersion {
    /// What the head keeps.
    pub facts: Facts,
    /// What linkage gets, in the order of `facts.mentions`.
    pub inputs: Vec<MentionInput>,
    /// Pairs of places in `inputs` that are different subjects.
    pub distinct: Vec<(usize, usize)>,
    /// By what each mention can be looked up.
    pub lookups: Vec<(LookupKey, MentionId)>,
}

/// By what a mention can be looked up, as 9 bytes: what kind of key, and a hash of the key. A hit is checked against the
/// record, so that a collision is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupKey(pub [u8; 9]);

impl LookupKey {
    fn new(kind: u8, parts: &[&[u8]]) -> Self {
        let mut h = blake3::Hasher::new();
        for part in parts {
            h.update(&(part.len() as u32).to_le_bytes());
            h.update(part);
        }
        let mut out = [kind; 9];
        out[1..].copy_from_slice(&h.finalize().as_bytes()[..8]);
        Self(out)
    }

    /// A 12-digit personal id, also a retired one.
    pub fn personal_id(id: &str) -> Self {
        Self::new(1, &[id.as_bytes()])
    }

    /// A 9-digit card number.
    pub fn old_id(id: &str) -> Self {
        Self::new(2, &[id.as_bytes()])
    }

    /// A social insurance number.
    pub fn insurance_no(no: &str) -> Self {
        Self::new(3, &[no.as_bytes()])
    }

    /// A parcel id.
    pub fn parcel_id(id: &str) -> Self {
        Self::new(4, &[id.as_bytes()])
    }

    /// A parcel's number on a sheet of a commune; `unit` is the resolved code with an empty list, or the printed pair.
    pub fn cadastral(unit: (&str, &str), sheet: &str, number: &str) -> Self {
        Self::new(5, &[unit.0.as_bytes(), unit.1.as_bytes(), sheet.as_bytes(), number.as_bytes()])
    }

    /// A name and a year of birth.
    pub fn name_year(name: &str, year: u16) -> Self {
        Self::new(6, &[&search_name(name), &year.to_le_bytes()])
    }

    /// A name and a commune; `unit` as in [`LookupKey::cadastral`].
    pub fn name_unit(name: &str, unit: (&str, &str)) -> Self {
        Self::new(7, &[&search_name(name), unit.0.as_bytes(), unit.1.as_bytes()])
    }

    /// The parcels of a sheet; `unit` as in [`LookupKey::cadastral`].
    pub fn sheet(unit: (&str, &str), sheet: &str) -> Self {
        Self::new(8, &[unit.0.as_bytes(), unit.1.as_bytes(), sheet.as_bytes()])
    }
}

/// The permanent id of a mention.
pub fn mention_id(secret: &LogSecret, record: Pseudonym, mention: &MentionFact<'_>) -> MentionId {
    let mut element = Vec::with_capacity(24);
    mention.element.encode(&mut element);
    secret.mention_id(record, mention.role, &element)
}

/// Reads a version by its contract.
///
/// # Errors
/// [`FactsError`]: the version is no record of that contract. Ingest refuses such a one; the fold notes a finding.
pub fn read(reading: &Reading<'_>, version: &VersionBody<'_>) -> Result<ReadVersion, FactsError> {
    let record_type = reading.contract.record_type(version.record_type)?;
    let (judged, facts) = record_type.examine(version.payload, version.recorded_at.0);
    let facts = facts.map_or_else(|| record_type.facts(version.payload), Ok)?;
    let mut out = ReadVersion {
        facts: Facts {
            version: version.version,
            record_type: version.record_type.to_owned(),
            agency: version.agency.clone(),
            unit: facts.unit.map_or_else(Default::default, |u| (u.code.to_owned(), u.list_version.to_owned())),
            promise_seconds: u64::try_from(record_type.freshness_seconds()).unwrap_or(0),
            promise_from: Timestamp(record_type.fresh_from_us()),
            required: facts.required.min(u32::from(u16::MAX)) as u16,
            filled: facts.filled.min(u32::from(u16::MAX)) as u16,
            mentions: Vec::with_capacity(facts.mentions.len()),
            distinct: Vec::new(),
            relations: facts.relations.iter().map(|r| (r.relation as u8, r.from, r.to)).collect(),
            findings: findings(&judged.soft),
        },
        inputs: Vec::with_capacity(facts.mentions.len()),
        distinct: Vec::new(),
        lookups: Vec::new(),
    };
    for mention in &facts.mentions {
        let id = mention_id(reading.secret, version.record, mention);
        let rank = reading.kinds.info(mention.kind).anchor_rank(version.register.as_str()).min(255) as u8;
        let row = row(reading, mention.kind, &mention.ident);
        out.inputs.push(MentionInput { id, rank, row, pinned: false });
        let (kind, role, once) = (mention.kind, mention.role_number, mention.once);
        out.facts.mentions.push(HeadMention { id, kind, role, once });
        lookups(reading, &mention.ident, |key| out.lookups.push((key, id)));
    }
    for a in 0..facts.mentions.len() {
        for b in a + 1..facts.mentions.len() {
            if facts.mentions[a].kind == facts.mentions[b].kind && !facts.may_be_same(a, b) {
                out.distinct.push((a, b));
                out.facts.distinct.push((a as u16, b as u16));
            }
        }
    }
    Ok(out)
}

/// The first mention of a version, as linkage reads it; none of one that is no record of the contract, or names nobody. Judges nothing.
pub fn first_row(reading: &Reading<'_>, version: &VersionBody<'_>) -> Option<FeatureRow> {
    let facts = reading.contract.record_type(version.record_type).ok()?.facts(version.payload).ok()?;
    facts.mentions.first().map(|mention| row(reading, mention.kind, &mention.ident))
}

fn findings(soft: &[Violation]) -> Vec<HeadFinding> {
    let mut out: Vec<HeadFinding> = soft
        .iter()
        .map(|v| {
            debug_assert_eq!(v.severity, Severity::Soft);
            HeadFinding { rule: v.rule_id.clone(), field: v.field_path.clone(), group: v.group.name().to_owned() }
        })
        .collect();
    out.sort();
    out.dedup();
    out
}

fn row(reading: &Reading<'_>, kind: Kind, ident: &Ident<'_>) -> FeatureRow {
    match kind {
        Kind::Person => reading.model.person_row(&person(reading, ident)),
        Kind::Parcel => {
            let key = ident.cadastral().and_then(|c| {
                let (commune, _) = commune(reading.units, c.unit);
                Some(linkage::Cadastral { commune: commune?, sheet: c.sheet, number: c.number })
            });
            reading.model.parcel_row(&ParcelFields { parcel_id: ident.parcel_id, cadastral: key })
        }
    }
}

/// Whether a mention's personal number contradicts the mention's own sex or year of birth, by the model's rule: the number may
/// be somebody else's.
pub fn contradicts_its_number(model: &Model, ident: &Ident<'_>) -> bool {
    let fields = PersonFields {
        sex: sex(ident),
        birth: birth(ident),
        personal_id: ident.personal_id,
        ..PersonFields::default()
    };
    model.person_row(&fields).flags() & linkage::FLAG_ID_SUSPECT != 0
}

fn sex(ident: &Ident<'_>) -> Option<linkage::Sex> {
    ident.sex.map(|s| match s {
        contract::Sex::Male => linkage::Sex::Male,
        contract::Sex::Female => linkage::Sex::Female,
    })
}

fn birth(ident: &Ident<'_>) -> Option<linkage::PartialDate> {
    ident.birth.and_then(|d| linkage::PartialDate::new(d.year(), d.month(), d.day()))
}

fn person<'a>(reading: &Reading<'_>, ident: &'a Ident<'_>) -> PersonFields<'a> {
    let (commune, province) = ident.unit.map_or((None, None), |u| commune(reading.units, u));
    PersonFields {
        full_name: ident.full_name.as_deref().unwrap_or(""),
        sex: sex(ident),
        birth: birth(ident),
        personal_id: ident.personal_id,
        old_id: ident.old_id,
        insurance_no: ident.insurance_no,
        commune,
        province,
        mother_name: ident.mother_name,
        father_name: ident.father_name,
        phone: ident.phone,
    }
}

/// The commune and province that a printed code names in the newest list: no commune where the unit was split or is not
/// known, and no province where the parts lie in several.
fn commune(units: &Units, printed: UnitRef<'_>) -> (Option<u32>, Option<u16>) {
    match units.resolve(printed.code, printed.list_version) {
        Resolved::Unit { unit, .. } => {
            let commune = (unit.code.len() == 5).then(|| unit.code.parse().ok()).flatten();
            (commune, unit.province.parse().ok())
        }
        Resolved::Split { candidates, .. } => {
            let first = &candidates[0].province;
            let one = candidates.iter().all(|c| c.province == *first);
            (None, one.then(|| first.parse().ok()).flatten())
        }
        Resolved::Unknown => (None, None),
    }
}

fn lookups(reading: &Reading<'_>, ident: &Ident<'_>, mut each: impl FnMut(LookupKey)) {
    for id in ident.personal_id.iter().chain(&ident.retired_personal_ids) {
        each(LookupKey::personal_id(id));
    }
    if let Some(id) = ident.old_id {
        each(LookupKey::old_id(id));
    }
    if let Some(no) = ident.insurance_no {
        each(LookupKey::insurance_no(no));
    }
    if let Some(id) = ident.parcel_id {
        each(LookupKey::parcel_id(id));
    }
    let resolved = |unit: UnitRef<'_>| match reading.units.resolve(unit.code, unit.list_version) {
        Resolved::Unit { unit, .. } => Some(unit.code.clone()),
        Resolved::Split { .. } | Resolved::Unknown => None,
    };
    if let Some(name) = ident.full_name.as_deref().filter(|n| !n.trim().is_empty()) {
        if let Some(birth) = ident.birth {
            each(LookupKey::name_year(name, birth.year()));
        }
        if let Some(code) = ident.unit.and_then(resolved) {
            each(LookupKey::name_unit(name, (&code, "")));
        }
    }
    if let Some(c) = ident.cadastral() {
        let printed = (c.unit.code, c.unit.list_version);
        each(LookupKey::cadastral(printed, c.sheet, c.number));
        each(LookupKey::sheet(printed, c.sheet));
        if let Some(code) = resolved(c.unit) {
            each(LookupKey::cadastral((&code, ""), c.sheet, c.number));
            each(LookupKey::sheet((&code, ""), c.sheet));
        }
    }
}
