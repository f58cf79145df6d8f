//! SPIFFE ids: parsing and what is not one.

use std::fmt;
use std::sync::Arc;

/// Longest SPIFFE id, in bytes (SPIFFE-ID, section 2.3).
const SPIFFE_BYTES_MAX: usize = 2048;
/// Longest trust domain, in bytes (SPIFFE-ID, section 2.3).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Why a text is not a principal of the hub. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SpiffeError {
    /// Another scheme than `spiffe`.
    #[error("the scheme is not spiffe")]
    Scheme,
    /// Well formed, but of another trust domain.
    #[error("the trust domain is not the hub's")]
    TrustDomain,
    /// Longer than 2,048 bytes.
    #[error("the id is longer than 2048 bytes")]
    Length,
    /// A query, a fragment, a port, a user, or a character outside the allowed set.
    #[error("the id holds more than a trust domain and a path of letters, digits, '.', '-', '_'")]
    Form,
    /// No path: it would name the trust domain itself.
    #[error("the path is empty")]
    Path,
}

/// The name under which one authority issues ids, such as `hub.test`: 1 to 255 of `a-z`, `0-9`, `.`, `-`, `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of `path` (such as `register/civil`) in this trust domain.
    ///
    /// # Errors
    /// The path is empty or holds a segment that SPIFFE does not allow.
    pub fn principal(&self, path: &str) -> Result<Principal, SpiffeError> {
        Principal::parse(&format!("spiffe://{}/{path}", self.0), self)
    }
}

impl TryFrom<&str> for TrustDomain {
    type Error = SpiffeError;
    fn try_from(name: &str) -> Result<Self, SpiffeError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        let fits = (1..=TRUST_DOMAIN_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
        if fits { Ok(Self(name.into())) } else { Err(SpiffeError::Form) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A caller, named by a SPIFFE id of the hub's trust domain. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    spiffe: Arc<str>,
    path_at: usize,
}

impl Principal {
    /// Reads `spiffe://<trust_domain>/<path>`.
    ///
    /// # Errors
    /// The first rule that the text breaks (SPIFFE-ID, section 2).
    pub fn parse(uri: &str, trust_domain: &TrustDomain) -> Result<Self, SpiffeError> {
        if uri.len() > SPIFFE_BYTES_MAX {
            return Err(SpiffeError::Length);
        }
        // Schemes compare without case (RFC 3986, section 3.1).
        let (scheme, rest) = uri.split_once("://").ok_or(SpiffeError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("spiffe") {
            return Err(SpiffeError::Scheme);
        }
        let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        let domain = TrustDomain::try_from(domain)?;
        if !path.is_empty() && !path.split('/').all(is_segment) {
            return Err(SpiffeError::Form);
        }
        if domain != *trust_domain {
            return Err(SpiffeError::TrustDomain);
        }
        if path.is_empty() {
            return Err(SpiffeError::Path);
        }
        let spiffe: Arc<str> = format!("spiffe://{domain}/{path}").into();
        let path_at = spiffe.len() - path.len();
        Ok(Self { spiffe, path_at })
    }

    /// The whole id, such as `spiffe://hub.test/register/civil`.
    pub fn spiffe(&self) -> &str {
        &self.spiffe
    }

    /// The path without its first slash, such as `register/civil`.
    pub fn path(&self) -> &str {
        &self.spiffe[self.path_at..]
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spiffe)
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> TrustDomain {
        TrustDomain::try_from("hub.test").expect("a valid trust domain")
    }

    #[test]
    fn a_spiffe_id_of_the_trust_domain_is_a_principal() {
        let principal = Principal::parse("spiffe://hub.test/register/civil", &domain()).expect("well formed");
        assert_eq!(principal.spiffe(), "spiffe://hub.test/register/civil");
        assert_eq!(principal.path(), "register/civil");
        assert_eq!(domain().principal("register/civil"), Ok(principal));
    }

    #[test]
    fn the_scheme_is_compared_without_case_and_kept_canonical() {
        let principal = Principal::parse("SPIFFE://hub.test/a", &domain()).expect("well formed");
        assert_eq!(principal.spiffe(), "spiffe://hub.test/a");
    }

    #[test]
    fn everything_else_is_refused_with_its_rule() {
        let long = format!("spiffe://hub.test/{}", "a".repeat(2048));
        let table = [
            ("https://hub.test/register/civil", SpiffeError::Scheme),
            ("hub.test/register/civil", SpiffeError::Scheme),
            ("", SpiffeError::Scheme),
            ("spiffe://other.test/register/civil", SpiffeError::TrustDomain),
            ("spiffe://hub.test.evil/register/civil", SpiffeError::TrustDomain),
            ("spiffe://HUB.test/register/civil", SpiffeError::Form),
            ("spiffe:///register/civil", SpiffeError::Form),
            ("spiffe://hub.test:8443/register/civil", SpiffeError::Form),
            ("spiffe://root@hub.test/register/civil", SpiffeError::Form),
            ("spiffe://hub.test/register/civil?admin=1", SpiffeError::Form),
            ("spiffe://hub.test/register/civil#x", SpiffeError::Form),
            ("spiffe://hub.test/register//civil", SpiffeError::Form),
            ("spiffe://hub.test/register/../ops", SpiffeError::Form),
            ("spiffe://hub.test/register/%63ivil", SpiffeError::Form),
            ("spiffe://hub.test/register/", SpiffeError::Form),
            ("spiffe://hub.test/", SpiffeError::Path),
            ("spiffe://hub.test", SpiffeError::Path),
            (long.as_str(), SpiffeError::Length),
        ];
        for (uri, expected) in table {
            assert_eq!(Principal::parse(uri, &domain()), Err(expected), "{uri}");
        }
    }
}
