//! What went wrong, as problem details (RFC 9457) or in Connect's form. The facts are those of the gRPC status.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message as _;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::Options;

/// Content type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What is answered instead of an answer.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) http: StatusCode,
    pub(crate) allow: Option<&'static str>,
    pub(crate) status: Box<Status>,
}

impl Problem {
    /// What a handler said.
    pub(crate) fn of(status: Status) -> Self {
        Self { http: http_of(status.code()), allow: None, status: Box::new(status) }
    }

    fn new(http: StatusCode, code: Code, reason: &str, what: impl Into<String>, options: &Options) -> Self {
        let details = ErrorDetails::with_error_info(reason, options.domain, HashMap::<String, String>::new());
        Self { http, allow: None, status: Box::new(Status::with_error_details(code, what, details)) }
    }

    pub(crate) fn path_unknown(options: &Options) -> Self {
        let what = "there is no such path: GET /openapi.json lists those that there are";
        Self::new(StatusCode::NOT_FOUND, Code::Unimplemented, "method_unknown", what, options)
    }

    pub(crate) fn method_not_allowed(allow: &'static str, options: &Options) -> Self {
        let what = format!("this path takes {allow}: send that");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "verb_not_allowed", what, options);
        Self { allow: Some(allow), ..problem }
    }

    pub(crate) fn not_json(options: &Options) -> Self {
        let what = "the body is not of a type that is taken: send Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "content_type", what, options)
    }

    pub(crate) fn takes_a_stream(options: &Options) -> Self {
        let what = "this method takes a stream: call it by gRPC, or its unary twin when it has one";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented, "grpc_only", what, options)
    }

    pub(crate) fn needs_http2(options: &Options) -> Self {
        let what = "gRPC needs HTTP/2: offer h2 in the handshake, or send application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented, "grpc_needs_http2", what, options)
    }

    pub(crate) fn body_bytes(options: &Options) -> Self {
        let what = format!("the body has more than {} bytes: send less at once", options.body_bytes_max);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "message_bytes", what, options)
    }

    pub(crate) fn body_timeout(options: &Options) -> Self {
        let what = format!("the body did not come within {} s: send it again", options.body_timeout.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "body_timeout", what, options)
    }

    pub(crate) fn body_broken(options: &Options) -> Self {
        let what = "the body broke off: send it again";
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "message_malformed", what, options)
    }

    pub(crate) fn timeout_malformed(options: &Options) -> Self {
        let what = "Connect-Timeout-Ms is no number of milliseconds: send digits";
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "timeout_malformed", what, options)
    }

    pub(crate) fn malformed(what: String, options: &Options) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "message_malformed", what, options)
    }

    /// A field of the request is unknown or of another type.
    pub(crate) fn field(reason: &str, field: &str, what: String, options: &Options) -> Self {
        let mut details = ErrorDetails::with_error_info(reason, options.domain, HashMap::<String, String>::new());
        details.add_bad_request_violation(field, &what);
        let whole = if field.is_empty() { what } else { format!("{field}: {what}") };
        Self::of(Status::with_error_details(Code::InvalidArgument, whole, details))
    }

    /// The hub's own fault.
    pub(crate) fn internal(options: &Options) -> Self {
        let what = "the answer cannot be shown as JSON: the operator finds the reason in the hub's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "internal", what, options)
    }

    /// Members of problem details.
    pub(crate) fn details(&self) -> Value {
        let mut out = Map::new();
        let title = self.http.canonical_reason().unwrap_or("Client Closed Request");
        out.insert("type".into(), "about:blank".into());
        out.insert("title".into(), title.into());
        out.insert("status".into(), self.http.as_u16().into());
        out.insert("detail".into(), self.status.message().into());
        out.insert("code".into(), name_of(self.status.code()).into());
        let details = self.status.get_error_details();
        if let Some(info) = details.error_info() {
            out.insert("reason".into(), info.reason.as_str().into());
            out.insert("domain".into(), info.domain.as_str().into());
            if !info.metadata.is_empty() {
                out.insert("metadata".into(), json!(info.metadata));
            }
        }
        if let Some(request) = details.bad_request().filter(|request| !request.field_violations.is_empty()) {
            let violations = request.field_violations.iter();
            let violations = violations.map(|v| json!({ "field": v.field, "description": v.description }));
            out.insert("violations".into(), violations.collect());
        }
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            out.insert("retryAfterMs".into(), u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).into());
        }
        Value::Object(out)
    }

    /// The same as clients of Connect read it.
    pub(crate) fn connect(&self) -> Value {
        // Details that cannot be read are a server's of another make: code and message say enough.
        let packed = tonic_types::Status::decode(self.status.details()).unwrap_or_default();
        let details = packed.details.iter().map(|any| {
            let kind = any.type_url.rsplit('/').next().unwrap_or_default();
            json!({ "type": kind, "value": STANDARD_NO_PAD.encode(&any.value) })
        });
        let details: Vec<Value> = details.collect();
        json!({ "code": name_of(self.status.code()), "message": self.status.message(), "details": details })
    }

    /// Headers besides the content type.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(delay) = self.status.get_error_details().retry_info().and_then(|info| info.retry_delay) {
            // In whole seconds, and never less than what was said.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        headers
    }
}

/// The status of HTTP for one of gRPC (google/rpc/code.proto).
pub(crate) fn http_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).expect("three digits"),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A code's name as Connect writes it.
fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "canceled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
