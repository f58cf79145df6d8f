//! A synthetic nation as a publisher sends it: for the demo and the measurements.

use nation::{Nation, Operation, PublishedChange};
use projection::units::{Unit, UnitList};
use wire::ingest::Change;
use wire::timestamp;

/// A change as it goes over the wire.
pub(crate) fn wire_change(change: PublishedChange) -> Change {
    let operation = match change.operation {
        Operation::Upsert => wire::ingest::Operation::Upsert,
        Operation::Retract => wire::ingest::Operation::Retract,
    };
    Change {
        record_id: change.record_id,
        version: change.version,
        operation: operation.into(),
        record_type: change.record_type.to_owned(),
        effective_at: Some(timestamp(change.effective_at)),
        registered_at: Some(timestamp(change.registered_at)),
        replaces: change.replaces,
        agency: change.agency,
        legal_basis: change.legal_basis.to_owned(),
        reason: change.reason.to_owned(),
        payload: change.payload.into(),
        traceparent: String::new(),
    }
}

/// The nation's lists of administrative units as a hub takes them at its first start.
pub(crate) fn unit_lists(nation: &Nation) -> Vec<UnitList> {
    let unit = |u: &nation::Unit| Unit {
        code: u.code.to_string(),
        name: u.name.to_string(),
        province: u.province.to_string(),
    };
    let list = |l: nation::UnitListCsv| UnitList {
        units: l.units.iter().map(unit).collect(),
        map: l.map.iter().map(|(old, new)| (old.to_string(), new.to_string())).collect(),
        version: l.version.into(),
        valid_from: l.valid_from.into(),
        previous: l.previous.into(),
    };
    nation.unit_lists().into_iter().map(list).collect()
}
