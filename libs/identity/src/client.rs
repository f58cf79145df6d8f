//! A caller's side of TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::files::{self, CertPaths, TlsError};

/// A client without a certificate of its own, for servers that these authorities (PEM) certify.
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub fn anonymous_client(authorities: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let pem = files::read(authorities)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves the default protocol versions")
        .with_root_certificates(files::roots(authorities, &pem)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A client's TLS set-up: its own certificate and the authority that the server must chain to.
#[derive(Debug, Clone)]
pub struct ClientTls {
    tonic: ClientTlsConfig,
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads the files and checks that they fit together, before any connection is tried.
    ///
    /// # Errors
    /// The file that cannot be read or used.
    pub fn load(paths: &CertPaths) -> Result<Self, TlsError> {
        let (ca, cert, key) = (files::read(&paths.ca)?, files::read(&paths.cert)?, files::read(&paths.key)?);
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring serves the default protocol versions")
            .with_root_certificates(files::roots(&paths.ca, &ca)?)
            .with_client_auth_cert(files::certificates(&paths.cert, &cert)?, files::private_key(&paths.key, &key)?)
            .map_err(|source| TlsError::Rejected { path: paths.key.clone(), source })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tonic =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).identity(Identity::from_pem(cert, key));
        Ok(Self { tonic, config: Arc::new(config) })
    }

    /// For `tonic::transport::Endpoint::tls_config`. The server's name is taken from the endpoint's URI.
    pub fn tonic(&self) -> ClientTlsConfig {
        self.tonic.clone()
    }

    /// For a connection that is made without tonic.
    pub fn rustls(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}
