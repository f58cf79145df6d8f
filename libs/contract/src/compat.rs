//! What a new version of a contract would break, as `buf breaking` (category FILE) does for the
//! wire, and for the hub's options besides.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::compile::Contract;
use crate::model::{RecordType, Relation, Role};
use crate::options::{self, OnField};

/// One thing that would break. Rules are named as buf names them; those of the hub start with
/// `HUB_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breaking {
    /// The file of the old contract.
    pub file: String,
    /// Message, enum, field, record type or role, such as "hub.register.civil.v1.Child.sex".
    pub path: String,
    /// The rule, such as "FIELD_SAME_TYPE".
    pub rule: &'static str,
    /// What changed, for people.
    pub message: String,
}

/// Everything that the new contract breaks for those who wrote or read records under the old one,
/// by file and path. Empty when it may replace the old one.
pub fn compat(old: &Contract, new: &Contract) -> Vec<Breaking> {
    let mut comparison = Comparison { old, new, found: Vec::new() };
    comparison.register();
    comparison.record_types();
    let (messages, enums) = reachable(old);
    messages.values().for_each(|message| comparison.message(message));
    enums.values().for_each(|declared| comparison.enumeration(declared));
    comparison.found.sort();
    comparison.found.dedup();
    comparison.found
}

/// Message types and enums that records of the contract hold.
fn reachable(contract: &Contract) -> (BTreeMap<String, MessageDescriptor>, BTreeMap<String, EnumDescriptor>) {
    let (mut messages, mut enums) = (BTreeMap::new(), BTreeMap::new());
    for record_type in contract.record_types() {
        for message in record_type.plan().messages() {
            let descriptor = message.descriptor();
            for field in descriptor.fields() {
                if let Kind::Enum(declared) = field.kind() {
                    enums.insert(declared.full_name().to_owned(), declared);
                }
            }
            messages.insert(descriptor.full_name().to_owned(), descriptor.clone());
        }
    }
    (messages, enums)
}

struct Comparison<'c> {
    old: &'c Contract,
    new: &'c Contract,
    found: Vec<Breaking>,
}

impl Comparison<'_> {
    fn add(&mut self, file: &str, path: &str, rule: &'static str, message: String) {
        self.found.push(Breaking { file: file.to_owned(), path: path.to_owned(), rule, message });
    }

    fn register(&mut self) {
        let (old, new) = (self.old, self.new);
        if old.register() != new.register() {
            let message = format!("register {:?} became {:?}", old.register(), new.register());
            self.add(old.file(), old.register(), "HUB_REGISTER_SAME_NAME", message);
        }
        if old.agency() != new.agency() {
            let message = format!("agency {:?} became {:?}", old.agency(), new.agency());
            self.add(old.file(), old.register(), "HUB_REGISTER_SAME_AGENCY", message);
        }
    }

    fn record_types(&mut self) {
        for old in self.old.record_types() {
            let Ok(new) = self.new.record_type(old.name()) else {
                let message = format!("record type {:?} was deleted", old.name());
                self.add(self.old.file(), old.name(), "HUB_RECORD_TYPE_NO_DELETE", message);
                continue;
            };
            if old.message() != new.message() {
                let message = format!("its message {} became {}", old.message(), new.message());
                self.add(self.old.file(), old.name(), "HUB_RECORD_TYPE_SAME_MESSAGE", message);
            }
            for role in old.roles() {
                self.role(old, new, role);
            }
            for relation in &old.relations {
                self.relation(old, new, relation);
            }
        }
    }

    fn role(&mut self, old: &RecordType, new: &RecordType, role: &Role) {
        let path = format!("{}.{}", old.name(), role.name);
        let file = self.old.file();
        let Some(now) = new.roles().iter().find(|now| now.name == role.name) else {
            return self.add(file, &path, "HUB_MENTION_NO_DELETE", format!("role {:?} was deleted", role.name));
        };
        if role.kind != now.kind {
            self.add(file, &path, "HUB_MENTION_SAME_KIND", format!("kind {:?} became {:?}", role.kind, now.kind));
        }
        if role.number != now.number {
            let message = format!("number {} became {}", role.number, now.number);
            self.add(file, &path, "HUB_MENTION_SAME_NUMBER", message);
        }
        if role.key_field != now.key_field {
            let message = format!("key_field {:?} became {:?}", role.key_field, now.key_field);
            self.add(file, &path, "HUB_MENTION_SAME_KEY", message);
        }
        if role.same_person != now.same_person {
            let message = "same_person became another group".to_owned();
            self.add(file, &path, "HUB_MENTION_SAME_GROUP", message);
        }
    }

    fn relation(&mut self, old: &RecordType, new: &RecordType, relation: &Relation) {
        let ends = |of: &RecordType, relation: &Relation| {
            (relation.relation, of.roles[relation.from].name.clone(), of.roles[relation.to].name.clone())
        };
        let wanted = ends(old, relation);
        if !new.relations.iter().any(|now| ends(new, now) == wanted) {
            let path = format!("{}.{}", old.name(), wanted.1);
            let message = format!("relation {} to {:?} was deleted", wanted.0.name(), wanted.2);
            self.add(self.old.file(), &path, "HUB_RELATION_NO_DELETE", message);
        }
    }

    fn message(&mut self, old: &MessageDescriptor) {
        let parent = old.parent_file();
        let file = parent.name();
        let Some(new) = self.new.schema.pool().get_message_by_name(old.full_name()) else {
            let message = "the message was deleted".to_owned();
            return self.add(file, old.full_name(), "MESSAGE_NO_DELETE", message);
        };
        if file != new.parent_file().name() {
            let message = format!("moved to {}", new.parent_file().name());
            self.add(file, old.full_name(), "FILE_SAME_PATH", message);
        }
        for field in old.fields() {
            self.field(file, &field, &new);
        }
        for oneof in old.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            if !new.oneofs().any(|now| now.name() == oneof.name()) {
                let message = format!("oneof {:?} was deleted", oneof.name());
                self.add(file, old.full_name(), "ONEOF_NO_DELETE", message);
            }
        }
        for range in old.reserved_ranges() {
            let kept = |number| new.reserved_ranges().any(|now| now.contains(&number));
            // Ranges of a contract are short; only their ends are compared with the new ranges.
            if !kept(range.start) || !kept(range.end.saturating_sub(1).max(range.start)) {
                let message = format!("reserved numbers {} to {} were released", range.start, range.end - 1);
                self.add(file, old.full_name(), "RESERVED_MESSAGE_NO_DELETE", message);
            }
        }
    }

    fn field(&mut self, file: &str, old: &FieldDescriptor, message: &MessageDescriptor) {
        let path = old.full_name();
        let Some(new) = message.get_field(old.number()) else {
            let message = format!("field {} was deleted", old.number());
            return self.add(file, path, "FIELD_NO_DELETE", message);
        };
        let mut differ = |rule, what: &str, before: String, after: String| {
            if before != after {
                self.found.push(Breaking {
                    file: file.to_owned(),
                    path: path.to_owned(),
                    rule,
                    message: format!("{what} {before} became {after}"),
                });
            }
        };
        differ("FIELD_SAME_NAME", "name", old.name().into(), new.name().into());
        differ("FIELD_SAME_JSON_NAME", "JSON name", old.json_name().into(), new.json_name().into());
        differ("FIELD_SAME_TYPE", "type", type_name(old), type_name(&new));
        differ("FIELD_SAME_CARDINALITY", "cardinality", cardinality(old).into(), cardinality(&new).into());
        differ("FIELD_SAME_ONEOF", "oneof", oneof(old), oneof(&new));
        let (was, is) = (hub_options(old), hub_options(&new));
        differ("HUB_IDENTIFIES_SAME", "what it identifies", features(&was), features(&is));
        differ(
            "HUB_SAME_DATE_FORMAT",
            "date format",
            was.date_format().as_str_name().into(),
            is.date_format().as_str_name().into(),
        );
        differ("HUB_SAME_SEX_CODING", "coding of sex", sex(&was), sex(&is));
        differ(
            "HUB_SAME_RECORD_UNIT",
            "use as the record's unit",
            was.record_unit.to_string(),
            is.record_unit.to_string(),
        );
        for assert in was.asserts.iter().filter(|assert| !is.asserts.contains(assert)) {
            let message = format!("it no longer asserts {assert}");
            self.found.push(Breaking { file: file.into(), path: path.into(), rule: "HUB_ASSERT_NO_DELETE", message });
        }
    }

    fn enumeration(&mut self, old: &EnumDescriptor) {
        let parent = old.parent_file();
        let (file, path) = (parent.name(), old.full_name());
        let Some(new) = self.new.schema.pool().get_enum_by_name(path) else {
            return self.add(file, path, "ENUM_NO_DELETE", "the enum was deleted".to_owned());
        };
        for value in old.values() {
            let names: Vec<_> =
                new.values().filter(|now| now.number() == value.number()).map(|now| now.name().to_owned()).collect();
            if names.is_empty() {
                let message = format!("value {} was deleted", value.number());
                self.add(file, path, "ENUM_VALUE_NO_DELETE", message);
            } else if !names.iter().any(|name| name == value.name()) {
                let message = format!("value {} became {}", value.name(), names.join(" or "));
                self.add(file, path, "ENUM_VALUE_SAME_NAME", message);
            }
        }
    }
}

fn type_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(message) if field.is_group() => format!("group {}", message.full_name()),
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(declared) => declared.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn cardinality(field: &FieldDescriptor) -> &'static str {
    match field.cardinality() {
        _ if field.is_map() => "map",
        Cardinality::Repeated => "repeated",
        Cardinality::Required => "required",
        Cardinality::Optional if field.supports_presence() => "optional with presence",
        Cardinality::Optional => "optional without presence",
    }
}

fn oneof(field: &FieldDescriptor) -> String {
    match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
        Some(oneof) => format!("{:?}", oneof.name()),
        None => "none".to_owned(),
    }
}

fn hub_options(field: &FieldDescriptor) -> options::Field {
    let on: OnField = options::read(&field.options()).expect("both contracts were compiled from these options");
    on.field.unwrap_or_default()
}

fn features(stated: &options::Field) -> String {
    let mut names: Vec<_> = stated.identifies().map(|feature| feature.as_str_name()).collect();
    names.sort_unstable();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn sex(stated: &options::Field) -> String {
    match &stated.sex {
        Some(sex) => format!("male {:?} female {:?}", sex.male, sex.female),
        None => "none".to_owned(),
    }
}
