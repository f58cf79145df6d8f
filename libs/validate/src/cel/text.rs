//! `string.format`: the verbs of CEL's strings extension.

use std::fmt::Write as _;

use super::arith::{bounded, no_overload};
use super::eval::Scope;
use super::value::Val;
use crate::error::RuleFault;
use crate::rules::{write_instant, write_span};

/// Digits after the point that a template may ask for, inclusive.
const PRECISION_MAX: usize = 100;

pub(super) fn format<'v>(scope: &mut Scope<'v, '_>, template: &str, args: &[Val<'v>]) -> Result<String, RuleFault> {
    let malformed = RuleFault::Evaluation("a format does not fit its arguments");
    let mut out = String::new();
    let mut args = args.iter();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut precision = None;
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(|c: char| !c.is_ascii_digit()).ok_or(malformed)?;
            let digits: usize = tail[..end].parse().map_err(|_| malformed)?;
            precision = Some(digits.min(PRECISION_MAX));
            rest = &tail[end..];
        }
        let mut chars = rest.chars();
        let verb = chars.next().ok_or(malformed)?;
        rest = chars.as_str();
        if verb == '%' {
            out.push('%');
        } else {
            let arg = args.next().ok_or(malformed)?;
            write_verb(scope, &mut out, verb, precision, arg)?;
        }
        bounded(scope, out.len())?;
    }
    out.push_str(rest);
    if args.next().is_some() {
        return Err(malformed);
    }
    Ok(out)
}

fn write_verb<'v>(
    scope: &mut Scope<'v, '_>,
    out: &mut String,
    verb: char,
    precision: Option<usize>,
    arg: &Val<'v>,
) -> Result<(), RuleFault> {
    let digits = precision.unwrap_or(6);
    let written = match (verb, arg) {
        ('s', value) => return plain(scope, out, value),
        ('d', Val::Int(value)) => write!(out, "{value}"),
        ('d', Val::Uint(value)) => write!(out, "{value}"),
        ('d', value @ Val::Double(_)) => return plain(scope, out, value),
        ('f', Val::Double(value)) if value.is_finite() => write!(out, "{value:.digits$}"),
        ('f' | 'e', Val::Int(value)) => return number(out, verb, digits, *value as f64),
        ('f' | 'e', Val::Uint(value)) => return number(out, verb, digits, *value as f64),
        ('e', Val::Double(value)) if value.is_finite() => return number(out, verb, digits, *value),
        ('f' | 'e', value @ Val::Double(_)) => return plain(scope, out, value),
        ('b', Val::Int(value)) if *value < 0 => write!(out, "-{:b}", value.unsigned_abs()),
        ('b', Val::Int(value)) => write!(out, "{value:b}"),
        ('b', Val::Uint(value)) => write!(out, "{value:b}"),
        ('b', Val::Bool(value)) => write!(out, "{}", u8::from(*value)),
        ('o', Val::Int(value)) if *value < 0 => write!(out, "-{:o}", value.unsigned_abs()),
        ('o', Val::Int(value)) => write!(out, "{value:o}"),
        ('o', Val::Uint(value)) => write!(out, "{value:o}"),
        ('x' | 'X', value) => return hex(out, value, verb == 'X'),
        _ => return Err(no_overload()),
    };
    written.map_err(|_| no_overload())
}

fn number(out: &mut String, verb: char, digits: usize, value: f64) -> Result<(), RuleFault> {
    if verb == 'f' {
        return write!(out, "{value:.digits$}").map_err(|_| no_overload());
    }
    // Rust writes `1.5e3`, C and CEL `1.5e+03`.
    let text = format!("{value:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').ok_or_else(no_overload)?;
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    write!(out, "{mantissa}e{sign}{exponent:0>2}").map_err(|_| no_overload())
}

fn hex(out: &mut String, value: &Val<'_>, upper: bool) -> Result<(), RuleFault> {
    let bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
    };
    let text = match value {
        Val::Int(value) if *value < 0 => format!("-{:x}", value.unsigned_abs()),
        Val::Int(value) => format!("{value:x}"),
        Val::Uint(value) => format!("{value:x}"),
        Val::Str(text) => bytes(text.as_bytes()),
        Val::Bytes(value) => bytes(value),
        _ => return Err(no_overload()),
    };
    out.push_str(&if upper { text.to_uppercase() } else { text });
    Ok(())
}

fn plain<'v>(scope: &mut Scope<'v, '_>, out: &mut String, value: &Val<'v>) -> Result<(), RuleFault> {
    scope.spend(1)?;
    bounded(scope, out.len())?;
    let written = match value {
        Val::Null => write!(out, "null"),
        Val::Bool(value) => write!(out, "{value}"),
        Val::Int(value) => write!(out, "{value}"),
        Val::Uint(value) => write!(out, "{value}"),
        Val::Double(value) if value.is_infinite() => {
            write!(out, "{}Infinity", if *value < 0.0 { "-" } else { "" })
        }
        Val::Double(value) => write!(out, "{value}"),
        Val::Str(text) => write!(out, "{}", &**text),
        Val::Bytes(bytes) => write!(out, "{}", String::from_utf8_lossy(bytes)),
        Val::Span(nanos) => write_span(out, *nanos),
        Val::Instant(nanos) => write_instant(out, *nanos),
        Val::Type(name) => write!(out, "{name}"),
        Val::List(items) => {
            out.push('[');
            for (index, item) in items.iter(scope.plan).collect::<Vec<_>>().iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                plain(scope, out, item)?;
            }
            out.push(']');
            Ok(())
        }
        Val::Map(entries) => {
            out.push('{');
            let entries: Vec<_> = entries.iter(scope.plan).collect();
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                plain(scope, out, key)?;
                out.push_str(": ");
                plain(scope, out, value)?;
            }
            out.push('}');
            Ok(())
        }
        Val::Msg(_) | Val::Object(_) => return Err(no_overload()),
    };
    written.map_err(|_| no_overload())
}
