//! From the options of one record type to its compiled tree.

use std::collections::BTreeSet;
use std::sync::Arc;

use record::Kind;
use validate::{Cardinality, FieldPlan, Kind as FieldKind, Path, Plan};

use crate::classes::Classes;
use crate::compile::{Place, check_name};
use crate::error::ContractError;
use crate::kinds::kinds;
use crate::model::{Carry, Node, NodeField, Order, Reading, RecordType, Relation, RelationType, Role, Source, What};
use crate::options::{self, Feature, OnField};
use crate::reading::{self, compile_condition, compile_reading};

/// Most roles in one record type, inclusive.
pub const ROLES_MAX: usize = 63;
/// Most relations in one record type, inclusive.
pub const RELATIONS_MAX: usize = 63;
/// Most fields that the hub reads from one record type, over all nested messages, inclusive.
const FIELDS_MAX: usize = 4096;

pub(crate) fn compile(
    at: Place<'_>,
    stated: options::RecordType,
    fresh_from_us: i64,
    plan: Arc<Plan>,
) -> Result<RecordType, ContractError> {
    let mut builder =
        Builder { at, plan: &plan, roles: Vec::new(), messages: Vec::new(), features: Vec::new(), fields: 0 };
    let root_role = match &stated.mention {
        Some(mention) => Some(builder.add_role(at, mention, 0)?),
        None => None,
    };
    let root = builder.node(0, root_role, &mut Vec::new())?;
    let carries = builder.carries(&stated.carries)?;
    let relations = builder.relations(&stated.relations)?;
    builder.check_roles_identify()?;
    let split_names = builder.features.iter().any(|features| features.contains(&(Feature::GivenName as i32)));
    let roles = builder.roles;
    let classes = Classes::compile(at, &plan)?;
    Ok(RecordType {
        name: stated.name,
        title: stated.title,
        freshness_seconds: stated.freshness_seconds,
        fresh_from_us,
        roles,
        root_role,
        root,
        relations,
        carries,
        classes,
        split_names,
        plan,
    })
}

struct Builder<'p> {
    at: Place<'p>,
    plan: &'p Plan,
    roles: Vec<Role>,
    /// Message type (index in the plan) of each role's mentions.
    messages: Vec<u32>,
    /// Features that identify each role's mentions.
    features: Vec<BTreeSet<i32>>,
    fields: usize,
}

impl<'p> Builder<'p> {
    fn add_role(&mut self, at: Place<'_>, mention: &options::Mention, message: u32) -> Result<usize, ContractError> {
        let fail = |problem: String| at.problem(format!("mention {:?}: {problem}", mention.role));
        check_name(&mention.role).map_err(|problem| fail(format!("role {problem}")))?;
        let info = kinds().by_kind_name(&mention.kind).ok_or_else(|| {
            let known: Vec<_> = kinds().all().iter().map(|info| info.name.as_str()).collect();
            fail(format!("there is no kind {:?}: use one of {}", mention.kind, known.join(", ")))
        })?;
        let number = u8::try_from(mention.number).ok().filter(|number| *number != 0);
        let number = number.ok_or_else(|| fail("number must be 1 to 255 and never change".into()))?;
        if self.roles.iter().any(|role| role.name == mention.role || role.number == number) {
            return Err(fail("its role or number is used twice in the record type: give it its own".into()));
        }
        if self.roles.len() == ROLES_MAX {
            return Err(fail(format!("more than {ROLES_MAX} roles in one record type")));
        }
        let states =
            mention.states.iter().map(|stated| reading::statement(info.kind, stated)).collect::<Result<_, _>>();
        let when = mention.when.as_ref().map(|when| compile_condition(at, self.plan, message, when)).transpose()?;
        let key_field = Some(&mention.key_field).filter(|path| !path.is_empty());
        let role = Role {
            name: mention.role.clone(),
            number,
            kind: info.kind,
            same_person: Some(mention.same_person.clone()).filter(|group| !group.is_empty()),
            states: states.map_err(fail)?,
            when,
            key: key_field.map(|path| self.key(at, message, path)).transpose()?,
            key_field: mention.key_field.clone(),
            once: mention.once,
            from: Vec::new(),
            asserts: mention.states.len(),
        };
        self.roles.push(role);
        self.messages.push(message);
        self.features.push(BTreeSet::new());
        Ok(self.roles.len() - 1)
    }

    fn key(&self, at: Place<'_>, message: u32, key_field: &str) -> Result<Path, ContractError> {
        let path = self.plan.path_from(message, key_field).map_err(|source| at.path("mention.key_field", source))?;
        let singular = matches!(path.leaf().cardinality(), Cardinality::Singular { .. });
        if path.leaf().kind() != FieldKind::String || !singular {
            return Err(at.problem(format!("mention.key_field {key_field:?} must be one text field")));
        }
        Ok(path)
    }

    fn node(&mut self, message: u32, role: Option<usize>, within: &mut Vec<u32>) -> Result<Node, ContractError> {
        within.push(message);
        let plan = self.plan;
        let message_plan = plan.message_of(message);
        let descriptor = message_plan.descriptor();
        let parent = descriptor.parent_file();
        let at = Place { file: parent.name(), message: descriptor };
        let mut node = Node::default();
        for field in message_plan.fields() {
            let stated = field_options(at, field)?;
            if let Some(order) = self.order(at, message, field, &stated)? {
                node.orders.push(order);
            }
            let what = self.what(at, message, field, &stated, role, within)?;
            if stated.sufficient || !matches!(what, What::Nothing) {
                self.fields += 1;
                if self.fields > FIELDS_MAX {
                    return Err(at.problem(format!("more than {FIELDS_MAX} fields carry hub options")));
                }
                node.fields.push(NodeField {
                    number: field.number(),
                    name: field.name().into(),
                    sufficient: stated.sufficient,
                    what,
                });
            }
        }
        within.pop();
        Ok(node)
    }

    fn what(
        &mut self,
        at: Place<'_>,
        message: u32,
        field: &FieldPlan,
        stated: &options::Field,
        role: Option<usize>,
        within: &mut Vec<u32>,
    ) -> Result<What, ContractError> {
        if matches!(field.cardinality(), Cardinality::Map { .. }) {
            if stated.mention.is_some() || reading::says_something(stated) {
                return Err(at.field(field.name(), "the hub reads nothing from a map: use a repeated message".into()));
            }
            return Ok(What::Nothing);
        }
        match field.kind().message_index() {
            Some(inner) if !reading::is_value_message(self.plan.message_of(inner).name()) => {
                self.sub_message(at, field, stated, inner, role, within)
            }
            _ if stated.mention.is_some() => {
                Err(at.field(field.name(), "only a sub-message can be a mention: remove the option".into()))
            }
            _ => self.value(at, message, field, stated, role),
        }
    }

    fn sub_message(
        &mut self,
        at: Place<'_>,
        field: &FieldPlan,
        stated: &options::Field,
        inner: u32,
        role: Option<usize>,
        within: &mut Vec<u32>,
    ) -> Result<What, ContractError> {
        if reading::says_something(stated) {
            let problem = "a sub-message neither identifies nor asserts: put the option on its fields".into();
            return Err(at.field(field.name(), problem));
        }
        if within.contains(&inner) {
            // A message inside itself says nothing to the hub.
            return match &stated.mention {
                Some(_) => Err(at.field(field.name(), "a mention cannot contain itself: use another message".into())),
                None => Ok(What::Nothing),
            };
        }
        let own_role = match &stated.mention {
            Some(mention) => Some(self.add_role(at, mention, inner)?),
            None => None,
        };
        let node = self.node(inner, own_role.or(role), within)?;
        if node.is_empty() && own_role.is_none() {
            return Ok(What::Nothing);
        }
        let repeated = field.cardinality() == Cardinality::Repeated;
        Ok(What::Message { node: Box::new(node), role: own_role, repeated })
    }

    fn value(
        &mut self,
        at: Place<'_>,
        message: u32,
        field: &FieldPlan,
        stated: &options::Field,
        role: Option<usize>,
    ) -> Result<What, ContractError> {
        if !reading::says_something(stated) && stated.date_format() == options::DateFormat::Unspecified {
            return Ok(What::Nothing);
        }
        let kind = role.map(|role| self.roles[role].kind);
        let reading = compile_reading(at, self.plan, message, field, stated, kind)?;
        if let Some(role) = role {
            self.features[role].extend(reading.features.iter().map(|feature| *feature as i32));
            self.roles[role].asserts += reading.asserts.len();
        }
        let idle = reading.features.is_empty() && reading.asserts.is_empty() && !reading.record_unit;
        if idle && !matches!(reading.source, Source::Date(_)) {
            return Ok(What::Nothing);
        }
        Ok(What::Value(Box::new(reading)))
    }

    fn order(
        &self,
        at: Place<'_>,
        message: u32,
        field: &FieldPlan,
        stated: &options::Field,
    ) -> Result<Option<Order>, ContractError> {
        if stated.not_before.is_empty() {
            return Ok(None);
        }
        let Some(earlier) = self.plan.message_of(message).field_by_name(&stated.not_before) else {
            let problem = format!("not_before {:?} is no field of the same message: correct it", stated.not_before);
            return Err(at.field(field.name(), problem));
        };
        let later_source = reading::source(at, self.plan, message, field, stated)?;
        let earlier_source = reading::source(at, self.plan, message, earlier, &field_options(at, earlier)?)?;
        if !later_source.is_date() || !earlier_source.is_date() {
            let problem = "not_before needs two dates: state date_format on both fields".into();
            return Err(at.field(field.name(), problem));
        }
        let path = |name: &str| self.plan.path_from(message, name).map_err(|source| at.path("not_before", source));
        Ok(Some(Order {
            number: field.number(),
            name: field.name().into(),
            later: path(field.name())?,
            later_source,
            earlier: path(earlier.name())?,
            earlier_source,
        }))
    }

    fn role(&self, option: &str, name: &str) -> Result<usize, ContractError> {
        self.roles.iter().position(|role| role.name == name).ok_or_else(|| {
            let known: Vec<_> = self.roles.iter().map(|role| role.name.as_str()).collect();
            self.at.problem(format!("{option}: there is no role {name:?}: use one of {}", known.join(", ")))
        })
    }

    fn relations(&mut self, stated: &[options::Relation]) -> Result<Vec<Relation>, ContractError> {
        if stated.len() > RELATIONS_MAX {
            return Err(self.at.problem(format!("more than {RELATIONS_MAX} relations")));
        }
        let mut relations = Vec::new();
        for one in stated {
            let number = u8::try_from(one.r#type).ok();
            let relation = number.and_then(RelationType::from_u8).ok_or_else(|| {
                self.at.problem("a relation without a type: state one of RelationType's values".into())
            })?;
            let (from, to) = (self.role("relation.from", &one.from)?, self.role("relation.to", &one.to)?);
            if (self.roles[from].kind, self.roles[to].kind) != relation.ends() {
                return Err(self.at.problem(format!(
                    "relation {} cannot join {:?} to {:?}: their kinds do not fit",
                    relation.name(),
                    one.from,
                    one.to
                )));
            }
            let message = self.messages[from];
            let when = one
                .when
                .iter()
                .map(|when| compile_condition(self.at, self.plan, message, when))
                .collect::<Result<_, _>>()?;
            self.roles[from].from.push(relations.len());
            relations.push(Relation { relation, from, to, when });
        }
        Ok(relations)
    }

    fn carries(&mut self, stated: &[options::Carry]) -> Result<Vec<Carry>, ContractError> {
        stated.iter().map(|carry| self.carry(carry)).collect()
    }

    fn carry(&mut self, stated: &options::Carry) -> Result<Carry, ContractError> {
        let role = self.role("carry.role", &stated.role)?;
        let (way, message, field, repeated) = self.way(&stated.field)?;
        let descriptor = self.plan.message_of(message).descriptor();
        let parent = descriptor.parent_file();
        let at = Place { file: parent.name(), message: descriptor };
        let mut options = field_options(at, field)?;
        let feature = stated.identifies();
        options.identifies =
            Some(feature).filter(|feature| *feature != Feature::Unspecified).map(|f| f as i32).into_iter().collect();
        options.asserts = stated.asserts.clone();
        options.record_unit = false;
        let reading = compile_reading(at, self.plan, message, field, &options, Some(self.roles[role].kind))?;
        self.check_repeated_carry(stated, &reading, repeated)?;
        self.roles[role].asserts += reading.asserts.len();
        let when = match &stated.when {
            Some(when) => Some(compile_condition(self.at, self.plan, 0, when)?),
            None => None,
        };
        Ok(Carry { way, role, reading, when })
    }

    fn check_repeated_carry(
        &self,
        stated: &options::Carry,
        reading: &Reading,
        repeated: bool,
    ) -> Result<(), ContractError> {
        if repeated && !(reading.features.is_empty() && reading.asserts.iter().all(|assert| assert.repeated)) {
            return Err(self.at.problem(format!(
                "carry {:?} leads through a repeated field: it may only assert attributes that take several values",
                stated.field
            )));
        }
        Ok(())
    }

    /// Field numbers, message type and field of a dotted path, and whether it is repeated anywhere.
    fn way(&self, path: &str) -> Result<(Vec<u32>, u32, &'p FieldPlan, bool), ContractError> {
        let plan = self.plan;
        let missing = || self.at.problem(format!("carry.field {path:?} names no field: correct the path"));
        let (mut message, mut numbers, mut repeated) = (0, Vec::new(), false);
        let mut segments = path.split('.').peekable();
        while let Some(segment) = segments.next() {
            let field = plan.message_of(message).field_by_name(segment).ok_or_else(missing)?;
            numbers.push(field.number());
            match field.cardinality() {
                Cardinality::Singular { .. } => {}
                Cardinality::Repeated => repeated = true,
                Cardinality::Map { .. } => return Err(missing()),
            }
            if segments.peek().is_none() {
                return Ok((numbers, message, field, repeated));
            }
            message = field.kind().message_index().ok_or_else(missing)?;
        }
        Err(missing())
    }

    fn check_roles_identify(&self) -> Result<(), ContractError> {
        for (role, features) in self.roles.iter().zip(&self.features) {
            let enough = match role.kind {
                Kind::Person => [Feature::FullName, Feature::GivenName, Feature::PersonalId, Feature::IdentityPaper],
                Kind::Parcel => {
                    [Feature::ParcelId, Feature::CadastralNumber, Feature::CadastralUnit, Feature::CadastralSheet]
                }
            };
            if !enough.iter().any(|feature| features.contains(&(*feature as i32))) {
                return Err(self.at.problem(format!(
                    "role {:?} has no field that identifies: add (hub.contract.v1.field).identifies to its fields",
                    role.name
                )));
            }
        }
        Ok(())
    }
}

pub(crate) fn field_options(at: Place<'_>, field: &FieldPlan) -> Result<options::Field, ContractError> {
    let descriptor = at.message.get_field(field.number()).expect("the plan was compiled from this message");
    let on: OnField = options::read(&descriptor.options()).map_err(|source| {
        at.field(field.name(), format!("its options cannot be read ({source}): use the hub's own options.proto"))
    })?;
    Ok(on.field.unwrap_or_default())
}
