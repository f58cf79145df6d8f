//! The functions of an expression, by name.

use regex::Regex;

/// A function or operator.
#[derive(Clone, Debug)]
pub(super) enum Func {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Neg,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    /// `matches` with a pattern that is known beforehand.
    MatchesConst(Regex),
    Unique,
    Format,
    IsEmail,
    IsHostname,
    IsHostAndPort,
    IsIp,
    IsIpPrefix,
    IsUri,
    IsUriRef,
    IsNan,
    IsInf,
    ToInt,
    ToUint,
    ToDouble,
    ToStr,
    ToBytes,
    ToBool,
    ToSpan,
    ToInstant,
    ToDyn,
    TypeOf,
    Time(TimePart),
}

/// A part of a point in time, or of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Func {
    /// The function that CEL's syntax calls by this name. `method` says that it stands behind a dot.
    pub(super) fn named(name: &str, method: bool) -> Option<Func> {
        operator(name).or_else(|| if method { self::method(name) } else { global(name) })
    }
}

fn operator(name: &str) -> Option<Func> {
    Some(match name {
        "_+_" => Func::Add,
        "_-_" => Func::Sub,
        "_*_" => Func::Mul,
        "_/_" => Func::Div,
        "_%_" => Func::Mod,
        "-_" => Func::Neg,
        "_==_" => Func::Eq,
        "_!=_" => Func::Ne,
        "_<_" => Func::Lt,
        "_<=_" => Func::Le,
        "_>_" => Func::Gt,
        "_>=_" => Func::Ge,
        "@in" => Func::In,
        _ => return None,
    })
}

fn global(name: &str) -> Option<Func> {
    Some(match name {
        "size" => Func::Size,
        "matches" => Func::Matches,
        "int" => Func::ToInt,
        "uint" => Func::ToUint,
        "double" => Func::ToDouble,
        "string" => Func::ToStr,
        "bytes" => Func::ToBytes,
        "bool" => Func::ToBool,
        "duration" => Func::ToSpan,
        "timestamp" => Func::ToInstant,
        "dyn" => Func::ToDyn,
        "type" => Func::TypeOf,
        _ => return None,
    })
}

fn method(name: &str) -> Option<Func> {
    Some(match name {
        "size" => Func::Size,
        "contains" => Func::Contains,
        "startsWith" => Func::StartsWith,
        "endsWith" => Func::EndsWith,
        "matches" => Func::Matches,
        "unique" => Func::Unique,
        "format" => Func::Format,
        "isEmail" => Func::IsEmail,
        "isHostname" => Func::IsHostname,
        "isHostAndPort" => Func::IsHostAndPort,
        "isIp" => Func::IsIp,
        "isIpPrefix" => Func::IsIpPrefix,
        "isUri" => Func::IsUri,
        "isUriRef" => Func::IsUriRef,
        "isNan" => Func::IsNan,
        "isInf" => Func::IsInf,
        "getFullYear" => Func::Time(TimePart::FullYear),
        "getMonth" => Func::Time(TimePart::Month),
        "getDate" => Func::Time(TimePart::Date),
        "getDayOfMonth" => Func::Time(TimePart::DayOfMonth),
        "getDayOfWeek" => Func::Time(TimePart::DayOfWeek),
        "getDayOfYear" => Func::Time(TimePart::DayOfYear),
        "getHours" => Func::Time(TimePart::Hours),
        "getMinutes" => Func::Time(TimePart::Minutes),
        "getSeconds" => Func::Time(TimePart::Seconds),
        "getMilliseconds" => Func::Time(TimePart::Milliseconds),
        _ => return None,
    })
}
