//! The proof that a read was authorised.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::action::{Action, Query};
use crate::kinds::{FieldMask, KindFields};
use crate::refusal::Refusal;

/// Hits that a search may show, at most.
pub const SEARCH_HITS_MAX: usize = 20;

/// The hash of the whole policy document: BLAKE3 of its bytes, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyHash(pub(crate) [u8; 32]);

impl PolicyHash {
    /// The 32 bytes, as they stand in an access entry.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is the same for every case: shared by all permits of one (caller, action, procedure, kind) under one policy.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) caller: Box<str>,
    pub(crate) agency: Box<str>,
    pub(crate) procedure: Box<str>,
    pub(crate) kind: Arc<KindFields>,
    pub(crate) query: Query,
    pub(crate) rows: RowScope,
    pub(crate) policy_hash: PolicyHash,
    /// What the policy allows.
    pub(crate) allowed: FieldMask,
    /// What it refuses because the procedure does not need it; the rest is refused for its class.
    pub(crate) unneeded: FieldMask,
}

/// The rows that a grant covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowScope {
    All,
    Communes(Arc<BTreeSet<Box<str>>>),
    Case,
}

/// An authorised read. The view store's reads take one, and nobody outside this crate can make one.
///
/// It covers exactly one caller, procedure, case and kind, and exactly the fields that were asked for.
#[derive(Clone, Debug)]
pub struct Permit {
    scope: Arc<Scope>,
    case: Box<str>,
    released: FieldMask,
    rows: RowLimit,
}

impl Permit {
    pub(crate) fn new(scope: Arc<Scope>, case: &str, released: FieldMask) -> Self {
        debug_assert!(released.is_within(scope.allowed), "a permit is within what the policy allows");
        let rows = match &scope.rows {
            RowScope::All => RowLimit::None,
            RowScope::Communes(codes) => RowLimit::Communes(codes.clone()),
            RowScope::Case => RowLimit::Case(case.into()),
        };
        Self { scope, case: case.into(), released, rows }
    }

    /// The caller's SPIFFE id.
    pub fn caller(&self) -> &str {
        &self.scope.caller
    }

    /// The caller's agency, from its grant.
    pub fn agency(&self) -> &str {
        &self.scope.agency
    }

    /// The procedure's code.
    pub fn procedure(&self) -> &str {
        &self.scope.procedure
    }

    /// The case number as the caller gave it. It may identify a person: never log it.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// What the permit is for.
    pub fn query(&self) -> Query {
        self.scope.query
    }

    /// The kind of subject, with its attributes.
    pub fn kind(&self) -> &Arc<KindFields> {
        &self.scope.kind
    }

    /// The released attributes: those asked for, all of which the policy allows.
    pub fn released(&self) -> FieldMask {
        self.released
    }

    /// Whether an attribute, by its dotted or its own name, is released.
    pub fn releases(&self, field: &str) -> bool {
        self.scope.kind.index_of(field).is_some_and(|index| self.released.contains(index))
    }

    /// The released attributes' own names (`full_name`), in the kind's order.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        self.released.indices().filter_map(|index| self.scope.kind.own_name_at(index))
    }

    /// Dotted names of the released attributes, in the kind's order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.released.indices().filter_map(|index| self.scope.kind.name_at(index))
    }

    /// Which rows the caller may see.
    pub fn rows(&self) -> &RowLimit {
        &self.rows
    }

    /// The policy document that decided.
    pub fn policy_hash(&self) -> &PolicyHash {
        &self.scope.policy_hash
    }
}

/// Which subjects a permit covers; a predicate that the reader applies before it releases anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowLimit {
    /// All subjects.
    None,
    /// Subjects of these communes: five-digit codes of the list in force when the subject is read.
    Communes(Arc<BTreeSet<Box<str>>>),
    /// Subjects that are a party of this case.
    Case(Box<str>),
}

/// What a row limit needs to know of a subject.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowFacts<'a> {
    /// The communes that the subject belongs to now (residence of a person, place of a parcel), resolved to the
    /// list in force. A subject of no known commune is in nobody's commune.
    pub communes: &'a [&'a str],
    /// The cases whose opening entry names the subject as a party.
    pub cases: &'a [&'a str],
}

impl RowLimit {
    /// Whether the subject may be shown.
    pub fn covers(&self, subject: RowFacts<'_>) -> bool {
        match self {
            Self::None => true,
            Self::Communes(codes) => subject.communes.iter().any(|code| codes.contains(*code)),
            Self::Case(case) => subject.cases.contains(&&**case),
        }
    }

    /// [`covers`](Self::covers) as a refusal.
    ///
    /// # Errors
    /// [`Refusal::RowOutsideScope`].
    pub fn require(&self, subject: RowFacts<'_>) -> Result<(), Refusal> {
        if self.covers(subject) { Ok(()) } else { Err(Refusal::RowOutsideScope) }
    }
}

/// The right to check a procedure: one permit per kind that its roles have, to judge all attributes of its items,
/// and apart from it which of their values may leave.
#[derive(Clone, Debug)]
pub struct CheckPermit {
    pub(crate) kinds: Vec<CheckedKind>,
}

/// A kind of subject in a check.
#[derive(Clone, Debug)]
pub struct CheckedKind {
    pub(crate) permit: Permit,
    pub(crate) values: FieldMask,
}

impl CheckedKind {
    /// The permit to read what the items need.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The attributes whose values the caller could also read one by one; of the others only the state may leave.
    pub fn values(&self) -> FieldMask {
        self.values
    }
}

impl CheckPermit {
    /// The part for subjects of that kind, if the procedure has such a role.
    pub fn for_kind(&self, kind: &str) -> Option<&CheckedKind> {
        self.kinds.iter().find(|checked| checked.permit.kind().kind() == kind)
    }

    /// One part per kind, in order of the kinds' names.
    pub fn kinds(&self) -> &[CheckedKind] {
        &self.kinds
    }

    /// Whether the value of an attribute, by its dotted name, may leave with the item's state.
    pub fn releases_value(&self, dotted: &str) -> bool {
        let kind = dotted.split_once('.').and_then(|(kind, _)| self.for_kind(kind));
        kind.is_some_and(|k| k.permit.kind().index_of(dotted).is_some_and(|index| k.values.contains(index)))
    }
}

/// Whose access records a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// Those of the person whom the caller has authenticated, for that person.
    Own,
    /// Anybody's: auditors.
    Any,
}

/// The right to list access records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPermit {
    pub(crate) caller: Box<str>,
    pub(crate) listing: Listing,
    pub(crate) policy_hash: PolicyHash,
}

impl ListPermit {
    /// The caller's SPIFFE id.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Whose records it covers.
    pub fn listing(&self) -> Listing {
        self.listing
    }

    /// The policy document that decided.
    pub fn policy_hash(&self) -> &PolicyHash {
        &self.policy_hash
    }
}

/// The right to one action on the hub as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubPermit {
    pub(crate) caller: Box<str>,
    pub(crate) action: Action,
    pub(crate) policy_hash: PolicyHash,
}

impl HubPermit {
    /// The caller's SPIFFE id.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// The action that was permitted.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The policy document that decided.
    pub fn policy_hash(&self) -> &PolicyHash {
        &self.policy_hash
    }
}
