//! Kinds and their attributes, as the contracts of the hub declare them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Attributes that one kind may have: a mask of released attributes is one 128-bit word.
pub const FIELDS_MAX: usize = 128;

/// Bytes of a kind's or attribute's name.
pub const NAME_BYTES_MAX: usize = 64;

/// How far an attribute may travel: the classes of `hub.contract.v1.Sensitivity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sensitivity {
    /// May be published, such as a parcel's area.
    Open,
    /// Personal data that a procedure may ask for.
    Basic,
    /// Identifiers and contact details.
    Identifier,
    /// Sensitive personal data (Decree 356/2025/NĐ-CP), such as ethnicity or health.
    Sensitive,
}

impl Sensitivity {
    /// The class's name in grants and policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Basic => "basic",
            Self::Identifier => "identifier",
            Self::Sensitive => "sensitive",
        }
    }

    /// The class of that name, as in grants (`basic`) or as a contract's enum value (`SENSITIVITY_BASIC`). An
    /// unspecified class is the strictest.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.strip_prefix("SENSITIVITY_").unwrap_or(name).to_ascii_lowercase().as_str() {
            "open" => Some(Self::Open),
            "basic" => Some(Self::Basic),
            "identifier" => Some(Self::Identifier),
            "sensitive" | "unspecified" => Some(Self::Sensitive),
            _ => None,
        }
    }
}

/// The attributes of one kind with their sensitivity, sorted by name.
#[derive(Debug, PartialEq, Eq)]
pub struct KindFields {
    kind: Box<str>,
    fields: Vec<(Box<str>, Sensitivity)>,
}

impl KindFields {
    /// The kind's name, such as `person`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Dotted attribute names (`person.full_name`) with their class, in the order of their bits in a mask.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Sensitivity)> {
        self.fields.iter().map(|(name, class)| (&**name, *class))
    }

    /// The bit of an attribute in this kind's masks, by its dotted name (`person.full_name`) or its own (`full_name`).
    pub fn index_of(&self, field: &str) -> Option<usize> {
        let own = match field.split_once('.') {
            Some((kind, own)) if kind == &*self.kind => own,
            Some(_) => return None,
            None => field,
        };
        let prefix = self.kind.len() + 1;
        self.fields.binary_search_by(|(name, _)| name[prefix..].cmp(own)).ok()
    }

    /// The attribute's own name behind a bit, without the kind.
    pub fn own_name_at(&self, index: usize) -> Option<&str> {
        self.name_at(index).map(|name| &name[self.kind.len() + 1..])
    }

    /// The dotted attribute name behind a bit.
    pub fn name_at(&self, index: usize) -> Option<&str> {
        self.fields.get(index).map(|(name, _)| &**name)
    }

    /// How many attributes the kind has, at most [`FIELDS_MAX`].
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether the kind has no attribute.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// All kinds that the hub knows.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    by_name: BTreeMap<Box<str>, Arc<KindFields>>,
}

impl Kinds {
    /// Builds the set from `(kind, attribute, class)` rows, where `attribute` is the field's own name
    /// (`full_name`) and is shown to callers as `kind.attribute`.
    ///
    /// # Errors
    /// A name that is malformed, an attribute that appears twice, a kind with more than [`FIELDS_MAX`].
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str, Sensitivity)>) -> Result<Self, KindsError> {
        let mut grouped: BTreeMap<Box<str>, BTreeMap<Box<str>, Sensitivity>> = BTreeMap::new();
        for (kind, attribute, class) in rows {
            let kind = checked_name(kind)?;
            let dotted = format!("{kind}.{}", checked_name(attribute)?).into_boxed_str();
            let fields = grouped.entry(kind.clone()).or_default();
            if fields.insert(dotted.clone(), class).is_some() {
                return Err(KindsError::Repeated { field: dotted });
            }
            if fields.len() > FIELDS_MAX {
                return Err(KindsError::TooManyFields { kind });
            }
        }
        let by_name = grouped
            .into_iter()
            .map(|(kind, fields)| {
                let fields = fields.into_iter().collect();
                (kind.clone(), Arc::new(KindFields { kind, fields }))
            })
            .collect();
        Ok(Self { by_name })
    }

    /// The kind of that name.
    pub fn get(&self, kind: &str) -> Option<&Arc<KindFields>> {
        self.by_name.get(kind)
    }

    /// All kinds in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KindFields>> {
        self.by_name.values()
    }

    /// Whether some kind has the attribute of that dotted name.
    pub fn has_field(&self, dotted: &str) -> bool {
        let kind = dotted.split_once('.').and_then(|(kind, _)| self.get(kind));
        kind.is_some_and(|fields| fields.index_of(dotted).is_some())
    }
}

/// Why a set of kinds was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KindsError {
    /// A name is empty, too long or has other characters than `a-z`, `0-9`, `_`.
    #[error("a kind or attribute name must be 1 to {NAME_BYTES_MAX} of a-z, 0-9, _")]
    Name,
    /// One attribute is declared twice.
    #[error("attribute {field} is declared twice")]
    Repeated {
        /// The dotted name.
        field: Box<str>,
    },
    /// A kind has more attributes than a mask has bits.
    #[error("kind {kind} has more than {FIELDS_MAX} attributes")]
    TooManyFields {
        /// The kind.
        kind: Box<str>,
    },
}

fn checked_name(name: &str) -> Result<Box<str>, KindsError> {
    let well_formed = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if well_formed { Ok(name.into()) } else { Err(KindsError::Name) }
}

/// A set of attributes of one kind, one bit each in the order of [`KindFields`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldMask(u128);

impl FieldMask {
    pub(crate) fn with(self, index: usize) -> Self {
        Self(self.0 | (1 << index))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the bit is set; a bit past the kind's attributes never is.
    pub fn contains(self, index: usize) -> bool {
        index < FIELDS_MAX && self.0 >> index & 1 == 1
    }

    /// Whether every attribute of `self` is also in `other`.
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The raw bits; only comparable under one set of kinds.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// How many attributes are in the set.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set bits, ascending.
    pub fn indices(self) -> impl Iterator<Item = usize> {
        (0..FIELDS_MAX).filter(move |&index| self.contains(index))
    }
}

impl fmt::Debug for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldMask({:#x})", self.0)
    }
}
