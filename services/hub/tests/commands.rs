//! The commands through the real process: what they print, how they end.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn hub(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hub")).args(arguments).current_dir(dir).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn the_explained_configuration_passes_its_own_check() {
    let dir = dir();
    let explained = hub(dir.path(), &["config", "explain"]);
    assert_eq!(explained.status.code(), Some(0));
    std::fs::write(dir.path().join("hub.toml"), &explained.stdout).expect("a writable directory");
    let checked = hub(dir.path(), &["config", "check", "hub.toml"]);
    assert_eq!((checked.status.code(), stdout(&checked).as_str()), (Some(0), "hub.toml: ok\n"));
}

#[test]
fn a_damaged_configuration_is_one_line_with_its_place_and_a_way_out() {
    let dir = dir();
    std::fs::write(dir.path().join("hub.toml"), "[log]\n\npartitions = 0\n").expect("a writable directory");
    let checked = hub(dir.path(), &["config", "check", "hub.toml"]);
    assert_eq!(checked.status.code(), Some(2));
    let line = stderr(&checked);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("hub: hub.toml:3: log.partitions: must be 1 to 1024 partitions; "), "{line}");

    let json = hub(dir.path(), &["--json", "config", "check", "hub.toml"]);
    let error: Value = serde_json::from_slice(&json.stderr).expect("one JSON object");
    assert_eq!(error["error"]["exit_code"], 2);
    assert_eq!(error["error"]["reason"], "configuration");
}

#[test]
fn the_configuration_is_explained_as_json_with_meaning_and_bounds() {
    let explained = hub(dir().path(), &["config", "explain", "--json"]);
    let keys: Vec<Value> = serde_json::from_slice(&explained.stdout).expect("one JSON array");
    let partitions = keys.iter().find(|key| key["key"] == "log.partitions").expect("a known key");
    assert_eq!((&partitions["value"], &partitions["default"]), (&Value::from(64), &Value::from(64)));
    assert_eq!(partitions["bounds"], "1 to 1024 partitions");
}

#[test]
fn development_certificates_are_made_once_and_replaced_by_force_only() {
    let dir = dir();
    let made = hub(dir.path(), &["dev-certs", "--data-dir", "d", "--client", "register/tax", "--json"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let report: Value = serde_json::from_slice(&made.stdout).expect("one JSON object");
    assert_eq!(report["clients"].as_array().map(Vec::len), Some(11));
    assert!(dir.path().join("d/dev-certs/register-tax.key").is_file());

    let again = hub(dir.path(), &["dev-certs", "--data-dir", "d"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    let before = std::fs::read(dir.path().join("d/dev-certs/ca.pem")).expect("made");
    assert_eq!(hub(dir.path(), &["dev-certs", "--data-dir", "d", "--keep"]).status.code(), Some(0));
    assert_eq!(std::fs::read(dir.path().join("d/dev-certs/ca.pem")).expect("kept"), before);
    assert_eq!(hub(dir.path(), &["dev-certs", "--data-dir", "d", "--force"]).status.code(), Some(0));
    let added = hub(dir.path(), &["dev-certs", "--data-dir", "d", "--add", "--client", "register/roads"]);
    assert_eq!(added.status.code(), Some(0), "{}", stderr(&added));
    assert!(!stdout(&added).contains("server"), "{}", stdout(&added));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_help_with_0() {
    let dir = dir();
    assert_eq!(hub(dir.path(), &[]).status.code(), Some(2));
    assert_eq!(hub(dir.path(), &["no-such-command"]).status.code(), Some(2));
    let json = hub(dir.path(), &["no-such-command", "--json"]);
    assert!(serde_json::from_slice::<Value>(&json.stderr).is_ok(), "{}", stderr(&json));
    let help = hub(dir.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes:"));
    let unreadable = hub(dir.path(), &["--config", "missing.toml", "config", "explain"]);
    assert_eq!(unreadable.status.code(), Some(2));
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&hub(dir().path(), &["completions", shell]));
        assert!(["dev-certs", "config", "completions"].iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn a_proof_bundle_is_checked_without_a_hub() {
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../libs/proof/tests/fixtures/format-1");
        folder.join(name).display().to_string()
    };
    let (dir, policy, known) = (dir(), fixture("policy"), fixture("older.checkpoint"));
    let check = |bundle: &str, more: &[&str]| {
        hub(dir.path(), &[&["audit", "check", bundle, "--trust", &policy], more].concat())
    };
    let good = check(&fixture("answer.proof"), &["--known", &known, "--keep", "last"]);
    assert_eq!(good.status.code(), Some(0), "{}", stderr(&good));
    assert!(stdout(&good).starts_with("proven: the bundle holds\ncheckpoint 7 of hub.test/log, signed by the log"));
    let again = check(&fixture("answer.proof"), &["--known", "last", "--json"]);
    let report: Value = serde_json::from_slice(&again.stdout).expect("one JSON object");
    assert_eq!((&report["holds"], &report["checkpoint"]), (&Value::from(true), &Value::from(7)));
    assert_eq!(report["answers"][0]["outcome"], "answered with these 48 bytes");

    let bundle = std::fs::read_to_string(fixture("answer.proof")).expect("the fixture is there");
    std::fs::write(dir.path().join("bad"), bundle.replace("hub.tick/v1\\n1763791979", "hub.tick/v1\\n1763791978"))
        .expect("a writable directory");
    let bad = check("bad", &["--json"]);
    let failures: Value = serde_json::from_slice(&bad.stdout).expect("one JSON object");
    assert_eq!((bad.status.code(), &failures["holds"]), (Some(1), &Value::from(false)));
    assert_eq!(failures["failures"][1]["section"], "tick 0");
    std::fs::write(dir.path().join("short"), &bundle[..bundle.len() / 2]).expect("a writable directory");
    let short: Value = serde_json::from_slice(&check("short", &["--json"]).stdout).expect("one JSON object");
    assert_eq!(short["cut_short"], true);
    assert_eq!(check("absent", &[]).status.code(), Some(2));
}
