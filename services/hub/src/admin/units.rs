//! Dated lists of administrative units.

use std::sync::Arc;

use access::HubAction;
use projection::units::UnitList;
use record::control::Order;
use tonic::Request;
use wire::admin::{ImportUnitsRequest, ImportUnitsResponse, ListUnitsResponse, UnitList as WireList};

use super::error::Error;
use super::{Inner, on_a_thread};

pub(super) async fn import(
    inner: &Arc<Inner>,
    mut request: Request<ImportUnitsRequest>,
) -> Result<ImportUnitsResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::UnitsImport, &body.reason).await?;
    let state = inner.control();
    let (list, document, known) = on_a_thread(move || {
        let list = UnitList::decode(&body.document)?;
        let known = state.units.list(&list.version) == Some(&list);
        state.units.clone().add(state.end, list.clone())?;
        Ok((list, body.document, known))
    })
    .await?;
    if !known {
        inner.order(&turn, Order::Units { document }).await?;
    }
    Ok(ImportUnitsResponse { list: Some(wire_list(&list)) })
}

pub(super) fn list(inner: &Inner) -> ListUnitsResponse {
    ListUnitsResponse { lists: inner.control().units.lists().into_iter().map(wire_list).collect() }
}

fn wire_list(list: &UnitList) -> WireList {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (mapped, split) = list.mapped_and_split();
    WireList {
        version: list.version.clone(),
        valid_from: list.valid_from.clone(),
        units: count(list.units.len()),
        mapped: count(mapped),
        split: count(split),
    }
}
