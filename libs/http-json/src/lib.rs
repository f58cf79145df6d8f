//! The hub's gRPC services as JSON over HTTP, without a second handler.
//!
//! [`JsonLayer`] stands in front of a tonic server. What is gRPC passes through untouched; a JSON request is turned into the very gRPC request
//! that a client of the `.proto` file would send, put through the same stack of services in this process, and its answer turned
//! back. Permits, limits, access entries and errors are therefore those of gRPC, because they are made by the same code.
//!
//! * A unary method is `POST /package.Service/Method` with `application/json`, as the Connect protocol has it.
//! * A server-streaming method is server-sent events, by `POST`, or by `GET` with the request in `?message=`.
//! * `GET /openapi.json` describes all of it ([`openapi`]).
//!
//! # Invariants
//!
//! 1. Nothing is known of a service but its descriptors: JSON is protobuf's canonical mapping, and an unknown field is refused by name.
//! 2. Whatever is sent is answered with a typed error (RFC 9457, or Connect's form for its clients); a status of 5xx comes from a handler only.
//! 3. No error of this crate repeats a value of the request: names of fields only, cut to a bound.
//! 4. Bodies, answers, time to read a body and requests that are worked on are bounded ([`Options`]).
//! 5. An answer's validator (`ETag`) is a keyed hash of what it says, without what differs from one asking to the next.
//!
//! # Deliberately absent
//!
//! Methods that take a stream (HTTP/JSON has no bidirectional flow control: publishers have `PublishBatch`, or gRPC). `GET` for unary methods:
//! a person's number belongs in no URL, which proxies log. CORS: callers are programs with certificates, not pages. Compression.

mod api;
mod call;
mod door;
mod etag;
mod events;
mod message;
pub mod openapi;
mod problem;
mod read;

use std::time::Duration;

pub use api::{Api, ApiError};
pub use door::{Json, JsonLayer};

/// Where the description is served.
pub const OPENAPI_PATH: &str = "/openapi.json";

/// Bounds of the door, and what it must know of an API beyond its descriptors.
#[derive(Debug, Clone)]
pub struct Options {
    /// Largest body of a request, in bytes (inclusive).
    pub body_bytes_max: usize,
    /// Longest time to receive a body.
    pub body_timeout: Duration,
    /// Largest message of an answer, in bytes (inclusive); a handler that makes a larger one has no bound of its own.
    pub answer_bytes_max: usize,
    /// Requests that are read and answered at the same time; further ones wait, unread. Streams do not count once they have begun.
    pub requests_max: usize,
    /// A stream that has nothing to say says so after this long, so that both ends know that the other is there.
    pub heartbeat: Duration,
    /// `google.rpc.ErrorInfo.domain` of the errors that are made here.
    pub domain: &'static str,
    /// Which answers have an `ETag`; none without.
    pub validators: Option<Validators>,
    /// Streams that can be resumed.
    pub resumable: Vec<Resumable>,
}

/// How the validator of an answer is made.
#[derive(Debug, Clone)]
pub struct Validators {
    /// Key of the hash: the same at every process that answers for the same data, unknown to anybody else.
    pub key: [u8; 32],
    /// Full name of the message that tells what an answer was made from. An answer that has one as a field has a validator.
    pub basis: &'static str,
    /// Full names of fields that differ each time the same is asked, besides the basis itself.
    pub volatile: Vec<&'static str>,
    /// Headers that repeat fields of the basis, so that an answer of 304 has them: (header, field).
    pub told: Vec<(&'static str, &'static str)>,
}

/// A server-streaming method whose messages say where to go on.
#[derive(Debug, Clone)]
pub struct Resumable {
    /// Full name, such as `package.Service.Method`.
    pub method: &'static str,
    /// Path of fields to the cursor in an answer.
    pub told: &'static [&'static str],
    /// Field of the request that takes it; of the same type.
    pub asked: &'static str,
}
