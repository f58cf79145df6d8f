//! What a record does wrong: the field, the rule, and a text without the value.

use std::fmt::Write as _;
use std::sync::Arc;

/// Which element of a list or map a path goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscript {
    /// Position in a list, from 0.
    Index(u64),
    /// Key of a map.
    BoolKey(bool),
    /// Key of a map.
    IntKey(i64),
    /// Key of a map.
    UintKey(u64),
    /// Key of a map. It comes from the record: keep it out of logs.
    StringKey(String),
}

/// One step of a field or rule path, as in `buf.validate.FieldPathElement`. Types are numbers of
/// `google.protobuf.FieldDescriptorProto.Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathElement {
    /// Field number; `None` for a oneof.
    pub number: Option<u32>,
    /// Field name, in brackets and qualified for an extension.
    pub name: Arc<str>,
    /// Declared type.
    pub field_type: Option<i32>,
    /// Declared type of a map's keys, when there is a subscript.
    pub key_type: Option<i32>,
    /// Declared type of a map's values, when there is a subscript.
    pub value_type: Option<i32>,
    /// Element of a list or map.
    pub subscript: Option<Subscript>,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field in protovalidate's notation (`rooms[2].area`), empty for the record itself. Keys
    /// of maps are withheld (`scores[*]`), since they are data; [`Violation::elements`] has them.
    pub field_path: String,
    /// Field numbers along the path, without subscripts. A required oneof ends its parent's path.
    pub field_numbers: Vec<u32>,
    /// The field path in full.
    pub elements: Vec<PathElement>,
    /// The rule's id, `string.min_len` or the contract's own.
    pub rule_id: Arc<str>,
    /// Where the rule stands in the field's options (`repeated.items.string.min_len`); empty for
    /// rules of a message.
    pub rule_path: String,
    /// The rule path in full.
    pub rule_elements: Arc<[PathElement]>,
    /// What must hold. It never repeats the record's value.
    pub message: Arc<str>,
    /// Whether the rule is about a map's key rather than its value.
    pub for_key: bool,
}

/// Writes a path; keys of maps only when asked for.
pub(crate) fn text(elements: &[PathElement], with_keys: bool) -> String {
    let mut out = String::new();
    for element in elements {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(&element.name);
        match &element.subscript {
            None => Ok(()),
            Some(Subscript::Index(index)) => write!(out, "[{index}]"),
            Some(_) if !with_keys => write!(out, "[*]"),
            Some(Subscript::BoolKey(key)) => write!(out, "[{key}]"),
            Some(Subscript::IntKey(key)) => write!(out, "[{key}]"),
            Some(Subscript::UintKey(key)) => write!(out, "[{key}]"),
            Some(Subscript::StringKey(key)) => write!(out, "[{key:?}]"),
        }
        .expect("writing to a string cannot fail");
    }
    out
}

impl Violation {
    /// The field path with the keys of maps, which are data of the record.
    pub fn field_path_with_keys(&self) -> String {
        text(&self.elements, true)
    }
}
