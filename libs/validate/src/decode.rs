//! Walks wire bytes by a plan. Strict, bounded, one pass, borrowing.

use crate::error::{DecodeError, Fault};
use crate::msg::{Msg, Value};
use crate::plan::{Cardinality, FieldPlan, Kind, Plan};
use crate::wire::{Cursor, WireType};

/// Bounds of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the wire bytes, inclusive. Default 1 MiB.
    pub bytes_max: usize,
    /// Nested messages below the root, inclusive; at most 100 is honoured. Default 32.
    pub depth_max: u32,
    /// Values in the whole record (fields, elements, map keys and values), inclusive; each takes
    /// less than 100 bytes of memory. Default 65,536.
    pub elements_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes_max: 1 << 20, depth_max: 32, elements_max: 1 << 16 }
    }
}

/// Each level takes some hundred bytes of stack; this many are safe on any thread.
const DEPTH_HARD_MAX: u32 = 100;

/// A fault on its way out of the nested calls: the path grows from the leaf to the root.
struct Failure {
    fault: Fault,
    segments: Vec<Segment>,
}

struct Segment {
    number: u32,
    text: String,
}

type Outcome<T> = Result<T, Box<Failure>>;

impl From<Fault> for Box<Failure> {
    fn from(fault: Fault) -> Self {
        Box::new(Failure { fault, segments: Vec::new() })
    }
}

pub(crate) fn decode<'a>(plan: &Plan, bytes: &'a [u8], limits: &Limits) -> Result<Msg<'a>, DecodeError> {
    let depth_max = limits.depth_max.min(DEPTH_HARD_MAX);
    let mut decoder = Decoder {
        plan,
        depth_max,
        depth_left: depth_max,
        elements_max: limits.elements_max,
        elements_left: limits.elements_max,
    };
    let mut msg = Msg::new(0);
    let outcome = if bytes.len() > limits.bytes_max {
        Err(Fault::TooLarge { len: bytes.len(), max: limits.bytes_max }.into())
    } else {
        decoder.message(&mut Cursor::new(bytes), 0, None, &mut msg)
    };
    match outcome {
        Ok(()) => Ok(msg),
        Err(failure) => Err(failure.into_error()),
    }
}

impl Failure {
    fn into_error(self) -> DecodeError {
        let numbers = self.segments.iter().rev().map(|segment| segment.number).collect();
        let names: Vec<_> = self.segments.into_iter().rev().map(|segment| segment.text).collect();
        DecodeError { path: names.join("."), numbers, fault: self.fault }
    }
}

struct Decoder<'p> {
    plan: &'p Plan,
    depth_max: u32,
    depth_left: u32,
    elements_max: u32,
    elements_left: u32,
}

impl<'p> Decoder<'p> {
    /// Reads fields until the input ends or, inside a group, until its end tag.
    fn message<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        index: u32,
        group: Option<u32>,
        into: &mut Msg<'a>,
    ) -> Outcome<()> {
        let plan = self.plan.message_of(index);
        if into.fields.capacity() == 0 {
            // A field takes two bytes at least, so a tiny message reserves little.
            into.fields.reserve_exact(plan.fields().len().min(input.len() / 2));
        }
        while !input.is_empty() {
            let key = input.key()?;
            if key.wire_type == WireType::EndGroup {
                return match group {
                    Some(number) if number == key.number => self.finish(index, into),
                    _ => Err(Fault::Group.into()),
                };
            }
            let Some(field) = plan.field(key.number) else {
                return Err(Fault::UnknownField { number: key.number }.into());
            };
            if let Err(mut failure) = self.field(input, field, key.wire_type, into) {
                failure.segments.push(segment(field, into));
                return Err(failure);
            }
            if let Some(oneof) = field.oneof() {
                for member in plan.oneof_members(oneof) {
                    if *member != field.number() {
                        into.remove(*member);
                    }
                }
            }
        }
        if group.is_some() {
            return Err(Fault::Truncated.into());
        }
        self.finish(index, into)
    }

    #[inline]
    fn field<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        field: &FieldPlan,
        found: WireType,
        into: &mut Msg<'a>,
    ) -> Outcome<()> {
        match field.cardinality() {
            Cardinality::Singular { presence } => match field.kind() {
                Kind::Message(index) | Kind::Group(index) => {
                    self.take(1)?;
                    let slot = into.slot(field.number(), || Value::Msg(Msg::new(index)));
                    let Value::Msg(nested) = slot else {
                        unreachable!("a message field only ever holds a message");
                    };
                    self.nested(input, field, found, nested)
                }
                kind => {
                    let value = scalar(input, kind, found)?;
                    if !presence && is_zero(&value) {
                        into.remove(field.number());
                        return Ok(());
                    }
                    self.take(1)?;
                    match into.find(field.number()) {
                        Ok(at) => into.fields[at].1 = value,
                        Err(at) => into.fields.insert(at, (field.number(), value)),
                    }
                    Ok(())
                }
            },
            Cardinality::Repeated => self.repeated(input, field, found, into),
            Cardinality::Map { key } => self.entry(input, field, key, found, into),
        }
    }

    fn nested<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        field: &FieldPlan,
        found: WireType,
        into: &mut Msg<'a>,
    ) -> Outcome<()> {
        if self.depth_left == 0 {
            return Err(Fault::TooDeep { max: self.depth_max }.into());
        }
        self.depth_left -= 1;
        match (field.kind(), found) {
            (Kind::Message(index), WireType::Len) => {
                let mut bytes = Cursor::new(input.chunk()?);
                self.message(&mut bytes, index, None, into)?;
            }
            (Kind::Group(index), WireType::StartGroup) => {
                self.message(input, index, Some(field.number()), into)?;
            }
            _ => return Err(mismatch(found)),
        }
        self.depth_left += 1;
        Ok(())
    }

    fn repeated<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        field: &FieldPlan,
        found: WireType,
        into: &mut Msg<'a>,
    ) -> Outcome<()> {
        if let Some(index) = field.kind().message_index() {
            self.take(1)?;
            let items = list(into, field.number());
            items.push(Value::Msg(Msg::new(index)));
            let Some(Value::Msg(nested)) = items.last_mut() else {
                unreachable!("a message was just pushed");
            };
            return self.nested(input, field, found, nested);
        }
        if found != WireType::Len || matches!(field.kind(), Kind::String | Kind::Bytes) {
            let value = scalar(input, field.kind(), found)?;
            self.take(1)?;
            list(into, field.number()).push(value);
            return Ok(());
        }
        let mut run = Cursor::new(input.chunk()?);
        let (element, count) = match field.kind() {
            Kind::Float | Kind::Fixed32 | Kind::SFixed32 => (WireType::Fixed32, run.len() / 4),
            Kind::Double | Kind::Fixed64 | Kind::SFixed64 => (WireType::Fixed64, run.len() / 8),
            _ => (WireType::Varint, run.varints()),
        };
        self.take(count)?;
        if run.is_empty() {
            return Ok(());
        }
        let items = list(into, field.number());
        items.reserve(count);
        while !run.is_empty() {
            items.push(scalar(&mut run, field.kind(), element)?);
        }
        Ok(())
    }

    fn entry<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        field: &FieldPlan,
        key_kind: Kind,
        found: WireType,
        into: &mut Msg<'a>,
    ) -> Outcome<()> {
        if found != WireType::Len {
            return Err(mismatch(found));
        }
        self.take(2)?;
        let mut bytes = Cursor::new(input.chunk()?);
        let mut key = zero(key_kind);
        let mut value = zero(field.kind());
        while !bytes.is_empty() {
            let tag = bytes.key()?;
            match (tag.number, &mut value) {
                (1, _) => key = scalar(&mut bytes, key_kind, tag.wire_type)?,
                (2, Value::Msg(nested)) => self.nested(&mut bytes, field, tag.wire_type, nested)?,
                (2, value) => *value = scalar(&mut bytes, field.kind(), tag.wire_type)?,
                (number, _) => return Err(Fault::UnknownField { number }.into()),
            }
        }
        let slot = into.slot(field.number(), || Value::Map(Vec::new()));
        let Value::Map(entries) = slot else {
            unreachable!("a map field only ever holds a map");
        };
        entries.push((key, value));
        Ok(())
    }

    /// Sorts maps and lets the last of equal keys win, as protobuf has it.
    fn finish(&self, index: u32, into: &mut Msg<'_>) -> Outcome<()> {
        if self.plan.message_of(index).has_maps() {
            for (_, value) in &mut into.fields {
                if let Value::Map(entries) = value {
                    sort_entries(entries);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, count: usize) -> Outcome<()> {
        match u32::try_from(count).ok().and_then(|count| self.elements_left.checked_sub(count)) {
            Some(left) => {
                self.elements_left = left;
                Ok(())
            }
            None => Err(Fault::TooManyElements { max: self.elements_max }.into()),
        }
    }
}

fn segment(field: &FieldPlan, parent: &Msg<'_>) -> Segment {
    let mut text = field.name().to_owned();
    if let Some(Value::List(items)) = parent.get(field.number())
        && field.kind().message_index().is_some()
    {
        text.push_str(&format!("[{}]", items.len() - 1));
    }
    Segment { number: field.number(), text }
}

fn list<'m, 'a>(into: &'m mut Msg<'a>, number: u32) -> &'m mut Vec<Value<'a>> {
    match into.slot(number, || Value::List(Vec::new())) {
        Value::List(items) => items,
        _ => unreachable!("a repeated field only ever holds a list"),
    }
}

fn sort_entries(entries: &mut Vec<(Value<'_>, Value<'_>)>) {
    if entries.len() < 2 {
        return;
    }
    entries.sort_by(|a, b| compare_keys(&a.0, &b.0));
    // Stable sort: of equal keys the last received stands last; `dedup` keeps the first.
    entries.reverse();
    entries.dedup_by(|a, b| compare_keys(&a.0, &b.0).is_eq());
    entries.reverse();
}

pub(crate) fn compare_keys(a: &Value<'_>, b: &Value<'_>) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        (Value::I64(a), Value::I64(b)) => a.cmp(b),
        (Value::U64(a), Value::U64(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => unreachable!("protobuf map keys are strings, integers or booleans, of one type"),
    }
}

fn mismatch(found: WireType) -> Box<Failure> {
    match found {
        WireType::StartGroup | WireType::EndGroup => Fault::Group.into(),
        _ => Fault::WrongWireType { found: found.name() }.into(),
    }
}

pub(crate) fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::I64(value) => *value == 0,
        Value::U64(value) => *value == 0,
        // Negative zero is a value: its bits are not all zero.
        Value::F64(value) => value.to_bits() == 0,
        Value::Enum(value) => *value == 0,
        Value::Str(value) => value.is_empty(),
        Value::Bytes(value) => value.is_empty(),
        Value::Msg(_) => false,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}

pub(crate) fn zero(kind: Kind) -> Value<'static> {
    match kind {
        Kind::Bool => Value::Bool(false),
        Kind::Int32 | Kind::Int64 | Kind::SInt32 | Kind::SInt64 => Value::I64(0),
        Kind::SFixed32 | Kind::SFixed64 => Value::I64(0),
        Kind::UInt32 | Kind::UInt64 | Kind::Fixed32 | Kind::Fixed64 => Value::U64(0),
        Kind::Float | Kind::Double => Value::F64(0.0),
        Kind::String => Value::Str(""),
        Kind::Bytes => Value::Bytes(&[]),
        Kind::Enum => Value::Enum(0),
        Kind::Message(index) | Kind::Group(index) => Value::Msg(Msg::new(index)),
    }
}

#[inline]
fn scalar<'a>(input: &mut Cursor<'a>, kind: Kind, found: WireType) -> Outcome<Value<'a>> {
    Ok(match (kind, found) {
        (Kind::String, WireType::Len) => {
            let text = std::str::from_utf8(input.chunk()?).map_err(|_| Fault::InvalidUtf8)?;
            Value::Str(text)
        }
        (Kind::Bytes, WireType::Len) => Value::Bytes(input.chunk()?),
        (Kind::Bool, WireType::Varint) => match input.varint()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(Fault::OutOfRange.into()),
        },
        (Kind::Int32, WireType::Varint) => Value::I64(i64::from(int32(input.varint()?)?)),
        (Kind::Int64, WireType::Varint) => Value::I64(input.varint()?.cast_signed()),
        (Kind::Enum, WireType::Varint) => Value::Enum(int32(input.varint()?)?),
        (Kind::UInt32, WireType::Varint) => Value::U64(u64::from(uint32(input.varint()?)?)),
        (Kind::UInt64, WireType::Varint) => Value::U64(input.varint()?),
        (Kind::SInt32, WireType::Varint) => Value::I64(zigzag(u64::from(uint32(input.varint()?)?))),
        (Kind::SInt64, WireType::Varint) => Value::I64(zigzag(input.varint()?)),
        (Kind::Fixed32, WireType::Fixed32) => Value::U64(u64::from(u32::from_le_bytes(input.fixed32()?))),
        (Kind::SFixed32, WireType::Fixed32) => Value::I64(i64::from(i32::from_le_bytes(input.fixed32()?))),
        (Kind::Float, WireType::Fixed32) => Value::F64(f64::from(f32::from_le_bytes(input.fixed32()?))),
        (Kind::Fixed64, WireType::Fixed64) => Value::U64(u64::from_le_bytes(input.fixed64()?)),
        (Kind::SFixed64, WireType::Fixed64) => Value::I64(i64::from_le_bytes(input.fixed64()?)),
        (Kind::Double, WireType::Fixed64) => Value::F64(f64::from_le_bytes(input.fixed64()?)),
        _ => return Err(mismatch(found)),
    })
}

/// Negative `int32` values travel sign-extended to 64 bits.
fn int32(raw: u64) -> Result<i32, Fault> {
    i32::try_from(raw.cast_signed()).map_err(|_| Fault::OutOfRange)
}

fn uint32(raw: u64) -> Result<u32, Fault> {
    u32::try_from(raw).map_err(|_| Fault::OutOfRange)
}

fn zigzag(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}
