//! Policies: what the format allows, and who meets them.

use ledger::policy::{LineError, Policy, PolicyError, Untrusted};
use ledger::*;

const LOG: &str = "hub.test/log";

fn log() -> SigningKey {
    SigningKey::new(LOG, &[1; 32]).unwrap()
}

fn witness(n: u8) -> CosigningKey {
    CosigningKey::new(&format!("witness.test/{n}"), &[n; 32]).unwrap()
}

/// The example of the specification, with keys: two of three witnesses X, and any of three Y.
fn example() -> String {
    let line = |name: &str, n: u8| format!("witness {name}{} {}\n", n % 10, witness(n).verifier());
    let x: String = (11..14).map(|n| line("X", n)).collect();
    let y: String = (21..24).map(|n| line("Y", n)).collect();
    format!(
        "# example\nlog {} https://hub.test/log\n\n{x}group X-witnesses 2 X1 X2 X3\n{y}\tgroup Y-witnesses any Y1 Y2 Y3\n\
        group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
        log().verifier()
    )
}

fn note(witnesses: &[u8]) -> String {
    let text = Checkpoint::new(LOG, 7, [9; 32]).to_text();
    let cosigned = witnesses.iter().map(|&n| witness(n).cosign(&text, 1_000 + u64::from(n)));
    log().sign(&text) + &cosigned.collect::<String>()
}

#[test]
fn a_quorum_of_groups_is_met_by_enough_of_each() {
    let policy = Policy::parse(&example()).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    let trusted = policy.verify(&note(&[11, 13, 22, 99])).unwrap();
    assert_eq!(trusted.checkpoint, Checkpoint::new(LOG, 7, [9; 32]));
    let names: Vec<_> = trusted.cosigned.iter().map(|c| (c.witness.as_str(), c.time)).collect();
    assert_eq!(names, [("X1", 1_011), ("X3", 1_013), ("Y2", 1_022)]);
    for few in [&[11, 12][..], &[11, 21, 22, 23], &[21], &[], &[11, 11, 21]] {
        assert!(matches!(policy.verify(&note(few)), Err(Untrusted::Quorum { .. })), "{few:?}");
    }
}

#[test]
fn an_invalid_signature_of_a_known_key_spoils_the_note() {
    let policy = Policy::parse(&example()).unwrap();
    let good = note(&[11, 12, 21, 23]);
    let line = good.lines().find(|l| l.contains("witness.test/23")).unwrap();
    let other_text = Checkpoint::new(LOG, 8, [9; 32]).to_text();
    let bad = good.replace(&format!("{line}\n"), &witness(23).cosign(&other_text, 5));
    assert_eq!(policy.verify(&bad), Err(Untrusted::Cosignature { witness: "Y3".into() }));
    let other_log = SigningKey::new("other.test/log", &[1; 32])
        .unwrap()
        .sign(&Checkpoint::new("other.test/log", 7, [9; 32]).to_text());
    assert_eq!(policy.verify(&other_log), Err(Untrusted::UnknownLog { origin: "other.test/log".into() }));
    let forged = SigningKey::new(LOG, &[5; 32]).unwrap().sign(&Checkpoint::new(LOG, 7, [9; 32]).to_text());
    assert_eq!(policy.verify(&forged), Err(Untrusted::Checkpoint(CheckpointError::Note(NoteError::Unsigned))));
    assert!(Policy::of_log(log().verifier().clone()).verify(&note(&[])).is_ok());
}

#[test]
fn a_log_may_have_changed_its_key() {
    let newer = SigningKey::new(LOG, &[9; 32]).unwrap();
    let both = format!("log {}\nlog {}\nquorum none\n", log().verifier(), newer.verifier());
    let (both, former) = (Policy::parse(&both).unwrap(), Policy::of_log(log().verifier().clone()));
    let note = newer.sign(&Checkpoint::new(LOG, 7, [9; 32]).to_text());
    assert!(both.verify(&note).is_ok() && both.verify(&self::note(&[])).is_ok());
    assert_eq!(former.verify(&note), Err(Untrusted::Checkpoint(CheckpointError::Note(NoteError::Unsigned))));
}

#[test]
fn what_the_format_does_not_allow_is_refused_with_its_line() {
    let (key, w1, w2) =
        (log().verifier().to_string(), witness(1).verifier().to_string(), witness(2).verifier().to_string());
    let renamed = CosigningKey::new("witness.test/renamed", &[1; 32]).unwrap().verifier().to_string();
    for (text, line, source) in [
        (format!("log {w1}\nquorum none\n"), 1, LineError::Key),
        (format!("witness a {key}\nquorum none\n"), 1, LineError::Key),
        (format!("log {key}\nlog {key}\n"), 2, LineError::KeyTaken),
        (format!("witness a {w1}\nwitness b {renamed}\n"), 2, LineError::KeyTaken),
        (format!("witness a {w1}\nwitness a {w2}\n"), 2, LineError::NameTaken),
        (format!("witness none {w1}\n"), 1, LineError::NameTaken),
        (format!("witness a {w1}\ngroup a any a\n"), 2, LineError::NameTaken),
        ("group g any a\n".into(), 1, LineError::UnknownName),
        (format!("witness a {w1}\ngroup g 2 a\n"), 2, LineError::Threshold),
        (format!("witness a {w1}\ngroup g 0 a\n"), 2, LineError::Threshold),
        (format!("witness a {w1}\ngroup g any a a\n"), 2, LineError::MemberTaken),
        (format!("witness a {w1}\ngroup g any a\ngroup h any a\n"), 3, LineError::MemberTaken),
        (format!("witness a {w1}\ngroup g any\n"), 2, LineError::Form),
        ("quorum a\n".into(), 1, LineError::UnknownName),
        ("quorum none\nquorum none\n".into(), 2, LineError::SecondQuorum),
        ("quorum none\r\n".into(), 1, LineError::Control),
        ("\nquorum\n".into(), 2, LineError::Form),
        ("wittness a b\n".into(), 1, LineError::Form),
    ] {
        assert_eq!(Policy::parse(&text), Err(PolicyError::Line { line, source }), "{text}");
    }
    assert_eq!(Policy::parse(&format!("log {key}\n")), Err(PolicyError::NoQuorum));
}
