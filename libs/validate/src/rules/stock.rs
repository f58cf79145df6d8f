//! Turns the stock rules of `validate.proto` into native tests. Rule ids and texts are those of its
//! CEL definitions (v1.2). What is not here runs by those definitions.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Value};
use regex::Regex;

use super::check::{BytesTest, Test, TextTest, well_known};
use super::number::{Bound, Number, Range};
use super::options;
use crate::error::RuleSourceFault;
use crate::format;

/// A native test with its rule id and text.
pub(super) struct Native {
    pub(super) test: Test,
    pub(super) id: String,
    pub(super) message: String,
}

/// What became of one set rule field.
pub(super) enum Stock {
    /// Tests, or none when the rule demands nothing.
    Tests(Vec<Native>),
    /// Not known here.
    Unknown,
}

type Outcome = Result<Stock, RuleSourceFault>;

/// Compiles the field `rule` of the rule message `rules` (`StringRules` …), which stands in the
/// field `kind` (`string` …) of `FieldRules`.
pub(super) fn compile(
    kind: &str,
    rules: &DynamicMessage,
    rule: &FieldDescriptor,
    value: &Value,
    enumeration: Option<&EnumDescriptor>,
) -> Outcome {
    let make = Make { kind, name: rule.name() };
    match kind {
        "string" => text(&make, rules, value),
        "bytes" => bytes(&make, value),
        "bool" => Ok(match (rule.name(), value) {
            ("const", Value::Bool(wanted)) => make.one(Test::Bool(*wanted), format!("must equal {wanted}")),
            ("example", _) => Stock::Tests(Vec::new()),
            _ => Stock::Unknown,
        }),
        "repeated" | "map" => Ok(container(&make, value)),
        "any" => Ok(any(&make, value)),
        "field_mask" => Ok(mask(&make, value)),
        "enum" if rule.name() == "defined_only" => Ok(defined(&make, value, enumeration)),
        _ => Ok(number(&make, rules, value)),
    }
}

/// Builds tests of one rule field.
struct Make<'r> {
    kind: &'r str,
    name: &'r str,
}

impl Make<'_> {
    fn one(&self, test: Test, message: String) -> Stock {
        self.tagged(self.name, test, message)
    }

    fn tagged(&self, tag: &str, test: Test, message: String) -> Stock {
        let id = format!("{}.{tag}", self.kind);
        Stock::Tests(vec![Native { test, id, message }])
    }
}

fn number(make: &Make<'_>, rules: &DynamicMessage, value: &Value) -> Stock {
    let single = to_number(value);
    match (make.name, single) {
        ("const", Some(wanted)) => make.one(Test::Equals(wanted), format!("must equal {wanted}")),
        ("in", _) => {
            let list = to_numbers(value);
            let message = format!("must be in list {}", listed(&list));
            make.one(Test::OneOf(list), message)
        }
        ("not_in", _) => {
            let list = to_numbers(value);
            let message = format!("must not be in list {}", listed(&list));
            make.one(Test::NoneOf(list), message)
        }
        ("gt" | "gte", Some(at)) => {
            let lower = Some(Bound { at, inclusive: make.name == "gte" });
            range(make, Range { lower, upper: upper_bound(rules).map(|(_, bound)| bound) }, rules)
        }
        // With a lower bound beside it, that one reports for both.
        ("lt" | "lte", Some(_)) if has_lower_bound(rules) => Stock::Tests(Vec::new()),
        ("lt" | "lte", Some(at)) => {
            let upper = Some(Bound { at, inclusive: make.name == "lte" });
            range(make, Range { lower: None, upper }, rules)
        }
        ("finite", _) => switch(value, || make.one(Test::Finite, "must be finite".into())),
        ("lt_now", _) => switch(value, || make.one(Test::NotAfterNow, "must be less than now".into())),
        ("gt_now", _) => switch(value, || make.one(Test::NotBeforeNow, "must be greater than now".into())),
        ("within", Some(Number::Span(span))) => {
            make.one(Test::NearNow(span), format!("must be within {} of now", Number::Span(span)))
        }
        ("example", _) => Stock::Tests(Vec::new()),
        _ => Stock::Unknown,
    }
}

fn switch(value: &Value, on: impl FnOnce() -> Stock) -> Stock {
    if value.as_bool() == Some(true) { on() } else { Stock::Tests(Vec::new()) }
}

fn has_lower_bound(rules: &DynamicMessage) -> bool {
    ["gt", "gte"].iter().any(|name| options::get(rules, name).is_some())
}

fn upper_bound(rules: &DynamicMessage) -> Option<(&'static str, Bound)> {
    ["lt", "lte"].into_iter().find_map(|name| {
        let at = to_number(&options::get(rules, name)?)?;
        Some((name, Bound { at, inclusive: name == "lte" }))
    })
}

fn range(make: &Make<'_>, range: Range, rules: &DynamicMessage) -> Stock {
    let words = |name: &str| match name {
        "gt" => "greater than",
        "gte" => "greater than or equal to",
        "lt" => "less than",
        _ => "less than or equal to",
    };
    let mut tag = make.name.to_owned();
    let own = range.lower.or(range.upper).map(|bound| bound.at.to_string()).unwrap_or_default();
    let mut message = format!("must be {} {own}", words(make.name));
    if let (Some(_), Some((name, upper))) = (range.lower, upper_bound(rules)) {
        let exclusive = range.is_exclusive();
        let joint = if exclusive { "or" } else { "and" };
        write!(tag, "_{name}{}", if exclusive { "_exclusive" } else { "" }).expect("writing to a string cannot fail");
        write!(message, " {joint} {} {}", words(name), upper.at).expect("writing to a string cannot fail");
    }
    make.tagged(&tag, Test::Within(range), message)
}

fn text(make: &Make<'_>, rules: &DynamicMessage, value: &Value) -> Outcome {
    let own = || value.as_str().unwrap_or_default().to_owned();
    let len = value.as_u64().unwrap_or_default();
    let one = |test: TextTest, message: String| Ok(make.one(Test::Text(test), message));
    match make.name {
        "const" => one(TextTest::Equals(own()), format!("must equal `{}`", own())),
        "len" => one(TextTest::Len(len), format!("must be {len} characters")),
        "min_len" => one(TextTest::LenMin(len), format!("must be at least {len} characters")),
        "max_len" => one(TextTest::LenMax(len), format!("must be at most {len} characters")),
        "len_bytes" => one(TextTest::Bytes(len), format!("must be {len} bytes")),
        "min_bytes" => one(TextTest::BytesMin(len), format!("must be at least {len} bytes")),
        "max_bytes" => one(TextTest::BytesMax(len), format!("must be at most {len} bytes")),
        "pattern" => one(TextTest::Pattern(pattern(&own())?), format!("does not match regex pattern `{}`", own())),
        "prefix" => one(TextTest::Prefix(own()), format!("does not have prefix `{}`", own())),
        "suffix" => one(TextTest::Suffix(own()), format!("does not have suffix `{}`", own())),
        "contains" => one(TextTest::Contains(own()), format!("does not contain substring `{}`", own())),
        "not_contains" => one(TextTest::NotContains(own()), format!("contains substring `{}`", own())),
        "in" => {
            let list = to_texts(value);
            let message = format!("must be in list {}", listed(&list));
            one(TextTest::OneOf(list.into_iter().collect()), message)
        }
        "not_in" => {
            let list = to_texts(value);
            let message = format!("must not be in list {}", listed(&list));
            one(TextTest::NoneOf(list.into_iter().collect()), message)
        }
        "uri_ref" => Ok(switch(value, || {
            let test = Test::Text(TextTest::FormatOrEmpty(format::is_uri_ref));
            make.one(test, "must be a valid URI Reference".into())
        })),
        "well_known_regex" => Ok(header(make, rules, value)),
        "strict" | "example" => Ok(Stock::Tests(Vec::new())),
        name => match well_known(name) {
            Some((check, what)) => Ok(switch(value, || formatted(make, name, check, what))),
            None => Ok(Stock::Unknown),
        },
    }
}

/// A format reports the empty text under an id of its own.
fn formatted(make: &Make<'_>, tag: &str, check: fn(&str) -> bool, what: &str) -> Stock {
    let empty = match tag {
        "host_and_port" => "host and port pair",
        _ => what,
    };
    Stock::Tests(vec![
        Native {
            test: Test::Text(TextTest::Format(check)),
            id: format!("{}.{tag}", make.kind),
            message: format!("must be a valid {what}"),
        },
        Native {
            test: Test::Text(TextTest::NotEmpty),
            id: format!("{}.{tag}_empty", make.kind),
            message: format!("value is empty, which is not a valid {empty}"),
        },
    ])
}

fn header(make: &Make<'_>, rules: &DynamicMessage, value: &Value) -> Stock {
    let strict = options::get(rules, "strict").and_then(|value| value.as_bool()).unwrap_or(true);
    let pick = |check: fn(&str) -> bool| if strict { check } else { format::is_loose_header };
    match value.as_enum_number() {
        Some(1) => formatted(make, "well_known_regex.header_name", pick(format::is_header_name), "HTTP header name"),
        Some(2) => make.tagged(
            "well_known_regex.header_value",
            Test::Text(TextTest::FormatOrEmpty(pick(format::is_header_value))),
            "must be a valid HTTP header value".into(),
        ),
        _ => Stock::Tests(Vec::new()),
    }
}

fn bytes(make: &Make<'_>, value: &Value) -> Outcome {
    let own = || value.as_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
    let len = value.as_u64().unwrap_or_default();
    let one = |test: BytesTest, message: String| Ok(make.one(Test::Bytes(test), message));
    let sized = |sizes: &'static [usize], what: &str| {
        Ok(switch(value, || {
            let tag = make.name;
            Stock::Tests(vec![
                Native {
                    test: Test::Bytes(BytesTest::Sizes(sizes)),
                    id: format!("bytes.{tag}"),
                    message: format!("must be a valid {what}"),
                },
                Native {
                    test: Test::Bytes(BytesTest::NotEmpty),
                    id: format!("bytes.{tag}_empty"),
                    message: format!("value is empty, which is not a valid {what}"),
                },
            ])
        }))
    };
    match make.name {
        "const" => one(BytesTest::Equals(own()), format!("must be {}", hex(&own()))),
        "len" => one(BytesTest::Len(len), format!("must be {len} bytes")),
        "min_len" => one(BytesTest::LenMin(len), format!("must be at least {len} bytes")),
        "max_len" => one(BytesTest::LenMax(len), format!("must be at most {len} bytes")),
        "pattern" => {
            let source = value.as_str().unwrap_or_default();
            one(BytesTest::Pattern(pattern(source)?), format!("must match regex pattern `{source}`"))
        }
        "prefix" => one(BytesTest::Prefix(own()), format!("does not have prefix {}", hex(&own()))),
        "suffix" => one(BytesTest::Suffix(own()), format!("does not have suffix {}", hex(&own()))),
        "contains" => one(BytesTest::Contains(own()), format!("does not contain {}", hex(&own()))),
        "in" => {
            let list = to_blobs(value);
            let shown: Vec<_> = list.iter().map(|item| String::from_utf8_lossy(item)).collect();
            let message = format!("must be in list {}", listed(&shown));
            one(BytesTest::OneOf(list.iter().cloned().collect()), message)
        }
        "not_in" => {
            let list = to_blobs(value);
            let shown: Vec<_> = list.iter().map(|item| String::from_utf8_lossy(item)).collect();
            let message = format!("must not be in list {}", listed(&shown));
            one(BytesTest::NoneOf(list.iter().cloned().collect()), message)
        }
        "ip" => sized(&[4, 16], "IP address"),
        "ipv4" => sized(&[4], "IPv4 address"),
        "ipv6" => sized(&[16], "IPv6 address"),
        "uuid" => sized(&[16], "UUID"),
        "example" => Ok(Stock::Tests(Vec::new())),
        _ => Ok(Stock::Unknown),
    }
}

fn container(make: &Make<'_>, value: &Value) -> Stock {
    let bound = value.as_u64().unwrap_or_default();
    match make.name {
        "min_items" => make.one(Test::ItemsMin(bound), format!("must contain at least {bound} item(s)")),
        "max_items" => make.one(Test::ItemsMax(bound), format!("must contain no more than {bound} item(s)")),
        "unique" => switch(value, || make.one(Test::Unique, "repeated value must contain unique items".into())),
        "min_pairs" => make.one(Test::ItemsMin(bound), format!("map must be at least {bound} entries")),
        "max_pairs" => make.one(Test::ItemsMax(bound), format!("map must be at most {bound} entries")),
        "items" | "keys" | "values" => Stock::Tests(Vec::new()),
        _ => Stock::Unknown,
    }
}

fn any(make: &Make<'_>, value: &Value) -> Stock {
    let list: BTreeSet<String> = to_texts(value).into_iter().collect();
    match make.name {
        "in" => make.one(Test::AnyIn(list), "type URL must be in the allow list".into()),
        "not_in" => make.one(Test::AnyNotIn(list), "type URL must not be in the block list".into()),
        _ => Stock::Unknown,
    }
}

fn mask(make: &Make<'_>, value: &Value) -> Stock {
    match make.name {
        "const" => {
            let paths = value.as_message().map(|mask| options::texts(mask, "paths"));
            let paths = paths.unwrap_or_default();
            let message = format!("must equal paths {}", listed(&paths));
            make.one(Test::MaskEquals(paths), message)
        }
        "in" => {
            let paths = to_texts(value);
            let message = format!("must only contain paths in {}", listed(&paths));
            make.one(Test::MaskIn(paths), message)
        }
        "not_in" => {
            let paths = to_texts(value);
            let message = format!("must not contain any paths in {}", listed(&paths));
            make.one(Test::MaskNotIn(paths), message)
        }
        "example" => Stock::Tests(Vec::new()),
        _ => Stock::Unknown,
    }
}

fn defined(make: &Make<'_>, value: &Value, enumeration: Option<&EnumDescriptor>) -> Stock {
    switch(value, || {
        let numbers = enumeration.map(|list| list.values().map(|value| value.number()).collect());
        make.one(Test::Defined(numbers.unwrap_or_default()), "value must be one of the defined enum values".into())
    })
}

/// RE2 patterns; a compiled one takes at most 1 MiB.
pub(crate) fn pattern(source: &str) -> Result<Regex, RuleSourceFault> {
    regex::RegexBuilder::new(source)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| RuleSourceFault::Pattern { pattern: source.to_owned() })
}

fn to_number(value: &Value) -> Option<Number> {
    Some(match value {
        Value::I32(value) => Number::I(i64::from(*value)),
        Value::I64(value) => Number::I(*value),
        Value::U32(value) => Number::U(u64::from(*value)),
        Value::U64(value) => Number::U(*value),
        Value::F32(value) => Number::F(f64::from(*value)),
        Value::F64(value) => Number::F(*value),
        Value::Message(message) => {
            let seconds = options::get(message, "seconds").and_then(|value| value.as_i64());
            let nanos = options::get(message, "nanos").and_then(|value| value.as_i32());
            let total = i128::from(seconds.unwrap_or(0)) * 1_000_000_000 + i128::from(nanos.unwrap_or(0));
            match prost_reflect::ReflectMessage::descriptor(message).full_name() {
                "google.protobuf.Duration" => Number::Span(total),
                "google.protobuf.Timestamp" => Number::Instant(total),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn to_numbers(value: &Value) -> Vec<Number> {
    value.as_list().unwrap_or_default().iter().filter_map(to_number).collect()
}

fn to_texts(value: &Value) -> Vec<String> {
    let items = value.as_list().unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn to_blobs(value: &Value) -> Vec<Vec<u8>> {
    let items = value.as_list().unwrap_or_default();
    items.iter().filter_map(|item| item.as_bytes().map(|bytes| bytes.to_vec())).collect()
}

fn listed<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string cannot fail");
        out
    })
}
