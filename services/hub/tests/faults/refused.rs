//! A data directory that a hub cannot have: it says so in one line, and leaves everything as it is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::full_disk::SmallDisk;
use crate::hub::{Hub, configured, run, stderr};

/// The one line that says why.
fn reason(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("hub: ")).count(), 1, "{text}");
    let reason = text.lines().last().expect("a reason");
    assert!(reason.starts_with("hub: ") && !text.contains("panicked"), "{text}");
    reason.to_owned()
}

/// Names and contents of all files below, but for locks, which hold the number of who asked last.
fn listing(dir: &Path) -> Vec<u8> {
    let listed = Command::new("find")
        .arg(dir)
        .args(["-type", "f", "!", "-name", "hub.lock", "!", "-name", "LOCK", "-exec", "sha256sum", "{}", "+"])
        .output()
        .expect("find is there");
    assert!(listed.status.success() && !listed.stdout.is_empty(), "{}", stderr(&listed));
    let mut lines: Vec<&[u8]> = listed.stdout.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.join(&b'\n')
}

#[test]
fn a_read_only_data_directory_is_refused_in_one_line() {
    let dir = configured();
    let data = dir.path().join("d");
    let disk = SmallDisk::mount(&data, 96);
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0));
    let before = listing(&data);
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&data).status();
        assert!(done.expect("mount is there").success());
    };
    remount("ro");
    let refused = run(dir.path(), &["serve", "--config", "hub.toml", "--dev-certs"]);
    let reason = reason(&refused);
    assert!(reason.contains("Read-only file system") && reason.contains("d/"), "{reason}");
    assert!(listing(&data) == before, "nothing is changed");
    remount("rw");
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0), "and nothing is wrong with it");
    drop(disk);
}

#[test]
fn a_data_directory_of_another_owner_is_refused_in_one_line() {
    let dir = configured();
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0));
    let data = dir.path().join("d");
    for (what, mode) in [("d", 0o000), ("d/log", 0o000), ("d/secret", 0o000), ("d/views", 0o000)] {
        let folder = dir.path().join(what);
        let before = listing(&data);
        let kept = std::fs::metadata(&folder).expect("there").permissions();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).expect("ours");
        // Root without the right to pass over permissions is to files as anybody else.
        let mut serve = Command::new("setpriv");
        serve.args([
            "--bounding-set",
            "-dac_override,-dac_read_search",
            "--inh-caps",
            "-dac_override,-dac_read_search",
        ]);
        serve.arg(env!("CARGO_BIN_EXE_hub")).args(["serve", "--config", "hub.toml"]);
        let serve = serve.current_dir(dir.path());
        serve.stdin(std::process::Stdio::null());
        let refused = serve.output().expect("setpriv is there");
        std::fs::set_permissions(&folder, kept).expect("ours");
        let reason = if refused.status.code() == Some(2) {
            // Certificates are looked for first.
            stderr(&refused).lines().last().expect("a reason").to_owned()
        } else {
            reason(&refused)
        };
        assert!(reason.contains("Permission denied") && reason.contains(what), "{what}: {reason}");
        assert!(listing(&data) == before, "{what}: nothing is changed");
    }
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0), "and nothing is wrong with it");
}
