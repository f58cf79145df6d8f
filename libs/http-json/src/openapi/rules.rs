//! Protovalidate's standard rules as constraints of JSON Schema, as far as those can say them. What they cannot say (CEL, a rule that spares
//! empty values) is left to whoever judges: a schema is never stricter than the rules.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use serde_json::{Value as Json, json};

const EXTENSION: &str = "buf.validate.field";

/// Adds what a field's rules say to its schema, and tells whether it must be there.
pub(super) fn apply(field: &FieldDescriptor, schema: &mut Json) -> bool {
    let Some(extension) = field.parent_pool().get_extension_by_name(EXTENSION) else { return false };
    let options = field.options();
    if !options.has_extension(&extension) {
        return false;
    }
    let rules = options.get_extension(&extension);
    let Some(rules) = rules.as_message() else { return false };
    constrain(rules, schema);
    rules.get_field_by_name("required").and_then(|value| value.as_bool()).unwrap_or(false)
}

fn constrain(rules: &DynamicMessage, schema: &mut Json) {
    let ignored = rules.get_field_by_name("ignore").and_then(|value| value.as_enum_number()).unwrap_or(0);
    if ignored != 0 {
        return;
    }
    for (field, value) in rules.fields() {
        let Some(of_type) = value.as_message() else { continue };
        match field.name() {
            "string" => texts(of_type, schema),
            "int32" | "sint32" | "sfixed32" | "uint32" | "fixed32" | "float" | "double" => numbers(of_type, schema),
            "repeated" => lists(of_type, schema),
            "map" => maps(of_type, schema),
            // 64 bits are text in JSON, and the rest has no counterpart.
            _ => {}
        }
    }
}

fn has(rules: &DynamicMessage, name: &str) -> Option<Value> {
    rules.has_field_by_name(name).then(|| rules.get_field_by_name(name)).flatten().map(|value| value.into_owned())
}

fn plain(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Bool(value) => json!(value),
        Value::I32(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::F32(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::String(value) => json!(value),
        Value::List(values) => values.iter().map(plain).collect::<Option<Vec<_>>>()?.into(),
        Value::Bytes(_) | Value::EnumNumber(_) | Value::Message(_) | Value::Map(_) => return None,
    })
}

/// Copies rules under the names that JSON Schema has for them.
fn copy(rules: &DynamicMessage, schema: &mut Json, names: &[(&str, &str)]) {
    for (rule, keyword) in names {
        if let Some(value) = has(rules, rule).as_ref().and_then(plain) {
            schema[*keyword] = value;
        }
    }
}

fn texts(rules: &DynamicMessage, schema: &mut Json) {
    let names = [
        ("min_len", "minLength"),
        ("max_len", "maxLength"),
        ("pattern", "pattern"),
        ("const", "const"),
        ("in", "enum"),
    ];
    copy(rules, schema, &names);
    if let Some(length) = has(rules, "len").as_ref().and_then(plain) {
        schema["minLength"] = length.clone();
        schema["maxLength"] = length;
    }
    for (rule, format) in [("email", "email"), ("uuid", "uuid"), ("uri", "uri"), ("hostname", "hostname")] {
        if has(rules, rule).and_then(|value| value.as_bool()) == Some(true) {
            schema["format"] = format.into();
        }
    }
}

fn numbers(rules: &DynamicMessage, schema: &mut Json) {
    let lower = has(rules, "gt").or_else(|| has(rules, "gte")).as_ref().and_then(plain);
    let upper = has(rules, "lt").or_else(|| has(rules, "lte")).as_ref().and_then(plain);
    // With the lower bound above the upper one the rule means what lies outside of both.
    let outside = matches!((&lower, &upper), (Some(low), Some(up)) if low.as_f64() >= up.as_f64());
    copy(rules, schema, &[("const", "const"), ("in", "enum")]);
    if !outside {
        let bounds = [("gte", "minimum"), ("gt", "exclusiveMinimum"), ("lte", "maximum"), ("lt", "exclusiveMaximum")];
        copy(rules, schema, &bounds);
    }
}

fn lists(rules: &DynamicMessage, schema: &mut Json) {
    copy(rules, schema, &[("min_items", "minItems"), ("max_items", "maxItems"), ("unique", "uniqueItems")]);
    if let Some(Value::Message(items)) = has(rules, "items") {
        constrain(&items, &mut schema["items"]);
    }
}

fn maps(rules: &DynamicMessage, schema: &mut Json) {
    copy(rules, schema, &[("min_pairs", "minProperties"), ("max_pairs", "maxProperties")]);
    if let Some(Value::Message(values)) = has(rules, "values") {
        constrain(&values, &mut schema["additionalProperties"]);
    }
    if let Some(Value::Message(keys)) = has(rules, "keys") {
        let mut names = schema["propertyNames"].take();
        if names.is_null() {
            names = json!({});
        }
        constrain(&keys, &mut names);
        schema["propertyNames"] = names;
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::super::schema::Schemas;
    use super::*;

    #[test]
    fn rules_of_a_contract_are_constraints_of_its_schema() {
        let civil = contract::builtin().iter().find(|known| known.register == "civil").expect("a built-in register");
        let pool = DescriptorPool::decode(civil.descriptor_set).expect("descriptors");
        let mut schemas = Schemas::default();
        for message in pool.all_messages().filter(|message| message.full_name().starts_with("hub.")) {
            schemas.request(&message);
        }
        let schemas = schemas.into_components();
        let date = &schemas["hub.type.v1.PartialDate"]["properties"];
        assert_eq!((&date["year"]["minimum"], &date["year"]["maximum"]), (&json!(1800), &json!(2200)));
        let unit = &schemas["hub.type.v1.UnitReference"];
        assert_eq!(unit["required"], json!(["code", "listVersion"]));
        assert_eq!(unit["properties"]["code"]["pattern"], "^[0-9]{2}([0-9]|[0-9]{3})?$");
        assert_eq!(unit["properties"]["listVersion"]["maxLength"], 32);
        assert_eq!(unit["additionalProperties"], false);
        assert!(unit["description"].as_str().is_some_and(|text| text.starts_with("An administrative unit")), "{unit}");
    }
}
