//! Dates as registers write them in text.

use crate::options::DateFormat;
use crate::value::PartialDate;

/// Reads a date; `None` when it is not written so, or when there is no such day.
pub(crate) fn parse(format: DateFormat, text: &str) -> Option<PartialDate> {
    match format {
        DateFormat::Unspecified => None,
        DateFormat::DayMonthYearDots => day_month_year(text, b'.'),
        DateFormat::DayMonthYearSlashes => day_month_year(text, b'/'),
        DateFormat::Compact => compact(text.as_bytes()),
        DateFormat::Iso => iso(text.as_bytes()),
    }
}

/// "31.12.1985", "12.1985", "1985"; one-digit days and months are read as well.
fn day_month_year(text: &str, separator: u8) -> Option<PartialDate> {
    let mut parts = [0u16; 3];
    let mut count = 0;
    for part in text.as_bytes().split(|byte| *byte == separator) {
        *parts.get_mut(count)? = number(part)?;
        count += 1;
    }
    let [first, second, third] = parts;
    match count {
        1 => date(first, 0, 0),
        2 => date(second, first, 0),
        _ => date(third, second, first),
    }
}

/// "1985", "19851231" or "198512312359"; 00 is unknown.
fn compact(text: &[u8]) -> Option<PartialDate> {
    if !matches!(text.len(), 4 | 8 | 12)
        || number(text.get(8..).filter(|time| !time.is_empty()).unwrap_or(b"0")).is_none()
    {
        return None;
    }
    let part = |range| text.get(range).map_or(Some(0), number);
    date(number(text.get(..4)?)?, part(4..6)?, part(6..8)?)
}

/// "1985-12-31", "1985-12" or "1985".
fn iso(text: &[u8]) -> Option<PartialDate> {
    let well_formed = match text.len() {
        4 => true,
        7 => text[4] == b'-',
        10 => text[4] == b'-' && text[7] == b'-',
        _ => false,
    };
    let part = |range| text.get(range).map_or(Some(0), number);
    if well_formed { date(number(text.get(..4)?)?, part(5..7)?, part(8..10)?) } else { None }
}

fn date(year: u16, month: u16, day: u16) -> Option<PartialDate> {
    PartialDate::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
}

/// One to four decimal digits.
fn number(digits: &[u8]) -> Option<u16> {
    if !(1..=4).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0u16, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_format_reads_full_and_vague_dates() {
        use DateFormat::{Compact, DayMonthYearDots as Dots, DayMonthYearSlashes as Slashes, Iso};
        let cases = [
            (Dots, "02.03.1985", Some((1985, 3, 2))),
            (Dots, "2.3.1985", Some((1985, 3, 2))),
            (Dots, "03.1985", Some((1985, 3, 0))),
            (Dots, "1985", Some((1985, 0, 0))),
            (Dots, "02/03/1985", None),
            (Dots, "31.02.1985", None),
            (Dots, "1.2.3.1985", None),
            (Dots, "", None),
            (Slashes, "02/03/1985", Some((1985, 3, 2))),
            (Compact, "19850302", Some((1985, 3, 2))),
            (Compact, "198503021430", Some((1985, 3, 2))),
            (Compact, "19850000", Some((1985, 0, 0))),
            (Compact, "198503", None),
            (Compact, "19850302xxxx", None),
            (Compact, "1985", Some((1985, 0, 0))),
            (Iso, "1985-03-02", Some((1985, 3, 2))),
            (Iso, "1985-03", Some((1985, 3, 0))),
            (Iso, "1985/03/02", None),
            (Iso, "198", None),
        ];
        for (format, text, expected) in cases {
            let parts = parse(format, text).map(|d| (d.year(), d.month(), d.day()));
            assert_eq!(parts, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in any::<String>(), format in 0i32..5) {
            parse(DateFormat::try_from(format).expect("a format"), &text);
        }
    }
}
