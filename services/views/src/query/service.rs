//! The handlers: who asks, the answer, its account.

use std::time::Instant;

use identity::principal_of;
use record::Timestamp;
use record::access::Action;
use telemetry::{Action as Counted, Decision as Ended};
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;
use wire::query::query_service_server::QueryService;
use wire::query::{
    CheckProcedureRequest, CheckProcedureResponse, CompareRequest, ExplainLinkRequest, ExplainLinkResponse,
    GetHeadsRequest, GetHeadsResponse, GetQualityHistoryRequest, GetQualityHistoryResponse, GetQualityRequest,
    GetQualityResponse, GetStatusRequest, GetStatusResponse, GetSubjectRequest, GetSubjectResponse,
    ListAccessesRequest, ListAccessesResponse, ListFindingsRequest, ListFindingsResponse, ListReviewsRequest,
    ListReviewsResponse, Purpose, ReproduceAnswerRequest, SearchRequest, SearchResponse, WatchRequest,
};

use super::account::{Asked, Failure, Told};
use super::error::Error;
use super::procedure::Language;
use super::told::time;
use super::wait::Patience;
use super::{Core, Query};
use super::{compare, reproduce, watch};

/// The times of a request, or what is wrong with them.
type Times = Result<(Option<Timestamp>, Option<Timestamp>), Error>;

fn caller_of<T>(request: &Request<T>) -> Result<String, Error> {
    principal_of(request).map(|p| p.spiffe().to_owned()).or(Err(Error::NoPrincipal))
}

fn span<T>(name: &'static str, request: &Request<T>) -> tracing::Span {
    let span = tracing::info_span!("query", call = name);
    telemetry::trace::continue_from_metadata(&span, request.metadata());
    span
}

impl Core {
    fn asked(&self, action: Action, counted: Counted, caller: String, purpose: Option<&Purpose>) -> Asked {
        let text = |of: fn(&Purpose) -> &String| purpose.map(of).cloned().unwrap_or_default();
        Asked {
            action,
            counted,
            caller,
            procedure: text(|p| &p.procedure),
            case: text(|p| &p.case_number),
            at: self.now(),
            known_at: None,
            valid_at: None,
            begun: Instant::now(),
        }
    }

    /// A question about where a register stands.
    fn asked_standing(&self, procedure: &str, caller: String, case: &str) -> Asked {
        let mut asked = self.asked(Action::Operate, Counted::Standing, caller, None);
        (asked.procedure, asked.case) = (procedure.to_owned(), case.to_owned());
        asked
    }

    /// A question about the hub itself: only its refusal is an access entry.
    pub(super) async fn of_hub<T>(&self, asked: Asked, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Ok(response) => {
                self.metrics.request(asked.counted, Ended::Answered, asked.begun.elapsed());
                Ok(response)
            }
            Err(error) => {
                let failure: Result<Told<T>, Failure> = Err(error.into());
                self.conclude(asked, failure).await.map(|(response, _)| response)
            }
        }
    }
}

fn times(known_at: Option<&prost_types::Timestamp>, valid_at: Option<&prost_types::Timestamp>) -> Times {
    Ok((time("known_at", known_at)?, time("valid_at", valid_at)?))
}

#[tonic::async_trait]
impl QueryService for Query {
    async fn get_subject(&self, request: Request<GetSubjectRequest>) -> Result<Response<GetSubjectResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("GetSubject", &request));
        let patience = Patience::of(request.metadata(), core.options.wait_max);
        let request = request.into_inner();
        let mut asked = core.asked(Action::GetSubject, Counted::GetSubject, caller, request.purpose.as_ref());
        let answer = async {
            let result = match times(request.known_at.as_ref(), request.valid_at.as_ref()) {
                Ok((known_at, valid_at)) => {
                    (asked.known_at, asked.valid_at) = (known_at, valid_at);
                    core.get_subject(&asked, request, patience).await
                }
                Err(error) => Err(error.into()),
            };
            core.conclude(asked, result).await
        };
        let (mut response, basis) = Box::pin(answer).instrument(span).await?;
        response.basis = Some(basis);
        Ok(Response::new(response))
    }

    async fn check_procedure(
        &self,
        request: Request<CheckProcedureRequest>,
    ) -> Result<Response<CheckProcedureResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("CheckProcedure", &request));
        let patience = Patience::of(request.metadata(), core.options.wait_max);
        let language = Language::of(request.metadata());
        let request = request.into_inner();
        let mut asked = core.asked(Action::CheckProcedure, Counted::CheckProcedure, caller, request.purpose.as_ref());
        let answer = async {
            let result = match times(request.known_at.as_ref(), request.valid_at.as_ref()) {
                Ok((known_at, valid_at)) => {
                    (asked.known_at, asked.valid_at) = (known_at, valid_at);
                    core.check_procedure(&asked, request, patience, language).await
                }
                Err(error) => Err(error.into()),
            };
            core.conclude(asked, result).await
        };
        let (mut response, basis) = Box::pin(answer).instrument(span).await?;
        response.basis = Some(basis);
        Ok(Response::new(response))
    }

    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("Search", &request));
        let request = request.into_inner();
        let asked = core.asked(Action::Search, Counted::Search, caller, request.purpose.as_ref());
        let answer = async {
            let result = core.search(&asked, request).await;
            core.conclude(asked, result).await
        };
        let (mut response, basis) = Box::pin(answer).instrument(span).await?;
        response.basis = Some(basis);
        Ok(Response::new(response))
    }

    async fn list_accesses(
        &self,
        request: Request<ListAccessesRequest>,
    ) -> Result<Response<ListAccessesResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("ListAccesses", &request));
        let request = request.into_inner();
        let asked = core.asked(Action::ListAccesses, Counted::ListAccesses, caller, request.purpose.as_ref());
        let answer = async {
            let result = core.list_accesses(&asked, request).await;
            core.conclude(asked, result).await
        };
        let (mut response, basis) = Box::pin(answer).instrument(span).await?;
        response.basis = Some(basis);
        Ok(Response::new(response))
    }

    async fn explain_link(
        &self,
        request: Request<ExplainLinkRequest>,
    ) -> Result<Response<ExplainLinkResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("ExplainLink", &request));
        let request = request.into_inner();
        let asked = core.asked(Action::ExplainLink, Counted::ExplainLink, caller, request.purpose.as_ref());
        let answer = async {
            let result = core.explain_link(&asked, request).await;
            core.conclude(asked, result).await
        };
        let (mut response, basis) = Box::pin(answer).instrument(span).await?;
        response.basis = Some(basis);
        Ok(Response::new(response))
    }

    type WatchStream = watch::Responses;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("Watch", &request));
        let request = request.into_inner();
        let asked = core.asked(Action::Watch, watch::COUNTED, caller, request.purpose.as_ref());
        Ok(Response::new(span.in_scope(|| core.watch(asked, request))))
    }

    type ReproduceAnswerStream = reproduce::Responses;

    async fn reproduce_answer(
        &self,
        request: Request<ReproduceAnswerRequest>,
    ) -> Result<Response<Self::ReproduceAnswerStream>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("ReproduceAnswer", &request));
        let request = request.into_inner();
        let mut asked = core.asked(Action::Operate, reproduce::COUNTED, caller, None);
        (asked.procedure, asked.case) = ("audit.reproduce".to_owned(), request.case_number.clone());
        let answers = Box::pin(core.reproduce(asked, request)).instrument(span).await?;
        Ok(Response::new(answers))
    }

    async fn list_reviews(
        &self,
        request: Request<ListReviewsRequest>,
    ) -> Result<Response<ListReviewsResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("ListReviews", &request));
        let request = request.into_inner();
        let asked = core.asked(Action::ListReviews, Counted::ListReviews, caller, request.purpose.as_ref());
        let answer = async {
            let result = core.list_reviews(&asked, request).await;
            core.conclude(asked, result).await
        };
        let (mut response, basis) = Box::pin(answer).instrument(span).await?;
        response.basis = Some(basis);
        Ok(Response::new(response))
    }

    async fn get_heads(&self, request: Request<GetHeadsRequest>) -> Result<Response<GetHeadsResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("GetHeads", &request));
        let request = request.into_inner();
        let asked = core.asked_standing("register.heads", caller, &request.case_number);
        let answer = async {
            let result = core.get_heads(&asked, request).await;
            core.conclude_standing(asked, result).await
        };
        Ok(Response::new(Box::pin(answer).instrument(span).await?))
    }

    type CompareStream = compare::Responses;

    async fn compare(
        &self,
        request: Request<Streaming<CompareRequest>>,
    ) -> Result<Response<Self::CompareStream>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("Compare", &request));
        let asked = core.asked_standing("register.compare", caller, "");
        let answers = Box::pin(core.compare(asked, request.into_inner())).instrument(span).await?;
        Ok(Response::new(answers))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("ListFindings", &request));
        let request = request.into_inner();
        let asked = core.asked_standing("register.findings", caller, &request.case_number);
        let answer = async {
            let result = core.list_findings(&asked, request).await;
            core.conclude_standing(asked, result).await
        };
        Ok(Response::new(Box::pin(answer).instrument(span).await?))
    }

    async fn get_quality(&self, request: Request<GetQualityRequest>) -> Result<Response<GetQualityResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("GetQuality", &request));
        let asked = core.asked(Action::Operate, Counted::GetQuality, caller, None);
        let answer = async {
            let result = core.get_quality(&asked.caller, request.into_inner()).await;
            core.of_hub(asked, result).await
        };
        Ok(Response::new(Box::pin(answer).instrument(span).await?))
    }

    async fn get_quality_history(
        &self,
        request: Request<GetQualityHistoryRequest>,
    ) -> Result<Response<GetQualityHistoryResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("GetQualityHistory", &request));
        let asked = core.asked(Action::Operate, Counted::GetQuality, caller, None);
        let answer = async {
            let result = core.get_quality_history(&asked.caller, request.into_inner()).await;
            core.of_hub(asked, result).await
        };
        Ok(Response::new(Box::pin(answer).instrument(span).await?))
    }

    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let (core, caller, span) = (&self.0, caller_of(&request)?, span("GetStatus", &request));
        let asked = core.asked(Action::Operate, Counted::GetStatus, caller, None);
        let answer = async {
            let result = core.get_status(&asked.caller);
            core.of_hub(asked, result).await
        };
        Ok(Response::new(Box::pin(answer).instrument(span).await?))
    }
}
