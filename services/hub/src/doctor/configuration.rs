//! What the keys of a configuration say together; each for itself was checked when it was read.

use ledger::{Policy, SigningKey};

use super::{Findings, State};
use crate::config::Config;
use crate::error::{CommandError, told};
use crate::{listening, server};

const PART: &str = "configuration";

pub(super) fn look(config: &Config, findings: &mut Findings) {
    if let Err(error) = listening::trust_domain(config) {
        refused(error, findings);
    }
    if let Err(error) = SigningKey::new(&config.top.origin, &[0; 32]) {
        let what = format!("origin '{}' is no key name: {}", config.top.origin, told(&error));
        findings.fault(PART, what, "write a name without spaces and '+', such as hub.example/log");
    }
    if let Err(error) = server::configured_unit_lists(config) {
        refused(error, findings);
    }
    if let Err(error) = server::first_policy(config) {
        refused(error, findings);
    }
    if !config.mutual_tls() && !config.grpc.listen.ip().is_loopback() {
        let what =
            format!("tls.mode is \"off\" and grpc.listen {} can be reached by other machines", config.grpc.listen);
        findings.fault(PART, what, "set tls.mode = \"mutual\", or listen on 127.0.0.1");
    }
    witnesses(config, findings);
    addresses(config, findings);
    if config.log.kind == "kafka" && config.log_kafka.min_insync_replicas >= config.log_kafka.replication {
        let kafka = &config.log_kafka;
        if kafka.replication > 1 {
            let what = format!(
                "log.kafka.min_insync_replicas is {} of {} replicas: one broker that is down stops publishing",
                kafka.min_insync_replicas, kafka.replication
            );
            findings.add(PART, State::Warning, what, "set min_insync_replicas to one less than replication");
        }
    }
    if findings.is_well(PART) {
        findings.ok(PART, "every key is well formed, and they agree with each other");
    }
}

fn refused(error: CommandError, findings: &mut Findings) {
    findings.fault(PART, error.what, error.what_to_do);
}

fn witnesses(config: &Config, findings: &mut Findings) {
    let Some(path) = &config.ledger.witnesses else { return };
    let path = config.path(path);
    let fault = match std::fs::read_to_string(&path) {
        Err(error) => Some(error.to_string()),
        Ok(text) => Policy::parse(&text).err().map(|error| told(&error)),
    };
    if let Some(fault) = fault {
        let next = "write it as 'hub audit trust' prints it, with a line per witness; see docs/proofs.md";
        findings.fault(PART, format!("ledger.witnesses: {}: {fault}", path.display()), next).about(&path);
    }
}

/// Two services on one address: the second does not start.
fn addresses(config: &Config, findings: &mut Findings) {
    let listening = [
        ("grpc.listen", Some(config.grpc.listen)),
        ("ledger.listen", config.ledger.listen),
        ("telemetry.prometheus_listen", config.telemetry.prometheus_listen),
    ];
    for (at, (one, first)) in listening.iter().enumerate() {
        for (other, second) in &listening[at + 1..] {
            if let (Some(first), Some(second)) = (first, second)
                && first.port() != 0
                && first.port() == second.port()
                && (first.ip() == second.ip() || first.ip().is_unspecified() || second.ip().is_unspecified())
            {
                let what = format!("{one} and {other} are both on port {}", first.port());
                findings.fault(PART, what, "give each a port of its own");
            }
        }
    }
}
