//! Linkage models: brought into the log, and switched to.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::views::learn::sample;
use access::HubAction;
use futures::Stream;
use linkage::{Learned, Model};
use projection::basis::{BasisName, KnownModel};
use projection::state::ControlState;
use record::control::Order;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use wire::admin::{
    LearnModelRequest, LearnModelResponse, LearnedLevel, LearnedModel, LinkageModel, ListModelsResponse,
    ProposeModelRequest, ProposeModelResponse, SwitchModelRequest, SwitchModelResponse,
};

use super::Inner;
use super::error::Error;
use crate::error::told;

/// Between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(200);
/// Mentions that a model is learned from.
const MENTIONS: usize = 200_000;
const MENTIONS_MAX: usize = 2_000_000;

pub(super) type Learning = Pin<Box<dyn Stream<Item = Result<LearnModelResponse, Status>> + Send>>;

/// Learns a model from the log. It ends early when the caller goes away or the hub stops.
pub(super) fn learn(inner: &Arc<Inner>, request: Request<LearnModelRequest>) -> Result<Learning, Error> {
    let caller = inner.permit(&request, HubAction::SwitchViews)?;
    let mentions = match request.get_ref().mentions as usize {
        0 => MENTIONS,
        mentions => mentions.min(MENTIONS_MAX),
    };
    let place = inner.verification.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
    tracing::info!(actor = %caller, mentions, "a linkage model is learned");
    let (sender, receiver) = mpsc::channel(16);
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || {
        let last = learned(&inner, mentions, &sender);
        drop(place);
        if let Some(last) = last {
            // Fails when the caller has gone away.
            let _ = sender.blocking_send(last.map_err(Status::from));
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// `None` when it was ended early.
fn learned(
    inner: &Inner,
    mentions: usize,
    sender: &mpsc::Sender<Result<LearnModelResponse, Status>>,
) -> Option<Result<LearnModelResponse, Error>> {
    let (status, control) = inner.handle.as_folded();
    let mut told_at = Instant::now();
    let progress = |entries, entries_total| {
        if told_at.elapsed() >= PROGRESS {
            told_at = Instant::now();
            // A caller who does not read keeps the last messages; the result waits for it.
            let _ = sender.try_send(Ok(LearnModelResponse { entries, entries_total, model: None }));
        }
        !sender.is_closed() && !*inner.stopping.borrow()
    };
    let handle = &inner.handle;
    let rows = match sample(&handle.log, &status.positions, &control, &handle.secret, mentions, progress) {
        Ok(Some(rows)) => rows,
        Ok(None) if *inner.stopping.borrow() => return Some(Err(Error::Stopping)),
        Ok(None) => return None,
        Err(error) => return Some(Err(Error::Verification(told(&error)))),
    };
    let Some(base) = &control.model else { return Some(Err(Error::Internal)) };
    Some(match base.model.learn(&rows) {
        Ok(learned) => {
            let model = Some(wire_learned(&base.model, &learned));
            Ok(LearnModelResponse { entries: 0, entries_total: 0, model })
        }
        Err(error) => Err(Error::Learn(error)),
    })
}

fn bits(weight: i32) -> f64 {
    f64::from(weight) / 1024.0
}

fn wire_learned(base: &Model, learned: &Learned) -> LearnedModel {
    let level = |level: &linkage::LearnedLevel| LearnedLevel {
        field: level.level.field().name().to_owned(),
        level: level.level.text().to_owned(),
        m: level.m,
        u: level.u,
        before_bits: level.before,
        bits: level.after,
        kept: level.kept.to_owned(),
    };
    LearnedModel {
        model: learned.model.to_bytes(),
        mentions: learned.rows as u64,
        blocked_pairs: learned.blocked_pairs as u64,
        matches: learned.matches,
        rounds: learned.rounds,
        last_change: learned.last_change,
        prior_before_bits: bits(base.prior()),
        prior_bits: bits(learned.model.prior()),
        levels: learned.levels.iter().map(level).collect(),
    }
}

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
        threshold_bits: bits(known.model.threshold()),
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
