//! The evaluator: a walk over nodes that pays for every step.

use std::sync::Arc;

use super::func::Func;
use super::value::{self, Entries, Items, Val};
use super::{Budget, Loop, Node, call, compare};
use crate::error::RuleFault;
use crate::plan::Plan;

/// One evaluation.
pub(super) struct Scope<'v, 'b> {
    pub(super) plan: &'v Plan,
    this: Val<'v>,
    now: i128,
    budget: &'b mut Budget,
    /// Variables of the loops around. An accumulator may hold an error, which `all` and `exists`
    /// pass over when another element decides.
    vars: Vec<Result<Val<'v>, RuleFault>>,
}

pub(super) type Outcome<'v> = Result<Val<'v>, RuleFault>;

impl<'v, 'b> Scope<'v, 'b> {
    pub(super) fn new(plan: &'v Plan, this: Val<'v>, now: i128, budget: &'b mut Budget) -> Self {
        Scope { plan, this, now, budget, vars: Vec::new() }
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), RuleFault> {
        self.budget.spend(steps as u64)
    }

    pub(super) fn eval(&mut self, node: &'v Node) -> Outcome<'v> {
        self.spend(1)?;
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::This => Ok(self.this.clone()),
            Node::Now => Ok(Val::Instant(self.now)),
            Node::Var(at) => self.vars[*at].clone(),
            Node::Select { operand, name, number } => {
                let operand = self.eval(operand)?;
                self.select(&operand, name, *number)
            }
            Node::Has { operand, name } => {
                let operand = self.eval(operand)?;
                self.has(&operand, name).map(Val::Bool)
            }
            Node::Index(of, at) => {
                let (of, at) = (self.eval(of)?, self.eval(at)?);
                self.index(&of, &at)
            }
            Node::Not(a) => Ok(Val::Bool(!bool_of(&self.eval(a)?)?)),
            Node::And(a, b) => self.short(a, b, false),
            Node::Or(a, b) => self.short(a, b, true),
            Node::Cond(test, a, b) => {
                let branch = if bool_of(&self.eval(test)?)? { a } else { b };
                self.eval(branch)
            }
            Node::NotFalse(a) => match self.eval(a) {
                Ok(Val::Bool(value)) => Ok(Val::Bool(value)),
                Err(fault @ RuleFault::Budget { .. }) => Err(fault),
                Ok(_) | Err(_) => Ok(Val::Bool(true)),
            },
            Node::List(nodes) => {
                let items = nodes.iter().map(|node| self.eval(node)).collect::<Result<_, _>>()?;
                Ok(Val::List(Items::Shared(Arc::new(items))))
            }
            Node::Map(nodes) => self.map(nodes),
            Node::Call(func, nodes) => {
                let args: Vec<_> = nodes.iter().map(|node| self.eval(node)).collect::<Result<_, _>>()?;
                call::call(self, func, &args)
            }
            Node::Loop(of) => self.repeat(of),
        }
    }

    /// `&&` and `||`: the value `decisive` on either side decides, whatever the other side is.
    fn short(&mut self, a: &'v Node, b: &'v Node, decisive: bool) -> Outcome<'v> {
        let left = self.eval(a).and_then(|value| bool_of(&value));
        match left {
            Ok(value) if value == decisive => return Ok(Val::Bool(decisive)),
            Err(fault @ RuleFault::Budget { .. }) => return Err(fault),
            Ok(_) | Err(_) => {}
        }
        let right = self.eval(b).and_then(|value| bool_of(&value));
        match (left, right) {
            (_, Ok(value)) if value == decisive => Ok(Val::Bool(decisive)),
            (_, Err(fault @ RuleFault::Budget { .. })) | (Err(fault), _) | (_, Err(fault)) => Err(fault),
            (Ok(_), Ok(_)) => Ok(Val::Bool(!decisive)),
        }
    }

    fn select(&mut self, operand: &Val<'v>, name: &str, number: Option<u32>) -> Outcome<'v> {
        match operand {
            Val::Msg(msg) => {
                let message = self.plan.message_of(msg.plan_index());
                let field = match number {
                    Some(number) => message.field(number),
                    None => message.field_by_name(name),
                };
                let Some(field) = field else { return Err(NO_FIELD) };
                Ok(value::of_field(self.plan, Some(field), msg.get(field.number())))
            }
            Val::Object(object) => object.get(name).map(|(_, value)| value.clone()).ok_or(NO_FIELD),
            Val::Map(entries) => self.entry(entries, &value::shared_text(name)),
            _ => Err(NO_FIELD),
        }
    }

    fn has(&mut self, operand: &Val<'v>, name: &str) -> Result<bool, RuleFault> {
        match operand {
            Val::Msg(msg) => {
                let message = self.plan.message_of(msg.plan_index());
                let field = message.field_by_name(name).ok_or(NO_FIELD)?;
                Ok(msg.has(field.number()))
            }
            Val::Object(object) => object.get(name).map(|(present, _)| present).ok_or(NO_FIELD),
            Val::Map(entries) => match self.entry(entries, &value::shared_text(name)) {
                Ok(_) => Ok(true),
                Err(NO_FIELD) => Ok(false),
                Err(fault) => Err(fault),
            },
            _ => Err(NO_FIELD),
        }
    }

    fn index(&mut self, of: &Val<'v>, at: &Val<'v>) -> Outcome<'v> {
        match (of, at) {
            (Val::List(items), at) => {
                let index = match at {
                    Val::Int(at) => usize::try_from(*at).ok(),
                    Val::Uint(at) => usize::try_from(*at).ok(),
                    _ => return Err(RuleFault::Evaluation("a list is indexed by integers")),
                };
                index
                    .and_then(|index| items.get(self.plan, index))
                    .ok_or(RuleFault::Evaluation("an index is out of range"))
            }
            (Val::Map(entries), key) => self.entry(entries, key),
            _ => Err(RuleFault::Evaluation("only lists and maps can be indexed")),
        }
    }

    fn entry(&mut self, entries: &Entries<'v>, key: &Val<'v>) -> Outcome<'v> {
        for index in 0..entries.len() {
            self.spend(1)?;
            let Some((own, value)) = entries.entry(self.plan, index) else { break };
            if compare::equal(self, &own, key)? {
                return Ok(value);
            }
        }
        Err(NO_FIELD)
    }

    fn map(&mut self, nodes: &'v [(Node, Node)]) -> Outcome<'v> {
        let mut entries: Vec<(Val<'v>, Val<'v>)> = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let (key, value) = (self.eval(key)?, self.eval(value)?);
            for (other, _) in &entries {
                if compare::equal(self, other, &key)? {
                    return Err(RuleFault::Evaluation("a map literal repeats a key"));
                }
            }
            entries.push((key, value));
        }
        Ok(Val::Map(Entries::Shared(Arc::new(entries))))
    }

    fn repeat(&mut self, of: &'v Loop) -> Outcome<'v> {
        let range = self.eval(&of.range)?;
        let init = self.eval(&of.init);
        let len = match &range {
            Val::List(items) => items.len(),
            Val::Map(entries) => entries.len(),
            _ => return Err(RuleFault::Evaluation("only lists and maps can be looped over")),
        };
        debug_assert_eq!(self.vars.len(), of.base);
        self.vars.push(Ok(Val::Null));
        if of.two {
            self.vars.push(Ok(Val::Null));
        }
        let accumulator = self.vars.len();
        self.vars.push(init);
        let mut rounds = (0..len).map(|index| self.round(of, &range, index, accumulator));
        let stopped = rounds.find(|round| !matches!(round, Ok(true)));
        let result = match stopped {
            Some(Err(fault)) => Err(fault),
            Some(Ok(_)) | None => self.eval(&of.result),
        };
        self.vars.truncate(of.base);
        result
    }

    /// One element. `false` when the loop's condition ends it.
    fn round(&mut self, of: &'v Loop, range: &Val<'v>, index: usize, accumulator: usize) -> Result<bool, RuleFault> {
        if !bool_of(&self.eval(&of.condition)?)? {
            return Ok(false);
        }
        let (first, second) = match range {
            Val::List(items) => (items.get(self.plan, index), None),
            Val::Map(entries) => match entries.entry(self.plan, index) {
                Some((key, value)) => (Some(key), Some(value)),
                None => (None, None),
            },
            _ => (None, None),
        };
        let first = first.unwrap_or(Val::Null);
        match (of.two, second) {
            (false, _) => self.vars[of.base] = Ok(first),
            (true, Some(value)) => {
                self.vars[of.base] = Ok(first);
                self.vars[of.base + 1] = Ok(value);
            }
            (true, None) => {
                self.vars[of.base] = Ok(Val::Int(index as i64));
                self.vars[of.base + 1] = Ok(first);
            }
        }
        match self.grow(&of.step, accumulator) {
            Some(Ok(())) => {}
            Some(Err(fault)) => return Err(fault),
            None => match self.eval(&of.step) {
                Err(fault @ RuleFault::Budget { .. }) => return Err(fault),
                step => self.vars[accumulator] = step,
            },
        }
        Ok(true)
    }

    /// The step of `map` and `filter`, done in place: appending to a copy would take a list's
    /// length for every element. `None` when the step is another.
    fn grow(&mut self, step: &'v Node, accumulator: usize) -> Option<Result<(), RuleFault>> {
        match step {
            Node::Call(Func::Add, args) => match args.as_slice() {
                [Node::Var(var), Node::List(nodes)] if *var == accumulator => Some(self.append(nodes, accumulator)),
                _ => None,
            },
            Node::Cond(test, grown, kept) => match **kept {
                Node::Var(var) if var == accumulator && is_growth(grown, accumulator) => {
                    match self.eval(test).and_then(|value| bool_of(&value)) {
                        Ok(true) => self.grow(grown, accumulator),
                        Ok(false) => Some(Ok(())),
                        Err(fault) => Some(Err(fault)),
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn append(&mut self, nodes: &'v [Node], accumulator: usize) -> Result<(), RuleFault> {
        let new: Vec<_> = nodes.iter().map(|node| self.eval(node)).collect::<Result<_, _>>()?;
        match &mut self.vars[accumulator] {
            Ok(Val::List(Items::Shared(items))) => {
                Arc::make_mut(items).extend(new);
                Ok(())
            }
            Ok(_) => Err(RuleFault::Evaluation("only lists can be appended to")),
            Err(fault) => Err(*fault),
        }
    }
}

fn is_growth(step: &Node, accumulator: usize) -> bool {
    match step {
        Node::Call(Func::Add, args) => {
            matches!(args.as_slice(), [Node::Var(var), Node::List(_)] if *var == accumulator)
        }
        _ => false,
    }
}

const NO_FIELD: RuleFault = RuleFault::Evaluation("no such field or key");

fn bool_of(value: &Val<'_>) -> Result<bool, RuleFault> {
    match value {
        Val::Bool(value) => Ok(*value),
        _ => Err(RuleFault::Evaluation("a bool is wanted")),
    }
}
