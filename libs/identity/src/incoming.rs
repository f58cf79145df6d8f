//! Accepting connections: bounded in number, each handshake bounded in time, each refusal logged with its reason.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::peer::{PeerInfo, PeerIo};
use crate::principal::Principal;
use crate::refusal::CertificateRefusal;
use crate::server::ServerTls;
use crate::verifier;

/// After a failed accept (such as no file descriptors left) the next try waits this long, so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How much strangers may take of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Handshakes that run at the same time; further peers wait in the system's queue. At least 1.
    pub handshakes: usize,
    /// Longest handshake; a slower peer is dropped.
    pub handshake_timeout: Duration,
    /// Open connections; a peer beyond them is dropped. At least 1.
    pub connections: usize,
}

impl Default for ConnectionLimits {
    /// 64 handshakes of 10 seconds, 4,096 connections.
    fn default() -> Self {
        Self { handshakes: 64, handshake_timeout: Duration::from_secs(10), connections: 4096 }
    }
}

/// Why connections without TLS cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PlaintextError {
    /// Other machines can reach the address.
    #[error("without TLS the hub listens on a loopback address only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The listener does not tell its address.
    #[error("the listener's address cannot be read")]
    Address(#[source] io::Error),
}

enum Admission {
    Tls(ServerTls),
    /// Development: everybody on this machine is this principal.
    Plaintext(Principal),
}

/// A listener whose connections have a principal.
pub struct Incoming {
    listener: TcpListener,
    admission: Arc<Admission>,
    limits: ConnectionLimits,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Option<PeerIo>>,
}

impl Incoming {
    /// Requires a client certificate on every connection of `listener`.
    pub fn tls(listener: TcpListener, tls: ServerTls, limits: ConnectionLimits) -> Self {
        Self::new(listener, Admission::Tls(tls), limits)
    }

    /// Takes every connection as `principal`, without TLS. For development.
    ///
    /// # Errors
    /// `listener` is bound to an address that is not loopback.
    pub fn plaintext(
        listener: TcpListener,
        principal: Principal,
        limits: ConnectionLimits,
    ) -> Result<Self, PlaintextError> {
        let bound = listener.local_addr().map_err(PlaintextError::Address)?;
        if !bound.ip().is_loopback() {
            return Err(PlaintextError::NotLoopback(bound));
        }
        Ok(Self::new(listener, Admission::Plaintext(principal), limits))
    }

    fn new(listener: TcpListener, admission: Admission, limits: ConnectionLimits) -> Self {
        assert!(limits.handshakes > 0 && limits.connections > 0, "limits of 0 would let nobody in");
        let places = Arc::new(Semaphore::new(limits.connections));
        Self { listener, admission: Arc::new(admission), limits, places, handshakes: JoinSet::new() }
    }

    /// The connections, for tonic's `serve_with_incoming`. Never ends, never yields an error: a peer that fails is logged
    /// and dropped. Handshakes make progress while the stream is polled; dropping it ends them and closes the listener.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<PeerIo>> + Send {
        stream::unfold(self, |mut incoming| async move {
            let peer = incoming.next_peer().await;
            Some((Ok(peer), incoming))
        })
    }

    async fn next_peer(&mut self) -> PeerIo {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Some(peer)) => return peer,
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "a handshake task ended abnormally"),
                },
                accepted = self.listener.accept(), if self.handshakes.len() < self.limits.handshakes => match accepted {
                    Ok((stream, remote)) => self.begin(stream, remote),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, remote: SocketAddr) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!(reason = "connections_full", %remote, limit = self.limits.connections, "connection refused");
            return;
        };
        // Small answers must not wait for more to send. A socket that cannot do so is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let (admission, timeout) = (self.admission.clone(), self.limits.handshake_timeout);
        self.handshakes.spawn(async move { admit(&admission, stream, remote, place, timeout).await });
    }
}

async fn admit(
    admission: &Admission,
    stream: TcpStream,
    remote: SocketAddr,
    place: OwnedSemaphorePermit,
    timeout: Duration,
) -> Option<PeerIo> {
    let tls = match admission {
        Admission::Plaintext(principal) => {
            let peer = PeerInfo { principal: principal.clone(), remote: Some(remote) };
            return Some(PeerIo::plain(stream, peer, place));
        }
        Admission::Tls(tls) => tls,
    };
    match tokio::time::timeout(timeout, handshake(tls, stream, remote, place)).await {
        Ok(Ok(peer)) => Some(peer),
        Ok(Err(failure)) => {
            failure.log(remote);
            None
        }
        Err(_elapsed) => {
            tracing::warn!(reason = "handshake_timeout", %remote, "connection refused");
            None
        }
    }
}

async fn handshake(
    tls: &ServerTls,
    stream: TcpStream,
    remote: SocketAddr,
    place: OwnedSemaphorePermit,
) -> Result<PeerIo, Failure> {
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await.map_err(Failure::of)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.ok_or(Failure::Certificate(CertificateRefusal::NoCertificate))?;
    let principal = verifier::principal_in(certificate, tls.trust_domain()).map_err(Failure::Certificate)?;
    Ok(PeerIo::tls(stream, PeerInfo { principal, remote: Some(remote) }, place))
}

enum Failure {
    Certificate(CertificateRefusal),
    /// The peer does not speak our TLS.
    Protocol(rustls::Error),
    /// The connection broke.
    Io(io::Error),
}

impl Failure {
    fn of(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => match CertificateRefusal::of(&error) {
                Some(refusal) => Self::Certificate(refusal),
                None => Self::Protocol(error),
            },
            Err(error) => Self::Io(error),
        }
    }

    fn log(&self, remote: SocketAddr) {
        match self {
            Self::Certificate(refusal) => {
                tracing::warn!(reason = refusal.reason(), %remote, "connection refused: {refusal}");
            }
            Self::Protocol(error) => tracing::warn!(reason = "tls_protocol", %remote, %error, "connection refused"),
            // Port scans and health checks of load balancers end here, many times a minute.
            Self::Io(error) => tracing::debug!(reason = "connection_lost", %remote, %error, "handshake not completed"),
        }
    }
}
