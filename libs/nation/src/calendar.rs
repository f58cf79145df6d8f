//! Days and simulated time. A day counts from 1970-01-01; a minute likewise, in UTC. Nothing here reads a clock.

/// First simulated day, 2024-01-01.
pub(crate) const START: i32 = 19_723;
/// Day on which the administrative reform takes effect, 2025-07-01.
pub(crate) const REFORM: i32 = 20_270;
/// Last simulated day, 2026-10-31.
pub(crate) const END: i32 = 20_757;
/// From this day on the personal number stands for the social insurance number, 2025-08-01.
pub(crate) const PERSONAL_ID_FOR_INSURANCE: i32 = 20_301;
/// No day.
pub(crate) const NEVER: i32 = i32::MAX;

/// A day of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Date {
    pub(crate) year: i32,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

/// The calendar date of a day (Gregorian, proleptic).
pub(crate) fn date(day: i32) -> Date {
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = (if shifted < 10 { shifted + 3 } else { shifted - 9 }) as u32;
    let year = (year_of_era + era * 400 + i64::from(month <= 2)) as i32;
    Date { year, month, day }
}

/// The day of a calendar date.
pub(crate) fn day(year: i32, month: u32, day: u32) -> i32 {
    let y = i64::from(year) - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era - 719_468) as i32
}

/// First instant of a day, in microseconds since the epoch.
pub(crate) fn day_micros(day: i32) -> i64 {
    i64::from(day) * 86_400_000_000
}

/// A minute, in microseconds since the epoch.
pub(crate) fn minute_micros(minute: i32) -> i64 {
    i64::from(minute) * 60_000_000
}

/// The day of a minute.
pub(crate) fn minute_day(minute: i32) -> i32 {
    minute.div_euclid(1440)
}

/// "31.12.1985".
pub(crate) fn dots(d: Date) -> String {
    format!("{:02}.{:02}.{:04}", d.day, d.month, d.year)
}

/// "31/12/1985".
pub(crate) fn slashes(d: Date) -> String {
    format!("{:02}/{:02}/{:04}", d.day, d.month, d.year)
}

/// "19851231".
pub(crate) fn compact(d: Date) -> String {
    format!("{:04}{:02}{:02}", d.year, d.month, d.day)
}

/// "1985-12-31".
pub(crate) fn iso(d: Date) -> String {
    format!("{:04}-{:02}-{:02}", d.year, d.month, d.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip() {
        for d in -40_000..40_000 {
            let c = date(d);
            assert_eq!(day(c.year, c.month, c.day), d);
        }
        assert_eq!(iso(date(START)), "2024-01-01");
        assert_eq!(iso(date(REFORM)), "2025-07-01");
        assert_eq!(iso(date(END)), "2026-10-31");
        assert_eq!(iso(date(PERSONAL_ID_FOR_INSURANCE)), "2025-08-01");
        assert_eq!(iso(date(-1)), "1969-12-31");
    }
}
