//! Administrative units in questions and answers: asked for by any list, resolved when read.

use std::collections::BTreeSet;

use contract::UnitRef;
use projection::units::{Resolved, Unit, Units};
use prost_types::Struct;

use super::told::texts;

/// A unit that a request names, as printed and as what it is now.
pub(super) struct AskedUnit {
    /// Code and list version as the request has them; the newest list's version when it named none.
    pub(super) printed: (String, String),
    /// Codes in the newest list that it may be.
    now: BTreeSet<String>,
    /// Codes under which mentions are found, in the newest list that linkage normalises with.
    pub(super) found_under: BTreeSet<String>,
}

impl AskedUnit {
    /// `None` when no list has such a unit.
    pub(super) fn new(code: &str, list_version: &str, units: &Units, linkage: &Units) -> Option<Self> {
        let list = units.list(list_version)?;
        let now = codes(units, code, &list.version);
        if now.is_empty() {
            return None;
        }
        let found_under = match linkage.list("") {
            Some(newest) if units.list("").is_some_and(|l| l.version == newest.version) => now.clone(),
            // Linkage keeps to the lists of its epoch: what their units are called since is looked up backwards.
            Some(newest) => {
                let is_asked = |u: &&Unit| !codes(units, &u.code, &newest.version).is_disjoint(&now);
                newest.units.iter().filter(is_asked).map(|u| u.code.clone()).collect()
            }
            None => BTreeSet::new(),
        };
        Some(Self { printed: (code.to_owned(), list.version.clone()), now, found_under })
    }

    /// Whether a printed unit is, or may be, the unit that was asked for.
    pub(super) fn matches(&self, unit: UnitRef<'_>, units: &Units) -> bool {
        (unit.code, unit.list_version) == (self.printed.0.as_str(), self.printed.1.as_str())
            || !codes(units, unit.code, unit.list_version).is_disjoint(&self.now)
    }
}

/// What a printed code may be in the newest list.
fn codes(units: &Units, code: &str, list_version: &str) -> BTreeSet<String> {
    match units.resolve(code, list_version) {
        Resolved::Unit { unit, .. } => BTreeSet::from([unit.code.clone()]),
        Resolved::Split { candidates, .. } => candidates.iter().map(|u| u.code.clone()).collect(),
        Resolved::Unknown => BTreeSet::new(),
    }
}

/// The unit that a printed code names now; `None` when undecided or unknown.
pub(super) fn resolved<'u>(unit: UnitRef<'_>, units: &'u Units) -> Option<(&'u Unit, &'u str)> {
    match units.resolve(unit.code, unit.list_version) {
        Resolved::Unit { unit, list } => Some((unit, list)),
        Resolved::Split { .. } | Resolved::Unknown => None,
    }
}

/// The API's form of [`resolved`].
pub(super) fn wire_unit(unit: UnitRef<'_>, units: &Units) -> Option<Struct> {
    let (unit, list) = resolved(unit, units)?;
    Some(texts([
        ("code", unit.code.as_str()),
        ("name", unit.name.as_str()),
        ("province", unit.province.as_str()),
        ("list_version", list),
    ]))
}
