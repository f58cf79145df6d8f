//! Listing refused changes and driving them again.

use std::sync::Arc;

use access::HubAction;
use event_log::Locator;
use prost::Message as _;
use record::entry::BodyError;
use record::envelope::Refusal;
use record::{Entry, EntryKind, Index, Partition, Position, RegisterEpoch, RegisterName, Stream, Timestamp};
use telemetry::told;
use wire::ingest::{
    Change, ListRejectedRequest, ListRejectedResponse, Position as WirePosition, RedriveResponse, RejectedChange,
    Violation,
};

use crate::batch::{Caller, Tally, carry_out};
use crate::change::{wire_position, wire_time};
use crate::error::Error;
use crate::judge::{Batch, Source};
use crate::limits::{BATCH_CHANGES_MAX, LIST_BYTES_MAX, LIST_DEFAULT, LIST_MAX, REDRIVE_BYTES, REDRIVE_CHUNK};
use crate::shared::Core;

type Place = (Partition, Index);

/// A kept refusal.
struct Kept {
    at: Position,
    change: Change,
    violations: Vec<Violation>,
    principal: String,
    published_at: Timestamp,
    epoch: RegisterEpoch,
    rejected_at: Timestamp,
    bytes: usize,
}

/// Whether the caller may see and drive the register's refused changes: who publishes to it, and operators.
fn authorise(core: &Core, caller: &str, register: &str) -> Result<RegisterName, Error> {
    let access = core.access.load();
    if let Err(refusal) = access.publishes_to(caller, register)
        && access.permit_hub(caller, HubAction::Redrive).is_err()
    {
        return Err(refusal.into());
    }
    if !core.rejected.ready() {
        return Err(Error::Starting);
    }
    RegisterName::try_from(register).map_err(|e| Error::Field { field: "register", description: e.to_string() })
}

/// One page of the open refusals. Reads the log: blocks on the disk.
pub(crate) fn list(core: &Core, caller: &str, request: &ListRejectedRequest) -> Result<ListRejectedResponse, Error> {
    let register = authorise(core, caller, &request.register)?;
    let limit = match request.limit as usize {
        0 => LIST_DEFAULT,
        limit => limit.min(LIST_MAX),
    };
    let after = page(&request.page_token)?;
    let places = core.rejected.after(&register, after, limit);
    let mut out = ListRejectedResponse::default();
    let mut bytes = 0;
    let mut last = None;
    for (place, locator) in &places {
        last = Some(*place);
        let Some(kept) = read(core, *locator)? else { continue };
        bytes += kept.bytes;
        out.changes.push(RejectedChange {
            position: Some(wire_position(kept.at)),
            change: Some(kept.change),
            violations: kept.violations,
            rejected_at: Some(wire_time(kept.rejected_at)),
        });
        if bytes > LIST_BYTES_MAX {
            break;
        }
    }
    let ended = places.len() < limit && last == places.last().map(|(place, _)| *place);
    if let Some((partition, index)) = last.filter(|_| !ended) {
        out.next_page_token = format!("{}.{}", partition.0, index.0);
    }
    Ok(out)
}

fn page(token: &str) -> Result<Option<Place>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token
        .split_once('.')
        .and_then(|(partition, index)| Some((Partition(partition.parse().ok()?), Index(index.parse().ok()?))));
    let wrong = || Error::Field { field: "page_token", description: "send a token of an earlier response".into() };
    parsed.map(Some).ok_or_else(wrong)
}

/// A kept refusal; `None` when its record is erased.
fn read(core: &Core, locator: Locator) -> Result<Option<Kept>, Error> {
    let damaged = |error: &dyn std::error::Error| {
        tracing::error!(error = %told(error), "a kept refusal cannot be read");
        Error::Internal
    };
    let logged = core.log.read(locator).map_err(|e| damaged(&e))?;
    let entry = Entry::decode(&logged.bytes).map_err(|e| damaged(&e))?;
    if entry.header.kind != EntryKind::Rejected {
        tracing::error!(position = %logged.position, "not a kept refusal");
        return Err(Error::Internal);
    }
    let body = match entry.body(&core.secret.keys()) {
        Ok(body) => body,
        Err(BodyError::Erased) => return Ok(None),
        Err(error) => return Err(damaged(&error)),
    };
    let refusal = Refusal::decode(&body).map_err(|e| damaged(&e))?;
    let violations = refusal.reasons.iter().map(|reason| Violation {
        field_path: reason.field_path.into(),
        rule_id: reason.rule_id.into(),
        group: reason.group.into(),
        message: reason.message.into(),
    });
    Ok(Some(Kept {
        at: logged.position,
        change: Change::decode(refusal.received).map_err(|e| damaged(&e))?,
        violations: violations.collect(),
        principal: refusal.principal.into(),
        published_at: refusal.published_at,
        epoch: entry.header.epoch,
        rejected_at: entry.header.recorded_at,
        bytes: logged.bytes.len(),
    }))
}

/// Drives refusals again: those named, or all that are open.
pub(crate) async fn redrive(
    core: &Arc<Core>,
    caller: &Caller,
    register: &str,
    positions: &[WirePosition],
) -> Result<RedriveResponse, Error> {
    let register = authorise(core, &caller.principal, register)?;
    core.check_takes(&register)?;
    if positions.len() > BATCH_CHANGES_MAX {
        let description = format!("at most {BATCH_CHANGES_MAX} positions are taken at once; none names all");
        return Err(Error::Field { field: "positions", description });
    }
    let mut sum = Tally::default();
    if positions.is_empty() {
        let mut after = None;
        loop {
            let chunk = core.rejected.after(&register, after, REDRIVE_CHUNK);
            let Some((last, _)) = chunk.last() else { break };
            after = Some(*last);
            drive(core, caller, &register, chunk, &mut sum).await?;
        }
    } else {
        let named = positions.iter().map(|position| named(core, &register, position));
        let named = named.collect::<Result<Vec<_>, _>>()?;
        for chunk in named.chunks(REDRIVE_CHUNK) {
            drive(core, caller, &register, chunk.to_vec(), &mut sum).await?;
        }
    }
    Ok(RedriveResponse {
        accepted: sum.accepted,
        duplicate: sum.duplicate,
        conflict: sum.conflict,
        still_rejected: sum.rejected,
    })
}

fn named(core: &Core, register: &RegisterName, position: &WirePosition) -> Result<(Place, Locator), Error> {
    let unknown = || {
        let description = "names no open refusal of the register: list them first".into();
        Error::Field { field: "positions", description }
    };
    if position.stream != Stream::Rejected.name() {
        return Err(unknown());
    }
    let partition = Partition(u16::try_from(position.partition).map_err(|_| unknown())?);
    let place = (partition, Index(position.index));
    Ok((place, core.rejected.find(register, place).ok_or_else(unknown)?))
}

async fn drive(
    core: &Arc<Core>,
    caller: &Caller,
    register: &RegisterName,
    chunk: Vec<(Place, Locator)>,
    sum: &mut Tally,
) -> Result<(), Error> {
    let mut rest = chunk.into_iter().peekable();
    while rest.peek().is_some() {
        let place = core.places.wait(&caller.principal).await?;
        let read = tokio::task::spawn_blocking({
            let core = core.clone();
            move || read_some(&core, rest)
        });
        let (kept, left) = read.await.map_err(|error| {
            tracing::error!(%error, "reading refusals ended in a panic");
            Error::Internal
        })??;
        rest = left;
        let same =
            |a: &Kept, b: &Kept| (&a.principal, a.published_at, a.epoch) == (&b.principal, b.published_at, b.epoch);
        let mut kept = kept.into_iter().peekable();
        while let Some(first) = kept.next() {
            let mut together = vec![first];
            while let Some(next) = kept.next_if(|next| same(&together[0], next)) {
                together.push(next);
            }
            let result = carry_out(core, batch_of(register, caller, together), 0).await?;
            let tally = Tally::of(&result);
            sum.accepted += tally.accepted;
            sum.duplicate += tally.duplicate;
            sum.conflict += tally.conflict;
            sum.rejected += tally.rejected;
        }
        drop(place);
    }
    Ok(())
}

type Rest = std::iter::Peekable<std::vec::IntoIter<(Place, Locator)>>;

/// Reads refusals until their bytes are enough for one go.
fn read_some(core: &Core, mut rest: Rest) -> Result<(Vec<Kept>, Rest), Error> {
    let mut out = Vec::new();
    let mut bytes = 0;
    while bytes < REDRIVE_BYTES
        && let Some((_, locator)) = rest.next()
    {
        let Some(kept) = read(core, locator)? else { continue };
        bytes += kept.bytes;
        out.push(kept);
    }
    Ok((out, rest))
}

fn batch_of(register: &RegisterName, caller: &Caller, kept: Vec<Kept>) -> Batch {
    let first = kept.first().expect("at least one refusal is driven");
    Batch {
        register: register.clone(),
        epoch: first.epoch,
        // The statement stays its first publisher's, whoever drives it again.
        principal: first.principal.as_str().into(),
        published_at: first.published_at,
        trace: caller.trace,
        source: Source::Redriven(kept.iter().map(|kept| kept.at).collect()),
        changes: kept.into_iter().map(|kept| kept.change).collect(),
    }
}
