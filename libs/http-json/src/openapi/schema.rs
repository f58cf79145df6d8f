//! Messages as JSON Schema (2020-12), by protobuf's canonical JSON mapping.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::openapi::comments::Comments;
use crate::openapi::rules;

/// The schemas of all messages that were asked for, and of those that they need.
#[derive(Default)]
pub(super) struct Schemas {
    messages: BTreeMap<String, MessageDescriptor>,
    enums: BTreeMap<String, EnumDescriptor>,
    /// Those that stand in requests: what they do not have is refused.
    closed: BTreeSet<String>,
}

impl Schemas {
    /// A reference to the schema of a message that is sent.
    pub(super) fn request(&mut self, message: &MessageDescriptor) -> Value {
        self.take(message, true);
        reference(message.full_name())
    }

    /// A reference to the schema of a message that is answered.
    pub(super) fn answer(&mut self, message: &MessageDescriptor) -> Value {
        self.take(message, false);
        reference(message.full_name())
    }

    fn take(&mut self, message: &MessageDescriptor, closed: bool) {
        let name = message.full_name().to_owned();
        if well_known(&name).is_some() {
            return;
        }
        let newly_closed = closed && self.closed.insert(name.clone());
        if self.messages.insert(name, message.clone()).is_some() && !newly_closed {
            return;
        }
        for field in message.fields() {
            match value_kind(&field) {
                Kind::Message(next) => self.take(&next, closed),
                Kind::Enum(next) => {
                    self.enums.insert(next.full_name().to_owned(), next);
                }
                _ => {}
            }
        }
    }

    pub(super) fn into_components(self) -> Map<String, Value> {
        let messages = self.messages.iter().map(|(name, of)| (name.clone(), object(of, self.closed.contains(name))));
        let enums = self.enums.iter().map(|(name, of)| (name.clone(), enumeration(of)));
        messages.chain(enums).collect()
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

fn object(message: &MessageDescriptor, closed: bool) -> Value {
    let comments = Comments::of(&message.parent_file());
    let mut schema = json!({ "type": "object" });
    let description = comments.at(message.path());
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in message.fields() {
        let mut property = property(&field);
        if rules::apply(&field, &mut property) {
            required.push(Value::from(field.json_name()));
        }
        let description = comments.at(field.path());
        if !description.is_empty() {
            property["description"] = description.into();
        }
        properties.insert(field.json_name().to_owned(), property);
    }
    schema["properties"] = properties.into();
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    let pairs = exclusive(message);
    if !pairs.is_empty() {
        schema["not"] = json!({ "anyOf": pairs });
    }
    if closed {
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// Pairs of fields of which a message has one at most.
fn exclusive(message: &MessageDescriptor) -> Vec<Value> {
    let mut pairs = Vec::new();
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let names: Vec<_> = oneof.fields().map(|field| field.json_name().to_owned()).collect();
        for (at, left) in names.iter().enumerate() {
            pairs.extend(names[at + 1..].iter().map(|right| json!({ "required": [left, right] })));
        }
    }
    pairs
}

fn property(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            let mut schema = json!({
                "type": "object",
                "additionalProperties": of_kind(&entry.map_entry_value_field().kind()),
            });
            if let Some(names) = keys(&entry.map_entry_key_field().kind()) {
                schema["propertyNames"] = names;
            }
            schema
        }
        kind if field.is_list() => json!({ "type": "array", "items": of_kind(&kind) }),
        kind => of_kind(&kind),
    }
}

/// What the keys of a map look like, when not every text is one.
fn keys(kind: &Kind) -> Option<Value> {
    match kind {
        Kind::String => None,
        Kind::Bool => Some(json!({ "enum": ["true", "false"] })),
        _ => Some(json!({ "pattern": "^-?[0-9]+$" })),
    }
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Double => json!({ "type": "number", "format": "double" }),
        Kind::Float => json!({ "type": "number", "format": "float" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX })
        }
        Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        // 64 bits are more than a number of JavaScript holds, hence text.
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" })
        }
        Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64", "format": "byte" }),
        Kind::Enum(of) => reference(of.full_name()),
        Kind::Message(of) => well_known(of.full_name()).unwrap_or_else(|| reference(of.full_name())),
    }
}

/// Types of protobuf's own with a JSON form of their own.
fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$" }),
        "google.protobuf.Struct" => json!({ "type": "object" }),
        "google.protobuf.ListValue" => json!({ "type": "array" }),
        "google.protobuf.Value" | "google.protobuf.Any" => json!({}),
        "google.protobuf.Empty" => json!({ "type": "object", "additionalProperties": false }),
        "google.protobuf.FieldMask" => json!({ "type": "string" }),
        _ => return None,
    })
}

fn enumeration(of: &EnumDescriptor) -> Value {
    let comments = Comments::of(&of.parent_file());
    let names: Vec<_> = of.values().map(|value| value.name().to_owned()).collect();
    let told = of.values().filter(|value| !comments.at(value.path()).is_empty());
    let told: Vec<_> = told.map(|value| format!("{}: {}", value.name(), comments.at(value.path()))).collect();
    let text = [comments.at(of.path()).to_owned(), told.join(" ")];
    let text = text.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
    let mut schema = json!({ "type": "string", "enum": names });
    if !text.is_empty() {
        schema["description"] = text.into();
    }
    schema
}
