//! Calls with any bytes in the place of a message, and connections that break anywhere.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Calls a method with these bytes as its message.
pub async fn call(channel: Channel, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel).max_encoding_message_size(128 << 20);
    client.ready().await.expect("an open connection");
    let answer = client.unary(Request::new(message), PathAndQuery::from_static(path), Raw).await;
    answer.map(tonic::Response::into_inner)
}

/// Calls a streaming method with these messages and returns what ended the stream of answers.
pub async fn stream(channel: Channel, path: &'static str, messages: Vec<Bytes>) -> Result<Vec<Bytes>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("an open connection");
    let messages = Request::new(tokio_stream::iter(messages));
    let mut answers = client.streaming(messages, PathAndQuery::from_static(path), Raw).await?.into_inner();
    let mut out = Vec::new();
    while let Some(answer) = answers.message().await? {
        out.push(answer);
    }
    Ok(out)
}

/// An address that leads to `target` for one connection, which breaks when the caller has sent so many bytes.
pub async fn breaking(target: SocketAddr, bytes: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (caller, _) = listener.accept().await.expect("a caller");
        let hub = TcpStream::connect(target).await.expect("the hub listens");
        let ((from_caller, mut to_caller), (mut from_hub, mut to_hub)) = (caller.into_split(), hub.into_split());
        let answering = tokio::spawn(async move { tokio::io::copy(&mut from_hub, &mut to_caller).await });
        // However it ends, the connection is over: that is what this is for.
        let _ = tokio::io::copy(&mut from_caller.take(bytes), &mut to_hub).await;
        answering.abort();
    });
    address
}
