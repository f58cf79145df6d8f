//! The server's certificate, its key and the authority of the callers.

use std::path::Path;
use std::time::{Duration, SystemTime};

use identity::{CertificateFacts, ServerTls, certificates_in, leads_to};

use super::{Findings, State};
use crate::config::Config;
use crate::error::told;
use crate::listening;

const PART: &str = "certificates";
/// A certificate that ends sooner should be renewed.
const SOON: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn look(config: &Config, now: SystemTime, findings: &mut Findings) {
    if !config.mutual_tls() {
        let what = "tls.mode is \"off\": callers are not known by certificate";
        findings.add(PART, State::Warning, what, "set tls.mode = \"mutual\" for anything but development");
        return;
    }
    // A wrong trust domain is a finding of the configuration.
    let Ok(trust_domain) = listening::trust_domain(config) else { return };
    let paths = config.server_certs();
    let revoked = config.tls.revoked.as_ref().map(|path| config.path(path));
    if let Err(error) = ServerTls::load_revoking(&paths, revoked.as_deref(), trust_domain) {
        let next = "name the files in section [tls]; 'hub init' or 'hub dev-certs' makes some for a first try";
        findings.fault(PART, told(&error), next);
    }
    let server = certificates_in(&paths.cert).unwrap_or_default();
    let authority = certificates_in(&paths.ca).unwrap_or_default();
    for (path, facts) in [(&paths.cert, &server), (&paths.ca, &authority)] {
        facts.iter().for_each(|facts| validity(path, facts, now, findings));
    }
    for facts in authority.iter().filter(|facts| !facts.is_authority) {
        let what = format!("{} holds a certificate that is no authority's{}", paths.ca.display(), named(facts));
        findings.fault(PART, what, "name the authority's certificate in tls.client_ca").about(&paths.ca);
    }
    let Some(leaf) = server.first() else { return };
    let Some(host) = leaf.hosts.first() else {
        let what = format!("{} names neither a DNS name nor an address: no caller accepts it", paths.cert.display());
        findings.fault(PART, what, "have it issued with the names that callers use").about(&paths.cert);
        return;
    };
    if let Ok(Err(error)) = leads_to(&paths, host, now)
        && findings.is_well(PART)
    {
        let what =
            format!("{} does not lead to the authority in {}: {error}", paths.cert.display(), paths.ca.display());
        let next = "put intermediates behind it in the file; if another authority issued it, callers must trust that one (--ca)";
        findings.add(PART, State::Warning, what, next).about(&paths.cert);
    }
    if findings.is_well(PART) {
        let what =
            format!("the server is {}, until {}; key and authority fit", leaf.hosts.join(", "), day(leaf.not_after));
        findings.ok(PART, what);
    }
}

fn validity(path: &Path, facts: &CertificateFacts, now: SystemTime, findings: &mut Findings) {
    let file = path.display();
    let next = "have it renewed, and restart the hub: certificates are read at the start";
    if now >= facts.not_after {
        let what = format!("{file}: the certificate ended on {}{}", day(facts.not_after), named(facts));
        findings.fault(PART, what, next).about(path);
    } else if now < facts.not_before {
        let what = format!("{file}: the certificate is not valid before {}{}", day(facts.not_before), named(facts));
        findings.fault(PART, what, "check this machine's clock, or have it issued anew").about(path);
    } else if now + SOON >= facts.not_after {
        let what = format!("{file}: the certificate ends on {}{}", day(facts.not_after), named(facts));
        findings.add(PART, State::Warning, what, next).about(path);
    }
}

fn named(facts: &CertificateFacts) -> String {
    let names: Vec<&str> = facts.hosts.iter().chain(&facts.uris).map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

fn day(at: SystemTime) -> String {
    // A time that the calendar does not hold ends no certificate that anybody made.
    jiff::Timestamp::try_from(at).map_or_else(|_| "-".into(), |at| at.strftime("%Y-%m-%d").to_string())
}
