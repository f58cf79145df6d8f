//! The second verifier, `tests/verify_bundle.py`, agrees with the first.

mod support;

use std::path::Path;
use std::process::Command;

use proof::{Trust, check};
use support::*;

struct Python {
    dir: tempfile::TempDir,
}

impl Python {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy"), policy_text()).unwrap();
        Self { dir }
    }

    /// What it prints, or what it says is wrong.
    fn check(&self, bundle: &[u8], known: Option<&str>) -> Result<String, String> {
        let file = |name: &str| self.dir.path().join(name);
        std::fs::write(file("bundle"), bundle).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verify_bundle.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).args([file("policy"), file("bundle")]);
        if let Some(note) = known {
            std::fs::write(file("known"), note).unwrap();
            command.arg(file("known"));
        }
        let out = command.output().expect("python3 runs");
        let (said, wrong) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
        assert!(!wrong.contains("Traceback"), "{wrong}");
        if out.status.success() { Ok(said) } else { Err(wrong) }
    }
}

/// A line with its place in the manifest made to fit again.
fn forge(bundle: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bundle.to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    let mut out = text.clone();
    for line in text.lines().skip(1) {
        let changed = line.replace(from, to);
        out = out.replace(line, &changed).replace(&sha256_hex(line), &sha256_hex(&changed));
    }
    out.into_bytes()
}

fn sha256_hex(line: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(line).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_python_verifier_proves_the_same() {
    let Example { bundle, older, .. } = example();
    let said = Python::new().check(&bundle, Some(&older.note)).unwrap();
    for line in [
        "checkpoint 7 of hub.test/log, cosigned by w1, w3",
        "continues checkpoint 1",
        "change/0 only grew from tick 0 to tick 6",
        "entry change/0/3 is in the log",
        "entry change/1/20 is promised, UNPROVEN: beyond the checkpoint",
        "access a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 of spiffe://hub.test/portal/national: answered, from 3 records",
        "  record 06060606060606060606060606060606: 2 entries here",
        "  record c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8: UNPROVEN: no entries here",
    ] {
        assert!(said.lines().any(|l| l == line), "{line}\nin\n{said}");
    }
}

#[test]
fn the_python_verifier_refuses_what_was_changed() {
    let (python, Example { bundle, newer, .. }) = (Python::new(), example());
    for at in (0..bundle.len()).step_by(bundle.len() / 20) {
        let mut bad = bundle.clone();
        bad[at] ^= 1 << (at % 7);
        let wrong = python.check(&bad, None).unwrap_err();
        assert!(wrong.contains(": line ") || wrong.contains(": end"), "byte {at}: {wrong}");
    }
    let cut = python.check(&bundle[..bundle.len() - 1], None).unwrap_err();
    assert!(cut.contains("cut short"), "{cut}");

    let policy = policy();
    let fork = log_key().sign(&ledger::Checkpoint::new(ORIGIN, 7, [9; 32]).to_text());
    assert!(python.check(&bundle, Some(&newer.note)).is_ok());
    assert!(python.check(&bundle, Some(&fork)).unwrap_err().contains("does not continue"));
    for (from, to) in [
        (r#""position":"change/0/3""#, r#""position":"change/0/4""#),
        (r#""position":"change/1/4""#, r#""position":"change/0/4""#),
        (r#""partition":"change/0""#, r#""partition":"change/1""#),
        (r#""index":6"#, r#""index":5"#),
        (r#""tick":6"#, r#""tick":0"#),
        (r#""access":"a1a1"#, r#""access":"a1a2"#),
        ("witness.test/3", "witness.test/4"),
        (r#""path":["#, r#""path": ["#),
    ] {
        let bad = forge(&bundle, from, to);
        assert!(check(&bad, &Trust { policy: &policy, known: None }).is_err(), "{from} to {to}");
        assert!(python.check(&bad, None).is_err(), "{from} to {to}");
    }
}
