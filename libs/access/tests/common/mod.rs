//! One fixture for all tests: the kinds as the workspace's proto files declare them, the built-in documents.
#![allow(dead_code)]

use std::path::Path;

use access::{Access, Kinds, PolicyDocument, ProcedureSet, Query, Request, Sensitivity};

pub const NATIONAL: &str = "spiffe://hub.test/portal/national";
pub const COMMUNE: &str = "spiffe://hub.test/portal/commune-07954";
pub const CIVIL: &str = "spiffe://hub.test/register/civil";
pub const OPS: &str = "spiffe://hub.test/operator/ops";
pub const AUDITOR: &str = "spiffe://hub.test/auditor/main";
pub const MARRIAGE: &str = "1.000894";
pub const TRANSFER: &str = "1.115668";

/// `(kind, attribute, class)` of a kind's proto file.
pub fn attributes_of(kind: &str) -> Vec<(String, String, Sensitivity)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../proto/hub/kind/v1/{kind}.proto"));
    let text = std::fs::read_to_string(&path).expect("the workspace has the kind's proto file");
    let mut rows = Vec::new();
    let mut pending = None;
    for line in text.lines().map(str::trim) {
        if let Some((declaration, _)) = line.split_once("[(hub.contract.v1.attribute)") {
            let name = declaration.split('=').next().and_then(|left| left.split_whitespace().last());
            pending = name.map(str::to_owned);
        }
        if let Some(class) = line.strip_prefix("sensitivity: ") {
            let class = Sensitivity::from_name(class).expect("a class of the contract's enum");
            rows.push((kind.to_owned(), pending.take().expect("an attribute before its class"), class));
        }
    }
    assert!(rows.len() > 10, "{} has attributes", path.display());
    rows
}

pub fn kinds() -> Kinds {
    let rows: Vec<_> = ["person", "parcel"].into_iter().flat_map(attributes_of).collect();
    Kinds::from_rows(rows.iter().map(|(kind, attribute, class)| (kind.as_str(), attribute.as_str(), *class)))
        .expect("the workspace's kinds are well formed")
}

pub fn access_with(policy: &str) -> Access {
    let document = PolicyDocument::parse(policy.as_bytes()).expect("a valid policy document");
    Access::new(document, ProcedureSet::builtin(), kinds()).expect("grants fit the schema")
}

pub fn access() -> Access {
    access_with(access::BUILTIN_POLICY)
}

pub fn read<'a>(caller: &'a str, procedure: &'a str, kind: &'a str, fields: &'a [&'a str]) -> Request<'a> {
    Request { query: Query::GetSubject, caller, procedure, case: "H29-2026-000123", kind, fields }
}
