//! Whether there is room to go on.

use std::path::Path;

use super::{Findings, State};
use crate::config::Config;

const PART: &str = "disk";
const GIB: u64 = 1 << 30;
/// Below this share of the disk somebody should make room.
const FREE_PERCENT_MIN: u64 = 10;

pub(super) fn look(config: &Config, findings: &mut Findings) {
    let dir = config.top.data_dir.as_path();
    // A directory that is not there yet will be on the disk of the nearest folder that is.
    let Some(at) = dir.ancestors().map(nearest).find(|folder| folder.exists()) else { return };
    let found = match rustix::fs::statvfs(at) {
        Ok(found) => found,
        Err(error) => {
            let what = format!("the free space of {} cannot be told: {error}", at.display());
            findings.add(PART, State::Warning, what, "look with 'df'");
            return;
        }
    };
    let (free, total) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    // Each of the two sequences of an embedded log asks for one segment ahead.
    let due = if config.log.kind == "embedded" { 2 * config.log.segment_bytes } else { 0 };
    let text = format!("{:.1} GiB of {:.1} GiB are free", gib(free), gib(total));
    let grow = "make room or move the data directory to a larger disk; docs/operations.md tells what grows how fast";
    if free < due {
        let what =
            format!("{text}: less than the log's next two segments ({:.1} GiB); publishing will be refused", gib(due));
        findings.fault(PART, what, grow);
    } else if free < total / 100 * FREE_PERCENT_MIN {
        findings.add(PART, State::Warning, format!("{text}: below {FREE_PERCENT_MIN} %"), grow);
    } else if found.f_files > 0 && found.f_favail < found.f_files / 100 {
        let what = format!("{text}, but less than 1 % of its inodes: the ledger needs one per 256 entries");
        findings.add(PART, State::Warning, what, "move the data directory to a disk with more inodes");
    } else {
        findings.ok(PART, text);
    }
}

fn nearest(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}
