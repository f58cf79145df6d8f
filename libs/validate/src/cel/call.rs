//! Calls: one match from function to result.

use std::cmp::Ordering;

use super::arith::{self, no_overload};
use super::compare;
use super::eval::{Outcome, Scope};
use super::func::{Func, TimePart};
use super::text;
use super::value::{Blob, Text, Val, shared_text};
use crate::error::RuleFault;
use crate::format;
use crate::rules::{Civil, contains, parse_instant, parse_offset, parse_span, pattern};

/// Steps that compiling a pattern costs when it is not known beforehand.
const PATTERN_STEPS: usize = 5000;

pub(super) fn call<'v>(scope: &mut Scope<'v, '_>, func: &Func, args: &[Val<'v>]) -> Outcome<'v> {
    match (func, args) {
        (Func::Add | Func::Sub | Func::Mul | Func::Div | Func::Mod, [a, b]) => arith::binary(scope, func, a, b),
        (Func::Neg, [a]) => arith::negate(a),
        (Func::Eq, [a, b]) => compare::equal(scope, a, b).map(Val::Bool),
        (Func::Ne, [a, b]) => compare::equal(scope, a, b).map(|equal| Val::Bool(!equal)),
        (Func::Lt, [a, b]) => ordered(a, b, Ordering::is_lt),
        (Func::Le, [a, b]) => ordered(a, b, Ordering::is_le),
        (Func::Gt, [a, b]) => ordered(a, b, Ordering::is_gt),
        (Func::Ge, [a, b]) => ordered(a, b, Ordering::is_ge),
        (Func::In, [item, of]) => is_in(scope, item, of).map(Val::Bool),
        (Func::Size, [of]) => size(scope, of),
        (Func::Unique, [Val::List(items)]) => {
            let items: Vec<_> = items.iter(scope.plan).collect();
            for (at, item) in items.iter().enumerate() {
                for earlier in &items[..at] {
                    scope.spend(1)?;
                    if compare::equal(scope, earlier, item)? {
                        return Ok(Val::Bool(false));
                    }
                }
            }
            Ok(Val::Bool(true))
        }
        (Func::Format, [Val::Str(template), Val::List(args)]) => {
            let args: Vec<_> = args.iter(scope.plan).collect();
            text::format(scope, template, &args).map(shared_text)
        }
        (Func::ToDyn, [value]) => Ok(value.clone()),
        (Func::TypeOf, [value]) => Ok(Val::Type(value.type_name())),
        (Func::Time(part), args) => time_part(*part, args),
        (Func::IsNan, [Val::Double(value)]) => Ok(Val::Bool(value.is_nan())),
        (Func::IsInf, [Val::Double(value)]) => Ok(Val::Bool(value.is_infinite())),
        (Func::IsInf, [Val::Double(value), Val::Int(sign)]) => {
            let side = match sign.cmp(&0) {
                Ordering::Equal => true,
                Ordering::Greater => *value > 0.0,
                Ordering::Less => *value < 0.0,
            };
            Ok(Val::Bool(value.is_infinite() && side))
        }
        (Func::Contains | Func::StartsWith | Func::EndsWith, [Val::Bytes(of), Val::Bytes(part)]) => {
            scope.spend(of.len() / 32)?;
            Ok(Val::Bool(match func {
                Func::Contains => contains(of, part),
                Func::StartsWith => of.starts_with(part),
                _ => of.ends_with(part),
            }))
        }
        (_, [Val::Str(of), rest @ ..]) if is_text_test(func) => {
            scope.spend(of.len() / 32)?;
            text_test(scope, func, of, rest).map(Val::Bool)
        }
        (_, [value]) => convert(scope, func, value),
        _ => Err(no_overload()),
    }
}

fn ordered<'v>(a: &Val<'v>, b: &Val<'v>, wanted: fn(Ordering) -> bool) -> Outcome<'v> {
    Ok(Val::Bool(compare::order(a, b)?.is_some_and(wanted)))
}

fn is_in<'v>(scope: &mut Scope<'v, '_>, item: &Val<'v>, of: &Val<'v>) -> Result<bool, RuleFault> {
    let len = match of {
        Val::List(items) => items.len(),
        Val::Map(entries) => entries.len(),
        _ => return Err(no_overload()),
    };
    for index in 0..len {
        scope.spend(1)?;
        let other = match of {
            Val::List(items) => items.get(scope.plan, index),
            Val::Map(entries) => entries.entry(scope.plan, index).map(|(key, _)| key),
            _ => None,
        };
        let Some(other) = other else { continue };
        if compare::equal(scope, item, &other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn size<'v>(scope: &mut Scope<'v, '_>, of: &Val<'v>) -> Outcome<'v> {
    let size = match of {
        Val::Str(text) => {
            scope.spend(text.len() / 32)?;
            text.chars().count()
        }
        Val::Bytes(bytes) => bytes.len(),
        Val::List(items) => items.len(),
        Val::Map(entries) => entries.len(),
        _ => return Err(no_overload()),
    };
    i64::try_from(size).map(Val::Int).map_err(|_| no_overload())
}

fn is_text_test(func: &Func) -> bool {
    matches!(
        func,
        Func::Contains
            | Func::StartsWith
            | Func::EndsWith
            | Func::Matches
            | Func::MatchesConst(_)
            | Func::IsEmail
            | Func::IsHostname
            | Func::IsHostAndPort
            | Func::IsIp
            | Func::IsIpPrefix
            | Func::IsUri
            | Func::IsUriRef
    )
}

fn text_test(scope: &mut Scope<'_, '_>, func: &Func, of: &str, rest: &[Val<'_>]) -> Result<bool, RuleFault> {
    Ok(match (func, rest) {
        (Func::Contains, [Val::Str(part)]) => of.contains(&**part),
        (Func::StartsWith, [Val::Str(part)]) => of.starts_with(&**part),
        (Func::EndsWith, [Val::Str(part)]) => of.ends_with(&**part),
        (Func::MatchesConst(regex), []) => regex.is_match(of),
        (Func::Matches, [Val::Str(source)]) => {
            scope.spend(PATTERN_STEPS)?;
            let regex = pattern(source).map_err(|_| RuleFault::Evaluation("a pattern is no regular expression"))?;
            regex.is_match(of)
        }
        (Func::IsEmail, []) => format::is_email(of),
        (Func::IsHostname, []) => format::is_hostname(of),
        (Func::IsHostAndPort, [Val::Bool(port)]) => format::is_host_and_port(of, *port),
        (Func::IsIp, []) => format::is_ip(of, 0),
        (Func::IsIp, [Val::Int(version)]) => format::is_ip(of, *version),
        (Func::IsIpPrefix, []) => format::is_ip_prefix(of, 0, false),
        (Func::IsIpPrefix, [Val::Int(version)]) => format::is_ip_prefix(of, *version, false),
        (Func::IsIpPrefix, [Val::Bool(strict)]) => format::is_ip_prefix(of, 0, *strict),
        (Func::IsIpPrefix, [Val::Int(version), Val::Bool(strict)]) => format::is_ip_prefix(of, *version, *strict),
        (Func::IsUri, []) => format::is_uri(of),
        (Func::IsUriRef, []) => format::is_uri_ref(of),
        _ => return Err(no_overload()),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn convert<'v>(scope: &mut Scope<'v, '_>, func: &Func, value: &Val<'v>) -> Outcome<'v> {
    let range = RuleFault::Evaluation("a conversion is out of range");
    let malformed = RuleFault::Evaluation("a text cannot be converted");
    Ok(match (func, value) {
        (Func::ToInt, Val::Int(_))
        | (Func::ToUint, Val::Uint(_))
        | (Func::ToDouble, Val::Double(_))
        | (Func::ToStr, Val::Str(_))
        | (Func::ToBytes, Val::Bytes(_))
        | (Func::ToBool, Val::Bool(_))
        | (Func::ToSpan, Val::Span(_))
        | (Func::ToInstant, Val::Instant(_)) => value.clone(),
        (Func::ToInt, Val::Uint(value)) => Val::Int(i64::try_from(*value).map_err(|_| range)?),
        (Func::ToInt, Val::Double(value)) => {
            if !(-9.223_372_036_854_775e18..9.223_372_036_854_775e18).contains(value) {
                return Err(range);
            }
            Val::Int(*value as i64)
        }
        (Func::ToInt, Val::Str(text)) => Val::Int(text.parse().map_err(|_| malformed)?),
        (Func::ToInt, Val::Instant(nanos)) => {
            Val::Int(i64::try_from(nanos.div_euclid(1_000_000_000)).map_err(|_| range)?)
        }
        (Func::ToUint, Val::Int(value)) => Val::Uint(u64::try_from(*value).map_err(|_| range)?),
        (Func::ToUint, Val::Double(value)) => {
            if !(0.0..1.844_674_407_370_955e19).contains(value) {
                return Err(range);
            }
            Val::Uint(*value as u64)
        }
        (Func::ToUint, Val::Str(text)) => Val::Uint(text.parse().map_err(|_| malformed)?),
        (Func::ToDouble, Val::Int(value)) => Val::Double(*value as f64),
        (Func::ToDouble, Val::Uint(value)) => Val::Double(*value as f64),
        (Func::ToDouble, Val::Str(text)) => Val::Double(text.parse().map_err(|_| malformed)?),
        (Func::ToBytes, Val::Str(Text::Borrowed(text))) => Val::Bytes(Blob::Borrowed(text.as_bytes())),
        (Func::ToBytes, Val::Str(Text::Shared(text))) => Val::Bytes(Blob::Shared(text.as_bytes().into())),
        (Func::ToStr, Val::Bytes(Blob::Borrowed(bytes))) => {
            let text = std::str::from_utf8(bytes).map_err(|_| RuleFault::NotText)?;
            Val::Str(Text::Borrowed(text))
        }
        (Func::ToStr, Val::Bytes(Blob::Shared(bytes))) => {
            shared_text(std::str::from_utf8(bytes).map_err(|_| RuleFault::NotText)?)
        }
        (Func::ToStr, Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Bool(_) | Val::Span(_) | Val::Instant(_)) => {
            shared_text(text::format(scope, "%s", std::slice::from_ref(value))?)
        }
        (Func::ToBool, Val::Str(text)) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Val::Bool(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Val::Bool(false),
            _ => return Err(malformed),
        },
        (Func::ToSpan, Val::Str(text)) => Val::Span(parse_span(text).ok_or(malformed)?),
        (Func::ToInstant, Val::Str(text)) => Val::Instant(parse_instant(text).ok_or(malformed)?),
        (Func::ToInstant, Val::Int(seconds)) => Val::Instant(i128::from(*seconds) * 1_000_000_000),
        _ => return Err(no_overload()),
    })
}

fn time_part<'v>(part: TimePart, args: &[Val<'v>]) -> Outcome<'v> {
    let (nanos, offset) = match args {
        [Val::Span(nanos)] => return span_part(part, *nanos),
        [Val::Instant(nanos)] => (*nanos, 0),
        [Val::Instant(nanos), Val::Str(zone)] => {
            let offset = match &**zone {
                "UTC" | "Z" => Some(0),
                zone => parse_offset(zone),
            };
            let unknown = RuleFault::Evaluation("only UTC and offsets are known as time zones");
            (*nanos, offset.ok_or(unknown)?)
        }
        _ => return Err(no_overload()),
    };
    let civil = Civil::of(nanos + i128::from(offset) * 1_000_000_000);
    Ok(Val::Int(match part {
        TimePart::FullYear => civil.year,
        TimePart::Month => civil.month - 1,
        TimePart::Date => civil.day,
        TimePart::DayOfMonth => civil.day - 1,
        TimePart::DayOfWeek => civil.weekday,
        TimePart::DayOfYear => civil.year_day,
        TimePart::Hours => civil.hour,
        TimePart::Minutes => civil.minute,
        TimePart::Seconds => civil.second,
        TimePart::Milliseconds => civil.nanos / 1_000_000,
    }))
}

fn span_part<'v>(part: TimePart, nanos: i128) -> Outcome<'v> {
    let value = match part {
        TimePart::Hours => nanos / 3_600_000_000_000,
        TimePart::Minutes => nanos / 60_000_000_000,
        TimePart::Seconds => nanos / 1_000_000_000,
        TimePart::Milliseconds => nanos / 1_000_000 % 1000,
        _ => return Err(no_overload()),
    };
    i64::try_from(value).map(Val::Int).map_err(|_| no_overload())
}
