//! Reading certificate and key files.

use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// Where one party's certificate chain, its key, and the authority that it trusts lie (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertPaths {
    /// The authority that the other party's certificate must chain to.
    pub ca: PathBuf,
    /// The own certificate, leaf first.
    pub cert: PathBuf,
    /// The own private key.
    pub key: PathBuf,
}

/// Why certificate files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file holds no certificate or key in PEM form.
    #[error("{} holds no {what} in PEM form", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate`, `private key` or `revocation list`.
        what: &'static str,
    },
    /// Readable, but rustls refuses it: an authority that is none, a key of another certificate.
    #[error("{} cannot be used", path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The list of client authorities cannot serve as one.
    #[error("{} cannot be used as a client authority", path.display())]
    ClientAuthority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

pub(crate) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let chain = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, pem::Error>>().or(Err(wrong()))?;
    if chain.is_empty() { Err(wrong()) } else { Ok(chain) }
}

pub(crate) fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(bytes).or(Err(TlsError::Pem { path: path.to_owned(), what: "private key" }))
}

pub(crate) fn revocation_lists(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let wrong = || TlsError::Pem { path: path.to_owned(), what: "revocation list" };
    let lists = CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().or(Err(wrong()))?;
    if lists.is_empty() { Err(wrong()) } else { Ok(lists) }
}

pub(crate) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots.add(certificate).map_err(|source| TlsError::Rejected { path: path.to_owned(), source })?;
    }
    Ok(roots)
}
