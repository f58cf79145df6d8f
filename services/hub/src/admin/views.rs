//! Views that are prepared beside those that serve: progress, differences, taking over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use access::HubAction;
use futures::Stream;
use projection::basis::BasisName;
use record::control::Order;
use record::{Digest, MentionId, RegisterName};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use views::difference::{self, KindRows, Records, SubjectChange};
use views::former;
use views::prepared::{Aligned, PreparedStatus};
use views::query::{FieldCounts, Fields, compare_fields};
use wire::admin::{
    ApproveFoldRequest, ApproveFoldResponse, Basis, CauseCount, CompareViewsRequest, CompareViewsResponse, Difference,
    DiscardViewsRequest, DiscardViewsResponse, FieldDifference, MentionCounts, PrepareViewsRequest,
    PrepareViewsResponse, RecordCounts, ReplaceViewsRequest, ReplaceViewsResponse, RowKindCounts, SubjectMove,
};

use super::Inner;
use super::error::Error;
use crate::error::told;

/// Between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(200);
const SHARE: u8 = 50;
const SAMPLES: usize = 20;
const SAMPLES_MAX: usize = 10_000;
/// Rows of record counts in an answer; what is left out is in the sum of its register.
const RECORD_ROWS_MAX: usize = 20_000;

pub(super) type Preparing = Pin<Box<dyn Stream<Item = Result<PrepareViewsResponse, Status>> + Send>>;
pub(super) type Comparing = Pin<Box<dyn Stream<Item = Result<CompareViewsResponse, Status>> + Send>>;

/// Starts preparing, and tells how far it is until the prepared views are level.
pub(super) async fn prepare(inner: &Arc<Inner>, request: Request<PrepareViewsRequest>) -> Result<Preparing, Error> {
    let caller = inner.permit(&request, HubAction::SwitchViews)?;
    let body = request.into_inner();
    let share = u8::try_from(body.share).ok().filter(|share| *share <= 100).ok_or(Error::Share)?;
    let operator = &inner.handle.operator;
    let basis = if body.previous {
        operator.previous().await?
    } else {
        let basis = target(inner, &body)?;
        operator.prepare(basis.clone(), if share == 0 { SHARE } else { share }).await?;
        basis
    };
    tracing::info!(actor = %caller, basis = %basis, "views are prepared");
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(tell_prepared(Arc::clone(inner), basis, sender));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// What was asked for, as the name of a basis.
fn target(inner: &Inner, body: &PrepareViewsRequest) -> Result<BasisName, Error> {
    let control = inner.control();
    let mut basis = control.ordered();
    if body.model_epoch != 0 {
        basis.model = body.model_epoch;
    }
    for register in &body.restated {
        let name = register_name(register)?;
        let open = control.open_epoch(&name).ok_or_else(|| Error::NotRestated(register.clone()))?;
        basis.registers.insert(name, open.epoch);
    }
    Ok(basis)
}

pub(super) fn register_name(register: &str) -> Result<RegisterName, Error> {
    RegisterName::try_from(register).map_err(|_| Error::RegisterName(register.to_owned()))
}

async fn tell_prepared(
    inner: Arc<Inner>,
    basis: BasisName,
    sender: mpsc::Sender<Result<PrepareViewsResponse, Status>>,
) {
    let prepared = inner.handle.operator.prepared.clone();
    let mut stopping = inner.stopping.clone();
    loop {
        let status = prepared.borrow().clone();
        let answer = match status {
            Some(status) if status.basis == basis => match &status.failed {
                Some(failed) => Err(Error::Prepare(views::prepared::PrepareError::Failed(failed.clone()))),
                None => Ok(progress_of(&status)),
            },
            // They have taken over, as the control stream had ordered.
            _ if inner.control().serving() == basis => {
                Ok(PrepareViewsResponse { basis: Some(wire_basis(&basis)), level: true, ..Default::default() })
            }
            _ => Err(Error::Prepare(views::prepared::PrepareError::None)),
        };
        let last = answer.as_ref().map_or(true, |told| told.level);
        if sender.send(answer.map_err(Status::from)).await.is_err() || last {
            return;
        }
        let stops = async { stopping.wait_for(|stopping| *stopping).await.map(drop) };
        if tokio::time::timeout(PROGRESS, stops).await.is_ok() {
            // Fails when the caller has gone away.
            let _ = sender.send(Err(Error::Stopping.into())).await;
            return;
        }
    }
}

fn progress_of(status: &PreparedStatus) -> PrepareViewsResponse {
    PrepareViewsResponse {
        basis: Some(wire_basis(&status.basis)),
        entries: status.entries,
        entries_total: status.of,
        level: status.level,
        entries_ordered: status.ordered,
    }
}

fn wire_basis(basis: &BasisName) -> Basis {
    let registers = basis.registers.iter().map(|(register, epoch)| (register.as_str().to_owned(), epoch.0)).collect();
    Basis { model_epoch: basis.model, registers }
}

/// Starts a comparison, and tells how far it is.
pub(super) async fn compare(inner: &Arc<Inner>, request: Request<CompareViewsRequest>) -> Result<Comparing, Error> {
    inner.permit(&request, HubAction::VerifyViews)?;
    let samples = match request.get_ref().samples as usize {
        0 => SAMPLES,
        samples => samples.min(SAMPLES_MAX),
    };
    let place = inner.verification.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
    let operator = &inner.handle.operator;
    let sides = match request.get_ref().previous {
        true => Sides::Former(operator.former().await?),
        false => Sides::Prepared(Box::new(operator.compare().await?)),
    };
    let (sender, receiver) = mpsc::channel(16);
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || {
        let last = match sides {
            Sides::Prepared(aligned) => differences(&inner, *aligned, samples, &sender),
            Sides::Former(folder) => of_former(&inner, &folder, samples, &sender),
        };
        drop(place);
        if let Some(last) = last {
            // Fails when the caller has gone away.
            let _ = sender.blocking_send(last.map_err(Status::from));
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// A difference between versions of the fold that somebody was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct DifferenceTold {
    /// This program's version.
    fold_version: u32,
    before: Digest,
    after: Digest,
}

/// What is compared.
enum Sides {
    /// Prepared views and those that serve.
    Prepared(Box<Aligned>),
    /// The views in this folder, which served before, and what this program folds up to there.
    Former(PathBuf),
}

type Sender = mpsc::Sender<Result<CompareViewsResponse, Status>>;

/// Tells now and then how far a comparison is; `false` when it is of no use any more.
fn progress(inner: &Inner, sender: &Sender) -> impl FnMut(u64, u64) -> bool {
    let mut told_at = Instant::now();
    move |rows, rows_total| {
        if told_at.elapsed() >= PROGRESS {
            told_at = Instant::now();
            // A caller who does not read keeps the last messages; the result waits for it.
            let _ = sender.try_send(Ok(CompareViewsResponse { rows, rows_total, difference: None }));
        }
        wanted(inner, sender)
    }
}

fn wanted(inner: &Inner, sender: &Sender) -> bool {
    !sender.is_closed() && !*inner.stopping.borrow()
}

/// `None` when it was ended early.
fn of_former(
    inner: &Inner,
    folder: &Path,
    samples: usize,
    sender: &Sender,
) -> Option<Result<CompareViewsResponse, Error>> {
    let last = match former::align(&inner.handle, folder, &inner.scratch, progress(inner, sender)) {
        Ok(Some((aligned, stores))) => {
            let told = DifferenceTold {
                fold_version: aligned.prepared.fold_version,
                before: aligned.serving.digest,
                after: aligned.prepared.digest,
            };
            let last = differences(inner, aligned, samples, sender);
            drop(stores);
            if let Some(Ok(_)) = last {
                *inner.difference_told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
            }
            last
        }
        Ok(None) => ended(inner),
        Err(error) => return Some(Err(Error::Verification(told(&error)))),
    };
    match view_store::ViewStore::discard(&inner.scratch) {
        Ok(()) => last,
        Err(error) => Some(Err(Error::Verification(told(&error)))),
    }
}

/// `None` when it was ended early.
fn differences(
    inner: &Inner,
    aligned: Aligned,
    samples: usize,
    sender: &Sender,
) -> Option<Result<CompareViewsResponse, Error>> {
    let found = match difference::compare(&aligned, samples, progress(inner, sender)) {
        Ok(Some(found)) => found,
        Ok(None) => return ended(inner),
        Err(error) => return Some(Err(Error::Verification(told(&error)))),
    };
    let kinds = match difference::kinds(&aligned, || wanted(inner, sender)) {
        Ok(Some(kinds)) => kinds,
        Ok(None) => return ended(inner),
        Err(error) => return Some(Err(Error::Verification(told(&error)))),
    };
    let difference = wire_difference(&aligned, &found, &kinds, samples);
    match compare_fields(&inner.handle, aligned, &found, || wanted(inner, sender)) {
        Ok(Some(fields)) => {
            let difference = Some(with_fields(difference, &fields));
            Some(Ok(CompareViewsResponse { rows: 0, rows_total: 0, difference }))
        }
        Ok(None) => ended(inner),
        Err(error) => Some(Err(Error::Verification(told(&error)))),
    }
}

fn ended<T>(inner: &Inner) -> Option<Result<T, Error>> {
    inner.stopping.borrow().then_some(Err(Error::Stopping))
}

fn with_fields(difference: Difference, fields: &Fields) -> Difference {
    let field = |(field, c): (&String, &FieldCounts)| FieldDifference {
        field: field.clone(),
        changed: c.changed,
        added: c.added,
        removed: c.removed,
        disputed: c.disputed,
    };
    let fields_subjects = fields.subjects;
    Difference { fields: fields.counts.iter().map(field).collect(), fields_subjects, ..difference }
}

fn wire_difference(
    aligned: &Aligned,
    found: &difference::Difference,
    kinds: &[KindRows],
    samples: usize,
) -> Difference {
    let kind = |k: &KindRows| RowKindCounts {
        kind: k.kind.to_owned(),
        serving: k.serving,
        prepared: k.prepared,
        equal: k.equal,
    };
    let cause = |(cause, count): (&&str, &u64)| CauseCount { cause: (*cause).to_owned(), count: *count };
    let moves = |changes: &[SubjectChange]| changes.iter().take(samples).map(wire_move).collect();
    Difference {
        serving: Some(wire_basis(&aligned.serving.basis)),
        prepared: Some(wire_basis(&aligned.prepared.basis)),
        serving_digest: aligned.serving.digest.to_string(),
        prepared_digest: aligned.prepared.digest.to_string(),
        equal: found.equal(),
        serving_subjects: found.subjects.0,
        prepared_subjects: found.subjects.1,
        mentions: Some(MentionCounts {
            same: found.mentions.same,
            moved: found.mentions.moved,
            added: found.mentions.added,
            removed: found.mentions.removed,
        }),
        merged: found.merged.len() as u64,
        split: found.split.len() as u64,
        merged_samples: moves(&found.merged),
        split_samples: moves(&found.split),
        records: record_rows(found),
        record_samples: found.record_samples.iter().map(|record| hex(&record.0)).collect(),
        short: found.short,
        serving_fold_version: aligned.serving.fold_version,
        prepared_fold_version: aligned.prepared.fold_version,
        kinds: kinds.iter().map(kind).collect(),
        causes: found.causes.iter().map(cause).collect(),
        ..Difference::default()
    }
}

fn hex(bytes: &[u8; 16]) -> String {
    MentionId(*bytes).to_hex()
}

fn wire_move(change: &SubjectChange) -> SubjectMove {
    SubjectMove { subject: change.subject.to_hex(), others: change.others.iter().map(|other| other.to_hex()).collect() }
}

/// One row per register, then those of its cells where anything differs.
fn record_rows(found: &difference::Difference) -> Vec<RecordCounts> {
    let registers: BTreeMap<&RegisterName, ()> = found.records.keys().map(|(register, ..)| (register, ())).collect();
    let mut rows = Vec::new();
    for register in registers.keys() {
        rows.push(counts(register, "", "", &found.of_register(register)));
        for ((_, agency, commune), records) in found.records.iter().filter(|((of, ..), _)| of == *register) {
            let differs = records.added + records.changed + records.removed + records.other_rows > 0;
            if differs && rows.len() < RECORD_ROWS_MAX {
                rows.push(counts(register, agency, commune, records));
            }
        }
    }
    rows
}

pub(super) fn counts(register: &RegisterName, agency: &str, commune: &str, records: &Records) -> RecordCounts {
    RecordCounts {
        register: register.as_str().to_owned(),
        agency: agency.to_owned(),
        commune: commune.to_owned(),
        same: records.same,
        added: records.added,
        changed: records.changed,
        removed: records.removed,
        other_rows: records.other_rows,
    }
}

/// Lets prepared views on the present basis take over.
pub(super) async fn replace(
    inner: &Arc<Inner>,
    mut request: Request<ReplaceViewsRequest>,
) -> Result<ReplaceViewsResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let prepared = inner.handle.operator.prepared.borrow().clone();
    if let Some(prepared) = prepared
        && prepared.basis != inner.control().serving()
    {
        return Err(Error::OtherBasis(prepared.basis));
    }
    let (before, after) = inner.handle.operator.switch(!body.approve_difference).await?;
    inner.order(&turn, Order::ViewsReplaced { before: before.0, after: after.0 }).await?;
    Ok(ReplaceViewsResponse { before_digest: before.to_string(), after_digest: after.to_string() })
}

/// Writes that what this version of the fold says otherwise was approved, when this process told that difference.
pub(super) async fn approve(
    inner: &Arc<Inner>,
    mut request: Request<ApproveFoldRequest>,
) -> Result<ApproveFoldResponse, Error> {
    let body = std::mem::take(request.get_mut());
    let turn = inner.turn(&request, HubAction::SwitchViews, &body.reason).await?;
    let told = *inner.difference_told.lock().unwrap_or_else(PoisonError::into_inner);
    let read = told.filter(|told| told.after.to_string() == body.after_digest).ok_or(Error::NotRead)?;
    let DifferenceTold { fold_version, before, after } = read;
    inner.order(&turn, Order::FoldApproved { fold_version, before: before.0, after: after.0 }).await?;
    let (before_digest, after_digest) = (before.to_string(), after.to_string());
    Ok(ApproveFoldResponse { fold_version, before_digest, after_digest })
}

/// Removes prepared views, or those that served before.
pub(super) async fn discard(
    inner: &Arc<Inner>,
    request: Request<DiscardViewsRequest>,
) -> Result<DiscardViewsResponse, Error> {
    let caller = inner.permit(&request, HubAction::SwitchViews)?;
    let previous = request.get_ref().previous;
    inner.handle.operator.discard(previous).await?;
    tracing::info!(actor = %caller, previous, "views were discarded");
    Ok(DiscardViewsResponse {})
}
