//! Who may ask for what, and what a public service still lacks.
//!
//! Two pure questions are answered here. *May this caller read these fields for this case?* A policy document (Cedar
//! policies and grants, hashed as one) turns a request into a [`Permit`] or a [`Refusal`]. *Which items of this
//! procedure are at hand?* A procedure profile and the facts that the caller read turn into one [`ItemResult`] per item.
//!
//! Invariants:
//! - A [`Permit`] cannot be made outside this crate, and never releases a field that the policy denies. A field that is
//!   asked for is released or named in a refusal; none is dropped in silence.
//! - No purpose, no permit: reading a subject takes a procedure code and a case number.
//! - A decision is a function of the policy document, the profiles, the kinds and the request. The case number plays no
//!   part in it, caches change no answer and are bounded.
//! - What a policy cannot decide is refused: an evaluation error never permits.
//! - Rules of profiles are bounded when they are loaded, so that a check takes time linear in its profile.
//!
//! Deliberately absent: reading of views, the log, clocks (the time is an input), and who the caller is (the transport
//! has checked the certificate). Whether a subject lies in the caller's rows is a predicate in the permit
//! ([`RowLimit`]); its facts come from the reader.

mod access;
mod action;
mod age;
mod cache;
mod check;
mod facts;
mod grants;
mod kinds;
mod mask;
mod permit;
mod policy;
mod procedure;
mod profile;
mod refusal;
mod rule;
mod todo;

pub use access::{Access, CASE_BYTES_MAX, Request};
pub use action::{Action, HubAction, Query};
pub use check::{ItemResult, ItemState, Need, Reason, check, is_complete};
pub use facts::{AttributeFact, Facts, RecordFact, RelationFact, RoleFacts, Source, Stated, SubjectFacts};
pub use grants::{GRANTS_MAX, SPIFFE_BYTES_MAX};
pub use kinds::{FIELDS_MAX, FieldMask, KindFields, Kinds, KindsError, NAME_BYTES_MAX, Sensitivity};
pub use mask::mask;
pub use permit::{
    CheckPermit, CheckedKind, HubPermit, ListPermit, Listing, Permit, PolicyHash, RowFacts, RowLimit, SEARCH_HITS_MAX,
};
pub use policy::{BUILTIN_POLICY, POLICIES_MAX, POLICY_BYTES_MAX, POLICY_SCHEMA, PolicyDocument, PolicyError};
pub use procedure::{
    BUILTIN_PROCEDURES, ITEMS_MAX, PROCEDURE_BYTES_MAX, PROCEDURES_MAX, Procedure, ProcedureError, ProcedureSet,
    ROLES_MAX, RegisterTitle,
};
pub use profile::{Item, RELATIONS, Role, Text, What};
pub use refusal::{Refusal, ShownName};
pub use rule::{EXPR_BYTES_MAX, EXPR_NODES_MAX, RuleError};
