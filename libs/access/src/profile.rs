//! Roles and items of a profile, and the check that turns what was written into what the hub relies on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::procedure::{ITEMS_MAX, Procedure, ProcedureError, ROLES_MAX, RegisterTitle};
use crate::rule::{DERIVED, RELATED, Rule};

/// Relations that an item may ask for; the names of `hub.contract.v1.RelationType` in lower case with a hyphen.
pub const RELATIONS: [&str; 6] = ["child-of", "spouse-of", "owner-of", "resident-of", "holder-of", "derived-from"];

const DAY_US: i64 = 86_400_000_000;

/// A text for people in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Vietnamese.
    pub vi: String,
    /// English.
    pub en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) code: String,
    title: Text,
    owner: String,
    role: Vec<WrittenRole>,
    item: Vec<WrittenItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRole {
    name: String,
    kind: String,
    title: Text,
    #[serde(default)]
    optional: bool,
    /// Own names of the attributes that the procedure may be given of this role.
    fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenItem {
    id: String,
    title: Text,
    role: String,
    registers: Vec<String>,
    attribute: Option<String>,
    relation: Option<String>,
    to: Option<String>,
    record: Option<String>,
    rule: Option<String>,
    #[serde(default)]
    uses: Vec<String>,
    when: Option<String>,
    max_age_days: Option<u32>,
    owner: Option<String>,
    #[serde(default)]
    paper_kept: bool,
    fallback: Option<Text>,
    todo: Text,
}

/// A party of a procedure.
#[derive(Debug)]
pub struct Role {
    name: Box<str>,
    kind: Box<str>,
    title: Text,
    optional: bool,
    fields: BTreeSet<Box<str>>,
}

impl Role {
    /// The role's name, such as `mother`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of subject.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The title for people.
    pub fn title(&self) -> &Text {
        &self.title
    }

    /// Whether a case may have no such party; its items are then not needed.
    pub fn optional(&self) -> bool {
        self.optional
    }

    /// Dotted names of the attributes that the procedure may be given of this role, sorted.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &**field)
    }
}

/// What an item asks for.
#[derive(Debug)]
pub enum What {
    /// The value of an attribute, by its dotted name.
    Attribute(Box<str>),
    /// A relation of the role's subject, to another role's subject where one is named.
    Relation {
        /// One of [`RELATIONS`].
        name: Box<str>,
        /// The other role.
        to: Option<Box<str>>,
    },
    /// A record of that type, in one of the item's registers.
    Record(Box<str>),
    /// A rule over facts of other items.
    Rule {
        /// Its text.
        source: Box<str>,
        /// Places, among the procedure's items, of the items that it depends on.
        uses: Vec<usize>,
    },
}

/// One thing that a procedure needs.
#[derive(Debug)]
pub struct Item {
    id: Box<str>,
    title: Text,
    role: Box<str>,
    registers: Vec<Box<str>>,
    what: What,
    rule: Option<Rule>,
    when: Option<Rule>,
    max_age_us: Option<i64>,
    register_title: Text,
    owner: Box<str>,
    paper_kept: bool,
    fallback: Option<Text>,
    todo: Text,
}

impl Item {
    /// The item's id, unique in its procedure.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The title for people.
    pub fn title(&self) -> &Text {
        &self.title
    }

    /// The role whose subject it is about.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Registers whose word counts for it, in order.
    pub fn registers(&self) -> impl Iterator<Item = &str> {
        self.registers.iter().map(|register| &**register)
    }

    /// What it asks for.
    pub fn what(&self) -> &What {
        &self.what
    }

    /// The agency that answers for it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The greatest age that is accepted, in microseconds; any age when absent.
    pub fn max_age_us(&self) -> Option<i64> {
        self.max_age_us
    }

    /// Whether the owner keeps it on paper where its register has no row.
    pub fn paper_kept(&self) -> bool {
        self.paper_kept
    }

    /// The paper that serves instead.
    pub fn fallback(&self) -> Option<&Text> {
        self.fallback.as_ref()
    }

    /// What to do when it is missing.
    pub fn todo(&self) -> &Text {
        &self.todo
    }

    /// The title of the first of its registers.
    pub(crate) fn register_title(&self) -> &Text {
        &self.register_title
    }

    pub(crate) fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    pub(crate) fn when(&self) -> Option<&Rule> {
        self.when.as_ref()
    }
}

type Registers = BTreeMap<Box<str>, RegisterTitle>;
type RoleFields<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

impl Written {
    pub(crate) fn check(self, index: usize, registers: &Registers) -> Result<Procedure, ProcedureError> {
        let code: Box<str> = self.code.as_str().into();
        let fault = |fault: &str| {
            Err(ProcedureError::Profile { procedure: self.code.as_str().into(), fault: fault.to_owned() })
        };
        if !is_code(&self.code) {
            return fault("a code is 1 to 64 of letters, digits, `.` and `-`");
        }
        if self.role.is_empty() || self.role.len() > ROLES_MAX || self.item.is_empty() || self.item.len() > ITEMS_MAX {
            return fault("a procedure has 1 to 16 roles and 1 to 64 items");
        }
        let mut names = BTreeSet::new();
        for role in &self.role {
            if !is_name(&role.name)
                || role.name == RELATED
                || !is_name(&role.kind)
                || !role.fields.iter().all(|f| is_name(f))
            {
                return fault("role, kind and field names are lower case a-z, 0-9 and _, starting with a letter");
            }
            if role.fields.iter().any(|field| DERIVED.contains(&field.as_str())) {
                return fault("`found` and `age_years` are derived, not fields");
            }
            if !names.insert(role.name.as_str()) {
                return fault("a role stands twice");
            }
        }
        let roles: Vec<Role> = self.role.iter().map(WrittenRole::build).collect();
        let known: RoleFields<'_> = self.role.iter().map(WrittenRole::own_fields).collect();
        let context = ItemContext { code: &code, roles: &roles, known: &known, registers, written: &self.item };
        let items = self.item.iter().map(|item| context.check(item)).collect::<Result<Vec<_>, _>>()?;
        let fields = roles.iter().flat_map(|role| role.fields.iter().cloned()).collect();
        let item_fields = item_fields(&roles, &items);
        Ok(Procedure { index, code, title: self.title, owner: self.owner.into(), roles, items, fields, item_fields })
    }
}

impl WrittenRole {
    fn build(&self) -> Role {
        Role {
            name: self.name.as_str().into(),
            kind: self.kind.as_str().into(),
            title: self.title.clone(),
            optional: self.optional,
            fields: self.fields.iter().map(|field| format!("{}.{field}", self.kind).into()).collect(),
        }
    }

    fn own_fields(&self) -> (&str, BTreeSet<&str>) {
        (&self.name, self.fields.iter().map(String::as_str).collect())
    }
}

struct ItemContext<'a> {
    code: &'a str,
    roles: &'a [Role],
    known: &'a RoleFields<'a>,
    registers: &'a Registers,
    written: &'a [WrittenItem],
}

impl ItemContext<'_> {
    fn fault<T>(&self, item: &WrittenItem, fault: impl Into<String>) -> Result<T, ProcedureError> {
        let item = item.id.as_str().into();
        Err(ProcedureError::Item { procedure: self.code.into(), item, fault: fault.into() })
    }

    fn check(&self, item: &WrittenItem) -> Result<Item, ProcedureError> {
        if !is_name(&item.id) || self.written.iter().filter(|other| other.id == item.id).count() > 1 {
            return self.fault(item, "its id is malformed or stands twice");
        }
        if item.registers.is_empty() {
            return self.fault(item, "it names no register");
        }
        if let Some(unknown) = item.registers.iter().find(|code| !self.registers.contains_key(code.as_str())) {
            return self.fault(item, format!("register {unknown} is not listed in the document"));
        }
        let Some(role) = self.roles.iter().find(|role| *role.name == item.role) else {
            return self.fault(item, "its role is not among the procedure's");
        };
        let what = self.what(item, role)?;
        let rule = self.rule(item, item.rule.as_deref())?;
        let when = self.rule(item, item.when.as_deref())?;
        Ok(Item {
            id: item.id.as_str().into(),
            title: item.title.clone(),
            role: role.name.clone(),
            registers: item.registers.iter().map(|code| code.as_str().into()).collect(),
            what,
            rule,
            when,
            max_age_us: item.max_age_days.map(|days| i64::from(days) * DAY_US),
            register_title: self.registers[item.registers[0].as_str()].title.clone(),
            owner: item.owner.as_ref().unwrap_or(&self.registers[item.registers[0].as_str()].agency).as_str().into(),
            paper_kept: item.paper_kept,
            fallback: item.fallback.clone(),
            todo: item.todo.clone(),
        })
    }

    fn what(&self, item: &WrittenItem, role: &Role) -> Result<What, ProcedureError> {
        if (item.to.is_some() && item.relation.is_none()) || (!item.uses.is_empty() && item.rule.is_none()) {
            return self.fault(item, "`to` goes with a relation, `uses` with a rule");
        }
        match (&item.attribute, &item.relation, &item.record, &item.rule) {
            (Some(attribute), None, None, None) => {
                if !role.fields.contains(attribute.as_str()) {
                    return self.fault(item, format!("{attribute} is not among the role's fields"));
                }
                Ok(What::Attribute(attribute.as_str().into()))
            }
            (None, Some(name), None, None) => {
                if !RELATIONS.contains(&name.as_str()) {
                    return self.fault(item, format!("a relation is one of {RELATIONS:?}"));
                }
                if item.to.as_ref().is_some_and(|to| !self.known.contains_key(to.as_str())) {
                    return self.fault(item, "`to` names no role");
                }
                Ok(What::Relation { name: name.as_str().into(), to: item.to.as_deref().map(Into::into) })
            }
            (None, None, Some(record), None) => Ok(What::Record(record.as_str().into())),
            (None, None, None, Some(source)) => {
                Ok(What::Rule { source: source.as_str().into(), uses: self.uses(item)? })
            }
            _ => self.fault(item, "it asks for exactly one of attribute, relation, record, rule"),
        }
    }

    /// A rule depends on items before it, so that a chain of rules ends.
    fn uses(&self, item: &WrittenItem) -> Result<Vec<usize>, ProcedureError> {
        let own = self.written.iter().position(|other| other.id == item.id);
        let mut places = Vec::new();
        for used in &item.uses {
            match self.written.iter().position(|other| other.id == *used) {
                Some(place) if Some(place) < own => places.push(place),
                _ => return self.fault(item, format!("`uses` names {used}, which is not an item before it")),
            }
        }
        Ok(places)
    }

    fn rule(&self, item: &WrittenItem, source: Option<&str>) -> Result<Option<Rule>, ProcedureError> {
        let parsed = source.map(|source| Rule::parse(source, self.known)).transpose();
        parsed.map_err(|source| ProcedureError::Rule {
            procedure: self.code.into(),
            item: item.id.as_str().into(),
            source,
        })
    }
}

fn item_fields(roles: &[Role], items: &[Item]) -> BTreeSet<Box<str>> {
    let mut fields = BTreeSet::new();
    for item in items {
        if let What::Attribute(attribute) = &item.what {
            fields.insert(attribute.clone());
        }
        for (role, own) in [&item.rule, &item.when].into_iter().flatten().flat_map(Rule::reads) {
            let kind = roles.iter().find(|known| known.name == *role).map(Role::kind);
            fields.extend(kind.map(|kind| format!("{kind}.{own}").into_boxed_str()));
        }
    }
    fields
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}
