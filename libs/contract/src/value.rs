//! Values of attributes: small, borrowed, with one canonical form in bytes and one in JSON.

use std::borrow::Cow;
use std::fmt;

/// A calendar date of which the month and day, or the day, may be unknown.
///
/// Always plausible: 1800 to 2200, a real month, a day that the month has. Order is that of
/// (year, month, day) with the unknown first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialDate {
    year: u16,
    month: u8,
    day: u8,
}

impl PartialDate {
    /// A date; 0 stands for an unknown month or day. `None` when there is no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let known = match (month, day) {
            (0, 0) => true,
            (0, _) => false,
            (_, 0) => month <= 12,
            _ => month <= 12 && day <= days_in(year, month),
        };
        ((1800..=2200).contains(&year) && known).then_some(PartialDate { year, month, day })
    }

    /// The year, 1800 to 2200.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12; 0 when unknown.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day, 1 to 31; 0 when unknown.
    pub fn day(self) -> u8 {
        self.day
    }

    /// Whether year, month and day are all known.
    pub fn is_full(self) -> bool {
        self.day != 0
    }

    /// First instant of the date in UTC, in microseconds since the Unix epoch; an unknown month or day counts as the first.
    ///
    /// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
    pub fn start_us(self) -> i64 {
        let (month, day) = (i64::from(self.month.max(1)), i64::from(self.day.max(1)));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
        days * 86_400_000_000
    }

    /// Whether this date is certainly before the other: compared as far as both are known.
    pub fn certainly_before(self, other: Self) -> bool {
        if self.year != other.year {
            return self.year < other.year;
        }
        if self.month == 0 || other.month == 0 || self.month != other.month {
            return self.month != 0 && other.month != 0 && self.month < other.month;
        }
        self.day != 0 && other.day != 0 && self.day < other.day
    }
}

impl fmt::Display for PartialDate {
    /// ISO 8601, as far as known: "1985", "1985-12" or "1985-12-31".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        if self.month != 0 {
            write!(f, "-{:02}", self.month)?;
        }
        if self.day != 0 {
            write!(f, "-{:02}", self.day)?;
        }
        Ok(())
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A code of an administrative unit, with the version of the dated list that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitRef<'a> {
    /// The code as printed.
    pub code: &'a str,
    /// Version of the list; never guessed.
    pub list_version: &'a str,
}

/// Male or female.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sex {
    /// Male.
    Male,
    /// Female.
    Female,
}

impl Sex {
    /// The code under which the attribute stands: "male" or "female".
    pub fn code(self) -> &'static str {
        match self {
            Sex::Male => "male",
            Sex::Female => "female",
        }
    }
}

/// What type of value an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// Free text.
    Text,
    /// A code of a code list.
    Code,
    /// A partial date.
    Date,
    /// An administrative unit.
    Unit,
    /// A whole number.
    Int,
    /// A decimal number, as written.
    Decimal,
    /// True or false.
    Bool,
}

/// One value of an attribute, as the register wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttrValue<'a> {
    /// Free text.
    Text(Cow<'a, str>),
    /// A code of a code list.
    Code(Cow<'a, str>),
    /// A partial date.
    Date(PartialDate),
    /// An administrative unit.
    Unit(UnitRef<'a>),
    /// A whole number.
    Int(i64),
    /// A decimal number, as written.
    Decimal(Cow<'a, str>),
    /// True or false.
    Bool(bool),
}

/// Bytes that are no attribute value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no attribute value")]
pub struct NotAValue;

impl<'a> AttrValue<'a> {
    /// Its type.
    pub fn value_type(&self) -> ValueType {
        match self {
            AttrValue::Text(_) => ValueType::Text,
            AttrValue::Code(_) => ValueType::Code,
            AttrValue::Date(_) => ValueType::Date,
            AttrValue::Unit(_) => ValueType::Unit,
            AttrValue::Int(_) => ValueType::Int,
            AttrValue::Decimal(_) => ValueType::Decimal,
            AttrValue::Bool(_) => ValueType::Bool,
        }
    }

    /// Appends the canonical form: a type byte, then the content. Equal values have equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            AttrValue::Text(text) => tagged(out, 1, text.as_bytes()),
            AttrValue::Code(code) => tagged(out, 2, code.as_bytes()),
            AttrValue::Date(date) => {
                tagged(out, 3, &date.year.to_be_bytes());
                out.extend_from_slice(&[date.month, date.day]);
            }
            AttrValue::Unit(unit) => {
                // A code holds no NUL: it would not be a code; the first one ends it.
                tagged(out, 4, unit.code.as_bytes());
                out.push(0);
                out.extend_from_slice(unit.list_version.as_bytes());
            }
            AttrValue::Int(number) => tagged(out, 5, &number.to_be_bytes()),
            AttrValue::Decimal(digits) => tagged(out, 6, digits.as_bytes()),
            AttrValue::Bool(value) => tagged(out, 7, &[u8::from(*value)]),
        }
    }

    /// The canonical form as bytes of its own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads the canonical form; text is borrowed from the bytes.
    ///
    /// # Errors
    ///
    /// When the bytes are not what [`AttrValue::encode`] writes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotAValue> {
        let (tag, rest) = bytes.split_first().ok_or(NotAValue)?;
        Ok(match tag {
            1 => AttrValue::Text(text(rest)?.into()),
            2 => AttrValue::Code(text(rest)?.into()),
            3 => {
                let [high, low, month, day] = rest.try_into().map_err(|_short| NotAValue)?;
                let date = PartialDate::new(u16::from_be_bytes([high, low]), month, day);
                AttrValue::Date(date.ok_or(NotAValue)?)
            }
            4 => {
                let (code, list_version) = text(rest)?.split_once('\0').ok_or(NotAValue)?;
                AttrValue::Unit(UnitRef { code, list_version })
            }
            5 => AttrValue::Int(i64::from_be_bytes(rest.try_into().map_err(|_short| NotAValue)?)),
            6 => AttrValue::Decimal(text(rest)?.into()),
            7 => match rest {
                [0] => AttrValue::Bool(false),
                [1] => AttrValue::Bool(true),
                _ => return Err(NotAValue),
            },
            _ => return Err(NotAValue),
        })
    }

    /// The value for people and portals: dates in ISO 8601 as far as known, units as
    /// `{"code", "list_version"}`, decimals as text, everything else as itself.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            AttrValue::Text(text) | AttrValue::Code(text) | AttrValue::Decimal(text) => {
                serde_json::Value::from(text.as_ref())
            }
            AttrValue::Date(date) => serde_json::Value::from(date.to_string()),
            AttrValue::Unit(unit) => serde_json::json!({"code": unit.code, "list_version": unit.list_version}),
            AttrValue::Int(number) => serde_json::Value::from(*number),
            AttrValue::Bool(value) => serde_json::Value::from(*value),
        }
    }
}

impl fmt::Display for AttrValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttrValue::Text(text) | AttrValue::Code(text) | AttrValue::Decimal(text) => f.write_str(text),
            AttrValue::Date(date) => date.fmt(f),
            AttrValue::Unit(unit) => write!(f, "{} ({})", unit.code, unit.list_version),
            AttrValue::Int(number) => number.fmt(f),
            AttrValue::Bool(value) => value.fmt(f),
        }
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    out.extend_from_slice(content);
}

fn text(bytes: &[u8]) -> Result<&str, NotAValue> {
    std::str::from_utf8(bytes).map_err(|_not_utf8| NotAValue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(year: u16, month: u8, day: u8) -> PartialDate {
        PartialDate::new(year, month, day).expect("a real date")
    }

    #[test]
    fn impossible_days_are_no_dates() {
        assert_eq!(date(1970, 1, 1).start_us(), 0);
        assert_eq!(date(2000, 2, 29).start_us(), 951_782_400_000_000);
        assert_eq!(date(2024, 0, 0).start_us(), date(2024, 1, 1).start_us());
        assert_eq!(date(1900, 3, 1).start_us() - date(1900, 2, 28).start_us(), 86_400_000_000);
        assert!(PartialDate::new(2000, 2, 29).is_some());
        assert!(PartialDate::new(1900, 2, 29).is_none());
        assert!(PartialDate::new(1985, 0, 3).is_none());
        assert!(PartialDate::new(1985, 13, 0).is_none());
        assert!(PartialDate::new(1799, 1, 1).is_none());
    }

    #[test]
    fn vague_dates_are_compared_as_far_as_both_are_known() {
        assert!(date(1985, 1, 1).certainly_before(date(1986, 0, 0)));
        assert!(!date(1985, 1, 1).certainly_before(date(1985, 0, 0)));
        assert!(!date(1985, 0, 0).certainly_before(date(1985, 5, 1)));
        assert!(date(1985, 4, 0).certainly_before(date(1985, 5, 1)));
        assert!(!date(1985, 5, 0).certainly_before(date(1985, 5, 1)));
        assert!(date(1985, 5, 1).certainly_before(date(1985, 5, 2)));
    }

    #[test]
    fn dates_print_as_far_as_known() {
        assert_eq!(date(1985, 0, 0).to_string(), "1985");
        assert_eq!(date(1985, 3, 0).to_string(), "1985-03");
        assert_eq!(date(1985, 3, 2).to_string(), "1985-03-02");
    }

    fn values() -> impl Strategy<Value = AttrValue<'static>> {
        prop_oneof![
            any::<String>().prop_map(|s| AttrValue::Text(s.into())),
            any::<String>().prop_map(|s| AttrValue::Code(s.into())),
            any::<String>().prop_map(|s| AttrValue::Decimal(s.into())),
            any::<i64>().prop_map(AttrValue::Int),
            any::<bool>().prop_map(AttrValue::Bool),
            (1800u16..=2200, 0u8..=12, 0u8..=31)
                .prop_filter_map("real", |(y, m, d)| PartialDate::new(y, m, d).map(AttrValue::Date)),
            Just(AttrValue::Unit(UnitRef { code: "00004", list_version: "2025-07-01" })),
        ]
    }

    proptest! {
        #[test]
        fn canonical_bytes_give_the_value_back(value in values()) {
            let bytes = value.to_bytes();
            prop_assert_eq!(AttrValue::decode(&bytes), Ok(value));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = AttrValue::decode(&bytes) {
                prop_assert_eq!(value.to_bytes(), bytes);
            }
        }
    }
}
