//! Equality and order. Numbers of different types compare by value, as CEL has it at run time.

use std::cmp::Ordering;

use super::eval::Scope;
use super::value::Val;
use crate::error::RuleFault;

pub(super) fn equal<'v>(scope: &mut Scope<'v, '_>, a: &Val<'v>, b: &Val<'v>) -> Result<bool, RuleFault> {
    Ok(match (a, b) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Str(a), Val::Str(b)) => {
            scope.spend(a.len().min(b.len()) / 32)?;
            **a == **b
        }
        (Val::Bytes(a), Val::Bytes(b)) => {
            scope.spend(a.len().min(b.len()) / 32)?;
            **a == **b
        }
        (Val::Span(a), Val::Span(b)) | (Val::Instant(a), Val::Instant(b)) => a == b,
        (Val::Type(a), Val::Type(b)) => a == b,
        (Val::List(a), Val::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for index in 0..a.len() {
                scope.spend(1)?;
                let (Some(a), Some(b)) = (a.get(scope.plan, index), b.get(scope.plan, index)) else {
                    return Ok(false);
                };
                if !equal(scope, &a, &b)? {
                    return Ok(false);
                }
            }
            true
        }
        (Val::Map(a), Val::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            'entries: for (key, value) in a.iter(scope.plan).collect::<Vec<_>>() {
                for (other_key, other) in b.iter(scope.plan).collect::<Vec<_>>() {
                    scope.spend(1)?;
                    if equal(scope, &key, &other_key)? {
                        if equal(scope, &value, &other)? {
                            continue 'entries;
                        }
                        return Ok(false);
                    }
                }
                return Ok(false);
            }
            true
        }
        (Val::Msg(a), Val::Msg(b)) => {
            scope.spend(a.len())?;
            a == b
        }
        (a, b) => numbers(a, b) == Some(Ordering::Equal),
    })
}

/// The order of two values, when they have one. `NaN` has none.
pub(super) fn order(a: &Val<'_>, b: &Val<'_>) -> Result<Option<Ordering>, RuleFault> {
    Ok(match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Str(a), Val::Str(b)) => Some((**a).cmp(&**b)),
        (Val::Bytes(a), Val::Bytes(b)) => Some((**a).cmp(&**b)),
        (Val::Span(a), Val::Span(b)) | (Val::Instant(a), Val::Instant(b)) => Some(a.cmp(b)),
        (Val::Int(_) | Val::Uint(_) | Val::Double(_), Val::Int(_) | Val::Uint(_) | Val::Double(_)) => numbers(a, b),
        _ => return Err(RuleFault::Evaluation("values of these types have no order")),
    })
}

fn numbers(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Double(a), b) => with_double(whole(b)?, *a).map(Ordering::reverse),
        (a, Val::Double(b)) => with_double(whole(a)?, *b),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Val<'_>) -> Option<i128> {
    match value {
        Val::Int(value) => Some(i128::from(*value)),
        Val::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Exact, where a conversion to `f64` would round.
#[allow(clippy::cast_possible_truncation)] // Both bounds are far inside `i128`.
fn with_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 1e30 {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = double.floor();
    Some(whole.cmp(&(floor as i128)).then(if double > floor { Ordering::Less } else { Ordering::Equal }))
}
