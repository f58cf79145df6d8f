//! Certificates for development: one authority, one server, one client per usual caller.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};

use crate::files::CertPaths;
use crate::principal::{Principal, SpiffeError, TrustDomain};

/// Names of the development server's certificate.
pub const DEV_SERVER_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "hub"];

/// Callers that get a certificate by default.
pub const DEV_SPIFFE_PATHS: [&str; 10] = [
    "register/civil",
    "register/land",
    "register/health",
    "register/population",
    "portal/national",
    "operator/ops",
    "operator/deputy",
    "auditor/main",
    "reviewer/main",
    "process/hub",
];

/// Clocks of other machines may be behind by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

/// What to make.
#[derive(Debug, Clone)]
pub struct DevCertsOptions {
    /// Trust domain of the client certificates.
    pub trust_domain: TrustDomain,
    /// Paths of SPIFFE ids that get a certificate.
    pub clients: Vec<String>,
    /// Further names of the server, DNS or IP, beside [`DEV_SERVER_NAMES`].
    pub server_names: Vec<String>,
    /// Days from `now` until all certificates end; 1 to 3,650.
    pub valid_days: u32,
    /// Whether files that are there may be replaced.
    pub force: bool,
    /// Whether the clients are issued by the authority that is there, instead of making a new one and a new server.
    pub add: bool,
}

impl DevCertsOptions {
    /// The usual callers of a trust domain, for a year.
    pub fn new(trust_domain: TrustDomain) -> Self {
        let clients = DEV_SPIFFE_PATHS.map(str::to_owned).to_vec();
        Self { trust_domain, clients, server_names: Vec::new(), valid_days: 365, force: false, add: false }
    }
}

/// Why development certificates were not made. Nothing was written, except for [`DevCertsError::Write`].
#[derive(Debug, thiserror::Error)]
pub enum DevCertsError {
    /// A file is there already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A client's path does not make a SPIFFE id.
    #[error("'{path}' does not make a SPIFFE id")]
    Client {
        /// The path as given.
        path: String,
        /// The rule that it breaks.
        source: SpiffeError,
    },
    /// Two clients would share files, such as `a/b-c` and `a-b/c`.
    #[error("'{0}' and '{1}' would share their files")]
    SameFiles(String, String),
    /// A server name is neither a DNS name nor an IP address.
    #[error("'{0}' is neither a DNS name nor an IP address")]
    ServerName(String),
    /// Days outside 1 to 3,650.
    #[error("a validity of {0} days is outside 1 to 3650")]
    ValidDays(u32),
    /// The authority to add to cannot be read.
    #[error("cannot use the authority in {}", path.display())]
    Authority {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Making a key or a certificate failed.
    #[error("cannot make a certificate")]
    Generate(#[source] rcgen::Error),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl From<rcgen::Error> for DevCertsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Generate(error)
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevCertsReport {
    /// Where the server's files lie; absent when clients were added only.
    pub server: Option<CertPaths>,
    /// Each principal with its files.
    pub clients: Vec<(Principal, CertPaths)>,
    /// First second in which they are not valid any more.
    pub not_after: SystemTime,
}

impl CertPaths {
    /// Where [`dev_certs()`] puts the server's files.
    pub fn dev_server(dir: &Path) -> Self {
        Self { ca: dir.join("ca.pem"), cert: dir.join("server.pem"), key: dir.join("server.key") }
    }

    /// Where [`dev_certs()`] puts the files of the client with this SPIFFE path: `register/civil` in
    /// `register-civil.pem` and `register-civil.key`.
    pub fn dev_client(dir: &Path, spiffe_path: &str) -> Self {
        let stem = spiffe_path.replace('/', "-");
        let file = |extension: &str| dir.join(format!("{stem}.{extension}"));
        Self { ca: dir.join("ca.pem"), cert: file("pem"), key: file("key") }
    }
}

/// Makes an authority, a server certificate and client certificates in `dir`, valid from 5 minutes before `now`.
/// Keys are ECDSA P-256 and their files readable by their owner only.
///
/// # Errors
/// See [`DevCertsError`].
pub fn dev_certs(dir: &Path, options: &DevCertsOptions, now: SystemTime) -> Result<DevCertsReport, DevCertsError> {
    let names = server_names(&options.server_names)?;
    let principals = principals(options)?;
    let validity = Validity::new(options.valid_days, now)?;
    refuse_existing(dir, options, &principals)?;
    let mut files = Vec::new();
    let mut report = DevCertsReport { server: None, clients: Vec::new(), not_after: validity.not_after };
    if options.add {
        let issuer = existing_authority(dir)?;
        add_clients(dir, &principals, &issuer, validity, &mut files, &mut report)?;
    } else {
        let issuer = new_authority(dir, &options.trust_domain, validity, &mut files)?;
        report.server = Some(add_server(dir, names, &issuer, validity, &mut files)?);
        add_clients(dir, &principals, &issuer, validity, &mut files, &mut report)?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| DevCertsError::Write { path: dir.to_owned(), source })?;
    files.iter().try_for_each(|file| file.write(options.force))?;
    Ok(report)
}

#[derive(Clone, Copy)]
struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Validity {
    fn new(days: u32, now: SystemTime) -> Result<Self, DevCertsError> {
        if !(1..=3650).contains(&days) {
            return Err(DevCertsError::ValidDays(days));
        }
        Ok(Self { not_before: now - CLOCK_SKEW, not_after: now + DAY * days })
    }

    fn apply(self, params: &mut CertificateParams) {
        params.not_before = self.not_before.into();
        params.not_after = self.not_after.into();
    }
}

struct PemFile {
    path: PathBuf,
    text: String,
    mode: u32,
}

impl PemFile {
    fn certificate(path: PathBuf, text: String) -> Self {
        Self { path, text, mode: 0o644 }
    }

    fn key(path: PathBuf, key: &KeyPair) -> Self {
        Self { path, text: key.serialize_pem(), mode: 0o600 }
    }

    /// A file that is replaced is removed first, so that it cannot keep its old mode or follow a symbolic link.
    fn write(&self, force: bool) -> Result<(), DevCertsError> {
        let write = || {
            if force && self.path.symlink_metadata().is_ok() {
                std::fs::remove_file(&self.path)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(self.mode).open(&self.path)?;
            file.write_all(self.text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| DevCertsError::Write { path: self.path.clone(), source })
    }
}

fn refuse_existing(dir: &Path, options: &DevCertsOptions, principals: &[Principal]) -> Result<(), DevCertsError> {
    if options.force {
        return Ok(());
    }
    let server = CertPaths::dev_server(dir);
    let authority = [server.ca, dir.join("ca.key"), server.cert, server.key];
    let clients = principals.iter().flat_map(|principal| {
        let paths = CertPaths::dev_client(dir, principal.path());
        [paths.cert, paths.key]
    });
    let all = authority.into_iter().filter(|_| !options.add).chain(clients);
    match all.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(DevCertsError::Exists(path)),
        None => Ok(()),
    }
}

fn principals(options: &DevCertsOptions) -> Result<Vec<Principal>, DevCertsError> {
    let mut principals: Vec<Principal> = Vec::new();
    for path in &options.clients {
        let principal = options.trust_domain.principal(path);
        let principal = principal.map_err(|source| DevCertsError::Client { path: path.clone(), source })?;
        let stem = |principal: &Principal| principal.path().replace('/', "-");
        match principals.iter().find(|other| stem(other) == stem(&principal)) {
            None => principals.push(principal),
            Some(other) if *other == principal => {}
            Some(other) => return Err(DevCertsError::SameFiles(other.path().to_owned(), path.clone())),
        }
    }
    Ok(principals)
}

fn server_names(further: &[String]) -> Result<Vec<SanType>, DevCertsError> {
    let dns = |name: &str| -> Result<SanType, DevCertsError> {
        let checked = Ia5String::try_from(name).or(Err(DevCertsError::ServerName(name.to_owned())))?;
        rustls::pki_types::DnsName::try_from(name).or(Err(DevCertsError::ServerName(name.to_owned())))?;
        Ok(SanType::DnsName(checked))
    };
    let mut names = vec![
        dns("localhost")?,
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        dns("hub")?,
    ];
    for name in further {
        names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_not_an_address) => dns(name)?,
        });
    }
    Ok(names)
}

fn new_authority(
    dir: &Path,
    trust_domain: &TrustDomain,
    validity: Validity,
    files: &mut Vec<PemFile>,
) -> Result<CertifiedIssuer<'static, KeyPair>, DevCertsError> {
    let mut params = CertificateParams::default();
    let key = KeyPair::generate()?;
    // Verifiers look an issuer up by its name: authorities of two machines must not share one.
    let mark: String = key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = named(&format!("National Data-Sharing Hub development CA {mark}"));
    // The authority of a trust domain carries its id (SPIFFE X509-SVID, section 3.2).
    let uri = Ia5String::try_from(format!("spiffe://{trust_domain}"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity.apply(&mut params);
    let issuer = CertifiedIssuer::self_signed(params, key)?;
    files.push(PemFile::certificate(dir.join("ca.pem"), issuer.pem()));
    files.push(PemFile::key(dir.join("ca.key"), issuer.key()));
    Ok(issuer)
}

fn existing_authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, DevCertsError> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(|source| DevCertsError::Authority { path, source: source.into() })
    };
    let refused = |source: rcgen::Error| DevCertsError::Authority { path: dir.join("ca.pem"), source: source.into() };
    let key = KeyPair::from_pem(&read("ca.key")?).map_err(refused)?;
    Issuer::from_ca_cert_pem(&read("ca.pem")?, key).map_err(refused)
}

fn add_server(
    dir: &Path,
    names: Vec<SanType>,
    issuer: &Issuer<'_, KeyPair>,
    validity: Validity,
    files: &mut Vec<PemFile>,
) -> Result<CertPaths, DevCertsError> {
    let mut params = leaf("hub", ExtendedKeyUsagePurpose::ServerAuth, validity);
    params.subject_alt_names = names;
    let paths = CertPaths::dev_server(dir);
    issue(params, &paths, issuer, files)?;
    Ok(paths)
}

fn add_clients(
    dir: &Path,
    principals: &[Principal],
    issuer: &Issuer<'_, KeyPair>,
    validity: Validity,
    files: &mut Vec<PemFile>,
    report: &mut DevCertsReport,
) -> Result<(), DevCertsError> {
    for principal in principals {
        let mut params = leaf(principal.path(), ExtendedKeyUsagePurpose::ClientAuth, validity);
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(principal.spiffe())?)];
        let paths = CertPaths::dev_client(dir, principal.path());
        issue(params, &paths, issuer, files)?;
        report.clients.push((principal.clone(), paths));
    }
    Ok(())
}

fn leaf(name: &str, purpose: ExtendedKeyUsagePurpose, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    // A common name has at most 64 characters (RFC 5280, appendix A.1); a SPIFFE path is ASCII.
    params.distinguished_name = named(&name[..name.len().min(64)]);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    validity.apply(&mut params);
    params
}

fn issue(
    params: CertificateParams,
    paths: &CertPaths,
    issuer: &Issuer<'_, KeyPair>,
    files: &mut Vec<PemFile>,
) -> Result<(), DevCertsError> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    files.push(PemFile::certificate(paths.cert.clone(), certificate.pem()));
    files.push(PemFile::key(paths.key.clone(), &key));
    Ok(())
}

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}
