//! Who owns the files of the data directory, and who else can read what is secret.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Findings, State, first_of};
use crate::config::Config;

const PART: &str = "files";
/// Folders that are looked into: elsewhere the hub makes files as fast as it works.
const FOLDERS: [&str; 5] = ["secret", "keys", "log", "ledger", "views"];
/// Folders of which nobody else may read a file.
const SECRET: [&str; 2] = ["secret", "keys"];

pub(super) fn look(config: &Config, findings: &mut Findings) {
    let dir = config.top.data_dir.as_path();
    let owner = match fs::metadata(dir) {
        Ok(found) if found.is_dir() => found.uid(),
        Ok(_) => {
            findings.fault(PART, format!("{} is no folder", dir.display()), "name a folder with --data-dir").about(dir);
            return;
        }
        Err(error) => return unreadable(dir, &error, findings),
    };
    let (mut others, mut open) = (Vec::new(), Vec::new());
    let mut judge = |path: PathBuf, found: &Metadata, secret: bool| {
        if found.uid() != owner {
            others.push((path.clone(), found.uid()));
        }
        if secret && found.permissions().mode() & 0o077 != 0 {
            open.push((path, found.permissions().mode() & 0o777));
        }
    };
    for name in FOLDERS {
        let folder = dir.join(name);
        let secret = SECRET.contains(&name);
        match entries(&folder) {
            Ok(entries) => entries.into_iter().for_each(|(path, found)| judge(path, &found, secret)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => unreadable(&folder, &error, findings),
        }
    }
    let named = [config.path(&config.tls.key), config.path(&config.keys.wrapping_file)];
    for path in named.into_iter().filter(|path| !path.starts_with(dir.join("keys"))) {
        if let Ok(found) = fs::metadata(&path)
            && found.permissions().mode() & 0o077 != 0
        {
            open.push((path, found.permissions().mode() & 0o777));
        }
    }
    owners(&others, owner, findings);
    readers(&open, findings);
    let mode = fs::metadata(dir).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o022 != 0 {
        let what = format!("{} can be written by other users (mode {mode:o})", dir.display());
        findings.add(PART, State::Warning, what, format!("chmod 700 {}", dir.display())).about(dir);
    }
    if findings.is_well(PART) {
        findings.ok(PART, format!("all belong to user {owner}; nobody else can read secrets and keys"));
    }
}

fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = vec![(folder.to_owned(), fs::metadata(folder)?)];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found.push((entry.path(), entry.metadata()?));
    }
    Ok(found)
}

fn owners(others: &[(PathBuf, u32)], owner: u32, findings: &mut Findings) {
    let (shown, more) = first_of(others);
    for (path, uid) in shown {
        let what = format!("{} belongs to user {uid}, the data directory to user {owner}", path.display());
        let next = format!("chown -R {owner} the data directory, and run the hub as that user");
        findings.add(PART, State::Warning, what, next).about(path);
    }
    if let Some(more) = more {
        findings.add(PART, State::Warning, more, "the same");
    }
}

fn readers(open: &[(PathBuf, u32)], findings: &mut Findings) {
    for (path, mode) in open {
        let folder = path.is_dir();
        let what = format!("{} can be reached by other users (mode {mode:o})", path.display());
        let next = format!("chmod {} {}", if folder { 700 } else { 600 }, path.display());
        findings.fault(PART, what, next).about(path);
    }
}

fn unreadable(path: &Path, error: &io::Error, findings: &mut Findings) {
    let next = "run 'hub doctor' as the hub's user";
    findings.fault(PART, format!("{} cannot be read: {error}", path.display()), next).about(path);
}
