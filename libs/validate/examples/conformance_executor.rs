//! Speaks the protocol of Buf's `protovalidate-conformance`: a `TestConformanceRequest` on standard
//! input, a `TestConformanceResponse` on standard output. `tests/conformance/run` drives it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use validate::{Limits, PathElement, PlanError, Schema, Subscript, Violation};

fn main() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let request = Request::decode(&*input).map_err(io::Error::other)?;
    let schema = Schema::from_file_descriptor_set(&request.fdset).map_err(io::Error::other)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let now = i64::try_from(now.as_micros()).map_err(io::Error::other)?;
    let results = request
        .cases
        .iter()
        .map(|(name, case)| (name.clone(), CaseResult { result: Some(judge(&schema, case, now)) }))
        .collect();
    io::stdout().lock().write_all(&Response { results }.encode_to_vec())
}

fn judge(schema: &Schema, case: &AnyMessage, now: i64) -> Verdict {
    let name = case.type_url.rsplit('/').next().unwrap_or_default();
    let plan = match schema.plan(name) {
        Ok(plan) => plan,
        Err(error @ PlanError::Rule { .. }) => return Verdict::CompilationError(error.to_string()),
        Err(error) => return Verdict::UnexpectedError(error.to_string()),
    };
    let msg = match plan.decode(&case.value, &Limits::default()) {
        Ok(msg) => msg,
        Err(error) => return Verdict::UnexpectedError(error.to_string()),
    };
    match plan.validate(&msg, now) {
        Ok(violations) if violations.is_empty() => Verdict::Success(true),
        Ok(violations) => {
            Verdict::ValidationError(Violations { violations: violations.iter().map(WireViolation::from).collect() })
        }
        Err(error) => Verdict::RuntimeError(error.to_string()),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(bytes = "vec", tag = "2")]
    fdset: Vec<u8>,
    #[prost(btree_map = "string, message", tag = "3")]
    cases: BTreeMap<String, AnyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(map = "string, message", tag = "1")]
    results: HashMap<String, CaseResult>,
}

#[derive(Clone, PartialEq, Message)]
struct CaseResult {
    #[prost(oneof = "Verdict", tags = "1, 2, 3, 4, 5")]
    result: Option<Verdict>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Verdict {
    #[prost(bool, tag = "1")]
    Success(bool),
    #[prost(message, tag = "2")]
    ValidationError(Violations),
    #[prost(string, tag = "3")]
    CompilationError(String),
    #[prost(string, tag = "4")]
    RuntimeError(String),
    #[prost(string, tag = "5")]
    UnexpectedError(String),
}

#[derive(Clone, PartialEq, Message)]
struct Violations {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<WireViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct WireViolation {
    #[prost(message, optional, tag = "5")]
    field: Option<WirePath>,
    #[prost(message, optional, tag = "6")]
    rule: Option<WirePath>,
    #[prost(string, optional, tag = "2")]
    rule_id: Option<String>,
    #[prost(string, optional, tag = "3")]
    message: Option<String>,
    #[prost(bool, optional, tag = "4")]
    for_key: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct WirePath {
    #[prost(message, repeated, tag = "1")]
    elements: Vec<WireElement>,
}

#[derive(Clone, PartialEq, Message)]
struct WireElement {
    #[prost(int32, optional, tag = "1")]
    field_number: Option<i32>,
    #[prost(string, optional, tag = "2")]
    field_name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    field_type: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    key_type: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    value_type: Option<i32>,
    #[prost(oneof = "WireSubscript", tags = "6, 7, 8, 9, 10")]
    subscript: Option<WireSubscript>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WireSubscript {
    #[prost(uint64, tag = "6")]
    Index(u64),
    #[prost(bool, tag = "7")]
    BoolKey(bool),
    #[prost(int64, tag = "8")]
    IntKey(i64),
    #[prost(uint64, tag = "9")]
    UintKey(u64),
    #[prost(string, tag = "10")]
    StringKey(String),
}

impl From<&Violation> for WireViolation {
    fn from(violation: &Violation) -> Self {
        WireViolation {
            field: path(&violation.elements),
            rule: path(&violation.rule_elements),
            rule_id: Some(violation.rule_id.to_string()),
            message: Some(violation.message.to_string()),
            for_key: violation.for_key.then_some(true),
        }
    }
}

fn path(elements: &[PathElement]) -> Option<WirePath> {
    let elements: Vec<_> = elements.iter().map(WireElement::from).collect();
    (!elements.is_empty()).then_some(WirePath { elements })
}

impl From<&PathElement> for WireElement {
    fn from(element: &PathElement) -> Self {
        WireElement {
            field_number: element.number.and_then(|number| i32::try_from(number).ok()),
            field_name: Some(element.name.to_string()),
            field_type: element.field_type,
            key_type: element.key_type,
            value_type: element.value_type,
            subscript: element.subscript.as_ref().map(|subscript| match subscript {
                Subscript::Index(index) => WireSubscript::Index(*index),
                Subscript::BoolKey(key) => WireSubscript::BoolKey(*key),
                Subscript::IntKey(key) => WireSubscript::IntKey(*key),
                Subscript::UintKey(key) => WireSubscript::UintKey(*key),
                Subscript::StringKey(key) => WireSubscript::StringKey(key.clone()),
            }),
        }
    }
}
