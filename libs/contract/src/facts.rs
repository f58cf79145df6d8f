//! What one record says: the fold's view of it, read straight from the received bytes.

use std::borrow::Cow;

use record::Kind;
use smallvec::SmallVec;
use validate::{DecodeError, Limits, Msg, Value};

use crate::compile::Contract;
use crate::error::UnknownRecordType;
use crate::kinds::AttributeId;
use crate::model::{RecordType, RelationType, Role};
use crate::value::{AttrValue, PartialDate, Sex, UnitRef};
use crate::walk::{Extent, Walk};

/// Most mentions in one record, inclusive.
pub const MENTIONS_MAX: usize = 256;
/// Most relations that one record states, inclusive.
pub const RELATION_FACTS_MAX: usize = 4096;

/// A record from which no facts can be read. Ingest refuses such a record.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The contract has no such record type.
    #[error(transparent)]
    RecordType(#[from] UnknownRecordType),
    /// The bytes are no record of this type.
    #[error("the record cannot be decoded")]
    Decode(#[from] DecodeError),
    /// It mentions or relates more than a record may.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// More mentions or relations in one record than the hub takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// Mentions.
    #[error("more than {MENTIONS_MAX} mentions in one record")]
    Mentions,
    /// Relations.
    #[error("more than {RELATION_FACTS_MAX} relations in one record")]
    Relations,
}

/// Which appearance in its role a mention is; stable as long as the record names it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element<'a> {
    /// The role occurs at most once.
    Single,
    /// An element of a repeated field, by the text of the field that keys it; unique in its role.
    Key(&'a str),
    /// An element of a repeated field without a key, or with one that an earlier element has.
    Identified {
        /// Hash of its identifying fields.
        hash: [u8; 16],
        /// 0 for the first element of its role with this hash, 1 for the next, and so on.
        occurrence: u32,
    },
}

impl Element<'_> {
    /// Appends the canonical form, which is part of a mention's key: empty for `Single`, else a
    /// type byte and the content.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Element::Single => {}
            Element::Key(key) => {
                out.push(1);
                out.extend_from_slice(key.as_bytes());
            }
            Element::Identified { hash, occurrence } => {
                out.push(2);
                out.extend_from_slice(hash);
                out.extend_from_slice(&occurrence.to_be_bytes());
            }
        }
    }
}

/// The identifying features of a mention, as the register wrote them. Nothing is normalised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ident<'a> {
    /// Whole name, family name first.
    pub full_name: Option<Cow<'a, str>>,
    /// Date of birth.
    pub birth: Option<PartialDate>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Personal number; 12 digits where the rules of the contract demand it.
    pub personal_id: Option<&'a str>,
    /// Old card number.
    pub old_id: Option<&'a str>,
    /// Cancelled personal numbers of the same person.
    pub retired_personal_ids: SmallVec<[&'a str; 1]>,
    /// Social insurance number, 10 digits.
    pub insurance_no: Option<&'a str>,
    /// Telephone number.
    pub phone: Option<&'a str>,
    /// Commune of residence.
    pub unit: Option<UnitRef<'a>>,
    /// Mother's whole name.
    pub mother_name: Option<&'a str>,
    /// Father's whole name.
    pub father_name: Option<&'a str>,
    /// Husband's or wife's whole name.
    pub spouse_name: Option<&'a str>,
    /// Parcel identifier.
    pub parcel_id: Option<&'a str>,
    /// Commune of the cadastral key.
    pub cadastral_unit: Option<UnitRef<'a>>,
    /// Map sheet of the cadastral key.
    pub cadastral_sheet: Option<&'a str>,
    /// Parcel number of the cadastral key.
    pub cadastral_number: Option<&'a str>,
    pub(crate) name_parts: [Option<&'a str>; 3],
}

/// A complete cadastral key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cadastral<'a> {
    /// Commune, with the list that its code comes from.
    pub unit: UnitRef<'a>,
    /// Map sheet.
    pub sheet: &'a str,
    /// Parcel number.
    pub number: &'a str,
}

impl<'a> Ident<'a> {
    /// The cadastral key, when all its parts are there.
    pub fn cadastral(&self) -> Option<Cadastral<'a>> {
        Some(Cadastral { unit: self.cadastral_unit?, sheet: self.cadastral_sheet?, number: self.cadastral_number? })
    }
}

/// One appearance of a subject in a record.
#[derive(Clone, Debug)]
pub struct MentionFact<'a> {
    /// The kind of subject.
    pub kind: Kind,
    /// Role in the record.
    pub role: &'a str,
    /// Stable number of the role in its record type.
    pub role_number: u8,
    /// A subject has at most one live record of this type in this role.
    pub once: bool,
    /// Which appearance in the role.
    pub element: Element<'a>,
    /// What identifies it.
    pub ident: Ident<'a>,
    /// What it asserts, in the order of the record's fields; an attribute of one value at most once.
    pub asserts: Vec<(AttributeId, AttrValue<'a>)>,
    pub(crate) role_index: usize,
    pub(crate) same_person: Option<&'a str>,
}

/// A relation that the record states between two of its mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationFact {
    /// What holds.
    pub relation: RelationType,
    /// Index of the mention from which it points.
    pub from: u16,
    /// Index of the mention to which it points.
    pub to: u16,
}

/// What one record says.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Its mentions, in the order of its fields.
    pub mentions: Vec<MentionFact<'a>>,
    /// The relations between them.
    pub relations: Vec<RelationFact>,
    /// The record's own unit, under which quality is counted.
    pub unit: Option<UnitRef<'a>>,
    /// How many fields the record needs to be sufficient.
    pub required: u32,
    /// How many of those are filled.
    pub filled: u32,
}

impl Facts<'_> {
    /// Whether two mentions of this record (by index) may be one subject: their roles differ and
    /// the contract puts both in one group. All others are certainly different subjects.
    ///
    /// # Panics
    ///
    /// When an index is out of range.
    pub fn may_be_same(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.mentions[a], &self.mentions[b]);
        a.role_index != b.role_index && a.same_person.is_some() && a.same_person == b.same_person
    }

    /// Whether all fields that the contract counts for sufficiency are filled.
    pub fn is_sufficient(&self) -> bool {
        self.filled == self.required
    }
}

impl Contract {
    /// Reads what a record says. Rules are not checked: see [`Contract::judge`].
    ///
    /// # Errors
    ///
    /// When the bytes are no record of this type, or state too much.
    pub fn facts<'a>(&'a self, record_type: &str, body: &'a [u8]) -> Result<Facts<'a>, FactsError> {
        self.record_type(record_type)?.facts(body)
    }
}

impl RecordType {
    /// Reads what a record of this type says.
    ///
    /// # Errors
    ///
    /// As [`Contract::facts`].
    pub fn facts<'a>(&'a self, body: &'a [u8]) -> Result<Facts<'a>, FactsError> {
        let msg = self.plan.decode(body, &Limits::default())?;
        Ok(Walk::new(self, &msg, Extent::Whole, None).run()?)
    }
}

impl<'a> MentionFact<'a> {
    /// A mention that identifies and asserts nothing yet.
    pub(crate) fn new(role: &'a Role, role_index: usize) -> Self {
        MentionFact {
            kind: role.kind,
            role: &role.name,
            role_number: role.number,
            once: role.once,
            element: Element::Single,
            ident: Ident::default(),
            asserts: Vec::new(),
            role_index,
            same_person: role.same_person.as_deref(),
        }
    }

    /// Asserts what its role states of every mention.
    pub(crate) fn with_states(mut self, role: &'a Role) -> Self {
        self.asserts.reserve_exact(role.asserts);
        self.asserts.extend_from_slice(&role.states);
        self
    }
}

/// Whether a value counts as filled: text must not be empty or blank.
pub(crate) fn is_filled(value: Option<&Value<'_>>) -> bool {
    match value {
        None => false,
        Some(Value::Str(text)) => !text.trim_ascii().is_empty(),
        Some(Value::Msg(msg)) => !Msg::is_empty(msg),
        Some(_) => true,
    }
}
