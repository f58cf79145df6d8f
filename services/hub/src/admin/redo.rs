//! Redoing a register: a complete re-statement that takes the place of what was stated before, in one step.

use std::sync::Arc;

use access::HubAction;
use projection::state::ControlState;
use record::control::{EpochStep, Order};
use record::{Positions, RegisterEpoch, RegisterName, Stream};
use tonic::Request;
use views::difference;
use views::prepared::PrepareError;
use wire::admin::{
    AbortRedoRequest, AbortRedoResponse, CommitRedoRequest, CommitRedoResponse, OpenRedoRequest, OpenRedoResponse,
};

use super::error::Error;
use super::views::{counts, register_name};
use super::{Inner, on_a_thread};

/// Percent of a register's records that may go without being confirmed.
const REMOVED_SHARE_MAX: u64 = 5;

/// Opens a re-statement.
pub(super) async fn open(inner: &Arc<Inner>, mut request: Request<OpenRedoRequest>) -> Result<OpenRedoResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let register = register_name(&body.register)?;
    let epoch = inner.control().next_epoch(&register);
    order(inner, &turn, register, epoch, EpochStep::Opened).await?;
    Ok(OpenRedoResponse { epoch: epoch.0 })
}

async fn order(
    inner: &Inner,
    turn: &super::Turn,
    register: RegisterName,
    epoch: RegisterEpoch,
    step: EpochStep,
) -> Result<(), Error> {
    let ends = inner.handle.log.ends();
    let cut: Positions = ends.iter().filter(|(stream, ..)| *stream == Stream::Change).collect();
    inner.order(turn, Order::RegisterEpoch { register, epoch, step, cut }).await?;
    Ok(())
}

fn open_epoch(control: &ControlState, register: &RegisterName) -> Result<RegisterEpoch, Error> {
    let open = control.open_epoch(register).ok_or_else(|| Error::NotRestated(register.as_str().to_owned()))?;
    Ok(open.epoch)
}

/// Ends a re-statement without a trace.
pub(super) async fn abort(
    inner: &Arc<Inner>,
    mut request: Request<AbortRedoRequest>,
) -> Result<AbortRedoResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let register = register_name(&body.register)?;
    let epoch = open_epoch(&inner.control(), &register)?;
    order(inner, &turn, register.clone(), epoch, EpochStep::Aborted).await?;
    let prepared = inner.handle.operator.prepared.borrow().clone();
    if prepared.is_some_and(|prepared| prepared.basis.registers.get(&register) == Some(&epoch)) {
        inner.handle.operator.discard(false).await?;
    }
    Ok(AbortRedoResponse { epoch: epoch.0 })
}

/// Lets the restated epoch serve, when the views that hold it are prepared and what goes is no surprise.
pub(super) async fn commit(
    inner: &Arc<Inner>,
    mut request: Request<CommitRedoRequest>,
) -> Result<CommitRedoResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let register = register_name(&body.register)?;
    let control = inner.control();
    let epoch = open_epoch(&control, &register)?;
    let mut wanted = control.ordered();
    wanted.registers.insert(register.clone(), epoch);
    let prepared = inner.handle.operator.prepared.borrow().clone();
    if prepared.ok_or(PrepareError::None)?.basis != wanted {
        return Err(Error::NotPrepared(wanted));
    }
    let aligned = inner.handle.operator.compare().await?;
    let found =
        on_a_thread(move || Ok(difference::compare(&aligned, 0, |_, _| true)?)).await?.ok_or(Error::Internal)?;
    let records = found.of_register(&register);
    let share = u64::from(body.removed_share_max);
    let allowed = if share == 0 { REMOVED_SHARE_MAX } else { share };
    let before = records.same + records.changed + records.removed + records.other_rows;
    if !body.confirm && records.removed * 100 > before * allowed {
        return Err(Error::MuchGoes { removed: records.removed, before, allowed });
    }
    order(inner, &turn, register.clone(), epoch, EpochStep::Committed).await?;
    let serving = inner.serves(&wanted).await;
    Ok(CommitRedoResponse { epoch: epoch.0, records: Some(counts(&register, "", "", &records)), serving })
}
