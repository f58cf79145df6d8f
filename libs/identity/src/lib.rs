//! Who is on the other end of a connection.
//!
//! Every caller of the hub proves itself with a client certificate whose only URI name is a SPIFFE id of the hub's trust
//! domain (SPIFFE X509-SVID, section 2). [`ServerTls`] checks the chain and that name while the handshake runs,
//! [`Incoming`] hands out connections that carry a [`Principal`], and [`principal_of`] reads it in a request handler.
//! [`dev_certs()`] makes the certificates that a development machine needs.
//!
//! Invariants: a connection that reaches a handler has exactly one principal, parsed once per connection; handshakes and
//! connections are bounded in number and handshakes in time; the reason for a refusal is in the hub's log
//! ([`CertificateRefusal::reason`]), while every refused certificate gets the same TLS alert; sessions are not resumed,
//! so that a certificate is judged anew on every connection.
//!
//! Deliberately absent: what a principal may do (crate `access`), fetching revocation lists, and issuing certificates for
//! production, which is the work of the trust domain's own authority.

mod client;
mod dev_certs;
mod facts;
mod files;
mod incoming;
mod peer;
mod principal;
mod refusal;
mod server;
mod verifier;

pub use client::{ClientTls, anonymous_client};
pub use dev_certs::{DEV_SERVER_NAMES, DEV_SPIFFE_PATHS, DevCertsError, DevCertsOptions, DevCertsReport, dev_certs};
pub use facts::{CertificateFacts, certificates_in, leads_to};
pub use files::{CertPaths, TlsError};
pub use incoming::{ConnectionLimits, Incoming, PlaintextError};
pub use peer::{NoPrincipal, PeerInfo, PeerIo, principal_of};
pub use principal::{Principal, SpiffeError, TrustDomain};
pub use refusal::CertificateRefusal;
pub use server::ServerTls;
