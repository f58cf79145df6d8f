//! Streams of answers as server-sent events (HTML Living Standard, section 9.2).
//!
//! Each message is one event whose data is its JSON. A message that tells a cursor has an id: the request's cursor field, serialised and
//! base64url. A browser or any other reader that comes again sends it as `Last-Event-ID`. The last event is `end`, or `error` with problem
//! details; a comment in between says that the hub is there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::Options;
use crate::api::{Cursor, Method, Shape};
use crate::call::Answers;
use crate::message::{decode, to_json};
use crate::problem::Problem;

/// Sets the cursor of a request from the id of the last event that its sender has seen.
pub(crate) fn resume(
    request: &mut DynamicMessage,
    cursor: &Cursor,
    id: &HeaderValue,
    options: &Options,
) -> Result<(), Problem> {
    let malformed = || {
        let what = "Last-Event-ID is none of this stream: send the id of its last event, or none".to_owned();
        Problem::malformed(what, options)
    };
    let bytes = URL_SAFE_NO_PAD.decode(id.as_bytes()).map_err(|_not_base64| malformed())?;
    let mut told = DynamicMessage::decode(request.descriptor(), bytes.as_slice()).map_err(|_no_message| malformed())?;
    let found = told.take_field(&cursor.asked).ok_or_else(malformed)?;
    // Nothing else may come in by this way.
    if told.fields().next().is_some() || told.unknown_fields().next().is_some() {
        return Err(malformed());
    }
    request.set_field(&cursor.asked, found);
    Ok(())
}

/// The id of a message's event, when the message tells where to go on.
fn id(message: &DynamicMessage, method: &Method, cursor: &Cursor) -> Option<String> {
    let (last, way) = cursor.told.split_last()?;
    let mut at = message.clone();
    for field in way {
        at = match at.take_field(field)? {
            Value::Message(next) => next,
            _ => return None,
        };
    }
    let value = at.take_field(last)?;
    let mut request = DynamicMessage::new(method.descriptor.input());
    request.set_field(&cursor.asked, value);
    Some(URL_SAFE_NO_PAD.encode(request.encode_to_vec()))
}

fn event(method: &Method, bytes: Bytes, options: &Options) -> Result<String, Problem> {
    let message = decode(&method.descriptor.output(), bytes, options)?;
    let id = match &method.shape {
        Shape::Events(Some(cursor)) => id(&message, method, cursor),
        Shape::Events(None) | Shape::Unary | Shape::GrpcOnly => None,
    };
    // JSON has no line breaks outside of strings here, and escapes those within.
    let data = to_json(&message, options)?;
    Ok(id.map(|id| format!("id: {id}\n")).unwrap_or_default() + &format!("data: {data}\n\n"))
}

struct Events {
    answers: Answers,
    method: Method,
    options: Options,
    first: Option<Bytes>,
}

impl Events {
    /// The next piece, and whether more follow.
    async fn next(&mut self) -> (String, bool) {
        let answer = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => match tokio::time::timeout(self.options.heartbeat, self.answers.next()).await {
                Ok(answer) => answer,
                Err(_elapsed) => return (":\n\n".to_owned(), true),
            },
        };
        let problem = match answer {
            Ok(Some(bytes)) => match event(&self.method, bytes, &self.options) {
                Ok(event) => return (event, true),
                Err(problem) => problem,
            },
            Ok(None) => return ("event: end\ndata: {}\n\n".to_owned(), false),
            Err(status) => Problem::of(status),
        };
        (format!("event: error\ndata: {}\n\n", problem.details()), false)
    }
}

/// The events of a stream of answers. A stream that is refused at once is a problem, with its status.
pub(crate) async fn body(mut answers: Answers, method: &Method, options: &Options) -> Result<Body, Problem> {
    // A refusal comes at once; what takes longer than this to begin has been let in.
    let first = match tokio::time::timeout(BEGIN, answers.next()).await {
        Ok(Ok(first)) => first,
        Ok(Err(status)) if status.code() == Code::Ok => None,
        Ok(Err(status)) => return Err(Problem::of(status)),
        Err(_elapsed) => None,
    };
    let events = Events { answers, method: method.clone(), options: options.clone(), first };
    let pieces = stream::unfold(Some(events), |state| async move {
        let mut events = state?;
        let (piece, more) = events.next().await;
        let frame: Result<Frame<Bytes>, Status> = Ok(Frame::data(Bytes::from(piece)));
        Some((frame, more.then_some(events)))
    });
    Ok(Body::new(StreamBody::new(pieces)))
}

/// How long the head of an answer waits for the first message.
const BEGIN: Duration = Duration::from_millis(500);
