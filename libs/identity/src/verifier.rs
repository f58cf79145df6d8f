//! Judges client certificates while the handshake runs.
//!
//! The chain is checked by rustls' own verifier, then the usages and the SPIFFE name. Every refusal leaves as
//! `CertificateError::Other`, for which rustls sends the alert `certificate_unknown`: a stranger learns nothing about
//! which rule it failed. The typed reason travels inside and is read back by the acceptor.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::principal::{Principal, TrustDomain};
use crate::refusal::CertificateRefusal;

#[derive(Debug)]
pub(crate) struct SpiffeVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    trust_domain: TrustDomain,
}

impl SpiffeVerifier {
    pub(crate) fn new(chain: Arc<dyn ClientCertVerifier>, trust_domain: TrustDomain) -> Self {
        Self { chain, trust_domain }
    }
}

impl ClientCertVerifier for SpiffeVerifier {
    // The names of the client authority are not offered: they would tell a stranger who runs it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now).map_err(hidden)?;
        principal_in(end_entity, &self.trust_domain).map_err(refused)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss).map_err(hidden)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss).map_err(hidden)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn refused(refusal: CertificateRefusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

fn hidden(error: Error) -> Error {
    match CertificateRefusal::of(&error) {
        Some(refusal) => refused(refusal),
        None => error,
    }
}

/// The principal that a certificate names, whose chain has been verified.
pub(crate) fn principal_in(
    certificate: &CertificateDer<'_>,
    trust_domain: &TrustDomain,
) -> Result<Principal, CertificateRefusal> {
    let (_, certificate) = X509Certificate::from_der(certificate).or(Err(CertificateRefusal::Malformed))?;
    check_usage(&certificate)?;
    let names = certificate.subject_alternative_name().or(Err(CertificateRefusal::Malformed))?;
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(CertificateRefusal::NoUriName)?;
    if uris.next().is_some() {
        return Err(CertificateRefusal::SeveralUriNames);
    }
    Principal::parse(uri, trust_domain).map_err(CertificateRefusal::Spiffe)
}

/// SPIFFE X509-SVID, sections 4.1 to 4.4: a leaf is no authority, signs handshakes and nothing else. Stricter than it in
/// one point: client authentication must be named, not merely not be excluded.
fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), CertificateRefusal> {
    let malformed = CertificateRefusal::Malformed;
    let client_auth = certificate.extended_key_usage().or(Err(malformed))?.is_some_and(|usage| usage.value.client_auth);
    let signs_only = certificate.key_usage().or(Err(malformed))?.is_some_and(|usage| {
        usage.value.digital_signature() && !usage.value.key_cert_sign() && !usage.value.crl_sign()
    });
    if client_auth && signs_only && !certificate.is_ca() { Ok(()) } else { Err(CertificateRefusal::WrongUsage) }
}
