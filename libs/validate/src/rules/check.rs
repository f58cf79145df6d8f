//! Native checks: one enum, one function.

use std::collections::BTreeSet;

use regex::Regex;

use super::number::{Number, Range};
use crate::error::RuleFault;
use crate::format;
use crate::msg::{Msg, Value};

/// What a value must satisfy.
#[derive(Debug)]
pub(crate) enum Test {
    Bool(bool),
    Equals(Number),
    OneOf(Vec<Number>),
    NoneOf(Vec<Number>),
    Within(Range),
    Finite,
    NotAfterNow,
    NotBeforeNow,
    /// At most so many nanoseconds away from now.
    NearNow(i128),
    Text(TextTest),
    Bytes(BytesTest),
    /// A declared number of the enum.
    Defined(BTreeSet<i32>),
    ItemsMin(u64),
    ItemsMax(u64),
    Unique,
    /// `google.protobuf.Any` by type URL.
    AnyIn(BTreeSet<String>),
    AnyNotIn(BTreeSet<String>),
    /// `google.protobuf.FieldMask` by paths.
    MaskEquals(Vec<String>),
    MaskIn(Vec<String>),
    MaskNotIn(Vec<String>),
}

/// What a string must satisfy. Lengths are in characters (Unicode scalar values) or bytes.
#[derive(Debug)]
pub(crate) enum TextTest {
    Equals(String),
    Len(u64),
    LenMin(u64),
    LenMax(u64),
    Bytes(u64),
    BytesMin(u64),
    BytesMax(u64),
    Pattern(Regex),
    Prefix(String),
    Suffix(String),
    Contains(String),
    NotContains(String),
    OneOf(BTreeSet<String>),
    NoneOf(BTreeSet<String>),
    NotEmpty,
    /// A well-known format; the empty text passes, `NotEmpty` stands beside it.
    Format(fn(&str) -> bool),
    /// A well-known format that judges the empty text too.
    FormatOrEmpty(fn(&str) -> bool),
}

/// What a byte string must satisfy.
#[derive(Debug)]
pub(crate) enum BytesTest {
    Equals(Vec<u8>),
    Len(u64),
    LenMin(u64),
    LenMax(u64),
    Pattern(Regex),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Vec<u8>),
    OneOf(BTreeSet<Vec<u8>>),
    NoneOf(BTreeSet<Vec<u8>>),
    NotEmpty,
    /// Empty or of one of these lengths.
    Sizes(&'static [usize]),
}

impl Test {
    /// Whether the value passes. A value of another shape than the rule's fails.
    pub(crate) fn passes(&self, value: &Value<'_>, now: i128) -> Result<bool, RuleFault> {
        Ok(match (self, value) {
            (Test::Text(test), Value::Str(text)) => test.passes(text),
            (Test::Bytes(test), Value::Bytes(bytes)) => return test.passes(bytes),
            (Test::Bool(wanted), Value::Bool(value)) => wanted == value,
            (Test::Defined(numbers), Value::Enum(number)) => numbers.contains(number),
            (Test::ItemsMin(min), value) => count(value) >= *min,
            (Test::ItemsMax(max), value) => count(value) <= *max,
            (Test::Unique, Value::List(items)) => is_unique(items),
            (Test::AnyIn(urls), Value::Msg(msg)) => urls.contains(text_of(msg, 1)),
            (Test::AnyNotIn(urls), Value::Msg(msg)) => !urls.contains(text_of(msg, 1)),
            (Test::MaskEquals(wanted), Value::Msg(msg)) => paths(msg).eq(wanted.iter()),
            (Test::MaskIn(masks), Value::Msg(msg)) => paths(msg).all(|path| covers(masks, path)),
            (Test::MaskNotIn(masks), Value::Msg(msg)) => !paths(msg).any(|path| covers(masks, path)),
            (Test::Finite, Value::F64(value)) => value.is_finite(),
            (test, value) => test.passes_number(value, now),
        })
    }

    fn passes_number(&self, value: &Value<'_>, now: i128) -> bool {
        let Some(number) = Number::of(value) else { return false };
        match (self, number) {
            (Test::Equals(wanted), number) => number.equals(*wanted),
            (Test::OneOf(list), number) => list.iter().any(|item| number.equals(*item)),
            (Test::NoneOf(list), number) => !list.iter().any(|item| number.equals(*item)),
            (Test::Within(range), number) => range.contains(number),
            (Test::NotAfterNow, Number::Instant(at)) => at <= now,
            (Test::NotBeforeNow, Number::Instant(at)) => at >= now,
            (Test::NearNow(span), Number::Instant(at)) => (now - span..=now + span).contains(&at),
            _ => false,
        }
    }
}

impl TextTest {
    fn passes(&self, text: &str) -> bool {
        let chars = || text.chars().count() as u64;
        match self {
            TextTest::Equals(wanted) => text == wanted,
            TextTest::Len(len) => chars() == *len,
            TextTest::LenMin(min) => chars() >= *min,
            // Bytes bound characters from above, so most texts need no counting.
            TextTest::LenMax(max) => text.len() as u64 <= *max || chars() <= *max,
            TextTest::Bytes(len) => text.len() as u64 == *len,
            TextTest::BytesMin(min) => text.len() as u64 >= *min,
            TextTest::BytesMax(max) => text.len() as u64 <= *max,
            TextTest::Pattern(regex) => regex.is_match(text),
            TextTest::Prefix(part) => text.starts_with(part.as_str()),
            TextTest::Suffix(part) => text.ends_with(part.as_str()),
            TextTest::Contains(part) => text.contains(part.as_str()),
            TextTest::NotContains(part) => !text.contains(part.as_str()),
            TextTest::OneOf(list) => list.contains(text),
            TextTest::NoneOf(list) => !list.contains(text),
            TextTest::NotEmpty => !text.is_empty(),
            TextTest::Format(check) => text.is_empty() || check(text),
            TextTest::FormatOrEmpty(check) => check(text),
        }
    }
}

impl BytesTest {
    fn passes(&self, bytes: &[u8]) -> Result<bool, RuleFault> {
        Ok(match self {
            BytesTest::Equals(wanted) => bytes == wanted,
            BytesTest::Len(len) => bytes.len() as u64 == *len,
            BytesTest::LenMin(min) => bytes.len() as u64 >= *min,
            BytesTest::LenMax(max) => bytes.len() as u64 <= *max,
            BytesTest::Pattern(regex) => {
                let text = std::str::from_utf8(bytes).map_err(|_| RuleFault::NotText)?;
                regex.is_match(text)
            }
            BytesTest::Prefix(part) => bytes.starts_with(part),
            BytesTest::Suffix(part) => bytes.ends_with(part),
            BytesTest::Contains(part) => contains(bytes, part),
            BytesTest::OneOf(list) => list.contains(bytes),
            BytesTest::NoneOf(list) => !list.contains(bytes),
            BytesTest::NotEmpty => !bytes.is_empty(),
            BytesTest::Sizes(sizes) => bytes.is_empty() || sizes.contains(&bytes.len()),
        })
    }
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

fn count(value: &Value<'_>) -> u64 {
    match value {
        Value::List(items) => items.len() as u64,
        Value::Map(entries) => entries.len() as u64,
        _ => 0,
    }
}

/// Elements compare by value: booleans, integers, floats, strings, bytes and enums.
pub(crate) fn is_unique(items: &[Value<'_>]) -> bool {
    if items.len() <= 16 {
        return items.iter().enumerate().all(|(at, item)| !items[..at].contains(item));
    }
    let mut seen = BTreeSet::new();
    items.iter().filter_map(OrderedItem::of).all(|item| seen.insert(item))
}

/// A scalar as something that can be ordered.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum OrderedItem<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(u64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

impl<'v> OrderedItem<'v> {
    /// `None` for what is equal to nothing: NaN, and what is no scalar.
    fn of(value: &'v Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => OrderedItem::Bool(*value),
            Value::I64(value) => OrderedItem::Int(*value),
            Value::Enum(value) => OrderedItem::Int(i64::from(*value)),
            Value::U64(value) => OrderedItem::Uint(*value),
            // Adding zero makes negative zero positive: they are equal.
            Value::F64(value) if !value.is_nan() => OrderedItem::Float((*value + 0.0).to_bits()),
            Value::Str(value) => OrderedItem::Text(value),
            Value::Bytes(value) => OrderedItem::Bytes(value),
            Value::F64(_) | Value::Msg(_) | Value::List(_) | Value::Map(_) => return None,
        })
    }
}

fn text_of<'a>(msg: &Msg<'a>, number: u32) -> &'a str {
    msg.get(number).and_then(Value::as_str).unwrap_or_default()
}

fn paths<'m>(mask: &'m Msg<'_>) -> impl Iterator<Item = &'m str> {
    let items = mask.get(1).and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str)
}

fn covers(masks: &[String], path: &str) -> bool {
    masks
        .iter()
        .any(|mask| path.strip_prefix(mask.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// A pure check of a text.
pub(crate) type FormatCheck = fn(&str) -> bool;

/// The formats of `string.well_known`, by the name of their rule: the check, and what the text
/// should be.
pub(crate) fn well_known(name: &str) -> Option<(FormatCheck, &'static str)> {
    Some(match name {
        "email" => (format::is_email, "email address"),
        "hostname" => (format::is_hostname, "hostname"),
        "ip" => (|text| format::is_ip(text, 0), "IP address"),
        "ipv4" => (|text| format::is_ip(text, 4), "IPv4 address"),
        "ipv6" => (|text| format::is_ip(text, 6), "IPv6 address"),
        "uri" => (format::is_uri, "URI"),
        "address" => (|text| format::is_hostname(text) || format::is_ip(text, 0), "hostname, or ip address"),
        "uuid" => (format::is_uuid, "UUID"),
        "tuuid" => (format::is_tuuid, "trimmed UUID"),
        "ulid" => (format::is_ulid, "ULID"),
        "ip_with_prefixlen" => (|text| format::is_ip_prefix(text, 0, false), "IP prefix"),
        "ipv4_with_prefixlen" => (|text| format::is_ip_prefix(text, 4, false), "IPv4 address with prefix length"),
        "ipv6_with_prefixlen" => (|text| format::is_ip_prefix(text, 6, false), "IPv6 address with prefix length"),
        "ip_prefix" => (|text| format::is_ip_prefix(text, 0, true), "IP prefix"),
        "ipv4_prefix" => (|text| format::is_ip_prefix(text, 4, true), "IPv4 prefix"),
        "ipv6_prefix" => (|text| format::is_ip_prefix(text, 6, true), "IPv6 prefix"),
        "host_and_port" => (|text| format::is_host_and_port(text, true), "host (hostname or IP address) and port pair"),
        "protobuf_fqn" => (format::is_protobuf_fqn, "fully-qualified Protobuf name"),
        "protobuf_dot_fqn" => (format::is_protobuf_dot_fqn, "fully-qualified Protobuf name with a leading dot"),
        _ => return None,
    })
}
