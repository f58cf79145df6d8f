//! A connection that has been let in, and who is behind it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::principal::Principal;

/// What every request on a connection knows of its caller; tonic puts it into the request's extensions.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Who calls.
    pub principal: Principal,
    /// From where; absent when the system no longer knows.
    pub remote: Option<SocketAddr>,
}

/// The request did not come over a connection of [`crate::Incoming`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request carries no principal")]
pub struct NoPrincipal;

/// Who sent a request.
///
/// # Errors
/// The server was not started on [`crate::Incoming`]: a fault of the hub, not of the caller.
pub fn principal_of<T>(request: &tonic::Request<T>) -> Result<&Principal, NoPrincipal> {
    request.extensions().get::<PeerInfo>().map(|peer| &peer.principal).ok_or(NoPrincipal)
}

#[derive(Debug)]
enum Transport {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// A connection with a known principal. Dropping it frees its place among the connections.
#[derive(Debug)]
pub struct PeerIo {
    transport: Transport,
    peer: PeerInfo,
    _place: OwnedSemaphorePermit,
}

impl PeerIo {
    pub(crate) fn tls(stream: TlsStream<TcpStream>, peer: PeerInfo, place: OwnedSemaphorePermit) -> Self {
        Self { transport: Transport::Tls(Box::new(stream)), peer, _place: place }
    }

    pub(crate) fn plain(stream: TcpStream, peer: PeerInfo, place: OwnedSemaphorePermit) -> Self {
        Self { transport: Transport::Plain(stream), peer, _place: place }
    }
}

impl Connected for PeerIo {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for PeerIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tls(stream) => stream.is_write_vectored(),
            Transport::Plain(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
