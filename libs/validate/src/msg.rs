//! A decoded record: a small tree of fields that borrows strings and bytes from the input.

/// One value of a field. Integers are widened, `float` is widened to `f64` without loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `bool`.
    Bool(bool),
    /// `int32`, `int64`, `sint32`, `sint64`, `sfixed32`, `sfixed64`.
    I64(i64),
    /// `uint32`, `uint64`, `fixed32`, `fixed64`.
    U64(u64),
    /// `float`, `double`.
    F64(f64),
    /// An enum's number; it need not be a declared one.
    Enum(i32),
    /// `string`.
    Str(&'a str),
    /// `bytes`.
    Bytes(&'a [u8]),
    /// A nested message.
    Msg(Msg<'a>),
    /// A repeated field, never empty.
    List(Vec<Value<'a>>),
    /// A map field, never empty, sorted by key, keys unique.
    Map(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if this is a `bytes` value.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The truth value, if this is a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The signed number, if this is a signed integer, an enum, or an unsigned one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::I64(value) => Some(*value),
            Value::U64(value) => i64::try_from(*value).ok(),
            Value::Enum(number) => Some(i64::from(*number)),
            _ => None,
        }
    }

    /// The unsigned number, if this is an unsigned integer or a signed one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::U64(value) => Some(*value),
            Value::I64(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The enum's number, if this is an enum.
    pub fn as_enum(&self) -> Option<i32> {
        match self {
            Value::Enum(number) => Some(*number),
            _ => None,
        }
    }

    /// The nested message, if this is one.
    pub fn as_msg(&self) -> Option<&Msg<'a>> {
        match self {
            Value::Msg(msg) => Some(msg),
            _ => None,
        }
    }

    /// The elements, if this is a repeated field.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Microseconds since the Unix epoch, if this is a `google.protobuf.Timestamp` that fits;
    /// nanoseconds below a microsecond are cut towards the past.
    pub fn as_timestamp_micros(&self) -> Option<i64> {
        self.as_msg()?.timestamp_micros()
    }
}

/// A decoded message: its populated fields, in the order of their numbers.
///
/// A field is populated when it was on the wire and, for fields without presence, is not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Msg<'a> {
    pub(crate) plan: u32,
    pub(crate) fields: Vec<(u32, Value<'a>)>,
}

impl<'a> Msg<'a> {
    pub(crate) fn new(plan: u32) -> Self {
        Msg { plan, fields: Vec::new() }
    }

    /// The value of a field, if populated.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&Value<'a>> {
        self.find(number).ok().map(|index| &self.fields[index].1)
    }

    /// Whether a field is populated.
    pub fn has(&self, number: u32) -> bool {
        self.find(number).is_ok()
    }

    /// The populated fields by ascending number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Value<'a>)> {
        self.fields.iter().map(|(number, value)| (*number, value))
    }

    /// Number of populated fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether no field is populated.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The number under which [`crate::Plan::message_of`] knows this message's type.
    pub fn plan_index(&self) -> u32 {
        self.plan
    }

    /// Reads fields 1 and 2 as `google.protobuf.Timestamp` does. `None` when out of `i64`
    /// microseconds or when the nanoseconds are out of range.
    pub fn timestamp_micros(&self) -> Option<i64> {
        let (seconds, nanos) = self.seconds_nanos()?;
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos) / 1000)
    }

    /// Fields 1 (`int64`) and 2 (`int32`), zero when absent.
    pub(crate) fn seconds_nanos(&self) -> Option<(i64, i32)> {
        let seconds = self.get(1).map_or(Some(0), Value::as_i64)?;
        let nanos = self.get(2).map_or(Some(0), Value::as_i64)?;
        Some((seconds, i32::try_from(nanos).ok()?))
    }

    #[inline]
    pub(crate) fn find(&self, number: u32) -> Result<usize, usize> {
        match self.fields.last() {
            Some((last, _)) if *last < number => Err(self.fields.len()),
            None => Err(0),
            Some(_) => self.fields.binary_search_by_key(&number, |(number, _)| *number),
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Ok(index) = self.find(number) {
            self.fields.remove(index);
        }
    }

    /// The value slot of a field, created from `empty` when absent.
    #[inline]
    pub(crate) fn slot(&mut self, number: u32, empty: impl FnOnce() -> Value<'a>) -> &mut Value<'a> {
        let index = match self.find(number) {
            Ok(index) => index,
            Err(index) => {
                self.fields.insert(index, (number, empty()));
                index
            }
        };
        &mut self.fields[index].1
    }
}
