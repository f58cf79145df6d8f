//! An authority that issues any certificate, a server on loopback, and a log that can be read.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use identity::{CertPaths, ClientTls, ConnectionLimits, Incoming, ServerTls, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that this thread logs.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// Waits until `words` were logged.
    pub async fn wait_for(&self, words: &str) {
        let wait = async {
            while !self.text().contains(words) {
                tokio::task::yield_now().await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(done.is_ok(), "{words} was not logged, but {}", self.text());
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("logs are UTF-8")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("the system has randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("well-formed parameters");
        std::fs::write(dir.join(format!("{name}.pem")), issuer.pem()).expect("a writable directory");
        Self { issuer, dir: dir.to_owned() }
    }

    pub fn issue(&self, name: &str, ca: &Path, params: &CertificateParams) -> CertPaths {
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("well-formed parameters");
        let paths = CertPaths {
            ca: ca.to_owned(),
            cert: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        std::fs::write(&paths.cert, certificate.pem()).expect("a writable directory");
        std::fs::write(&paths.key, key.serialize_pem()).expect("a writable directory");
        paths
    }
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("an ASCII URI"))
}

/// A client certificate that the hub would take, but for its names.
pub fn client(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub fn server() -> CertificateParams {
    let mut params = client(vec![SanType::DnsName("localhost".try_into().expect("an ASCII name"))]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub fn trust_domain() -> TrustDomain {
    TrustDomain::try_from("hub.test").expect("a valid trust domain")
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
    let address = listener.local_addr().expect("a bound listener");
    (listener, address)
}

/// Serves connections and drops each that is let in, sending its principal's path.
pub async fn accept_all(listener: TcpListener, paths: CertPaths, limits: ConnectionLimits) {
    use tokio::io::AsyncWriteExt;
    use tonic::transport::server::Connected;
    let tls = ServerTls::load(&paths, trust_domain()).expect("usable server files");
    let mut peers = Box::pin(Incoming::tls(listener, tls, limits).into_stream());
    while let Some(peer) = peers.next().await {
        let mut peer = peer.expect("the stream yields no errors");
        let path = peer.connect_info().principal.path().to_owned();
        peer.write_all(path.as_bytes()).await.expect("an open connection");
        peer.shutdown().await.expect("an open connection");
    }
}

/// What a client gets: the server's words, or the error that its TLS library reports.
pub async fn call(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> Result<String, String> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a DNS name");
        let mut stream = TlsConnector::from(config).connect(name, stream).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok::<_, io::Error>(said)
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("an answer within 20 seconds");
    answer.map_err(|error| error.to_string())
}

pub fn with_certificate(paths: &CertPaths) -> Arc<rustls::ClientConfig> {
    ClientTls::load(paths).expect("usable client files").rustls()
}
