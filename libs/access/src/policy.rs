//! The policy document: Cedar policies and grants, validated whole or refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, RestrictedExpression, Schema, ValidationMode,
    Validator,
};
use serde::Deserialize;
use thiserror::Error;

use crate::grants::{Grant, Grants};
use crate::kinds::Kinds;
use crate::permit::PolicyHash;
use crate::procedure::ProcedureSet;

/// Policies in one document. Cedar's time is linear in them; what differs between callers is grant data.
pub const POLICIES_MAX: usize = 19;

/// Bytes of a policy document.
pub const POLICY_BYTES_MAX: usize = 4 << 20;

/// The document that a new hub starts with: trust domain `hub.test`, for development.
pub const BUILTIN_POLICY: &str = include_str!("../data/policy.toml");

/// What policies may speak of, in Cedar's schema language.
pub const POLICY_SCHEMA: &str = include_str!("../data/schema.cedarschema");

/// Reasons that a forbid may carry, the first of several wins.
pub(crate) const FORBID_REASONS: [&str; 4] =
    ["procedure_not_granted", "kind_not_granted", "field_not_in_procedure", "sensitivity_not_granted"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    policies: String,
    /// Dotted attributes that a search hit shows, masked.
    #[serde(default)]
    search_shows: Vec<String>,
    #[serde(default)]
    grant: Vec<Grant>,
}

/// A policy document that has been checked: parsed, bounded, validated against the schema.
#[derive(Debug)]
pub struct PolicyDocument {
    pub(crate) policies: PolicySet,
    pub(crate) schema: Schema,
    pub(crate) grants: Grants,
    pub(crate) search_shows: Vec<String>,
    hash: PolicyHash,
}

impl PolicyDocument {
    /// Parses the bytes of a control entry (TOML, UTF-8).
    ///
    /// # Errors
    /// [`PolicyError`], naming what to correct; nothing is taken from a document with a fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(PolicyError::Utf8)?;
        let document: Document = toml::from_str(text).map_err(|e| PolicyError::Toml(Box::new(e)))?;
        if document.version != 1 {
            return Err(PolicyError::Version { found: document.version });
        }
        let schema = Schema::from_str(POLICY_SCHEMA).expect("the built-in schema parses, as tests show");
        let policies = parse_policies(&document.policies, &schema)?;
        Ok(Self {
            policies,
            schema,
            grants: Grants::new(document.grant)?,
            search_shows: document.search_shows,
            hash: PolicyHash(*blake3::hash(bytes).as_bytes()),
        })
    }

    /// The hash of the document's bytes.
    pub fn hash(&self) -> &PolicyHash {
        &self.hash
    }

    /// Grants that name a procedure or kind which is not there: `(grant, name)`. Such a name grants nothing until
    /// the profile or contract comes; an operator should be told.
    pub fn dangling(&self, procedures: &ProcedureSet, kinds: &Kinds) -> Vec<(String, String)> {
        let mut found = BTreeSet::new();
        for grant in self.grants.iter() {
            let codes = grant.procedures.iter().filter(|c| *c != "*" && procedures.get(c).is_none());
            let names = grant.kinds.iter().filter(|kind| kinds.get(kind).is_none());
            found.extend(codes.chain(names).map(|name| (grant.id.clone(), name.clone())));
        }
        found.into_iter().collect()
    }
}

fn parse_policies(text: &str, schema: &Schema) -> Result<PolicySet, PolicyError> {
    let policies = PolicySet::from_str(text).map_err(|e| PolicyError::Cedar { reason: e.to_string() })?;
    if policies.num_of_policies() > POLICIES_MAX || policies.num_of_templates() > 0 {
        return Err(PolicyError::TooManyPolicies);
    }
    let unknown = policies
        .policies()
        .filter_map(|policy| policy.annotation("reason"))
        .find(|reason| !FORBID_REASONS.contains(reason));
    if let Some(reason) = unknown {
        return Err(PolicyError::Reason { reason: reason.into() });
    }
    let outcome = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
    if !outcome.validation_passed() {
        let mut reasons: Vec<String> = outcome.validation_errors().map(ToString::to_string).collect();
        reasons.sort();
        return Err(PolicyError::Cedar { reason: reasons.join("; ") });
    }
    Ok(policies)
}

/// Why a policy document was refused.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// More than [`POLICY_BYTES_MAX`].
    #[error("the policy document is larger than {POLICY_BYTES_MAX} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("the policy document is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// Not the expected TOML.
    #[error("the policy document cannot be read")]
    Toml(#[source] Box<toml::de::Error>),
    /// Written for another version of the hub.
    #[error("the policy document has version {found}; this hub reads version 1")]
    Version {
        /// The version it says.
        found: u32,
    },
    /// The policies do not parse, or contradict the schema.
    #[error("the policies are not valid: {reason}")]
    Cedar {
        /// What Cedar says.
        reason: String,
    },
    /// More than [`POLICIES_MAX`], or templates.
    #[error("at most {POLICIES_MAX} policies and no templates: put what differs between callers into grants")]
    TooManyPolicies,
    /// An `@reason` that is not a reason code.
    #[error("@reason(\"{reason}\") is not one of {FORBID_REASONS:?}")]
    Reason {
        /// The annotation.
        reason: Box<str>,
    },
    /// More than [`GRANTS_MAX`](crate::GRANTS_MAX).
    #[error("more than {} grants", crate::GRANTS_MAX)]
    TooManyGrants,
    /// A grant contradicts itself or another.
    #[error("grant {id}: {fault}")]
    Grant {
        /// The grant's id.
        id: Box<str>,
        /// What is wrong.
        fault: &'static str,
    },
    /// The data that the policies decide on does not conform to the schema.
    #[error("the grants do not fit the policy schema: {reason}")]
    Entities {
        /// What Cedar says.
        reason: String,
    },
}

/// The schema's entity types, parsed once: parsing a name costs more than a decision.
static TYPE_NAMES: LazyLock<BTreeMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
    let names = ["Action", "Caller", "Field", "Hub", "Kind", "Listing", "Procedure", "RecordType", "Register", "Role"];
    let parse = |name| EntityTypeName::from_str(name).expect("the schema's type names are identifiers");
    names.into_iter().map(|name| (name, parse(name))).collect()
});

/// An entity's name in Cedar; `type_name` is one of the schema's.
pub(crate) fn uid(type_name: &'static str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(TYPE_NAMES[type_name].clone(), EntityId::new(id))
}

/// A record type's name in Cedar. A register's name has no slash, so that two pairs never share a name.
pub(crate) fn record_type_uid(register: &str, record_type: &str) -> EntityUid {
    uid("RecordType", &format!("{register}/{record_type}"))
}

/// What policies decide on, without the caller.
pub(crate) fn base_entities(
    document: &PolicyDocument,
    procedures: &ProcedureSet,
    kinds: &Kinds,
) -> Result<Entities, PolicyError> {
    let mut entities = vec![bare("Listing", "own"), bare("Listing", "any"), bare("Hub", "hub")];
    for kind in kinds.iter() {
        entities.push(bare("Kind", kind.kind()));
        for (field, class) in kind.fields() {
            let class = RestrictedExpression::new_string(class.name().to_owned());
            entities.push(entity(uid("Field", field), [("class", class)], [uid("Kind", kind.kind())])?);
        }
    }
    for procedure in procedures.iter() {
        let fields = procedure.fields().filter(|field| kinds.has_field(field));
        let fields = uid_set(fields.map(|field| uid("Field", field)));
        entities.push(entity(uid("Procedure", procedure.code()), [("fields", fields)], [])?);
    }
    let roles: BTreeSet<&String> = document.grants.iter().flat_map(|grant| &grant.roles).collect();
    entities.extend(roles.into_iter().map(|role| bare("Role", role)));
    Entities::from_entities(entities, Some(&document.schema)).map_err(entities_error)
}

/// The caller as policies see it.
pub(crate) fn caller_entity(caller: &str, grant: &Grant, procedures: &ProcedureSet) -> Result<Entity, PolicyError> {
    let served = procedures.iter().map(|procedure| procedure.code());
    let served = served.filter(|code| grant.serves_all() || grant.procedures.iter().any(|c| c == code));
    let whole = grant.publish.iter().filter(|publish| publish.record_types.is_none());
    let parts = grant.publish.iter().flat_map(|publish| {
        let types = publish.record_types.iter().flatten();
        types.map(|record_type| record_type_uid(&publish.register, record_type))
    });
    let classes = grant.classes.iter().map(|class| RestrictedExpression::new_string(class.clone()));
    let attributes = [
        ("agency", RestrictedExpression::new_string(grant.agency.clone())),
        ("procedures", uid_set(served.map(|code| uid("Procedure", code)))),
        ("kinds", uid_set(grant.kinds.iter().map(|kind| uid("Kind", kind)))),
        ("classes", RestrictedExpression::new_set(classes)),
        ("registers", uid_set(whole.map(|publish| uid("Register", &publish.register)))),
        ("record_types", uid_set(parts)),
    ];
    entity(uid("Caller", caller), attributes, grant.roles.iter().map(|role| uid("Role", role)))
}

/// A record type with its register, as policies see it.
pub(crate) fn record_type_entities(register: &str, record_type: &str) -> [Entity; 2] {
    let parent = HashSet::from([uid("Register", register)]);
    [bare("Register", register), Entity::new_no_attrs(record_type_uid(register, record_type), parent)]
}

pub(crate) fn entities_error(error: cedar_policy::entities_errors::EntitiesError) -> PolicyError {
    PolicyError::Entities { reason: error.to_string() }
}

fn bare(type_name: &'static str, id: &str) -> Entity {
    Entity::new_no_attrs(uid(type_name, id), HashSet::new())
}

fn entity(
    name: EntityUid,
    attributes: impl IntoIterator<Item = (&'static str, RestrictedExpression)>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, PolicyError> {
    let attributes: HashMap<_, _> = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(name, attributes, parents.into_iter().collect())
        .map_err(|e| PolicyError::Entities { reason: e.to_string() })
}

fn uid_set(uids: impl Iterator<Item = EntityUid>) -> RestrictedExpression {
    RestrictedExpression::new_set(uids.map(RestrictedExpression::new_entity_uid))
}
