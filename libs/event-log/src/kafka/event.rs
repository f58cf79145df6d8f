//! An entry as a Kafka message: the value is the entry's bytes, headers are CloudEvents attributes (Kafka protocol binding, binary mode).
//!
//! | header | value |
//! |---|---|
//! | `ce_specversion` | `1.0` |
//! | `ce_id` | BLAKE3 of the entry, the first 16 bytes in hexadecimal: it names the entry, and tells nothing since entries are salted |
//! | `ce_source` | `/hub/log/PREFIX` |
//! | `ce_type` | `hub.change`, `hub.control`, `hub.access`, `hub.rejected` |
//! | `ce_time` | when the log took it, UTC, to the microsecond |
//! | `content-type` | `application/x-hub-entry` |
//!
//! Kafka's own timestamp is the same time in milliseconds: brokers find entries by it.

use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use record::{Stream, Timestamp};

const TIME: &str = "ce_time";
const DAY_US: i64 = 86_400_000_000;

/// The value of `ce_source`.
pub(super) fn source(prefix: &str) -> String {
    format!("/hub/log/{prefix}")
}

/// The headers of one entry.
pub(super) fn headers(source: &str, stream: Stream, at: Timestamp, bytes: &[u8]) -> OwnedHeaders {
    let hash = blake3::hash(bytes);
    let id = &hash.to_hex()[..32];
    let kind = match stream {
        Stream::Change => "hub.change",
        Stream::Control => "hub.control",
        Stream::Access => "hub.access",
        Stream::Rejected => "hub.rejected",
    };
    let time = write_time(at);
    let time = std::str::from_utf8(&time).expect("digits and signs");
    let header = |key, value| Header { key, value: Some(value) };
    OwnedHeaders::new_with_capacity(6)
        .insert(header("ce_specversion", "1.0"))
        .insert(header("ce_id", id))
        .insert(header("ce_source", source))
        .insert(header("ce_type", kind))
        .insert(header(TIME, time))
        .insert(header("content-type", "application/x-hub-entry"))
}

/// When the log took a message: by its header, or by Kafka's own timestamp for what another program wrote.
pub(super) fn appended_at(message: &BorrowedMessage<'_>) -> Timestamp {
    let by_header = message.headers().and_then(|headers| {
        // It is the fifth where this program wrote it.
        let fifth = headers.try_get(4).filter(|h| h.key == TIME);
        let header = fifth.or_else(|| headers.iter().find(|h| h.key == TIME))?;
        read_time(header.value?)
    });
    by_header.unwrap_or_else(|| Timestamp(millis_as_us(message.timestamp().to_millis().unwrap_or(0))))
}

fn millis_as_us(millis: i64) -> i64 {
    millis.saturating_mul(1_000)
}

/// Kafka's timestamp of a time; one before 1970 cannot be said and becomes 1970.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000).max(0)
}

/// RFC 3339 with six digits of the second. Years are clamped to 0 to 9999.
fn write_time(at: Timestamp) -> [u8; 27] {
    let (days, in_day) = (at.0.div_euclid(DAY_US), at.0.rem_euclid(DAY_US));
    let (year, month, day) = civil(days.clamp(-719_528, 2_932_896));
    let mut out = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |from: usize, digits: usize, mut value: i64| {
        for at in (from..from + digits).rev() {
            out[at] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    let seconds = in_day / 1_000_000;
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, seconds / 3_600);
    put(14, 2, seconds / 60 % 60);
    put(17, 2, seconds % 60);
    put(20, 6, in_day % 1_000_000);
    out
}

/// Reads what [`write_time`] writes, and nothing else.
fn read_time(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; 27] = text.try_into().ok()?;
    let number = |from: usize, digits: usize| {
        text[from..from + digits].iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let micros = number(20, 6)?;
    let us = days(year, month, day) * DAY_US + (hour * 3_600 + minute * 60 + second) * 1_000_000 + micros;
    let at = Timestamp(us);
    (write_time(at) == *text).then_some(at)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z - era * 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_written_as_rfc_3339_says() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_000_000_000_123_456, "2001-09-09T01:46:40.123456Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(write_time(Timestamp(us)), *text.as_bytes());
        }
        for wrong in ["", "2000-02-30T00:00:00.000000Z", "2000-02-29 00:00:00.000000Z", "2000-02-29T00:00:00.00000xZ"] {
            assert_eq!(read_time(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_read_back_to_the_microsecond(us in -62_167_219_200_000_000i64..253_402_300_800_000_000) {
            prop_assert_eq!(read_time(&write_time(Timestamp(us))), Some(Timestamp(us)));
        }
    }
}
