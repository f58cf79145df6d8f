//! A small HTTP client: one POST of a text, with bounds on time and on what is read.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    #[error("it cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("its name is no name of a server")]
    Name,
    #[error("an https URL needs 'ledger.witness_ca'")]
    NoAuthorities,
    #[error("the connection failed")]
    Http(#[source] hyper::Error),
    #[error("its answer cannot be read, or has more than {ANSWER_BYTES_MAX} bytes")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer is no text")]
    Text,
}

/// An answer: status and text.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// A URL of `http` or `https` with a host; `None` for any other.
pub(crate) fn url(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    (http && uri.host().is_some()).then_some(uri)
}

/// Posts a text to a URL that [`url`] took.
pub(crate) async fn post(
    to: &Uri,
    text: String,
    tls: Option<&Arc<ClientConfig>>,
    patience: Duration,
) -> Result<Answer, ClientError> {
    let sent = async {
        let host = to.host().expect("a URL that was taken has a host");
        let secure = to.scheme_str() == Some("https");
        let port = to.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let plain_host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((plain_host.as_str(), port)).await.map_err(ClientError::Connect)?;
        if !secure {
            return exchange(stream, to, text).await;
        }
        let connector = TlsConnector::from(Arc::clone(tls.ok_or(ClientError::NoAuthorities)?));
        let name = ServerName::try_from(plain_host).map_err(|_| ClientError::Name)?;
        exchange(connector.connect(name, stream).await.map_err(ClientError::Connect)?, to, text).await
    };
    tokio::time::timeout(patience, sent).await.map_err(|_| ClientError::Late(patience))?
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    to: &Uri,
    text: String,
) -> Result<Answer, ClientError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Http)?;
    let serving = tokio::spawn(connection);
    let path = to.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, to.authority().map_or("", |authority| authority.as_str()))
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Full::new(Bytes::from(text)))
        .expect("its parts come from a URL that was taken");
    let answer = read(&mut sender, request).await;
    serving.abort();
    answer
}

async fn read(
    sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ClientError> {
    let response = sender.send_request(request).await.map_err(ClientError::Http)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(ClientError::Answer)?;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| ClientError::Text)?;
    Ok(Answer { status, text })
}
