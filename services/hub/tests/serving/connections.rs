//! Who is not let in: the peer sees that its certificate is refused, the hub's log says why, and the hub goes on.

use std::time::{Duration, Instant, SystemTime};

use identity::{CertPaths, DevCertsOptions, TrustDomain, dev_certs};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::client::{batch, changes, letters, publish};
use crate::hub::{Hub, configured, stderr};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Waits until the hub has logged a refusal for this reason.
fn logged(hub: &Hub, reason: &str) {
    let begin = Instant::now();
    let told = || std::fs::read_to_string(hub.dir.join("serve.log")).expect("a log").contains(reason);
    while !told() {
        assert!(begin.elapsed() < Duration::from_secs(30), "the log does not say {reason}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Further clients of the hub's own authority.
fn issue(hub: &Hub, domain: &str, client: &str, now: SystemTime) -> CertPaths {
    let dir = hub.dir.join("d/dev-certs");
    let domain = TrustDomain::try_from(domain).expect("a trust domain");
    let options =
        DevCertsOptions { clients: vec![client.to_owned()], valid_days: 1, add: true, ..DevCertsOptions::new(domain) };
    dev_certs(&dir, &options, now).expect("issued");
    CertPaths::dev_client(&dir, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_expired_future_and_missing_certificates_are_refused_and_the_reason_is_logged() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let now = SystemTime::now();
    let ask = |paths: &CertPaths| {
        let (cert, key) = (paths.cert.display().to_string(), paths.key.display().to_string());
        let asked = hub.ask(&["status", "--cert", &cert, "--key", &key]);
        assert_eq!(asked.status.code(), Some(4), "{}", stderr(&asked));
        assert!(stderr(&asked).contains("certificates fit"), "it says what to look at: {}", stderr(&asked));
    };
    ask(&issue(&hub, "hub.test", "register/expired", now - YEAR));
    logged(&hub, "reason=\"expired\"");
    ask(&issue(&hub, "hub.test", "register/early", now + YEAR));
    logged(&hub, "reason=\"not_yet_valid\"");
    ask(&issue(&hub, "other.test", "register/foreign", now));
    logged(&hub, "reason=\"other_trust_domain\"");

    // A stranger's authority.
    let other = configured();
    let made = crate::hub::run(other.path(), &["dev-certs", "--config", "hub.toml"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let theirs = CertPaths::dev_client(&other.path().join("d/dev-certs"), "operator/ops");
    ask(&CertPaths { ca: hub.dir.join("d/dev-certs/ca.pem"), ..theirs });
    logged(&hub, "reason=\"unknown_issuer\"");

    // None at all, and no TLS.
    let ca = std::fs::read(hub.dir.join("d/dev-certs/ca.pem")).expect("made");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let endpoint = Endpoint::from_shared(format!("https://{}", hub.address())).expect("a URI");
    let nobody = endpoint.tls_config(tls).expect("usable").connect().await;
    if let Ok(channel) = nobody {
        // With TLS 1.3 the client hears of it with its first call.
        let mut client = wire::query::query_service_client::QueryServiceClient::new(channel);
        client.get_status(wire::query::GetStatusRequest {}).await.expect_err("nobody is not answered");
    }
    logged(&hub, "reason=\"no_certificate\"");
    let plain = Endpoint::from_shared(format!("http://{}", hub.address())).expect("a URI").connect().await;
    if let Ok(channel) = plain {
        let mut client = wire::query::query_service_client::QueryServiceClient::new(channel);
        client.get_status(wire::query::GetStatusRequest {}).await.expect_err("plaintext is not answered");
    }
    logged(&hub, "reason=\"tls_protocol\"");

    let mut civil = hub.ingest("register/civil").await;
    assert_eq!(letters(&publish(&mut civil, batch("civil", changes("civil", 1))).await.expect("answered")), "a");
    assert_eq!(hub.folded()["records"], 1);
}
