//! What the hub itself finds wrong in a record while it walks over it. All of it follows from the
//! hub's options; the stock rules are `validate`'s.

use std::fmt::Write as _;

use record::Kind;
use smallvec::SmallVec;
use validate::{Msg, Value};

use crate::facts::MentionFact;
use crate::model::{Node, NodeField, Reading, Source};
use crate::options::Feature;
use crate::reading::{Read, is_digits};
use crate::value::{PartialDate, Sex};

/// A field that counts for sufficiency is not filled.
pub(crate) const SUFFICIENT: &str = "hub.sufficient";
/// A date is not written in its field's format, or there is no such day.
pub(crate) const DATE: &str = "hub.date";
/// A date precedes one that it must not precede.
pub(crate) const NOT_BEFORE: &str = "hub.not_before";
/// A date of birth without month or day.
pub(crate) const VAGUE_BIRTH_DATE: &str = "hub.birth_date.vague";
/// The year digits of a personal number contradict the date of birth.
pub(crate) const ID_BIRTH_YEAR: &str = "hub.personal_id.birth_year";
/// The century digit of a personal number contradicts the sex.
pub(crate) const ID_SEX: &str = "hub.personal_id.sex";

/// One thing found, and where.
#[derive(Debug)]
pub(crate) struct Found {
    pub field_path: String,
    pub field_numbers: Vec<u32>,
    pub rule: &'static str,
    pub message: &'static str,
}

/// Where the walk is, and what it found so far.
#[derive(Debug, Default)]
pub(crate) struct Trace<'a> {
    steps: SmallVec<[Step<'a>; 4]>,
    pub found: Vec<Found>,
    /// For each mention, where its personal number stands.
    personal_ids: SmallVec<[Option<Place<'a>>; 4]>,
}

/// A field on the way from the record.
#[derive(Clone, Copy, Debug)]
struct Step<'a> {
    field: &'a NodeField,
    index: Option<usize>,
}

/// Where a field stands. Written out only when something is found there.
#[derive(Debug)]
struct Place<'a> {
    steps: SmallVec<[Step<'a>; 4]>,
    field: &'a NodeField,
}

impl<'a> Trace<'a> {
    pub(crate) fn push(&mut self, field: &'a NodeField, index: Option<usize>) {
        self.steps.push(Step { field, index });
    }

    pub(crate) fn pop(&mut self) {
        self.steps.pop();
    }

    pub(crate) fn enter_mention(&mut self) {
        self.personal_ids.push(None);
    }

    pub(crate) fn missing(&mut self, field: &NodeField) {
        self.note(field.number, &field.name, SUFFICIENT, "counts for sufficiency and is not filled");
    }

    /// The field's value could not be read.
    pub(crate) fn unread(&mut self, field: &NodeField, reading: &Reading, value: &Value<'_>) {
        let dated = matches!(reading.source, Source::Date(_)) && value.as_str().is_some_and(|text| !text.is_empty());
        if dated || matches!(reading.source, Source::DateMessage) {
            self.note(field.number, &field.name, DATE, "is not a date in the field's format, or there is no such day");
        }
    }

    /// The field said something of a mention.
    pub(crate) fn said(&mut self, mention: usize, field: &'a NodeField, reading: &Reading, read: &Read<'_>) {
        for feature in &reading.features {
            match (feature, read) {
                (Feature::BirthDate, Read::Date(date)) if !date.is_full() => {
                    self.note(field.number, &field.name, VAGUE_BIRTH_DATE, "lacks its day, or its day and month");
                }
                (Feature::PersonalId | Feature::IdentityPaper | Feature::InsuranceNo, Read::Text(text))
                    if is_digits(text, 12) && self.personal_ids[mention].is_none() =>
                {
                    self.personal_ids[mention] = Some(Place { steps: self.steps.clone(), field });
                }
                _ => {}
            }
        }
    }

    pub(crate) fn check_orders<'m>(&mut self, node: &'m Node, msg: &Msg<'m>) {
        for order in &node.orders {
            let date = |path: &validate::Path, source: &'m Source| match source.read(path.read(msg)?, msg)? {
                Read::Date(date) => Some(date),
                _ => None,
            };
            let (later, earlier) =
                (date(&order.later, &order.later_source), date(&order.earlier, &order.earlier_source));
            if let (Some(later), Some(earlier)) = (later, earlier)
                && later.certainly_before(earlier)
            {
                self.note(order.number, &order.name, NOT_BEFORE, "precedes a date that it must not precede");
            }
        }
    }

    /// Compares each person's number with date of birth and sex.
    pub(crate) fn check_mentions(&mut self, mentions: &[MentionFact<'_>]) {
        for (mention, place) in mentions.iter().zip(std::mem::take(&mut self.personal_ids)) {
            let Some(digits) = mention.ident.personal_id.and_then(IdDigits::read) else { continue };
            let (Some(place), Kind::Person) = (place, mention.kind) else { continue };
            let mut note = |rule, message| {
                let (field_path, field_numbers) = written(&place.steps, place.field.number, &place.field.name);
                self.found.push(Found { field_path, field_numbers, rule, message });
            };
            if mention.ident.birth.is_some_and(|birth| !digits.fits_birth(birth)) {
                note(ID_BIRTH_YEAR, "its year digits contradict the date of birth");
            }
            if mention.ident.sex.is_some_and(|sex| sex != digits.sex()) {
                note(ID_SEX, "its century digit contradicts the sex");
            }
        }
    }

    fn note(&mut self, number: u32, name: &str, rule: &'static str, message: &'static str) {
        let (field_path, field_numbers) = written(&self.steps, number, name);
        self.found.push(Found { field_path, field_numbers, rule, message });
    }
}

/// A place in protovalidate's notation, and as field numbers.
fn written(steps: &[Step<'_>], number: u32, name: &str) -> (String, Vec<u32>) {
    let mut path = String::new();
    for step in steps {
        path.push_str(&step.field.name);
        if let Some(index) = step.index {
            write!(path, "[{index}]").expect("writing to a string cannot fail");
        }
        path.push('.');
    }
    path.push_str(name);
    (path, steps.iter().map(|step| step.field.number).chain([number]).collect())
}

/// Digits 4 to 6 of a personal number, `PPP G YY RRRRRR`: G is twice the century counted from
/// 1900, plus one for a woman; YY is the year of birth. There is no check digit. A number may be
/// older than a corrected date of birth or sex, so a contradiction is a warning.
struct IdDigits {
    century_sex: u16,
    year: u16,
}

impl IdDigits {
    fn read(id: &str) -> Option<Self> {
        if !is_digits(id, 12) {
            return None;
        }
        let digit = |at: usize| u16::from(id.as_bytes()[at] - b'0');
        Some(IdDigits { century_sex: digit(3), year: digit(4) * 10 + digit(5) })
    }

    fn fits_birth(&self, birth: PartialDate) -> bool {
        birth.year() == 1900 + self.century_sex / 2 * 100 + self.year
    }

    fn sex(&self) -> Sex {
        if self.century_sex.is_multiple_of(2) { Sex::Male } else { Sex::Female }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_a_personal_number_tell_century_sex_and_year() {
        for (id, year, sex) in [
            ("099085000017", 1985, Sex::Male),
            ("099190000025", 1990, Sex::Female),
            ("099215123456", 2015, Sex::Male),
            ("099301000001", 2001, Sex::Female),
        ] {
            let digits = IdDigits::read(id).expect("12 digits");
            assert!(digits.fits_birth(PartialDate::new(year, 0, 0).expect("a year")), "{id}");
            assert!(!digits.fits_birth(PartialDate::new(year - 1, 0, 0).expect("a year")), "{id}");
            assert_eq!(digits.sex(), sex, "{id}");
        }
        assert!(IdDigits::read("09908500001").is_none());
    }
}
