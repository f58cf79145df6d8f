//! Correct, sufficient, clean, alive: counters by register × agency × commune, and the measures that they give.
//!
//! | measure | meaning |
//! |---|---|
//! | correct | mentions that agree with the anchor of their subject ÷ mentions that could be compared with one |
//! | sufficient | filled ÷ required fields, times records ÷ expected objects; absent without an expected number |
//! | clean | 1 − (records that break a rule + surplus records of one subject) ÷ records |
//! | alive | changes that came within their contract's promise ÷ changes that the promise covers |
//!
//! A promise covers what takes effect from its first day on. What a register hands over from before (books that it digitises, the
//! stock that it brings when it joins) is neither in time nor late.
//!
//! After the operating terms "đúng, đủ, sạch, sống" of the national data campaign.

use record::{DecodeError, Reader, RegisterName, Writer};

use crate::head::{Head, StoredVersion};

const COUNTS_VERSION: u8 = 1;

/// What is counted together. Communes are kept as printed and rolled up when read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The register.
    pub register: RegisterName,
    /// The agency; empty for what is counted by register alone.
    pub agency: String,
    /// Commune code as printed; may be empty.
    pub commune: String,
    /// List version of the code; may be empty.
    pub list_version: String,
}

impl Cell {
    /// The key in the store. No part holds a NUL: names and codes are checked at the edge.
    pub fn key(&self) -> Vec<u8> {
        [self.register.as_str(), &self.agency, &self.commune, &self.list_version].join("\0").into_bytes()
    }

    /// Reads what [`Cell::key`] wrote.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.split('\0');
        let register = RegisterName::try_from(parts.next()?).ok()?;
        let mut next = || parts.next().map(str::to_owned);
        Some(Self { register, agency: next()?, commune: next()?, list_version: next()? })
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The counters of a cell.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counts {
            /// Adds (or with `sign` −1 takes away) other counters.
            pub fn add(&mut self, other: &Self, sign: i64) {
                $(self.$name = self.$name.wrapping_add(other.$name.wrapping_mul(sign as u64));)+
            }

            /// Every counter with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }

            /// The encoding in the store.
            pub fn encode(&self) -> Vec<u8> {
                let mut w = Writer::with_capacity(48);
                w.u8(COUNTS_VERSION);
                $(w.varint(self.$name);)+
                w.finish()
            }

            /// Reads what [`Counts::encode`] wrote.
            ///
            /// # Errors
            /// [`DecodeError`]: the store is damaged.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut r = Reader::new(bytes);
                r.version("counters", COUNTS_VERSION)?;
                let out = Self { $($name: r.varint()?,)+ };
                r.end("counters")?;
                Ok(out)
            }
        }
    };
}

counts! {
    /// Records in the links.
    records,
    /// Mandatory fields of these records.
    required,
    /// Those that are filled.
    filled,
    /// Records that break a rule.
    violated,
    /// Changes that the contract's promise covers.
    events,
    /// Those that came within their contract's promise.
    timely,
    /// Mentions that could be compared with the anchor of their subject, in another register.
    compared,
    /// Those that agree with it.
    matched,
    /// Records beyond the first where a subject should have but one.
    surplus,
}

impl Cell {
    /// The cell of a register as a whole.
    pub fn of_register(register: &RegisterName) -> Self {
        Self { register: register.clone(), agency: String::new(), commune: String::new(), list_version: String::new() }
    }
}

/// What one record contributes by itself, and under which cell. A record that is not in the links contributes nothing.
pub fn of_head(head: &Head) -> Option<(Cell, Counts)> {
    let facts = head.facts()?;
    let cell = Cell {
        register: head.register.clone(),
        agency: facts.agency.as_str().to_owned(),
        commune: facts.unit.0.clone(),
        list_version: facts.unit.1.clone(),
    };
    let promise_micros = i64::try_from(facts.promise_seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    let promised = || head.versions.iter().filter(|v| v.row.effective_at >= facts.promise_from);
    let timely = |v: &&StoredVersion| v.published_at.0.saturating_sub(v.row.effective_at.0) <= promise_micros;
    let counts = Counts {
        records: 1,
        required: u64::from(facts.required),
        filled: u64::from(facts.filled),
        violated: u64::from(head.violated()),
        events: promised().count() as u64,
        timely: promised().filter(timely).count() as u64,
        ..Counts::default()
    };
    Some((cell, counts))
}

impl Counts {
    /// Whether nothing is counted.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// The four measures, each between 0 and 1; `None` where there is nothing to measure against.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measures {
    /// Matched ÷ compared.
    pub correct: Option<f64>,
    /// Filled ÷ required × records ÷ expected.
    pub sufficient: Option<f64>,
    /// 1 − (violated + surplus) ÷ records.
    pub clean: Option<f64>,
    /// Timely ÷ events; absent when no change is covered by a promise.
    pub alive: Option<f64>,
}

/// Computes the measures; `expected` is the number of objects that the register published.
pub fn measures(counts: &Counts, expected: Option<u64>) -> Measures {
    let share = |part: u64, whole: u64| (whole > 0).then(|| (part as f64 / whole as f64).clamp(0.0, 1.0));
    let complete = share(counts.filled, counts.required);
    let present = expected.and_then(|e| share(counts.records, e));
    Measures {
        correct: share(counts.matched, counts.compared),
        sufficient: complete.zip(present).map(|(c, p)| c * p),
        clean: share(counts.violated.saturating_add(counts.surplus).min(counts.records), counts.records)
            .map(|d| 1.0 - d),
        alive: share(counts.timely, counts.events),
    }
}

#[cfg(test)]
mod tests {
    use record::{AgencyId, ContractId, Index, Operation, RegisterEpoch, StatementHash, Timestamp};

    use super::*;
    use crate::head::{Change, Facts, Linked};

    #[test]
    fn without_an_expected_number_sufficient_is_absent_not_one() {
        let counts = Counts { records: 10, required: 40, filled: 40, ..Counts::default() };
        assert_eq!(measures(&counts, None).sufficient, None);
        assert_eq!(measures(&counts, Some(20)).sufficient, Some(0.5));
        assert_eq!(measures(&counts, Some(5)).sufficient, Some(1.0));
        assert_eq!(measures(&counts, None).correct, None);
    }

    #[test]
    fn surplus_and_violations_make_a_register_unclean() {
        let counts = Counts { records: 10, violated: 1, surplus: 1, ..Counts::default() };
        assert_eq!(measures(&counts, None).clean, Some(0.8));
    }

    #[test]
    fn taking_away_undoes_adding() {
        let a = Counts { records: 3, matched: 2, ..Counts::default() };
        let mut sum = a;
        sum.add(&Counts { records: 1, timely: 4, ..Counts::default() }, 1);
        assert_eq!(Counts::decode(&sum.encode()), Ok(sum));
        sum.add(&Counts { records: 1, timely: 4, ..Counts::default() }, -1);
        assert_eq!(sum, a);
    }

    /// A head with one change for each (from when it holds, when it was published), under a promise of a day from `from` on.
    fn head(from: i64, changes: &[(i64, i64)]) -> Head {
        let mut head = Head::new(RegisterName::try_from("civil").unwrap());
        for (version, (effective, published)) in (1..).zip(changes) {
            head.apply(&Change {
                epoch: RegisterEpoch(0),
                version,
                replaces: 0,
                operation: Operation::Upsert,
                effective_at: Timestamp(*effective),
                contract: ContractId([1; 16]),
                statement: StatementHash([1; 32]),
                index: Index(version),
                locator: 0,
                published_at: Timestamp(*published),
            });
        }
        head.linked = Linked::In(Box::new(Facts {
            version: (RegisterEpoch(0), 1),
            record_type: "birth".into(),
            agency: AgencyId::try_from("G15").unwrap(),
            unit: (String::new(), String::new()),
            promise_seconds: 86_400,
            promise_from: Timestamp(from),
            required: 0,
            filled: 0,
            mentions: Vec::new(),
            distinct: Vec::new(),
            relations: Vec::new(),
            findings: Vec::new(),
        }));
        head
    }

    #[test]
    fn what_took_effect_before_the_promise_is_neither_in_time_nor_late() {
        const DAY: i64 = 86_400_000_000;
        let alive = |from, changes: &[(i64, i64)]| {
            let (_, counts) = of_head(&head(from, changes)).expect("the record is in the links");
            (counts.events, counts.timely)
        };
        let changes = [(0, 900 * DAY), (100 * DAY, 101 * DAY), (200 * DAY, 201 * DAY + 1), (300 * DAY, 250 * DAY)];
        assert_eq!(alive(i64::MIN, &changes), (4, 2), "without a first day the promise covers all");
        assert_eq!(alive(100 * DAY, &changes), (3, 2));
        assert_eq!(alive(1000 * DAY, &changes), (0, 0));
        assert_eq!(measures(&Counts::default(), None).alive, None);
    }

    #[test]
    fn cells_round_trip_as_keys() {
        let cell = Cell {
            register: RegisterName::try_from("land").unwrap(),
            agency: "mae.land".into(),
            commune: "00004".into(),
            list_version: "2025-07-01".into(),
        };
        assert_eq!(Cell::from_key(&cell.key()), Some(cell));
    }
}
