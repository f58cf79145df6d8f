//! What `hub.admin.v1` is answered by a process that keeps no views: which contracts are in force, so that a publisher needs no other process.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use event_log::EventLog;
use projection::state::ControlState;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::service_fn;
use wire::admin::admin_service_server::SERVICE_NAME;
use wire::admin::{GetContractRequest, ListContractsRequest};

use super::{caller_of, contracts};

const GET: &str = "/hub.admin.v1.AdminService/GetContract";
const LIST: &str = "/hub.admin.v1.AdminService/ListContracts";

/// Answers by the control stream.
#[derive(Clone)]
pub(crate) struct ContractReads {
    log: EventLog,
    control: Arc<ArcSwap<ControlState>>,
}

impl ContractReads {
    pub(crate) fn new(log: EventLog, control: Arc<ArcSwap<ControlState>>) -> Self {
        Self { log, control }
    }
}

impl NamedService for ContractReads {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for ContractReads {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let reads = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                GET => {
                    let get = move |request: Request<GetContractRequest>| {
                        let reads = reads.clone();
                        async move {
                            caller_of(&request)?;
                            let control = reads.control.load_full();
                            let answer = contracts::get(&reads.log, &control, request.into_inner()).await?;
                            Ok(Response::new(answer))
                        }
                    };
                    answer(get, request).await
                }
                LIST => {
                    let list = move |request: Request<ListContractsRequest>| {
                        let control = reads.control.load_full();
                        async move {
                            caller_of(&request)?;
                            Ok(Response::new(contracts::list(&control)))
                        }
                    };
                    answer(list, request).await
                }
                _ => no_views().into_http(),
            })
        })
    }
}

async fn answer<Q, A, F>(handler: impl FnMut(Request<Q>) -> F, request: http::Request<Body>) -> http::Response<Body>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
    F: Future<Output = Result<Response<A>, Status>>,
{
    Grpc::new(ProstCodec::<A, Q>::default()).unary(service_fn(handler), request).await
}

fn no_views() -> Status {
    let details = ErrorDetails::with_error_info("no_views", "hub", std::collections::HashMap::<String, String>::new());
    let message = "this process keeps no views, and takes no commands: ask one with the role views or audit";
    Status::with_error_details(Code::Unimplemented, message, details)
}
