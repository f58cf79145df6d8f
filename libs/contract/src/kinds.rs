//! The kinds of subjects and their attributes, as `proto/hub/kind/` states them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as ProtoKind, MessageDescriptor};
use record::Kind;

use crate::builtin;
use crate::options::{self, OnField, OnMessage};
use crate::value::ValueType;

/// An attribute's permanent number: the kind's number in the upper 6 bits, the field's number in
/// the kind's message in the lower 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u16);

impl AttributeId {
    fn new(kind: Kind, field: u32) -> Option<Self> {
        let field = u16::try_from(field).ok().filter(|field| (1..1024).contains(field))?;
        Some(AttributeId(u16::from(kind as u8) << 10 | field))
    }

    /// The kind that it belongs to, if that exists.
    pub fn kind(self) -> Option<Kind> {
        Kind::from_u8((self.0 >> 10) as u8)
    }

    /// The field number in the kind's message.
    pub fn field(self) -> u16 {
        self.0 & 1023
    }
}

/// How far an attribute may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sensitivity {
    /// May be published.
    Open,
    /// Personal data that a procedure may ask for.
    Basic,
    /// Identifiers and contact details.
    Identifier,
    /// Sensitive personal data; also what the contract does not classify.
    Sensitive,
}

impl Sensitivity {
    /// Lower-case name: "open", "basic", "identifier" or "sensitive".
    pub fn name(self) -> &'static str {
        match self {
            Sensitivity::Open => "open",
            Sensitivity::Basic => "basic",
            Sensitivity::Identifier => "identifier",
            Sensitivity::Sensitive => "sensitive",
        }
    }
}

/// One attribute of a kind.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Permanent number.
    pub id: AttributeId,
    /// The kind.
    pub kind: Kind,
    /// Name within the kind, such as "full_name".
    pub name: String,
    /// Name with the kind, such as "person.full_name".
    pub full_name: String,
    /// Label for people.
    pub label: String,
    /// How far it may travel.
    pub sensitivity: Sensitivity,
    /// Registers in the order in which their word counts.
    pub authority: Vec<String>,
    /// Type of its values.
    pub value_type: ValueType,
    /// Whether it takes several values; one that does not is disputed when registers differ.
    pub repeated: bool,
    /// Number of decimal digits that every value has; 0 for any shape.
    pub(crate) digits: u32,
}

impl Attribute {
    /// Rank of a register's word: 0 is the highest; a register that is not named comes after all
    /// that are.
    pub fn authority_rank(&self, register: &str) -> usize {
        rank(&self.authority, register)
    }
}

/// One kind of subject.
#[derive(Clone, Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// Its name: "person" or "parcel".
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Registers in the order in which a subject takes its anchor mention.
    pub anchors: Vec<String>,
}

impl KindInfo {
    /// Rank of a register in the order of anchors: 0 is the first; a register that is not named
    /// comes after all that are.
    pub fn anchor_rank(&self, register: &str) -> usize {
        rank(&self.anchors, register)
    }
}

fn rank(order: &[String], register: &str) -> usize {
    order.iter().position(|named| named == register).unwrap_or(order.len())
}

/// All kinds and attributes.
#[derive(Debug)]
pub struct Kinds {
    kinds: Vec<KindInfo>,
    attributes: Vec<Attribute>,
    by_name: BTreeMap<String, usize>,
}

/// The kinds that are compiled into the hub.
pub fn kinds() -> &'static Kinds {
    static KINDS: OnceLock<Kinds> = OnceLock::new();
    KINDS.get_or_init(|| Kinds::read(builtin::KINDS).expect("the built-in kinds are checked by a test"))
}

impl Kinds {
    fn read(descriptor_set: &[u8]) -> Option<Self> {
        let pool = DescriptorPool::decode(descriptor_set).ok()?;
        let mut all = Kinds { kinds: Vec::new(), attributes: Vec::new(), by_name: BTreeMap::new() };
        for message in pool.all_messages() {
            let on: OnMessage = options::read(&message.options()).ok()?;
            if let Some(kind) = on.kind {
                all.add(&message, kind)?;
            }
        }
        all.kinds.sort_by_key(|info| info.kind as u8);
        all.attributes.sort_by_key(|attribute| attribute.id);
        for (index, attribute) in all.attributes.iter().enumerate() {
            all.by_name.insert(attribute.full_name.clone(), index);
        }
        Some(all)
    }

    fn add(&mut self, message: &MessageDescriptor, stated: options::Kind) -> Option<()> {
        let kind = Kind::from_u8(u8::try_from(stated.number).ok()?)?;
        for field in message.fields() {
            let on: OnField = options::read(&field.options()).ok()?;
            self.attributes.push(attribute(kind, &stated.name, &field, on.attribute.unwrap_or_default())?);
        }
        let options::Kind { name, title, anchors, .. } = stated;
        self.kinds.push(KindInfo { kind, name, title, anchors });
        Some(())
    }

    /// All kinds, by number.
    pub fn all(&self) -> &[KindInfo] {
        &self.kinds
    }

    /// What is known of a kind.
    pub fn info(&self, kind: Kind) -> &KindInfo {
        self.kinds.iter().find(|info| info.kind == kind).expect("a test checks that every kind is stated")
    }

    /// The kind of this name.
    pub fn by_kind_name(&self, name: &str) -> Option<&KindInfo> {
        self.kinds.iter().find(|info| info.name == name)
    }

    /// All attributes, by id.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The attributes of one kind, by id.
    pub fn attributes_of(&self, kind: Kind) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(move |attribute| attribute.kind == kind)
    }

    /// The attribute with this id.
    pub fn attribute(&self, id: AttributeId) -> Option<&Attribute> {
        let index = self.attributes.binary_search_by_key(&id, |attribute| attribute.id).ok()?;
        self.attributes.get(index)
    }

    /// The attribute of this full name, such as "person.full_name".
    pub fn by_name(&self, full_name: &str) -> Option<&Attribute> {
        self.by_name.get(full_name).and_then(|index| self.attributes.get(*index))
    }
}

fn attribute(kind: Kind, kind_name: &str, field: &FieldDescriptor, stated: options::Attribute) -> Option<Attribute> {
    Some(Attribute {
        id: AttributeId::new(kind, field.number())?,
        kind,
        name: field.name().to_owned(),
        full_name: format!("{kind_name}.{}", field.name()),
        sensitivity: match stated.sensitivity() {
            options::Sensitivity::Open => Sensitivity::Open,
            options::Sensitivity::Basic => Sensitivity::Basic,
            options::Sensitivity::Identifier => Sensitivity::Identifier,
            options::Sensitivity::Unspecified | options::Sensitivity::Sensitive => Sensitivity::Sensitive,
        },
        label: stated.label,
        authority: stated.authority,
        value_type: value_type(field)?,
        repeated: field.is_list(),
        digits: stated.digits,
    })
}

fn value_type(field: &FieldDescriptor) -> Option<ValueType> {
    match field.kind() {
        ProtoKind::String => Some(ValueType::Text),
        ProtoKind::Bool => Some(ValueType::Bool),
        ProtoKind::Int32 | ProtoKind::Int64 => Some(ValueType::Int),
        ProtoKind::Message(message) => match message.full_name() {
            "hub.type.v1.Code" => Some(ValueType::Code),
            "hub.type.v1.PartialDate" => Some(ValueType::Date),
            "hub.type.v1.UnitReference" => Some(ValueType::Unit),
            "hub.type.v1.Decimal" => Some(ValueType::Decimal),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_attribute_is_stated_completely() {
        for kind in Kind::ALL {
            assert_eq!(kinds().info(kind).kind, kind);
        }
        for attribute in kinds().attributes() {
            assert!(!attribute.label.is_empty(), "{}", attribute.full_name);
            assert!(!attribute.authority.is_empty(), "{}", attribute.full_name);
            assert_eq!(attribute.id.kind(), Some(attribute.kind));
            assert_eq!(kinds().by_name(&attribute.full_name).map(|found| found.id), Some(attribute.id));
            assert_eq!(kinds().attribute(attribute.id).map(|found| &found.name), Some(&attribute.name));
        }
        assert_eq!(kinds().by_name("person.full_name").map(|found| found.id), Some(AttributeId(1 << 10 | 1)));
        assert_eq!(kinds().by_name("parcel.parcel_id").map(|found| found.id), Some(AttributeId(2 << 10 | 1)));
    }

    #[test]
    fn an_unnamed_register_ranks_after_all_named() {
        let name = kinds().by_name("person.full_name").expect("an attribute");
        assert_eq!(name.authority_rank("population"), 0);
        assert_eq!(name.authority_rank("newcomer"), name.authority.len());
        assert_eq!(kinds().info(Kind::Person).anchor_rank("civil"), 1);
    }

    #[test]
    fn health_and_ethnicity_are_sensitive() {
        for name in ["person.ethnicity", "person.diagnoses", "person.blood_group"] {
            assert_eq!(kinds().by_name(name).map(|found| found.sensitivity), Some(Sensitivity::Sensitive));
        }
    }
}
