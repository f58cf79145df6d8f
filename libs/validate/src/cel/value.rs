//! Values at run time: borrowed from the record where they can be.

use std::ops::Deref;
use std::sync::Arc;

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value as RuleValue};

use crate::decode::zero;
use crate::msg::{Msg, Value};
use crate::plan::{Cardinality, FieldPlan, Kind, Plan, WellKnown};

/// A value of an expression.
#[derive(Clone, Debug)]
pub(super) enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Text<'v>),
    Bytes(Blob<'v>),
    /// A duration in nanoseconds.
    Span(i128),
    /// Nanoseconds since the Unix epoch.
    Instant(i128),
    List(Items<'v>),
    Map(Entries<'v>),
    Msg(&'v Msg<'v>),
    /// A message of the contract's own options.
    Object(Arc<Object>),
    Type(&'static str),
}

/// Text of the record, or made on the way.
#[derive(Clone, Debug)]
pub(super) enum Text<'v> {
    Borrowed(&'v str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// Bytes of the record, or made on the way.
#[derive(Clone, Debug)]
pub(super) enum Blob<'v> {
    Borrowed(&'v [u8]),
    Shared(Arc<[u8]>),
}

impl Deref for Blob<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Blob::Borrowed(bytes) => bytes,
            Blob::Shared(bytes) => bytes,
        }
    }
}

/// A list of the record, or made on the way.
#[derive(Clone, Debug)]
pub(super) enum Items<'v> {
    Borrowed(&'v [Value<'v>]),
    Shared(Arc<Vec<Val<'v>>>),
}

impl<'v> Items<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Items::Borrowed(items) => items.len(),
            Items::Shared(items) => items.len(),
        }
    }

    pub(super) fn get(&self, plan: &'v Plan, index: usize) -> Option<Val<'v>> {
        match self {
            Items::Borrowed(items) => items.get(index).map(|item| of(plan, item)),
            Items::Shared(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self, plan: &'v Plan) -> impl Iterator<Item = Val<'v>> {
        (0..self.len()).filter_map(move |index| self.get(plan, index))
    }
}

/// A map of the record, or made on the way.
#[derive(Clone, Debug)]
pub(super) enum Entries<'v> {
    Borrowed(&'v [(Value<'v>, Value<'v>)]),
    Shared(Arc<Vec<(Val<'v>, Val<'v>)>>),
}

impl<'v> Entries<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Entries::Borrowed(entries) => entries.len(),
            Entries::Shared(entries) => entries.len(),
        }
    }

    pub(super) fn entry(&self, plan: &'v Plan, index: usize) -> Option<(Val<'v>, Val<'v>)> {
        match self {
            Entries::Borrowed(entries) => entries.get(index).map(|(key, value)| (of(plan, key), of(plan, value))),
            Entries::Shared(entries) => entries.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self, plan: &'v Plan) -> impl Iterator<Item = (Val<'v>, Val<'v>)> {
        (0..self.len()).filter_map(move |index| self.entry(plan, index))
    }
}

/// A message of the contract's options, with every field and whether it is set.
#[derive(Debug)]
pub(super) struct Object {
    fields: Vec<(String, bool, Val<'static>)>,
}

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<(bool, &Val<'static>)> {
        let (_, present, value) = self.fields.iter().find(|(field, _, _)| field == name)?;
        Some((*present, value))
    }
}

/// A value of the record.
pub(super) fn of<'v>(plan: &'v Plan, value: &'v Value<'v>) -> Val<'v> {
    match value {
        Value::Bool(value) => Val::Bool(*value),
        Value::I64(value) => Val::Int(*value),
        Value::U64(value) => Val::Uint(*value),
        Value::F64(value) => Val::Double(*value),
        Value::Enum(number) => Val::Int(i64::from(*number)),
        Value::Str(text) => Val::Str(Text::Borrowed(text)),
        Value::Bytes(bytes) => Val::Bytes(Blob::Borrowed(bytes)),
        Value::Msg(msg) => of_msg(plan, msg),
        Value::List(items) => Val::List(Items::Borrowed(items)),
        Value::Map(entries) => Val::Map(Entries::Borrowed(entries)),
    }
}

/// A message of the record; well-known types are what they stand for.
pub(super) fn of_msg<'v>(plan: &'v Plan, msg: &'v Msg<'v>) -> Val<'v> {
    let message = plan.message_of(msg.plan_index());
    let nanos = || {
        let (seconds, nanos) = msg.seconds_nanos().unwrap_or_default();
        i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
    };
    match message.well_known() {
        WellKnown::No => Val::Msg(msg),
        WellKnown::Timestamp => Val::Instant(nanos()),
        WellKnown::Duration => Val::Span(nanos()),
        WellKnown::Wrapper => match (msg.get(1), message.field(1)) {
            (Some(value), _) => of(plan, value),
            (None, Some(field)) => of_zero(plan, field.kind()),
            (None, None) => Val::Null,
        },
        WellKnown::Struct => of_field(plan, message.field(1), msg.get(1)),
        WellKnown::ListValue => of_field(plan, message.field(1), msg.get(1)),
        WellKnown::Value => match msg.iter().next() {
            None | Some((1, _)) => Val::Null,
            Some((_, value)) => of(plan, value),
        },
    }
}

/// A field's value, or what stands for it when it is not populated.
pub(super) fn of_field<'v>(plan: &'v Plan, field: Option<&FieldPlan>, value: Option<&'v Value<'v>>) -> Val<'v> {
    match (value, field) {
        (Some(value), _) => of(plan, value),
        (None, None) => Val::Null,
        (None, Some(field)) => match field.cardinality() {
            Cardinality::Repeated => Val::List(Items::Borrowed(&[])),
            Cardinality::Map { .. } => Val::Map(Entries::Borrowed(&[])),
            Cardinality::Singular { .. } => match field.kind().message_index() {
                Some(index) if plan.message_of(index).well_known() == WellKnown::Wrapper => Val::Null,
                _ => of_zero(plan, field.kind()),
            },
        },
    }
}

fn of_zero(plan: &Plan, kind: Kind) -> Val<'_> {
    match kind {
        Kind::Message(index) | Kind::Group(index) => of_msg(plan, plan.message_of(index).empty()),
        kind => match zero(kind) {
            Value::Bool(value) => Val::Bool(value),
            Value::I64(value) => Val::Int(value),
            Value::U64(value) => Val::Uint(value),
            Value::F64(value) => Val::Double(value),
            Value::Enum(number) => Val::Int(i64::from(number)),
            Value::Str(text) => Val::Str(Text::Borrowed(text)),
            Value::Bytes(bytes) => Val::Bytes(Blob::Borrowed(bytes)),
            Value::Msg(_) | Value::List(_) | Value::Map(_) => Val::Null,
        },
    }
}

/// A value of the contract's options.
pub(super) fn constant(value: &RuleValue) -> Val<'static> {
    match value {
        RuleValue::Bool(value) => Val::Bool(*value),
        RuleValue::I32(value) => Val::Int(i64::from(*value)),
        RuleValue::I64(value) => Val::Int(*value),
        RuleValue::U32(value) => Val::Uint(u64::from(*value)),
        RuleValue::U64(value) => Val::Uint(*value),
        RuleValue::F32(value) => Val::Double(f64::from(*value)),
        RuleValue::F64(value) => Val::Double(*value),
        RuleValue::String(text) => Val::Str(Text::Shared(text.as_str().into())),
        RuleValue::Bytes(bytes) => Val::Bytes(Blob::Shared(bytes.as_ref().into())),
        RuleValue::EnumNumber(number) => Val::Int(i64::from(*number)),
        RuleValue::Message(message) => object(message),
        RuleValue::List(items) => Val::List(Items::Shared(Arc::new(items.iter().map(constant).collect()))),
        // No rule of `validate.proto` and none that CEL can select from is a map.
        RuleValue::Map(_) => Val::Null,
    }
}

/// A message of the contract's options.
pub(super) fn object(message: &DynamicMessage) -> Val<'static> {
    let nanos = || {
        let part = |number| message.get_field_by_number(number).map(|value| value.into_owned());
        let seconds = part(1).and_then(|value| value.as_i64()).unwrap_or_default();
        let nanos = part(2).and_then(|value| value.as_i32()).unwrap_or_default();
        i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
    };
    let desc = message.descriptor();
    match desc.full_name() {
        "google.protobuf.Duration" => return Val::Span(nanos()),
        "google.protobuf.Timestamp" => return Val::Instant(nanos()),
        name if crate::plan::is_wrapper(name) => {
            return message.get_field_by_number(1).map_or(Val::Null, |value| constant(&value));
        }
        _ => {}
    }
    let field = |field: FieldDescriptor| {
        let present = message.has_field(&field);
        // A message type may contain itself, so what is not set is not entered.
        let value = match message.get_field(&field).as_ref() {
            RuleValue::Message(inner) if !present => match inner.descriptor().full_name() {
                "google.protobuf.Duration" => Val::Span(0),
                "google.protobuf.Timestamp" => Val::Instant(0),
                _ => Val::Object(Arc::new(Object { fields: Vec::new() })),
            },
            value => constant(value),
        };
        (field.name().to_owned(), present, value)
    };
    Val::Object(Arc::new(Object { fields: desc.fields().map(field).collect() }))
}

impl Val<'_> {
    /// The name of the type, as CEL's `type()` has it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::Str(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Span(_) => "google.protobuf.Duration",
            Val::Instant(_) => "google.protobuf.Timestamp",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Msg(_) | Val::Object(_) => "message",
            Val::Type(_) => "type",
        }
    }
}

pub(super) fn shared_text(text: impl Into<Arc<str>>) -> Val<'static> {
    Val::Str(Text::Shared(text.into()))
}
