//! One pass over a decoded record along its type's tree: mentions, assertions, relations, counts,
//! and on demand what the hub itself finds wrong.

use smallvec::SmallVec;
use validate::{Msg, Value};

use crate::facts::{Element, Facts, MENTIONS_MAX, MentionFact, RELATION_FACTS_MAX, RelationFact, TooMany, is_filled};
use crate::model::{Carry, Node, NodeField, Reading, RecordType, What};
use crate::reading::Read;
use crate::trace::Trace;

/// What a walk reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All that the record says.
    Whole,
    /// Only what the hub compares to find what is wrong: mentions assert nothing.
    Checked,
}

pub(crate) struct Walk<'w, 'a> {
    record_type: &'a RecordType,
    record: &'w Msg<'a>,
    facts: Facts<'a>,
    /// For each mention, which relations may start there: bit n is relation n.
    starts: SmallVec<[u64; 4]>,
    trace: Option<&'w mut Trace<'a>>,
    extent: Extent,
}

impl<'w, 'a> Walk<'w, 'a> {
    /// With a trace, what the hub itself finds wrong is noted there.
    pub(crate) fn new(
        record_type: &'a RecordType,
        record: &'w Msg<'a>,
        extent: Extent,
        trace: Option<&'w mut Trace<'a>>,
    ) -> Self {
        let facts = Facts { mentions: Vec::with_capacity(record_type.roles.len()), ..Facts::default() };
        Walk { record_type, record, facts, starts: SmallVec::new(), trace, extent }
    }

    fn is_whole(&self) -> bool {
        self.extent == Extent::Whole
    }

    pub(crate) fn run(mut self) -> Result<Facts<'a>, TooMany> {
        let record_type = self.record_type;
        let root = match record_type.root_role {
            Some(role) => self.enter(role, self.record)?,
            None => None,
        };
        self.node(&record_type.root, self.record, root)?;
        for carry in &record_type.carries {
            self.carry(carry);
        }
        if record_type.split_names && self.is_whole() {
            self.facts.mentions.iter_mut().for_each(|mention| mention.ident.join_name());
        }
        self.relations()?;
        if let Some(trace) = &mut self.trace {
            trace.check_mentions(&self.facts.mentions);
        }
        Ok(self.facts)
    }

    /// Starts a mention, unless its condition does not hold.
    fn enter(&mut self, role_index: usize, msg: &Msg<'a>) -> Result<Option<usize>, TooMany> {
        let role = &self.record_type.roles[role_index];
        if role.when.as_ref().is_some_and(|when| !when.holds(msg, self.record)) {
            return Ok(None);
        }
        if self.facts.mentions.len() == MENTIONS_MAX {
            return Err(TooMany::Mentions);
        }
        let mut starts = 0;
        for relation in &role.from {
            let when = &self.record_type.relations[*relation].when;
            starts |= u64::from(when.iter().all(|when| when.holds(msg, self.record))) << relation;
        }
        self.starts.push(starts);
        let mention = MentionFact::new(role, role_index);
        self.facts.mentions.push(if self.is_whole() { mention.with_states(role) } else { mention });
        if let Some(trace) = &mut self.trace {
            trace.enter_mention();
        }
        Ok(Some(self.facts.mentions.len() - 1))
    }

    fn node(&mut self, node: &'a Node, msg: &Msg<'a>, mention: Option<usize>) -> Result<(), TooMany> {
        for field in &node.fields {
            let value = msg.get(field.number);
            if field.sufficient {
                self.count(field, value);
            }
            match (&field.what, value) {
                (What::Nothing, _) | (_, None) => {}
                (What::Value(reading), Some(value)) => self.value(field, reading, value, msg, mention),
                (What::Message { node, role, repeated: false }, Some(value)) => {
                    self.sub_message(field, node, *role, value, None, mention)?;
                }
                (What::Message { node, role, repeated: true }, Some(value)) => {
                    for (index, item) in value.as_list().unwrap_or(&[]).iter().enumerate() {
                        self.sub_message(field, node, *role, item, Some(index), mention)?;
                    }
                }
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.check_orders(node, msg);
        }
        Ok(())
    }

    fn count(&mut self, field: &NodeField, value: Option<&Value<'a>>) {
        let filled = is_filled(value);
        self.facts.required += 1;
        self.facts.filled += u32::from(filled);
        if let (false, Some(trace)) = (filled, &mut self.trace) {
            trace.missing(field);
        }
    }

    fn sub_message(
        &mut self,
        field: &'a NodeField,
        node: &'a Node,
        role: Option<usize>,
        value: &Value<'a>,
        index: Option<usize>,
        outer: Option<usize>,
    ) -> Result<(), TooMany> {
        let Some(msg) = value.as_msg() else { return Ok(()) };
        if let Some(trace) = &mut self.trace {
            trace.push(field, index);
        }
        match role {
            None => self.node(node, msg, outer)?,
            Some(role) => {
                let own = self.enter(role, msg)?;
                self.node(node, msg, own)?;
                if let (Some(own), Some(_), true) = (own, index, self.is_whole()) {
                    self.facts.mentions[own].element = self.element(own, msg);
                }
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.pop();
        }
        Ok(())
    }

    /// What tells this mention from the others in its role.
    fn element(&self, own: usize, msg: &Msg<'a>) -> Element<'a> {
        let (earlier, mention) = (&self.facts.mentions[..own], &self.facts.mentions[own]);
        let mut rivals = earlier.iter().filter(|other| other.role_index == mention.role_index);
        let role = &self.record_type.roles[mention.role_index];
        let key = role.key.as_ref().and_then(|path| path.read(msg)).and_then(Value::as_str);
        if let Some(key) = key.filter(|key| !key.is_empty())
            && rivals.clone().all(|other| other.element != Element::Key(key))
        {
            return Element::Key(key);
        }
        let hash = mention.ident.hash();
        let last =
            rivals.rfind(|other| matches!(other.element, Element::Identified { hash: theirs, .. } if theirs == hash));
        let occurrence = match last.map(|other| other.element) {
            Some(Element::Identified { occurrence, .. }) => occurrence + 1,
            _ => 0,
        };
        Element::Identified { hash, occurrence }
    }

    fn value(
        &mut self,
        field: &'a NodeField,
        reading: &'a Reading,
        value: &Value<'a>,
        parent: &Msg<'a>,
        mention: Option<usize>,
    ) {
        if !self.is_whole() && !reading.checked {
            return;
        }
        each(reading, value, &mut |value| {
            let Some(read) = reading.source.read(value, parent) else {
                if let Some(trace) = &mut self.trace {
                    trace.unread(field, reading, value);
                }
                return;
            };
            if reading.record_unit
                && self.facts.unit.is_none()
                && let Read::Unit(unit) = read
            {
                self.facts.unit = Some(unit);
            }
            if let Some(mention) = mention {
                say(&mut self.facts.mentions[mention], reading, &read, self.extent);
                if let Some(trace) = &mut self.trace {
                    trace.said(mention, field, reading, &read);
                }
            }
        });
    }

    fn carry(&mut self, carry: &'a Carry) {
        if !self.is_whole() && !carry.reading.checked {
            return;
        }
        if carry.when.as_ref().is_some_and(|when| !when.holds(self.record, self.record)) {
            return;
        }
        let mut found: SmallVec<[Read<'a>; 2]> = SmallVec::new();
        follow(&carry.way, self.record, &mut |value, parent| {
            each(&carry.reading, value, &mut |value| found.extend(carry.reading.source.read(value, parent)));
        });
        for mention in self.facts.mentions.iter_mut().filter(|mention| mention.role_index == carry.role) {
            found.iter().for_each(|read| say(mention, &carry.reading, read, self.extent));
        }
    }

    fn relations(&mut self) -> Result<(), TooMany> {
        let mentions = &self.facts.mentions;
        for (index, relation) in self.record_type.relations.iter().enumerate() {
            let starts = (0u16..).zip(mentions).zip(&self.starts);
            for ((from, _), _) in starts
                .filter(|((_, mention), starts)| mention.role_index == relation.from && **starts & 1 << index != 0)
            {
                let ends =
                    (0u16..).zip(mentions).filter(|(to, mention)| *to != from && mention.role_index == relation.to);
                for (to, _) in ends {
                    if self.facts.relations.len() == RELATION_FACTS_MAX {
                        return Err(TooMany::Relations);
                    }
                    self.facts.relations.push(RelationFact { relation: relation.relation, from, to });
                }
            }
        }
        Ok(())
    }
}

/// Lets a mention take what was read: what identifies it, and when it is asked for whole what it asserts.
fn say<'a>(mention: &mut MentionFact<'a>, reading: &Reading, read: &Read<'a>, extent: Extent) {
    for feature in &reading.features {
        mention.ident.take(*feature, read);
    }
    if extent == Extent::Checked {
        return;
    }
    for assert in &reading.asserts {
        if let Some(value) = assert.value(read) {
            let same = |known: &&(_, _)| known.0 == assert.attribute && (!assert.repeated || known.1 == value);
            if mention.asserts.iter().find(same).is_none() {
                mention.asserts.push((assert.attribute, value));
            }
        }
    }
}

/// Calls for each single value of a field: list elements, and pieces of separated text.
fn each<'a>(reading: &Reading, value: &Value<'a>, call: &mut impl FnMut(&Value<'a>)) {
    match (value, reading.source.separator()) {
        (Value::List(items), _) => items.iter().for_each(|item| pieces(reading.source.separator(), item, call)),
        (value, separator) => pieces(separator, value, call),
    }
}

fn pieces<'a>(separator: Option<&str>, value: &Value<'a>, call: &mut impl FnMut(&Value<'a>)) {
    match (value, separator) {
        (Value::Str(text), Some(separator)) => {
            text.split(separator).for_each(|piece| call(&Value::Str(piece.trim_ascii())));
        }
        (value, _) => call(value),
    }
}

/// Calls for the value at the end of the way, with the message in which it stands.
fn follow<'a>(way: &[u32], msg: &Msg<'a>, call: &mut impl FnMut(&Value<'a>, &Msg<'a>)) {
    let Some((number, rest)) = way.split_first() else { return };
    let Some(value) = msg.get(*number) else { return };
    if rest.is_empty() {
        return call(value, msg);
    }
    match value {
        Value::Msg(inner) => follow(rest, inner, call),
        Value::List(items) => items.iter().filter_map(Value::as_msg).for_each(|inner| follow(rest, inner, call)),
        _ => {}
    }
}
