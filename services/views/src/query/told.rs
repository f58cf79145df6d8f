//! From the hub's types to the API's.

use std::collections::HashMap;

use projection::subject::Source;
use prost_types::{Duration as WireDuration, ListValue, Struct, Timestamp as WireTime, Value, value};
use record::{Positions, Timestamp};
use serde_json::Value as Json;
use wire::query::Provenance;

use super::error::Error;

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, b| {
        use std::fmt::Write as _;
        write!(out, "{b:02x}").expect("writing to a string cannot fail");
        out
    })
}

/// Position vectors as "stream/partition" → end.
pub(super) fn ends(positions: &Positions) -> HashMap<String, u64> {
    positions.iter().map(|(stream, p, end)| (format!("{}/{}", stream.name(), p.0), end.0)).collect()
}

/// A time as the API writes it.
pub(super) fn wire_time(at: Timestamp) -> WireTime {
    wire::timestamp(at.0)
}

/// A time of the request; years 1 to 9999, as protobuf has them.
pub(super) fn time(field: &str, at: Option<&WireTime>) -> Result<Option<Timestamp>, Error> {
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let Some(at) = at else { return Ok(None) };
    if !SECONDS.contains(&at.seconds) || !(0..1_000_000_000).contains(&at.nanos) {
        return Err(Error::field(field, "time_malformed", "not a time from the year 1 to the year 9999"));
    }
    Ok(Some(Timestamp(at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)))
}

/// Where a value comes from, as of `now`.
pub(super) fn provenance(source: &Source, now: Timestamp) -> Provenance {
    let age = now.0.saturating_sub(source.published_at.0).max(0);
    Provenance {
        register: source.register.as_str().to_owned(),
        record: source.record.to_hex(),
        version: source.version,
        position: source.position.to_string(),
        record_type: source.record_type.clone(),
        effective_at: Some(wire_time(source.effective_at)),
        published_at: Some(wire_time(source.published_at)),
        age: Some(WireDuration { seconds: age / 1_000_000, nanos: ((age % 1_000_000) * 1_000) as i32 }),
        agency: source.agency.clone(),
    }
}

/// JSON as protobuf's well-known value.
pub(super) fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(truth) => value::Kind::BoolValue(*truth),
        Json::Number(number) => match number.as_f64() {
            // Beyond 2^53 a number would lose digits.
            Some(float) if float.abs() <= 9_007_199_254_740_992.0 => value::Kind::NumberValue(float),
            Some(_) | None => value::Kind::StringValue(number.to_string()),
        },
        Json::String(text) => value::Kind::StringValue(text.clone()),
        Json::Array(items) => value::Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Json::Object(fields) => {
            value::Kind::StructValue(Struct { fields: fields.iter().map(|(k, v)| (k.clone(), value(v))).collect() })
        }
    };
    Value { kind: Some(kind) }
}

/// A struct of texts.
pub(super) fn texts<'a>(fields: impl IntoIterator<Item = (&'static str, &'a str)>) -> Struct {
    let text = |v: &str| Value { kind: Some(value::Kind::StringValue(v.to_owned())) };
    Struct { fields: fields.into_iter().map(|(k, v)| (k.to_owned(), text(v))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_both_ways_also_before_the_epoch() {
        for micros in [0, 1, -1, -1_000_001, 1_795_305_600_000_000] {
            let wire = wire_time(Timestamp(micros));
            assert_eq!(time("t", Some(&wire)).ok().flatten(), Some(Timestamp(micros)));
        }
        assert!(time("t", Some(&WireTime { seconds: i64::MAX, nanos: 0 })).is_err());
        assert!(time("t", Some(&WireTime { seconds: 0, nanos: -1 })).is_err());
    }

    #[test]
    fn a_long_number_keeps_its_digits() {
        let kind = |json: Json| value(&json).kind;
        assert_eq!(kind(Json::from(7)), Some(value::Kind::NumberValue(7.0)));
        assert_eq!(kind(Json::from(i64::MAX)), Some(value::Kind::StringValue(i64::MAX.to_string())));
    }
}
