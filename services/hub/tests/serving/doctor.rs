//! `hub doctor` and `hub init`: what they say about a directory, and what a hub makes of it.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::hub::{Hub, audited, lines, run, stderr, write_lines};

/// A directory that a hub has worked on and left in order.
fn worked_on() -> tempfile::TempDir {
    let dir = audited();
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 300));
    let published = hub.ask(&["publish", "--register", "civil", "civil.ndjson", "--json"]);
    assert!(published.stdout.starts_with(b"{"), "{}", stderr(&published));
    hub.folded();
    hub.checkpointed();
    assert_eq!(hub.stop().code(), Some(0));
    dir
}

fn doctor(dir: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let output = run(dir, &[&["doctor", "--config", "hub.toml", "--json"], more].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code(), told)
}

/// The one finding of that part and state.
#[track_caller]
fn one(told: &Value, part: &str, state: &str) -> Value {
    let findings = told["findings"].as_array().expect("findings");
    let found: Vec<&Value> = findings.iter().filter(|f| f["part"] == part && f["state"] == state).collect();
    assert_eq!(found.len(), 1, "{part} {state}: {told:#}");
    found[0].clone()
}

/// The parts that have warnings; the disk of the machine that the tests run on may be as full as it is.
fn warned(told: &Value) -> Vec<&str> {
    let findings = told["findings"].as_array().expect("findings").iter();
    let warned = findings.filter(|f| f["state"] == "warning" && f["part"] != "disk");
    warned.map(|f| f["part"].as_str().expect("a part")).collect()
}

#[track_caller]
fn says(finding: &Value, key: &str, text: &str) {
    assert!(finding[key].as_str().is_some_and(|found| found.contains(text)), "{key} without '{text}': {finding:#}");
}

/// The first file of that ending, the largest name last.
fn file(folder: &Path, ending: &str) -> PathBuf {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a name").path());
    let found = names.filter(|path| path.to_string_lossy().ends_with(ending));
    // The greatest number: some are written without leading zeros.
    found.max_by_key(|path| (path.as_os_str().len(), path.clone())).expect("such a file")
}

fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("that long");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("writable");
}

#[test]
fn a_sound_directory_is_told_part_by_part_and_stays_as_it_is() {
    let dir = worked_on();
    let before = fs::metadata(file(&dir.path().join("d/log/main"), ".seg")).expect("there").modified().expect("a time");
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!((code, &told["sound"]), (Some(0), &Value::from(true)), "{told:#}");
    assert_eq!(warned(&told).len(), 0, "{told:#}");
    for part in ["configuration", "certificates", "files", "log", "secrets", "keys", "views"] {
        one(&told, part, "ok");
    }
    let ledger = told["findings"].as_array().expect("findings").iter().filter(|f| f["part"] == "ledger");
    assert_eq!(ledger.filter(|f| f["state"] == "ok").count(), 2, "its tiles, and the log against them: {told:#}");
    let after = fs::metadata(file(&dir.path().join("d/log/main"), ".seg")).expect("there").modified().expect("a time");
    assert_eq!(after, before, "nothing was written");

    let hub = Hub::start(dir.path());
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(0), "{told:#}");
    says(&one(&told, "files", "note"), "what", &format!("in use by the hub with process number {}", hub.process()));
}

#[test]
fn damage_is_named_by_file_and_entry_with_the_next_step() {
    let dir = worked_on();
    let segment = file(&dir.path().join("d/log/main"), ".seg");
    let bytes = fs::read(&segment).expect("readable");
    let middle = bytes.iter().rposition(|byte| *byte != 0).expect("entries") as u64 / 2;
    flip(&segment, middle);
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(1), "{told:#}");
    let fault = one(&told, "log", "fault");
    says(&fault, "what", "checksum does not match");
    says(&fault, "what_to_do", "restore the file from a copy");
    says(&fault, "file", ".seg");
    let text = run(dir.path(), &["doctor", "--config", "hub.toml"]);
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.contains("FAULT") && text.lines().last().is_some_and(|last| last.contains("1 faults")), "{text}");
    let (code, _) = doctor(dir.path(), &["--quick"]);
    assert_eq!(code, Some(0), "a quick look does not read entries");
    flip(&segment, middle);

    let views = dir.path().join("d/views/1");
    flip(&views.join("node_feature.rows"), 100);
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(1), "{told:#}");
    says(&one(&told, "views", "fault"), "what", "block 0");
    flip(&views.join("node_feature.rows"), 100);

    let tile = file(&dir.path().join("d/ledger/control/0/tile/0/000.p"), "");
    flip(&tile, 40);
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(1), "{told:#}");
    says(&one(&told, "ledger", "fault"), "file", "control/0");
    flip(&tile, 40);
    assert_eq!(doctor(dir.path(), &[]).0, Some(0));
}

#[test]
fn a_log_from_an_older_copy_is_missed_by_the_ledger() {
    let dir = worked_on();
    let older = dir.path().join("older");
    copy(&dir.path().join("d/log"), &older);
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("land.ndjson"), &lines("land", 100));
    hub.ask(&["publish", "--register", "land", "land.ndjson", "--json"]);
    hub.checkpointed();
    assert_eq!(hub.stop().code(), Some(0));
    fs::remove_dir_all(dir.path().join("d/log")).expect("there");
    copy(&older, &dir.path().join("d/log"));
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(1), "{told:#}");
    let missed =
        told["findings"].as_array().expect("findings").iter().find(|f| f["part"] == "ledger" && f["state"] == "fault");
    says(missed.expect("a fault"), "what", "and the ledger covers");
    says(missed.expect("a fault"), "what_to_do", "evidence");
}

#[test]
fn a_checkpoint_of_the_former_key_is_this_hubs_until_the_next_one_is_signed() {
    let dir = worked_on();
    let config = dir.path().join("hub.toml");
    let text = fs::read_to_string(&config).expect("readable");
    fs::write(&config, text.replace("checkpoint_interval_ms = 100", "checkpoint_interval_ms = 600000"))
        .expect("writable");
    let hub = Hub::start(dir.path());
    hub.json(&["keys", "signing", "rotate", "--reason", "yearly"]);
    drop(hub);
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!((code, &told["sound"]), (Some(0), &Value::from(true)), "{told:#}");

    // A secret that belongs to another log is none of the keys that this log names.
    let signing = dir.path().join("d/secret/signing");
    fs::write(&signing, [7; 32]).expect("writable");
    says(&one(&doctor(dir.path(), &[]).1, "ledger", "fault"), "what", "not one of this hub");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("a name").path();
        let name = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &name) } else { fs::copy(&path, &name).map(|_| ()).expect("copied") }
    }
}

#[test]
fn secrets_keys_and_certificates_that_do_not_fit_are_told() {
    let dir = worked_on();
    let data = dir.path().join("d");
    fs::set_permissions(data.join("secret/log"), fs::Permissions::from_mode(0o644)).expect("own file");
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(1), "{told:#}");
    says(&one(&told, "files", "fault"), "what_to_do", "chmod 600");
    fs::set_permissions(data.join("secret/log"), fs::Permissions::from_mode(0o600)).expect("own file");

    let secret = fs::read(data.join("secret/log")).expect("readable");
    fs::write(data.join("secret/log"), [7; 32]).expect("writable");
    says(&one(&doctor(dir.path(), &[]).1, "secrets", "fault"), "what", "not the one that the log was begun with");
    fs::write(data.join("secret/log"), secret).expect("writable");

    fs::rename(data.join("keys/tree"), data.join("kept")).expect("there");
    says(&one(&doctor(dir.path(), &[]).1, "keys", "fault"), "what_to_do", "hub keys restore");
    fs::rename(data.join("kept"), data.join("keys/tree")).expect("there");

    let key = data.join("dev-certs/server.key");
    let own = fs::read(&key).expect("readable");
    fs::copy(data.join("dev-certs/operator-ops.key"), &key).expect("copied");
    says(&one(&doctor(dir.path(), &[]).1, "certificates", "fault"), "what", "server.key");
    fs::write(&key, own).expect("writable");
    let renewed = run(dir.path(), &["dev-certs", "--config", "hub.toml", "--days", "10", "--force"]);
    assert_eq!(renewed.status.code(), Some(0), "{}", stderr(&renewed));
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(0), "{told:#}");
    assert_eq!(warned(&told), ["certificates"; 2], "server and authority end soon: {told:#}");

    fs::write(dir.path().join("hub.toml"), "[grpc]\nlisten = 7\n").expect("writable");
    let (code, told) = doctor(dir.path(), &[]);
    assert_eq!(code, Some(1));
    says(&one(&told, "configuration", "fault"), "what", "hub.toml:2: grpc.listen");
}

#[test]
fn a_hub_serves_what_init_wrote_and_init_overwrites_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let init = [
        "init",
        "d",
        "--trust-domain",
        "hub.example",
        "--register",
        "civil",
        "--portal",
        "one-stop",
        "--yes",
        "--json",
    ];
    let made = run(dir.path(), &init);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let told: Value = serde_json::from_slice(&made.stdout).expect("one JSON object");
    assert_eq!(told["clients"].as_array().map(Vec::len), Some(5), "{told}");
    let config = dir.path().join("d/hub.toml");
    assert_eq!(fs::metadata(&config).expect("written").permissions().mode() & 0o777, 0o600);
    let again = run(dir.path(), &init);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("hub.toml is there already"), "{}", stderr(&again));
    let checked = run(dir.path(), &["doctor", "--config", "d/hub.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));

    // The port of the configuration may be taken on this machine.
    let text = fs::read_to_string(&config)
        .expect("written")
        .replace("listen = \"127.0.0.1:7443\"", "listen = \"127.0.0.1:0\"");
    fs::write(dir.path().join("hub.toml"), text).expect("writable");
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 20));
    let published = hub.ask(&["publish", "--register", "civil", "civil.ndjson", "--json"]);
    let told: Value = serde_json::from_slice(&published.stdout).unwrap_or_else(|_| panic!("{}", stderr(&published)));
    assert!(told["accepted"].as_u64().is_some_and(|accepted| accepted > 0), "{told}");
    let shown = hub.ask(&["policy", "show"]);
    let policy = String::from_utf8(shown.stdout).expect("UTF-8");
    assert_eq!(policy, fs::read_to_string(dir.path().join("d/policy.toml")).expect("written"));
    let ask = [
        "get",
        "person",
        "--personal-id",
        "099000000001",
        "--fields",
        "full_name",
        "--procedure",
        "1.001193",
        "--case",
        "A-1",
    ];
    let asked = hub.ask(&[&ask[..], &["--as", "portal/one-stop"]].concat());
    assert_eq!(asked.status.code(), Some(1), "it may ask, and there is nobody: {}", stderr(&asked));
    let other = run(dir.path(), &["dev-certs", "--config", "hub.toml", "--add", "--client", "portal/other"]);
    assert_eq!(other.status.code(), Some(0), "{}", stderr(&other));
    let refused = hub.ask(&[&ask[..], &["--as", "portal/other"]].concat());
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
}
