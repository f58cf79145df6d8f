//! The log's secret and its signing key.

use record::LogSecret;

use super::{Findings, log::Told};
use crate::config::Config;

const PART: &str = "secrets";
const BYTES: usize = 32;

pub(super) fn look(config: &Config, told: &Told, findings: &mut Findings) {
    let next = "restore secret/ from the copy that belongs to this log; without it the hub does not start";
    for name in ["log", "signing"] {
        let path = config.top.data_dir.join("secret").join(name);
        match std::fs::read(&path) {
            Err(error) => {
                findings.fault(PART, format!("{} cannot be read: {error}", path.display()), next).about(&path);
            }
            Ok(bytes) if bytes.len() != BYTES => {
                let what = format!("{} has {} bytes instead of {BYTES}", path.display(), bytes.len());
                findings.fault(PART, what, next).about(&path);
            }
            Ok(bytes) if name == "log" => {
                let secret: [u8; BYTES] = bytes.try_into().expect("its length was looked at");
                if told.commitment.is_some_and(|due| due != LogSecret::new(&secret).commitment()) {
                    findings
                        .fault(PART, format!("{} is not the one that the log was begun with", path.display()), next)
                        .about(&path);
                }
            }
            Ok(_) => {}
        }
    }
    if findings.is_well(PART) {
        findings.ok(
            PART,
            if told.commitment.is_some() {
                "both are there; the log was begun with this one"
            } else {
                "both are there"
            },
        );
    }
}
