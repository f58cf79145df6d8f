//! What a bundle shows of encrypted bodies: the very ones whose secrets it holds, and no others.

mod support;

use std::path::{Path, PathBuf};

use proof::*;
use record::entry::BodyError;
use record::*;
use support::*;

/// A change of record `n` with an encrypted body.
fn encrypted(n: u8, version: u64) -> Vec<u8> {
    let plain = change(n, version);
    let entry = Entry::decode(&plain).unwrap();
    let header = EntryHeader { codec: BodyCodec::Aes256Gcm, ..entry.header.clone() };
    let salt = [version as u8; 16];
    Entry::encode_encrypted(&header, &keys().key(header.record).unwrap(), &salt, entry.plain_body().unwrap()).unwrap()
}

fn keys() -> KeyTree {
    KeyTree::new([5; 32])
}

fn secret_of(bytes: &[u8]) -> [u8; 32] {
    Entry::decode(bytes).unwrap().body_secret(&keys()).unwrap().expect("it is encrypted")
}

/// Two versions of one record, another record, and a plain one; only the first is opened.
fn bundle(opened: impl Fn(Position, &[u8]) -> Option<[u8; 32]>) -> Vec<u8> {
    let mut world = World::new();
    let entries = [encrypted(1, 1), encrypted(1, 2), encrypted(2, 1), change(3, 1)];
    let places: Vec<_> = entries.into_iter().map(|entry| world.append(CHANGE_0, entry)).collect();
    let published = world.publish(&[1, 2]);
    let mut draft = world.draft(&published);
    for at in places {
        let bytes = world.bytes(at);
        if let Some(secret) = opened(at, &bytes) {
            draft.body(at, secret);
        }
        draft.entry(at, bytes);
    }
    draft.finish().unwrap()
}

fn opened() -> Vec<u8> {
    bundle(|at, bytes| (at.index.0 == 0).then(|| secret_of(bytes)))
}

fn checked(bundle: &[u8]) -> Result<Report, Rejected> {
    check(bundle, &Trust { policy: &policy(), known: None })
}

fn problem(bundle: &[u8]) -> (String, &'static str, Problem) {
    let failure = checked(bundle).unwrap_err().failures.remove(0);
    (failure.at.section, failure.at.field, failure.problem)
}

#[test]
fn the_opened_body_is_read_and_the_others_are_said_to_be_closed() {
    let report = checked(&opened()).unwrap();
    let body = report.entries[0].body.as_ref().expect("it is opened");
    let envelope = Envelope::decode(&body.0).unwrap();
    assert_eq!((envelope.record_id.as_str(), envelope.payload), ("KS-1", &[0x0a, 1][..]));
    assert!(report.entries[1..].iter().all(|entry| entry.body.is_none()));
    let closed: Vec<_> = report.unproven.iter().filter(|u| matches!(u, Unproven::Sealed(_))).collect();
    assert_eq!(closed, [&Unproven::Sealed(position(CHANGE_0, 1)), &Unproven::Sealed(position(CHANGE_0, 2))]);
    assert!(!format!("{report:?}").contains("KS-1"), "what a report logs of itself holds no record");
}

#[test]
fn a_secret_opens_one_body_and_no_other_of_the_same_record() {
    let first = secret_of(&encrypted(1, 1));
    for index in [1, 2] {
        let other = bundle(|at, _| (at.index.0 == index).then_some(first));
        let (section, field, problem) = problem(&other);
        assert_eq!((section, field), (format!("body change/0/{index}"), "secret"));
        assert_eq!(problem, Problem::Secret(BodyError::OtherKey));
    }
    let plain = bundle(|at, _| (at.index.0 == 3).then_some(first));
    assert_eq!(problem(&plain).2, Problem::Secret(BodyError::Plain));
}

#[test]
fn a_body_needs_its_entry_and_its_format() {
    let line = |bundle: &[u8], begin: &str| {
        let text = String::from_utf8(bundle.to_vec()).unwrap();
        text.lines().find(|line| line.contains(begin)).unwrap().to_owned()
    };
    let opened = opened();
    assert!(line(&opened, "format").starts_with(r#"{"format":"hub.proof/v2""#));
    let closed = bundle(|_, _| None);
    assert!(line(&closed, "format").starts_with(r#"{"format":"hub.proof/v1""#));
    // Each under the other's name.
    for (bundle, from, to) in [(&opened, "proof/v2", "proof/v1"), (&closed, "proof/v1", "proof/v2")] {
        let renamed = String::from_utf8(bundle.clone()).unwrap().replace(from, to).into_bytes();
        assert_eq!(problem(&renamed), ("manifest".into(), "line", Problem::Manifest));
    }
    let mut sections = Bundle::decode(&opened).unwrap().sections;
    sections.retain(|section| !section.name().starts_with("entry change/0/0"));
    let (section, _, problem) = problem(&Bundle { sections }.encode());
    assert_eq!((section.as_str(), problem), ("body change/0/0", Problem::Missing("entry change/0/0".into())));
}

#[test]
fn every_flipped_byte_of_an_opened_bundle_fails_and_a_forger_opens_nothing_else() {
    let bundle = opened();
    for at in 0..bundle.len() {
        let mut bad = bundle.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(checked(&bad).is_err(), "byte {at}");
    }
    let honest = checked(&bundle).unwrap();
    let sections = Bundle::decode(&bundle).unwrap().sections;
    let at = sections.iter().position(|section| matches!(section, Section::Body { .. })).unwrap();
    for bit in 0..256 {
        let mut forged = sections.clone();
        let Section::Body { secret, .. } = &mut forged[at] else { unreachable!("it was found") };
        secret.0[bit / 8] ^= 1 << (bit % 8);
        let forged = Bundle { sections: forged }.encode();
        assert_eq!(problem(&forged).1, "secret", "bit {bit}");
    }
    assert_eq!(checked(&bundle).unwrap(), honest);
}

fn python(bundle: &[u8]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy"), policy_text()).unwrap();
    std::fs::write(dir.path().join("bundle"), bundle).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verify_bundle.py");
    let mut command = std::process::Command::new("python3");
    let out = command.arg("-B").arg(script).args(["policy", "bundle"]).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
    assert!(!said.contains("Traceback"), "{said}");
    (out.status.success(), said)
}

#[test]
fn the_python_verifier_opens_the_same_body_and_no_other() {
    let (holds, said) = python(&opened());
    assert!(holds && said.contains("body of change/0/0: upsert of birth KS-1 by moj.hanoi, 2 bytes"), "{said}");
    let first = secret_of(&encrypted(1, 1));
    let (holds, said) = python(&bundle(|at, _| (at.index.0 == 1).then_some(first)));
    assert!(!holds && said.contains("body change/0/1: the secret is of another body"), "{said}");
    let renamed = String::from_utf8(opened()).unwrap().replace("proof/v2", "proof/v1");
    assert!(!python(renamed.as_bytes()).0);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-2")
}

#[test]
#[ignore = "writes tests/fixtures/format-2 once, for a format that never changes again"]
fn writes_the_format_2_bundle() {
    std::fs::create_dir_all(fixtures()).unwrap();
    std::fs::write(fixtures().join("opened.proof"), opened()).unwrap();
}

/// Written by the version that began to open bodies; every later one must read it and write the same.
#[test]
fn the_format_is_pinned() {
    let fixture =
        std::fs::read(fixtures().join("opened.proof")).expect("a fixture: 'writes_the_format_2_bundle' wrote it");
    assert!(fixture == opened(), "a changed format needs another name and a fixture of its own");
}
