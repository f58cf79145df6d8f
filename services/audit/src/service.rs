//! `hub.audit.v1`.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::access::{Access, HubAction};
use arc_swap::ArcSwap;
use event_log::EventLog;
use futures::Stream;
use futures::future::BoxFuture;
use ledger::tick::tree_name;
use projection::state::ControlState;
use record::access::{Access as AccessEntry, Action, Decision};
use record::{LogSecret, MentionId, Position, Pseudonym, Timestamp};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::audit::audit_service_server::{AuditService, AuditServiceServer};
use wire::audit::{
    GetLedgerRequest, GetLedgerResponse, LedgerDifference, LedgerVerification, ProveRequest, ProveResponse,
    ReplayRequest, ReplayResponse, VerifyLedgerRequest, VerifyLedgerResponse,
};

use crate::error::Error;
use crate::ledger_part::{LedgerHandle, covered_by_stream};
use crate::verify::{LedgerReport, verify_ledger};
use crate::{prove, replay};

/// Between two messages of progress.
pub(crate) const PROGRESS: Duration = Duration::from_millis(200);
/// Messages that wait for a caller who reads slowly.
pub(crate) const MESSAGES_QUEUED: usize = 4;
/// Bytes of one piece of a bundle.
const PIECE_BYTES: usize = 256 << 10;
/// Longest case number or reason, in bytes (inclusive).
const CASE_BYTES_MAX: usize = 128;
/// Proofs and replays that run at the same time; further ones wait.
const PLACES: usize = 2;

/// Makes an access durable with what the hub knows now as its basis.
pub type Recorder = Arc<dyn Fn(AccessEntry) -> BoxFuture<'static, Result<Position, String>> + Send + Sync>;
/// The records that the subject which holds this mention is made of now, at most so many. Blocks on the disk.
pub type Subjects = Arc<dyn Fn(MentionId, usize) -> Result<BTreeSet<Pseudonym>, String> + Send + Sync>;

/// What the handlers work with.
pub struct Deps {
    /// The log.
    pub log: EventLog,
    /// The log's secret.
    pub secret: Arc<LogSecret>,
    /// The ledger.
    pub ledger: LedgerHandle,
    /// Policy and procedures.
    pub access: Arc<ArcSwap<Access>>,
    /// Contracts.
    pub control: Arc<ArcSwap<ControlState>>,
    /// Heads of records.
    pub heads: view_store::Serving,
    /// Writes accesses down.
    pub record: Recorder,
    /// What subjects are made of.
    pub subjects: Subjects,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Whether the hub stops.
    pub stopping: watch::Receiver<bool>,
}

/// The handlers. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) deps: Deps,
    verification: Arc<Semaphore>,
    pub(crate) places: Arc<Semaphore>,
}

impl Audit {
    /// The service.
    pub fn new(deps: Deps) -> Self {
        let (verification, places) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(PLACES)));
        Self(Arc::new(Inner { deps, verification, places }))
    }

    /// As the server mounts it.
    pub fn service(self) -> AuditServiceServer<Self> {
        AuditServiceServer::new(self)
    }
}

/// Why somebody audits, and what of: what its access entry says.
pub(crate) struct Purpose {
    pub(crate) caller: String,
    pub(crate) case: String,
    /// `audit.prove` or `audit.replay`.
    pub(crate) procedure: &'static str,
    /// What was asked for, in words.
    pub(crate) asked: Vec<String>,
}

impl Inner {
    fn permit<T>(&self, request: &Request<T>, action: HubAction) -> Result<String, Error> {
        let caller = caller_of(request)?;
        self.deps.access.load().permit_hub(&caller, action)?;
        Ok(caller)
    }

    /// Lets an audit in, or writes its refusal down.
    pub(crate) async fn audited(&self, purpose: &Purpose) -> Result<(), Error> {
        if let Err(refusal) = self.deps.access.load().permit_hub(&purpose.caller, HubAction::Audit) {
            let code = refusal.code().to_owned();
            self.recorded(purpose, Vec::new(), Decision::Refused { code }).await?;
            return Err(refusal.into());
        }
        let case = purpose.case.trim();
        if case.is_empty() || purpose.case.len() > CASE_BYTES_MAX || purpose.case.chars().any(char::is_control) {
            return Err(Error::field("case_number", "say why, in 1 to 128 bytes without control characters"));
        }
        Ok(())
    }

    /// Writes down what is about to be shown.
    pub(crate) async fn shown(&self, purpose: &Purpose, records: Vec<Pseudonym>, bytes: &[u8]) -> Result<(), Error> {
        let salt = random()?;
        let answer = self.deps.secret.answer_hash(&salt, bytes);
        self.recorded(purpose, records, Decision::Answered { salt, answer }).await
    }

    async fn recorded(&self, purpose: &Purpose, records: Vec<Pseudonym>, decision: Decision) -> Result<(), Error> {
        let mut case = purpose.case.clone();
        case.truncate(case.floor_char_boundary(CASE_BYTES_MAX));
        let access = AccessEntry {
            action: Action::Operate,
            id: random()?,
            caller: purpose.caller.clone(),
            procedure: purpose.procedure.to_owned(),
            case,
            records,
            fields: purpose.asked.clone(),
            at: (self.deps.clock)(),
            known_at: None,
            valid_at: None,
            decision,
        };
        (self.deps.record)(access).await.map(|_| ()).map_err(Error::NotRecorded)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.deps.stopping.borrow()
    }
}

fn random() -> Result<[u8; 16], Error> {
    let mut out = [0; 16];
    getrandom::fill(&mut out).map_err(|error| Error::internal("the system gives no random bytes", &error))?;
    Ok(out)
}

fn caller_of<T>(request: &Request<T>) -> Result<String, Error> {
    let principal = identity::principal_of(request).map_err(|_| Error::NoPrincipal)?;
    Ok(principal.spiffe().to_owned())
}

/// Runs what blocks on the disk on a thread of its own.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => {
            tracing::error!(%panic, "an audit ended in a panic");
            Err(Error::Internal)
        }
    }
}

pub(crate) type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for Audit {
    type ProveStream = Responses<ProveResponse>;
    type VerifyLedgerStream = Responses<VerifyLedgerResponse>;
    type ReplayStream = Responses<ReplayResponse>;

    async fn get_ledger(&self, request: Request<GetLedgerRequest>) -> Result<Response<GetLedgerResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(self.0.ledger()))
    }

    async fn prove(&self, request: Request<ProveRequest>) -> Result<Response<Self::ProveStream>, Status> {
        let caller = caller_of(&request)?;
        let bundle = prove::prove(&self.0, caller, request.into_inner()).await?;
        let pieces: Vec<_> =
            bundle.chunks(PIECE_BYTES).map(|piece| Ok(ProveResponse { piece: piece.to_vec() })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn verify_ledger(
        &self,
        request: Request<VerifyLedgerRequest>,
    ) -> Result<Response<Self::VerifyLedgerStream>, Status> {
        let caller = self.0.permit(&request, HubAction::VerifyViews)?;
        tracing::info!(actor = %caller, "the log is compared with its ledger");
        Ok(Response::new(verify(&self.0).await?))
    }

    async fn replay(&self, request: Request<ReplayRequest>) -> Result<Response<Self::ReplayStream>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(replay::replay(&self.0, caller, request.into_inner()).await?))
    }
}

impl Inner {
    fn ledger(&self) -> GetLedgerResponse {
        let ledger = &self.deps.ledger;
        let status = ledger.status.borrow().clone();
        let covered: u64 = status.signed.as_ref().map_or(0, |signed| covered_by_stream(signed).iter().sum());
        let heads = status.signed.iter().flat_map(|signed| signed.state.heads.heads().to_vec());
        let covered_by: HashMap<_, _> = heads.map(|h| (tree_name(h.stream, h.partition), h.size)).collect();
        GetLedgerResponse {
            origin: ledger.origin.to_string(),
            verifier: ledger.signers.present().verifier().to_string(),
            trust: ledger.trust(),
            checkpoint: status.signed.as_ref().map(|signed| signed.note.clone()).unwrap_or_default(),
            cosigned: status.cosigned.as_ref().map(|signed| signed.note.clone()).unwrap_or_default(),
            signed_at: status.signed_at.map(wire_time),
            covered: covered_by,
            behind: self.deps.log.ends().total().saturating_sub(covered),
            stopped: status.stopped.clone().unwrap_or_default(),
            verification: status.verification.name().to_owned(),
        }
    }
}

async fn verify(inner: &Arc<Inner>) -> Result<Responses<VerifyLedgerResponse>, Error> {
    let place = inner.verification.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
    let ledger = &inner.deps.ledger;
    let Some(signed) = ledger.newest(prove::PATIENCE).await else { return Err(ledger.unsigned()) };
    let (sender, receiver) = mpsc::channel(MESSAGES_QUEUED);
    let inner = inner.clone();
    tokio::task::spawn_blocking(move || {
        let mut told_at = Instant::now();
        let progress = |entries, entries_total| {
            if told_at.elapsed() >= PROGRESS {
                told_at = Instant::now();
                // A caller who does not read keeps the last messages; the result waits for it.
                let _ = sender.try_send(Ok(VerifyLedgerResponse { entries, entries_total, result: None }));
            }
            !sender.is_closed() && !inner.is_stopping()
        };
        let last = match verify_ledger(&inner.deps.log, &inner.deps.ledger, &signed, progress) {
            Ok(Some(report)) => Ok(verified(&report)),
            Ok(None) => Err(Error::Stopping),
            Err(error) => Err(Error::internal("the log cannot be compared with its ledger", &error)),
        };
        drop(place);
        // Fails when the caller has gone away.
        let _ = sender.blocking_send(last.map_err(Status::from));
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn verified(report: &LedgerReport) -> VerifyLedgerResponse {
    for difference in &report.differences {
        tracing::error!(%difference, "the log is not as the ledger has it");
    }
    let differences = report.differences.iter().map(|d| LedgerDifference {
        partition: tree_name(d.stream, d.partition),
        kind: d.kind().to_owned(),
        first: d.first,
        cause: d.cause().to_owned(),
    });
    let entries = report.proven + report.uncovered;
    let result = LedgerVerification {
        equal: report.equal(),
        checkpoint: report.note.clone(),
        proven: report.proven,
        uncovered: report.uncovered,
        expired: report.expired,
        differences: differences.collect(),
        seconds: report.elapsed.as_secs_f64(),
    };
    VerifyLedgerResponse { entries, entries_total: entries, result: Some(result) }
}

/// A time for the API.
pub(crate) fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    wire::timestamp(at.0)
}
