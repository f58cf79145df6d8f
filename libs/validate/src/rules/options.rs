//! Reads `buf.validate` options from descriptors.

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage, Value};

/// Names of the option extensions.
const FIELD: &str = "buf.validate.field";
const MESSAGE: &str = "buf.validate.message";
const ONEOF: &str = "buf.validate.oneof";
const PREDEFINED: &str = "buf.validate.predefined";

/// The extension's message in a set of options, if there.
fn extension(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message().cloned()
}

/// `buf.validate.FieldRules` of a field.
pub(super) fn field_rules(field: &FieldDescriptor) -> Option<DynamicMessage> {
    extension(field.parent_pool(), &field.options(), FIELD)
}

/// `buf.validate.MessageRules` of a message.
pub(super) fn message_rules(message: &prost_reflect::MessageDescriptor) -> Option<DynamicMessage> {
    extension(message.parent_pool(), &message.options(), MESSAGE)
}

/// Whether `buf.validate.OneofRules` demands a member.
pub(super) fn oneof_required(oneof: &prost_reflect::OneofDescriptor) -> bool {
    extension(oneof.parent_pool(), &oneof.options(), ONEOF).is_some_and(|rules| flag(&rules, "required"))
}

/// The CEL rules that a rule field carries in its own options (`buf.validate.predefined`).
pub(super) fn predefined(pool: &DescriptorPool, options: &DynamicMessage) -> Vec<CelSource> {
    extension(pool, options, PREDEFINED).map(|rules| cel_sources(&rules)).unwrap_or_default()
}

/// A `buf.validate.Rule`.
pub(super) struct CelSource {
    pub(super) id: String,
    pub(super) message: String,
    pub(super) expression: String,
}

/// The `cel` rules of a rule message.
pub(super) fn cel_sources(rules: &DynamicMessage) -> Vec<CelSource> {
    messages(rules, "cel")
        .map(|rule| CelSource {
            id: text(rule, "id"),
            message: text(rule, "message"),
            expression: text(rule, "expression"),
        })
        .collect()
}

/// The value of a set field.
pub(super) fn get(message: &DynamicMessage, name: &str) -> Option<Value> {
    let field = message.descriptor().get_field_by_name(name)?;
    message.has_field(&field).then(|| message.get_field(&field).into_owned())
}

pub(super) fn text(message: &DynamicMessage, name: &str) -> String {
    get(message, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(super) fn flag(message: &DynamicMessage, name: &str) -> bool {
    get(message, name).and_then(|value| value.as_bool()).unwrap_or_default()
}

pub(super) fn number(message: &DynamicMessage, name: &str) -> i32 {
    get(message, name).and_then(|value| value.as_enum_number()).unwrap_or_default()
}

pub(super) fn texts(message: &DynamicMessage, name: &str) -> Vec<String> {
    let Some(Value::List(items)) = get(message, name) else { return Vec::new() };
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

pub(super) fn messages<'m>(message: &'m DynamicMessage, name: &str) -> impl Iterator<Item = &'m DynamicMessage> {
    let items = message.fields().find(|(field, _)| field.name() == name).and_then(|(_, value)| value.as_list());
    items.unwrap_or_default().iter().filter_map(Value::as_message)
}
