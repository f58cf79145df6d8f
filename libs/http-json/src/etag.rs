//! Validators of answers: equal when the same would be said again.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde_json::Value as Json;

use crate::Validators;
use crate::api::{Api, Method};
use crate::message::to_json;
use crate::problem::Problem;

/// The headers that tell an answer's validator and basis; none when the method's answers have none.
pub(crate) fn of(api: &Api, method: &Method, answer: &DynamicMessage) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    let (Some(validators), Some(basis)) = (&api.options.validators, &method.basis) else { return Ok(headers) };
    let mut lasting = answer.clone();
    if let Some(Value::Message(basis)) = lasting.take_field(basis) {
        tell(validators, &basis, &mut headers);
    }
    strip(api, &mut lasting);
    let mut hasher = blake3::Hasher::new_keyed(&validators.key);
    hasher.update(method.descriptor.full_name().as_bytes());
    feed(&mut hasher, &to_json(&lasting, &api.options)?);
    // Weak: ages and times of asking differ, and what is said of the subject does not.
    let tag = format!("W/\"{}\"", &hasher.finalize().to_hex()[..32]);
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits"));
    Ok(headers)
}

fn tell(validators: &Validators, basis: &DynamicMessage, headers: &mut HeaderMap) {
    for (name, field) in &validators.told {
        let Some(Value::String(text)) = basis.get_field_by_name(field).map(|value| value.into_owned()) else {
            continue;
        };
        // What is no header's value is in the body all the same.
        let Ok(value) = HeaderValue::from_str(&text) else { continue };
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Takes out what differs from one asking to the next.
fn strip(api: &Api, message: &mut DynamicMessage) {
    let here: Vec<_> = message.descriptor().fields().filter(|f| api.volatile.contains(f.full_name())).collect();
    for field in &here {
        message.clear_field(field);
    }
    for (_, value) in message.fields_mut() {
        strip_value(api, value);
    }
}

fn strip_value(api: &Api, value: &mut Value) {
    match value {
        Value::Message(message) => strip(api, message),
        Value::List(list) => list.iter_mut().for_each(|value| strip_value(api, value)),
        Value::Map(map) => map.values_mut().for_each(|value| strip_value(api, value)),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_) => {}
    }
}

/// Feeds a value so that no two values feed the same: each with its kind and length, members by name.
fn feed(hasher: &mut blake3::Hasher, value: &Json) {
    let mut part = |kind: u8, length: usize| {
        hasher.update(&[kind]);
        hasher.update(&(length as u64).to_le_bytes());
    };
    match value {
        Json::Object(members) => {
            part(b'o', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in members {
                feed(hasher, &Json::String(name.clone()));
                feed(hasher, value);
            }
        }
        Json::Array(items) => {
            part(b'a', items.len());
            items.iter().for_each(|item| feed(hasher, item));
        }
        Json::String(text) => {
            part(b's', text.len());
            hasher.update(text.as_bytes());
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {
            let text = value.to_string();
            part(b'p', text.len());
            hasher.update(text.as_bytes());
        }
    }
}

/// Whether `If-None-Match` names this validator, compared weakly (RFC 9110, section 13.1.2).
pub(crate) fn matches(request: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let Some(tag) = tag.and_then(|tag| tag.to_str().ok()) else { return false };
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    wanted.flat_map(|value| value.split(',')).any(|wanted| wanted.trim() == "*" || strong(wanted) == strong(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(json: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        feed(&mut hasher, &serde_json::from_str(json).expect("JSON"));
        hasher.finalize()
    }

    #[test]
    fn values_that_differ_feed_differently_and_order_of_members_does_not_count() {
        let all = [
            "{}",
            "[]",
            "\"\"",
            "null",
            "\"null\"",
            "0",
            "\"0\"",
            "[\"a\",\"b\"]",
            "[\"ab\"]",
            "[[\"a\"],\"b\"]",
            "{\"a\":\"b\"}",
            "{\"a\":[]}",
            "{\"a\":{}}",
            "[\"a\",\"b\",\"\"]",
        ];
        for (at, left) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|right| hash(left) != hash(right)), "{left}");
        }
        assert_eq!(hash("{\"a\":1,\"b\":2}"), hash("{\"b\":2,\"a\":1}"));
    }

    #[test]
    fn a_validator_matches_itself_weakly_among_others_or_a_star() {
        let tag = HeaderValue::from_static("W/\"ab\"");
        let matched = |wanted: &'static str| {
            matches(&HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(wanted))]), Some(&tag))
        };
        assert!(matched("W/\"ab\"") && matched("\"ab\"") && matched("\"x\", W/\"ab\"") && matched("*"));
        assert!(!matched("\"a\"") && !matched("") && !matched("ab") && !matches(&HeaderMap::new(), Some(&tag)));
    }
}
