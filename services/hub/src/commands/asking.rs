//! How a user names a subject, a purpose and a time on the command line.

use std::fmt;
use std::str::FromStr;

use clap::Args;

use crate::answers::wire_time;

/// Why data is asked for. Both are mandatory: the hub refuses a question without a purpose.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Purpose")]
pub struct PurposeArgs {
    /// Code of the procedure that needs the data, such as 1.001193
    #[arg(long, value_name = "CODE")]
    pub procedure: String,
    /// Case number at the asking agency
    #[arg(long = "case", value_name = "NUMBER")]
    pub case_number: String,
}

/// As of when.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Time")]
pub struct TimeArgs {
    /// What the hub knew at this time (RFC 3339); now when absent
    #[arg(long, value_name = "TIME")]
    pub known_at: Option<jiff::Timestamp>,
    /// What was true at this time (RFC 3339); now when absent
    #[arg(long, value_name = "TIME")]
    pub valid_at: Option<jiff::Timestamp>,
}

impl PurposeArgs {
    /// As the API takes it.
    pub fn wire(&self) -> wire::query::Purpose {
        wire::query::Purpose { procedure: self.procedure.clone(), case_number: self.case_number.clone() }
    }
}

impl TimeArgs {
    /// As the API takes them: known at, valid at.
    pub fn wire(&self) -> (Option<prost_types::Timestamp>, Option<prost_types::Timestamp>) {
        (self.known_at.map(wire_time), self.valid_at.map(wire_time))
    }
}

impl SubjectKind {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Parcel => "parcel",
        }
    }
}

impl SubjectKey {
    /// As the API takes it.
    pub fn wire(&self) -> wire::query::SubjectKey {
        use wire::query::subject_key::Key;
        let key = match self.clone() {
            Self::Subject(id) => Key::Subject(id),
            Self::PersonalId(id) => Key::PersonalId(id),
            Self::OldId(id) => Key::OldId(id),
            Self::InsuranceNo(number) => Key::InsuranceNo(number),
            Self::ParcelId(id) => Key::ParcelId(id),
            Self::Cadastral(key) => Key::Cadastral(wire::query::CadastralKey {
                commune_code: key.commune,
                list_version: key.list.unwrap_or_default(),
                sheet: key.sheet,
                number: key.number,
            }),
        };
        wire::query::SubjectKey { key: Some(key) }
    }
}

/// What kind of subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SubjectKind {
    /// A human being.
    Person,
    /// A piece of land.
    Parcel,
}

/// Names one subject. Exactly one of its flags is given.
#[derive(Clone, Args)]
#[command(next_help_heading = "Subject")]
#[group(id = "subject_key", required = true, multiple = false)]
pub struct SubjectArgs {
    /// Subject id of the hub, 32 hexadecimal digits
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// Personal id, 12 digits; also a retired one
    #[arg(long, value_name = "ID")]
    pub personal_id: Option<String>,
    /// Number of an old identity card, 9 digits
    #[arg(long, value_name = "ID")]
    pub old_id: Option<String>,
    /// Social or health insurance number
    #[arg(long, value_name = "NUMBER")]
    pub insurance_no: Option<String>,
    /// Parcel id, 12 characters
    #[arg(long, value_name = "ID")]
    pub parcel_id: Option<String>,
    /// Cadastral key, with the unit list of its commune code when it is not the newest
    #[arg(long, value_name = "COMMUNE/SHEET/NUMBER[@LIST]")]
    pub cadastral: Option<Cadastral>,
}

impl SubjectArgs {
    /// The one key that was given.
    ///
    /// # Panics
    /// Built by hand with no key; the command line's parser demands one.
    pub fn key(&self) -> SubjectKey {
        let texts = [
            self.subject.clone().map(SubjectKey::Subject),
            self.personal_id.clone().map(SubjectKey::PersonalId),
            self.old_id.clone().map(SubjectKey::OldId),
            self.insurance_no.clone().map(SubjectKey::InsuranceNo),
            self.parcel_id.clone().map(SubjectKey::ParcelId),
            self.cadastral.clone().map(SubjectKey::Cadastral),
        ];
        texts.into_iter().flatten().next().expect("the group of keys is required")
    }
}

// Keys are personal data: they are not shown where arguments are logged.
impl fmt::Debug for SubjectArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectArgs(..)")
    }
}

/// A key with its type; on the command line `TYPE:VALUE`, with the types `subject`, `personal`, `old`, `insurance`,
/// `parcel` and `cadastral`.
#[derive(Clone, PartialEq, Eq)]
pub enum SubjectKey {
    /// A subject id of the hub.
    Subject(String),
    /// A personal id.
    PersonalId(String),
    /// The number of an old identity card.
    OldId(String),
    /// An insurance number.
    InsuranceNo(String),
    /// A parcel id.
    ParcelId(String),
    /// A cadastral key.
    Cadastral(Cadastral),
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

/// What is wrong with a key on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No type, an unknown one, or no value.
    #[error("write it as TYPE:VALUE, where TYPE is subject, personal, old, insurance, parcel or cadastral")]
    Type,
    /// Not a cadastral key.
    #[error("write it as COMMUNE/SHEET/NUMBER, with @LIST when the commune code is not of the newest unit list")]
    Cadastral,
    /// A role without a key.
    #[error("write it as ROLE=TYPE:VALUE, such as mother=personal:012345678901")]
    Role,
}

impl FromStr for SubjectKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (kind, value) = text.split_once(':').filter(|(_, value)| !value.is_empty()).ok_or(KeyError::Type)?;
        let owned = value.to_owned();
        match kind {
            "subject" => Ok(Self::Subject(owned)),
            "personal" => Ok(Self::PersonalId(owned)),
            "old" => Ok(Self::OldId(owned)),
            "insurance" => Ok(Self::InsuranceNo(owned)),
            "parcel" => Ok(Self::ParcelId(owned)),
            "cadastral" => value.parse().map(Self::Cadastral),
            _ => Err(KeyError::Type),
        }
    }
}

/// A parcel by sheet and number of a commune.
#[derive(Clone, PartialEq, Eq)]
pub struct Cadastral {
    /// Code of the commune.
    pub commune: String,
    /// Sheet of the cadastral map.
    pub sheet: String,
    /// Number on the sheet.
    pub number: String,
    /// Version of the unit list that the code is of; the newest when absent.
    pub list: Option<String>,
}

impl fmt::Debug for Cadastral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cadastral(..)")
    }
}

impl FromStr for Cadastral {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (place, list) = match text.split_once('@') {
            Some((_, "")) => return Err(KeyError::Cadastral),
            Some((place, list)) => (place, Some(list.to_owned())),
            None => (text, None),
        };
        let parts: Vec<&str> = place.split('/').collect();
        match parts[..] {
            [commune, sheet, number] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self { commune: commune.to_owned(), sheet: sheet.to_owned(), number: number.to_owned(), list })
            }
            _ => Err(KeyError::Cadastral),
        }
    }
}

/// A role of a procedure and who plays it: `mother=personal:012345678901`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKey {
    /// The procedure's name for the role.
    pub role: String,
    /// Who plays it.
    pub key: SubjectKey,
}

impl FromStr for RoleKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (role, key) = text.split_once('=').filter(|(role, _)| !role.is_empty()).ok_or(KeyError::Role)?;
        Ok(Self { role: role.to_owned(), key: key.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_names_a_typed_key() {
        let role: RoleKey = "mother=personal:012345678901".parse().expect("well formed");
        assert_eq!(role.role, "mother");
        assert_eq!(role.key, SubjectKey::PersonalId("012345678901".to_owned()));
        assert!(!format!("{role:?}").contains("0123"), "arguments are logged without keys");
    }

    #[test]
    fn a_cadastral_key_may_name_its_list() {
        let key: Cadastral = "00004/12/305@2024-12-01".parse().expect("well formed");
        assert_eq!((key.commune.as_str(), key.sheet.as_str(), key.number.as_str()), ("00004", "12", "305"));
        assert_eq!(key.list.as_deref(), Some("2024-12-01"));
        assert_eq!("00004/12/305".parse::<Cadastral>().expect("well formed").list, None);
    }

    #[test]
    fn malformed_keys_say_how_to_write_them() {
        assert_eq!("012345678901".parse::<SubjectKey>(), Err(KeyError::Type));
        assert_eq!("personal:".parse::<SubjectKey>(), Err(KeyError::Type));
        assert_eq!("passport:1".parse::<SubjectKey>(), Err(KeyError::Type));
        assert_eq!("cadastral:1/2".parse::<SubjectKey>(), Err(KeyError::Cadastral));
        assert_eq!("1//3".parse::<Cadastral>(), Err(KeyError::Cadastral));
        assert_eq!("1/2/3@".parse::<Cadastral>(), Err(KeyError::Cadastral));
        assert_eq!("personal:1".parse::<RoleKey>(), Err(KeyError::Role));
    }
}
