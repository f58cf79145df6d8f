//! The feature row: all that scoring reads of a mention, in 96 comparable bytes.
//!
//! Two mentions with equal rows are indistinguishable to the model. The layout is part of the model's epoch: rows are
//! rebuilt when it changes.
//!
//! | bytes | person | parcel |
//! |---|---|---|
//! | 0 | kind 1 | kind 2 |
//! | 1 | flags, sex in the two low bits | flags |
//! | 2..6 | birth: year BE, month, day | 4..16 parcel id |
//! | 6..11 | personal id + 1 | 16..20 commune + 1 |
//! | 11..15 | old id + 1 | 20 sheet length, 21..37 sheet |
//! | 15..20 | social insurance number + 1 | 37 number length, 38..62 number |
//! | 20..23 | commune + 1 | |
//! | 23..25 | province + 1 | |
//! | 25..29 | phone hash | |
//! | 29..34, 34..39 | mother, father: 3 bytes full name hash, 2 bytes given name hash | |
//! | 39..43 | accented name hash | |
//! | 43..45 | name rarity, 1/1024 bit | |
//! | 45, 46..96 | folded name length, folded name | |

use crate::date::PartialDate;
use crate::text::tokens;

/// Length of a feature row.
pub const ROW_BYTES: usize = 96;
/// Most bytes of a folded name that a row keeps.
pub(crate) const NAME_MAX: usize = ROW_BYTES - 46;

/// What a mention is a mention of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A natural person.
    Person,
    /// A land parcel.
    Parcel,
}

/// Sex as registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sex {
    /// Nam.
    Male,
    /// Nữ.
    Female,
}

/// Features of one mention, ready to compare and to store. Built by [`crate::Model::person_row`] and
/// [`crate::Model::parcel_row`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureRow(pub [u8; ROW_BYTES]);

impl std::fmt::Debug for FeatureRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Personal data stays out of logs.
        write!(f, "FeatureRow({:?}, ..)", self.kind())
    }
}

pub(crate) const SEX_MASK: u8 = 0b11;
pub(crate) const PLAIN_NAME: u8 = 1 << 2;
pub(crate) const NAME_CUT: u8 = 1 << 3;
/// Flag: the personal id disagrees with the row's own year of birth or sex; it may be somebody else's.
pub const FLAG_ID_SUSPECT: u8 = 1 << 4;
/// Flag: a personal id was given that is not 12 digits; it was ignored.
pub const FLAG_ID_MALFORMED: u8 = 1 << 5;
/// Flag: an old id was given that is not 9 digits; it was ignored.
pub const FLAG_OLD_ID_MALFORMED: u8 = 1 << 6;
/// Flag: a parcel id was given that is not 12 geohash characters; it was ignored.
pub const FLAG_PARCEL_ID_MALFORMED: u8 = 1 << 7;

/// Hashes of a parent's name: enough to tell equal from different, not to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ParentName {
    pub(crate) full: u32,
    pub(crate) given: u16,
}

impl FeatureRow {
    /// What the row describes; `None` when byte 0 is not a kind (a damaged row).
    pub fn kind(&self) -> Option<Kind> {
        match self.0[0] {
            1 => Some(Kind::Person),
            2 => Some(Kind::Parcel),
            _ => None,
        }
    }

    /// The flags that are set, of the `FLAG_` constants.
    pub fn flags(&self) -> u8 {
        self.0[1] & (FLAG_ID_SUSPECT | FLAG_ID_MALFORMED | FLAG_OLD_ID_MALFORMED | FLAG_PARCEL_ID_MALFORMED)
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.0[1] & flag != 0
    }

    pub(crate) fn number(&self, from: usize, to: usize) -> u64 {
        self.0[from..to].iter().fold(0, |n, b| (n << 8) | u64::from(*b))
    }

    pub(crate) fn put_number(&mut self, from: usize, to: usize, value: u64) {
        let bytes = value.to_be_bytes();
        self.0[from..to].copy_from_slice(&bytes[8 - (to - from)..]);
    }

    fn optional(&self, from: usize, to: usize) -> Option<u64> {
        self.number(from, to).checked_sub(1)
    }

    /// Sex, as 0 unknown, 1 male, 2 female.
    pub(crate) fn sex(&self) -> u8 {
        self.0[1] & SEX_MASK
    }

    pub(crate) fn birth(&self) -> Option<PartialDate> {
        PartialDate::new(self.number(2, 4) as u16, self.0[4], self.0[5])
    }

    /// The 12-digit personal id, as a number.
    pub fn personal_id(&self) -> Option<u64> {
        self.person()?.optional(6, 11)
    }

    pub(crate) fn old_id(&self) -> Option<u64> {
        self.optional(11, 15)
    }

    pub(crate) fn insurance(&self) -> Option<u64> {
        self.optional(15, 20)
    }

    pub(crate) fn commune(&self) -> Option<u64> {
        self.optional(20, 23)
    }

    pub(crate) fn province(&self) -> Option<u64> {
        self.optional(23, 25)
    }

    /// Hash of the phone number; 0 when there is none.
    pub(crate) fn phone(&self) -> u32 {
        self.number(25, 29) as u32
    }

    pub(crate) fn mother(&self) -> Option<ParentName> {
        self.parent(29)
    }

    pub(crate) fn father(&self) -> Option<ParentName> {
        self.parent(34)
    }

    fn parent(&self, at: usize) -> Option<ParentName> {
        let full = self.number(at, at + 3) as u32;
        (full != 0).then(|| ParentName { full, given: self.number(at + 3, at + 5) as u16 })
    }

    pub(crate) fn put_parent(&mut self, at: usize, name: ParentName) {
        self.put_number(at, at + 3, u64::from(name.full));
        self.put_number(at + 3, at + 5, u64::from(name.given));
    }

    pub(crate) fn accented(&self) -> u32 {
        self.number(39, 43) as u32
    }

    /// −log2 of the full name's frequency, in 1/1024 bit.
    pub(crate) fn rarity(&self) -> i32 {
        self.number(43, 45) as i32
    }

    /// The folded name; empty when the mention has none.
    pub(crate) fn name(&self) -> &[u8] {
        let length = usize::from(self.0[45]).min(NAME_MAX);
        &self.0[46..46 + length]
    }

    pub(crate) fn given(&self) -> Option<&[u8]> {
        tokens(self.name()).next_back()
    }

    pub(crate) fn person(&self) -> Option<&FeatureRow> {
        (self.kind() == Some(Kind::Person)).then_some(self)
    }

    /// The parcel id's 12 characters.
    pub(crate) fn parcel_id(&self) -> Option<&[u8]> {
        (self.0[4] != 0).then_some(&self.0[4..16])
    }

    /// The cadastral key's bytes: commune, sheet, number.
    pub(crate) fn cadastral(&self) -> Option<&[u8]> {
        (self.number(16, 20) != 0).then_some(&self.0[16..62])
    }
}
