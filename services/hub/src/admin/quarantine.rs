//! Changes that the fold cannot apply: listed, tried again, dropped.

use std::sync::Arc;

use access::HubAction;
use record::control::{Order, QuarantineStep};
use record::{Position, Pseudonym};
use tonic::Request;
use views::fold::{Parked, parked, parked_of};
use wire::admin::{
    DropQuarantinedRequest, DropQuarantinedResponse, ListQuarantineRequest, ListQuarantineResponse, ParkedChange,
    RetryQuarantinedRequest, RetryQuarantinedResponse,
};

use super::error::Error;
use super::{Inner, on_a_thread};

const LIST_MAX: usize = 1_000;
const LIST_DEFAULT: usize = 100;
/// Parked changes of one record that are counted.
const COUNT_MAX: usize = 100_000;

pub(super) async fn list(
    inner: &Arc<Inner>,
    request: Request<ListQuarantineRequest>,
) -> Result<ListQuarantineResponse, Error> {
    inner.permit(&request, HubAction::VerifyViews)?;
    let ListQuarantineRequest { limit, page_token } = request.into_inner();
    let limit = if limit == 0 { LIST_DEFAULT } else { (limit as usize).min(LIST_MAX) };
    let after = (!page_token.is_empty()).then(|| page(&page_token)).transpose()?;
    let handle = inner.handle.clone();
    let (changes, records) = on_a_thread(move || {
        let (view, _) = handle.view()?;
        Ok((parked(&view, after.as_ref(), limit)?, handle.status.borrow().quarantined.records))
    })
    .await?;
    let more = changes.len() == limit;
    let next = changes.last().filter(|_| more).map(|last| format!("{} {}", last.record.to_hex(), last.position));
    Ok(ListQuarantineResponse {
        changes: changes.into_iter().map(told).collect(),
        next_page_token: next.unwrap_or_default(),
        records,
    })
}

/// The change that a page ended with, as far as its key goes.
fn page(token: &str) -> Result<Parked, Error> {
    let (record, position) = token.split_once(' ').ok_or(Error::PageToken)?;
    let position = position.parse().map_err(|_| Error::PageToken)?;
    let record = pseudonym(record).ok_or(Error::PageToken)?;
    let (register, recorded_at, reason) = (None, None, None);
    Ok(Parked { record, position, locator: 0, register, epoch: Default::default(), version: 0, recorded_at, reason })
}

fn pseudonym(hex: &str) -> Option<Pseudonym> {
    let digits = (hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(hex)?;
    u128::from_str_radix(digits, 16).ok().map(|number| Pseudonym(number.to_be_bytes()))
}

fn told(parked: Parked) -> ParkedChange {
    let time = |at: i64| {
        let nanos = i32::try_from(at.rem_euclid(1_000_000) * 1_000).expect("less than a second");
        prost_types::Timestamp { seconds: at.div_euclid(1_000_000), nanos }
    };
    ParkedChange {
        record: parked.record.to_hex(),
        register: parked.register.map(|register| register.as_str().to_owned()).unwrap_or_default(),
        position: parked.position.to_string(),
        register_epoch: parked.epoch.0,
        version: parked.version,
        recorded_at: parked.recorded_at.map(|at| time(at.0)),
        reason: parked.reason.unwrap_or_default(),
    }
}

/// What is parked of a record.
async fn of_record(inner: &Arc<Inner>, record: Pseudonym) -> Result<Vec<Parked>, Error> {
    let handle = inner.handle.clone();
    on_a_thread(move || Ok(parked_of(&handle.view()?.0, record, COUNT_MAX)?)).await
}

/// Writes an order about a parked change and tells what came of it: its index, changes that were applied, changes that are parked.
async fn order(
    inner: &Arc<Inner>,
    turn: &super::Turn,
    change: &Parked,
    before: usize,
    step: QuarantineStep,
) -> Result<(u64, u64, u64), Error> {
    let Position { partition, index, .. } = change.position;
    let order = Order::Quarantine { record: change.record, partition, index, step };
    let index = inner.order(turn, order).await?;
    let after = of_record(inner, change.record).await?.len();
    let gone = usize::from(step == QuarantineStep::Drop && after < before);
    Ok((index.0, before.saturating_sub(after + gone) as u64, after as u64))
}

pub(super) async fn retry(
    inner: &Arc<Inner>,
    mut request: Request<RetryQuarantinedRequest>,
) -> Result<RetryQuarantinedResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let record = pseudonym(&body.record).ok_or(Error::NotParked)?;
    let parked = of_record(inner, record).await?;
    let first = parked.first().ok_or(Error::NotParked)?;
    let (index, applied, parked) = order(inner, &turn, first, parked.len(), QuarantineStep::Retry).await?;
    Ok(RetryQuarantinedResponse { index, applied, parked })
}

pub(super) async fn drop(
    inner: &Arc<Inner>,
    mut request: Request<DropQuarantinedRequest>,
) -> Result<DropQuarantinedResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let record = pseudonym(&body.record).ok_or(Error::NotParked)?;
    let position: Position = body.position.parse().map_err(|_| Error::NotParked)?;
    let parked = of_record(inner, record).await?;
    let change = parked.iter().find(|parked| parked.position == position && parked.reason.is_some());
    let change = change.ok_or(Error::NotParked)?;
    let (index, applied, parked) = order(inner, &turn, change, parked.len(), QuarantineStep::Drop).await?;
    Ok(DropQuarantinedResponse { index, applied, parked })
}
