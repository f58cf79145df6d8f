//! What can go wrong, one variant per fact that a caller can act on. None carries a record's value.

/// A descriptor set that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The bytes are not a `google.protobuf.FileDescriptorSet`.
    #[error("the descriptor set cannot be decoded")]
    Malformed(#[source] prost::DecodeError),
    /// The files do not form a consistent set: a missing import, a duplicate name, a bad type.
    #[error("the descriptor set is inconsistent")]
    Inconsistent(#[source] prost_reflect::DescriptorError),
    /// A file uses a protobuf edition that is not understood.
    #[error("{file}: protobuf edition {edition} is not supported")]
    Edition {
        /// Name of the file.
        file: String,
        /// Number of the edition as in `google.protobuf.Edition`.
        edition: i32,
    },
}

/// A message type that cannot be compiled into a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No such message type in the schema.
    #[error("message type {0} is not in the schema")]
    UnknownMessage(String),
    /// The type and those it reaches are more than a plan may hold.
    #[error("message type {name} reaches more than {max} message types")]
    TooManyMessages {
        /// The type asked for.
        name: String,
        /// The bound.
        max: usize,
    },
    /// A rule of the contract cannot be compiled.
    #[error("{message}{}{field}: rule {rule:?}: {fault}", if field.is_empty() { "" } else { "." })]
    Rule {
        /// Full name of the message type.
        message: String,
        /// Name of the field; empty for a rule of the message.
        field: String,
        /// Path of the rule in its options (`string.pattern`, `cel[0]`).
        rule: String,
        /// What is wrong with it.
        fault: RuleSourceFault,
    },
}

/// What is wrong with a rule as a contract states it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleSourceFault {
    /// A regular expression is malformed or compiles to more than 1 MiB.
    #[error("the pattern {pattern:?} is no regular expression of bounded size")]
    Pattern {
        /// The expression.
        pattern: String,
    },
    /// The rules are for another type than the field's.
    #[error("{rules} rules do not fit the field's type")]
    WrongType {
        /// Name of the rules (`string`).
        rules: String,
    },
    /// A message oneof names a field twice, one that is not there, or none.
    #[error("a message oneof names {member:?}, which is missing or named twice")]
    Oneof {
        /// The name; empty when the oneof has no members.
        member: String,
    },
    /// A CEL expression is refused.
    #[error("{0}")]
    Cel(CelFault),
}

/// Why a CEL expression is refused when a contract is compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CelFault {
    /// The text is longer than allowed.
    #[error("the expression has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes of the expression.
        len: usize,
        /// The bound, inclusive.
        max: usize,
    },
    /// Too many nodes after macros are expanded, or nested too deep.
    #[error("the expression is too large or nested too deep")]
    TooComplex,
    /// Loops inside loops, deeper than allowed.
    #[error("more than {max} nested loops (all, exists, map, filter)")]
    TooManyLoops {
        /// The bound, inclusive.
        max: u32,
    },
    /// Not CEL.
    #[error("syntax: {0}")]
    Syntax(String),
    /// A name that stands for nothing.
    #[error("{name:?} is not known here")]
    Unknown {
        /// The variable, function or field.
        name: String,
    },
    /// A function or operator does not take these types, or the result is not `bool` or `string`.
    #[error("{what} does not take {types}")]
    Types {
        /// The function or operator.
        what: String,
        /// The types it was given.
        types: String,
    },
    /// Valid CEL that the hub does not run.
    #[error("{what} is not supported")]
    Unsupported {
        /// The construct.
        what: String,
    },
}

/// A rule that could not be decided for a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule_id:?} at {field_path:?}: {fault}")]
pub struct RuleError {
    /// The rule's id.
    pub rule_id: String,
    /// The field, in protovalidate's notation without keys of maps.
    pub field_path: String,
    /// Why it could not be decided.
    pub fault: RuleFault,
}

/// Why a rule could not be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleFault {
    /// A text pattern meets bytes that are not UTF-8.
    #[error("the bytes are not valid UTF-8")]
    NotText,
    /// The rules of one record may spend only so many steps.
    #[error("the rules need more than {max} steps for this record")]
    Budget {
        /// The bound, inclusive.
        max: u64,
    },
    /// Evaluation failed: overflow, division by zero, a missing key, an index out of range, a type.
    #[error("evaluation failed: {0}")]
    Evaluation(&'static str),
}

/// What is wrong with the bytes of a record, without its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The contract does not have this field.
    #[error("field number {number} is not in the contract")]
    UnknownField {
        /// The number that the bytes carry.
        number: u32,
    },
    /// The field is there, but not in this encoding.
    #[error("wire type {found} does not fit the field")]
    WrongWireType {
        /// Name of the wire type found.
        found: &'static str,
    },
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// A string is not UTF-8.
    #[error("a string is not valid UTF-8")]
    InvalidUtf8,
    /// A group where the contract has none.
    #[error("groups are not accepted here")]
    Group,
    /// A field key with number 0, above 2^29-1, or an undefined wire type.
    #[error("malformed field key")]
    BadKey,
    /// A varint of more than 64 bits.
    #[error("a varint has more than 64 bits")]
    VarintOverflow,
    /// An integer does not fit the declared type.
    #[error("an integer does not fit its declared type")]
    OutOfRange,
    /// The whole record is larger than allowed.
    #[error("{len} bytes, at most {max} are allowed")]
    TooLarge {
        /// Bytes received.
        len: usize,
        /// The bound, inclusive.
        max: usize,
    },
    /// Messages are nested too deep.
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// The bound, inclusive.
        max: u32,
    },
    /// The record holds too many values.
    #[error("more than {max} values in one record")]
    TooManyElements {
        /// The bound, inclusive, over the whole record.
        max: u32,
    },
}

/// A record that cannot be decoded, with the place where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct DecodeError {
    /// Field path in protovalidate's notation (`rooms[2].area`); empty for the record itself.
    pub path: String,
    /// The same path as field numbers, without subscripts.
    pub numbers: Vec<u32>,
    /// What is wrong.
    pub fault: Fault,
}

/// A field path text that names nothing in a message type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path is empty or has an empty segment.
    #[error("field path {path:?} has an empty segment")]
    Empty {
        /// The path asked for.
        path: String,
    },
    /// A segment is not a field of its message.
    #[error("{message} has no field {segment:?} (in path {path:?})")]
    UnknownField {
        /// The path asked for.
        path: String,
        /// Full name of the message type.
        message: String,
        /// The segment that was not found.
        segment: String,
    },
    /// A segment before the last is not a singular message.
    #[error("{segment:?} in path {path:?} is not a singular message")]
    NotSingular {
        /// The path asked for.
        path: String,
        /// The segment that cannot be passed through.
        segment: String,
    },
}

/// A JSON value that is not an instance of a message type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// An object key is not a field of the message.
    #[error("{path}: not a field of {message}")]
    UnknownField {
        /// Path of the key, dotted.
        path: String,
        /// Full name of the message type.
        message: String,
    },
    /// A value does not fit the field's type. The value itself is withheld.
    #[error("{path}: the value does not fit {expected}")]
    BadValue {
        /// Path of the value, dotted; `$` for the whole document.
        path: String,
        /// The declared type.
        expected: String,
    },
    /// A required (proto2) or map key constraint that only the whole message shows.
    #[error("{message}: the document does not form a valid message")]
    BadMessage {
        /// Full name of the message type.
        message: String,
    },
}
