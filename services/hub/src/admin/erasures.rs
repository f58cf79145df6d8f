//! Erasing records, with a second person where the configuration wants one; the keys' state and rotation.

use std::sync::Arc;

use access::HubAction;
use event_log::Locator;
use projection::head::Head;
use projection::state::Asked;
use record::control::Order;
use record::keys::address;
use record::{BodyCodec, Entry, Index, Pseudonym, RecordId, RegisterName};
use tonic::Request;
use view_store::{KeyRange, Table};
use views::fold::FoldError;
use wire::admin::{
    DecideErasureRequest, EraseRequest, Erased, GetKeysRequest, Keys, ListErasuresRequest, ListErasuresResponse,
    RotateKeysRequest, WaitingErasure,
};

use super::error::Error;
use super::{Inner, on_a_thread};

/// Most records of one command.
const RECORDS_MAX: usize = 10_000;

/// What is known of records that are to be erased.
struct Looked {
    records: Vec<Pseudonym>,
    /// Entries of theirs that are stored plain: erasing hides these and does not remove them.
    plain: u64,
}

pub(super) async fn erase(inner: &Arc<Inner>, mut request: Request<EraseRequest>) -> Result<Erased, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::Erase, &body.reason).await?;
    let at = Arc::clone(inner);
    let Looked { records, plain } = on_a_thread(move || look(&at, &body)).await?;
    let mut answer = Erased { records: count(records.len()), plain_entries: plain, ..Erased::default() };
    if inner.second_person.erasures {
        let asked = Order::Asked { order: Box::new(Order::Erasure { records }) };
        let index = inner.order(&turn, asked).await?;
        (answer.index, answer.waits) = (index.0, true);
        return Ok(answer);
    }
    answer.index = inner.order(&turn, Order::Erasure { records: records.clone() }).await?.0;
    finish(inner, records, answer).await
}

pub(super) async fn decide(inner: &Arc<Inner>, mut request: Request<DecideErasureRequest>) -> Result<Erased, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::ApproveErasure, &body.reason).await?;
    let asked = Index(body.index);
    let found = inner.control().asked.get(&asked).cloned();
    let found = found.ok_or(Error::NothingAsked(body.index))?;
    let Order::Erasure { records } = found.order else { return Err(Error::NothingAsked(body.index)) };
    if body.approve && found.actor == turn.actor {
        return Err(Error::OwnApproval);
    }
    let index = inner.order(&turn, Order::Decided { asked, approved: body.approve }).await?;
    let answer = Erased { index: index.0, records: count(records.len()), ..Erased::default() };
    if !body.approve {
        return Ok(Erased { records: 0, ..answer });
    }
    finish(inner, records, answer).await
}

async fn finish(inner: &Arc<Inner>, records: Vec<Pseudonym>, answer: Erased) -> Result<Erased, Error> {
    // A verification reads one state of the views to its end, and what it reads cannot be compacted away meanwhile.
    let _quiet = inner.verification.acquire().await.map_err(|_| Error::Stopping)?;
    let eraser = inner.eraser.clone();
    let done = on_a_thread(move || Ok(eraser.finish(&records)?)).await?;
    tracing::info!(records = answer.records, keys = done.keys, purged = done.purged, "records were erased");
    Ok(Erased { keys_destroyed: count(done.keys), purged: done.purged, ..answer })
}

pub(super) async fn list(
    inner: &Arc<Inner>,
    request: Request<ListErasuresRequest>,
) -> Result<ListErasuresResponse, Error> {
    inner.permit(&request, HubAction::ApproveErasure)?;
    let state = inner.control();
    let waiting = state.asked.iter().filter_map(|(index, asked)| wire_asked(*index, asked)).collect();
    Ok(ListErasuresResponse { waiting, erased: state.erased.len() as u64 })
}

pub(super) async fn keys(inner: &Arc<Inner>, request: Request<GetKeysRequest>) -> Result<Keys, Error> {
    inner.permit(&request, HubAction::Keys)?;
    told(inner, 0)
}

pub(super) async fn rotate(inner: &Arc<Inner>, mut request: Request<RotateKeysRequest>) -> Result<Keys, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::Keys, &body.reason).await?;
    let eraser = inner.eraser.clone();
    let status = on_a_thread(move || Ok(eraser.rotate()?)).await?;
    let index = inner.order(&turn, Order::Keys { ring: status.ring.0, wrapping: status.wrapping.0 }).await?;
    told(inner, index.0)
}

fn told(inner: &Inner, index: u64) -> Result<Keys, Error> {
    let (status, wrapping) = inner.eraser.status()?;
    Ok(Keys {
        ring: Pseudonym(status.ring.0).to_hex(),
        wrapping: wrapping.to_owned(),
        wrapping_key: status.wrapping.to_hex(),
        seeds: status.seeds as u64,
        bytes: status.bytes,
        generation: status.generation,
        erased: inner.control().erased.len() as u64,
        index,
    })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn wire_asked(index: Index, asked: &Asked) -> Option<WaitingErasure> {
    let Order::Erasure { records } = &asked.order else { return None };
    Some(WaitingErasure {
        index: index.0,
        actor: asked.actor.clone(),
        reason: asked.reason.clone(),
        asked_at: Some(wire::timestamp(asked.recorded_at.0)),
        records: records.iter().map(Pseudonym::to_hex).collect(),
    })
}

/// Names the records and looks at what there is of each.
fn look(inner: &Inner, request: &EraseRequest) -> Result<Looked, Error> {
    if request.records.is_empty() || request.records.len() > RECORDS_MAX {
        return Err(Error::RecordCount(RECORDS_MAX));
    }
    let view = inner.handle.reader.view().map_err(FoldError::from)?;
    let mut looked = Looked { records: Vec::with_capacity(request.records.len()), plain: 0 };
    let erased = inner.control().erased.clone();
    for (at, named) in request.records.iter().enumerate() {
        let register =
            RegisterName::try_from(named.register.as_str()).map_err(|_| Error::RegisterName(named.register.clone()))?;
        // Which rule an id breaks does not matter: the register has no such record.
        let id = RecordId::try_from(named.record_id.as_str()).map_err(|_| Error::UnknownRecord(at))?;
        let record = inner.handle.secret.pseudonym(&register, &id);
        if erased.contains(&record) {
            return Err(Error::ErasedAlready(at));
        }
        let head = view.get(Table::Head, &record.0).map_err(FoldError::from)?.ok_or(Error::UnknownRecord(at))?;
        let head = Head::decode(&head).map_err(FoldError::from)?;
        let prefix = address(record).to_be_bytes();
        let same_key = view.range(Table::Head, KeyRange::Prefix(&prefix), 2).map_err(FoldError::from)?;
        if same_key.len() > 1 {
            return Err(Error::SharedKey(at));
        }
        for version in &head.versions {
            let logged = inner.handle.log.read(Locator(version.locator)).map_err(|error| {
                tracing::error!(%error, "an entry of a record that is to be erased cannot be read");
                Error::Internal
            })?;
            let plain = Entry::decode(&logged.bytes).is_ok_and(|entry| entry.header.codec == BodyCodec::SaltedPlain);
            looked.plain += u64::from(plain);
        }
        looked.records.push(record);
    }
    looked.records.sort_unstable();
    looked.records.dedup();
    Ok(looked)
}
