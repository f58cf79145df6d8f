//! Numbers, durations and points in time, compared alike.

use std::cmp::Ordering;
use std::fmt;

use crate::msg::Value;

/// A comparable value. Spans and instants are told apart for their text only: what a message of
/// seconds and nanoseconds means is known from the rule that it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    I(i64),
    U(u64),
    F(f64),
    /// Nanoseconds of a duration.
    Span(i128),
    /// Nanoseconds since the Unix epoch.
    Instant(i128),
}

impl Number {
    /// The number in a value; a message of seconds and nanoseconds counts as a time.
    pub(crate) fn of(value: &Value<'_>) -> Option<Number> {
        match value {
            Value::I64(value) => Some(Number::I(*value)),
            Value::U64(value) => Some(Number::U(*value)),
            Value::F64(value) => Some(Number::F(*value)),
            Value::Enum(value) => Some(Number::I(i64::from(*value))),
            Value::Msg(msg) => {
                let (seconds, nanos) = msg.seconds_nanos()?;
                Some(Number::Instant(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)))
            }
            _ => None,
        }
    }

    pub(crate) fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::I(a), Number::I(b)) => Some(a.cmp(&b)),
            (Number::U(a), Number::U(b)) => Some(a.cmp(&b)),
            (Number::F(a), Number::F(b)) => a.partial_cmp(&b),
            (Number::Span(a) | Number::Instant(a), Number::Span(b) | Number::Instant(b)) => Some(a.cmp(&b)),
            _ => None,
        }
    }

    pub(crate) fn equals(self, other: Number) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::I(value) => write!(f, "{value}"),
            Number::U(value) => write!(f, "{value}"),
            Number::F(value) if value.is_infinite() => f.write_str(if *value > 0.0 { "Infinity" } else { "-Infinity" }),
            Number::F(value) => write!(f, "{value}"),
            Number::Span(nanos) => super::time::write_span(f, *nanos),
            Number::Instant(nanos) => super::time::write_instant(f, *nanos),
        }
    }
}

/// One end of a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) at: Number,
    pub(crate) inclusive: bool,
}

/// A range; with the upper bound below the lower one, everything outside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) lower: Option<Bound>,
    pub(crate) upper: Option<Bound>,
}

impl Range {
    /// Whether the bounds are swapped, so that either one suffices.
    pub(crate) fn is_exclusive(&self) -> bool {
        match (self.lower, self.upper) {
            (Some(lower), Some(upper)) => upper.at.compare(lower.at).is_some_and(Ordering::is_lt),
            _ => false,
        }
    }

    pub(crate) fn contains(&self, value: Number) -> bool {
        let holds = |bound: Bound, wanted: Ordering| match value.compare(bound.at) {
            Some(Ordering::Equal) => bound.inclusive,
            Some(ordering) => ordering == wanted,
            None => false,
        };
        match (self.lower, self.upper) {
            (None, None) => true,
            (Some(lower), None) => holds(lower, Ordering::Greater),
            (None, Some(upper)) => holds(upper, Ordering::Less),
            (Some(lower), Some(upper)) => {
                let (above, below) = (holds(lower, Ordering::Greater), holds(upper, Ordering::Less));
                if self.is_exclusive() { above || below } else { above && below }
            }
        }
    }
}
