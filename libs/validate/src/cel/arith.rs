//! Arithmetic. Integers are checked, times stay within the years 1 to 9999.

use std::sync::Arc;

use super::eval::{Outcome, Scope};
use super::func::Func;
use super::value::{Blob, Items, Val, shared_text};
use crate::error::RuleFault;

const OVERFLOW: RuleFault = RuleFault::Evaluation("a number overflows");
const ZERO: RuleFault = RuleFault::Evaluation("division by zero");
/// Bytes of a text or byte string made on the way, inclusive.
const MADE_BYTES_MAX: usize = 1 << 16;
/// 0001-01-01T00:00:00Z and the last nanosecond of 9999.
const INSTANTS: std::ops::RangeInclusive<i128> = -62_135_596_800_000_000_000..=253_402_300_799_999_999_999;

pub(super) fn binary<'v>(scope: &mut Scope<'v, '_>, func: &Func, a: &Val<'v>, b: &Val<'v>) -> Outcome<'v> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => int(func, *a, *b).map(Val::Int),
        (Val::Uint(a), Val::Uint(b)) => uint(func, *a, *b).map(Val::Uint),
        (Val::Double(a), Val::Double(b)) => double(func, *a, *b).map(Val::Double),
        (Val::Instant(_) | Val::Span(_), Val::Instant(_) | Val::Span(_)) => time(func, a, b),
        _ if matches!(func, Func::Add) => join(scope, a, b),
        _ => Err(no_overload()),
    }
}

pub(super) fn negate<'v>(value: &Val<'v>) -> Outcome<'v> {
    match value {
        Val::Int(value) => value.checked_neg().map(Val::Int).ok_or(OVERFLOW),
        Val::Double(value) => Ok(Val::Double(-value)),
        _ => Err(no_overload()),
    }
}

fn int(func: &Func, a: i64, b: i64) -> Result<i64, RuleFault> {
    match func {
        Func::Add => a.checked_add(b),
        Func::Sub => a.checked_sub(b),
        Func::Mul => a.checked_mul(b),
        Func::Div | Func::Mod if b == 0 => return Err(ZERO),
        Func::Div => a.checked_div(b),
        Func::Mod => a.checked_rem(b),
        _ => None,
    }
    .ok_or(OVERFLOW)
}

fn uint(func: &Func, a: u64, b: u64) -> Result<u64, RuleFault> {
    match func {
        Func::Add => a.checked_add(b),
        Func::Sub => a.checked_sub(b),
        Func::Mul => a.checked_mul(b),
        Func::Div | Func::Mod if b == 0 => return Err(ZERO),
        Func::Div => a.checked_div(b),
        Func::Mod => a.checked_rem(b),
        _ => None,
    }
    .ok_or(OVERFLOW)
}

fn double(func: &Func, a: f64, b: f64) -> Result<f64, RuleFault> {
    match func {
        Func::Add => Ok(a + b),
        Func::Sub => Ok(a - b),
        Func::Mul => Ok(a * b),
        Func::Div => Ok(a / b),
        _ => Err(no_overload()),
    }
}

fn time<'v>(func: &Func, a: &Val<'v>, b: &Val<'v>) -> Outcome<'v> {
    let instant = |nanos: i128| INSTANTS.contains(&nanos).then_some(Val::Instant(nanos)).ok_or(OVERFLOW);
    match (func, a, b) {
        (Func::Add, Val::Instant(a), Val::Span(b)) | (Func::Add, Val::Span(b), Val::Instant(a)) => instant(a + b),
        (Func::Sub, Val::Instant(a), Val::Span(b)) => instant(a - b),
        (Func::Sub, Val::Instant(a), Val::Instant(b)) => Ok(Val::Span(a - b)),
        (Func::Add, Val::Span(a), Val::Span(b)) => a.checked_add(*b).map(Val::Span).ok_or(OVERFLOW),
        (Func::Sub, Val::Span(a), Val::Span(b)) => a.checked_sub(*b).map(Val::Span).ok_or(OVERFLOW),
        _ => Err(no_overload()),
    }
}

fn join<'v>(scope: &mut Scope<'v, '_>, a: &Val<'v>, b: &Val<'v>) -> Outcome<'v> {
    match (a, b) {
        (Val::Str(a), Val::Str(b)) => {
            bounded(scope, a.len() + b.len())?;
            Ok(shared_text([&**a, &**b].concat()))
        }
        (Val::Bytes(a), Val::Bytes(b)) => {
            bounded(scope, a.len() + b.len())?;
            Ok(Val::Bytes(Blob::Shared([&**a, &**b].concat().into())))
        }
        (Val::List(a), Val::List(b)) => {
            scope.spend(a.len() + b.len())?;
            let items = a.iter(scope.plan).chain(b.iter(scope.plan)).collect();
            Ok(Val::List(Items::Shared(Arc::new(items))))
        }
        _ => Err(no_overload()),
    }
}

/// Pays for a text or byte string of this length, if it may be made at all.
pub(super) fn bounded(scope: &mut Scope<'_, '_>, len: usize) -> Result<(), RuleFault> {
    if len > MADE_BYTES_MAX {
        return Err(RuleFault::Evaluation("a text grows beyond 64 KiB"));
    }
    scope.spend(len / 32)
}

pub(super) fn no_overload() -> RuleFault {
    RuleFault::Evaluation("a function does not take values of these types")
}
