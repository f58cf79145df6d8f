//! What a check is given: facts that the caller has read under its permit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Everything that a check of a procedure may know.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The time of the check, in microseconds since the Unix epoch, UTC. Ages and whole years are counted to it.
    pub now_us: i64,
    /// Registers that publish to the hub.
    pub connected: BTreeSet<String>,
    /// What each role's key found; a role that the caller named no key for is absent.
    pub roles: BTreeMap<String, RoleFacts>,
    /// Relations among the roles' subjects, and from them to others.
    pub relations: Vec<RelationFact>,
}

/// What a role's key found.
#[derive(Clone, Debug)]
pub enum RoleFacts {
    /// No subject.
    NotFound,
    /// Several subjects.
    Ambiguous {
        /// How many.
        matches: u32,
    },
    /// One subject.
    Resolved(SubjectFacts),
}

/// What the views say of one subject.
#[derive(Clone, Debug, Default)]
pub struct SubjectFacts {
    /// By dotted attribute name.
    pub attributes: BTreeMap<String, AttributeFact>,
    /// The records that the subject appears in, as far as items ask for record types.
    pub records: Vec<RecordFact>,
}

/// An attribute with all that is stated of it.
#[derive(Clone, Debug, Default)]
pub struct AttributeFact {
    /// Stated values, the one of the highest authority first.
    pub values: Vec<Stated>,
    /// Whether registers disagree.
    pub disputed: bool,
}

/// One stated value.
#[derive(Clone, Debug)]
pub struct Stated {
    /// The value as JSON: text, integers, lists; dates as `{year, month?, day?}` or ISO text; codes and decimals as
    /// text or `{value}`.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
    /// Whether the register says that it holds the value on paper only.
    pub on_paper: bool,
}

/// The record behind a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The register.
    pub register: String,
    /// The record type.
    pub record_type: String,
    /// The record's pseudonym.
    pub record: String,
    /// The record's version.
    pub version: u64,
    /// The entry in the log.
    pub position: String,
    /// From when it holds, microseconds since the Unix epoch.
    pub effective_at_us: i64,
    /// When the register published it, microseconds since the Unix epoch.
    pub published_at_us: i64,
}

/// A record in which a subject appears.
#[derive(Clone, Debug)]
pub struct RecordFact {
    /// The record.
    pub source: Source,
}

/// A relation that a record states.
#[derive(Clone, Debug)]
pub struct RelationFact {
    /// One of [`RELATIONS`](crate::RELATIONS), read as "from NAME to".
    pub name: String,
    /// The role whose subject it points from, if it is one of the case.
    pub from: Option<String>,
    /// The role whose subject it points to, if it is one of the case.
    pub to: Option<String>,
    /// The record that states it.
    pub source: Source,
    /// Whether registers disagree on it.
    pub disputed: bool,
}

/// A value without the envelope that codes and decimals have.
pub(crate) fn bare(value: &Value) -> &Value {
    match value {
        Value::Object(fields) if fields.len() == 1 => fields.get("value").unwrap_or(value),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value
        }
    }
}

/// Whether nothing is stated.
pub(crate) fn is_blank(value: &Value) -> bool {
    match bare(value) {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
