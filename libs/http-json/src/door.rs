//! The layer: what is gRPC passes, what is JSON is turned, everything else is told what to send.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode, Version, header, request};
use http_body_util::Full;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::api::{Api, Method, Shape};
use crate::call::{self, Answers};
use crate::message::{decode, from_json, to_json};
use crate::problem::{PROBLEM_JSON, Problem};
use crate::{OPENAPI_PATH, etag, events, read};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// A person's data is kept by nobody on the way.
const NOT_KEPT: &str = "no-store";
/// It may be kept by who asked, and is asked for again.
const CHECKED: &str = "private, no-cache";

/// Puts JSON in front of a gRPC service.
#[derive(Debug, Clone)]
pub struct JsonLayer {
    api: Arc<Api>,
    places: Arc<Semaphore>,
}

impl JsonLayer {
    /// A layer that serves `api`.
    pub fn new(api: Api) -> Self {
        let places = Arc::new(Semaphore::new(api.options.requests_max.max(1)));
        Self { api: Arc::new(api), places }
    }
}

impl<S> Layer<S> for JsonLayer {
    type Service = Json<S>;

    fn layer(&self, inner: S) -> Json<S> {
        Json { inner, door: self.clone() }
    }
}

/// A gRPC service that also speaks JSON.
#[derive(Debug, Clone)]
pub struct Json<S> {
    inner: S,
    door: JsonLayer,
}

impl<S> Service<Request<Body>> for Json<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if read::is_grpc(request.headers()) && request.version() == Version::HTTP_2 {
            return self.inner.call(request).boxed();
        }
        let (door, inner) = (self.door.clone(), self.inner.clone());
        async move { Ok(door.answer(inner, request).await) }.boxed()
    }
}

/// An answer before it is bytes.
struct Answer {
    status: StatusCode,
    kind: &'static str,
    headers: HeaderMap,
    body: Body,
}

impl JsonLayer {
    async fn answer<S>(&self, inner: S, request: Request<Body>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let (head, body) = request.into_parts();
        let connect = head.headers.contains_key("connect-protocol-version");
        let answer = self.route(inner, head, body).await.unwrap_or_else(|problem| told(&problem, connect));
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        *headers = answer.headers;
        if answer.status != StatusCode::NOT_MODIFIED {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.kind));
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(NOT_KEPT));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn route<S>(&self, inner: S, head: request::Parts, body: Body) -> Result<Answer, Problem>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let (api, path) = (&*self.api, head.uri.path());
        if path == OPENAPI_PATH {
            return described(api, &head);
        }
        let method = api.method(path).ok_or_else(|| Problem::path_unknown(&api.options))?;
        if read::is_grpc(&head.headers) {
            return Err(Problem::needs_http2(&api.options));
        }
        match method.shape {
            Shape::GrpcOnly => Err(Problem::takes_a_stream(&api.options)),
            Shape::Unary if head.method != Verb::POST => Err(Problem::method_not_allowed("POST", &api.options)),
            Shape::Unary => self.unary(inner, method, head, body).await,
            Shape::Events(_) => self.events(inner, method, head, body).await,
        }
    }

    async fn unary<S>(&self, inner: S, method: &Method, head: request::Parts, body: Body) -> Result<Answer, Problem>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let (api, options) = (&*self.api, &self.api.options);
        // The semaphore is never closed.
        let _place = self.places.acquire().await.map_err(|_closed| Problem::internal(options))?;
        let request = self.posted(method, &head, body).await?;
        let metadata = read::metadata(&head.headers, options)?;
        let path = method.path();
        let response = call::send(inner, &path, metadata, head.extensions, &request.encode_to_vec()).await;
        let bytes = Answers::of(response, options.answer_bytes_max).only().await.map_err(Problem::of)?;
        let answer = decode(&method.descriptor.output(), bytes, options)?;
        let mut headers = etag::of(api, method, &answer)?;
        if headers.contains_key(header::ETAG) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CHECKED));
        }
        if etag::matches(&head.headers, headers.get(header::ETAG)) {
            return Ok(Answer { status: StatusCode::NOT_MODIFIED, kind: JSON, headers, body: Body::empty() });
        }
        let body = text(&to_json(&answer, options)?);
        Ok(Answer { status: StatusCode::OK, kind: JSON, headers, body })
    }

    async fn events<S>(&self, inner: S, method: &Method, head: request::Parts, body: Body) -> Result<Answer, Problem>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let options = &self.api.options;
        let place = self.places.acquire().await.map_err(|_closed| Problem::internal(options))?;
        let mut request = match head.method {
            Verb::GET => {
                let json = read::parameter(head.uri.query().unwrap_or_default(), "message").unwrap_or_default();
                from_json(&method.descriptor.input(), json.as_bytes(), options)?
            }
            Verb::POST => self.posted(method, &head, body).await?,
            _ => return Err(Problem::method_not_allowed("GET, POST", options)),
        };
        if let (Shape::Events(Some(cursor)), Some(id)) = (&method.shape, head.headers.get("last-event-id")) {
            events::resume(&mut request, cursor, id, options)?;
        }
        let metadata = read::metadata(&head.headers, options)?;
        let path = method.path();
        let response = call::send(inner, &path, metadata, head.extensions, &request.encode_to_vec()).await;
        drop(place);
        let body = events::body(Answers::of(response, options.answer_bytes_max), method, options).await?;
        Ok(Answer { status: StatusCode::OK, kind: EVENTS, headers: HeaderMap::new(), body })
    }

    async fn posted(&self, method: &Method, head: &request::Parts, body: Body) -> Result<DynamicMessage, Problem> {
        let options = &self.api.options;
        if !read::is_json(&head.headers) {
            return Err(Problem::not_json(options));
        }
        from_json(&method.descriptor.input(), &read::body(body, options).await?, options)
    }
}

fn text(json: &Value) -> Body {
    Body::new(Full::new(Bytes::from(json.to_string())))
}

fn told(problem: &Problem, connect: bool) -> Answer {
    let (kind, json) = if connect { (JSON, problem.connect()) } else { (PROBLEM_JSON, problem.details()) };
    Answer { status: problem.http, kind, headers: problem.headers(), body: text(&json) }
}

fn described(api: &Api, head: &request::Parts) -> Result<Answer, Problem> {
    if head.method != Verb::GET && head.method != Verb::HEAD {
        return Err(Problem::method_not_allowed("GET, HEAD", &api.options));
    }
    let tag = HeaderValue::from_str(&api.description_tag).expect("hexadecimal digits");
    let unchanged = etag::matches(&head.headers, Some(&tag));
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static(CHECKED))];
    let headers = HeaderMap::from_iter(headers);
    if unchanged {
        return Ok(Answer { status: StatusCode::NOT_MODIFIED, kind: JSON, headers, body: Body::empty() });
    }
    let body = Body::new(Full::new(api.description.clone()));
    Ok(Answer { status: StatusCode::OK, kind: JSON, headers, body })
}
