//! Compiled rules: what [`crate::Plan::validate`] runs.

mod build;
mod check;
mod number;
mod options;
mod run;
mod stock;
mod time;

use std::sync::Arc;

pub(crate) use build::compile;
pub(crate) use check::contains;
pub(crate) use run::Validation;
pub(crate) use stock::pattern;
pub(crate) use time::{Civil, parse_instant, parse_offset, parse_span, write_instant, write_span};

use crate::cel::Program;
use crate::plan::Kind;
use crate::violation::PathElement;
use check::Test;

/// The rules of one message type.
#[derive(Debug, Default)]
pub(crate) struct MessageRules {
    cel: Vec<CelRule>,
    oneofs: Vec<MessageOneof>,
    /// Real oneofs of which a member must be set: name and members.
    required_oneofs: Vec<(Arc<str>, Box<[u32]>)>,
    fields: Vec<FieldRules>,
    /// Whether this type or one that it reaches has any rule at all.
    pub(crate) active: bool,
}

/// A `buf.validate.MessageOneofRule`.
#[derive(Debug)]
struct MessageOneof {
    members: Vec<u32>,
    required: bool,
    message: Arc<str>,
}

/// The rules of one field.
#[derive(Debug)]
struct FieldRules {
    number: u32,
    element: PathElement,
    required: Option<Arc<[PathElement]>>,
    /// An absent field is not checked: it has presence, or zero is ignored.
    skip_absent: bool,
    /// What an absent field is checked as, otherwise.
    absent: Absent,
    value: ValueRules,
}

/// What stands for a field that is not populated.
#[derive(Clone, Copy, Debug)]
enum Absent {
    Scalar(Kind),
    List,
    Map,
}

/// The rules of a value: of a field, a list's elements, or a map's keys or values.
#[derive(Debug, Default)]
struct ValueRules {
    skip_zero: bool,
    /// The value is a wrapper message (`google.protobuf.StringValue`) around this kind.
    unwrap: Option<Kind>,
    checks: Vec<Check>,
    cel: Vec<CelRule>,
    /// Rules of a list's elements or a map's values.
    items: Option<Box<ValueRules>>,
    /// Rules of a map's keys.
    keys: Option<Box<ValueRules>>,
    /// Index of the message type to go into.
    nested: Option<u32>,
    /// Types to report with a subscript of a map.
    entry_types: Option<(i32, i32)>,
}

impl ValueRules {
    fn is_empty(&self) -> bool {
        self.checks.is_empty()
            && self.cel.is_empty()
            && self.items.is_none()
            && self.keys.is_none()
            && self.nested.is_none()
    }
}

/// One native check.
#[derive(Debug)]
struct Check {
    test: Test,
    id: Arc<str>,
    path: Arc<[PathElement]>,
    message: Arc<str>,
}

/// One CEL rule.
#[derive(Debug)]
struct CelRule {
    program: Program,
    id: Arc<str>,
    path: Arc<[PathElement]>,
    /// The contract's own text, else one made of the expression.
    message: Arc<str>,
    /// The text is the contract's own: it goes before one that the expression returns.
    has_own_text: bool,
}
