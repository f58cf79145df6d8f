//! Why a connection was not let in.

use rustls::CertificateError;

use crate::principal::SpiffeError;

/// Why a client certificate was refused. For the hub's own log; a peer sees one alert for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CertificateRefusal {
    /// The peer sent none.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// Its end of validity has passed.
    #[error("the client certificate has expired")]
    Expired,
    /// Its validity has not begun.
    #[error("the client certificate is not valid yet")]
    NotYetValid,
    /// Its authority has taken it back.
    #[error("the client certificate was revoked by its authority")]
    Revoked,
    /// No revocation list of its authority is there, or the list has passed its end.
    #[error(
        "whether the client certificate was revoked cannot be told: its authority's revocation list is absent or too old"
    )]
    RevocationUnknown,
    /// No chain to the hub's client authority.
    #[error("the client certificate was not issued by the hub's client authority")]
    UnknownIssuer,
    /// Key usage or extended key usage does not allow client authentication, or it is a certificate of an authority.
    #[error("the client certificate is not for client authentication")]
    WrongUsage,
    /// A signature in the chain or in the handshake does not verify, or uses an algorithm that the hub does not take.
    #[error("a signature of the client certificate or with its key does not verify")]
    BadSignature,
    /// Not a certificate, or one with a critical extension that the hub does not know.
    #[error("the client certificate cannot be read")]
    Malformed,
    /// No URI among its names.
    #[error("the client certificate names no URI")]
    NoUriName,
    /// More than one URI among its names (SPIFFE X509-SVID allows one).
    #[error("the client certificate names more than one URI")]
    SeveralUriNames,
    /// Its URI is not a SPIFFE id of the hub's trust domain.
    #[error("the client certificate's URI is no principal of the hub")]
    Spiffe(#[source] SpiffeError),
    /// Refused by the verifier for another reason.
    #[error("the client certificate does not verify")]
    Other,
}

impl CertificateRefusal {
    /// A stable word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongUsage => "wrong_usage",
            Self::BadSignature => "bad_signature",
            Self::Malformed => "malformed",
            Self::NoUriName => "no_uri_name",
            Self::SeveralUriNames => "several_uri_names",
            Self::Spiffe(SpiffeError::Scheme) => "not_spiffe",
            Self::Spiffe(SpiffeError::TrustDomain) => "other_trust_domain",
            Self::Spiffe(SpiffeError::Length | SpiffeError::Form | SpiffeError::Path) => "malformed_spiffe_id",
            Self::Other => "not_verified",
        }
    }

    pub(crate) fn of(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::NoCertificatesPresented => Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(error) => Some(Self::of_certificate(error)),
            _ => None,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Other(other) => other.0.downcast_ref::<Self>().copied().unwrap_or(Self::Other),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongUsage,
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::BadSignature,
            CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => Self::Malformed,
            _ => Self::Other,
        }
    }
}
