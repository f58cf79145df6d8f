//! Dates of birth as registers keep them: often only a year.

/// A date whose month and day may be unknown.
///
/// Order and equality are those of the fields. Constructed through [`PartialDate::new`], a date is always plausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialDate {
    year: u16,
    month: u8,
    day: u8,
}

impl PartialDate {
    /// Makes a date. Month 0 is "unknown" (day must then be 0), day 0 is "unknown".
    ///
    /// `None` for a year outside 1800–2200, and for a month or day that no calendar has.
    pub fn new(year: u16, month: u8, day: u8) -> Option<PartialDate> {
        let known = (1800..=2200).contains(&year) && month <= 12 && day <= days_in(year, month);
        known.then_some(PartialDate { year, month, day })
    }

    /// The year.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12, or 0 when unknown.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, or 0 when unknown.
    pub fn day(self) -> u8 {
        self.day
    }

    /// True when year, month and day are all given.
    pub fn is_full(self) -> bool {
        self.day != 0
    }

    /// True when the date says little more than its year: no month, no day, or 1 January, which clerks enter for an
    /// unknown day.
    pub fn is_vague(self) -> bool {
        !self.is_full() || (self.month == 1 && self.day == 1)
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        0 => 0,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plausible_dates_exist() {
        assert!(PartialDate::new(2000, 2, 29).is_some());
        assert!(PartialDate::new(1900, 2, 29).is_none());
        assert!(PartialDate::new(1980, 0, 0).is_some());
        assert!(PartialDate::new(1980, 0, 5).is_none());
        assert!(PartialDate::new(1980, 13, 5).is_none());
        assert!(PartialDate::new(980, 1, 5).is_none());
    }

    #[test]
    fn first_of_january_is_vague() {
        let vague = |y, m, d| PartialDate::new(y, m, d).expect("a real date").is_vague();
        assert!(vague(1980, 1, 1) && vague(1980, 0, 0) && vague(1980, 5, 0));
        assert!(!vague(1980, 1, 2));
    }
}
