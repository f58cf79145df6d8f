//! CEL rules: parsed and type-checked when a plan is compiled, evaluated within a budget of steps.
//!
//! The `cel` crate parses and expands macros; the evaluator is our own, because it reads a [`Msg`]
//! in place, counts every step, and knows a message type's fields before the first record comes.

mod arith;
mod call;
mod check;
mod compare;
mod eval;
mod func;
mod lower;
mod text;
mod ty;
mod value;

use std::sync::Arc;

use prost_reflect::{DynamicMessage, Value as RuleValue};

use crate::error::{CelFault, RuleFault};
use crate::msg::{Msg, Value};
use crate::plan::{MessagePlan, Plan};
use eval::Scope;
use func::Func;
pub(crate) use ty::Ty;
use value::Val;

/// Bytes of one expression, inclusive.
const EXPRESSION_BYTES_MAX: usize = 4096;
/// Nodes of one expression after macros are expanded, inclusive.
const NODES_MAX: usize = 2000;
/// Nesting of one expression, inclusive.
const DEPTH_MAX: usize = 64;
/// Loops inside loops, inclusive.
const LOOPS_MAX: u32 = 2;
/// Steps that all CEL rules of one record may take together. A step is a node evaluated, or 32
/// bytes or one element looked at; 100,000 take some milliseconds.
const STEPS_MAX: u64 = 100_000;

/// What a run may still spend.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: u64,
}

impl Budget {
    pub(crate) fn per_record() -> Self {
        Budget { steps: STEPS_MAX }
    }

    fn spend(&mut self, steps: u64) -> Result<(), RuleFault> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(RuleFault::Budget { max: STEPS_MAX })
            }
        }
    }
}

/// The result of a rule.
pub(crate) enum Outcome {
    Passed,
    /// The rule returned `false`.
    Failed,
    /// The rule returned this text, which no value of the record can be in.
    Text(Arc<str>),
    /// The rule returned a text that could hold a value of the record.
    Withheld,
}

/// What `rules` and `rule` stand for in a predefined rule.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    pub(crate) rules: Option<DynamicMessage>,
    pub(crate) rule: Option<RuleValue>,
}

/// A compiled expression.
#[derive(Debug)]
enum Node {
    Const(Val<'static>),
    This,
    Now,
    /// A loop's variable or accumulator, by its place on the stack of those.
    Var(usize),
    /// A field by name, with its number when the message type is known.
    Select {
        operand: Box<Node>,
        name: Arc<str>,
        number: Option<u32>,
    },
    Has {
        operand: Box<Node>,
        name: Arc<str>,
    },
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Cond(Box<Node>, Box<Node>, Box<Node>),
    /// Of a loop's condition: whether the accumulator is anything but `false`.
    NotFalse(Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(Func, Vec<Node>),
    Loop(Box<Loop>),
}

/// A comprehension. Its variables are the next ones on the stack: the element, the value when there
/// are two, the accumulator.
#[derive(Debug)]
struct Loop {
    range: Node,
    two: bool,
    /// Depth of the stack outside.
    base: usize,
    init: Node,
    condition: Node,
    step: Node,
    result: Node,
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Program {
    root: Node,
    /// A text that it returns cannot hold values of the record.
    text_is_safe: bool,
}

impl Program {
    pub(crate) fn compile(
        source: &str,
        messages: &[MessagePlan],
        this: &Ty,
        constants: &Constants,
    ) -> Result<Program, CelFault> {
        let root = lower::compile(source, messages, this, constants)?;
        let text_is_safe = lower::is_text_safe(&root);
        Ok(Program { root, text_is_safe })
    }

    pub(crate) fn check_msg(
        &self,
        plan: &Plan,
        msg: &Msg<'_>,
        now: i128,
        budget: &mut Budget,
    ) -> Result<Outcome, RuleFault> {
        let this = value::of_msg(plan, msg);
        self.check(Scope::new(plan, this, now, budget))
    }

    pub(crate) fn check_value(
        &self,
        plan: &Plan,
        value: &Value<'_>,
        now: i128,
        budget: &mut Budget,
    ) -> Result<Outcome, RuleFault> {
        let this = value::of(plan, value);
        self.check(Scope::new(plan, this, now, budget))
    }

    fn check<'v>(&'v self, mut scope: Scope<'v, '_>) -> Result<Outcome, RuleFault> {
        match scope.eval(&self.root)? {
            Val::Bool(true) => Ok(Outcome::Passed),
            Val::Bool(false) => Ok(Outcome::Failed),
            Val::Str(text) if text.is_empty() => Ok(Outcome::Passed),
            Val::Str(text) if self.text_is_safe => Ok(Outcome::Text((&*text).into())),
            Val::Str(_) => Ok(Outcome::Withheld),
            _ => Err(RuleFault::Evaluation("the result is neither a bool nor a string")),
        }
    }
}
