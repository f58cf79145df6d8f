//! Static types, as far as they are known.

use std::fmt;

use crate::plan::{Kind, MessagePlan, WellKnown};

/// A static type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    /// Known only when it runs.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Str,
    Bytes,
    Span,
    Instant,
    Type,
    List(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
    /// A message type by its index in the plan.
    Msg(u32),
}

impl Ty {
    pub(crate) fn of(kind: Kind, messages: &[MessagePlan]) -> Ty {
        match kind {
            Kind::Bool => Ty::Bool,
            Kind::Int32 | Kind::Int64 | Kind::SInt32 | Kind::SInt64 => Ty::Int,
            Kind::SFixed32 | Kind::SFixed64 | Kind::Enum => Ty::Int,
            Kind::UInt32 | Kind::UInt64 | Kind::Fixed32 | Kind::Fixed64 => Ty::Uint,
            Kind::Float | Kind::Double => Ty::Double,
            Kind::String => Ty::Str,
            Kind::Bytes => Ty::Bytes,
            Kind::Message(index) | Kind::Group(index) => match messages[index as usize].well_known() {
                WellKnown::No => Ty::Msg(index),
                WellKnown::Timestamp => Ty::Instant,
                WellKnown::Duration => Ty::Span,
                WellKnown::Wrapper | WellKnown::Value => Ty::Dyn,
                WellKnown::Struct => Ty::Map(Box::new(Ty::Str), Box::new(Ty::Dyn)),
                WellKnown::ListValue => Ty::List(Box::new(Ty::Dyn)),
            },
        }
    }

    pub(super) fn list_of(item: Ty) -> Ty {
        Ty::List(Box::new(item))
    }

    pub(super) fn is_dyn(&self) -> bool {
        *self == Ty::Dyn
    }

    /// Whether a value of this type may be used where the other is wanted.
    pub(super) fn fits(&self, other: &Ty) -> bool {
        match (self, other) {
            (Ty::Dyn, _) | (_, Ty::Dyn) => true,
            (Ty::List(a), Ty::List(b)) => a.fits(b),
            (Ty::Map(a, b), Ty::Map(c, d)) => a.fits(c) && b.fits(d),
            (Ty::Null, Ty::Msg(_) | Ty::Span | Ty::Instant) => true,
            (Ty::Msg(_) | Ty::Span | Ty::Instant, Ty::Null) => true,
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Dyn => f.write_str("dyn"),
            Ty::Null => f.write_str("null"),
            Ty::Bool => f.write_str("bool"),
            Ty::Int => f.write_str("int"),
            Ty::Uint => f.write_str("uint"),
            Ty::Double => f.write_str("double"),
            Ty::Str => f.write_str("string"),
            Ty::Bytes => f.write_str("bytes"),
            Ty::Span => f.write_str("duration"),
            Ty::Instant => f.write_str("timestamp"),
            Ty::Type => f.write_str("type"),
            Ty::List(item) => write!(f, "list({item})"),
            Ty::Map(key, value) => write!(f, "map({key}, {value})"),
            Ty::Msg(_) => f.write_str("message"),
        }
    }
}
