//! How grave each rule is: what the contract says, and what holds where it says nothing.

use std::collections::BTreeMap;

use validate::Plan;

use crate::compile::Place;
use crate::error::ContractError;
use crate::judge::{ErrorGroup, Severity};
use crate::options::{self, OnMessage, RuleClass};
use crate::record_type::field_options;
use crate::trace;

/// The statements of a record type's messages and fields.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// By message type (index in the plan).
    of_messages: BTreeMap<u32, Vec<RuleClass>>,
    /// By message type and field number.
    of_fields: BTreeMap<(u32, u32), Vec<RuleClass>>,
}

impl Classes {
    pub(crate) fn compile(at: Place<'_>, plan: &Plan) -> Result<Self, ContractError> {
        let mut classes = Classes::default();
        for (index, message) in (0u32..).zip(plan.messages()) {
            let parent = message.descriptor().parent_file();
            let place = Place { file: parent.name(), message: message.descriptor() };
            let on: OnMessage = options::read(&message.descriptor().options())
                .map_err(|source| at.problem(format!("options of {} cannot be read ({source})", message.name())))?;
            if !on.rules.is_empty() {
                classes.of_messages.insert(index, on.rules);
            }
            for field in message.fields() {
                let rules = field_options(place, field)?.rules;
                if !rules.is_empty() {
                    classes.of_fields.insert((index, field.number()), rules);
                }
            }
        }
        Ok(classes)
    }

    /// Severity and group of a rule that the field at these numbers (none: the record) breaks.
    /// The nearest statement counts: the field's, its message's, the enclosing message's, and so on.
    pub(crate) fn of(&self, plan: &Plan, field_numbers: &[u32], rule: &str) -> (Severity, ErrorGroup) {
        let (default_severity, default_group) = default_class(rule);
        let Some(stated) = self.stated(plan, field_numbers, rule) else { return (default_severity, default_group) };
        let severity = match stated.severity() {
            options::Severity::Unspecified => default_severity,
            options::Severity::Hard => Severity::Hard,
            options::Severity::Soft => Severity::Soft,
        };
        (severity, ErrorGroup::from_option(stated.group()).unwrap_or(default_group))
    }

    fn stated(&self, plan: &Plan, field_numbers: &[u32], rule: &str) -> Option<&RuleClass> {
        if self.of_messages.is_empty() && self.of_fields.is_empty() {
            return None;
        }
        let mut message = Some(0);
        let mut statements = vec![self.of_messages.get(&0)];
        for number in field_numbers {
            let Some(index) = message else { break };
            statements.push(self.of_fields.get(&(index, *number)));
            message = plan.message_of(index).field(*number).and_then(|field| field.kind().message_index());
            statements.push(message.and_then(|inner| self.of_messages.get(&inner)));
        }
        statements.into_iter().rev().flatten().find_map(|classes| matching(classes, rule))
    }
}

/// The statement for this rule; one for every rule counts when there is none.
fn matching<'c>(classes: &'c [RuleClass], rule: &str) -> Option<&'c RuleClass> {
    let named = classes.iter().find(|class| class.rule == rule);
    named.or_else(|| classes.iter().find(|class| class.rule.is_empty()))
}

/// What holds where the contract says nothing: the hub's own findings are soft, except that a date
/// precedes another; every rule of the contract is hard.
fn default_class(rule: &str) -> (Severity, ErrorGroup) {
    use ErrorGroup as G;
    match rule {
        trace::SUFFICIENT | trace::VAGUE_BIRTH_DATE => (Severity::Soft, G::Missing),
        trace::DATE => (Severity::Soft, G::BadFormat),
        trace::ID_BIRTH_YEAR | trace::ID_SEX => (Severity::Soft, G::Contradiction),
        trace::NOT_BEFORE => (Severity::Hard, G::Contradiction),
        _ => (Severity::Hard, default_group(rule)),
    }
}

/// Group of a stock rule by its id; a contract's own (CEL) rules compare fields.
fn default_group(rule: &str) -> ErrorGroup {
    use ErrorGroup as G;
    let (family, name) = rule.split_once('.').unwrap_or((rule, ""));
    match (family, name) {
        ("required", _) | ("message", "oneof") | ("repeated" | "map", "min_items" | "min_pairs") => G::Missing,
        ("repeated", "unique") => G::Duplicate,
        ("string" | "bytes", "in" | "not_in" | "const") => G::OutOfRange,
        ("string" | "bytes", _) => G::BadFormat,
        (
            "enum" | "bool" | "repeated" | "map" | "duration" | "timestamp" | "any" | "field_mask" | "float" | "double"
            | "int32" | "int64" | "uint32" | "uint64" | "sint32" | "sint64" | "fixed32" | "fixed64" | "sfixed32"
            | "sfixed64",
            _,
        ) => G::OutOfRange,
        _ => G::Contradiction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_rules_have_sensible_groups() {
        for (rule, group) in [
            ("required", ErrorGroup::Missing),
            ("string.pattern", ErrorGroup::BadFormat),
            ("string.max_len", ErrorGroup::BadFormat),
            ("string.in", ErrorGroup::OutOfRange),
            ("string.email", ErrorGroup::BadFormat),
            ("int32.gte_lte", ErrorGroup::OutOfRange),
            ("enum.defined_only", ErrorGroup::OutOfRange),
            ("repeated.unique", ErrorGroup::Duplicate),
            ("repeated.min_items", ErrorGroup::Missing),
            ("repeated.max_items", ErrorGroup::OutOfRange),
            ("encounter.discharge_after_admission", ErrorGroup::Contradiction),
        ] {
            assert_eq!(default_class(rule), (Severity::Hard, group), "{rule}");
        }
    }
}
