//! Linkage models: brought into the log, and switched to.

use std::sync::Arc;

use access::HubAction;
use linkage::Model;
use projection::basis::{BasisName, KnownModel};
use projection::state::ControlState;
use record::control::Order;
use tonic::Request;
use wire::admin::{
    LinkageModel, ListModelsResponse, ProposeModelRequest, ProposeModelResponse, SwitchModelRequest,
    SwitchModelResponse,
};

use super::Inner;
use super::error::Error;

/// Brings a model into the log as the next epoch.
pub(super) async fn propose(
    inner: &Arc<Inner>,
    mut request: Request<ProposeModelRequest>,
) -> Result<ProposeModelResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let control = inner.control();
    let model = Model::from_bytes(&body.model).map_err(|error| Error::Model(error.to_string()))?;
    let epoch = control.models().map(|(epoch, _)| epoch).max().unwrap_or_default() + 1;
    let model = model.with_epoch(epoch);
    let unit_lists = if body.unit_lists.is_empty() { lists_of(control.model.as_ref()) } else { body.unit_lists };
    if let Some(unknown) = unit_lists.iter().find(|version| control.units.list(version).is_none()) {
        return Err(Error::Model(format!("there is no unit list '{unknown}'")));
    }
    inner.order(&turn, Order::Model { epoch, model: model.to_bytes(), unit_lists }).await?;
    let control = inner.control();
    let known = control.models().find(|(of, _)| *of == epoch).ok_or(Error::Internal)?;
    Ok(ProposeModelResponse { model: Some(wire(&control, known.1)) })
}

fn lists_of(known: Option<&KnownModel>) -> Vec<String> {
    known.map(|known| known.units.lists().iter().map(|list| list.version.clone()).collect()).unwrap_or_default()
}

/// Every model of the log.
pub(super) fn list(inner: &Inner) -> ListModelsResponse {
    let control = inner.control();
    ListModelsResponse { models: control.models().map(|(_, known)| wire(&control, known)).collect() }
}

fn wire(control: &ControlState, known: &KnownModel) -> LinkageModel {
    let epoch = known.model.epoch();
    LinkageModel {
        epoch,
        hash: record::Digest(known.model.hash()).to_string(),
        threshold_bits: f64::from(known.model.threshold()) / 1024.0,
        ordered: control.ordered().model == epoch,
        serving: control.serving().model == epoch,
        index: known.index.0,
    }
}

/// Orders another model.
pub(super) async fn switch(
    inner: &Arc<Inner>,
    mut request: Request<SwitchModelRequest>,
) -> Result<SwitchModelResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let before = inner.control().ordered();
    let epoch = match body.epoch {
        0 => inner.control().replaced_model().ok_or(Error::NeverSwitched)?,
        epoch => epoch,
    };
    inner.order(&turn, Order::ModelSwitch { epoch }).await?;
    let wanted = BasisName { model: epoch, ..before.clone() };
    let serving = inner.serves(&wanted).await;
    Ok(SwitchModelResponse { before: before.model, after: epoch, serving })
}
