//! Contracts: what a register promises about its records, written as a `.proto` file and compiled
//! here, so that a new register is a file and not Rust code.
//!
//! * [`Contract::compile`] turns a descriptor set into a [`Contract`]; [`builtin`] has the sets of
//!   the registers that every hub knows, [`export`] the texts that a publisher needs.
//! * [`Contract::judge`] says what refuses a record and what becomes a finding.
//! * [`Contract::facts`] says what a record states: mentions of subjects, what identifies them,
//!   attributes, relations. This is all that the fold reads of a body.
//! * [`kinds`] is the table of subjects' attributes.
//! * [`compat`] lists what a new version of a contract would break.
//!
//! Invariants:
//!
//! * Pure: no clock (`now` is an argument), no I/O, no randomness, no hash order in any result.
//! * A record that [`Contract::judge`] accepts has facts, whatever its bytes.
//! * Equal contracts have equal [`Contract::id`]s; comments and bundling do not matter.
//! * No error or violation carries a value of a record.
//!
//! Deliberately absent: rules over several records (they are findings of the fold), normalising of
//! names and units (`linkage`), and the code of any particular register.

mod builtin;
mod canonical;
mod classes;
mod compat;
mod compile;
mod date;
mod error;
mod facts;
mod ident;
mod json;
mod judge;
mod kinds;
mod model;
mod options;
mod reading;
mod record_type;
mod trace;
mod value;
mod walk;

pub use builtin::{BuiltinContract, builtin, export};
pub use compat::{Breaking, compat};
pub use compile::{Contract, DESCRIPTOR_SET_BYTES_MAX, MESSAGES_MAX, NAME_BYTES_MAX};
pub use error::{ContractError, UnknownRecordType};
pub use facts::{
    Cadastral, Element, Facts, FactsError, Ident, MENTIONS_MAX, MentionFact, RELATION_FACTS_MAX, RelationFact, TooMany,
};
pub use json::BodyJsonError;
pub use judge::{ErrorGroup, Judgement, Severity, VIOLATIONS_MAX, Violation};
pub use kinds::{Attribute, AttributeId, KindInfo, Kinds, Sensitivity, kinds};
pub use model::{RecordType, RelationType, Role};
pub use record::{ContractId, Kind};
pub use record_type::{RELATIONS_MAX, ROLES_MAX};
pub use value::{AttrValue, NotAValue, PartialDate, Sex, UnitRef, ValueType};
