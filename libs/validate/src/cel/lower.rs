//! From source to checked nodes: parses, bounds, resolves names, checks types.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use cel::parser::Parser;
use prost_reflect::DescriptorPool;

use super::func::Func;
use super::ty::Ty;
use super::value::{self, Blob, Val, shared_text};
use super::{Constants, DEPTH_MAX, EXPRESSION_BYTES_MAX, LOOPS_MAX, Loop, NODES_MAX, Node, check};
use crate::error::CelFault;
use crate::plan::{Cardinality, MessagePlan};
use crate::rules::pattern;

type Typed = (Node, Ty);

pub(super) fn compile(
    source: &str,
    messages: &[MessagePlan],
    this: &Ty,
    constants: &Constants,
) -> Result<Node, CelFault> {
    if source.len() > EXPRESSION_BYTES_MAX {
        return Err(CelFault::TooLong { len: source.len(), max: EXPRESSION_BYTES_MAX });
    }
    if nesting(source) > DEPTH_MAX {
        return Err(CelFault::TooComplex);
    }
    let expr = Parser::default().parse(source).map_err(|errors| {
        let first = errors.errors.first().map(|error| error.msg.clone());
        CelFault::Syntax(first.unwrap_or_else(|| "not an expression".to_owned()))
    })?;
    let pool = messages.first().map(|message| message.descriptor().parent_pool());
    let mut lower = Lower { messages, pool, this, constants, vars: Vec::new(), nodes: 0, depth: 0, loops: 0 };
    let (node, ty) = lower.expr(&expr)?;
    if !matches!(ty, Ty::Bool | Ty::Str | Ty::Dyn) {
        return Err(CelFault::Types { what: "a rule's result".into(), types: ty.to_string() });
    }
    Ok(node)
}

/// Depth of brackets, whatever they stand in: a bound for the parser's recursion.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether no value of the record can be in a text that the expression returns.
pub(super) fn is_text_safe(node: &Node) -> bool {
    match node {
        Node::Cond(_, a, b) => is_text_safe(a) && is_text_safe(b),
        node => !reads_record(node),
    }
}

fn reads_record(node: &Node) -> bool {
    match node {
        Node::Const(_) | Node::Now => false,
        Node::This | Node::Var(_) | Node::Loop(_) => true,
        Node::Select { operand, .. } | Node::Has { operand, .. } => reads_record(operand),
        Node::Not(a) | Node::NotFalse(a) => reads_record(a),
        Node::Index(a, b) | Node::And(a, b) | Node::Or(a, b) => reads_record(a) || reads_record(b),
        Node::Cond(a, b, c) => reads_record(a) || reads_record(b) || reads_record(c),
        Node::List(items) | Node::Call(_, items) => items.iter().any(reads_record),
        Node::Map(entries) => entries.iter().any(|(k, v)| reads_record(k) || reads_record(v)),
    }
}

struct Lower<'c> {
    messages: &'c [MessagePlan],
    pool: Option<&'c DescriptorPool>,
    this: &'c Ty,
    constants: &'c Constants,
    /// Variables of the loops around, outermost first.
    vars: Vec<(String, Ty)>,
    nodes: usize,
    depth: usize,
    loops: u32,
}

impl Lower<'_> {
    fn expr(&mut self, expr: &IdedExpr) -> Result<Typed, CelFault> {
        self.nodes += 1;
        self.depth += 1;
        if self.nodes > NODES_MAX || self.depth > 4 * DEPTH_MAX {
            return Err(CelFault::TooComplex);
        }
        let typed = match &expr.expr {
            Expr::Literal(literal) => Ok(self::literal(literal)),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) if list.optional_indices.is_empty() => self.list(&list.elements),
            Expr::Map(map) => self.map(map.entries.iter().map(|entry| &entry.expr)),
            Expr::List(_) => Err(unsupported("an optional element")),
            Expr::Struct(_) => Err(unsupported("a message literal")),
            Expr::Unspecified => Err(CelFault::Syntax("an empty expression".to_owned())),
        };
        self.depth -= 1;
        typed
    }

    fn ident(&mut self, name: &str) -> Result<Typed, CelFault> {
        if let Some(at) = self.vars.iter().rposition(|(var, _)| var == name) {
            return Ok((Node::Var(at), self.vars[at].1.clone()));
        }
        let type_value = |name: &'static str| Ok((Node::Const(Val::Type(name)), Ty::Type));
        match name {
            "this" => Ok((Node::This, self.this.clone())),
            "now" => Ok((Node::Now, Ty::Instant)),
            "rules" => match &self.constants.rules {
                Some(rules) => Ok((Node::Const(value::object(rules)), Ty::Dyn)),
                None => Err(unknown(name)),
            },
            "rule" => match &self.constants.rule {
                Some(rule) => Ok((Node::Const(value::constant(rule)), Ty::Dyn)),
                None => Err(unknown(name)),
            },
            "bool" => type_value("bool"),
            "int" => type_value("int"),
            "uint" => type_value("uint"),
            "double" => type_value("double"),
            "string" => type_value("string"),
            "bytes" => type_value("bytes"),
            "list" => type_value("list"),
            "map" => type_value("map"),
            "null_type" => type_value("null_type"),
            _ => Err(unknown(name)),
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Typed, CelFault> {
        if let Some(number) = self.enum_value(select) {
            return Ok((Node::Const(Val::Int(i64::from(number))), Ty::Int));
        }
        let (operand, ty) = self.expr(&select.operand)?;
        let field = self.field(&ty, &select.field)?;
        let operand = Box::new(operand);
        let name = select.field.as_str().into();
        if select.test {
            return Ok((Node::Has { operand, name }, Ty::Bool));
        }
        let (number, ty) = field;
        Ok((Node::Select { operand, name, number }, ty))
    }

    /// The number and type of a field, as far as the message type is known.
    fn field(&self, ty: &Ty, name: &str) -> Result<(Option<u32>, Ty), CelFault> {
        match ty {
            Ty::Msg(index) => {
                let message = &self.messages[*index as usize];
                let field = message.field_by_name(name).ok_or_else(|| unknown(name))?;
                let one = Ty::of(field.kind(), self.messages);
                let ty = match field.cardinality() {
                    Cardinality::Singular { .. } => one,
                    Cardinality::Repeated => Ty::list_of(one),
                    Cardinality::Map { key } => Ty::Map(Box::new(Ty::of(key, self.messages)), Box::new(one)),
                };
                Ok((Some(field.number()), ty))
            }
            Ty::Map(_, value) => Ok((None, (**value).clone())),
            Ty::Dyn => Ok((None, Ty::Dyn)),
            other => Err(CelFault::Types { what: format!("selecting {name:?}"), types: other.to_string() }),
        }
    }

    /// `pkg.Enum.VALUE`
    fn enum_value(&self, select: &SelectExpr) -> Option<i32> {
        if select.test {
            return None;
        }
        let mut names = vec![select.field.as_str()];
        let mut at = &select.operand.expr;
        loop {
            match at {
                Expr::Select(inner) if !inner.test => {
                    names.push(&inner.field);
                    at = &inner.operand.expr;
                }
                Expr::Ident(name) if self.ident_is_free(name) => {
                    names.push(name);
                    break;
                }
                _ => return None,
            }
        }
        names.reverse();
        let (value, path) = names.split_last()?;
        let desc = self.pool?.get_enum_by_name(&path.join("."))?;
        desc.get_value_by_name(value).map(|value| value.number())
    }

    fn ident_is_free(&self, name: &str) -> bool {
        !matches!(name, "this" | "rules" | "rule" | "now") && !self.vars.iter().any(|(var, _)| var == name)
    }

    fn call(&mut self, call: &CallExpr) -> Result<Typed, CelFault> {
        let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(call.args.iter()).collect();
        if let (None, "getField", [object, name]) = (&call.target, call.func_name.as_str(), call.args.as_slice()) {
            return self.get_field(object, name);
        }
        let mut nodes = Vec::with_capacity(operands.len());
        let mut types = Vec::with_capacity(operands.len());
        for operand in operands {
            let (node, ty) = self.expr(operand)?;
            nodes.push(node);
            types.push(ty);
        }
        let name = call.func_name.as_str();
        if let Some(typed) = logic(name, &mut nodes, &types)? {
            return Ok(typed);
        }
        let mut func = Func::named(name, call.target.is_some()).ok_or_else(|| unknown(name))?;
        let ty = check::call(&func, &types).ok_or_else(|| mismatch(name, &types))?;
        if let (Func::Matches, [_, Node::Const(Val::Str(text))]) = (&func, nodes.as_slice()) {
            let regex = pattern(text)
                .map_err(|_| CelFault::Types { what: "matches".to_owned(), types: "a malformed pattern".into() })?;
            func = Func::MatchesConst(regex);
            nodes.truncate(1);
        }
        Ok((Node::Call(func, nodes), ty))
    }

    /// `getField(message, 'name')` is a selection, for names that are words of CEL.
    fn get_field(&mut self, object: &IdedExpr, name: &IdedExpr) -> Result<Typed, CelFault> {
        let Expr::Literal(LiteralValue::String(name)) = &name.expr else {
            return Err(unsupported("getField with a computed name"));
        };
        let (operand, ty) = self.expr(object)?;
        let (number, ty) = self.field(&ty, name.inner())?;
        Ok((Node::Select { operand: Box::new(operand), name: name.inner().into(), number }, ty))
    }

    fn list(&mut self, elements: &[IdedExpr]) -> Result<Typed, CelFault> {
        let mut nodes = Vec::with_capacity(elements.len());
        let mut item: Option<Ty> = None;
        for element in elements {
            let (node, ty) = self.expr(element)?;
            nodes.push(node);
            item = Some(match item {
                None => ty,
                Some(item) if item == ty => item,
                Some(_) => Ty::Dyn,
            });
        }
        let ty = Ty::list_of(item.unwrap_or(Ty::Dyn));
        let constants: Option<Vec<Val<'static>>> = nodes
            .iter()
            .map(|node| match node {
                Node::Const(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        Ok(match constants {
            Some(values) => (Node::Const(Val::List(value::Items::Shared(values.into()))), ty),
            None => (Node::List(nodes), ty),
        })
    }

    fn map<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>) -> Result<Typed, CelFault> {
        let mut nodes = Vec::new();
        let mut types: Option<(Ty, Ty)> = None;
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else {
                return Err(unsupported("a message literal"));
            };
            if entry.optional {
                return Err(unsupported("an optional entry"));
            }
            let (key, key_ty) = self.expr(&entry.key)?;
            let (value, value_ty) = self.expr(&entry.value)?;
            nodes.push((key, value));
            types = Some(match types {
                None => (key_ty, value_ty),
                Some((key, value)) => {
                    (if key == key_ty { key } else { Ty::Dyn }, if value == value_ty { value } else { Ty::Dyn })
                }
            });
        }
        let (key, value) = types.unwrap_or((Ty::Dyn, Ty::Dyn));
        Ok((Node::Map(nodes), Ty::Map(Box::new(key), Box::new(value))))
    }

    fn comprehension(&mut self, source: &ComprehensionExpr) -> Result<Typed, CelFault> {
        let (range, range_ty) = self.expr(&source.iter_range)?;
        self.loops += 1;
        if self.loops > LOOPS_MAX {
            return Err(CelFault::TooManyLoops { max: LOOPS_MAX });
        }
        let (key, value) = match range_ty {
            Ty::List(item) if source.iter_var2.is_some() => (Ty::Int, *item),
            Ty::List(item) => (*item, Ty::Dyn),
            Ty::Map(key, value) => (*key, *value),
            Ty::Dyn => (Ty::Dyn, Ty::Dyn),
            other => return Err(mismatch("a loop", &[other])),
        };
        let (init, init_ty) = self.expr(&source.accu_init)?;
        let base = self.vars.len();
        self.vars.push((source.iter_var.clone(), key));
        if let Some(second) = &source.iter_var2 {
            self.vars.push((second.clone(), value));
        }
        self.vars.push((source.accu_var.clone(), init_ty.clone()));
        let (condition, _) = self.expr(&source.loop_cond)?;
        let (step, step_ty) = self.expr(&source.loop_step)?;
        if !step_ty.fits(&init_ty) {
            return Err(mismatch("a loop", &[init_ty, step_ty]));
        }
        let (result, ty) = self.expr(&source.result)?;
        self.vars.truncate(base);
        self.loops -= 1;
        let two = source.iter_var2.is_some();
        Ok((Node::Loop(Box::new(Loop { range, two, base, init, condition, step, result })), ty))
    }
}

/// What is not an ordinary call: it does not evaluate all of its operands.
fn logic(name: &str, nodes: &mut Vec<Node>, types: &[Ty]) -> Result<Option<Typed>, CelFault> {
    let bools = |count: usize| types[..count].iter().all(|ty| ty.fits(&Ty::Bool));
    let mut take = || Box::new(nodes.remove(0));
    Ok(Some(match (name, types) {
        (operators::LOGICAL_AND, [_, _]) if bools(2) => (Node::And(take(), take()), Ty::Bool),
        (operators::LOGICAL_OR, [_, _]) if bools(2) => (Node::Or(take(), take()), Ty::Bool),
        (operators::LOGICAL_NOT, [_]) if bools(1) => (Node::Not(take()), Ty::Bool),
        (operators::NOT_STRICTLY_FALSE, [_]) => (Node::NotFalse(take()), Ty::Bool),
        (operators::CONDITIONAL, [_, a, b]) if bools(1) && a.fits(b) => {
            let ty = if a == b { a.clone() } else { Ty::Dyn };
            (Node::Cond(take(), take(), take()), ty)
        }
        (operators::INDEX, [of, at]) => {
            let ty = match of {
                Ty::List(item) if matches!(at, Ty::Int | Ty::Uint | Ty::Dyn) => (**item).clone(),
                Ty::Map(key, value) if at.fits(key) => (**value).clone(),
                Ty::Dyn => Ty::Dyn,
                _ => return Err(mismatch(name, types)),
            };
            (Node::Index(take(), take()), ty)
        }
        (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::CONDITIONAL, _) => {
            return Err(mismatch(name, types));
        }
        (operators::OPT_INDEX | operators::OPT_SELECT, _) => {
            return Err(unsupported("an optional selection"));
        }
        _ => return Ok(None),
    }))
}

fn literal(literal: &LiteralValue) -> Typed {
    let (value, ty) = match literal {
        LiteralValue::Boolean(value) => (Val::Bool(*value.inner()), Ty::Bool),
        LiteralValue::Bytes(bytes) => (Val::Bytes(Blob::Shared(bytes.inner().into())), Ty::Bytes),
        LiteralValue::Double(value) => (Val::Double(*value.inner()), Ty::Double),
        LiteralValue::Int(value) => (Val::Int(*value.inner()), Ty::Int),
        LiteralValue::Null => (Val::Null, Ty::Null),
        LiteralValue::String(text) => (shared_text(text.inner()), Ty::Str),
        LiteralValue::UInt(value) => (Val::Uint(*value.inner()), Ty::Uint),
    };
    (Node::Const(value), ty)
}

fn unknown(name: &str) -> CelFault {
    CelFault::Unknown { name: name.to_owned() }
}

fn unsupported(what: &str) -> CelFault {
    CelFault::Unsupported { what: what.to_owned() }
}

fn mismatch(what: &str, types: &[Ty]) -> CelFault {
    let types: Vec<_> = types.iter().map(Ty::to_string).collect();
    CelFault::Types { what: what.to_owned(), types: format!("({})", types.join(", ")) }
}
