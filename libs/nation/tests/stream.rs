//! What holds of the streams as a whole.

use std::collections::{BTreeMap, BTreeSet};

use nation::contracts::hub::register::{civil, health, land, population};
use nation::{Config, Flaw, Nation, Noise, Operation, PublishedChange, REGISTERS, TrueSubject};
use prost::Message;

fn nation(persons: u32, seed: u64) -> Nation {
    Nation::new(Config { persons, seed }).expect("within bounds")
}

fn all(nation: &Nation) -> impl Iterator<Item = PublishedChange> + '_ {
    REGISTERS.into_iter().flat_map(|register| nation.changes(register))
}

fn stream_hash(nation: &Nation) -> String {
    let mut hasher = blake3::Hasher::new();
    for change in all(nation) {
        hasher.update(format!("{change:?}\n").as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Roles of a change as its decoded payload has them, or an error when the payload does not decode.
fn roles(change: &PublishedChange) -> Result<Vec<&'static str>, prost::DecodeError> {
    let bytes = change.payload.as_slice();
    let owners = |parties: &[land::v1::Party]| parties.iter().filter(|p| p.r#type != "organisation").count();
    Ok(match change.record_type {
        "residence" => {
            let record = population::v1::Residence::decode(bytes)?;
            if record.dwelling.is_some() { vec!["person", "dwelling"] } else { vec!["person"] }
        }
        "household" => {
            let record = population::v1::Household::decode(bytes)?;
            [vec!["head"], vec!["member"; record.members.len()]].concat()
        }
        "identity_card" => population::v1::IdentityCard::decode(bytes).map(|_| vec!["holder"])?,
        "birth" => {
            let record = civil::v1::Birth::decode(bytes)?;
            if record.father.is_some() { vec!["child", "mother", "father"] } else { vec!["child", "mother"] }
        }
        "death" => civil::v1::Death::decode(bytes).map(|_| vec!["deceased"])?,
        "marriage" => civil::v1::Marriage::decode(bytes).map(|_| vec!["husband", "wife"])?,
        "parent_recognition" => civil::v1::ParentRecognition::decode(bytes).map(|_| vec!["parent", "child"])?,
        "marital_status" => civil::v1::MaritalStatus::decode(bytes).map(|_| vec!["person"])?,
        "change" => civil::v1::Change::decode(bytes).map(|_| vec!["person"])?,
        "parcel" => {
            let record = land::v1::Parcel::decode(bytes)?;
            [vec!["parcel"], vec!["origin"; record.derived_from.len()]].concat()
        }
        "right" => {
            let record = land::v1::Right::decode(bytes)?;
            let user = if record.current_user.is_some() { vec!["current_user"] } else { vec![] };
            [vec!["parcel"], vec!["owner"; owners(&record.parties)], user].concat()
        }
        "restriction" => {
            let record = land::v1::Restriction::decode(bytes)?;
            let holder = record.holder.map_or(0, |holder| owners(&[holder]));
            [vec!["parcel"], vec!["holder"; holder]].concat()
        }
        "insurance_card" => health::v1::InsuranceCard::decode(bytes).map(|_| vec!["holder"])?,
        "encounter" => health::v1::Encounter::decode(bytes).map(|_| vec!["patient"])?,
        "health_book" => health::v1::HealthBookEntry::decode(bytes).map(|_| vec!["patient"])?,
        "vaccination" => health::v1::Vaccination::decode(bytes).map(|_| vec!["vaccinated"])?,
        other => panic!("no such record type: {other}"),
    })
}

#[test]
fn same_seed_gives_the_same_bytes() {
    assert_eq!(stream_hash(&nation(500, 1)), PINNED);
}

const PINNED: &str = "871095a240e724c25ebcf06fc441251db116d5dc11cc11793fdbff8c9243a2c2";

#[test]
fn another_seed_gives_another_nation() {
    assert_ne!(stream_hash(&nation(500, 1)), stream_hash(&nation(500, 2)));
}

#[test]
fn truth_names_the_roles_of_the_record() {
    for change in all(&nation(3000, 3)) {
        if change.operation == Operation::Retract {
            assert!(change.payload.is_empty() && change.truth.is_empty());
            continue;
        }
        let truth: Vec<&str> = change.truth.iter().map(|m| m.role).collect();
        assert_eq!(truth, roles(&change).expect("every payload decodes"), "{}", change.record_id);
    }
}

#[test]
fn element_keys_are_unique_within_a_record() {
    for change in all(&nation(5000, 4)) {
        let mut seen = BTreeSet::new();
        for mention in change.truth.iter().filter(|m| !m.element.is_empty()) {
            assert!(seen.insert((mention.role, mention.element.clone())), "{}", change.record_id);
        }
    }
}

#[test]
fn mentions_of_one_record_are_different_subjects() {
    for change in all(&nation(5000, 4)) {
        let subjects: BTreeSet<TrueSubject> = change.truth.iter().map(|m| m.subject).collect();
        assert_eq!(subjects.len(), change.truth.len(), "{}", change.record_id);
    }
}

#[test]
fn streams_are_in_order_and_versions_grow() {
    let nation = nation(3000, 5);
    for register in REGISTERS {
        let mut last = i64::MIN;
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for change in nation.changes(register) {
            assert!(change.published_at >= last && change.registered_at <= change.published_at);
            last = change.published_at;
            let version = versions.entry(change.record_id.clone()).or_default();
            match change.flaw {
                Flaw::None | Flaw::Refused => assert!(change.version == *version + 1, "{}", change.record_id),
                Flaw::Duplicate | Flaw::Conflict => assert!(change.version <= *version, "{}", change.record_id),
            }
            *version = change.version.max(*version);
            assert!(change.replaces < change.version);
        }
    }
}

#[test]
fn registers_keep_their_promise_of_a_day_but_for_the_laggards() {
    let nation = nation(5000, 8);
    let (start, day) = (19_723 * 86_400_000_000_i64, 86_400_000_000_i64);
    for (register, low, high) in
        [("population", 850, 990), ("civil", 900, 990), ("land", 600, 800), ("health", 900, 990)]
    {
        let counts = |c: &PublishedChange| matches!(c.flaw, Flaw::None) && c.effective_at >= start;
        let (mut covered, mut timely, mut stock) = (0u32, 0u32, 0u32);
        for change in nation.changes(register) {
            covered += u32::from(counts(&change));
            timely += u32::from(counts(&change) && change.published_at - change.effective_at <= day);
            stock += u32::from(change.effective_at < start);
        }
        println!("{register}: {timely} of {covered} in time, {stock} of stock");
        assert!((low..=high).contains(&(timely * 1000 / covered)), "{register}: {timely} of {covered}");
        assert!(stock > 0, "{register}: no stock");
    }
}

#[test]
fn a_duplicate_equals_what_was_sent_and_a_conflict_does_not() {
    let nation = nation(20_000, 6);
    let (mut duplicates, mut conflicts) = (0, 0);
    for register in REGISTERS {
        let mut sent: BTreeMap<(String, u64), PublishedChange> = BTreeMap::new();
        for change in nation.changes(register) {
            let key = (change.record_id.clone(), change.version);
            match change.flaw {
                Flaw::None | Flaw::Refused => assert!(sent.insert(key, change).is_none()),
                Flaw::Duplicate => {
                    duplicates += 1;
                    let first = &sent[&key];
                    assert_eq!((&first.payload, first.registered_at), (&change.payload, change.registered_at));
                }
                Flaw::Conflict => {
                    conflicts += 1;
                    assert_ne!(sent[&key].payload, change.payload, "{}", change.record_type);
                }
            }
        }
    }
    assert!(duplicates > 200 && conflicts > 20, "{duplicates} {conflicts}");
}

#[test]
fn volume_and_noise_are_near_what_is_promised() {
    let nation = nation(20_000, 7);
    let (mut changes, mut refused, mut mentions) = (0u32, 0u32, 0u32);
    let mut noise: BTreeMap<u16, u32> = BTreeMap::new();
    let mut by_type: BTreeMap<&str, u32> = BTreeMap::new();
    for change in all(&nation) {
        changes += 1;
        refused += u32::from(change.flaw == Flaw::Refused);
        *by_type.entry(change.record_type).or_default() += 1;
        for mention in change.truth.iter().filter(|m| matches!(m.subject, TrueSubject::Person(_))) {
            mentions += 1;
            for bit in 0..9 {
                *noise.entry(1 << bit).or_default() += u32::from(mention.noise.has(Noise(1 << bit)));
            }
        }
    }
    println!("changes {changes} refused {refused} mentions {mentions} {by_type:?} noise {noise:?}");
    assert!((80_000..120_000).contains(&changes), "{changes}");
    let near = |count: u32, of: u32, low: u32, high: u32| (low..=high).contains(&(count * 10_000 / of));
    assert!(near(refused, changes, 20, 40), "refused {refused}");
    let share = |bit: Noise, low, high| {
        assert!(near(noise[&bit.0], mentions, low, high), "{bit:?}: {} of {mentions}", noise[&bit.0]);
    };
    share(Noise::NO_MARKS, 250, 350);
    share(Noise::NAME_TYPO, 40, 80);
    share(Noise::WRONG_SEX, 35, 65);
    share(Noise::ID_TYPO, 10, 40);
    share(Noise::PARENT_ID, 20, 200);
    share(Noise::NAME_ALONE, 0, 50);
    // Only names with an open syllable can show it.
    share(Noise::TONE_PLACEMENT, 20, 200);
}
