//! Which certificates are let in, what the hub logs of the others, and that those learn nothing.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use identity::{CertPaths, ConnectionLimits, Incoming, PlaintextError};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use support::{Authority, Log, client, server, trust_domain, uri, with_certificate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::server::Connected;

const CIVIL: &str = "spiffe://hub.test/register/civil";

fn refused_certificates() -> Vec<(&'static str, CertificateParams)> {
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = client(vec![uri(CIVIL)]);
        change(&mut params);
        params
    };
    let dns = SanType::DnsName("localhost".try_into().expect("an ASCII name"));
    vec![
        ("expired", with(&|p| p.not_after = date_time_ymd(2001, 1, 1))),
        ("not_yet_valid", with(&|p| p.not_before = date_time_ymd(3000, 1, 1))),
        ("wrong_usage", with(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("wrong_usage", with(&|p| p.extended_key_usages.clear())),
        ("wrong_usage", with(&|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign))),
        ("no_uri_name", with(&|p| p.subject_alt_names.clear())),
        ("no_uri_name", client(vec![dns])),
        ("several_uri_names", client(vec![uri(CIVIL), uri("spiffe://hub.test/register/land")])),
        ("not_spiffe", client(vec![uri("https://hub.test/register/civil")])),
        ("other_trust_domain", client(vec![uri("spiffe://elsewhere.test/register/civil")])),
        ("malformed_spiffe_id", client(vec![uri("spiffe://hub.test/register/civil?x=1")])),
        ("malformed_spiffe_id", client(vec![uri("spiffe://hub.test")])),
    ]
}

#[tokio::test]
async fn each_unfit_certificate_is_refused_with_its_reason_in_the_log_and_one_answer_for_all() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (authority, stranger) = (Authority::new(dir.path(), "ca"), Authority::new(dir.path(), "stranger"));
    let ca = dir.path().join("ca.pem");
    let mut table = Vec::new();
    for (number, (reason, params)) in refused_certificates().into_iter().enumerate() {
        table.push((reason, authority.issue(&format!("client-{number}"), &ca, &params)));
    }
    table.push(("unknown_issuer", stranger.issue("strange", &ca, &client(vec![uri(CIVIL)]))));
    let address = serve(authority.issue("server", &ca, &server()), ConnectionLimits::default()).await;
    let mut answers = Vec::new();
    for (reason, paths) in table {
        let (log, _guard) = Log::capture();
        let answer = support::call(address, with_certificate(&paths)).await;
        log.wait_for(&format!("reason=\"{reason}\"")).await;
        assert!(!log.text().contains("spiffe://"), "the log repeats a stranger's words: {}", log.text());
        answers.push(answer.expect_err("an unfit certificate is not let in"));
    }
    assert!(answers[0].contains("CertificateUnknown"), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

async fn serve(paths: CertPaths, limits: ConnectionLimits) -> SocketAddr {
    let (listener, address) = support::listen().await;
    tokio::spawn(support::accept_all(listener, paths, limits));
    address
}

#[tokio::test]
async fn a_fit_certificate_is_let_in_as_the_principal_that_it_names() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new(dir.path(), "ca");
    let ca = dir.path().join("ca.pem");
    let address = serve(authority.issue("server", &ca, &server()), ConnectionLimits::default()).await;
    let paths = authority.issue("client", &ca, &client(vec![uri(CIVIL)]));
    let said = support::call(address, with_certificate(&paths)).await;
    assert_eq!(said.as_deref(), Ok("register/civil"));
}

#[tokio::test]
async fn a_peer_without_a_certificate_or_without_tls_is_refused_and_the_next_one_served() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new(dir.path(), "ca");
    let ca = dir.path().join("ca.pem");
    let address = serve(authority.issue("server", &ca, &server()), ConnectionLimits::default()).await;
    let (log, _guard) = Log::capture();

    let anonymous = without_certificate(&ca);
    support::call(address, anonymous).await.expect_err("nobody is let in without a certificate");
    log.wait_for("reason=\"no_certificate\"").await;

    let mut plain = tokio::net::TcpStream::connect(address).await.expect("the port is open");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n").await.expect("an open connection");
    log.wait_for("reason=\"tls_protocol\"").await;

    let paths = authority.issue("client", &ca, &client(vec![uri(CIVIL)]));
    let said = support::call(address, with_certificate(&paths)).await;
    assert_eq!(said.as_deref(), Ok("register/civil"));
}

fn without_certificate(ca: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring serves the default protocol versions").with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

#[tokio::test]
async fn a_peer_that_never_finishes_its_handshake_is_dropped_and_keeps_nobody_out() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new(dir.path(), "ca");
    let ca = dir.path().join("ca.pem");
    let limits = ConnectionLimits { handshakes: 1, handshake_timeout: Duration::from_millis(200), connections: 1 };
    let address = serve(authority.issue("server", &ca, &server()), limits).await;
    let (log, _guard) = Log::capture();
    let mut silent = tokio::net::TcpStream::connect(address).await.expect("the port is open");
    let mut end = Vec::new();
    silent.read_to_end(&mut end).await.expect("the hub closes the connection");
    log.wait_for("reason=\"handshake_timeout\"").await;
    let paths = authority.issue("client", &ca, &client(vec![uri(CIVIL)]));
    let said = support::call(address, with_certificate(&paths)).await;
    assert_eq!(said.as_deref(), Ok("register/civil"));
}

#[tokio::test]
async fn a_peer_beyond_the_last_place_is_dropped_and_a_freed_place_is_given_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new(dir.path(), "ca");
    let ca = dir.path().join("ca.pem");
    let limits = ConnectionLimits { connections: 1, ..ConnectionLimits::default() };
    let address = serve(authority.issue("server", &ca, &server()), limits).await;
    let paths = authority.issue("client", &ca, &client(vec![uri(CIVIL)]));
    let (log, _guard) = Log::capture();
    let first = tokio::net::TcpStream::connect(address).await.expect("the port is open");
    support::call(address, with_certificate(&paths)).await.expect_err("the only place is taken");
    log.wait_for("reason=\"connections_full\"").await;
    drop(first);
    log.wait_for("reason=\"connection_lost\"").await;
    let said = support::call(address, with_certificate(&paths)).await;
    assert_eq!(said.as_deref(), Ok("register/civil"));
}

#[tokio::test]
async fn plaintext_is_served_on_loopback_only() {
    let principal = trust_domain().principal("operator/ops").expect("a valid path");
    let everywhere = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let refused = Incoming::plaintext(everywhere, principal.clone(), ConnectionLimits::default());
    assert!(matches!(refused, Err(PlaintextError::NotLoopback(_))));

    let (listener, address) = support::listen().await;
    let incoming = Incoming::plaintext(listener, principal.clone(), ConnectionLimits::default());
    let mut peers = Box::pin(incoming.expect("a loopback address").into_stream());
    let _client = tokio::net::TcpStream::connect(address).await.expect("the port is open");
    let peer = peers.next().await.expect("the stream never ends").expect("no error");
    assert_eq!(peer.connect_info().principal, principal);
}
