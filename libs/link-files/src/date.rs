//! Dates as files have them, in many formats.

use crate::fold::tokens;

/// A date packed as year, month, day in 16, 8 and 8 bits; month and day are 0 when unknown. A date that no calendar has
/// (month 15, day 0) is kept as it was written when it came as eight digits: it is a slip of one that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateParts(pub u32);

impl DateParts {
    /// No date.
    pub const NONE: DateParts = DateParts(0);

    fn of(year: u32, month: u32, day: u32) -> DateParts {
        DateParts((year.min(9_999) << 16) | (month.min(99) << 8) | day.min(99))
    }

    /// The year.
    pub fn year(self) -> u32 {
        self.0 >> 16
    }

    /// The month; 0 when unknown.
    pub fn month(self) -> u32 {
        (self.0 >> 8) & 0xff
    }

    /// The day; 0 when unknown.
    pub fn day(self) -> u32 {
        self.0 & 0xff
    }

    /// True when there is a date.
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    /// True when some calendar could have it.
    pub fn is_plausible(self) -> bool {
        (1_000..=2_200).contains(&self.year()) && self.month() <= 12 && self.day() <= 31
    }

    /// Its eight digits.
    pub fn digits(self) -> [u8; 8] {
        let mut out = [0; 8];
        let mut rest = self.year() * 10_000 + self.month() * 100 + self.day();
        for digit in out.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out
    }
}

/// Which of two leading numbers is the day; decided once for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `31/12/1990`.
    DayFirst,
    /// `12/31/1990`.
    MonthFirst,
}

/// The order that most values of a column speak for; day first when nothing does.
pub fn order_of<'a>(folded: impl Iterator<Item = &'a [u8]>) -> Order {
    let (mut day_first, mut month_first) = (0u32, 0u32);
    for value in folded {
        let parts: Vec<u32> = tokens(value).map_while(number).collect();
        if let [a @ 1..=31, b @ 1..=31, 32..=9_999, ..] = parts[..] {
            day_first += u32::from(a > 12);
            month_first += u32::from(b > 12);
        }
    }
    if month_first > day_first { Order::MonthFirst } else { Order::DayFirst }
}

fn number(token: &[u8]) -> Option<u32> {
    let all = token.len() <= 9 && !token.is_empty() && token.iter().all(u8::is_ascii_digit);
    all.then(|| token.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')))
}

/// Reads a folded value as a date. `None` when it is none.
pub fn parse(folded: &[u8], order: Order) -> Option<DateParts> {
    let mut parts = [&folded[..0]; 3];
    let mut count = 0;
    for token in tokens(folded) {
        // A time of day may follow; `1990-01-02T00:00:00Z` folds to one token of day and hour.
        let token = if count == 2 { token.split(|b| *b == b't').next().unwrap_or_default() } else { token };
        if count == 3 {
            break;
        }
        parts[count] = token;
        count += 1;
    }
    match count {
        1 => compact(parts[0]),
        2 => month_and_year(parts[0], parts[1]),
        3 => three(parts, order),
        _ => None,
    }
}

fn compact(token: &[u8]) -> Option<DateParts> {
    let value = number(token)?;
    match token.len() {
        8 if value % 10_000 > 1_300 && value % 10_000 < 2_200 && value / 1_000_000 <= 31 && value / 10_000_000 <= 3 => {
            // ddmmyyyy, where the other reading has no month.
            let (day, month, year) = (value / 1_000_000, value / 10_000 % 100, value % 10_000);
            let iso = DateParts::of(value / 10_000, value / 100 % 100, value % 100);
            let turned = DateParts::of(year, month, day);
            Some(if !iso.is_plausible() && turned.is_plausible() && (1..=12).contains(&month) { turned } else { iso })
        }
        8 => Some(DateParts::of(value / 10_000, value / 100 % 100, value % 100)),
        6 => Some(DateParts::of(value / 100, value % 100, 0)).filter(|date| date.is_plausible() && date.month() > 0),
        4 => Some(DateParts::of(value, 0, 0)).filter(|date| date.is_plausible()),
        _ => None,
    }
}

fn month_and_year(a: &[u8], b: &[u8]) -> Option<DateParts> {
    let (year, month) = if a.len() == 4 { (number(a)?, part(b)?) } else { (number(b)?, part(a)?) };
    Some(DateParts::of(year, month, 0)).filter(|date| date.is_plausible() && (1..=12).contains(&month))
}

fn three(parts: [&[u8]; 3], order: Order) -> Option<DateParts> {
    let [a, b, c] = parts;
    let (year, month, day) = if a.len() == 4 && number(a).is_some() {
        (number(a)?, part(b)?, number(c)?)
    } else if month_name(a).is_some() {
        (year(c)?, part(a)?, ordinal(b)?)
    } else if month_name(b).is_some() || order == Order::DayFirst {
        (year(c)?, part(b)?, ordinal(a)?)
    } else {
        (year(c)?, part(a)?, number(b)?)
    };
    // A month over 12 beside a day that could be one was written in the other order.
    let (month, day) = if month > 12 && day <= 12 { (day, month) } else { (month, day) };
    Some(DateParts::of(year, month, day)).filter(|date| (1_000..=2_200).contains(&date.year()) && day <= 31)
}

fn part(token: &[u8]) -> Option<u32> {
    month_name(token).or_else(|| number(token))
}

fn ordinal(token: &[u8]) -> Option<u32> {
    let end = token.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(token.len());
    let rest: &[u8] = &token[end..];
    ([b"".as_slice(), b"st", b"nd", b"rd", b"th"].contains(&rest)).then(|| number(&token[..end]))?
}

/// Two digits are of the last hundred years before 2030.
fn year(token: &[u8]) -> Option<u32> {
    let value = number(token)?;
    match token.len() {
        4 => Some(value),
        2 => Some(if value < 30 { 2_000 + value } else { 1_900 + value }),
        _ => None,
    }
}

fn month_name(token: &[u8]) -> Option<u32> {
    const MONTHS: [&[u8]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let head = token.get(..3)?;
    let found = MONTHS.iter().position(|month| *month == head)?;
    token.iter().all(u8::is_ascii_alphabetic).then_some(found as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, order: Order) -> Option<(u32, u32, u32)> {
        let mut folded = Vec::new();
        crate::fold::fold_text(text, &mut folded);
        parse(&folded, order).map(|date| (date.year(), date.month(), date.day()))
    }

    #[test]
    fn dates_of_many_formats_are_one_date() {
        for text in [
            "1990-12-31",
            "19901231",
            "31/12/1990",
            "31.12.1990",
            "31 Dec 1990",
            "December 31, 1990",
            "31-12-90",
            "1990/12/31 00:00:00",
            "1990-12-31T10:00:00Z",
            "31st December 1990",
            "31121990",
        ] {
            assert_eq!(read(text, Order::DayFirst), Some((1990, 12, 31)), "{text}");
        }
        assert_eq!(read("12/31/1990", Order::MonthFirst), Some((1990, 12, 31)));
        assert_eq!(read("1990", Order::DayFirst), Some((1990, 0, 0)));
        assert_eq!(read("12/1990", Order::DayFirst), Some((1990, 12, 0)));
        assert_eq!(read("19909931", Order::DayFirst), Some((1990, 99, 31)));
        for text in ["", "abc", "12", "hello 12 world", "1 2 3"] {
            assert_eq!(read(text, Order::DayFirst), None, "{text}");
        }
    }

    #[test]
    fn a_column_tells_its_order() {
        let american = [b"12 31 1990".as_slice(), b"01 02 1980", b"03 25 1970"];
        assert_eq!(order_of(american.into_iter()), Order::MonthFirst);
        assert_eq!(order_of([b"01 02 1980".as_slice()].into_iter()), Order::DayFirst);
    }
}
