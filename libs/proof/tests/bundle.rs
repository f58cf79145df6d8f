//! What a bundle proves, and that it proves nothing once a byte is another.

mod support;

use ledger::policy::Untrusted;
use ledger::{Checkpoint, Policy};
use proof::report::{Outcome, Standing};
use proof::*;
use record::access::Decision;
use record::*;
use support::*;

fn checked(bundle: &[u8]) -> Result<Report, Rejected> {
    check(bundle, &Trust { policy: &policy(), known: None })
}

fn against(bundle: &[u8], known: &Checkpoint) -> Result<Report, Problem> {
    check(bundle, &Trust { policy: &policy(), known: Some(known) }).map_err(|r| r.failures[0].problem.clone())
}

fn checkpoint(note: &str) -> Checkpoint {
    Checkpoint::parse(&format!("{}\n", note.split_once("\n\n").unwrap().0)).unwrap()
}

fn lines(bundle: &[u8]) -> Vec<Vec<u8>> {
    bundle.strip_suffix(b"\n").unwrap().split(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// The bundle with these sections, and a manifest that fits them: what a forger would write.
fn forged(sections: &[Vec<u8>]) -> Vec<u8> {
    let hashes: Vec<_> = sections.iter().map(|line| format!("\"{}\"", sha256_hex(line))).collect();
    let manifest = format!("{{\"format\":\"hub.proof/v1\",\"sections\":[{}]}}", hashes.join(","));
    let mut out = manifest.into_bytes();
    for line in sections {
        out.push(b'\n');
        out.extend_from_slice(line);
    }
    out.push(b'\n');
    out
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn an_answer_leads_to_its_entries_and_these_to_the_witnesses() {
    let Example { newer, older, bundle, .. } = example();
    let report = checked(&bundle).unwrap();
    assert_eq!(report.checkpoint, checkpoint(&newer.note));
    let witnesses: Vec<_> = report.cosigned.iter().map(|c| (c.witness.as_str(), c.time)).collect();
    assert_eq!(witnesses, [("w1", 1_763_791_981), ("w3", 1_763_791_983)]);
    assert_eq!(report.continues, [checkpoint(&older.note)]);
    assert_eq!(report.ticks.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 6]);
    assert_eq!(report.grown.len(), 1);

    let standing = |at: Position| report.entries.iter().find(|e| e.position == at).unwrap();
    assert_eq!(report.entries.len(), 6);
    assert_eq!(standing(position(CHANGE_0, 3)).standing, Standing::Included);
    assert_eq!(standing(position(CHANGE_0, 3)).disclosed.as_ref().unwrap().record, Pseudonym([6; 16]));
    assert_eq!(standing(position(CHANGE_0, 22)).disclosed, None);
    assert_eq!(standing(position(CHANGE_1, 20)).standing, Standing::Promised);

    let [answer] = &report.answers[..] else { panic!("one answer") };
    assert_eq!((answer.access, &answer.outcome), (ACCESS_ID, &Outcome::Answered { bytes: ANSWER.len() }));
    let records: Vec<_> = answer.records.iter().map(|(record, entries)| (record.0[0], *entries)).collect();
    assert_eq!(records, [(6, 2), (9, 1), (200, 0)]);
    assert_eq!(
        report.unproven,
        [
            Unproven::Uncovered(position(CHANGE_1, 20)),
            Unproven::RecordWithoutEntry(Pseudonym([200; 16])),
            Unproven::Completeness,
            Unproven::Derivation,
            Unproven::Times
        ]
    );
    assert_eq!(Bundle::decode(&bundle).unwrap().encode(), bundle);
}

#[test]
fn every_flipped_byte_fails_and_says_where() {
    let bundle = example().bundle;
    let mut line = 1;
    for at in 0..bundle.len() {
        let mut bad = bundle.clone();
        bad[at] ^= 1 << (at % 8);
        let rejected = checked(&bad).expect_err(&format!("byte {at}"));
        // A changed hash in the manifest is seen at the line that it is of.
        let named = |f: &Failure| f.at.line == line || (line == 1 && f.problem == Problem::Digest);
        assert!(rejected.failures.iter().any(named), "byte {at} in line {line}: {rejected}");
        assert!(!rejected.is_torn() || at == bundle.len() - 1, "byte {at}: {rejected}");
        line += usize::from(bundle[at] == b'\n');
    }
}

#[test]
fn a_flipped_byte_names_section_and_field() {
    let bundle = example().bundle;
    let text = String::from_utf8(bundle.clone()).unwrap();
    let flip_after = |what: &str, more: usize| {
        let at = text.find(what).unwrap_or_else(|| panic!("{what}")) + what.len() + more;
        let mut bad = bundle.clone();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        let named = checked(&bad).unwrap_err().failures;
        assert_eq!(named[0].problem, Problem::Digest);
        format!("{}, {}", named[1].at.section, named[1].at.field)
    };
    let entry = r#""position":"change/0/3","bytes":""#;
    assert_eq!(flip_after(entry, 20), "entry change/0/3, inclusion", "a header is bound by the path");
    assert_eq!(flip_after(entry, 200), "entry change/0/3, bytes", "a body is bound by the header too");
    assert_eq!(flip_after(r#""type":"tick","index":6,"text":"hub.tick/v1\n"#, 9), "tick 6, path");
    assert_eq!(flip_after(r#""from":0,"to":6,"proof":[""#, 9), "growth change/0 from tick 0 to 6, proof");
    let answer = r#""access":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","key":""#;
    assert_eq!(flip_after(answer, 9), "answer a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1, bytes");
    let checkpoint = r#""type":"checkpoint","note":"hub.test/log\n7\n"#;
    assert_eq!(flip_after(checkpoint, 9), "checkpoint, note");
}

#[test]
fn a_forger_who_writes_the_manifest_anew_proves_no_more() {
    let bundle = example().bundle;
    let honest = checked(&bundle).unwrap();
    let sections = lines(&bundle).split_off(1);
    for number in 0..sections.len() {
        for at in 0..sections[number].len() {
            let mut bad = sections.clone();
            bad[number][at] ^= 1 << (at % 5);
            // Of the older checkpoint only the log's signature is asked for: a forger may take the witnesses' off it.
            if let Ok(report) = checked(&forged(&bad)) {
                assert_eq!(report, honest, "section {number} byte {at}");
                assert!(sections[number].starts_with(br#"{"type":"consistency""#), "section {number} byte {at}");
            }
        }
    }
}

#[test]
fn sections_left_out_doubled_or_moved_by_a_forger_prove_no_more() {
    let bundle = example().bundle;
    let honest = checked(&bundle).unwrap();
    let sections = lines(&bundle).split_off(1);
    for number in 0..sections.len() {
        let mut fewer = sections.clone();
        let gone = String::from_utf8(fewer.remove(number)).unwrap();
        if let Ok(report) = checked(&forged(&fewer)) {
            assert!(report.entries.iter().all(|e| honest.entries.contains(e)), "{gone}");
            assert!(
                report.continues.len() + report.grown.len() + report.entries.len() + report.answers.len() < 9,
                "{gone}"
            );
        }
        let mut doubled = sections.clone();
        doubled.insert(number, sections[number].clone());
        assert!(checked(&forged(&doubled)).is_err(), "{gone}");
        if number > 0 {
            let mut moved = sections.clone();
            moved.swap(0, number);
            assert!(checked(&forged(&moved)).is_err(), "{gone}");
        }
    }
    assert!(checked(&forged(&[])).is_err());
}

#[test]
fn an_entry_of_another_place_or_partition_is_not_taken() {
    let bundle = example().bundle;
    let sections = lines(&bundle).split_off(1);
    for (from, to) in [
        (r#""position":"change/0/3""#, r#""position":"change/0/4""#),
        (r#""position":"change/0/3""#, r#""position":"change/1/3""#),
        (r#""position":"change/1/4""#, r#""position":"change/0/4""#),
        (r#""position":"access/0/0""#, r#""position":"rejected/0/0""#),
        (r#""text":"hub.test/log/change/0\n"#, r#""text":"hub.test/log/change/1\n"#),
        (r#""text":"hub.test/log/change/1\n"#, r#""text":"hub.test/log/change/0\n"#),
        (r#""partition":"change/0""#, r#""partition":"change/1""#),
    ] {
        let changed =
            sections.iter().map(|line| String::from_utf8(line.clone()).unwrap().replace(from, to).into_bytes());
        assert!(checked(&forged(&changed.collect::<Vec<_>>())).is_err(), "{from} to {to}");
    }
}

#[test]
fn a_file_that_was_cut_short_is_torn_and_nothing_worse() {
    let bundle = example().bundle;
    let manifest = bundle.iter().position(|b| *b == b'\n').unwrap();
    for cut in 0..bundle.len() {
        let rejected = checked(&bundle[..cut]).unwrap_err();
        assert!(rejected.is_torn(), "cut at {cut}: {rejected}");
        let Problem::Torn { named, .. } = rejected.failures[0].problem else { panic!("{rejected}") };
        assert_eq!(named.is_some(), cut > manifest);
    }
    let mut changed = bundle[..bundle.len() - 10].to_vec();
    changed[manifest + 300] ^= 1;
    assert!(!checked(&changed).unwrap_err().is_torn(), "changed and cut short");
}

#[test]
fn the_checkpoint_must_be_the_known_one_or_continue_it() {
    let Example { mut world, older, newer, bundle } = example();
    let (old, new) = (checkpoint(&older.note), checkpoint(&newer.note));
    for known in [&old, &new] {
        assert!(against(&bundle, known).is_ok());
    }
    let fork = |c: &Checkpoint| Checkpoint { root: [9; 32], ..c.clone() };
    assert_eq!(against(&bundle, &fork(&new)), Err(Problem::Forked { size: new.size }));
    assert_eq!(against(&bundle, &fork(&old)), Err(Problem::Forked { size: old.size }));
    assert_eq!(against(&bundle, &Checkpoint { size: 3, ..old }), Err(Problem::Unconnected { known: 3 }));
    let later = checkpoint(&world.publish(&[]).note);
    assert_eq!(against(&bundle, &later), Err(Problem::Older { known: 8, found: 7 }));
    assert_eq!(against(&bundle, &Checkpoint { origin: "other".into(), ..new }), Err(Problem::OtherLog));
}

#[test]
fn a_log_that_was_rewritten_cannot_show_that_it_continues() {
    let honest = example();
    let mut rewritten = World::new();
    for n in 0..40 {
        rewritten.append(if n % 2 == 0 { CHANGE_0 } else { CHANGE_1 }, change(n, if n == 8 { 9 } else { 1 }));
        if n % 5 == 0 {
            rewritten.publish(&[]);
        }
    }
    let forked = rewritten.publish(&[1, 2]);
    let mut draft = rewritten.draft(&forked);
    draft.since(&honest.older.note).unwrap();
    draft.entry(position(CHANGE_0, 4), rewritten.bytes(position(CHANGE_0, 4)));
    let rejected = checked(&draft.finish().unwrap()).unwrap_err();
    assert_eq!(rejected.failures.len(), 1);
    assert_eq!(
        (rejected.failures[0].at.section.as_str(), rejected.failures[0].at.field),
        ("consistency from size 1", "proof")
    );
    assert_eq!(rejected.failures[0].problem, Problem::Proof(ledger::ProofError::Consistency));
}

/// The super-log may be in order while a partition in it was rewritten between two ticks: that is for `growth` to show.
#[test]
fn a_partition_rewritten_between_two_ticks_shows_in_its_growth() {
    let example = example();
    let (older, newer) = (&example.older, &example.newer);
    let mut draft = example.world.draft(newer);
    draft.grown_since(0, older.tick, older.heads.clone(), CHANGE_1);
    let sections = lines(&draft.finish().unwrap()).split_off(1);
    let (head, other) = (older.heads.heads()[1], older.heads.heads()[0]);
    let swapped = sections.iter().map(|line| {
        let line = String::from_utf8(line.clone()).unwrap();
        let text = |h: ledger::Head| serde_json::to_string(&h.checkpoint(ORIGIN).to_text()).unwrap();
        line.replace(&text(head), &text(ledger::Head { root: other.root, ..head })).into_bytes()
    });
    assert!(checked(&forged(&swapped.collect::<Vec<_>>())).is_err());
    assert_eq!(checked(&forged(&sections)).unwrap().grown.len(), 1);
}

#[test]
fn too_few_witnesses_are_not_enough_and_none_is_said_plainly() {
    let mut world = World::new();
    let at = world.append(CHANGE_0, change(1, 1));
    let bundle = |world: &World, published: &Published| {
        let mut draft = world.draft(published);
        draft.entry(at, world.bytes(at));
        draft.finish().unwrap()
    };
    let one = world.publish(&[2]);
    let rejected = checked(&bundle(&world, &one)).unwrap_err();
    let quorum = Problem::Untrusted(Untrusted::Quorum { cosigned: vec!["w2".into()] });
    assert_eq!(rejected.failures[0].problem, quorum);
    let alone = Policy::of_log(log_key().verifier().clone());
    let report = check(&bundle(&world, &one), &Trust { policy: &alone, known: None }).unwrap();
    assert_eq!(report.unproven[0], Unproven::Unwitnessed);
}

#[test]
fn what_was_not_answered_is_proven_as_such() {
    for (decision, opened, outcome) in [
        (Decision::Refused { code: "purpose_missing".into() }, None, Ok(Outcome::Refused("purpose_missing".into()))),
        (Decision::NotFound, None, Ok(Outcome::NotFound)),
        (Decision::Ambiguous, None, Ok(Outcome::Ambiguous)),
        (answered(), None, Ok(Outcome::Undisclosed)),
        (Decision::NotFound, Some(ANSWER), Err(Problem::Form("'key' and 'bytes' together, and only of an answer"))),
        (answered(), Some(b"another answer".as_slice()), Err(Problem::Answer)),
    ] {
        let mut world = World::new();
        let at = world.append(ACCESS, access(decision, Vec::new(), Positions::new()));
        let published = world.publish(&[1, 2, 3]);
        let mut draft = world.draft(&published);
        draft.entry(at, world.bytes(at));
        draft.answer(at, ACCESS_ID, opened.map(|bytes| (secret().answer_key(&SALT), bytes.to_vec())));
        let report = checked(&draft.finish().unwrap());
        assert_eq!(report.map(|r| r.answers[0].outcome.clone()).map_err(|r| r.failures[0].problem.clone()), outcome);
    }
}

/// Written by the first version; every later one must read it and write the same.
#[test]
fn the_format_is_pinned() {
    let fixture = include_bytes!("fixtures/format-1/answer.proof");
    assert!(example().bundle == fixture, "a changed format needs another name and a fixture of its own");
    assert_eq!(include_str!("fixtures/format-1/policy"), policy_text());
    let known = checkpoint(include_str!("fixtures/format-1/older.checkpoint"));
    assert_eq!(against(fixture, &known).unwrap().answers.len(), 1);
}
