//! What a publisher sends, and the truth about it.

/// One record change as its register publishes it, with the truth that no register knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedChange {
    /// Name of the register.
    pub register: &'static str,
    /// The record's id in its register.
    pub record_id: String,
    /// Grows with every change of the record, from 1.
    pub version: u64,
    /// What the change does.
    pub operation: Operation,
    /// Name of the record type in the register's contract.
    pub record_type: &'static str,
    /// From when the change holds: microseconds since the Unix epoch, UTC. May lie far back or in the future.
    pub effective_at: i64,
    /// When the register recorded it, likewise.
    pub registered_at: i64,
    /// When it was published, likewise; ascending within a register.
    pub published_at: i64,
    /// The earlier version that it corrects; 0 for none.
    pub replaces: u64,
    /// The agency that acted.
    pub agency: String,
    /// Legal basis.
    pub legal_basis: &'static str,
    /// Reason.
    pub reason: &'static str,
    /// The record: serialised protobuf of the contract's message; empty for a retraction.
    pub payload: Vec<u8>,
    /// Who is really meant, in the order in which the contract lists the mentions; empty for a retraction.
    pub truth: Vec<TruthMention>,
    /// What the generator did to it on purpose.
    pub flaw: Flaw,
    /// True when this is the version that counts for links in the end: the record's highest good upsert, not taken back.
    pub live: bool,
}

/// What a change does to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// States the whole record.
    Upsert,
    /// Takes the record back.
    Retract,
}

/// What the generator did to a change on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// The very change was sent before.
    Duplicate,
    /// An earlier change has this version with another statement.
    Conflict,
    /// It breaks a hard rule of its contract.
    Refused,
}

/// One appearance of a subject in a record, and who it really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthMention {
    /// Role in the record, as the contract names it.
    pub role: &'static str,
    /// Which of the role's elements it is, from 0 in the order of the record.
    pub index: u16,
    /// Value of the key field of a repeated element; empty for a single sub-message, and where the field is empty (the
    /// contract then keys the element by a hash of its identifying fields).
    pub element: Vec<u8>,
    /// Who it really is.
    pub subject: TrueSubject,
    /// The subject's own identifiers that stand in the mention without error.
    pub ids: Ids,
    /// What is wrong or vague in it.
    pub noise: Noise,
}

/// A real person or parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrueSubject {
    /// Number of a person. Numbers from `Config::persons` on are parents who live elsewhere.
    Person(u32),
    /// Number of a parcel.
    Parcel(u32),
}

/// A set of a person's identifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids(pub u8);

impl Ids {
    /// The personal number in force.
    pub const PERSONAL: Ids = Ids(1);
    /// The old card number.
    pub const OLD: Ids = Ids(2);
    /// The social insurance number.
    pub const INSURANCE: Ids = Ids(4);
    /// A cancelled personal number.
    pub const RETIRED: Ids = Ids(8);
    /// Every identifier.
    pub const ALL: Ids = Ids(15);

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Ids) -> Ids {
        Ids(self.0 | other.0)
    }

    /// True when the sets have an identifier in common.
    pub fn meets(self, other: Ids) -> bool {
        self.0 & other.0 != 0
    }

    /// True when there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A set of what is wrong or vague in a mention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise(pub u16);

impl Noise {
    /// The tone stands on the other letter of an open syllable.
    pub const TONE_PLACEMENT: Noise = Noise(1);
    /// The name has no marks.
    pub const NO_MARKS: Noise = Noise(2);
    /// A letter of the name is wrong.
    pub const NAME_TYPO: Noise = Noise(4);
    /// Only the year of birth is given.
    pub const YEAR_ONLY: Noise = Noise(8);
    /// The date of birth is wrong.
    pub const WRONG_DATE: Noise = Noise(16);
    /// The other sex is given.
    pub const WRONG_SEX: Noise = Noise(32);
    /// A digit of an identifier is wrong.
    pub const ID_TYPO: Noise = Noise(64);
    /// The identifier is a parent's.
    pub const PARENT_ID: Noise = Noise(128);
    /// The name stands alone: no date of birth, no identifier, no commune.
    pub const NAME_ALONE: Noise = Noise(256);

    /// True when the set holds all of `other`.
    pub fn has(self, other: Noise) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds to the set when `holds`.
    pub(crate) fn mark(&mut self, other: Noise, holds: bool) {
        if holds {
            self.0 |= other.0;
        }
    }
}
