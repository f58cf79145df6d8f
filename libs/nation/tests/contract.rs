//! The streams against the contracts that a hub judges them by.

use std::collections::BTreeMap;

use contract::{Contract, Element, Kind, builtin};
use nation::{Config, Flaw, Nation, Operation, REGISTERS, TrueSubject, population_descriptor_set};

fn contracts() -> BTreeMap<&'static str, Contract> {
    let compiled = |set: &[u8]| Contract::compile(set).expect("the contract compiles");
    let mut contracts: BTreeMap<&str, Contract> =
        builtin().iter().map(|known| (known.register, compiled(known.descriptor_set))).collect();
    contracts.insert("population", compiled(population_descriptor_set()));
    contracts
}

fn nation() -> Nation {
    Nation::new(Config { persons: 4000, seed: 11 }).expect("within bounds")
}

#[test]
fn contracts_refuse_exactly_what_is_meant_to_be_refused() {
    let (contracts, nation) = (contracts(), nation());
    let (mut refused, mut soft) = (0, 0);
    for register in REGISTERS {
        for change in nation.changes(register).filter(|c| c.operation == Operation::Upsert) {
            let judgement = contracts[register]
                .judge(change.record_type, &change.payload, change.published_at)
                .expect("the record type is known");
            let meant = change.flaw == Flaw::Refused;
            assert_eq!(
                !judgement.accepts(),
                meant,
                "{} {}: {:?}",
                change.record_type,
                change.record_id,
                judgement.hard
            );
            refused += u32::from(meant);
            soft += u32::from(!judgement.soft.is_empty());
        }
    }
    assert!(refused > 20 && soft > 5, "{refused} {soft}");
}

#[test]
fn truth_lists_the_mentions_that_the_contract_finds() {
    let (contracts, nation) = (contracts(), nation());
    for register in REGISTERS {
        let good = nation.changes(register).filter(|c| c.operation == Operation::Upsert && c.flaw == Flaw::None);
        for change in good {
            let facts = contracts[register].facts(change.record_type, &change.payload).expect("the payload decodes");
            assert_eq!(facts.mentions.len(), change.truth.len(), "{}", change.record_type);
            for (fact, truth) in facts.mentions.iter().zip(&change.truth) {
                assert_eq!(fact.role, truth.role);
                let element = match fact.element {
                    Element::Key(key) => key.as_bytes(),
                    Element::Single | Element::Identified { .. } => &[],
                };
                assert_eq!(element, truth.element, "{} {}", change.record_type, truth.role);
                assert_eq!(fact.kind == Kind::Person, matches!(truth.subject, TrueSubject::Person(_)));
            }
        }
    }
}

#[test]
fn a_person_is_never_a_name_alone() {
    let (contracts, nation) = (contracts(), nation());
    let (mut alone, mut all) = (0, 0);
    for register in REGISTERS {
        for change in nation.changes(register).filter(|c| c.live) {
            let facts = contracts[register].facts(change.record_type, &change.payload).expect("the payload decodes");
            for mention in facts.mentions.iter().filter(|m| m.kind == Kind::Person) {
                let ident = &mention.ident;
                all += 1;
                let numbered = ident.personal_id.or(ident.old_id).or(ident.insurance_no).is_some();
                alone += u32::from(!numbered && ident.birth.is_none());
            }
        }
    }
    assert!(alone * 200 < all, "{alone} of {all}");
}
