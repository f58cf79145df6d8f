//! Compiled field paths: names resolved once, read by number.

use crate::error::PathError;
use crate::msg::{Msg, Value};
use crate::plan::{Cardinality, FieldPlan, Kind, Plan};

/// A path of field numbers through singular messages to one field.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    numbers: Vec<u32>,
    leaf: FieldPlan,
}

impl Path {
    /// Resolves dotted field names from the message with index `start`.
    pub(crate) fn resolve(plan: &Plan, start: u32, text: &str) -> Result<Self, PathError> {
        let mut message = plan.message_of(start);
        let mut numbers = Vec::new();
        let mut segments = text.split('.').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() {
                return Err(PathError::Empty { path: text.to_owned() });
            }
            let field = message.field_by_name(segment).ok_or_else(|| PathError::UnknownField {
                path: text.to_owned(),
                message: message.name().to_owned(),
                segment: segment.to_owned(),
            })?;
            numbers.push(field.number());
            if segments.peek().is_none() {
                return Ok(Path { text: text.to_owned(), numbers, leaf: field.clone() });
            }
            message = match (field.cardinality(), field.kind()) {
                (Cardinality::Singular { .. }, Kind::Message(index)) => plan.message_of(index),
                _ => {
                    return Err(PathError::NotSingular { path: text.to_owned(), segment: segment.to_owned() });
                }
            };
        }
        Err(PathError::Empty { path: text.to_owned() })
    }

    /// The populated value at the path, if every message on the way is there.
    #[inline]
    pub fn read<'m, 'a>(&self, msg: &'m Msg<'a>) -> Option<&'m Value<'a>> {
        let (last, parents) = self.numbers.split_last()?;
        let mut at = msg;
        for number in parents {
            at = at.get(*number)?.as_msg()?;
        }
        at.get(*last)
    }

    /// The dotted names that it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its field numbers, outermost first.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The field that it ends in.
    pub fn leaf(&self) -> &FieldPlan {
        &self.leaf
    }
}
