//! Conditions and cross-item rules: CEL, parsed and bounded when a profile is loaded.
//!
//! An expression is at most [`EXPR_BYTES_MAX`] bytes, has no comprehension, no regular expression and no arithmetic
//! that grows a value, so that its time is linear in its length and no profile can stall a check.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{Expr, IdedExpr};
use cel::{Context, Program, Value};
use thiserror::Error;

/// Bytes of an expression.
pub const EXPR_BYTES_MAX: usize = 512;

/// Nodes of an expression's syntax tree.
pub const EXPR_NODES_MAX: usize = 128;

/// The variable that lists relations, each as `"seller owner-of parcel"`.
pub(crate) const RELATED: &str = "related";

/// Names that every role has beside its attributes: whether its key found one subject, and a person's whole years.
pub(crate) const DERIVED: [&str; 2] = ["found", "age_years"];

const FUNCTIONS: [&str; 16] = [
    "_&&_",
    "_||_",
    "!_",
    "_==_",
    "_!=_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "@in",
    "_?_:_",
    "-_",
    "size",
    "startsWith",
    "endsWith",
    "contains",
];

/// A checked expression.
#[derive(Debug)]
pub(crate) struct Rule {
    program: Program,
    reads: BTreeSet<(Box<str>, Box<str>)>,
}

/// What an expression says of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// It reads a fact that is not there, or compares what cannot be compared.
    Unknown,
}

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// More than [`EXPR_BYTES_MAX`] bytes or [`EXPR_NODES_MAX`] nodes.
    #[error("longer than {EXPR_BYTES_MAX} bytes or {EXPR_NODES_MAX} nodes")]
    TooLong,
    /// Not CEL.
    #[error("not a CEL expression: {reason}")]
    Syntax {
        /// What the parser says.
        reason: String,
    },
    /// A comprehension (`all`, `exists`, `map`, `filter`) or a literal structure.
    #[error("comprehensions, maps and messages are not allowed")]
    Unbounded,
    /// A function outside the allowed ones.
    #[error("function {name} is not allowed")]
    Function {
        /// Its name.
        name: Box<str>,
    },
    /// A variable that is neither a role nor `related`.
    #[error("{name} is neither a role nor `related`")]
    Variable {
        /// Its name.
        name: Box<str>,
    },
    /// An attribute that the role does not list.
    #[error("{role}.{attribute} is not among the role's fields")]
    Attribute {
        /// The role.
        role: Box<str>,
        /// The attribute.
        attribute: Box<str>,
    },
}

impl Rule {
    /// Parses an expression over roles, given with the own names of their allowed attributes.
    pub(crate) fn parse(source: &str, roles: &BTreeMap<&str, BTreeSet<&str>>) -> Result<Self, RuleError> {
        if source.len() > EXPR_BYTES_MAX {
            return Err(RuleError::TooLong);
        }
        let program = Program::compile(source).map_err(|e| RuleError::Syntax { reason: e.to_string() })?;
        let mut walk = Walk { roles, nodes: 0, reads: BTreeSet::new() };
        walk.visit(program.expression())?;
        let reads = walk.reads;
        Ok(Self { program, reads })
    }

    /// The `(role, attribute)` pairs that it reads.
    pub(crate) fn reads(&self) -> &BTreeSet<(Box<str>, Box<str>)> {
        &self.reads
    }

    pub(crate) fn holds(&self, context: &Context<'_, '_>) -> Holds {
        match self.program.execute(context) {
            Ok(Value::Bool(true)) => Holds::Yes,
            Ok(Value::Bool(false)) => Holds::No,
            Ok(_) | Err(_) => Holds::Unknown,
        }
    }
}

struct Walk<'a> {
    roles: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    nodes: usize,
    reads: BTreeSet<(Box<str>, Box<str>)>,
}

impl Walk<'_> {
    fn visit(&mut self, node: &IdedExpr) -> Result<(), RuleError> {
        self.nodes += 1;
        if self.nodes > EXPR_NODES_MAX {
            return Err(RuleError::TooLong);
        }
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if name == RELATED => Ok(()),
            Expr::Ident(name) => Err(RuleError::Variable { name: name.as_str().into() }),
            Expr::Select(select) => self.select(&select.operand, &select.field),
            Expr::Call(call) => {
                if !FUNCTIONS.contains(&call.func_name.as_str()) {
                    return Err(RuleError::Function { name: call.func_name.as_str().into() });
                }
                call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|n| self.visit(n))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|n| self.visit(n)),
            Expr::Unspecified | Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => Err(RuleError::Unbounded),
        }
    }

    fn select(&mut self, operand: &IdedExpr, attribute: &str) -> Result<(), RuleError> {
        let Expr::Ident(role) = &operand.expr else {
            // A field of an attribute's value, such as applicant.residence_unit.code.
            return self.visit(operand);
        };
        let fields = self.roles.get(role.as_str());
        let fields = fields.ok_or_else(|| RuleError::Variable { name: role.as_str().into() })?;
        if attribute == DERIVED[1] && fields.contains("birth_date") {
            self.reads.insert((role.as_str().into(), "birth_date".into()));
        } else if fields.contains(attribute) {
            self.reads.insert((role.as_str().into(), attribute.into()));
        } else if attribute != DERIVED[0] {
            return Err(RuleError::Attribute { role: role.as_str().into(), attribute: attribute.into() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> Result<Rule, RuleError> {
        let roles = BTreeMap::from([("applicant", BTreeSet::from(["birth_date", "sex"]))]);
        Rule::parse(source, &roles)
    }

    #[test]
    fn a_rule_reads_only_what_its_roles_list() {
        let rule = parse("applicant.age_years >= 75 && has(applicant.sex)").expect("a plain rule");
        let reads: Vec<_> = rule.reads().iter().map(|(role, field)| format!("{role}.{field}")).collect();
        assert_eq!(reads, ["applicant.birth_date", "applicant.sex"]);
        assert!(matches!(parse("applicant.religion == 'x'"), Err(RuleError::Attribute { .. })));
        assert!(matches!(parse("other.sex == 'male'"), Err(RuleError::Variable { .. })));
        assert!(matches!(parse("has(applicant.phone)"), Err(RuleError::Attribute { .. })));
    }

    #[test]
    fn an_endless_rule_is_refused_when_it_is_loaded() {
        let nested = "[1,2,3].all(a, [1,2,3].all(b, [1,2,3].all(c, true)))";
        assert!(matches!(parse(nested), Err(RuleError::Unbounded)));
        assert!(matches!(parse("'aaaa'.matches('(a+)+$')"), Err(RuleError::Function { .. })));
        assert!(matches!(parse(&"!".repeat(600)), Err(RuleError::TooLong)));
        assert!(parse(&format!("{}true{}", "(".repeat(250), ")".repeat(250))).is_err());
        let long = ["true"; 80].join("||");
        assert!(matches!(parse(&long), Err(RuleError::TooLong)));
        assert!(matches!(parse("applicant."), Err(RuleError::Syntax { .. })));
    }
}
