//! The compiled plan of a message type: for every field tag, what to do with its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind as DescKind, MessageDescriptor};

use crate::decode::{self, Limits};
use crate::error::{DecodeError, PathError, PlanError, RuleError};
use crate::msg::Msg;
use crate::path::Path;
use crate::rules::{self, MessageRules, Validation};
use crate::schema::Schema;
use crate::violation::Violation;

/// Message types that one plan may reach; a contract has some tens.
const MESSAGES_MAX: usize = 4096;

/// The declared type of a field (of a list's element, of a map's value).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bool`
    Bool,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint32`
    UInt32,
    /// `uint64`
    UInt64,
    /// `sint32`
    SInt32,
    /// `sint64`
    SInt64,
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed32`
    SFixed32,
    /// `sfixed64`
    SFixed64,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// An enum.
    Enum,
    /// A message, by its index in the plan (see [`Plan::message_of`]).
    Message(u32),
    /// A message in the group encoding (proto2, or an edition's delimited encoding).
    Group(u32),
}

impl Kind {
    /// The index of the message type, for messages and groups.
    pub fn message_index(self) -> Option<u32> {
        match self {
            Kind::Message(index) | Kind::Group(index) => Some(index),
            _ => None,
        }
    }
}

/// How often a field may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// At most once. Without presence, a zero value is as good as absent.
    Singular {
        /// Whether absence can be told from zero.
        presence: bool,
    },
    /// A list.
    Repeated,
    /// A map with keys of this type; the field's kind is that of the values.
    Map {
        /// Type of the keys.
        key: Kind,
    },
}

/// One field of a message type.
#[derive(Clone, Debug)]
pub struct FieldPlan {
    number: u32,
    name: Arc<str>,
    kind: Kind,
    cardinality: Cardinality,
    oneof: Option<u16>,
}

impl FieldPlan {
    /// The field number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The name as in the `.proto` file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the field, of a list's elements, or of a map's values.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How often the field may occur.
    pub fn cardinality(&self) -> Cardinality {
        self.cardinality
    }

    /// The oneof that the field is a member of, as an index among the message's real oneofs.
    pub(crate) fn oneof(&self) -> Option<u16> {
        self.oneof
    }
}

/// The fields of one message type.
#[derive(Debug)]
pub struct MessagePlan {
    name: String,
    desc: MessageDescriptor,
    /// By ascending number.
    fields: Box<[FieldPlan]>,
    /// For numbers below its length: index into `fields` plus one, 0 for none.
    dense: Box<[u16]>,
    /// Numbers of each real oneof's members.
    oneofs: Box<[Box<[u32]>]>,
    has_maps: bool,
    well_known: WellKnown,
    /// An instance without fields, for CEL to select from.
    empty: Msg<'static>,
}

/// Message types that CEL takes for what they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WellKnown {
    No,
    Timestamp,
    Duration,
    Wrapper,
    Struct,
    Value,
    ListValue,
}

impl WellKnown {
    fn of(name: &str) -> Self {
        match name {
            "google.protobuf.Timestamp" => WellKnown::Timestamp,
            "google.protobuf.Duration" => WellKnown::Duration,
            "google.protobuf.Struct" => WellKnown::Struct,
            "google.protobuf.Value" => WellKnown::Value,
            "google.protobuf.ListValue" => WellKnown::ListValue,
            name if is_wrapper(name) => WellKnown::Wrapper,
            _ => WellKnown::No,
        }
    }
}

impl MessagePlan {
    /// Full name of the message type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its descriptor, with all options.
    pub fn descriptor(&self) -> &MessageDescriptor {
        &self.desc
    }

    /// Its fields by ascending number.
    pub fn fields(&self) -> &[FieldPlan] {
        &self.fields
    }

    /// The field with this number.
    #[inline]
    pub fn field(&self, number: u32) -> Option<&FieldPlan> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(index) => self.fields.get(usize::from(*index) - 1),
            None => {
                let index = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
                self.fields.get(index)
            }
        }
    }

    /// The field with this name in the `.proto` file.
    pub fn field_by_name(&self, name: &str) -> Option<&FieldPlan> {
        self.fields.iter().find(|field| &*field.name == name)
    }

    pub(crate) fn oneof_members(&self, oneof: u16) -> &[u32] {
        &self.oneofs[usize::from(oneof)]
    }

    pub(crate) fn has_maps(&self) -> bool {
        self.has_maps
    }

    pub(crate) fn well_known(&self) -> WellKnown {
        self.well_known
    }

    pub(crate) fn empty(&self) -> &Msg<'static> {
        &self.empty
    }
}

/// A message type and all types that it reaches, compiled.
#[derive(Debug)]
pub struct Plan {
    /// Index 0 is the message type that the plan is for.
    messages: Box<[MessagePlan]>,
    /// The rules of each message type, by the same index.
    rules: Box<[MessageRules]>,
}

impl Plan {
    pub(crate) fn compile(schema: &Schema, root: MessageDescriptor) -> Result<Self, PlanError> {
        let mut builder = Builder { schema, index: BTreeMap::new(), queue: Vec::new() };
        let name = root.full_name().to_owned();
        builder.index_of(&root);
        let mut messages = Vec::new();
        while messages.len() < builder.queue.len() {
            if builder.queue.len() > MESSAGES_MAX {
                return Err(PlanError::TooManyMessages { name, max: MESSAGES_MAX });
            }
            let desc = builder.queue[messages.len()].clone();
            messages.push(builder.message(desc));
        }
        let rules = rules::compile(&messages)?;
        Ok(Plan { messages: messages.into_boxed_slice(), rules: rules.into_boxed_slice() })
    }

    /// Full name of the message type.
    pub fn name(&self) -> &str {
        self.root().name()
    }

    /// The message type that the plan is for.
    pub fn root(&self) -> &MessagePlan {
        &self.messages[0]
    }

    /// A message type of this plan by index, as [`Kind`] and [`Msg::plan_index`] give it.
    ///
    /// # Panics
    ///
    /// When the index comes from another plan and is out of range here.
    pub fn message_of(&self, index: u32) -> &MessagePlan {
        &self.messages[index as usize]
    }

    /// A message type of this plan by full name.
    pub fn message(&self, name: &str) -> Option<&MessagePlan> {
        self.messages.iter().find(|message| message.name == name)
    }

    /// All message types of this plan, the root first.
    pub fn messages(&self) -> &[MessagePlan] {
        &self.messages
    }

    /// Reads a record from its wire bytes.
    ///
    /// # Errors
    ///
    /// The first [`crate::Fault`] met, with the path of the field that has it.
    pub fn decode<'a>(&self, bytes: &'a [u8], limits: &Limits) -> Result<Msg<'a>, DecodeError> {
        decode::decode(self, bytes, limits)
    }

    /// Checks a decoded record against its rules, at a point in time in microseconds since the Unix
    /// epoch. At most 256 violations are looked for.
    ///
    /// # Errors
    ///
    /// When a rule cannot be decided: its evaluation fails, or it needs too many steps.
    pub fn validate(&self, msg: &Msg<'_>, now_micros: i64) -> Result<Vec<Violation>, RuleError> {
        Validation::run(self, msg, now_micros)
    }

    pub(crate) fn rules_of(&self, index: u32) -> &MessageRules {
        &self.rules[index as usize]
    }

    /// Resolves dotted field names, from the root, through singular messages.
    ///
    /// # Errors
    ///
    /// When a segment names no field, or one before the last is not a singular message.
    pub fn path(&self, path: &str) -> Result<Path, PathError> {
        Path::resolve(self, 0, path)
    }

    /// As [`Plan::path`], starting from the message type with this index: what reads the elements
    /// of a repeated field.
    ///
    /// # Errors
    ///
    /// As [`Plan::path`].
    pub fn path_from(&self, message: u32, path: &str) -> Result<Path, PathError> {
        Path::resolve(self, message, path)
    }
}

/// Numbers message types in the order in which they are first met.
struct Builder<'s> {
    schema: &'s Schema,
    index: BTreeMap<String, u32>,
    queue: Vec<MessageDescriptor>,
}

impl Builder<'_> {
    fn index_of(&mut self, desc: &MessageDescriptor) -> u32 {
        if let Some(index) = self.index.get(desc.full_name()) {
            return *index;
        }
        let index = u32::try_from(self.queue.len()).expect("the queue is bounded by MESSAGES_MAX");
        self.index.insert(desc.full_name().to_owned(), index);
        self.queue.push(desc.clone());
        index
    }

    fn message(&mut self, desc: MessageDescriptor) -> MessagePlan {
        let oneofs: Vec<_> = desc.oneofs().filter(|oneof| !oneof.is_synthetic()).collect();
        let mut fields: Vec<FieldPlan> = desc
            .fields()
            .map(|field| {
                let oneof = field
                    .containing_oneof()
                    .and_then(|containing| oneofs.iter().position(|oneof| *oneof == containing));
                self.field(&field, oneof.and_then(|index| u16::try_from(index).ok()))
            })
            .collect();
        fields.sort_by_key(|field| field.number);
        let dense = dense_index(&fields);
        let has_maps = fields.iter().any(|field| matches!(field.cardinality, Cardinality::Map { .. }));
        MessagePlan {
            well_known: WellKnown::of(desc.full_name()),
            empty: Msg::new(self.index_of(&desc)),
            name: desc.full_name().to_owned(),
            fields: fields.into_boxed_slice(),
            dense,
            oneofs: oneofs.iter().map(|oneof| oneof.fields().map(|field| field.number()).collect()).collect(),
            has_maps,
            desc,
        }
    }

    fn field(&mut self, desc: &FieldDescriptor, oneof: Option<u16>) -> FieldPlan {
        let (kind, cardinality) = match desc.kind() {
            DescKind::Message(entry) if desc.is_map() => {
                let key = self.kind(&entry.map_entry_key_field());
                (self.kind(&entry.map_entry_value_field()), Cardinality::Map { key })
            }
            _ if desc.is_list() => (self.kind(desc), Cardinality::Repeated),
            _ => {
                let presence = self.schema.has_presence(desc);
                (self.kind(desc), Cardinality::Singular { presence })
            }
        };
        FieldPlan { number: desc.number(), name: desc.name().into(), kind, cardinality, oneof }
    }

    fn kind(&mut self, desc: &FieldDescriptor) -> Kind {
        match desc.kind() {
            DescKind::Double => Kind::Double,
            DescKind::Float => Kind::Float,
            DescKind::Int32 => Kind::Int32,
            DescKind::Int64 => Kind::Int64,
            DescKind::Uint32 => Kind::UInt32,
            DescKind::Uint64 => Kind::UInt64,
            DescKind::Sint32 => Kind::SInt32,
            DescKind::Sint64 => Kind::SInt64,
            DescKind::Fixed32 => Kind::Fixed32,
            DescKind::Fixed64 => Kind::Fixed64,
            DescKind::Sfixed32 => Kind::SFixed32,
            DescKind::Sfixed64 => Kind::SFixed64,
            DescKind::Bool => Kind::Bool,
            DescKind::String => Kind::String,
            DescKind::Bytes => Kind::Bytes,
            DescKind::Enum(_) => Kind::Enum,
            DescKind::Message(message) if desc.is_group() => Kind::Group(self.index_of(&message)),
            DescKind::Message(message) => Kind::Message(self.index_of(&message)),
        }
    }
}

/// The wrapper messages of `google/protobuf/wrappers.proto`.
pub(crate) fn is_wrapper(name: &str) -> bool {
    let Some(short) = name.strip_prefix("google.protobuf.") else { return false };
    let kinds = [
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
    ];
    kinds.contains(&short)
}

/// Field numbers up to 255 are looked up directly; contracts rarely go beyond.
fn dense_index(fields: &[FieldPlan]) -> Box<[u16]> {
    let len = fields.iter().map(|field| field.number + 1).filter(|len| *len <= 256).max();
    let mut dense = vec![0u16; len.unwrap_or(0) as usize];
    for (field, index) in fields.iter().zip(1u16..) {
        if let Some(slot) = dense.get_mut(field.number as usize) {
            *slot = index;
        }
    }
    dense.into_boxed_slice()
}
