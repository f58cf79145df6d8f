//! The key store: whether the bodies of the log can be read.

use key_store::KeyStore;

use super::{Findings, State, log::Told};
use crate::config::Config;
use crate::server::keys::{dir, refused, wrapping};

const PART: &str = "keys";

pub(super) fn look(config: &Config, told: &Told, findings: &mut Findings) {
    let dir = dir(config);
    let next = "put the copy back with 'hub keys restore FILE'; without the keys no body of this log can be read";
    match KeyStore::exists(&dir) {
        Ok(true) => {}
        Ok(false) if told.ring.is_some() => {
            findings
                .fault(PART, format!("{} holds no keys, and the log's bodies are encrypted", dir.display()), next)
                .about(&dir);
            return;
        }
        Ok(false) => {
            let what = "there are none: bodies are stored plain, and an erasure only hides them";
            findings.add(PART, State::Note, what, "docs/encryption.md tells what that means");
            return;
        }
        Err(error) => {
            let error = refused(&error);
            findings.fault(PART, error.what, error.what_to_do);
            return;
        }
    }
    let status = match KeyStore::inspect_dir(&dir, &wrapping(config)) {
        Ok(status) => status,
        Err(error) => {
            let error = refused(&error);
            findings.fault(PART, error.what, format!("{}; {next}", error.what_to_do)).about(&dir);
            return;
        }
    };
    if told.log_id.is_some_and(|log| log != status.log) || told.ring.is_some_and(|ring| ring != status.ring.0) {
        findings.fault(PART, format!("{} holds the keys of another log", dir.display()), next).about(&dir);
    } else {
        let what = format!("sound: {} live seeds, wrapped ({})", status.seeds, wrapping(config).kind_name());
        findings.ok(PART, what);
    }
    if dir.join("purge").exists() {
        let what = "an erasure has destroyed keys, and derived files may still hold values";
        findings.add(PART, State::Note, what, "the next start of the hub folds them anew");
    }
}
