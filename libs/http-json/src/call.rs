//! One call of the service in this process: a gRPC request out, frames in.

use std::convert::Infallible;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{Extensions, HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

/// What stands before each message: a flag and a length.
const FRAME_HEAD: usize = 5;

/// Sends one message to a method.
pub(crate) async fn send<S>(
    service: S,
    path: &str,
    metadata: HeaderMap,
    extensions: Extensions,
    message: &[u8],
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a body is bounded by far less than 4 GiB"));
    frame.put_slice(message);
    let mut request = Request::new(Body::new(Full::new(frame.freeze())));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::try_from(path).expect("the path of a request that was routed");
    *request.headers_mut() = metadata;
    *request.extensions_mut() = extensions;
    match service.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The messages of an answer, one after the other.
pub(crate) struct Answers {
    body: Body,
    received: BytesMut,
    message_bytes_max: usize,
    /// The end, once it is known.
    end: Option<Result<(), Status>>,
}

impl Answers {
    /// Reads an answer of gRPC.
    pub(crate) fn of(response: Response<Body>, message_bytes_max: usize) -> Self {
        let (head, body) = response.into_parts();
        // A refusal may have a head only.
        let end = Status::from_header_map(&head.headers).map(ended);
        Self { body, received: BytesMut::new(), message_bytes_max, end }
    }

    /// The next message, `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What the handler ended with.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            if let Some(end) = &self.end {
                return end.clone().map(|()| None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.received.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.end = Some(Status::from_header_map(&trailers).map_or(Err(cut_off()), ended));
                    }
                },
                Some(Err(status)) => self.end = Some(Err(status)),
                None => self.end = Some(Err(cut_off())),
            }
        }
    }

    /// The only message.
    ///
    /// # Errors
    /// What the handler ended with, also when it did so after an answer.
    pub(crate) async fn only(mut self) -> Result<Bytes, Status> {
        let message = self.next().await?.ok_or_else(cut_off)?;
        while self.next().await?.is_some() {}
        Ok(message)
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(mut head) = self.received.get(..FRAME_HEAD) else { return Ok(None) };
        let compressed = head.get_u8();
        let length = head.get_u32() as usize;
        // Nothing was said to be taken compressed.
        if compressed != 0 || length > self.message_bytes_max {
            return Err(Status::new(Code::Internal, "the answer has a form that cannot be shown as JSON"));
        }
        if self.received.len() < FRAME_HEAD + length {
            return Ok(None);
        }
        self.received.advance(FRAME_HEAD);
        Ok(Some(self.received.split_to(length).freeze()))
    }
}

fn ended(status: Status) -> Result<(), Status> {
    if status.code() == Code::Ok { Ok(()) } else { Err(status) }
}

fn cut_off() -> Status {
    Status::new(Code::Unavailable, "the answer broke off: ask again")
}
