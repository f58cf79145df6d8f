//! The hub's own protovalidate engine: reads a record straight from its wire bytes by a compiled
//! plan and checks it against its `buf.validate` rules.
//!
//! * [`Schema`] holds a descriptor pool; [`Schema::plan`] compiles one message type, once, into a
//!   [`Plan`].
//! * [`Plan::decode`] walks wire bytes into a [`Msg`], a small tree that borrows from the input.
//! * [`Plan::validate`] runs the rules over it and returns [`Violation`]s.
//!
//! Invariants:
//!
//! * Pure: no clock (`now` is an argument), no I/O, no randomness, no hash order in any result.
//! * Strict: whatever the plan does not know is a typed error with the field's path, never skipped.
//! * Bounded: depth, elements and bytes are limited before memory is taken. CEL expressions are
//!   limited in size, depth and nested loops when a plan is compiled, and all rules of one record
//!   share a budget of steps, so that an endless rule is a typed error.
//! * No error or violation message carries a value of the record, only field names and rule ids. A
//!   text that a CEL rule makes of the value is withheld.
//!
//! Deliberately absent: general dynamic messages on the hot path (`prost-reflect` serves only JSON
//! conversion and option reading), unknown-field preservation, and re-encoding: the exact received
//! bytes are what is stored.

mod cel;
mod decode;
mod editions;
mod error;
mod format;
mod json;
mod msg;
mod path;
mod plan;
mod rules;
mod schema;
mod violation;
mod wire;

pub use decode::Limits;
pub use error::{
    CelFault, DecodeError, Fault, JsonError, PathError, PlanError, RuleError, RuleFault, RuleSourceFault, SchemaError,
};
pub use msg::{Msg, Value};
pub use path::Path;
pub use plan::{Cardinality, FieldPlan, Kind, MessagePlan, Plan};
pub use schema::Schema;
pub use violation::{PathElement, Subscript, Violation};
