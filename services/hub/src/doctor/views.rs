//! The views: whether they are of this log and this program, and whether their files are as they were written.

use std::path::Path;

use projection::FOLD_VERSION;
use view_store::OpenError;

use super::{Findings, State, first_of, log::Told};
use crate::config::Config;
use crate::error::told as cause;

const PART: &str = "views";
const FOLDED: &str = "nothing is lost: the next start of the hub folds them anew from the log";

pub(super) fn look(config: &Config, told: &Told, quick: bool, findings: &mut Findings) {
    let dir = config.top.data_dir.join("views");
    if !dir.exists() {
        findings.add(PART, State::Note, "there are none yet", "the next start of the hub folds them from the log");
        return;
    }
    let folders = match ::views::folders(&dir) {
        Ok(folders) => folders,
        Err(error) => {
            let next = "remove plan.json and the numbered folders beside it; the next start folds the views anew";
            findings.fault(PART, error.to_string(), next).about(&dir);
            return;
        }
    };
    for (what, folder) in folders {
        if quick {
            let text = format!("{what}: {} was not read", folder.display());
            findings.add(PART, State::Note, text, "leave --quick out to read it through");
        } else {
            one(config, told, what, &folder, findings);
        }
    }
}

fn one(config: &Config, told: &Told, what: &str, folder: &Path, findings: &mut Findings) {
    let found = match view_store::inspect(folder) {
        Ok(Some(found)) => found,
        Ok(None) => {
            findings.add(PART, State::Note, format!("{what}: {} holds no store", folder.display()), FOLDED);
            return;
        }
        Err(error) => {
            let state = if matches!(error, OpenError::System { .. }) { State::Fault } else { State::Warning };
            let next =
                if state == State::Fault { "run 'hub doctor' as the hub's user, and mend the disk" } else { FOLDED };
            findings.add(PART, state, format!("{what}: {}", cause(&error)), next).about(folder);
            return;
        }
    };
    let reason = if told.log_id.is_some_and(|log| log != found.log_id) {
        Some("was folded from another log".to_owned())
    } else if found.fold_version != FOLD_VERSION {
        Some(format!("was written by fold version {}, this program folds by {FOLD_VERSION}", found.fold_version))
    } else if found.store.to_string() != config.store.kind {
        Some(format!("is {}, store.kind says {}", found.store, config.store.kind))
    } else if found.purged {
        Some("holds values of erased records".to_owned())
    } else {
        None
    };
    if let Some(reason) = reason {
        findings
            .add(PART, State::Warning, format!("{what}: the store in {} {reason}", folder.display()), FOLDED)
            .about(folder);
        return;
    }
    let (shown, more) = first_of(&found.faults);
    for error in shown {
        let file = match error {
            view_store::Error::DamagedBlock { path, .. } | view_store::Error::DamagedFile { path, .. } => {
                path.as_path()
            }
            _ => folder,
        };
        let next =
            "start the hub with this folder moved away: it is folded anew from the log; and look at the disk's health";
        findings.fault(PART, format!("{what}: {}", cause(error)), next).about(file);
    }
    if let Some(more) = more {
        findings.fault(PART, more, "the same");
    }
    if found.to_repair > 0 {
        let text = format!("{what}: a checkpoint was broken off; {} blocks are written again", found.to_repair);
        findings.add(PART, State::Note, text, "the next start of the hub does it");
    }
    if found.faults.is_empty() {
        let text = format!(
            "{what}: {} blocks of derived files are sound, {} store after batch {}",
            found.blocks, found.store, found.held_batches
        );
        findings.ok(PART, text);
    }
}
