//! The fold's word on changes.

use std::collections::BTreeMap;

use projection::head::{Facts, Head, HeadFinding, Linked, RULE_QUARANTINED, StoredVersion};
use projection::quarantine::Parked;
use record::entry::BodyError;
use record::{Entry, Envelope, Position, Pseudonym, RecordId, RegisterName, Stream};
use telemetry::told;
use view_store::{KeyRange, Table, View};
use wire::ingest::{ChangeKey, ChangeState, ChangeStatus, Violation};

use crate::change::{violation, wire_position};
use crate::error::Error;
use crate::limits::STATUS_KEYS_MAX;
use crate::shared::Core;

/// Parked changes of one record that are looked through.
const PARKED_MAX: usize = 1_000;

/// Reads the heads: blocks on the disk.
pub(crate) fn statuses(core: &Core, caller: &str, keys: Vec<ChangeKey>) -> Result<Vec<ChangeStatus>, Error> {
    if keys.len() > STATUS_KEYS_MAX {
        let description = format!("at most {STATUS_KEYS_MAX} keys are answered at once");
        return Err(Error::Field { field: "keys", description });
    }
    let access = core.access.load();
    let mut registers: Vec<&str> = keys.iter().map(|key| key.register.as_str()).collect();
    registers.sort_unstable();
    registers.dedup();
    for register in registers {
        access.publishes_to(caller, register)?;
    }
    let view = core.views()?.view().map_err(unreadable)?;
    keys.into_iter().map(|key| status(core, &view, key)).collect()
}

fn unreadable(error: view_store::Error) -> Error {
    tracing::error!(error = %told(&error), "the heads cannot be read");
    Error::Views
}

fn status(core: &Core, view: &View, key: ChangeKey) -> Result<ChangeStatus, Error> {
    let register = RegisterName::try_from(key.register.as_str());
    let register = register.map_err(|e| Error::Field { field: "keys.register", description: e.to_string() })?;
    let record = RecordId::try_from(key.record_id.as_str());
    let record = record.map_err(|e| Error::Field { field: "keys.record_id", description: e.to_string() })?;
    let record = core.secret.pseudonym(&register, &record);
    let not_yet = |key| ChangeStatus { key: Some(key), state: ChangeState::NotYetFolded.into(), ..Default::default() };
    if let Some(parked) = quarantined(view, record, key.version)? {
        return Ok(ChangeStatus { key: Some(key), ..parked });
    }
    let Some(row) = view.get(Table::Head, &record.0).map_err(unreadable)? else { return Ok(not_yet(key)) };
    let head = Head::decode(&row).map_err(|error| {
        tracing::error!(error = %told(&error), "a head cannot be decoded");
        Error::Views
    })?;
    let Some(stored) = head.newest(key.version) else { return Ok(not_yet(key)) };
    Ok(ChangeStatus {
        state: state(&head, stored).into(),
        position: Some(wire_position(position(core, record, stored.index))),
        duplicates: stored.duplicates,
        conflicts: stored.row.conflicts,
        findings: findings(core, record, &head)?,
        key: Some(key),
    })
}

/// Whether the version is parked, or waits behind one of its record that is.
fn quarantined(view: &View, record: Pseudonym, version: u64) -> Result<Option<ChangeStatus>, Error> {
    let rows = view.range(Table::Control, KeyRange::Prefix(&Parked::prefix(record)), PARKED_MAX).map_err(unreadable)?;
    let parked = rows.iter().map(|(key, row)| Parked::decode(key, row)).collect::<Result<Vec<_>, _>>();
    let parked = parked.map_err(|error| {
        tracing::error!(error = %told(&error), "a parked change cannot be decoded");
        Error::Views
    })?;
    let Some(own) = parked.iter().find(|parked| parked.version == version) else { return Ok(None) };
    let message = match &own.reason {
        Some(reason) => format!("{reason}: the operator drops it or tries it again"),
        None => {
            "a change of this record before it cannot be applied: the operator drops that or tries it again".to_owned()
        }
    };
    Ok(Some(ChangeStatus {
        state: ChangeState::Parked.into(),
        position: Some(wire_position(own.position)),
        findings: vec![violation("", RULE_QUARANTINED, "bad_format", message)],
        ..Default::default()
    }))
}

fn state(head: &Head, stored: &StoredVersion) -> ChangeState {
    let reads = || head.linkage_version() == Some(stored);
    if matches!(head.linked, Linked::Waiting { .. }) && reads() {
        ChangeState::Parked
    } else if head.ever_in_force(stored) {
        ChangeState::Applied
    } else {
        ChangeState::Superseded
    }
}

fn findings(core: &Core, record: Pseudonym, head: &Head) -> Result<Vec<Violation>, Error> {
    let mut out = Vec::new();
    if matches!(head.linked, Linked::Unreadable { .. }) {
        let message = "the version in force cannot be read by its contract: publish it again";
        out.push(violation("", projection::head::RULE_UNREADABLE, "bad_format", message));
    }
    if let Some(facts) = head.facts().filter(|facts| !facts.findings.is_empty()) {
        let messages = messages(core, record, head, facts)?;
        out.extend(facts.findings.iter().map(|f| {
            let message = messages.get(&(f.field.as_str(), f.rule.as_str())).map_or("", String::as_str);
            violation(&f.field, &f.rule, &f.group, message)
        }));
    }
    Ok(out)
}

/// What the contract says of each finding, by field and rule. A head keeps no texts, so the version is judged once more, by the
/// contract and the clock that it was judged by.
fn messages<'f>(
    core: &Core,
    record: Pseudonym,
    head: &Head,
    facts: &'f Facts,
) -> Result<BTreeMap<(&'f str, &'f str), String>, Error> {
    let (epoch, version) = facts.version;
    let stored = head.version(epoch, version);
    let known = stored.and_then(|stored| Some((stored, core.control.load().by_id(stored.row.contract)?.clone())));
    let Some((stored, contract)) = known else { return Ok(BTreeMap::new()) };
    let logged = core.log.read_position(position(core, record, stored.index)).map_err(|error| {
        tracing::error!(%error, "a change that is folded cannot be read");
        Error::Internal
    })?;
    let entry = Entry::decode(&logged.bytes).map_err(unsound)?;
    let body = match entry.body(&core.secret.keys()) {
        Ok(body) => body,
        Err(BodyError::Erased) => return Ok(BTreeMap::new()),
        Err(error) => return Err(unsound(error)),
    };
    let envelope = Envelope::decode(&body).map_err(unsound)?;
    let Ok(record_type) = contract.record_type(&facts.record_type) else { return Ok(BTreeMap::new()) };
    let judged = record_type.judge(envelope.payload, entry.header.recorded_at.0);
    let mut said: BTreeMap<(String, String), String> =
        judged.soft.into_iter().map(|v| ((v.field_path, v.rule_id), v.message)).collect();
    let text = |f: &'f HeadFinding| {
        let message = said.remove(&(f.field.clone(), f.rule.clone()))?;
        Some(((f.field.as_str(), f.rule.as_str()), message))
    };
    Ok(facts.findings.iter().filter_map(text).collect())
}

fn unsound(error: impl std::error::Error) -> Error {
    tracing::error!(%error, "a change that is folded cannot be decoded");
    Error::Internal
}

fn position(core: &Core, record: Pseudonym, index: record::Index) -> Position {
    Position { stream: Stream::Change, partition: record.partition(core.partitions.change), index }
}
