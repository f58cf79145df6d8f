//! Verifying the views: a fold from scratch beside them, on a thread of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::HubAction;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use view_store::StoreKind;
use views::verify::{Claim, Verification as Verified, verify};
use wire::admin::{Verification, VerifyViewsRequest, VerifyViewsResponse};

use super::Inner;
use super::error::Error;
use crate::error::told;

/// Between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(200);

pub(super) type Responses = Pin<Box<dyn Stream<Item = Result<VerifyViewsResponse, Status>> + Send>>;

/// Starts it. It ends early when the caller goes away or the hub stops.
pub(super) fn start(inner: &Arc<Inner>, request: Request<VerifyViewsRequest>) -> Result<Responses, Error> {
    let caller = inner.permit(&request, HubAction::VerifyViews)?;
    let store = match request.get_ref().store.as_str() {
        "" => inner.handle.store,
        "fjall" => StoreKind::Fjall,
        "sled" => StoreKind::Sled,
        _ => return Err(Error::Store),
    };
    let place = inner.verification.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
    let (sender, receiver) = mpsc::channel(16);
    let inner = inner.clone();
    tracing::info!(actor = %caller, store = %store, "the views are verified");
    tokio::task::spawn_blocking(move || {
        let last = run(&inner, store, &sender);
        drop(place);
        if let Some(last) = last {
            // Fails when the caller has gone away.
            let _ = sender.blocking_send(last.map_err(Status::from));
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

type Answer = Result<VerifyViewsResponse, Status>;

/// `None` when it was ended early.
fn run(inner: &Inner, store: StoreKind, sender: &mpsc::Sender<Answer>) -> Option<Result<VerifyViewsResponse, Error>> {
    loop {
        let erased = inner.control().erased.len();
        let answer = compare(inner, store, sender)?;
        // An erasure reaches back: a record that was erased meanwhile is in the digest that was compared, and in no replay.
        let differs = answer.as_ref().is_ok_and(|a| a.result.as_ref().is_some_and(|result| !result.equal));
        if !differs || inner.control().erased.len() == erased {
            return Some(answer);
        }
        tracing::info!("records were erased during the verification: it begins anew");
    }
}

fn compare(
    inner: &Inner,
    store: StoreKind,
    sender: &mpsc::Sender<Answer>,
) -> Option<Result<VerifyViewsResponse, Error>> {
    // Positions and digest of one batch: they belong together.
    let claim = match Claim::of(&inner.handle) {
        Ok(claim) => claim,
        Err(error) => return Some(Err(error.into())),
    };
    let mut told_at = Instant::now();
    let progress = |entries, entries_total| {
        if told_at.elapsed() >= PROGRESS {
            told_at = Instant::now();
            // A caller who does not read keeps the last messages; the result waits for it.
            let _ = sender.try_send(Ok(VerifyViewsResponse { entries, entries_total, result: None }));
        }
        !sender.is_closed() && !*inner.stopping.borrow()
    };
    let handle = &inner.handle;
    match verify(&handle.log, &handle.secret, &claim, &inner.scratch, store, progress) {
        Ok(Some(verified)) => Some(Ok(answer(&verified))),
        Ok(None) if *inner.stopping.borrow() => Some(Err(Error::Stopping)),
        Ok(None) => None,
        Err(error) => Some(Err(Error::Verification(told(&error)))),
    }
}

fn answer(verified: &Verified) -> VerifyViewsResponse {
    let (live, replay) = (verified.live.to_string(), verified.replay.to_string());
    if verified.equal() {
        tracing::info!(entries = verified.entries, "the views equal a fold from scratch");
    } else {
        tracing::error!(entries = verified.entries, %live, %replay, "the views differ from a fold from scratch");
    }
    let result = Verification {
        equal: verified.equal(),
        live_digest: live,
        replay_digest: replay,
        rows_digest: verified.rows.to_string(),
        differences: verified.differences.iter().map(|(name, differs)| format!("{name}: {}", differs.text())).collect(),
        entries: verified.entries,
        seconds: verified.elapsed.as_secs_f64(),
    };
    VerifyViewsResponse { entries: verified.entries, entries_total: verified.entries, result: Some(result) }
}
