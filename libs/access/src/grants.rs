//! Grants: what one caller, or one pattern of callers, was given. Data, not policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::kinds::Sensitivity;
use crate::permit::RowScope;
use crate::policy::PolicyError;

/// Grants in one document.
pub const GRANTS_MAX: usize = 10_000;

/// Bytes of a SPIFFE id (SPIFFE-ID specification §2.3: URIs up to 2048 bytes).
pub const SPIFFE_BYTES_MAX: usize = 2048;

const PLACEHOLDER: &str = "{commune}";

/// One grant as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) spiffe: String,
    pub(crate) agency: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Procedure codes, or `*` for every profile.
    #[serde(default)]
    pub(crate) procedures: Vec<String>,
    #[serde(default)]
    pub(crate) kinds: Vec<String>,
    /// Sensitivity classes.
    #[serde(default)]
    pub(crate) classes: Vec<String>,
    pub(crate) rows: Option<Rows>,
    #[serde(default)]
    pub(crate) communes: Vec<String>,
    #[serde(default)]
    pub(crate) publish: Vec<Publish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rows {
    All,
    Commune,
    Case,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    pub(crate) register: String,
    /// All record types when absent.
    pub(crate) record_types: Option<Vec<String>>,
}

impl Grant {
    pub(crate) fn serves_all(&self) -> bool {
        self.procedures.iter().any(|code| code == "*")
    }

    fn is_pattern(&self) -> bool {
        self.spiffe.contains(PLACEHOLDER)
    }

    fn check(&self) -> Result<(), PolicyError> {
        let fault = |fault| Err(PolicyError::Grant { id: self.id.clone().into(), fault });
        if !is_spiffe(&self.spiffe) {
            return fault("spiffe must be spiffe://domain/path, with {commune} only at its end");
        }
        if !self.procedures.is_empty() && self.rows.is_none() {
            return fault("a grant with procedures must say rows = \"all\", \"commune\" or \"case\"");
        }
        if !self.communes.iter().all(|code| is_commune(code)) {
            return fault("communes are five-digit codes");
        }
        if !self.classes.iter().all(|class| Sensitivity::from_name(class).is_some_and(|c| c.name() == class)) {
            return fault("classes are open, basic, identifier, sensitive");
        }
        let by_commune = self.rows == Some(Rows::Commune);
        if by_commune != (self.is_pattern() || !self.communes.is_empty()) {
            return fault("rows = \"commune\" goes with communes = [..] or {commune} in the spiffe id, and only then");
        }
        if self.is_pattern() && !self.communes.is_empty() {
            return fault("communes come from the spiffe id or from the list, not both");
        }
        Ok(())
    }
}

/// A grant bound to the caller that presented a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Bound<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) rows: RowScope,
}

/// All grants, by caller.
#[derive(Debug)]
pub(crate) struct Grants {
    grants: Vec<Grant>,
    exact: BTreeMap<Box<str>, usize>,
    /// Prefix before the variable part, such as `{commune}`; document order decides between two that match.
    patterns: Vec<(Box<str>, usize)>,
}

impl Grants {
    pub(crate) fn new(grants: Vec<Grant>) -> Result<Self, PolicyError> {
        if grants.len() > GRANTS_MAX {
            return Err(PolicyError::TooManyGrants);
        }
        let (mut exact, mut patterns, mut ids) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        for (index, grant) in grants.iter().enumerate() {
            grant.check()?;
            let fresh_id = ids.insert(grant.id.as_str());
            let fresh_caller = match grant.spiffe.strip_suffix(PLACEHOLDER) {
                Some(prefix) => {
                    let fresh = patterns.iter().all(|(known, _): &(Box<str>, usize)| **known != *prefix);
                    patterns.push((prefix.into(), index));
                    fresh
                }
                None => exact.insert(grant.spiffe.as_str().into(), index).is_none(),
            };
            if !fresh_id || !fresh_caller {
                let id = grant.id.clone().into();
                return Err(PolicyError::Grant { id, fault: "its id or spiffe id is already used" });
            }
        }
        Ok(Self { grants, exact, patterns })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter()
    }

    /// The grant of a caller; an exact one wins over a pattern.
    pub(crate) fn bind(&self, caller: &str) -> Option<Bound<'_>> {
        if let Some(&index) = self.exact.get(caller) {
            let grant = &self.grants[index];
            return Some(Bound { grant, rows: rows_of(grant, &grant.communes) });
        }
        self.patterns.iter().find_map(|(prefix, index)| {
            let commune = caller.strip_prefix(&**prefix).filter(|code| is_commune(code))?;
            let grant = &self.grants[*index];
            Some(Bound { grant, rows: rows_of(grant, &[commune.to_owned()]) })
        })
    }
}

fn rows_of(grant: &Grant, communes: &[String]) -> RowScope {
    match grant.rows {
        Some(Rows::All) => RowScope::All,
        Some(Rows::Commune) => RowScope::Communes(Arc::new(communes.iter().map(|code| code.as_str().into()).collect())),
        // A grant without procedures reads no rows; the narrowest scope stands for it.
        Some(Rows::Case) | None => RowScope::Case,
    }
}

fn is_commune(code: &str) -> bool {
    code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit())
}

fn is_spiffe(id: &str) -> bool {
    let plain = id.strip_suffix(PLACEHOLDER).unwrap_or(id);
    let Some((domain, path)) = plain.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    id.len() <= SPIFFE_BYTES_MAX
        && !domain.is_empty()
        && !path.is_empty()
        && domain.bytes().all(allowed)
        && path.bytes().all(|b| allowed(b) || b == b'/')
}
