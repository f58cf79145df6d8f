//! Whole years of age on a day, from dates that may be incomplete.

use serde_json::Value;

/// Vietnam keeps UTC+7 all year.
const OFFSET_US: i64 = 7 * 3_600_000_000;
const DAY_US: i64 = 86_400_000_000;

/// A calendar day; month and day default to the end of what is known, so that an age is never overstated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Day {
    year: i64,
    month: i64,
    day: i64,
}

/// Whole years from a date of birth to a time, in Vietnam's calendar day. A date of which the day or month is unknown
/// counts as the last day that it may be. `None` when the value is no date or lies in the future.
pub(crate) fn years_at(birth: &Value, now_us: i64) -> Option<i64> {
    let birth = latest_day(birth)?;
    let today = day_of(now_us);
    let turned = (today.month, today.day) >= (birth.month, birth.day);
    let years = today.year - birth.year - i64::from(!turned);
    (years >= 0).then_some(years)
}

fn latest_day(value: &Value) -> Option<Day> {
    let (year, month, day) = match value {
        Value::Object(fields) => {
            let part = |name: &str| fields.get(name).and_then(Value::as_i64).filter(|&n| n > 0);
            (part("year")?, part("month"), part("day"))
        }
        Value::String(text) => {
            let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
            (parts.next()??, parts.next().flatten(), parts.next().flatten())
        }
        Value::Number(year) => (year.as_i64()?, None, None),
        Value::Null | Value::Bool(_) | Value::Array(_) => return None,
    };
    if !(1000..=9999).contains(&year) {
        return None;
    }
    let month = month.filter(|m| (1..=12).contains(m));
    // A day without its month says nothing.
    let day = day.filter(|d| month.is_some() && (1..=31).contains(d));
    Some(Day { year, month: month.unwrap_or(12), day: day.unwrap_or(31) })
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn day_of(now_us: i64) -> Day {
    let days = now_us.saturating_add(OFFSET_US).div_euclid(DAY_US) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Day { year, month, day: day_of_year - (153 * shifted + 2) / 5 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// 2026-11-22 00:00 in Vietnam.
    const NOW: i64 = (1_795_305_600 - 7 * 3_600) * 1_000_000;

    #[test]
    fn the_day_turns_at_midnight_in_vietnam() {
        assert_eq!(day_of(NOW), Day { year: 2026, month: 11, day: 22 });
        assert_eq!(day_of(NOW - 1), Day { year: 2026, month: 11, day: 21 });
        assert_eq!(day_of(0), Day { year: 1970, month: 1, day: 1 });
        assert_eq!(day_of(951_782_400_000_000), Day { year: 2000, month: 2, day: 29 });
    }

    #[test]
    fn a_birthday_counts_from_its_own_day() {
        assert_eq!(years_at(&json!("1951-11-22"), NOW), Some(75));
        assert_eq!(years_at(&json!("1951-11-23"), NOW), Some(74));
        assert_eq!(years_at(&json!({"year": 1951, "month": 11, "day": 22}), NOW), Some(75));
    }

    #[test]
    fn an_incomplete_date_never_overstates_an_age() {
        assert_eq!(years_at(&json!({"year": 1951}), NOW), Some(74));
        assert_eq!(years_at(&json!({"year": 1951, "month": 11, "day": 0}), NOW), Some(74));
        assert_eq!(years_at(&json!({"year": 1951, "month": 10}), NOW), Some(75));
        assert_eq!(years_at(&json!("1951"), NOW), Some(74));
        assert_eq!(years_at(&json!("2030-01-01"), NOW), None);
        assert_eq!(years_at(&json!("no date"), NOW), None);
        assert_eq!(years_at(&json!([1951]), NOW), None);
    }
}
