//! Identifiers and times. Each is a type of its own with a checked constructor.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Which rule an identifier breaks. Never carries the identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Register names.
    #[error("a register name is 1 to 48 characters of a-z, 0-9, '_', '-', '.', beginning with a letter")]
    RegisterName,
    /// Agency ids.
    #[error("an agency id is 1 to 48 characters of A-Z, a-z, 0-9, '_', '-', '.', beginning with a letter or digit")]
    AgencyId,
    /// Record ids.
    #[error("a record id is 1 to 128 bytes of text without control characters")]
    RecordId,
    /// Record versions.
    #[error("a version is at least 1")]
    Version,
}

fn is_name(s: &str, letter: fn(&u8) -> bool, first: fn(&u8) -> bool) -> bool {
    (1..=48).contains(&s.len())
        && first(&s.as_bytes()[0])
        && s.bytes().all(|b| letter(&b) || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.'))
}

fn is_register_name(s: &str) -> bool {
    is_name(s, u8::is_ascii_lowercase, u8::is_ascii_lowercase)
}

/// Agencies have codes of their own, such as `G15` or `000.00.00.H40`.
fn is_agency_id(s: &str) -> bool {
    is_name(s, u8::is_ascii_alphabetic, u8::is_ascii_alphanumeric)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $is:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<&str> for $name {
            type Error = IdError;
            fn try_from(s: &str) -> Result<Self, IdError> {
                if $is(s) { Ok(Self(s.into())) } else { Err(IdError::$name) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(s: String) -> Result<Self, IdError> {
                Self::try_from(s.as_str())
            }
        }
        impl From<$name> for String {
            fn from(v: $name) -> String {
                v.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// The name of a register, such as `civil`.
    RegisterName, is_register_name
}
name_type! {
    /// The id of an agency that acts, such as `G15.01`.
    AgencyId, is_agency_id
}

/// A record's id within its register, as its owner writes it. Personal data: it never reaches a log line or an error.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// Longest record id, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for RecordId {
    type Error = IdError;
    fn try_from(s: &str) -> Result<Self, IdError> {
        let fits = (1..=Self::BYTES_MAX).contains(&s.len()) && !s.chars().any(char::is_control);
        if fits { Ok(Self(s.into())) } else { Err(IdError::RecordId) }
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordId(..)")
    }
}

/// A record's version: grows with every change of the record, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(u64);

impl Version {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Version {
    type Error = IdError;
    fn try_from(v: u64) -> Result<Self, IdError> {
        if v == 0 { Err(IdError::Version) } else { Ok(Self(v)) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One complete statement of a register. The first is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RegisterEpoch(pub u32);

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest time.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time.
    pub const MAX: Self = Self(i64::MAX);
}

/// What a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Kind {
    /// A human being.
    Person = 1,
    /// A parcel of land.
    Parcel = 2,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Person, Self::Parcel];

    /// The kind with that number.
    pub fn from_u8(v: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|k| *k as u8 == v)
    }

    /// The kind with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The name, as contracts and queries write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Parcel => "parcel",
        }
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The id as 32 lower-case hexadecimal digits.
            pub fn to_hex(&self) -> String {
                use std::fmt::Write as _;
                self.0.iter().fold(String::with_capacity(32), |mut out, b| {
                    write!(out, "{b:02x}").expect("writing to a string cannot fail");
                    out
                })
            }

            /// Parses 32 hexadecimal digits.
            pub fn from_hex(s: &str) -> Option<Self> {
                let b = s.as_bytes();
                if b.len() != 32 || !b.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                let mut out = [0; 16];
                for (i, o) in out.iter_mut().enumerate() {
                    *o = u8::from_str_radix(&s[2 * i..2 * i + 2], 16).ok()?;
                }
                Some(Self(out))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.to_hex())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

hash_id! {
    /// A record's name inside the hub: a keyed hash of `(register, record id)`, so that headers and access entries name a
    /// record without telling which.
    Pseudonym
}
hash_id! {
    /// The permanent public id of a mention, and of the subject that shows it: a keyed hash of the mention's key.
    MentionId
}
hash_id! {
    /// The contract that a change was checked against: the first 16 bytes of the BLAKE3 of its canonical descriptors.
    ContractId
}
