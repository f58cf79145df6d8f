//! Runs compiled rules over a decoded record.

use std::sync::{Arc, LazyLock};

use super::{Absent, CelRule, Check, FieldRules, MessageRules, ValueRules};
use crate::cel::{Budget, Outcome};
use crate::decode::{is_zero, zero};
use crate::error::{RuleError, RuleFault};
use crate::msg::{Msg, Value};
use crate::plan::Plan;
use crate::violation::{PathElement, Subscript, Violation, text};

/// Violations reported for one record; what comes after is not looked for.
pub(crate) const VIOLATIONS_MAX: usize = 256;

static REQUIRED: LazyLock<Arc<str>> = LazyLock::new(|| "required".into());
static REQUIRED_TEXT: LazyLock<Arc<str>> = LazyLock::new(|| "value is required".into());
static ONEOF_TEXT: LazyLock<Arc<str>> = LazyLock::new(|| "exactly one field is required in oneof".into());
static WITHHELD_TEXT: LazyLock<Arc<str>> =
    LazyLock::new(|| "the rule's text is withheld, since it could repeat the value".into());
static MESSAGE_ONEOF: LazyLock<Arc<str>> = LazyLock::new(|| "message.oneof".into());

/// One run over one record.
pub(crate) struct Validation<'p> {
    plan: &'p Plan,
    /// Nanoseconds since the Unix epoch.
    now: i128,
    budget: Budget,
    violations: Vec<Violation>,
}

/// Where the run is: a chain of path elements on the stack.
#[derive(Clone, Copy)]
struct Frame<'f> {
    parent: Option<&'f Frame<'f>>,
    element: &'f PathElement,
    at: At<'f>,
    entry_types: Option<(i32, i32)>,
}

#[derive(Clone, Copy)]
enum At<'f> {
    Whole,
    Index(usize),
    Key(&'f Value<'f>),
}

type Place<'f> = Option<&'f Frame<'f>>;

impl<'p> Validation<'p> {
    pub(crate) fn run(plan: &'p Plan, msg: &Msg<'_>, now_micros: i64) -> Result<Vec<Violation>, RuleError> {
        let now = i128::from(now_micros) * 1000;
        let budget = Budget::per_record();
        let mut run = Validation { plan, now, budget, violations: Vec::new() };
        run.message(msg, None)?;
        Ok(run.violations)
    }

    fn message(&mut self, msg: &Msg<'_>, place: Place<'_>) -> Result<(), RuleError> {
        let plan: &'p Plan = self.plan;
        let rules: &'p MessageRules = plan.rules_of(msg.plan_index());
        if !rules.active {
            return Ok(());
        }
        for rule in &rules.cel {
            self.cel(rule, This::Msg(msg), place, false)?;
        }
        self.oneofs(rules, msg, place);
        for field in &rules.fields {
            if self.violations.len() >= VIOLATIONS_MAX {
                return Ok(());
            }
            self.field(field, msg, place)?;
        }
        Ok(())
    }

    fn oneofs(&mut self, rules: &MessageRules, msg: &Msg<'_>, place: Place<'_>) {
        for oneof in &rules.oneofs {
            let set = oneof.members.iter().filter(|number| msg.has(**number)).count();
            let message = match set {
                0 if oneof.required => format!("one of {} must be set", oneof.message),
                0 | 1 => continue,
                _ => format!("only one of {} can be set", oneof.message),
            };
            let path = Arc::new([]) as Arc<[PathElement]>;
            self.report(place, &MESSAGE_ONEOF, &path, &message.into(), false);
        }
        for (name, members) in &rules.required_oneofs {
            if members.iter().any(|number| msg.has(*number)) {
                continue;
            }
            let element = PathElement {
                number: None,
                name: Arc::clone(name),
                field_type: None,
                key_type: None,
                value_type: None,
                subscript: None,
            };
            let frame = Frame { parent: place, element: &element, at: At::Whole, entry_types: None };
            let path = Arc::new([]) as Arc<[PathElement]>;
            self.report(Some(&frame), &REQUIRED, &path, &ONEOF_TEXT, false);
        }
    }

    fn field(&mut self, field: &FieldRules, msg: &Msg<'_>, place: Place<'_>) -> Result<(), RuleError> {
        let frame =
            Frame { parent: place, element: &field.element, at: At::Whole, entry_types: field.value.entry_types };
        match (msg.get(field.number), &field.required) {
            (Some(value), _) => self.value(&field.value, value, &frame, false),
            (None, Some(path)) => {
                self.report(Some(&frame), &REQUIRED, path, &REQUIRED_TEXT, false);
                Ok(())
            }
            (None, None) if field.skip_absent => Ok(()),
            (None, None) => {
                let absent = match field.absent {
                    Absent::Scalar(kind) => zero(kind),
                    Absent::List => Value::List(Vec::new()),
                    Absent::Map => Value::Map(Vec::new()),
                };
                self.value(&field.value, &absent, &frame, false)
            }
        }
    }

    fn value(
        &mut self,
        rules: &ValueRules,
        value: &Value<'_>,
        frame: &Frame<'_>,
        for_key: bool,
    ) -> Result<(), RuleError> {
        if rules.skip_zero && is_zero_value(value) {
            return Ok(());
        }
        for rule in &rules.cel {
            self.cel(rule, This::Value(value), Some(frame), for_key)?;
        }
        if !rules.checks.is_empty() {
            self.checks(rules, value, frame, for_key)?;
        }
        match value {
            Value::Msg(msg) if rules.nested.is_some() => self.message(msg, Some(frame)),
            Value::List(items) => self.items(rules, items, frame),
            Value::Map(entries) => self.entries(rules, entries, frame),
            _ => Ok(()),
        }
    }

    fn checks(
        &mut self,
        rules: &ValueRules,
        value: &Value<'_>,
        frame: &Frame<'_>,
        for_key: bool,
    ) -> Result<(), RuleError> {
        let inner;
        let value = match (rules.unwrap, value) {
            (Some(kind), Value::Msg(wrapper)) => match wrapper.get(1) {
                Some(value) => value,
                None => {
                    inner = zero(kind);
                    &inner
                }
            },
            _ => value,
        };
        for check in &rules.checks {
            self.check(check, value, frame, for_key)?;
        }
        Ok(())
    }

    #[inline]
    fn check(&mut self, check: &Check, value: &Value<'_>, frame: &Frame<'_>, for_key: bool) -> Result<(), RuleError> {
        match check.test.passes(value, self.now) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.report(Some(frame), &check.id, &check.path, &check.message, for_key);
                Ok(())
            }
            Err(fault) => Err(error(&check.id, Some(frame), fault)),
        }
    }

    fn items(&mut self, rules: &ValueRules, items: &[Value<'_>], frame: &Frame<'_>) -> Result<(), RuleError> {
        let Some(item_rules) = &rules.items else { return Ok(()) };
        for (index, item) in items.iter().enumerate() {
            if self.violations.len() >= VIOLATIONS_MAX {
                return Ok(());
            }
            let frame = Frame { at: At::Index(index), ..*frame };
            self.value(item_rules, item, &frame, false)?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        rules: &ValueRules,
        entries: &[(Value<'_>, Value<'_>)],
        frame: &Frame<'_>,
    ) -> Result<(), RuleError> {
        for (key, value) in entries {
            if self.violations.len() >= VIOLATIONS_MAX {
                return Ok(());
            }
            let frame = Frame { at: At::Key(key), ..*frame };
            if let Some(rules) = &rules.keys {
                self.value(rules, key, &frame, true)?;
            }
            if let Some(rules) = &rules.items {
                self.value(rules, value, &frame, false)?;
            }
        }
        Ok(())
    }

    fn cel(&mut self, rule: &CelRule, this: This<'_>, place: Place<'_>, for_key: bool) -> Result<(), RuleError> {
        let outcome = match this {
            This::Msg(msg) => rule.program.check_msg(self.plan, msg, self.now, &mut self.budget),
            This::Value(value) => rule.program.check_value(self.plan, value, self.now, &mut self.budget),
        };
        match outcome {
            Ok(Outcome::Passed) => Ok(()),
            Ok(failed) => {
                let message = match &failed {
                    Outcome::Text(text) if !rule.has_own_text => text,
                    Outcome::Withheld if !rule.has_own_text => &WITHHELD_TEXT,
                    _ => &rule.message,
                };
                self.report(place, &rule.id, &rule.path, message, for_key);
                Ok(())
            }
            Err(fault) => Err(error(&rule.id, place, fault)),
        }
    }

    fn report(
        &mut self,
        place: Place<'_>,
        rule_id: &Arc<str>,
        rule: &Arc<[PathElement]>,
        message: &Arc<str>,
        for_key: bool,
    ) {
        if self.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let elements = elements(place);
        self.violations.push(Violation {
            field_path: text(&elements, false),
            field_numbers: elements.iter().filter_map(|element| element.number).collect(),
            elements,
            rule_id: Arc::clone(rule_id),
            rule_path: text(rule, true),
            rule_elements: Arc::clone(rule),
            message: Arc::clone(message),
            for_key,
        });
    }
}

/// What a CEL rule is about.
#[derive(Clone, Copy)]
enum This<'m> {
    Msg(&'m Msg<'m>),
    Value(&'m Value<'m>),
}

/// Zero as `IGNORE_IF_ZERO_VALUE` has it: a message that is there is not zero, negative zero is.
fn is_zero_value(value: &Value<'_>) -> bool {
    is_zero(value) || matches!(value, Value::F64(value) if *value == 0.0)
}

fn error(rule_id: &Arc<str>, place: Place<'_>, fault: RuleFault) -> RuleError {
    let field_path = text(&elements(place), false);
    RuleError { rule_id: rule_id.to_string(), field_path, fault }
}

fn elements(place: Place<'_>) -> Vec<PathElement> {
    let mut out = Vec::new();
    let mut at = place;
    while let Some(frame) = at {
        let mut element = frame.element.clone();
        element.subscript = match frame.at {
            At::Whole => None,
            At::Index(index) => Some(Subscript::Index(index as u64)),
            At::Key(Value::Bool(key)) => Some(Subscript::BoolKey(*key)),
            At::Key(Value::I64(key)) => Some(Subscript::IntKey(*key)),
            At::Key(Value::U64(key)) => Some(Subscript::UintKey(*key)),
            At::Key(Value::Str(key)) => Some(Subscript::StringKey((*key).to_owned())),
            At::Key(_) => unreachable!("protobuf map keys are strings, integers or booleans"),
        };
        if let (At::Key(_), Some((key, value))) = (frame.at, frame.entry_types) {
            element.key_type = Some(key);
            element.value_type = Some(value);
        }
        out.push(element);
        at = frame.parent;
    }
    out.reverse();
    out
}
