//! A matching entry as the answer shows it.

use std::sync::Arc;

use contract::Contract;
use event_log::Logged;
use projection::state::ControlState;
use record::access::{Access, Decision};
use record::control::{Control, Order};
use record::envelope::Refusal;
use record::{Entry, EntryKind, Envelope, Pseudonym};
use wire::audit::{ReplayRequest, ReplayedAccess, ReplayedChange, ReplayedControl, ReplayedEntry, ReplayedRefusal};

use super::filter::Found;
use crate::prove::hash_of;
use crate::service::{Inner, wire_time};

/// Makes entries of the answer.
pub(super) struct Shower {
    with_bytes: bool,
    with_records: bool,
    control: Arc<ControlState>,
}

impl Shower {
    pub(super) fn new(inner: &Inner, request: &ReplayRequest) -> Self {
        Self {
            with_bytes: request.with_bytes,
            with_records: request.with_records,
            control: inner.deps.control.load_full(),
        }
    }

    pub(super) fn show(&self, logged: &Logged, found: Found<'_>) -> ReplayedEntry {
        let kind = match &found {
            Found::Change(entry, _) if entry.header.kind == EntryKind::Retract => "retract",
            Found::Change(..) => "upsert",
            Found::Control(_) => "control",
            Found::Access(_) => "access",
            Found::Refusal(_) => "rejected",
            Found::Closed(_) => "refusal_closed",
            Found::Unread(_) => "",
        };
        let mut out = ReplayedEntry {
            position: logged.position.to_string(),
            appended_at: Some(wire_time(logged.appended_at)),
            hash: hash_of(&logged.bytes),
            kind: kind.to_owned(),
            bytes: if self.with_bytes { logged.bytes.to_vec() } else { Vec::new() },
            ..ReplayedEntry::default()
        };
        match found {
            Found::Change(entry, envelope) => {
                let (change, unread) = self.change(&entry, &envelope);
                (out.change, out.unread) = (Some(change), unread);
            }
            Found::Control(control) => out.control = Some(order(control)),
            Found::Access(batch) => out.accesses = batch.accesses.into_iter().map(access).collect(),
            Found::Refusal(refusal) => out.refusal = Some(refused(&refusal)),
            Found::Closed(closed) => {
                out.refusal =
                    Some(ReplayedRefusal { published_by: closed.principal.to_owned(), ..ReplayedRefusal::default() });
            }
            Found::Unread(why) => out.unread = why.to_owned(),
        }
        out
    }

    fn change(&self, entry: &Entry<'_>, envelope: &Envelope<'_>) -> (ReplayedChange, String) {
        let header = &entry.header;
        let shows = self.with_records && header.kind == EntryKind::Upsert;
        let (record, unread) = match shows.then(|| record_of(self.control.by_id(header.contract), envelope)) {
            None => Default::default(),
            Some(Ok(record)) => (record, String::new()),
            Some(Err(why)) => (String::new(), why),
        };
        let change = ReplayedChange {
            register: header.register.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            record_id: envelope.record_id.as_str().to_owned(),
            pseudonym: header.record.to_hex(),
            version: header.version,
            record_type: envelope.record_type.to_owned(),
            agency: envelope.agency.as_str().to_owned(),
            effective_at: Some(wire_time(envelope.effective_at)),
            registered_at: Some(wire_time(envelope.registered_at)),
            published_at: Some(wire_time(envelope.published_at)),
            replaces: envelope.replaces,
            legal_basis: envelope.legal_basis.to_owned(),
            reason: envelope.reason.to_owned(),
            published_by: envelope.principal.to_owned(),
            record,
        };
        (change, unread)
    }
}

fn record_of(contract: Option<&Arc<Contract>>, envelope: &Envelope<'_>) -> Result<String, String> {
    let contract = contract.ok_or("its contract is not known")?;
    let json = contract.body_to_json(envelope.record_type, envelope.payload).map_err(|error| error.to_string())?;
    Ok(json.to_string())
}

fn order(control: Control) -> ReplayedControl {
    let (cut_at, cut_ends) = match &control.order {
        Order::Cut { at, ends } => {
            let end = |(s, p, end): (record::Stream, record::Partition, record::Index)| {
                (ledger::tick::tree_name(s, p), end.0)
            };
            (Some(wire_time(*at)), ends.iter().map(end).collect())
        }
        _ => Default::default(),
    };
    ReplayedControl {
        order: control.order.name().to_owned(),
        actor: control.actor,
        reason: control.reason,
        cut_at,
        cut_ends,
    }
}

fn access(access: Access) -> ReplayedAccess {
    let (decision, refusal) = match access.decision {
        Decision::Answered { .. } => ("answered", String::new()),
        Decision::Refused { code } => ("refused", code),
        Decision::NotFound => ("not_found", String::new()),
        Decision::Ambiguous => ("ambiguous", String::new()),
    };
    ReplayedAccess {
        access_id: Pseudonym(access.id).to_hex(),
        at: Some(wire_time(access.at)),
        action: access.action.name().to_owned(),
        caller: access.caller,
        procedure: access.procedure,
        case_number: access.case,
        records: access.records.iter().map(Pseudonym::to_hex).collect(),
        fields: access.fields,
        decision: decision.to_owned(),
        refusal,
    }
}

fn refused(refusal: &Refusal<'_>) -> ReplayedRefusal {
    let reason = |r: &record::envelope::RefusalReason<'_>| match r.field_path {
        "" => format!("{}: {}", r.rule_id, r.message),
        field => format!("{field}: {}: {}", r.rule_id, r.message),
    };
    ReplayedRefusal {
        published_by: refusal.principal.to_owned(),
        published_at: Some(wire_time(refusal.published_at)),
        reasons: refusal.reasons.iter().map(reason).collect(),
    }
}
