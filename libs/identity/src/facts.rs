//! What certificate files say, for whoever looks a set-up over before it is used.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::{ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::files::{self, CertPaths, TlsError};

/// What one certificate says of itself. Nothing here is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// First second in which it is valid.
    pub not_before: SystemTime,
    /// First second in which it is not valid any more.
    pub not_after: SystemTime,
    /// DNS names and IP addresses.
    pub hosts: Vec<String>,
    /// URIs, such as a SPIFFE id.
    pub uris: Vec<String>,
    /// Whether it is an authority's.
    pub is_authority: bool,
}

/// The certificates of a PEM file, in their order.
///
/// # Errors
/// [`TlsError::Read`], [`TlsError::Pem`]: there is none, or one of them cannot be parsed.
pub fn certificates_in(path: &Path) -> Result<Vec<CertificateFacts>, TlsError> {
    let malformed = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let certificates = files::certificates(path, &files::read(path)?)?;
    let parsed = certificates.iter().map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).or(Err(malformed()))?;
        facts(&certificate).ok_or_else(malformed)
    });
    parsed.collect()
}

/// Whether the server's chain leads to the authority and is made for `host` at that time; the reason when not.
///
/// # Errors
/// A file cannot be read or used.
pub fn leads_to(paths: &CertPaths, host: &str, now: SystemTime) -> Result<Result<(), rustls::Error>, TlsError> {
    let roots = files::roots(&paths.ca, &files::read(&paths.ca)?)?;
    let chain = files::certificates(&paths.cert, &files::read(&paths.cert)?)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::new(ring::default_provider()))
        .build()
        .map_err(|source| TlsError::ClientAuthority { path: paths.ca.clone(), source })?;
    let name = match ServerName::try_from(host) {
        Ok(name) => name.to_owned(),
        Err(_not_a_name) => return Ok(Err(rustls::CertificateError::NotValidForName.into())),
    };
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (leaf, intermediates) = chain.split_first().expect("a chain that was read has a certificate");
    let verified = verifier.verify_server_cert(leaf, intermediates, &name, &[], UnixTime::since_unix_epoch(since));
    Ok(verified.map(|_| ()))
}

fn facts(certificate: &X509Certificate<'_>) -> Option<CertificateFacts> {
    let (mut hosts, mut uris) = (Vec::new(), Vec::new());
    // More than one such extension is malformed.
    let names = certificate.subject_alternative_name().ok()?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => hosts.push(address(bytes)?),
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            _ => {}
        }
    }
    let validity = certificate.validity();
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
    Some(CertificateFacts {
        not_before: at(validity.not_before.timestamp()),
        // The last second still counts (RFC 5280, section 4.1.2.5).
        not_after: at(validity.not_after.timestamp() + 1),
        hosts,
        uris,
        is_authority: certificate.is_ca(),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let address: std::net::IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        16 => <[u8; 16]>::try_from(bytes).ok()?.into(),
        _ => return None,
    };
    Some(address.to_string())
}
