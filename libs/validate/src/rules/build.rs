//! Compiles the `buf.validate` options of every message type of a plan.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind as DescKind};
use prost_reflect::{OneofDescriptor, ReflectMessage, Value};

use super::options::{self, CelSource};
use super::stock::{self, Stock};
use super::{Absent, CelRule, Check, FieldRules, MessageOneof, MessageRules, ValueRules};
use crate::cel::{Constants, Program, Ty};
use crate::error::{PlanError, RuleSourceFault};
use crate::plan::{Cardinality, Kind, MessagePlan};
use crate::violation::{PathElement, Subscript, text};

const IGNORE_IF_ZERO: i32 = 1;
const IGNORE_ALWAYS: i32 = 3;

/// The rules of every message type, by index.
pub(crate) fn compile(messages: &[MessagePlan]) -> Result<Vec<MessageRules>, PlanError> {
    let mut rules =
        messages.iter().map(|message| Compiler { messages, message }.message()).collect::<Result<Vec<_>, _>>()?;
    mark_active(messages, &mut rules);
    Ok(rules)
}

/// A type is active when it has rules or reaches a type that has; the rest is never visited.
fn mark_active(messages: &[MessagePlan], rules: &mut [MessageRules]) {
    for rule in rules.iter_mut() {
        rule.active = !rule.cel.is_empty()
            || !rule.oneofs.is_empty()
            || !rule.required_oneofs.is_empty()
            || rule.fields.iter().any(FieldRules::has_own);
    }
    loop {
        let mut changed = false;
        for (index, message) in messages.iter().enumerate() {
            let reaches = message
                .fields()
                .iter()
                .any(|field| field.kind().message_index().is_some_and(|nested| rules[nested as usize].active));
            if reaches && !rules[index].active {
                rules[index].active = true;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let active: Vec<bool> = rules.iter().map(|rule| rule.active).collect();
    for rule in rules.iter_mut() {
        for field in &mut rule.fields {
            field.value.prune(&active);
        }
        rule.fields.retain(|field| field.required.is_some() || !field.value.is_empty());
    }
}

impl FieldRules {
    fn has_own(&self) -> bool {
        self.required.is_some() || self.value.has_own()
    }
}

impl ValueRules {
    fn has_own(&self) -> bool {
        !self.checks.is_empty()
            || !self.cel.is_empty()
            || self.items.as_ref().is_some_and(|items| items.has_own())
            || self.keys.as_ref().is_some_and(|keys| keys.has_own())
    }

    fn prune(&mut self, active: &[bool]) {
        self.nested = self.nested.filter(|index| active[*index as usize]);
        for part in [&mut self.items, &mut self.keys] {
            if let Some(rules) = part {
                rules.prune(active);
                if rules.is_empty() {
                    *part = None;
                }
            }
        }
    }
}

/// What a set of rules is about: a field's value, or an element of it.
#[derive(Clone)]
struct Subject {
    kind: Kind,
    container: Container,
    enumeration: Option<EnumDescriptor>,
}

#[derive(Clone, Copy, PartialEq)]
enum Container {
    None,
    List,
    Map(Kind),
}

struct Compiler<'p> {
    messages: &'p [MessagePlan],
    message: &'p MessagePlan,
}

impl Compiler<'_> {
    fn message(&self) -> Result<MessageRules, PlanError> {
        let desc = self.message.descriptor();
        let mut rules = MessageRules::default();
        if let Some(own) = options::message_rules(desc) {
            let this = Ty::Msg(self.index());
            rules.cel = self.cel_rules("", &own, &[], &this, &Constants::default())?;
            for rule in rules.cel.iter_mut() {
                rule.path = Arc::new([]);
            }
            for oneof in options::messages(&own, "oneof") {
                rules.oneofs.push(self.message_oneof(oneof)?);
            }
        }
        for oneof in desc.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            if options::oneof_required(&oneof) {
                rules.required_oneofs.push(members(&oneof));
            }
        }
        for field in self.message.fields() {
            let Some(desc) = desc.get_field(field.number()) else { continue };
            let in_oneof = rules.oneofs.iter().any(|oneof| oneof.members.contains(&field.number()));
            if let Some(field) = self.field(&desc, in_oneof)? {
                rules.fields.push(field);
            }
        }
        Ok(rules)
    }

    fn index(&self) -> u32 {
        let index = self.messages.iter().position(|other| std::ptr::eq(other, self.message));
        u32::try_from(index.expect("the message is one of the plan's")).expect("bounded")
    }

    fn message_oneof(&self, rule: &DynamicMessage) -> Result<MessageOneof, PlanError> {
        let names = options::texts(rule, "fields");
        let required = options::flag(rule, "required");
        let mut members = Vec::new();
        for name in &names {
            match self.message.field_by_name(name) {
                Some(field) if !members.contains(&field.number()) => members.push(field.number()),
                _ => return Err(self.fault("", "oneof", RuleSourceFault::Oneof { member: name.clone() })),
            }
        }
        if members.is_empty() {
            let fault = RuleSourceFault::Oneof { member: String::new() };
            return Err(self.fault("", "oneof", fault));
        }
        let message = names.join(", ").into();
        Ok(MessageOneof { members, required, message })
    }

    fn field(&self, desc: &FieldDescriptor, in_oneof: bool) -> Result<Option<FieldRules>, PlanError> {
        let Some(plan) = self.message.field(desc.number()) else { return Ok(None) };
        let rules = options::field_rules(desc);
        let ignore = rules.as_ref().map_or(0, |rules| options::number(rules, "ignore"));
        if ignore == IGNORE_ALWAYS {
            return Ok(None);
        }
        let skip_zero = ignore == IGNORE_IF_ZERO || (ignore == 0 && in_oneof);
        let (container, presence, absent) = match plan.cardinality() {
            Cardinality::Singular { presence } => (Container::None, presence, Absent::Scalar(plan.kind())),
            Cardinality::Repeated => (Container::List, false, Absent::List),
            Cardinality::Map { key } => (Container::Map(key), false, Absent::Map),
        };
        let enumeration = enumeration(desc);
        let subject = Subject { kind: plan.kind(), container, enumeration };
        let required = rules.as_ref().and_then(|rules| {
            let field = rules.descriptor().get_field_by_name("required")?;
            options::flag(rules, "required").then(|| Arc::from([rule_element(&field)]))
        });
        let mut value = self.value(desc.name(), rules.as_ref(), &[], &subject)?;
        value.skip_zero = skip_zero && !presence;
        if container != Container::None {
            value.entry_types = entry_types(desc);
        }
        Ok(Some(FieldRules {
            number: desc.number(),
            element: PathElement {
                number: Some(desc.number()),
                name: desc.name().into(),
                field_type: Some(desc.field_descriptor_proto().r#type() as i32),
                key_type: None,
                value_type: None,
                subscript: None,
            },
            required,
            skip_absent: presence || skip_zero,
            absent,
            value,
        }))
    }

    /// Compiles `FieldRules` for a value. `prefix` is the path to them from the field's own rules.
    fn value(
        &self,
        field: &str,
        rules: Option<&DynamicMessage>,
        prefix: &[PathElement],
        subject: &Subject,
    ) -> Result<ValueRules, PlanError> {
        let mut out = ValueRules::default();
        match subject.container {
            Container::None => out.nested = subject.kind.message_index(),
            Container::List | Container::Map(_) => {
                let item = Subject { container: Container::None, ..subject.clone() };
                let items = self.value(field, None, prefix, &item)?;
                out.items = (!items.is_empty()).then(|| Box::new(items));
            }
        }
        let Some(rules) = rules else { return Ok(out) };
        match options::number(rules, "ignore") {
            IGNORE_ALWAYS => return Ok(ValueRules::default()),
            IGNORE_IF_ZERO => out.skip_zero = true,
            _ => {}
        }
        let this = self.type_of(subject);
        out.cel = self.cel_rules(field, rules, prefix, &this, &Constants::default())?;
        let kinds = ["cel", "cel_expression", "required", "ignore"];
        for (desc, value) in rules.fields().filter(|(desc, _)| !kinds.contains(&desc.name())) {
            let Some(typed) = value.as_message() else { continue };
            out.unwrap = self.check_kind(field, &desc, subject)?;
            self.typed(field, &desc, typed, prefix, subject, &mut out)?;
        }
        Ok(out)
    }

    /// Rules must be of the field's type; a wrapper takes those of what it wraps.
    fn check_kind(&self, field: &str, rule: &FieldDescriptor, subject: &Subject) -> Result<Option<Kind>, PlanError> {
        let (wanted, wrapped) = match (subject.container, subject.kind) {
            (Container::List, _) => ("repeated", None),
            (Container::Map(_), _) => ("map", None),
            (Container::None, Kind::Message(index) | Kind::Group(index)) => {
                let message = &self.messages[index as usize];
                match message.name() {
                    "google.protobuf.Any" => ("any", None),
                    "google.protobuf.Duration" => ("duration", None),
                    "google.protobuf.Timestamp" => ("timestamp", None),
                    "google.protobuf.FieldMask" => ("field_mask", None),
                    name if crate::plan::is_wrapper(name) => {
                        let inner = message.field(1).map(|field| field.kind());
                        (inner.map_or("", rules_name), inner)
                    }
                    _ => ("", None),
                }
            }
            (Container::None, kind) => (rules_name(kind), None),
        };
        if wanted == rule.name() {
            return Ok(wrapped);
        }
        let fault = RuleSourceFault::WrongType { rules: rule.name().to_owned() };
        Err(self.fault(field, rule.name(), fault))
    }

    /// Compiles `StringRules` and its like.
    fn typed(
        &self,
        field: &str,
        kind: &FieldDescriptor,
        rules: &DynamicMessage,
        prefix: &[PathElement],
        subject: &Subject,
        out: &mut ValueRules,
    ) -> Result<(), PlanError> {
        let mut prefix = prefix.to_vec();
        prefix.push(rule_element(kind));
        for (rule, value) in rules.fields() {
            let path = joined(&prefix, rule_element(&rule));
            match (kind.name(), rule.name()) {
                ("repeated", "items") | ("map", "values") => {
                    let item = Subject { container: Container::None, ..subject.clone() };
                    let items = self.value(field, value.as_message(), &path, &item)?;
                    out.items = (!items.is_empty()).then(|| Box::new(items));
                    continue;
                }
                ("map", "keys") => {
                    let Container::Map(key) = subject.container else { continue };
                    let key = Subject { kind: key, container: Container::None, enumeration: None };
                    let keys = self.value(field, value.as_message(), &path, &key)?;
                    out.keys = (!keys.is_empty()).then(|| Box::new(keys));
                    continue;
                }
                ("repeated", "unique")
                    if subject
                        .kind
                        .message_index()
                        .is_some_and(|index| !crate::plan::is_wrapper(self.messages[index as usize].name())) =>
                {
                    let fault = RuleSourceFault::WrongType { rules: "repeated.unique".to_owned() };
                    return Err(self.fault(field, &text(&path, true), fault));
                }
                _ => {}
            }
            let enumeration = subject.enumeration.as_ref();
            let stock = stock::compile(kind.name(), rules, &rule, value, enumeration)
                .map_err(|fault| self.fault(field, &text(&path, true), fault))?;
            match stock {
                Stock::Tests(tests) => out.checks.extend(tests.into_iter().map(|native| Check {
                    test: native.test,
                    id: native.id.into(),
                    path: path.clone().into(),
                    message: native.message.into(),
                })),
                Stock::Unknown => {
                    let sources = options::predefined(rule.parent_pool(), &rule.options());
                    out.cel.extend(self.predefined(field, sources, &path, subject, rules, value)?);
                }
            }
        }
        for (extension, value) in rules.extensions() {
            let element = PathElement {
                number: Some(extension.number()),
                name: format!("[{}]", extension.full_name()).into(),
                field_type: Some(extension.field_descriptor_proto().r#type() as i32),
                key_type: None,
                value_type: None,
                subscript: None,
            };
            let path = joined(&prefix, element);
            let sources = options::predefined(extension.parent_pool(), &extension.options());
            out.cel.extend(self.predefined(field, sources, &path, subject, rules, value)?);
        }
        Ok(())
    }

    fn predefined(
        &self,
        field: &str,
        sources: Vec<CelSource>,
        path: &[PathElement],
        subject: &Subject,
        rules: &DynamicMessage,
        rule: &Value,
    ) -> Result<Vec<CelRule>, PlanError> {
        let constants = Constants { rules: Some(rules.clone()), rule: Some(rule.clone()) };
        let this = self.type_of(subject);
        let compile = |source: CelSource| {
            let at = text(path, true);
            self.cel_rule(field, &at, source, path.to_vec(), &this, &constants)
        };
        sources.into_iter().map(compile).collect()
    }

    /// `cel` and `cel_expression` of field or message rules.
    fn cel_rules(
        &self,
        field: &str,
        rules: &DynamicMessage,
        prefix: &[PathElement],
        this: &Ty,
        constants: &Constants,
    ) -> Result<Vec<CelRule>, PlanError> {
        let full = options::cel_sources(rules).into_iter().map(|source| ("cel", source));
        let short = options::texts(rules, "cel_expression").into_iter().map(|expression| {
            let source = CelSource { id: expression.clone(), message: String::new(), expression };
            ("cel_expression", source)
        });
        let mut out = Vec::new();
        let mut counters = [0u64; 2];
        for (name, source) in full.chain(short) {
            let counter = &mut counters[usize::from(name == "cel_expression")];
            let Some(desc) = rules.descriptor().get_field_by_name(name) else { continue };
            let mut element = rule_element(&desc);
            element.subscript = Some(Subscript::Index(*counter));
            *counter += 1;
            let path = joined(prefix, element);
            let at = text(&path, true);
            out.push(self.cel_rule(field, &at, source, path, this, constants)?);
        }
        Ok(out)
    }

    fn cel_rule(
        &self,
        field: &str,
        at: &str,
        source: CelSource,
        path: Vec<PathElement>,
        this: &Ty,
        constants: &Constants,
    ) -> Result<CelRule, PlanError> {
        let program = Program::compile(&source.expression, self.messages, this, constants)
            .map_err(|fault| self.fault(field, at, RuleSourceFault::Cel(fault)))?;
        let id = if source.id.is_empty() { source.expression.clone() } else { source.id };
        let has_own_text = !source.message.is_empty();
        let message = match source.message {
            text if text.is_empty() => format!("\"{}\" returned false", source.expression),
            text => text,
        };
        Ok(CelRule { program, id: id.into(), path: path.into(), message: message.into(), has_own_text })
    }

    fn type_of(&self, subject: &Subject) -> Ty {
        let one = Ty::of(subject.kind, self.messages);
        match subject.container {
            Container::None => one,
            Container::List => Ty::List(Box::new(one)),
            Container::Map(key) => Ty::Map(Box::new(Ty::of(key, self.messages)), Box::new(one)),
        }
    }

    fn fault(&self, field: &str, rule: &str, fault: RuleSourceFault) -> PlanError {
        PlanError::Rule {
            message: self.message.name().to_owned(),
            field: field.to_owned(),
            rule: rule.to_owned(),
            fault,
        }
    }
}

fn members(oneof: &OneofDescriptor) -> (Arc<str>, Box<[u32]>) {
    (oneof.name().into(), oneof.fields().map(|field| field.number()).collect())
}

fn enumeration(field: &FieldDescriptor) -> Option<EnumDescriptor> {
    match field.kind() {
        DescKind::Enum(desc) => Some(desc),
        DescKind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
            DescKind::Enum(desc) => Some(desc),
            _ => None,
        },
        _ => None,
    }
}

fn entry_types(field: &FieldDescriptor) -> Option<(i32, i32)> {
    match field.kind() {
        DescKind::Message(entry) if field.is_map() => Some((
            entry.map_entry_key_field().field_descriptor_proto().r#type() as i32,
            entry.map_entry_value_field().field_descriptor_proto().r#type() as i32,
        )),
        _ => None,
    }
}

fn rule_element(field: &FieldDescriptor) -> PathElement {
    PathElement {
        number: Some(field.number()),
        name: field.name().into(),
        field_type: Some(field.field_descriptor_proto().r#type() as i32),
        key_type: None,
        value_type: None,
        subscript: None,
    }
}

fn joined(prefix: &[PathElement], last: PathElement) -> Vec<PathElement> {
    let mut path = prefix.to_vec();
    path.push(last);
    path
}

/// The field of `FieldRules` that a scalar takes its rules from.
fn rules_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::UInt32 => "uint32",
        Kind::UInt64 => "uint64",
        Kind::SInt32 => "sint32",
        Kind::SInt64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::SFixed32 => "sfixed32",
        Kind::SFixed64 => "sfixed64",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum => "enum",
        Kind::Message(_) | Kind::Group(_) => "",
    }
}
