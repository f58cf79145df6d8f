//! Judging one record: what refuses it, and what lets it in with a finding.

use validate::{Limits, Msg};

use crate::compile::Contract;
use crate::error::UnknownRecordType;
use crate::facts::{Facts, TooMany};
use crate::model::RecordType;
use crate::options;
use crate::trace::Trace;
use crate::walk::{Extent, Walk};

/// Most violations of each severity that one judgement lists, inclusive.
pub const VIOLATIONS_MAX: usize = 64;

/// The eight groups of errors by which data quality is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorGroup {
    /// A mandatory value is missing.
    Missing = 1,
    /// A value lies outside its range or code list.
    OutOfRange = 2,
    /// The same thing stands twice.
    Duplicate = 3,
    /// A value is not written as its format demands.
    BadFormat = 4,
    /// A value points to nothing.
    BrokenReference = 5,
    /// Two values of the record exclude each other.
    Contradiction = 6,
    /// A value is out of date.
    Stale = 7,
    /// A value differs from the authoritative source.
    Mismatch = 8,
}

impl ErrorGroup {
    /// Every group, by number.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::OutOfRange,
        Self::Duplicate,
        Self::BadFormat,
        Self::BrokenReference,
        Self::Contradiction,
        Self::Stale,
        Self::Mismatch,
    ];

    /// The group with that number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|group| *group as u8 == number)
    }

    /// Lower-case name, such as "bad_format".
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::OutOfRange => "out_of_range",
            Self::Duplicate => "duplicate",
            Self::BadFormat => "bad_format",
            Self::BrokenReference => "broken_reference",
            Self::Contradiction => "contradiction",
            Self::Stale => "stale",
            Self::Mismatch => "mismatch",
        }
    }

    pub(crate) fn from_option(group: options::ErrorGroup) -> Option<Self> {
        u8::try_from(group as i32).ok().and_then(Self::from_u8)
    }
}

/// What a broken rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The change is refused.
    Hard,
    /// The change is accepted, and the violation becomes a finding.
    Soft,
}

/// A rule that a record breaks. Nothing in it repeats the record's values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The field in protovalidate's notation (`parties[2].name`); empty for the record itself.
    pub field_path: String,
    /// The rule: a stock one (`string.pattern`), the contract's own, or one of the hub's (`hub.…`).
    pub rule_id: String,
    /// Kind of error.
    pub group: ErrorGroup,
    /// Whether it refuses the change.
    pub severity: Severity,
    /// What must hold, for people.
    pub message: String,
}

/// What is wrong with one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why the change is refused; empty when it is not. At most [`VIOLATIONS_MAX`].
    pub hard: Vec<Violation>,
    /// What becomes findings. At most [`VIOLATIONS_MAX`].
    pub soft: Vec<Violation>,
}

impl Judgement {
    /// Whether the change may enter the log.
    pub fn accepts(&self) -> bool {
        self.hard.is_empty()
    }

    fn add(&mut self, violation: Violation) {
        let list = match violation.severity {
            Severity::Hard => &mut self.hard,
            Severity::Soft => &mut self.soft,
        };
        if list.len() < VIOLATIONS_MAX {
            list.push(violation);
        }
    }
}

impl Contract {
    /// Judges a record by its bytes and this contract. `now_micros` (Unix epoch, UTC) serves rules
    /// that compare a time with now.
    ///
    /// # Errors
    ///
    /// When the contract has no such record type.
    pub fn judge(&self, record_type: &str, body: &[u8], now_micros: i64) -> Result<Judgement, UnknownRecordType> {
        Ok(self.record_type(record_type)?.judge(body, now_micros))
    }
}

impl RecordType {
    /// Judges a record of this type; see [`Contract::judge`]. What the record says is read only as far as the judgement needs it.
    pub fn judge(&self, body: &[u8], now_micros: i64) -> Judgement {
        let mut judgement = Judgement::default();
        if let Some(msg) = self.decode(body, &mut judgement) {
            self.check(&msg, now_micros, Extent::Checked, &mut judgement);
        }
        judgement
    }

    /// Judges a record and reads what it says, decoding it once. Facts are there whenever they can
    /// be read, even of a record that a hard rule refuses.
    pub fn examine<'a>(&'a self, body: &'a [u8], now_micros: i64) -> (Judgement, Option<Facts<'a>>) {
        let mut judgement = Judgement::default();
        let Some(msg) = self.decode(body, &mut judgement) else { return (judgement, None) };
        let facts = self.check(&msg, now_micros, Extent::Whole, &mut judgement);
        (judgement, facts)
    }

    fn decode<'a>(&self, body: &'a [u8], judgement: &mut Judgement) -> Option<Msg<'a>> {
        match self.plan.decode(body, &Limits::default()) {
            Ok(msg) => Some(msg),
            Err(error) => {
                judgement.add(hard(error.path, "hub.decode", ErrorGroup::BadFormat, error.fault.to_string()));
                None
            }
        }
    }

    /// Checks the rules and what the hub itself looks at. The facts reach as far as the extent.
    fn check<'a>(
        &'a self,
        msg: &Msg<'a>,
        now_micros: i64,
        extent: Extent,
        judgement: &mut Judgement,
    ) -> Option<Facts<'a>> {
        self.check_rules(msg, now_micros, judgement);
        let mut trace = Trace::default();
        let facts = Walk::new(self, msg, extent, Some(&mut trace)).run();
        for found in trace.found {
            let (severity, group) = self.classes.of(&self.plan, &found.field_numbers, found.rule);
            judgement.add(Violation {
                field_path: found.field_path,
                rule_id: found.rule.to_owned(),
                group,
                severity,
                message: found.message.to_owned(),
            });
        }
        match facts {
            Ok(facts) => Some(facts),
            Err(error) => {
                judgement.add(too_many(error));
                None
            }
        }
    }

    fn check_rules(&self, msg: &Msg<'_>, now_micros: i64, judgement: &mut Judgement) {
        match self.plan.validate(msg, now_micros) {
            Ok(violations) => {
                for violation in violations {
                    let (severity, group) = self.classes.of(&self.plan, &violation.field_numbers, &violation.rule_id);
                    judgement.add(Violation {
                        field_path: violation.field_path,
                        rule_id: violation.rule_id.to_string(),
                        group,
                        severity,
                        message: violation.message.to_string(),
                    });
                }
            }
            // A rule that cannot be decided cannot be said to hold.
            Err(error) => {
                judgement.add(hard(error.field_path, &error.rule_id, ErrorGroup::BadFormat, error.fault.to_string()));
            }
        }
    }
}

fn too_many(error: TooMany) -> Violation {
    hard(String::new(), "hub.too_many", ErrorGroup::OutOfRange, error.to_string())
}

fn hard(field_path: String, rule_id: &str, group: ErrorGroup, message: String) -> Violation {
    Violation { field_path, rule_id: rule_id.to_owned(), group, severity: Severity::Hard, message }
}
