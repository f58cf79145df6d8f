//! What the built-in contracts read from whole records.

use crate::samples;
use contract::{AttrValue, AttributeId, Contract, Element, Facts, Kind, MentionFact, RelationType, Sex, kinds};
use serde_json::json;

fn value<'f, 'a>(mention: &'f MentionFact<'a>, name: &str) -> Option<&'f AttrValue<'a>> {
    let id = id(name);
    mention.asserts.iter().find(|(attribute, _)| *attribute == id).map(|(_, value)| value)
}

fn id(name: &str) -> AttributeId {
    kinds().by_name(name).expect("an attribute").id
}

fn text(mention: &MentionFact<'_>, name: &str) -> Option<String> {
    value(mention, name).map(ToString::to_string)
}

fn role<'f, 'a>(facts: &'f Facts<'a>, role: &str) -> &'f MentionFact<'a> {
    facts.mentions.iter().find(|mention| mention.role == role).expect("a mention of the role")
}

fn relations(facts: &Facts<'_>) -> Vec<(RelationType, &'static str, &'static str)> {
    // Leaks a few bytes in a test to keep the comparison readable.
    let name = |index: u16| &*facts.mentions[usize::from(index)].role.to_owned().leak();
    facts.relations.iter().map(|relation| (relation.relation, name(relation.from), name(relation.to))).collect()
}

#[test]
fn birth_mentions_child_and_parents_and_relates_them() {
    let civil = samples::contract("civil");
    let body = samples::body(&civil, "birth", &samples::birth());
    let facts = civil.facts("birth", &body).expect("facts");
    let child = role(&facts, "child");
    assert_eq!(child.kind, Kind::Person);
    assert_eq!(child.role_number, 1);
    assert!(child.once, "nobody is born twice");
    assert!(!role(&facts, "mother").once);
    assert_eq!(child.element, Element::Single);
    assert_eq!(child.ident.full_name.as_deref(), Some("Nguyễn Văn An"));
    assert_eq!(child.ident.birth.map(|date| date.to_string()).as_deref(), Some("2015-03-02"));
    assert_eq!(child.ident.sex, Some(Sex::Male));
    assert_eq!(child.ident.personal_id, Some("099215123456"));
    assert_eq!(child.ident.mother_name, Some("Trần Thị Bình"));
    assert_eq!(child.ident.father_name, Some("Nguyễn Văn Cường"));
    assert_eq!(text(child, "person.mother_name").as_deref(), Some("Trần Thị Bình"));
    assert_eq!(text(child, "person.birth_certificate_no").as_deref(), Some("12/2015"));
    assert_eq!(text(child, "person.birth_registered_on").as_deref(), Some("2015-03-09"));
    assert_eq!(text(child, "person.sex").as_deref(), Some("male"));
    assert_eq!(text(child, "person.father_personal_id"), None, "an old card number is no personal number");
    assert_eq!(text(child, "person.mother_personal_id").as_deref(), Some("099190000025"));

    let mother = role(&facts, "mother");
    assert_eq!(mother.ident.personal_id, Some("099190000025"));
    assert_eq!(mother.ident.old_id, None);
    assert_eq!(mother.ident.birth.map(|date| date.to_string()).as_deref(), Some("1990"));
    let father = role(&facts, "father");
    assert_eq!(father.ident.old_id, Some("123456789"));
    assert_eq!(text(father, "person.old_id").as_deref(), Some("123456789"));
    assert_eq!(text(father, "person.personal_id"), None);

    use RelationType::ChildOf;
    assert_eq!(relations(&facts), [(ChildOf, "child", "mother"), (ChildOf, "child", "father")]);
    let unit = facts.unit.expect("the office's commune");
    assert_eq!((unit.code, unit.list_version), ("00004", "2015-01-01"));
    assert!(!facts.may_be_same(0, 1));
}

#[test]
fn marriage_states_what_both_now_are() {
    let civil = samples::contract("civil");
    let body = samples::body(&civil, "marriage", &samples::marriage());
    let facts = civil.facts("marriage", &body).expect("facts");
    for (who, other) in [("husband", "Trần Thị Bình"), ("wife", "Nguyễn Văn Cường")] {
        let mention = role(&facts, who);
        assert_eq!(text(mention, "person.marital_status").as_deref(), Some("married"));
        assert_eq!(mention.ident.spouse_name, Some(other));
        assert_eq!(text(mention, "person.spouse_name").as_deref(), Some(other));
    }
    assert_eq!(relations(&facts), [(RelationType::SpouseOf, "husband", "wife")]);
}

#[test]
fn change_joins_old_and_new_personal_number() {
    let civil = samples::contract("civil");
    let body = samples::body(&civil, "change", &samples::change());
    let facts = civil.facts("change", &body).expect("facts");
    let person = role(&facts, "person");
    assert_eq!(person.ident.personal_id, Some("099085000017"));
    assert_eq!(person.ident.retired_personal_ids.as_slice(), ["099185000017"]);
    assert_eq!(text(person, "person.retired_personal_ids").as_deref(), Some("099185000017"));
}

#[test]
fn right_relates_persons_but_not_organisations_to_the_parcel() {
    let land = samples::contract("land");
    let body = samples::body(&land, "right", &samples::right());
    let facts = land.facts("right", &body).expect("facts");
    let owners: Vec<_> = facts.mentions.iter().filter(|mention| mention.role == "owner").collect();
    assert_eq!(owners.len(), 2, "the bank is an organisation, not a person");
    assert_eq!(owners[0].element, Element::Key("099085000017"));
    assert!(matches!(owners[1].element, Element::Identified { occurrence: 0, .. }), "no paper, so no key");
    assert_eq!(
        relations(&facts),
        [
            (RelationType::OwnerOf, "owner", "parcel"),
            (RelationType::OwnerOf, "owner", "parcel"),
            (RelationType::HolderOf, "current_user", "parcel"),
        ]
    );
    let parcel = role(&facts, "parcel");
    assert_eq!(text(parcel, "parcel.certificate_serial").as_deref(), Some("AD 123456"));
    assert_eq!(text(parcel, "parcel.area").as_deref(), Some("120.5"));
    let cadastral = parcel.ident.cadastral().expect("a whole key");
    assert_eq!((cadastral.unit.code, cadastral.sheet, cadastral.number), ("07954", "1", "2"));
    let names: Vec<_> =
        parcel.asserts.iter().filter(|(at, _)| *at == id("parcel.owner_names")).map(|(_, v)| v.to_string()).collect();
    assert_eq!(names, ["Nguyễn Văn Cường", "Trần Thị Bình", "Ngân hàng Mẫu"]);
    let uses: Vec<_> =
        parcel.asserts.iter().filter(|(at, _)| *at == id("parcel.land_uses")).map(|(_, v)| v.to_string()).collect();
    assert_eq!(uses, ["ODT", "CLN"]);
    let origins = parcel.asserts.iter().filter(|(at, _)| *at == id("parcel.use_origin")).count();
    assert_eq!(origins, 1, "an attribute of one value takes the first");

    let at = |name: &str| facts.mentions.iter().position(|mention| mention.role == name).expect("a mention");
    assert!(facts.may_be_same(at("owner"), at("current_user")), "the owner may use the parcel");
    assert!(!facts.may_be_same(at("owner"), at("owner") + 1), "two parties are two persons");
    assert!(!facts.may_be_same(at("parcel"), at("owner")));
}

#[test]
fn lifted_restriction_is_no_longer_one() {
    let land = samples::contract("land");
    let mut sample = samples::restriction();
    let body = samples::body(&land, "restriction", &sample);
    let facts = land.facts("restriction", &body).expect("facts");
    assert_eq!(text(role(&facts, "parcel"), "parcel.restrictions").as_deref(), Some("mortgage"));
    assert_eq!(relations(&facts), [(RelationType::HolderOf, "holder", "parcel")]);

    sample["lifted_on"] = json!("05/06/2024");
    let body = samples::body(&land, "restriction", &sample);
    let facts = land.facts("restriction", &body).expect("facts");
    assert_eq!(text(role(&facts, "parcel"), "parcel.restrictions"), None);
    assert_eq!(relations(&facts), []);
}

#[test]
fn parcel_names_the_parcels_that_it_came_from() {
    let land = samples::contract("land");
    let body = samples::body(&land, "parcel", &samples::parcel());
    let facts = land.facts("parcel", &body).expect("facts");
    assert_eq!(role(&facts, "parcel").ident.parcel_id, Some("w7er8u0evss2"));
    assert_eq!(role(&facts, "origin").element, Element::Key("w3gvk1c5zpv8"));
    assert_eq!(relations(&facts), [(RelationType::DerivedFrom, "parcel", "origin")]);
}

#[test]
fn repeated_elements_with_one_key_are_still_told_apart() {
    let land = samples::contract("land");
    let mut sample = samples::right();
    let first = sample["parties"][0].clone();
    sample["parties"] = json!([first, first, first]);
    let body = samples::body(&land, "right", &sample);
    let facts = land.facts("right", &body).expect("facts");
    let elements: Vec<_> = facts.mentions.iter().filter(|m| m.role == "owner").map(|m| m.element).collect();
    assert_eq!(elements[0], Element::Key("099085000017"));
    let (Element::Identified { hash, occurrence: 0 }, Element::Identified { hash: same, occurrence: 1 }) =
        (elements[1], elements[2])
    else {
        panic!("later elements are identified by hash and occurrence: {elements:?}");
    };
    assert_eq!(hash, same);
}

#[test]
fn encounter_reads_the_card_list_and_coded_sex() {
    let health = samples::contract("health");
    let body = samples::body(&health, "encounter", &samples::encounter());
    let facts = health.facts("encounter", &body).expect("facts");
    let patient = role(&facts, "patient");
    assert_eq!(patient.ident.sex, Some(Sex::Female));
    assert_eq!(patient.ident.insurance_no, Some("0123456789"));
    assert_eq!(patient.ident.unit.map(|unit| unit.code), Some("00004"));
    assert_eq!(text(patient, "person.diagnoses").as_deref(), Some("J18.9"));
    let unit = value(patient, "person.residence_unit").expect("a unit").to_json();
    assert_eq!(unit, json!({"code": "00004", "list_version": "2025-07-01"}));
}

#[test]
fn every_sample_keeps_its_facts_through_a_second_reading() {
    for (register, record_type, sample) in samples::all() {
        let contract: Contract = samples::contract(register);
        let body = samples::body(&contract, record_type, &sample);
        let first = format!("{:?}", contract.facts(record_type, &body).expect("facts"));
        let second = format!("{:?}", contract.facts(record_type, &body).expect("facts"));
        assert_eq!(first, second, "{register}.{record_type}");
        let json = contract.body_to_json(record_type, &body).expect("json");
        assert_eq!(json, sample, "{register}.{record_type}");
    }
}
