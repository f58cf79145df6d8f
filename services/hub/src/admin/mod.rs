//! `hub.admin.v1`: contracts, administrative units, policies, reviewers' decisions, verification, prepared views, linkage models,
//! restated registers.
//!
//! Every command is a control entry with who and why, and is answered when it has been folded: what it says is in force then. Commands go one
//! by one, so that each is checked against what the one before it left.

mod contracts;
mod decisions;
mod erasures;
mod error;
mod models;
mod orders;
mod policies;
mod quarantine;
mod reading;
mod redo;
mod signing;
mod units;
mod verify;
mod views;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::views::runtime::ViewsHandle;
use access::HubAction;
use ingest::{Clock, Salts, append_control, system_clock, system_salts};
use projection::basis::BasisName;
use projection::state::ControlState;
use record::control::{Control, Order};
use record::{Index, Partition, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Request, Response, Status};
use wire::admin::admin_service_server::AdminService;
use wire::admin::{
    AbortRedoRequest, AbortRedoResponse, ApproveFoldRequest, ApproveFoldResponse, CommitRedoRequest,
    CommitRedoResponse, CompareViewsRequest, DecideErasureRequest, DecideErasureResponse, DecideOrderRequest,
    DecideOrderResponse, DecideRequest, DecideResponse, DiscardViewsRequest, DiscardViewsResponse,
    DropQuarantinedRequest, DropQuarantinedResponse, EraseRequest, EraseResponse, GetContractRequest,
    GetContractResponse, GetKeysRequest, GetKeysResponse, GetPolicyRequest, GetPolicyResponse, GetProceduresRequest,
    GetProceduresResponse, ImportUnitsRequest, ImportUnitsResponse, LearnModelRequest, ListContractsRequest,
    ListContractsResponse, ListDecisionsRequest, ListDecisionsResponse, ListErasuresRequest, ListErasuresResponse,
    ListModelsRequest, ListModelsResponse, ListOrdersRequest, ListOrdersResponse, ListQuarantineRequest,
    ListQuarantineResponse, ListUnitsRequest, ListUnitsResponse, OpenRedoRequest, OpenRedoResponse,
    PrepareViewsRequest, ProposeModelRequest, ProposeModelResponse, PutPolicyRequest, PutPolicyResponse,
    PutProceduresRequest, PutProceduresResponse, RegisterContractRequest, RegisterContractResponse,
    ReplaceViewsRequest, ReplaceViewsResponse, RetryQuarantinedRequest, RetryQuarantinedResponse, RotateKeysRequest,
    RotateKeysResponse, RotateSigningKeyRequest, RotateSigningKeyResponse, SwitchModelRequest, SwitchModelResponse,
    VerifyViewsRequest,
};

use error::Error;
pub(crate) use reading::ContractReads;

use crate::erasure::Eraser;
use crate::server::signing::SigningFiles;

/// Longest reason, in bytes, inclusive.
const REASON_BYTES_MAX: usize = 1_024;
/// Longest wait for prepared views to take over.
const SWITCH_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the fold; a rebuild of the views takes longer, and is told.
const FOLD_WAIT: Duration = Duration::from_secs(30);

/// The handlers.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Inner>);

struct Inner {
    handle: ViewsHandle,
    clock: Clock,
    salts: Salts,
    eraser: Eraser,
    signing: SigningFiles,
    second_person: SecondPerson,
    /// Where verifications fold.
    scratch: PathBuf,
    /// One command at a time.
    command: Arc<Semaphore>,
    /// One verification at a time.
    verification: Arc<Semaphore>,
    /// The last difference between versions of the fold that was told whole.
    difference_told: Mutex<Option<views::DifferenceTold>>,
    stopping: watch::Receiver<bool>,
}

/// What waits for a second person.
pub(crate) struct SecondPerson {
    /// Erasures.
    pub(crate) erasures: bool,
    /// Other orders, by their names.
    pub(crate) orders: Vec<String>,
}

/// A command that has been let in: who, why, and the turn.
struct Turn {
    actor: String,
    reason: String,
    _turn: OwnedSemaphorePermit,
}

impl Admin {
    pub(crate) fn new(
        handle: ViewsHandle,
        eraser: Eraser,
        signing: SigningFiles,
        second_person: SecondPerson,
        scratch: PathBuf,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (command, verification) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        Self(Arc::new(Inner {
            handle,
            clock: system_clock(),
            salts: system_salts(),
            eraser,
            signing,
            second_person,
            scratch,
            command,
            verification,
            difference_told: Mutex::default(),
            stopping,
        }))
    }
}

impl Inner {
    fn control(&self) -> Arc<ControlState> {
        self.handle.control.load_full()
    }

    fn permit<T>(&self, request: &Request<T>, action: HubAction) -> Result<String, Error> {
        let caller = caller_of(request)?;
        self.handle.access.load().permit_hub(&caller, action)?;
        Ok(caller)
    }

    /// Lets a command in: checked, in its turn, and with everything folded that was ordered before.
    async fn turn<T>(&self, request: &Request<T>, action: HubAction, reason: &str) -> Result<Turn, Error> {
        let actor = self.permit(request, action)?;
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(Error::Reason);
        }
        let turn = self.command.clone().acquire_owned().await.map_err(|_| Error::Stopping)?;
        self.folded(self.handle.log.ends().get(Stream::Control, Partition(0))).await?;
        Ok(Turn { actor, reason: reason.to_owned(), _turn: turn })
    }

    /// Writes the order and waits until it counts. Its index in the control stream.
    ///
    /// # Errors
    /// [`Error::Waits`] when it is in the log and waits for a second person.
    async fn order(&self, turn: &Turn, order: Order) -> Result<Index, Error> {
        if self.second_person.orders.iter().any(|name| name == order.name()) {
            let index = self.write(turn, Order::Asked { order: Box::new(order) }).await?;
            return Err(Error::Waits(index.0));
        }
        self.write(turn, order).await
    }

    async fn write(&self, turn: &Turn, order: Order) -> Result<Index, Error> {
        let name = order.name();
        let control = Control { actor: turn.actor.clone(), reason: turn.reason.clone(), order };
        let position = append_control(&self.handle.log, &control, &self.clock, &self.salts).await?;
        tracing::info!(order = name, actor = %turn.actor, index = position.index.0, "an order was written");
        self.folded(position.index.next()).await?;
        let state = self.control();
        match state.void.iter().find(|void| void.index == position.index) {
            Some(void) => Err(Error::Void { reason: void.reason.clone() }),
            None => Ok(position.index),
        }
    }

    /// Waits until the views are on a basis; `false` when they need longer.
    async fn serves(&self, basis: &BasisName) -> bool {
        let serving = || self.control().serving() == *basis;
        let mut folded = self.handle.folded.clone();
        let reached = async { while !serving() && folded.changed().await.is_ok() {} };
        // Whether it came in time is looked up below.
        let _ = tokio::time::timeout(SWITCH_WAIT, reached).await;
        serving()
    }

    /// Waits until the fold has passed every control entry below `end`.
    async fn folded(&self, end: Index) -> Result<(), Error> {
        let mut folded = self.handle.folded.clone();
        let mut status = self.handle.status.clone();
        let mut stopping = self.stopping.clone();
        tokio::select! {
            reached = folded.wait_for(|positions| positions.get(Stream::Control, Partition(0)) >= end) => {
                reached.map(|_| ()).map_err(|_| Error::FoldStopped)
            }
            _ = status.wait_for(|status| status.stopped.is_some()) => Err(Error::FoldStopped),
            _ = stopping.wait_for(|stopping| *stopping) => Err(Error::Stopping),
            () = tokio::time::sleep(FOLD_WAIT) => Err(Error::CatchingUp),
        }
    }
}

fn caller_of<T>(request: &Request<T>) -> Result<String, Error> {
    let principal = identity::principal_of(request).map_err(|_| Error::NoPrincipal)?;
    Ok(principal.spiffe().to_owned())
}

/// Runs what takes longer than a look-up on a thread of its own.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => {
            tracing::error!(%panic, "a command ended in a panic");
            Err(Error::Internal)
        }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    type VerifyViewsStream = verify::Responses;
    type PrepareViewsStream = views::Preparing;
    type CompareViewsStream = views::Comparing;
    type LearnModelStream = models::Learning;

    async fn learn_model(
        &self,
        request: Request<LearnModelRequest>,
    ) -> Result<Response<Self::LearnModelStream>, Status> {
        Ok(Response::new(models::learn(&self.0, request)?))
    }

    async fn prepare_views(
        &self,
        request: Request<PrepareViewsRequest>,
    ) -> Result<Response<Self::PrepareViewsStream>, Status> {
        Ok(Response::new(views::prepare(&self.0, request).await?))
    }

    async fn compare_views(
        &self,
        request: Request<CompareViewsRequest>,
    ) -> Result<Response<Self::CompareViewsStream>, Status> {
        Ok(Response::new(views::compare(&self.0, request).await?))
    }

    async fn replace_views(
        &self,
        request: Request<ReplaceViewsRequest>,
    ) -> Result<Response<ReplaceViewsResponse>, Status> {
        Ok(Response::new(views::replace(&self.0, request).await?))
    }

    async fn approve_fold(
        &self,
        request: Request<ApproveFoldRequest>,
    ) -> Result<Response<ApproveFoldResponse>, Status> {
        Ok(Response::new(views::approve(&self.0, request).await?))
    }

    async fn discard_views(
        &self,
        request: Request<DiscardViewsRequest>,
    ) -> Result<Response<DiscardViewsResponse>, Status> {
        Ok(Response::new(views::discard(&self.0, request).await?))
    }

    async fn propose_model(
        &self,
        request: Request<ProposeModelRequest>,
    ) -> Result<Response<ProposeModelResponse>, Status> {
        Ok(Response::new(models::propose(&self.0, request).await?))
    }

    async fn list_models(&self, request: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(models::list(&self.0)))
    }

    async fn switch_model(
        &self,
        request: Request<SwitchModelRequest>,
    ) -> Result<Response<SwitchModelResponse>, Status> {
        Ok(Response::new(models::switch(&self.0, request).await?))
    }

    async fn open_redo(&self, request: Request<OpenRedoRequest>) -> Result<Response<OpenRedoResponse>, Status> {
        Ok(Response::new(redo::open(&self.0, request).await?))
    }

    async fn commit_redo(&self, request: Request<CommitRedoRequest>) -> Result<Response<CommitRedoResponse>, Status> {
        Ok(Response::new(redo::commit(&self.0, request).await?))
    }

    async fn abort_redo(&self, request: Request<AbortRedoRequest>) -> Result<Response<AbortRedoResponse>, Status> {
        Ok(Response::new(redo::abort(&self.0, request).await?))
    }

    async fn register_contract(
        &self,
        request: Request<RegisterContractRequest>,
    ) -> Result<Response<RegisterContractResponse>, Status> {
        Ok(Response::new(contracts::register(&self.0, request).await?))
    }

    async fn list_contracts(
        &self,
        request: Request<ListContractsRequest>,
    ) -> Result<Response<ListContractsResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(contracts::list(&self.0.control())))
    }

    async fn get_contract(
        &self,
        request: Request<GetContractRequest>,
    ) -> Result<Response<GetContractResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(contracts::get(&self.0.handle.log, &self.0.control(), request.into_inner()).await?))
    }

    async fn import_units(
        &self,
        request: Request<ImportUnitsRequest>,
    ) -> Result<Response<ImportUnitsResponse>, Status> {
        Ok(Response::new(units::import(&self.0, request).await?))
    }

    async fn list_units(&self, request: Request<ListUnitsRequest>) -> Result<Response<ListUnitsResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(units::list(&self.0)))
    }

    async fn put_policy(&self, request: Request<PutPolicyRequest>) -> Result<Response<PutPolicyResponse>, Status> {
        Ok(Response::new(policies::put_policy(&self.0, request).await?))
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Result<Response<GetPolicyResponse>, Status> {
        Ok(Response::new(policies::get_policy(&self.0, &request).await?))
    }

    async fn get_procedures(
        &self,
        request: Request<GetProceduresRequest>,
    ) -> Result<Response<GetProceduresResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(policies::get_procedures(&self.0)?))
    }

    async fn put_procedures(
        &self,
        request: Request<PutProceduresRequest>,
    ) -> Result<Response<PutProceduresResponse>, Status> {
        Ok(Response::new(policies::put_procedures(&self.0, request).await?))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        Ok(Response::new(decisions::decide(&self.0, request).await?))
    }

    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        Ok(Response::new(decisions::list(&self.0, request).await?))
    }

    async fn erase(&self, request: Request<EraseRequest>) -> Result<Response<EraseResponse>, Status> {
        Ok(Response::new(EraseResponse { erased: Some(erasures::erase(&self.0, request).await?) }))
    }

    async fn decide_erasure(
        &self,
        request: Request<DecideErasureRequest>,
    ) -> Result<Response<DecideErasureResponse>, Status> {
        Ok(Response::new(DecideErasureResponse { erased: Some(erasures::decide(&self.0, request).await?) }))
    }

    async fn list_erasures(
        &self,
        request: Request<ListErasuresRequest>,
    ) -> Result<Response<ListErasuresResponse>, Status> {
        Ok(Response::new(erasures::list(&self.0, request).await?))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(orders::list(&self.0)))
    }

    async fn decide_order(
        &self,
        request: Request<DecideOrderRequest>,
    ) -> Result<Response<DecideOrderResponse>, Status> {
        Ok(Response::new(orders::decide(&self.0, request).await?))
    }

    async fn get_keys(&self, request: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        Ok(Response::new(GetKeysResponse { keys: Some(erasures::keys(&self.0, request).await?) }))
    }

    async fn rotate_keys(&self, request: Request<RotateKeysRequest>) -> Result<Response<RotateKeysResponse>, Status> {
        Ok(Response::new(RotateKeysResponse { keys: Some(erasures::rotate(&self.0, request).await?) }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<RotateSigningKeyRequest>,
    ) -> Result<Response<RotateSigningKeyResponse>, Status> {
        Ok(Response::new(signing::rotate(&self.0, request).await?))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        Ok(Response::new(quarantine::list(&self.0, request).await?))
    }

    async fn retry_quarantined(
        &self,
        request: Request<RetryQuarantinedRequest>,
    ) -> Result<Response<RetryQuarantinedResponse>, Status> {
        Ok(Response::new(quarantine::retry(&self.0, request).await?))
    }

    async fn drop_quarantined(
        &self,
        request: Request<DropQuarantinedRequest>,
    ) -> Result<Response<DropQuarantinedResponse>, Status> {
        Ok(Response::new(quarantine::drop(&self.0, request).await?))
    }

    async fn verify_views(
        &self,
        request: Request<VerifyViewsRequest>,
    ) -> Result<Response<Self::VerifyViewsStream>, Status> {
        Ok(Response::new(verify::start(&self.0, request)?))
    }
}
