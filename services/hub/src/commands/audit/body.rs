//! What an opened body says, for who reads a bundle.
//!
//! The record is shown by the contract that the entry's header names, whose id is a hash of it. Where this program does not have
//! that contract built in, the record is shown as it was received.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use contract::Contract;
use proof::report::{Disclosed, EntryShown};
use record::{EntryKind, Envelope, Operation};
use serde_json::{Value, json};

use super::check::time;

static CONTRACTS: LazyLock<Vec<Contract>> = LazyLock::new(|| {
    let builtin = contract::builtin().iter();
    builtin.map(|known| Contract::compile(known.descriptor_set).expect("a built-in contract compiles")).collect()
});

/// The body of an entry as JSON; `None` when the bundle does not open it.
pub(super) fn shown(entry: &EntryShown) -> Option<Value> {
    let (body, disclosed) = (&entry.body.as_ref()?.0, entry.disclosed.as_ref()?);
    // What is no envelope is shown as it is: it is proven all the same.
    let envelope = envelope_of(disclosed, body);
    Some(envelope.map_or_else(|| json!({ "bytes": STANDARD.encode(body) }), |envelope| change(disclosed, &envelope)))
}

/// The body of an entry in one line.
pub(super) fn line(entry: &EntryShown) -> Option<String> {
    let shown = shown(entry)?;
    let text = |name: &str| shown[name].as_str().unwrap_or_default();
    if shown["record_id"].is_null() {
        return Some(format!("its body: {}", text("bytes")));
    }
    let said = format!("it says: {} of {} {}", text("operation"), text("record_type"), text("record_id"));
    Some(match (&shown["record"], text("payload")) {
        (Value::Null, "") => said,
        (Value::Null, payload) => format!("{said}, {payload} by contract {}", text("contract")),
        (record, _) => format!("{said} {record}"),
    })
}

fn envelope_of<'b>(disclosed: &Disclosed, body: &'b [u8]) -> Option<Envelope<'b>> {
    let is_change = matches!(disclosed.kind, EntryKind::Upsert | EntryKind::Retract);
    is_change.then(|| Envelope::decode(body).ok()).flatten()
}

fn change(disclosed: &Disclosed, envelope: &Envelope<'_>) -> Value {
    let contract = CONTRACTS.iter().find(|contract| contract.id() == disclosed.contract);
    let record = contract.and_then(|contract| contract.body_to_json(envelope.record_type, envelope.payload).ok());
    let record = record.filter(|_| envelope.operation == Operation::Upsert);
    let mut out = json!({
        "record_id": envelope.record_id.as_str(),
        "record_type": envelope.record_type,
        "operation": match envelope.operation {
            Operation::Upsert => "upsert",
            Operation::Retract => "retract",
        },
        "agency": envelope.agency.as_str(),
        "replaces": envelope.replaces,
        "effective_at": time(envelope.effective_at),
        "registered_at": time(envelope.registered_at),
        "published_at": time(envelope.published_at),
        "published_by": envelope.principal,
        "legal_basis": envelope.legal_basis,
        "reason": envelope.reason,
        "contract": disclosed.contract.to_hex(),
    });
    let (name, value) = match record {
        Some(record) => ("record", record),
        None => ("payload", Value::from(STANDARD.encode(envelope.payload))),
    };
    out[name] = value;
    out
}
