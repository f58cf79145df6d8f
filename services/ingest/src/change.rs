//! One received change against the bounds that hold for every register.

use prost_types::Timestamp as WireTime;
use record::envelope::TraceContext;
use record::{AgencyId, Envelope, Operation, RecordId, Timestamp, Version};
use wire::ingest::{Change, Operation as WireOperation, Violation};

use crate::limits::{LEGAL_BASIS_BYTES_MAX, REASON_BYTES_MAX, TIME_MAX, TIME_MIN};

/// A violation that the hub itself finds.
pub(crate) fn violation(field: &str, rule: &str, group: &str, message: impl Into<String>) -> Violation {
    Violation { field_path: field.into(), rule_id: rule.into(), group: group.into(), message: message.into() }
}

/// A violation of a contract, as the API shows it.
pub(crate) fn of_contract(found: contract::Violation) -> Violation {
    let contract::Violation { field_path, rule_id, group, message, severity: _ } = found;
    Violation { field_path, rule_id, group: group.name().into(), message }
}

/// What the batch says for all of its changes.
pub(crate) struct Delivery<'a> {
    pub(crate) principal: &'a str,
    pub(crate) published_at: Timestamp,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) payload_bytes_max: usize,
}

/// A change whose frame is sound; its payload is not judged yet.
pub(crate) struct Framed<'a> {
    pub(crate) version: Version,
    pub(crate) envelope: Envelope<'a>,
}

/// Checks everything of a change but its payload's contract. `agency` is the register's own.
pub(crate) fn frame<'a>(
    change: &'a Change,
    delivery: &Delivery<'a>,
    agency: &str,
) -> Result<Framed<'a>, Vec<Violation>> {
    let mut found = Vec::new();
    let record_id = RecordId::try_from(change.record_id.as_str())
        .map_err(|e| found.push(violation("record_id", "hub.record_id", "bad_format", e.to_string())));
    let version = Version::try_from(change.version)
        .map_err(|e| found.push(violation("version", "hub.version", "out_of_range", e.to_string())));
    let operation = operation(change, delivery.payload_bytes_max, &mut found);
    let effective_at = time(change.effective_at.as_ref(), "effective_at", "hub.effective_at", &mut found);
    let registered_at = time(change.registered_at.as_ref(), "registered_at", "hub.registered_at", &mut found);
    let agency = if change.agency.is_empty() { agency } else { change.agency.as_str() };
    let agency = AgencyId::try_from(agency)
        .map_err(|e| found.push(violation("agency", "hub.agency", "bad_format", e.to_string())));
    if change.replaces != 0 && change.replaces >= change.version {
        let message = "the version that is replaced must be lower than the change's own";
        found.push(violation("replaces", "hub.replaces", "contradiction", message));
    }
    text(&change.legal_basis, LEGAL_BASIS_BYTES_MAX, "legal_basis", &mut found);
    text(&change.reason, REASON_BYTES_MAX, "reason", &mut found);
    match (record_id, version, operation, effective_at, registered_at, agency) {
        (Ok(record_id), Ok(version), Some(operation), Some(effective_at), Some(registered_at), Ok(agency))
            if found.is_empty() =>
        {
            let envelope = Envelope {
                record_id,
                record_type: &change.record_type,
                operation,
                agency,
                replaces: change.replaces,
                effective_at,
                registered_at,
                legal_basis: &change.legal_basis,
                reason: &change.reason,
                payload: &change.payload,
                published_at: delivery.published_at,
                principal: delivery.principal,
                // A malformed trace context must not refuse a change.
                trace: TraceContext::parse(&change.traceparent).or(delivery.trace),
            };
            Ok(Framed { version, envelope })
        }
        _ => Err(found),
    }
}

fn operation(change: &Change, payload_bytes_max: usize, found: &mut Vec<Violation>) -> Option<Operation> {
    let bytes = change.payload.len();
    match WireOperation::try_from(change.operation) {
        Ok(WireOperation::Upsert) if bytes == 0 => {
            let message = "an upsert states the whole record: send its serialised message";
            found.push(violation("payload", "hub.payload_empty", "missing", message));
            None
        }
        Ok(WireOperation::Upsert) if bytes > payload_bytes_max => {
            let message = format!("the record has {bytes} bytes, at most {payload_bytes_max} are taken");
            found.push(violation("payload", "hub.payload_bytes", "out_of_range", message));
            None
        }
        Ok(WireOperation::Upsert) => Some(Operation::Upsert),
        Ok(WireOperation::Retract) if bytes > 0 => {
            let message = "a retraction carries no payload";
            found.push(violation("payload", "hub.retract_payload", "contradiction", message));
            None
        }
        Ok(WireOperation::Retract) => Some(Operation::Retract),
        Ok(WireOperation::Unspecified) | Err(_) => {
            let message = "say OPERATION_UPSERT or OPERATION_RETRACT";
            found.push(violation("operation", "hub.operation", "missing", message));
            None
        }
    }
}

fn text(value: &str, bytes_max: usize, field: &str, found: &mut Vec<Violation>) {
    if value.len() > bytes_max {
        let message = format!("at most {bytes_max} bytes are taken");
        found.push(violation(field, "hub.text_bytes", "out_of_range", message));
    }
}

fn time(
    at: Option<&WireTime>,
    field: &'static str,
    rule: &'static str,
    found: &mut Vec<Violation>,
) -> Option<Timestamp> {
    let Some(at) = at else {
        found.push(violation(field, rule, "missing", "the time is mandatory"));
        return None;
    };
    let micros = micros(at).filter(|micros| (TIME_MIN..TIME_MAX).contains(micros));
    if micros.is_none() {
        found.push(violation(field, rule, "out_of_range", "a time lies from the year 1800 to the year 2199"));
    }
    micros.map(Timestamp)
}

/// Microseconds of a well-formed time.
pub(crate) fn micros(at: &WireTime) -> Option<i64> {
    let nanos = (0..1_000_000_000).contains(&at.nanos).then_some(i64::from(at.nanos))?;
    at.seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)
}

/// The API's form of a time.
pub(crate) fn wire_time(at: Timestamp) -> WireTime {
    wire::timestamp(at.0)
}

/// The API's form of a position.
pub(crate) fn wire_position(at: record::Position) -> wire::ingest::Position {
    wire::ingest::Position { stream: at.stream.name().into(), partition: u32::from(at.partition.0), index: at.index.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_both_ways_also_before_the_epoch() {
        for micros_in in [0, 1, -1, -1_000_001, TIME_MIN, TIME_MAX - 1] {
            assert_eq!(micros(&wire_time(Timestamp(micros_in))), Some(micros_in));
        }
        assert_eq!(micros(&WireTime { seconds: 0, nanos: -1 }), None);
        assert_eq!(micros(&WireTime { seconds: i64::MAX, nanos: 0 }), None);
    }
}
