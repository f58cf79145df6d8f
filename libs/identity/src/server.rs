//! The hub's side of TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use crate::files::{self, CertPaths, TlsError};
use crate::principal::TrustDomain;
use crate::verifier::SpiffeVerifier;

/// A server's TLS set-up: TLS 1.2 and 1.3, HTTP/2 (HTTP/1.1 too when asked for), a client certificate with a SPIFFE id of the trust domain
/// required. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    trust_domain: TrustDomain,
}

impl ServerTls {
    /// Reads the server's certificate and key, and the authority that issues client certificates.
    ///
    /// # Errors
    /// The file that cannot be read or used.
    pub fn load(paths: &CertPaths, trust_domain: TrustDomain) -> Result<Self, TlsError> {
        Self::load_revoking(paths, None, trust_domain)
    }

    /// The same, and the authority's list of client certificates that it has revoked. With a list, a client certificate counts only when
    /// its own issuer's list is there and has not passed its end: what cannot be looked up is refused.
    ///
    /// # Errors
    /// The file that cannot be read or used.
    pub fn load_revoking(
        paths: &CertPaths,
        revoked: Option<&Path>,
        trust_domain: TrustDomain,
    ) -> Result<Self, TlsError> {
        let roots = files::roots(&paths.ca, &files::read(&paths.ca)?)?;
        let chain = files::certificates(&paths.cert, &files::read(&paths.cert)?)?;
        let key = files::private_key(&paths.key, &files::read(&paths.key)?)?;
        let provider = Arc::new(ring::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        if let Some(path) = revoked {
            let lists = files::revocation_lists(path, &files::read(path)?)?;
            builder = builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
        }
        let verifier = builder
            .build()
            .map_err(|source| TlsError::ClientAuthority { path: revoked.unwrap_or(&paths.ca).to_owned(), source })?;
        let verifier = SpiffeVerifier::new(verifier, trust_domain.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring serves the default protocol versions")
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::Rejected { path: paths.key.clone(), source })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would carry a certificate past its end.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), trust_domain })
    }

    /// Offers HTTP/1.1 too, for callers that do not speak HTTP/2. The server must serve it.
    #[must_use]
    pub fn with_http1(mut self) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self
    }

    /// The trust domain whose principals are let in.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}
