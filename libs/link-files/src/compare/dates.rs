//! Dates.

use super::{UNEQUAL, edits};
use crate::date::DateParts;

pub(super) const LEVELS: [&str; 14] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "day and month swapped",
    "one digit differs",
    "two parts equal",
    "year equal, the rest vague",
    "two digits differ",
    "year equal",
    "day and month equal",
    "a few years apart",
    "different",
];
const SWAPPED: u8 = UNEQUAL;
const ONE_DIGIT: u8 = UNEQUAL + 1;
const TWO_PARTS: u8 = UNEQUAL + 2;
const YEAR_VAGUE: u8 = UNEQUAL + 3;
const TWO_DIGITS: u8 = UNEQUAL + 4;
const YEAR: u8 = UNEQUAL + 5;
const DAY_AND_MONTH: u8 = UNEQUAL + 6;
const YEARS_NEAR: u8 = UNEQUAL + 7;
const DIFFERENT: u8 = UNEQUAL + 8;

/// How two different dates agree; `a` and `b` are their texts, for what could not be read as a date.
pub(super) fn level(x: DateParts, y: DateParts, a: &[u8], b: &[u8]) -> u8 {
    if !x.is_some() || !y.is_some() {
        return match edits(a, b, 2) {
            1 => ONE_DIGIT,
            2 if a.len().min(b.len()) >= 6 => TWO_DIGITS,
            _ => DIFFERENT,
        };
    }
    let same = [x.year() == y.year(), x.month() == y.month(), x.day() == y.day()];
    let vague = |date: DateParts| date.day() == 0 || (date.day() == 1 && date.month() == 1);
    if x.month() == y.day() && x.day() == y.month() && same[0] {
        return SWAPPED;
    }
    if vague(x) || vague(y) {
        // A month that is known on both sides still tells.
        let months = x.month() > 0 && y.month() > 0 && (x.day() == 0 || y.day() == 0);
        return match (same[0], months) {
            (true, true) if same[1] => TWO_PARTS,
            (true, true) => YEAR,
            (true, false) => YEAR_VAGUE,
            (false, _) => years(x, y),
        };
    }
    match edits(&x.digits(), &y.digits(), 2) {
        1 => ONE_DIGIT,
        _ if same[0] && (same[1] || same[2]) => TWO_PARTS,
        2 => TWO_DIGITS,
        _ if same[0] => YEAR,
        _ if same[1] && same[2] => DAY_AND_MONTH,
        _ => years(x, y),
    }
}

fn years(x: DateParts, y: DateParts) -> u8 {
    if x.year().abs_diff(y.year()) <= 2 { YEARS_NEAR } else { DIFFERENT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_differ_in_known_ways() {
        let date = |y: u32, m: u32, d: u32| DateParts((y << 16) | (m << 8) | d);
        for (x, y, expected) in [
            (date(1990, 3, 4), date(1990, 4, 3), SWAPPED),
            (date(1990, 3, 4), date(1990, 3, 5), ONE_DIGIT),
            (date(1990, 3, 14), date(1990, 3, 25), TWO_PARTS),
            (date(1990, 3, 4), date(1990, 1, 1), YEAR_VAGUE),
            (date(1990, 3, 4), date(1990, 0, 0), YEAR_VAGUE),
            (date(1990, 3, 4), date(1990, 3, 0), TWO_PARTS),
            (date(1990, 3, 14), date(1990, 11, 25), YEAR),
            (date(1950, 3, 14), date(1991, 3, 14), TWO_DIGITS),
            (date(1950, 3, 14), date(1991, 11, 25), DIFFERENT),
        ] {
            assert_eq!(level(x, y, b"", b""), expected, "{:?} {:?}", x.digits(), y.digits());
        }
    }
}
