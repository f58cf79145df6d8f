//! What a record type's options compile to: a tree that mirrors its messages, holding only the
//! fields that the hub reads, by number.

use std::sync::Arc;

use record::Kind;
use validate::{Path, Plan};

use crate::classes::Classes;
use crate::kinds::AttributeId;
use crate::options::{DateFormat, Feature};
use crate::value::{AttrValue, ValueType};

/// What a relation means; read as "from … to".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationType {
    /// The person is a child of the person.
    ChildOf = 1,
    /// The person is married to the person.
    SpouseOf = 2,
    /// The person owns the parcel's use right.
    OwnerOf = 3,
    /// The person lives on the parcel.
    ResidentOf = 4,
    /// The person holds another right to the parcel, such as a mortgage.
    HolderOf = 5,
    /// The parcel came from the parcel by split or merge.
    DerivedFrom = 6,
}

impl RelationType {
    /// Every relation.
    pub const ALL: [Self; 6] =
        [Self::ChildOf, Self::SpouseOf, Self::OwnerOf, Self::ResidentOf, Self::HolderOf, Self::DerivedFrom];

    /// The relation with that number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|relation| *relation as u8 == number)
    }

    /// Lower-case name, such as "child-of".
    pub fn name(self) -> &'static str {
        match self {
            Self::ChildOf => "child-of",
            Self::SpouseOf => "spouse-of",
            Self::OwnerOf => "owner-of",
            Self::ResidentOf => "resident-of",
            Self::HolderOf => "holder-of",
            Self::DerivedFrom => "derived-from",
        }
    }

    /// The kinds that it joins, from and to.
    pub(crate) fn ends(self) -> (Kind, Kind) {
        match self {
            Self::ChildOf | Self::SpouseOf => (Kind::Person, Kind::Person),
            Self::OwnerOf | Self::ResidentOf | Self::HolderOf => (Kind::Person, Kind::Parcel),
            Self::DerivedFrom => (Kind::Parcel, Kind::Parcel),
        }
    }
}

/// A role that a mention may have in a record type.
#[derive(Clone, Debug)]
pub struct Role {
    /// Name, such as "child".
    pub name: String,
    /// Stable number, 1 to 255, unique in the record type.
    pub number: u8,
    /// The kind of subject.
    pub kind: Kind,
    /// A subject has at most one live record of the type in this role.
    pub once: bool,
    pub(crate) same_person: Option<String>,
    pub(crate) states: Vec<(AttributeId, AttrValue<'static>)>,
    pub(crate) when: Option<Condition>,
    pub(crate) key: Option<Path>,
    /// Text of the key's path as the contract states it, for comparison with another contract.
    pub(crate) key_field: String,
    /// Indices of the relations that may point from this role.
    pub(crate) from: Vec<usize>,
    /// How many assertions its mentions mostly have, so that they are allocated at once.
    pub(crate) asserts: usize,
}

/// One type of record, compiled.
#[derive(Debug)]
pub struct RecordType {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) freshness_seconds: i64,
    pub(crate) fresh_from_us: i64,
    pub(crate) plan: Arc<Plan>,
    pub(crate) roles: Vec<Role>,
    /// Index of the role of the record itself.
    pub(crate) root_role: Option<usize>,
    pub(crate) root: Node,
    pub(crate) relations: Vec<Relation>,
    pub(crate) carries: Vec<Carry>,
    pub(crate) classes: Classes,
    /// Whether the register writes names in parts, so that whole names must be put together.
    pub(crate) split_names: bool,
}

impl RecordType {
    /// Short name, such as "birth".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Full name of its message type.
    pub fn message(&self) -> &str {
        self.plan.name()
    }

    /// Title for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Freshness promise in seconds: a change is published within this time of its taking effect.
    pub fn freshness_seconds(&self) -> i64 {
        self.freshness_seconds
    }

    /// From when the promise holds, in microseconds since the Unix epoch: what took effect before is stock, neither in time nor
    /// late. `i64::MIN` when it covers every change.
    pub fn fresh_from_us(&self) -> i64 {
        self.fresh_from_us
    }

    /// The roles of its mentions, in the order in which the contract states them.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The role with this number.
    pub fn role(&self, number: u8) -> Option<&Role> {
        self.roles.iter().find(|role| role.number == number)
    }

    /// The compiled message type, for reading fields by path.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// The fields of one message that the hub reads.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub fields: Vec<NodeField>,
    pub orders: Vec<Order>,
}

impl Node {
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.orders.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct NodeField {
    pub number: u32,
    pub name: Arc<str>,
    /// The record is sufficient only when it is filled.
    pub sufficient: bool,
    pub what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// Only counted.
    Nothing,
    /// A value that identifies, asserts, or names the record's unit.
    Value(Box<Reading>),
    /// A sub-message, perhaps a mention with this role.
    Message { node: Box<Node>, role: Option<usize>, repeated: bool },
}

/// What to read from a field, and what for.
#[derive(Debug)]
pub(crate) struct Reading {
    pub source: Source,
    pub features: Vec<Feature>,
    pub asserts: Vec<Assert>,
    pub record_unit: bool,
    /// Whether the hub's own checks need the value: a date, or what a date of birth, a sex or a personal number is compared with.
    pub checked: bool,
}

/// An attribute to assert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assert {
    pub attribute: AttributeId,
    pub value_type: ValueType,
    pub repeated: bool,
    pub digits: u32,
}

/// How a field holds its value.
#[derive(Debug)]
pub(crate) enum Source {
    Text {
        separator: Option<String>,
    },
    Date(DateFormat),
    DateMessage,
    Sex {
        male: Vec<String>,
        female: Vec<String>,
    },
    UnitMessage,
    UnitText {
        list_version: String,
    },
    UnitWithVersionIn {
        version_field: u32,
    },
    /// `hub.type.v1.Code` or `hub.type.v1.Decimal`: field 1 is the text.
    TextMessage,
    Number,
    Bool,
    Enum {
        names: Vec<(i32, String)>,
    },
}

/// A date that may not precede another one in the same message.
#[derive(Debug)]
pub(crate) struct Order {
    pub number: u32,
    pub name: Arc<str>,
    pub later: Path,
    pub later_source: Source,
    pub earlier: Path,
    pub earlier_source: Source,
}

#[derive(Debug)]
pub(crate) struct Relation {
    pub relation: RelationType,
    pub from: usize,
    pub to: usize,
    pub when: Vec<Condition>,
}

/// A field that says something about a mention in which it does not stand.
#[derive(Debug)]
pub(crate) struct Carry {
    /// Field numbers from the record; the way may lead through repeated messages.
    pub way: Vec<u32>,
    pub role: usize,
    pub reading: Reading,
    pub when: Option<Condition>,
}

/// Whether a field has one of some values.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// Whether the path starts at the record rather than at the mention.
    pub from_record: bool,
    pub path: Path,
    pub any_of: Vec<Expected>,
    pub none_of: Vec<Expected>,
}

#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Text(String),
    Number(i64),
    Bool(bool),
}
