//! What the nation says of itself.

use std::collections::BTreeMap;

use nation::{Config, Error, Flaw, Nation, PERSONS_MAX, REGISTERS, TrueSubject};

fn nation(persons: u32) -> Nation {
    Nation::new(Config { persons, seed: 1 }).expect("within bounds")
}

#[test]
fn a_quarter_of_the_true_pairs_between_registers_share_no_identifier() {
    let report = nation(20_000).report();
    println!("{report:?} {}", report.without_common_id_per_mille());
    assert!(report.without_common_id_per_mille() >= 250, "{report:?}");
    assert!(report.without_common_id_per_mille() <= 500, "{report:?}");
}

#[test]
fn report_agrees_with_a_count_of_every_pair() {
    let nation = nation(400);
    let report = nation.report();
    let mut mentions: BTreeMap<u32, Vec<(&str, u8)>> = BTreeMap::new();
    for register in REGISTERS {
        for change in nation.changes(register).filter(|c| c.live) {
            for mention in &change.truth {
                if let TrueSubject::Person(i) = mention.subject
                    && i < 400
                {
                    mentions.entry(i).or_default().push((register, mention.ids.0));
                }
            }
        }
    }
    let (mut pairs, mut between, mut strangers) = (0, 0, 0);
    for person in mentions.values() {
        for (n, a) in person.iter().enumerate() {
            for b in &person[..n] {
                pairs += 1;
                between += u64::from(a.0 != b.0);
                strangers += u64::from(a.0 != b.0 && a.1 & b.1 == 0);
            }
        }
    }
    assert_eq!(pairs, report.pairs);
    assert_eq!(between, report.pairs_between_registers);
    assert_eq!(strangers, report.pairs_between_without_common_id);
}

#[test]
fn one_version_of_a_record_is_live_at_most() {
    let nation = nation(3000);
    for register in REGISTERS {
        let mut live: BTreeMap<String, u64> = BTreeMap::new();
        for change in nation.changes(register).filter(|c| c.live) {
            assert_eq!(change.flaw, Flaw::None);
            assert!(live.insert(change.record_id.clone(), change.version).is_none(), "{}", change.record_id);
        }
        for change in nation.changes(register).filter(|c| c.flaw == Flaw::None) {
            if let Some(version) = live.get(&change.record_id) {
                assert!(change.version <= *version, "{}", change.record_id);
            }
        }
    }
}

#[test]
fn showcase_has_every_case_and_only_unassigned_numbers() {
    let show = nation(20_000).showcase();
    let person = show.person.expect("a person in all registers");
    let birth = show.birth.expect("a birth");
    let disputed = show.disputed.expect("a disputed person");
    let renumbered = show.renumbered.expect("a person with a new number");
    let stale = show.stale.expect("a person treated after death");
    assert_ne!(disputed.civil_birth_date, disputed.person.birth_date);
    assert_ne!(renumbered.retired_id, renumbered.person.personal_id);
    for shown in [&person, &birth.mother, &birth.father, &disputed.person, &renumbered.person, &stale] {
        assert!(shown.personal_id.starts_with("099") && shown.personal_id.len() == 12, "{}", shown.personal_id);
    }
    assert!(show.mortgaged_parcel.expect("a mortgaged parcel").starts_with("wb"));
}

#[test]
fn expected_objects_are_those_of_known_communes() {
    let nation = nation(2000);
    let lists = nation.unit_lists();
    let expected = nation.expected();
    for row in &expected {
        assert!(lists[1].units.iter().any(|unit| unit.code == row.commune), "{}", row.commune);
    }
    let residences: u64 = expected.iter().filter(|r| r.record_type == "residence").map(|r| r.objects).sum();
    assert_eq!(residences, 2000);
}

#[test]
fn too_many_persons_are_refused() {
    let config = Config { persons: PERSONS_MAX + 1, seed: 1 };
    assert_eq!(Nation::new(config).err(), Some(Error::Persons { persons: PERSONS_MAX + 1 }));
}
