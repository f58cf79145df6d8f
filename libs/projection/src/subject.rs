//! What a view says of a subject: attributes by authority, with every competing value and its source.
//!
//! A pure function of the records that mention the subject. It never feeds linkage.

use std::collections::BTreeMap;
use std::ops::Range;

use contract::{AttrValue, Attribute, AttributeId, Kinds};
use linkage::names_agree;
use record::{MentionId, Position, Pseudonym, RegisterName, Timestamp};

use crate::units::{Resolved, Units};

/// A version of a record, as far as an answer names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The register.
    pub register: RegisterName,
    /// The record.
    pub record: Pseudonym,
    /// The version.
    pub version: u64,
    /// The entry.
    pub position: Position,
    /// The record type.
    pub record_type: String,
    /// The agency that acted.
    pub agency: String,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// When it was published.
    pub published_at: Timestamp,
}

/// One mention of the subject with what its record asserts of it.
#[derive(Debug, Clone)]
pub struct Testimony<'a> {
    /// The mention.
    pub mention: MentionId,
    /// The record's version.
    pub source: &'a Source,
    /// The attributes asserted.
    pub asserts: Vec<(AttributeId, AttrValue<'a>)>,
}

/// A value with its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim<'a> {
    /// The value.
    pub value: AttrValue<'a>,
    /// The source.
    pub source: &'a Source,
    /// The mention that asserts it.
    pub mention: MentionId,
}

/// An attribute of a subject.
#[derive(Debug, Clone)]
pub struct AttributeView<'a> {
    /// Which.
    pub attribute: AttributeId,
    /// Every different value, the one that stands first. Never empty.
    pub claims: Vec<Claim<'a>>,
    /// How many of `claims` stand: 1, or more for an attribute of several values.
    pub standing: usize,
    /// The registers whose newest word contradicts the standing value; not empty when the attribute is disputed. Holds the
    /// register of the standing value too.
    pub disputed_by: Vec<RegisterName>,
}

impl<'a> AttributeView<'a> {
    /// The value that stands.
    pub fn first(&self) -> &Claim<'a> {
        &self.claims[0]
    }

    /// Whether registers disagree.
    pub fn disputed(&self) -> bool {
        !self.disputed_by.is_empty()
    }

    /// The claims that do not stand.
    pub fn competing(&self) -> &[Claim<'a>] {
        &self.claims[self.standing..]
    }

    /// The indices of the claims that stand.
    pub fn standing(&self) -> Range<usize> {
        0..self.standing
    }
}

/// The attributes of a subject, in the order of their numbers.
///
/// Within an attribute: by the kind's order of authority, then the newest effective time, then the highest version, then the
/// record and the mention, so that nothing depends on the order of `testimonies`.
pub fn attributes<'a>(testimonies: &[Testimony<'a>], kinds: &Kinds, units: &Units) -> Vec<AttributeView<'a>> {
    let mut by_attribute: BTreeMap<AttributeId, Vec<Claim<'a>>> = BTreeMap::new();
    for t in testimonies {
        for (attribute, value) in &t.asserts {
            let claim = Claim { value: value.clone(), source: t.source, mention: t.mention };
            by_attribute.entry(*attribute).or_default().push(claim);
        }
    }
    let known = by_attribute.into_iter().filter_map(|(id, claims)| Some((kinds.attribute(id)?, claims)));
    known.map(|(attribute, claims)| view(attribute, claims, units)).collect()
}

fn view<'a>(attribute: &Attribute, mut claims: Vec<Claim<'a>>, units: &Units) -> AttributeView<'a> {
    let authority = |c: &Claim<'_>| attribute.authority_rank(c.source.register.as_str());
    claims.sort_by(|a, b| {
        let newest = (b.source.effective_at, b.source.version).cmp(&(a.source.effective_at, a.source.version));
        authority(a)
            .cmp(&authority(b))
            .then_with(|| a.source.register.as_str().cmp(b.source.register.as_str()))
            .then(newest)
            .then_with(|| (a.source.record, a.mention, &a.value).cmp(&(b.source.record, b.mention, &b.value)))
    });
    let mut disputed_by = Vec::new();
    if !attribute.repeated {
        let first = &claims[0];
        // A register's newest word is its first claim in this order; what it said before does not dispute.
        let mut registers = claims.chunk_by(|a, b| a.source.register == b.source.register).map(|c| &c[0]).skip(1);
        let against: Vec<_> = registers.by_ref().filter(|c| !agree(&first.value, &c.value, units)).collect();
        if !against.is_empty() {
            disputed_by.push(first.source.register.clone());
            disputed_by.extend(against.into_iter().map(|c| c.source.register.clone()));
        }
    }
    let mut kept: Vec<Claim<'a>> = Vec::with_capacity(claims.len());
    for claim in claims {
        let repeats = |k: &Claim<'a>| k.value == claim.value && k.source.register == claim.source.register;
        let same_value = |k: &Claim<'a>| k.value == claim.value;
        if !(kept.iter().any(repeats) || attribute.repeated && kept.iter().any(same_value)) {
            kept.push(claim);
        }
    }
    let standing = if attribute.repeated { kept.len() } else { 1 };
    AttributeView { attribute: attribute.id, claims: kept, standing, disputed_by }
}

/// Whether two values say the same, as far as both say anything: a date without its day does not contradict one with it, a
/// name without its tone marks does not contradict one with them, and two codes of one unit from two lists are one unit.
pub fn agree(a: &AttrValue<'_>, b: &AttrValue<'_>, units: &Units) -> bool {
    match (a, b) {
        (AttrValue::Date(a), AttrValue::Date(b)) => {
            a.year() == b.year()
                && (a.month() == 0 || b.month() == 0 || a.month() == b.month())
                && (a.day() == 0 || b.day() == 0 || a.day() == b.day())
        }
        (AttrValue::Text(a), AttrValue::Text(b)) => a == b || names_agree(a, b),
        (AttrValue::Unit(a), AttrValue::Unit(b)) => {
            match (units.resolve(a.code, a.list_version), units.resolve(b.code, b.list_version)) {
                (Resolved::Unit { unit: a, .. }, Resolved::Unit { unit: b, .. }) => a.code == b.code,
                (Resolved::Split { candidates, .. }, Resolved::Unit { unit, .. })
                | (Resolved::Unit { unit, .. }, Resolved::Split { candidates, .. }) => {
                    candidates.iter().any(|c| c.code == unit.code)
                }
                (Resolved::Split { candidates: a, .. }, Resolved::Split { candidates: b, .. }) => {
                    a.iter().any(|a| b.iter().any(|b| a.code == b.code))
                }
                (Resolved::Unknown, _) | (_, Resolved::Unknown) => a == b,
            }
        }
        _ => a == b,
    }
}
