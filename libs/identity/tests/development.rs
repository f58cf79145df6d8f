//! The certificates that `dev_certs` makes, used end to end through tonic.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use identity::{
    CertPaths, ClientTls, ConnectionLimits, DEV_SPIFFE_PATHS, DevCertsError, DevCertsOptions, Incoming, ServerTls,
    TrustDomain, dev_certs, principal_of,
};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn options() -> DevCertsOptions {
    DevCertsOptions::new(TrustDomain::try_from("hub.test").expect("a valid trust domain"))
}

fn make(dir: &Path, options: &DevCertsOptions) -> Result<identity::DevCertsReport, DevCertsError> {
    dev_certs(dir, options, SystemTime::now())
}

/// Answers with the caller's principal in an error message, so that a test can read what a handler sees.
fn echo_principal(request: Request<()>) -> Result<Request<()>, Status> {
    let principal = principal_of(&request).expect("the server runs on Incoming");
    Err(Status::failed_precondition(principal.path()))
}

async fn serve(dir: &Path) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
    let address = listener.local_addr().expect("a bound listener");
    let tls = ServerTls::load(&CertPaths::dev_server(dir), options().trust_domain).expect("usable server files");
    let incoming = Incoming::tls(listener, tls, ConnectionLimits::default()).into_stream();
    let (_, health) = tonic_health::server::health_reporter();
    let service = tonic::service::interceptor::InterceptedService::new(health, echo_principal);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}

async fn ask(uri: String, paths: &CertPaths) -> Result<String, tonic::transport::Error> {
    let tls = ClientTls::load(paths).expect("usable client files").tonic();
    let channel = Endpoint::from_shared(uri).expect("a URI").tls_config(tls)?.connect().await?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    Ok(answer.expect_err("the interceptor answers with an error").message().to_owned())
}

#[tokio::test]
async fn every_usual_caller_is_known_to_a_handler_by_its_certificate() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    make(dir.path(), &options()).expect("an empty directory");
    let address = serve(dir.path()).await;
    for path in DEV_SPIFFE_PATHS {
        let seen = ask(format!("https://{address}"), &CertPaths::dev_client(dir.path(), path)).await;
        assert_eq!(seen.expect("let in"), path);
    }
    let by_name = format!("https://localhost:{}", address.port());
    let paths = CertPaths::dev_client(dir.path(), "operator/ops");
    assert_eq!(ask(by_name, &paths).await.expect("let in"), "operator/ops");
}

#[tokio::test]
async fn an_added_client_is_issued_by_the_authority_that_is_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    make(dir.path(), &options()).expect("an empty directory");
    let before = std::fs::read(dir.path().join("ca.pem")).expect("made above");
    let added = DevCertsOptions { clients: vec!["register/tax".to_owned()], add: true, ..options() };
    let report = make(dir.path(), &added).expect("a new client");
    assert_eq!(report.server, None);
    assert_eq!(std::fs::read(dir.path().join("ca.pem")).expect("still there"), before);
    let address = serve(dir.path()).await;
    let (principal, paths) = &report.clients[0];
    assert_eq!(principal.spiffe(), "spiffe://hub.test/register/tax");
    assert_eq!(ask(format!("https://{address}"), paths).await.expect("let in"), "register/tax");
}

#[test]
fn keys_are_readable_by_their_owner_only_even_when_they_replace_open_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = dir.path().join("server.key");
    std::fs::write(&key, "open").expect("a writable directory");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("an own file");
    make(dir.path(), &DevCertsOptions { force: true, ..options() }).expect("forced");
    let mut keys = 0;
    for entry in std::fs::read_dir(dir.path()).expect("a directory") {
        let path = entry.expect("a readable entry").path();
        if path.extension().is_some_and(|extension| extension == "key") {
            let mode = path.metadata().expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
            keys += 1;
        }
    }
    assert_eq!(keys, 2 + DEV_SPIFFE_PATHS.len());
}

#[test]
fn nothing_is_written_when_one_file_is_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let there = dir.path().join("auditor-main.key");
    std::fs::write(&there, "mine").expect("a writable directory");
    let refused = make(dir.path(), &options());
    assert!(matches!(refused, Err(DevCertsError::Exists(path)) if path == there));
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1);
    assert_eq!(std::fs::read(&there).expect("still there"), b"mine");
}

#[test]
fn options_out_of_bounds_are_refused_and_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let with = |change: &dyn Fn(&mut DevCertsOptions)| {
        let mut options = options();
        change(&mut options);
        make(dir.path(), &options)
    };
    assert!(matches!(with(&|o| o.valid_days = 0), Err(DevCertsError::ValidDays(0))));
    assert!(matches!(with(&|o| o.valid_days = 3651), Err(DevCertsError::ValidDays(3651))));
    assert!(matches!(with(&|o| o.clients.push("a b".to_owned())), Err(DevCertsError::Client { .. })));
    assert!(matches!(with(&|o| o.clients.push("register-civil".to_owned())), Err(DevCertsError::SameFiles(..))));
    assert!(matches!(with(&|o| o.server_names.push("no name".to_owned())), Err(DevCertsError::ServerName(_))));
    assert!(matches!(with(&|o| o.add = true), Err(DevCertsError::Authority { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
}
