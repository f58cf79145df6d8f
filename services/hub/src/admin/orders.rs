//! Orders that wait for a second person.

use std::sync::Arc;

use access::HubAction;
use projection::state::Asked;
use record::Index;
use record::control::{EpochStep, Order};
use tonic::Request;
use wire::admin::{DecideOrderRequest, DecideOrderResponse, ListOrdersResponse, WaitingOrder};

use super::Inner;
use super::error::Error;

pub(super) fn list(inner: &Inner) -> ListOrdersResponse {
    let state = inner.control();
    ListOrdersResponse { waiting: state.asked.iter().map(|(index, asked)| wire_asked(*index, asked)).collect() }
}

pub(super) async fn decide(
    inner: &Arc<Inner>,
    mut request: Request<DecideOrderRequest>,
) -> Result<DecideOrderResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let asked = Index(body.index);
    // Looked up before its turn, so that the right permission is asked for; whether it still waits the log decides.
    let found = inner.control().asked.get(&asked).cloned().ok_or(Error::NoOrder(body.index))?;
    let action = action_of(&found.order).ok_or(Error::NoOrder(body.index))?;
    let turn = inner.turn(&request, action, &body.reason).await?;
    if body.approve && found.actor == turn.actor {
        return Err(Error::OwnApproval);
    }
    let index = inner.order(&turn, Order::Decided { asked, approved: body.approve }).await?;
    Ok(DecideOrderResponse { index: index.0, order: Some(wire_asked(asked, &found)) })
}

/// What whoever approves an order must be permitted; `None` for what is not decided here.
fn action_of(order: &Order) -> Option<HubAction> {
    match order {
        Order::Contract { .. } => Some(HubAction::ContractsRegister),
        Order::Units { .. } => Some(HubAction::UnitsImport),
        Order::Policy { .. } | Order::Procedures { .. } => Some(HubAction::Policies),
        Order::Model { .. }
        | Order::ModelSwitch { .. }
        | Order::RegisterEpoch { .. }
        | Order::Quarantine { .. }
        | Order::FoldApproved { .. } => Some(HubAction::SwitchViews),
        Order::Decision { .. } => Some(HubAction::Review),
        Order::Erasure { .. }
        | Order::LogOpened { .. }
        | Order::Cut { .. }
        | Order::Kinds { .. }
        | Order::Expected { .. }
        | Order::ViewsReplaced { .. }
        | Order::Keys { .. }
        | Order::SigningKey { .. }
        | Order::Writer { .. }
        | Order::Asked { .. }
        | Order::Decided { .. } => None,
    }
}

fn wire_asked(index: Index, asked: &Asked) -> WaitingOrder {
    WaitingOrder {
        index: index.0,
        order: asked.order.name().to_owned(),
        about: about(&asked.order),
        actor: asked.actor.clone(),
        reason: asked.reason.clone(),
        asked_at: Some(wire::timestamp(asked.recorded_at.0)),
    }
}

/// What an order is about, as far as it fits in a line.
fn about(order: &Order) -> String {
    match order {
        Order::Contract { register, .. } => format!("register {register}"),
        Order::Model { epoch, .. } | Order::ModelSwitch { epoch } => format!("epoch {epoch}"),
        Order::RegisterEpoch { register, epoch, step, .. } => {
            let step = match step {
                EpochStep::Opened => "open",
                EpochStep::Committed => "commit",
                EpochStep::Aborted => "abort",
            };
            format!("{step} epoch {} of register {register}", epoch.0)
        }
        Order::Decision { a, b, verdict } => format!("{} {} {}", a.to_hex(), verdict.name(), b.to_hex()),
        Order::FoldApproved { fold_version, .. } => format!("fold version {fold_version}"),
        Order::Erasure { records } => format!("{} records", records.len()),
        Order::Quarantine { partition, index, step, .. } => {
            format!("{} change/{}/{}", step.name(), partition.0, index.0)
        }
        Order::Policy { document } | Order::Procedures { document } | Order::Units { document } => {
            format!("a document of {} bytes", document.len())
        }
        Order::LogOpened { .. }
        | Order::Cut { .. }
        | Order::Kinds { .. }
        | Order::Expected { .. }
        | Order::ViewsReplaced { .. }
        | Order::Keys { .. }
        | Order::SigningKey { .. }
        | Order::Writer { .. }
        | Order::Asked { .. }
        | Order::Decided { .. } => String::new(),
    }
}
