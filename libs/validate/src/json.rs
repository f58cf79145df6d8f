//! Protobuf's canonical JSON mapping, in both directions. Not on the hot path: it goes through
//! dynamic messages.

use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as DescKind, MapKey, MessageDescriptor, SerializeOptions, Value as DynValue,
};
use serde_json::Value as Json;

use crate::error::JsonError;
use crate::msg::{Msg, Value};
use crate::plan::Plan;

impl Plan {
    /// The canonical JSON of a decoded record: enum names, `lowerCamelCase` keys, RFC 3339 times,
    /// 64-bit integers as text.
    ///
    /// `None` when a well-known type holds what JSON cannot express (a year beyond 9999).
    pub fn to_json(&self, msg: &Msg<'_>) -> Option<Json> {
        self.render(msg, &SerializeOptions::new())
    }

    /// As [`Plan::to_json`], with field names as in the `.proto` file.
    pub fn to_json_proto_names(&self, msg: &Msg<'_>) -> Option<Json> {
        self.render(msg, &SerializeOptions::new().use_proto_field_name(true))
    }

    fn render(&self, msg: &Msg<'_>, options: &SerializeOptions) -> Option<Json> {
        let dynamic = dynamic(self, msg);
        dynamic.serialize_with_options(serde_json::value::Serializer, options).ok()
    }

    /// Wire bytes of a JSON document in the canonical mapping; keys may also be the names of the
    /// `.proto` file. Unknown keys are refused.
    ///
    /// # Errors
    ///
    /// The path of the first key or value that does not fit.
    pub fn from_json(&self, json: &Json) -> Result<Vec<u8>, JsonError> {
        let desc = self.root().descriptor();
        match DynamicMessage::deserialize(desc.clone(), json) {
            Ok(message) => Ok(message.encode_to_vec()),
            Err(_) => Err(explain(desc, json, "")),
        }
    }
}

fn dynamic(plan: &Plan, msg: &Msg<'_>) -> DynamicMessage {
    let message = plan.message_of(msg.plan_index());
    let mut out = DynamicMessage::new(message.descriptor().clone());
    for (number, value) in msg.iter() {
        let Some(field) = message.descriptor().get_field(number) else {
            unreachable!("a decoded field is one of its message type");
        };
        let value = dynamic_value(plan, &field, value);
        out.set_field(&field, value);
    }
    out
}

fn dynamic_value(plan: &Plan, field: &FieldDescriptor, value: &Value<'_>) -> DynValue {
    match value {
        Value::List(items) => {
            DynValue::List(items.iter().map(|item| dynamic_item(plan, &field.kind(), item)).collect())
        }
        Value::Map(entries) => {
            let kind = match field.kind() {
                DescKind::Message(entry) => entry.map_entry_value_field().kind(),
                other => other,
            };
            let key_kind = match field.kind() {
                DescKind::Message(entry) => entry.map_entry_key_field().kind(),
                other => other,
            };
            DynValue::Map(
                entries
                    .iter()
                    .map(|(key, value)| (map_key(&key_kind, key), dynamic_item(plan, &kind, value)))
                    .collect(),
            )
        }
        value => dynamic_item(plan, &field.kind(), value),
    }
}

#[allow(clippy::cast_possible_truncation)] // Decoding widened these from 32 bits.
fn dynamic_item(plan: &Plan, kind: &DescKind, value: &Value<'_>) -> DynValue {
    match (kind, value) {
        (DescKind::Int32 | DescKind::Sint32 | DescKind::Sfixed32, Value::I64(value)) => DynValue::I32(*value as i32),
        (_, Value::I64(value)) => DynValue::I64(*value),
        (DescKind::Uint32 | DescKind::Fixed32, Value::U64(value)) => DynValue::U32(*value as u32),
        (_, Value::U64(value)) => DynValue::U64(*value),
        (DescKind::Float, Value::F64(value)) => DynValue::F32(*value as f32),
        (_, Value::F64(value)) => DynValue::F64(*value),
        (_, Value::Bool(value)) => DynValue::Bool(*value),
        (_, Value::Enum(number)) => DynValue::EnumNumber(*number),
        (_, Value::Str(text)) => DynValue::String((*text).to_owned()),
        (_, Value::Bytes(bytes)) => DynValue::Bytes(bytes.to_vec().into()),
        (_, Value::Msg(msg)) => DynValue::Message(dynamic(plan, msg)),
        (_, Value::List(_) | Value::Map(_)) => unreachable!("lists and maps do not nest"),
    }
}

#[allow(clippy::cast_possible_truncation)] // As above.
fn map_key(kind: &DescKind, key: &Value<'_>) -> MapKey {
    match (kind, key) {
        (DescKind::Int32 | DescKind::Sint32 | DescKind::Sfixed32, Value::I64(key)) => MapKey::I32(*key as i32),
        (_, Value::I64(key)) => MapKey::I64(*key),
        (DescKind::Uint32 | DescKind::Fixed32, Value::U64(key)) => MapKey::U32(*key as u32),
        (_, Value::U64(key)) => MapKey::U64(*key),
        (_, Value::Bool(key)) => MapKey::Bool(*key),
        (_, Value::Str(key)) => MapKey::String((*key).to_owned()),
        _ => unreachable!("protobuf map keys are strings, integers or booleans"),
    }
}

/// Finds the smallest part of a document that does not fit, by trying the parts one by one. The
/// reader's own message is withheld, because it may repeat the value.
fn explain(desc: &MessageDescriptor, json: &Json, path: &str) -> JsonError {
    let bad = || JsonError::BadValue {
        path: if path.is_empty() { "$".to_owned() } else { path.to_owned() },
        expected: desc.full_name().to_owned(),
    };
    let (Json::Object(object), false) = (json, desc.full_name().starts_with("google.protobuf.")) else {
        return bad();
    };
    for (key, value) in object {
        let path = join(path, key);
        let field = desc.get_field_by_json_name(key).or_else(|| desc.get_field_by_name(key));
        let Some(field) = field else {
            return JsonError::UnknownField { path, message: desc.full_name().to_owned() };
        };
        let alone = Json::Object([(key.clone(), value.clone())].into_iter().collect());
        if DynamicMessage::deserialize(desc.clone(), &alone).is_err() {
            return explain_field(&field, value, path);
        }
    }
    JsonError::BadMessage { message: desc.full_name().to_owned() }
}

fn explain_field(field: &FieldDescriptor, json: &Json, path: String) -> JsonError {
    let kind = match field.kind() {
        DescKind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let nested = |json: &Json, path: &str| match &kind {
        DescKind::Message(desc) if DynamicMessage::deserialize(desc.clone(), json).is_err() => {
            Some(explain(desc, json, path))
        }
        _ => None,
    };
    let found = match json {
        Json::Array(items) if field.is_list() => {
            items.iter().enumerate().find_map(|(index, item)| nested(item, &format!("{path}[{index}]")))
        }
        Json::Object(entries) if field.is_map() => {
            entries.iter().find_map(|(key, item)| nested(item, &join(&path, key)))
        }
        json if !field.is_list() && !field.is_map() => nested(json, &path),
        _ => None,
    };
    found.unwrap_or_else(|| JsonError::BadValue { path, expected: expected(field, &kind) })
}

fn expected(field: &FieldDescriptor, kind: &DescKind) -> String {
    let name = match kind {
        DescKind::Message(desc) => desc.full_name().to_owned(),
        DescKind::Enum(desc) => desc.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    match (field.is_list(), field.is_map()) {
        (true, _) => format!("a list of {name}"),
        (_, true) => format!("a map to {name}"),
        _ => name,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
