//! The gRPC service.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use identity::principal_of;
use record::RegisterName;
use record::control::{Control, Order};
use record::envelope::TraceContext;
use telemetry::told;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;
use wire::ingest::ingest_service_server::{IngestService, IngestServiceServer};
use wire::ingest::{
    BatchResult, DeclareExpectedRequest, DeclareExpectedResponse, GetChangeStatusRequest, GetChangeStatusResponse,
    GetKeysRequest, GetKeysResponse, ListRejectedRequest, ListRejectedResponse, PublishBatchRequest,
    PublishBatchResponse, PublishRequest, PublishResponse, RedriveRequest, RedriveResponse, SigningKey,
};

use crate::batch::{Caller, publish};
use crate::change::{wire_position, wire_time};
use crate::control::{ControlError, append_control};
use crate::error::{Error, refusal_of_transport};
use crate::limits::{COMMUNE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::places::Place;
use crate::refusals;
use crate::shared::Core;
use crate::status::statuses;

/// The handlers of `hub.ingest.v1`.
#[derive(Clone)]
pub struct Handlers(Arc<Core>);

/// The service as the server mounts it.
pub type Service = IngestServiceServer<Handlers>;

pub(crate) fn service(core: Arc<Core>) -> Service {
    IngestServiceServer::new(Handlers(core)).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

type Responses = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;

fn caller_of<T>(request: &Request<T>) -> Result<Caller, Error> {
    let principal = principal_of(request).map_err(|_| Error::NoPrincipal)?;
    let trace = telemetry::trace::traceparent_of(request.metadata()).and_then(TraceContext::parse);
    Ok(Caller { principal: principal.spiffe().into(), trace })
}

/// A span of one call that continues the caller's trace.
fn span<T>(name: &'static str, request: &Request<T>) -> tracing::Span {
    let span = tracing::info_span!("ingest", call = name);
    telemetry::trace::continue_from_metadata(&span, request.metadata());
    span
}

/// The call's own span stands for the change in the log, so that the fold continues it.
fn traced(mut caller: Caller, span: &tracing::Span) -> Caller {
    let own = telemetry::trace::traceparent(span);
    caller.trace = own.as_deref().and_then(TraceContext::parse).or(caller.trace);
    caller
}

fn panicked(error: &tokio::task::JoinError) -> Error {
    tracing::error!(%error, "a call ended in a panic");
    Error::Internal
}

/// One batch of a stream: begun at once, so that it goes on whether or not its publisher reads answers.
async fn begin(
    core: Arc<Core>,
    caller: Caller,
    request: Result<PublishRequest, Status>,
) -> Result<JoinHandle<Result<BatchResult, Error>>, Status> {
    let batch = request.map_err(|status| refusal_of_transport(&status).unwrap_or(status))?.batch;
    let place = core.places.wait(&caller.principal).await?;
    Ok(carry(core, caller, batch, place))
}

fn carry(
    core: Arc<Core>,
    caller: Caller,
    batch: Option<wire::ingest::Batch>,
    place: Place,
) -> JoinHandle<Result<BatchResult, Error>> {
    let span = tracing::info_span!("publish", changes = batch.as_ref().map_or(0, |b| b.changes.len()));
    let caller = traced(caller, &span);
    tokio::spawn(publish(core, caller, batch, place).instrument(span))
}

async fn finish(begun: Result<JoinHandle<Result<BatchResult, Error>>, Status>) -> Result<PublishResponse, Status> {
    let result = begun?.await.map_err(|error| panicked(&error))??;
    Ok(PublishResponse { result: Some(result) })
}

#[tonic::async_trait]
impl IngestService for Handlers {
    type PublishStream = Responses;

    async fn publish(&self, request: Request<Streaming<PublishRequest>>) -> Result<Response<Responses>, Status> {
        let caller = caller_of(&request)?;
        let span = span("Publish", &request);
        let core = self.0.clone();
        core.check_open()?;
        let batches_max = core.limits.stream_batches_max;
        // Reading goes on only while answers are taken and fewer than `batches_max` batches are open: the rest is HTTP/2's flow control.
        // Of a hub that is to stop nothing more is read; what was read is answered, then its publisher is told to go on elsewhere.
        let (mut ending, mut ended) = (core.ending.subscribe(), core.ending.subscribe());
        let until = async move {
            // An error means that the door is gone, which is an end too.
            let _ = ending.wait_for(|ending| *ending).await;
        };
        let last = move || ended.borrow_and_update().then(|| Err(Status::from(Error::Stopping)));
        let answers = request
            .into_inner()
            .take_until(until)
            .then(move |request| begin(core.clone(), caller.clone(), request).instrument(span.clone()))
            .map(finish)
            .buffered(batches_max)
            .chain(futures::stream::once(std::future::ready(())).filter_map({
                let mut last = last;
                move |()| std::future::ready(last())
            }));
        // After an error nothing follows: what the publisher had sent behind it is answered by its retry.
        let mut failed = false;
        let answers = answers.take_while(move |answer| {
            let go_on = !failed;
            failed = answer.is_err();
            std::future::ready(go_on)
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn publish_batch(
        &self,
        request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        let caller = caller_of(&request)?;
        let span = span("PublishBatch", &request);
        let batch = request.into_inner().batch;
        let carried = async {
            let place = self.0.places.soon(&caller.principal).await?;
            Ok(carry(self.0.clone(), caller.clone(), batch, place))
        };
        let PublishResponse { result } = finish(carried.instrument(span).await).await?;
        Ok(Response::new(PublishBatchResponse { result }))
    }

    async fn get_change_status(
        &self,
        request: Request<GetChangeStatusRequest>,
    ) -> Result<Response<GetChangeStatusResponse>, Status> {
        let caller = caller_of(&request)?;
        let core = self.0.clone();
        let keys = request.into_inner().keys;
        let found = tokio::task::spawn_blocking(move || statuses(&core, &caller.principal, keys)).await;
        let statuses = found.map_err(|error| panicked(&error))??;
        Ok(Response::new(GetChangeStatusResponse { statuses }))
    }

    async fn list_rejected(
        &self,
        request: Request<ListRejectedRequest>,
    ) -> Result<Response<ListRejectedResponse>, Status> {
        let caller = caller_of(&request)?;
        let core = self.0.clone();
        let request = request.into_inner();
        let listed = tokio::task::spawn_blocking(move || refusals::list(&core, &caller.principal, &request)).await;
        Ok(Response::new(listed.map_err(|error| panicked(&error))??))
    }

    async fn redrive(&self, request: Request<RedriveRequest>) -> Result<Response<RedriveResponse>, Status> {
        let caller = caller_of(&request)?;
        let span = span("Redrive", &request);
        let caller = traced(caller, &span);
        let RedriveRequest { register, positions } = request.into_inner();
        let driven = refusals::redrive(&self.0, &caller, &register, &positions).instrument(span).await?;
        Ok(Response::new(driven))
    }

    async fn declare_expected(
        &self,
        request: Request<DeclareExpectedRequest>,
    ) -> Result<Response<DeclareExpectedResponse>, Status> {
        let caller = caller_of(&request)?;
        let core = &self.0;
        core.check_open()?;
        let order = expected(core, &caller, request.into_inner())?;
        let control = Control { actor: caller.principal.to_string(), reason: String::new(), order };
        let appended = append_control(&core.log, &control, &core.clock, &core.salts).await;
        let position = appended.map_err(|error| {
            if let ControlError::Append(error) = error {
                core.health.failed(&error, 0);
                return Error::from(error);
            }
            tracing::error!(error = %told(&error), "a declaration was not appended");
            Error::Internal
        })?;
        Ok(Response::new(DeclareExpectedResponse { position: Some(wire_position(position)) }))
    }

    async fn get_keys(&self, request: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        caller_of(&request)?;
        Ok(Response::new(GetKeysResponse { keys: signing_keys(&self.0) }))
    }
}

/// The key that signs, and those that did or will, in their order.
fn signing_keys(core: &Core) -> Vec<SigningKey> {
    let present = core.signers.present().verifier().to_string();
    let state = core.control.load();
    let mut keys: Vec<SigningKey> = Vec::with_capacity(state.signing.len().max(1));
    keys.extend(state.signing.iter().map(|period| SigningKey {
        verifier: period.verifier.clone(),
        valid_from: period.from.map(wire_time),
        valid_until: period.until.map(wire_time),
        signs: period.verifier == present,
    }));
    if !keys.iter().any(|key| key.signs) {
        let valid_from = core.key_since.get().copied().map(wire_time);
        keys.push(SigningKey { verifier: present, valid_from, valid_until: None, signs: true });
    }
    keys
}

fn expected(core: &Core, caller: &Caller, request: DeclareExpectedRequest) -> Result<Order, Error> {
    let DeclareExpectedRequest { register, record_type, commune, objects } = request;
    core.access.load().may_write(&caller.principal, &register, &record_type)?;
    let register = RegisterName::try_from(register.as_str())
        .map_err(|e| Error::Field { field: "register", description: e.to_string() })?;
    core.check_takes(&register)?;
    let state = core.control.load();
    let contract = state.current(&register).ok_or_else(|| {
        let description = "the register has no contract: register one first".into();
        Error::Field { field: "register", description }
    })?;
    contract.contract.record_type(&record_type).map_err(|e| {
        let description = format!("the register's record types are {}: send one", e.known);
        Error::Field { field: "record_type", description }
    })?;
    let is_code = commune.len() <= COMMUNE_BYTES_MAX && commune.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_code {
        let description = format!("a code has at most {COMMUNE_BYTES_MAX} letters and digits; empty for the register");
        return Err(Error::Field { field: "commune", description });
    }
    Ok(Order::Expected { register, record_type, commune, objects })
}
