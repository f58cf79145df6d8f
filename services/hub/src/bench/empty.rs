//! Handlers that do nothing: what the transport alone can do on this machine.

use std::net::SocketAddr;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use ingest::MESSAGE_BYTES_MAX;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use wire::ingest::ingest_service_server::{IngestService, IngestServiceServer};
use wire::ingest::{
    BatchResult, DeclareExpectedRequest, DeclareExpectedResponse, GetChangeStatusRequest, GetChangeStatusResponse,
    GetKeysRequest, GetKeysResponse, ListRejectedRequest, ListRejectedResponse, PublishBatchRequest,
    PublishBatchResponse, PublishRequest, PublishResponse, RedriveRequest, RedriveResponse,
};
use wire::query::query_service_server::{QueryService, QueryServiceServer};
use wire::query::{
    CheckProcedureRequest, CheckProcedureResponse, CompareRequest, CompareResponse, ExplainLinkRequest,
    ExplainLinkResponse, GetHeadsRequest, GetHeadsResponse, GetQualityHistoryRequest, GetQualityHistoryResponse,
    GetQualityRequest, GetQualityResponse, GetStatusRequest, GetStatusResponse, GetSubjectRequest, GetSubjectResponse,
    ListAccessesRequest, ListAccessesResponse, ListFindingsRequest, ListFindingsResponse, ListReviewsRequest,
    ListReviewsResponse, ReproduceAnswerRequest, ReproduceAnswerResponse, SearchRequest, SearchResponse, WatchRequest,
    WatchResponse,
};

use crate::config::Config;
use crate::error::CommandError;
use crate::listening::listen;

/// A server of handlers that do nothing.
pub(super) struct Idle {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Starts it with the same certificates.
pub(super) async fn start(config: &Config) -> Result<Idle, CommandError> {
    let (incoming, address) = listen(config).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Server::builder()
        .add_service(IngestServiceServer::new(Nothing).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(QueryServiceServer::new(Nothing));
    let stopped = async move {
        // An error means that it was dropped: that stops it too.
        let _ = stopped.await;
    };
    let serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming.into_stream(), stopped));
    Ok(Idle { address, stop, serving })
}

impl Idle {
    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        self.serving.abort();
        let _ = self.serving.await;
    }
}

struct Nothing;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl IngestService for Nothing {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;

    async fn publish(&self, request: Request<Streaming<PublishRequest>>) -> Answer<Self::PublishStream> {
        let answers = request.into_inner().map(|request| {
            let sequence = request?.batch.map_or(0, |batch| batch.sequence);
            Ok(PublishResponse { result: Some(BatchResult { sequence, ..Default::default() }) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn publish_batch(&self, _: Request<PublishBatchRequest>) -> Answer<PublishBatchResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_change_status(&self, _: Request<GetChangeStatusRequest>) -> Answer<GetChangeStatusResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn list_rejected(&self, _: Request<ListRejectedRequest>) -> Answer<ListRejectedResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn redrive(&self, _: Request<RedriveRequest>) -> Answer<RedriveResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn declare_expected(&self, _: Request<DeclareExpectedRequest>) -> Answer<DeclareExpectedResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_keys(&self, _: Request<GetKeysRequest>) -> Answer<GetKeysResponse> {
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl QueryService for Nothing {
    async fn get_subject(&self, _: Request<GetSubjectRequest>) -> Answer<GetSubjectResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn check_procedure(&self, _: Request<CheckProcedureRequest>) -> Answer<CheckProcedureResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn search(&self, _: Request<SearchRequest>) -> Answer<SearchResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn list_accesses(&self, _: Request<ListAccessesRequest>) -> Answer<ListAccessesResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn explain_link(&self, _: Request<ExplainLinkRequest>) -> Answer<ExplainLinkResponse> {
        Ok(Response::new(Default::default()))
    }

    type ReproduceAnswerStream = Pin<Box<dyn Stream<Item = Result<ReproduceAnswerResponse, Status>> + Send>>;

    async fn reproduce_answer(
        &self,
        _: Request<ReproduceAnswerRequest>,
    ) -> Result<Response<Self::ReproduceAnswerStream>, Status> {
        Ok(Response::new(Box::pin(futures::stream::empty())))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        Ok(Response::new(Box::pin(futures::stream::empty())))
    }

    async fn list_reviews(&self, _: Request<ListReviewsRequest>) -> Answer<ListReviewsResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_heads(&self, _: Request<GetHeadsRequest>) -> Answer<GetHeadsResponse> {
        Ok(Response::new(Default::default()))
    }

    type CompareStream = Pin<Box<dyn Stream<Item = Result<CompareResponse, Status>> + Send>>;

    async fn compare(&self, _: Request<Streaming<CompareRequest>>) -> Answer<Self::CompareStream> {
        Ok(Response::new(Box::pin(futures::stream::empty())))
    }

    async fn list_findings(&self, _: Request<ListFindingsRequest>) -> Answer<ListFindingsResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_quality(&self, _: Request<GetQualityRequest>) -> Answer<GetQualityResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_quality_history(&self, _: Request<GetQualityHistoryRequest>) -> Answer<GetQualityHistoryResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Answer<GetStatusResponse> {
        Ok(Response::new(Default::default()))
    }
}
