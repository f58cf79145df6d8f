//! Procedure profiles: which items a public service may ask for, of whom, from which register. Data, checked when loaded.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use crate::kinds::Kinds;
use crate::profile::{self, Item, Role, Text};
use crate::rule::RuleError;

/// Profiles in one document.
pub const PROCEDURES_MAX: usize = 512;

/// Roles of one procedure.
pub const ROLES_MAX: usize = 16;

/// Items of one procedure.
pub const ITEMS_MAX: usize = 64;

/// Bytes of a profile document.
pub const PROCEDURE_BYTES_MAX: usize = 4 << 20;

/// The profiles that a new hub starts with.
pub const BUILTIN_PROCEDURES: &str = include_str!("../data/procedures.toml");

/// A register that items may name, whether or not it is connected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterTitle {
    /// The register's code, such as `population`.
    pub code: String,
    /// The agency that owns it.
    pub agency: String,
    /// The register's name for people.
    pub title: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    register: Vec<RegisterTitle>,
    procedure: Vec<profile::Written>,
}

/// A public service and what it may ask for.
#[derive(Debug)]
pub struct Procedure {
    pub(crate) index: usize,
    pub(crate) code: Box<str>,
    pub(crate) title: Text,
    pub(crate) owner: Box<str>,
    pub(crate) roles: Vec<Role>,
    pub(crate) items: Vec<Item>,
    pub(crate) fields: BTreeSet<Box<str>>,
    pub(crate) item_fields: BTreeSet<Box<str>>,
}

impl Procedure {
    /// The national code, such as `1.001193`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The title for people.
    pub fn title(&self) -> &Text {
        &self.title
    }

    /// The agency that owns the service.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The roles of the parties, in the profile's order.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name() == name)
    }

    /// The items, in the profile's order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Dotted names of all attributes that the procedure may be given: the union over its roles, sorted.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &**field)
    }

    /// Dotted names of the attributes that its items and their conditions read, sorted.
    pub fn item_fields(&self) -> impl Iterator<Item = &str> {
        self.item_fields.iter().map(|field| &**field)
    }

    /// Whether some role is of that kind.
    pub fn has_kind(&self, kind: &str) -> bool {
        self.roles.iter().any(|role| role.kind() == kind)
    }

    /// Its place among the set's procedures in order of their codes.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

/// All profiles of one document, by code.
#[derive(Debug)]
pub struct ProcedureSet {
    procedures: Vec<Procedure>,
    by_code: BTreeMap<Box<str>, usize>,
    registers: BTreeMap<Box<str>, RegisterTitle>,
    hash: [u8; 32],
}

impl ProcedureSet {
    /// Parses the bytes of a control entry (TOML, UTF-8): every rule is parsed and bounded, every name resolved.
    ///
    /// # Errors
    /// [`ProcedureError`], naming the procedure and item; nothing is taken from a document with a fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProcedureError> {
        if bytes.len() > PROCEDURE_BYTES_MAX {
            return Err(ProcedureError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(ProcedureError::Utf8)?;
        let document: Document = toml::from_str(text).map_err(|e| ProcedureError::Toml(Box::new(e)))?;
        if document.version != 1 {
            return Err(ProcedureError::Version { found: document.version });
        }
        if document.procedure.len() > PROCEDURES_MAX {
            return Err(ProcedureError::TooMany);
        }
        let registers: BTreeMap<Box<str>, RegisterTitle> =
            document.register.into_iter().map(|r| (r.code.as_str().into(), r)).collect();
        let mut written = document.procedure;
        written.sort_by(|a, b| a.code.cmp(&b.code));
        let (mut procedures, mut by_code) = (Vec::new(), BTreeMap::new());
        for (index, profile) in written.into_iter().enumerate() {
            let procedure = profile.check(index, &registers)?;
            if by_code.insert(procedure.code.clone(), index).is_some() {
                return Err(ProcedureError::Repeated { procedure: procedure.code });
            }
            procedures.push(procedure);
        }
        Ok(Self { procedures, by_code, registers, hash: *blake3::hash(bytes).as_bytes() })
    }

    /// The profiles that the hub ships.
    pub fn builtin() -> Self {
        Self::parse(BUILTIN_PROCEDURES.as_bytes()).expect("the shipped profiles are checked by a test")
    }

    /// The profile of that code.
    pub fn get(&self, code: &str) -> Option<&Procedure> {
        self.by_code.get(code).map(|&index| &self.procedures[index])
    }

    /// All profiles in order of their codes.
    pub fn iter(&self) -> impl Iterator<Item = &Procedure> {
        self.procedures.iter()
    }

    /// How many profiles there are.
    pub fn len(&self) -> usize {
        self.procedures.len()
    }

    /// Whether there is no profile.
    pub fn is_empty(&self) -> bool {
        self.procedures.is_empty()
    }

    /// The register of that code, if the document lists it.
    pub fn register(&self, code: &str) -> Option<&RegisterTitle> {
        self.registers.get(code)
    }

    /// The BLAKE3 hash of the document's bytes.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Attributes that profiles name and no kind has, as `(procedure, attribute)`. They can never be answered: refuse
    /// a document that has some.
    pub fn unknown_attributes(&self, kinds: &Kinds) -> Vec<(String, String)> {
        let rows = self.procedures.iter().flat_map(|procedure| {
            let unknown = procedure.fields().filter(|field| !kinds.has_field(field));
            unknown.map(|field| (procedure.code().to_owned(), field.to_owned()))
        });
        rows.collect()
    }
}

/// Why a profile document was refused.
#[derive(Debug, Error)]
pub enum ProcedureError {
    /// More than [`PROCEDURE_BYTES_MAX`].
    #[error("the profile document is larger than {PROCEDURE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("the profile document is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// Not the expected TOML.
    #[error("the profile document cannot be read")]
    Toml(#[source] Box<toml::de::Error>),
    /// Written for another version of the hub.
    #[error("the profile document has version {found}; this hub reads version 1")]
    Version {
        /// The version it says.
        found: u32,
    },
    /// More than [`PROCEDURES_MAX`].
    #[error("more than {PROCEDURES_MAX} procedures")]
    TooMany,
    /// Two profiles with one code.
    #[error("procedure {procedure} stands twice")]
    Repeated {
        /// The code.
        procedure: Box<str>,
    },
    /// A profile contradicts itself.
    #[error("procedure {procedure}: {fault}")]
    Profile {
        /// The code.
        procedure: Box<str>,
        /// What is wrong.
        fault: String,
    },
    /// An item contradicts its profile.
    #[error("procedure {procedure}, item {item}: {fault}")]
    Item {
        /// The code.
        procedure: Box<str>,
        /// The item.
        item: Box<str>,
        /// What is wrong.
        fault: String,
    },
    /// An item's condition or rule is refused.
    #[error("procedure {procedure}, item {item}: its expression is refused")]
    Rule {
        /// The code.
        procedure: Box<str>,
        /// The item.
        item: Box<str>,
        /// Why.
        #[source]
        source: RuleError,
    },
}
