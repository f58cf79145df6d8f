//! Certificates that must not open the door: each is refused, the hub's log has the reason, and the peer learns none.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::CertPaths;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::hub::{CONFIG, Hub, run};
use crate::rounds::figure;

const PORTAL: &str = "spiffe://hub.test/portal/national";

/// One that issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

pub fn authority(usages: &[KeyUsagePurpose], change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = usages.to_vec();
    params.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    change(&mut params);
    let key = KeyPair::generate().expect("the system has randomness");
    Authority(CertifiedIssuer::self_signed(params, key).expect("well-formed parameters"))
}

/// What an authority may sign.
pub fn usages() -> [KeyUsagePurpose; 2] {
    [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]
}

impl Authority {
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn intermediate(&self, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority between");
        change(&mut params);
        let key = KeyPair::generate().expect("the system has randomness");
        Authority(CertifiedIssuer::signed_by(params, key, &self.0).expect("well-formed parameters"))
    }

    /// Writes certificate, chain and key of a client.
    pub fn issue(&self, dir: &Path, name: &str, params: &CertificateParams, chain: &[&Authority]) -> CertPaths {
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.signed_by(&key, &self.0).expect("well-formed parameters");
        let mut pem = certificate.pem();
        chain.iter().for_each(|above| pem.push_str(&above.0.pem()));
        write(dir, name, &pem, &key.serialize_pem())
    }
}

fn write(dir: &Path, name: &str, certificate: &str, key: &str) -> CertPaths {
    let paths = CertPaths {
        ca: dir.join("server-ca.pem"),
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    };
    std::fs::write(&paths.cert, certificate).expect("writable");
    std::fs::write(&paths.key, key).expect("writable");
    paths
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("an ASCII URI"))
}

/// A certificate that the hub takes.
fn sound() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(PORTAL)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub fn changed(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = sound();
    change(&mut params);
    params
}

fn named(names: &[&str]) -> CertificateParams {
    changed(|params| params.subject_alt_names = names.iter().map(|name| uri(name)).collect())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("an ASCII name"))
}

/// What is wrong, the reason in the hub's log, and the certificate.
fn table(dir: &Path, ca: &Authority) -> Vec<(&'static str, &'static str, CertPaths)> {
    let stranger = authority(&usages(), |_| {});
    let namesake = authority(&usages(), |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "the hub's authority");
    });
    let expired_between = ca.intermediate(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let between = ca.intermediate(|_| {});
    let no_authority = ca.intermediate(|params| params.is_ca = IsCa::ExplicitNoCa);
    let mut too_long = "spiffe://hub.test/portal/".to_owned();
    too_long.push_str(&"a".repeat(2_100));
    let mut table = Vec::new();
    let mut by = |what: &'static str, reason, issuer: &Authority, params: CertificateParams, chain: &[&Authority]| {
        let name = format!("bad-{}", table.len());
        table.push((what, reason, issuer.issue(dir, &name, &params, chain)));
    };
    by("expired", "expired", ca, changed(|p| p.not_after = date_time_ymd(2001, 1, 1)), &[]);
    by("not yet valid", "not_yet_valid", ca, changed(|p| p.not_before = date_time_ymd(3000, 1, 1)), &[]);
    by("another authority", "unknown_issuer", &stranger, sound(), &[]);
    by("another authority, which it brings along", "unknown_issuer", &stranger, sound(), &[&stranger]);
    by("an authority of the same name", "bad_signature", &namesake, sound(), &[]);
    by("an authority between that it does not bring", "unknown_issuer", &between, sound(), &[]);
    by("an expired authority between", "expired", &expired_between, sound(), &[&expired_between]);
    by("issued by what is no authority", "not_verified", &no_authority, sound(), &[&no_authority]);
    by(
        "for servers",
        "wrong_usage",
        ca,
        changed(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        &[],
    );
    by("for nothing named", "wrong_usage", ca, changed(|p| p.extended_key_usages.clear()), &[]);
    by(
        "for signing code",
        "wrong_usage",
        ca,
        changed(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        &[],
    );
    by("may sign certificates", "wrong_usage", ca, changed(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)), &[]);
    by("may sign revocations", "wrong_usage", ca, changed(|p| p.key_usages.push(KeyUsagePurpose::CrlSign)), &[]);
    by("for no signature", "wrong_usage", ca, changed(|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]), &[]);
    by(
        "an authority itself",
        "not_verified",
        ca,
        changed(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        &[],
    );
    by("no name", "no_uri_name", ca, changed(|p| p.subject_alt_names.clear()), &[]);
    by("a host's name only", "no_uri_name", ca, changed(|p| p.subject_alt_names = vec![dns("portal.hub.test")]), &[]);
    by("two names", "several_uri_names", ca, named(&[PORTAL, "spiffe://hub.test/register/land"]), &[]);
    by("the same name twice", "several_uri_names", ca, named(&[PORTAL, PORTAL]), &[]);
    by("a name that is no SPIFFE id", "not_spiffe", ca, named(&["https://hub.test/portal/national"]), &[]);
    by("another trust domain", "other_trust_domain", ca, named(&["spiffe://elsewhere.test/portal/national"]), &[]);
    by(
        "a trust domain that only begins alike",
        "other_trust_domain",
        ca,
        named(&["spiffe://hub.test.elsewhere/portal/national"]),
        &[],
    );
    by("no path", "malformed_spiffe_id", ca, named(&["spiffe://hub.test"]), &[]);
    by("a query behind the path", "malformed_spiffe_id", ca, named(&["spiffe://hub.test/portal/national?x=1"]), &[]);
    by("dots in the path", "malformed_spiffe_id", ca, named(&["spiffe://hub.test/portal/../operator/ops"]), &[]);
    by("longer than an id may be", "malformed_spiffe_id", ca, named(&[&too_long]), &[]);
    table.push(("another's key", "bad_signature", others_key(dir, ca)));
    table.push(("not signed but by itself", "unknown_issuer", self_signed(dir)));
    table
}

fn self_signed(dir: &Path) -> CertPaths {
    let key = KeyPair::generate().expect("the system has randomness");
    let certificate = sound().self_signed(&key).expect("well-formed parameters");
    write(dir, "self-signed", &certificate.pem(), &key.serialize_pem())
}

/// A certificate with a key that is not its own.
fn others_key(dir: &Path, ca: &Authority) -> CertPaths {
    let paths = ca.issue(dir, "others-key", &sound(), &[]);
    std::fs::write(&paths.key, KeyPair::generate().expect("randomness").serialize_pem()).expect("writable");
    paths
}

/// A certificate whose bytes were changed after it was signed.
fn tampered(dir: &Path, ca: &Authority) -> CertPaths {
    let paths = ca.issue(dir, "tampered", &sound(), &[]);
    let sound = CertificateDer::from_pem_file(&paths.cert).expect("a certificate");
    let mut der = sound.to_vec();
    let name = der.windows(8).position(|bytes| bytes == b"national").expect("its name is in it");
    der[name..name + 8].copy_from_slice(b"notional");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    std::fs::write(&paths.cert, format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"))
        .expect("writable");
    paths
}

/// The list of one revoked certificate.
fn revoke(ca: &Authority, serial: u64) -> String {
    let revoked = RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(3000, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&ca.0).expect("well-formed parameters").pem().expect("PEM")
}

/// Presents whatever it was given, also what no library would find usable.
#[derive(Debug)]
struct Presented(Arc<CertifiedKey>);

impl ResolvesClientCert for Presented {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What a client with these files is told when it connects and asks: bytes of an answer, or the words of its TLS library.
pub async fn call(address: &str, paths: &CertPaths) -> Result<usize, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&paths.ca).expect("a certificate")).expect("an authority");
    let chain = CertificateDer::pem_file_iter(&paths.cert).expect("readable").collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_file(&paths.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(key).expect("a usable key");
    let presented = Presented(Arc::new(CertifiedKey::new(chain.expect("certificates"), key)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring serves them")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(presented));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a DNS name");
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        // The preface of HTTP/2 and empty settings, which a server answers with its own.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        let mut answer = [0; 64];
        stream.read(&mut answer).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("an answer within 20 seconds");
    answer.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_certificate_is_refused_with_its_reason_in_the_log_and_none_for_the_peer() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path();
    std::fs::write(path.join("hub.toml"), CONFIG).expect("writable");
    let made = run(path, &["dev-certs", "--config", "hub.toml"]);
    assert!(made.status.success());
    std::fs::copy(path.join("d/dev-certs/ca.pem"), path.join("server-ca.pem")).expect("made");
    let ca = authority(&usages(), |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "the hub's authority");
    });
    std::fs::write(path.join("clients.pem"), ca.0.pem()).expect("writable");
    let mut table = table(path, &ca);
    let serial = changed(|params| params.serial_number = Some(4_711_u64.into()));
    table.push(("revoked", "revoked", ca.issue(path, "revoked", &serial, &[])));
    table.push(("changed after it was signed", "bad_signature", tampered(path, &ca)));
    std::fs::write(path.join("revoked-list.pem"), revoke(&ca, 4_711)).expect("writable");
    let tls = format!(
        "trust_domain = \"hub.test\"\n{CONFIG}[tls]\nclient_ca = \"{0}/clients.pem\"\nrevoked = \"{0}/revoked-list.pem\"\n",
        path.display()
    );
    std::fs::write(path.join("hub.toml"), tls).expect("writable");
    let hub = Hub::start(path);
    let address = format!("127.0.0.1:{}", hub.address().rsplit(':').next().expect("a port"));
    let log = || std::fs::read_to_string(path.join("serve.log")).expect("UTF-8");

    let fit = ca.issue(path, "fit", &sound(), &[]);
    let taken = call(&address, &fit).await;
    assert!(taken.as_ref().is_ok_and(|bytes| *bytes > 0), "{taken:?}: {}", log());
    assert!(table.len() >= 25, "{}", table.len());
    let (mut answers, mut wrong) = (Vec::new(), Vec::new());
    for (what, reason, paths) in &table {
        let before = log().len();
        let answer = call(&address, paths).await.expect_err(what);
        let begun = Instant::now();
        let told = loop {
            let told = log()[before..].to_owned();
            if told.contains("connection refused") && told.ends_with('\n') {
                break told;
            }
            assert!(begun.elapsed().as_secs() < 20, "{what}: nothing is logged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        if !told.contains(&format!("reason=\"{reason}\"")) {
            wrong.push(format!("{what}: {told}"));
        }
        assert!(!told.contains("spiffe://"), "{what}: the log repeats a stranger's words: {told}");
        answers.push((what, answer));
    }
    for (what, answer) in &answers {
        if *answer != answers[0].1 {
            wrong.push(format!("{what}: the peer is told {answer}, others {}", answers[0].1));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(call(&address, &fit).await.is_ok(), "and the next one is served");
    figure("certificates.refused", answers.len());
}
