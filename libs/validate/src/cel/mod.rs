//! CEL rules: refused when a plan is compiled.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, Value as RuleValue};

use crate::error::{CelFault, RuleFault};
use crate::msg::{Msg, Value};
use crate::plan::{Kind, MessagePlan, Plan};

/// What a run may still spend.
#[derive(Debug)]
pub(crate) struct Budget;

impl Budget {
    pub(crate) fn per_record() -> Self {
        Budget
    }
}

/// The result of a rule.
pub(crate) enum Outcome {
    Passed,
    /// With the text that the rule returned, if it depends on nothing but the rule.
    Failed(Option<Arc<str>>),
}

/// What `rules` and `rule` stand for in a predefined rule.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    pub(crate) rules: Option<DynamicMessage>,
    pub(crate) rule: Option<RuleValue>,
}

/// A static type.
#[derive(Clone, Debug)]
#[allow(dead_code)]
pub(crate) enum Ty {
    Dyn,
    Msg(u32),
    List(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
}

impl Ty {
    pub(crate) fn of(_kind: Kind, _messages: &[MessagePlan]) -> Ty {
        Ty::Dyn
    }
}

/// A compiled rule; there are none.
#[derive(Debug)]
pub(crate) enum Program {}

impl Program {
    pub(crate) fn compile(
        _source: &str,
        _messages: &[MessagePlan],
        _this: &Ty,
        _constants: &Constants,
    ) -> Result<Program, CelFault> {
        Err(CelFault::Unsupported { what: "CEL".to_owned() })
    }

    pub(crate) fn check_msg(&self, _: &Plan, _: &Msg<'_>, _: i128, _: &mut Budget) -> Result<Outcome, RuleFault> {
        match *self {}
    }

    pub(crate) fn check_value(&self, _: &Plan, _: &Value<'_>, _: i128, _: &mut Budget) -> Result<Outcome, RuleFault> {
        match *self {}
    }
}
