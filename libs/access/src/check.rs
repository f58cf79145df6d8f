//! The state of every item of a procedure: a pure function of the profile and the facts.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, Value as Cel};
use serde_json::Value;

use crate::age::years_at;
use crate::facts::{AttributeFact, Facts, RelationFact, RoleFacts, Source, Stated, SubjectFacts, bare, is_blank};
use crate::permit::CheckPermit;
use crate::procedure::Procedure;
use crate::profile::{Item, Text, What};
use crate::rule::{Holds, RELATED};
use crate::todo::what_to_do;

/// CEL's standard functions, registered once: that costs more than a check.
static STDLIB: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

const SYMMETRIC: &str = "spouse-of";

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemState {
    /// There, fresh, undisputed.
    Available,
    /// Its register is connected and has nothing, or a rule does not hold.
    Missing,
    /// There, but older than the item accepts.
    Stale,
    /// Registers disagree.
    Disputed,
    /// Its owner keeps it on paper.
    OnPaperOnly,
    /// None of its registers publishes to the hub.
    NotConnected,
    /// The role's key names several subjects.
    Ambiguous,
    /// Its condition does not hold, or the case has no such party.
    NotNeeded,
}

/// Why an item is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing stands against it.
    Satisfied,
    /// Its condition does not hold.
    ConditionFalse,
    /// An optional role that the case does not have.
    RoleAbsent,
    /// A required role for which the caller named no key.
    RoleNotGiven,
    /// The role's key found no subject.
    RoleNotFound,
    /// The role's key found several subjects.
    RoleAmbiguous,
    /// No register of the item is connected.
    RegisterNotConnected,
    /// The subject has no such value from a register that counts.
    ValueAbsent,
    /// No record states the relation, such as a seller who is not the parcel's owner.
    RelationAbsent,
    /// The subject appears in no record of the type.
    RecordAbsent,
    /// The owner holds it on paper.
    Paper,
    /// Older than accepted.
    TooOld,
    /// Registers disagree.
    InDispute,
    /// The rule does not hold.
    RuleUnmet,
    /// The rule reads a fact that is not there.
    RuleUndecided,
    /// An item that the rule uses is not available; the state is that item's.
    DependsOn,
}

impl Reason {
    /// The stable code of the reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::ConditionFalse => "condition_false",
            Self::RoleAbsent => "role_absent",
            Self::RoleNotGiven => "role_not_given",
            Self::RoleNotFound => "role_not_found",
            Self::RoleAmbiguous => "role_ambiguous",
            Self::RegisterNotConnected => "register_not_connected",
            Self::ValueAbsent => "value_absent",
            Self::RelationAbsent => "relation_absent",
            Self::RecordAbsent => "record_absent",
            Self::Paper => "paper",
            Self::TooOld => "too_old",
            Self::InDispute => "in_dispute",
            Self::RuleUnmet => "rule_unmet",
            Self::RuleUndecided => "rule_undecided",
            Self::DependsOn => "depends_on",
        }
    }
}

/// Whether an item is needed in this case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Always.
    Required,
    /// Its condition holds.
    ByCondition,
    /// Its condition cannot be decided with the facts at hand, so it is asked for.
    Undecided,
    /// Not in this case.
    Not,
}

/// An item with its state.
#[derive(Clone, Debug)]
pub struct ItemResult<'a> {
    /// The item, with its title, role, owner and papers.
    pub item: &'a Item,
    /// Its state.
    pub state: ItemState,
    /// Why.
    pub reason: Reason,
    /// Whether it is needed.
    pub need: Need,
    /// The record that decided, if there is one: register, record, version, times.
    pub source: Option<&'a Source>,
    /// Time since the register published that record, in microseconds, not negative.
    pub age_us: Option<i64>,
    /// What the portal or the citizen can do; both texts are empty when nothing is to be done.
    pub what_to_do: Text,
    stated: Option<&'a Stated>,
}

impl<'a> ItemResult<'a> {
    /// The item's value, when it is available and the permit lets that value leave.
    pub fn value(&self, permit: &CheckPermit) -> Option<&'a Value> {
        let What::Attribute(attribute) = self.item.what() else {
            return None;
        };
        let released = self.state == ItemState::Available && permit.releases_value(attribute);
        self.stated.filter(|_| released).map(|stated| &stated.value)
    }
}

/// Whether everything that is needed is available.
pub fn is_complete(results: &[ItemResult<'_>]) -> bool {
    let mut needed = results.iter().filter(|result| result.state != ItemState::NotNeeded);
    needed.all(|result| result.state == ItemState::Available)
}

/// Judges every item of a procedure, in the profile's order.
pub fn check<'a>(procedure: &'a Procedure, facts: &'a Facts) -> Vec<ItemResult<'a>> {
    let context = rule_context(procedure, facts);
    let mut results: Vec<ItemResult<'a>> = Vec::with_capacity(procedure.items().len());
    for item in procedure.items() {
        let judged = Judge { procedure, facts, context: &context, earlier: &results }.judge(item);
        let age_us = judged.source.map(|source| facts.now_us.saturating_sub(source.published_at_us).max(0));
        results.push(ItemResult {
            item,
            state: judged.state,
            reason: judged.reason,
            need: judged.need,
            source: judged.source,
            age_us,
            what_to_do: what_to_do(item, judged.state, judged.reason),
            stated: judged.stated,
        });
    }
    results
}

#[derive(Clone, Copy)]
struct Judged<'a> {
    state: ItemState,
    reason: Reason,
    need: Need,
    source: Option<&'a Source>,
    stated: Option<&'a Stated>,
}

impl<'a> Judged<'a> {
    fn new(state: ItemState, reason: Reason) -> Self {
        Self { state, reason, need: Need::Required, source: None, stated: None }
    }

    fn from(self, source: Option<&'a Source>) -> Self {
        Self { source, ..self }
    }
}

struct Judge<'a, 'b> {
    procedure: &'a Procedure,
    facts: &'a Facts,
    context: &'b Context<'b, 'b>,
    earlier: &'b [ItemResult<'a>],
}

impl<'a> Judge<'a, '_> {
    fn judge(&self, item: &'a Item) -> Judged<'a> {
        let not_needed = |reason| Judged { need: Need::Not, ..Judged::new(ItemState::NotNeeded, reason) };
        let role = self.facts.roles.get(item.role());
        if role.is_none() && self.procedure.role(item.role()).is_some_and(|role| role.optional()) {
            return not_needed(Reason::RoleAbsent);
        }
        let need = match item.when().map(|rule| rule.holds(self.context)) {
            None => Need::Required,
            Some(Holds::Yes) => Need::ByCondition,
            Some(Holds::Unknown) => Need::Undecided,
            Some(Holds::No) => return not_needed(Reason::ConditionFalse),
        };
        Judged { need, ..self.needed(item, role) }
    }

    fn needed(&self, item: &'a Item, role: Option<&'a RoleFacts>) -> Judged<'a> {
        if !item.registers().any(|register| self.facts.connected.contains(register)) {
            return Judged::new(ItemState::NotConnected, Reason::RegisterNotConnected);
        }
        match role {
            None => Judged::new(ItemState::Missing, Reason::RoleNotGiven),
            Some(RoleFacts::NotFound) => Judged::new(ItemState::Missing, Reason::RoleNotFound),
            Some(RoleFacts::Ambiguous { .. }) => Judged::new(ItemState::Ambiguous, Reason::RoleAmbiguous),
            Some(RoleFacts::Resolved(subject)) => self.of_subject(item, subject),
        }
    }

    fn of_subject(&self, item: &'a Item, subject: &'a SubjectFacts) -> Judged<'a> {
        match item.what() {
            What::Attribute(attribute) => self.attribute(item, subject.attributes.get(&**attribute)),
            What::Relation { name, to } => self.relation(item, name, to.as_deref()),
            What::Record(record_type) => self.record(item, record_type, subject),
            What::Rule { uses, .. } => self.rule(item, uses),
        }
    }

    fn attribute(&self, item: &'a Item, fact: Option<&'a AttributeFact>) -> Judged<'a> {
        let counts = |stated: &&Stated| item.registers().any(|register| register == stated.source.register);
        let mut stated = fact.into_iter().flat_map(|fact| &fact.values).filter(counts);
        let Some(stated) = stated.find(|stated| stated.on_paper || !is_blank(&stated.value)) else {
            return absent(item, Reason::ValueAbsent);
        };
        let source = Some(&stated.source);
        if stated.on_paper {
            return Judged::new(ItemState::OnPaperOnly, Reason::Paper).from(source);
        }
        let disputed = fact.is_some_and(|fact| fact.disputed);
        Judged { stated: Some(stated), ..self.found(item, &stated.source, disputed) }
    }

    fn relation(&self, item: &'a Item, name: &str, to: Option<&str>) -> Judged<'a> {
        let joins = |fact: &&RelationFact| {
            let one_way = |from: &Option<String>, other: &Option<String>| {
                from.as_deref() == Some(item.role()) && (to.is_none() || other.as_deref() == to)
            };
            let either = name == SYMMETRIC && one_way(&fact.to, &fact.from);
            let counts = item.registers().any(|register| register == fact.source.register);
            fact.name == name && counts && (one_way(&fact.from, &fact.to) || either)
        };
        match self.facts.relations.iter().filter(joins).max_by_key(|fact| newest_first(&fact.source)) {
            Some(fact) => self.found(item, &fact.source, fact.disputed),
            None => absent(item, Reason::RelationAbsent),
        }
    }

    fn record(&self, item: &'a Item, record_type: &str, subject: &'a SubjectFacts) -> Judged<'a> {
        let sources = subject.records.iter().map(|record| &record.source);
        let counts = |source: &&Source| {
            source.record_type == record_type && item.registers().any(|register| register == source.register)
        };
        match sources.filter(counts).max_by_key(|source| newest_first(source)) {
            Some(source) => self.found(item, source, false),
            None => absent(item, Reason::RecordAbsent),
        }
    }

    fn rule(&self, item: &'a Item, uses: &[usize]) -> Judged<'a> {
        let used = || uses.iter().map(|&place| &self.earlier[place]);
        let in_the_way = used().find(|used| !matches!(used.state, ItemState::Available | ItemState::NotNeeded));
        if let Some(blocking) = in_the_way {
            return Judged::new(blocking.state, Reason::DependsOn).from(blocking.source);
        }
        let source = used().find_map(|used| used.source);
        match item.rule().map_or(Holds::Unknown, |rule| rule.holds(self.context)) {
            Holds::Yes => Judged::new(ItemState::Available, Reason::Satisfied).from(source),
            Holds::No => Judged::new(ItemState::Missing, Reason::RuleUnmet).from(source),
            Holds::Unknown => Judged::new(ItemState::Missing, Reason::RuleUndecided).from(source),
        }
    }

    fn found(&self, item: &Item, source: &'a Source, disputed: bool) -> Judged<'a> {
        let age_us = self.facts.now_us.saturating_sub(source.published_at_us);
        let too_old = item.max_age_us().is_some_and(|max| age_us > max);
        let (state, reason) = match (disputed, too_old) {
            (true, _) => (ItemState::Disputed, Reason::InDispute),
            (false, true) => (ItemState::Stale, Reason::TooOld),
            (false, false) => (ItemState::Available, Reason::Satisfied),
        };
        Judged::new(state, reason).from(Some(source))
    }
}

/// The newest record speaks; equal times are told apart by the record itself, never by the order of the facts.
fn newest_first(source: &Source) -> (i64, i64, u64, &str, &str) {
    (source.effective_at_us, source.published_at_us, source.version, &source.register, &source.record)
}

fn absent<'a>(item: &Item, reason: Reason) -> Judged<'a> {
    if item.paper_kept() {
        Judged::new(ItemState::OnPaperOnly, Reason::Paper)
    } else {
        Judged::new(ItemState::Missing, reason)
    }
}

/// The variables of rules: one map per role, and the list of relations.
fn rule_context<'v>(procedure: &Procedure, facts: &Facts) -> Context<'v, 'v> {
    let mut context = Context::with_env(STDLIB.clone());
    for role in procedure.roles() {
        let mut fields: HashMap<Key, Cel> = HashMap::new();
        let mut set = |name: &str, value: Cel| fields.insert(Key::String(Arc::new(name.to_owned())), value);
        let subject = match facts.roles.get(role.name()) {
            Some(RoleFacts::Resolved(subject)) => Some(subject),
            Some(RoleFacts::NotFound | RoleFacts::Ambiguous { .. }) | None => None,
        };
        set("found", Cel::Bool(subject.is_some()));
        for field in subject.iter().flat_map(|_| role.fields()) {
            let Some(value) = subject.and_then(|subject| winning(subject, field)) else { continue };
            let own = field.rsplit('.').next().unwrap_or(field);
            if let Some(years) = (own == "birth_date").then(|| years_at(value, facts.now_us)).flatten() {
                set("age_years", Cel::Int(years));
            }
            set(own, to_cel(value));
        }
        context.add_variable_from_value(role.name(), Cel::Map(Map { map: Arc::new(fields) }));
    }
    let related = facts.relations.iter().flat_map(sentences).map(|text| Cel::String(Arc::new(text)));
    context.add_variable_from_value(RELATED, Cel::List(Arc::new(related.collect())));
    context
}

/// The first stated value that is there; rules read it whatever register it is from.
fn winning<'a>(subject: &'a SubjectFacts, field: &str) -> Option<&'a Value> {
    let values = &subject.attributes.get(field)?.values;
    values.iter().find(|stated| !stated.on_paper && !is_blank(&stated.value)).map(|stated| bare(&stated.value))
}

fn sentences(fact: &RelationFact) -> Vec<String> {
    let (Some(from), Some(to)) = (&fact.from, &fact.to) else {
        return Vec::new();
    };
    let mut sentences = vec![format!("{from} {} {to}", fact.name)];
    if fact.name == SYMMETRIC {
        sentences.push(format!("{to} {} {from}", fact.name));
    }
    sentences
}

/// JSON to CEL. A number that is no integer stays text: no float enters a comparison.
fn to_cel(value: &Value) -> Cel {
    match bare(value) {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => number.as_i64().map_or_else(|| Cel::String(Arc::new(number.to_string())), Cel::Int),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value)));
            Cel::Map(Map { map: Arc::new(fields.collect()) })
        }
    }
}
