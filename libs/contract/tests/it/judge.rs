//! What each contract refuses and what it lets in with a finding.

use crate::samples;
use contract::{Contract, ErrorGroup as G, Severity, VIOLATIONS_MAX, Violation};
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600_000_000;

/// A sample with the value at a JSON pointer replaced (`null`: removed).
fn with(mut sample: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = sample.pointer_mut(parent).expect("the parent is there");
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(key).expect("the field is there")),
        (Value::Object(fields), value) => drop(fields.insert(key.to_owned(), value)),
        (Value::Array(items), value) => items[key.parse::<usize>().expect("an index")] = value,
        _ => panic!("{pointer} leads into a value"),
    }
    sample
}

type Short = (String, String, G, Severity);

fn short(violation: Violation) -> Short {
    (violation.field_path, violation.rule_id, violation.group, violation.severity)
}

fn violations(contract: &Contract, record_type: &str, sample: &Value) -> Vec<Short> {
    let body = samples::body(contract, record_type, sample);
    let judgement = contract.judge(record_type, &body, NOW).expect("a record type");
    assert!(judgement.hard.iter().all(|violation| violation.severity == Severity::Hard));
    assert!(judgement.soft.iter().all(|violation| violation.severity == Severity::Soft));
    judgement.hard.into_iter().chain(judgement.soft).map(short).collect()
}

#[test]
fn valid_samples_pass_every_hard_rule() {
    for (register, record_type, sample) in samples::all() {
        let contract = samples::contract(register);
        let found = violations(&contract, record_type, &sample);
        let hard: Vec<_> = found.iter().filter(|(.., severity)| *severity == Severity::Hard).collect();
        assert!(hard.is_empty(), "{register}.{record_type}: {hard:?}");
    }
}

/// register, record type, pointer, value, and what must be among the violations.
type Bad = (&'static str, &'static str, &'static str, Value, (&'static str, &'static str, G, Severity));

fn bad_samples() -> Vec<Bad> {
    use Severity::{Hard, Soft};
    vec![
        ("civil", "birth", "/child", Value::Null, ("child", "required", G::Missing, Hard)),
        ("civil", "birth", "/child/full_name", Value::Null, ("child.full_name", "required", G::Missing, Hard)),
        (
            "civil",
            "birth",
            "/child/personal_id",
            json!("09908500001"),
            ("child.personal_id", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "civil",
            "birth",
            "/child/personal_id",
            json!("0990850000171"),
            ("child.personal_id", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "civil",
            "birth",
            "/child/personal_id",
            json!("09908A000017"),
            ("child.personal_id", "string.pattern", G::BadFormat, Hard),
        ),
        ("civil", "birth", "/child/sex", json!("male"), ("child.sex", "string.in", G::OutOfRange, Hard)),
        (
            "civil",
            "birth",
            "/child/birth_date",
            json!("2015-03-02"),
            ("child.birth_date", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "civil",
            "birth",
            "/child/birth_date",
            json!("31.02.2015"),
            ("child.birth_date", "hub.date", G::BadFormat, Soft),
        ),
        (
            "civil",
            "birth",
            "/child/birth_date",
            json!("2015"),
            ("child.birth_date", "hub.birth_date.vague", G::Missing, Soft),
        ),
        (
            "civil",
            "birth",
            "/child/birth_date",
            json!("02.03.2014"),
            ("child.personal_id", "hub.personal_id.birth_year", G::Contradiction, Soft),
        ),
        (
            "civil",
            "birth",
            "/child/sex",
            json!("Nữ"),
            ("child.personal_id", "hub.personal_id.sex", G::Contradiction, Soft),
        ),
        ("civil", "birth", "/child/hometown", Value::Null, ("child.hometown", "hub.sufficient", G::Missing, Soft)),
        ("civil", "birth", "/mother", Value::Null, ("mother", "hub.sufficient", G::Missing, Soft)),
        (
            "civil",
            "birth",
            "/entry/office_unit/list_version",
            Value::Null,
            ("entry.office_unit.list_version", "required", G::Missing, Hard),
        ),
        (
            "civil",
            "birth",
            "/entry/registration_type",
            json!(12),
            ("entry.registration_type", "int32.gte_lte", G::OutOfRange, Hard),
        ),
        (
            "civil",
            "death",
            "/deceased/death_date",
            json!("01.03.1939"),
            ("deceased.death_date", "hub.not_before", G::Contradiction, Hard),
        ),
        (
            "civil",
            "death",
            "/deceased/death_time",
            json!("25:00"),
            ("deceased.death_time", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "civil",
            "marriage",
            "/wife/identity_paper_no",
            json!("099085000017"),
            ("", "marriage.two_persons", G::Contradiction, Hard),
        ),
        ("civil", "marital_status", "/status", json!("single?"), ("status", "string.in", G::OutOfRange, Hard)),
        ("civil", "change", "/changes", json!([]), ("changes", "repeated.min_items", G::Missing, Hard)),
        ("land", "parcel", "/parcel_id", json!("x7er8u0evss2"), ("parcel_id", "string.pattern", G::BadFormat, Hard)),
        (
            "land",
            "parcel",
            "/land_uses/0/area",
            json!("130"),
            ("", "parcel.use_areas_within_area", G::Contradiction, Hard),
        ),
        ("land", "parcel", "/area", json!("abc"), ("area", "string.pattern", G::BadFormat, Hard)),
        (
            "land",
            "parcel",
            "/land_uses/1/area",
            json!("abc"),
            ("land_uses[1].area", "string.pattern", G::BadFormat, Hard),
        ),
        ("land", "restriction", "/parcel/parcel_id", Value::Null, ("parcel", "parcel.has_a_key", G::Missing, Hard)),
        (
            "land",
            "restriction",
            "/lifted_on",
            json!("01/01/2020"),
            ("lifted_on", "hub.not_before", G::Contradiction, Hard),
        ),
        (
            "land",
            "right",
            "/certificate/serial",
            json!("123456"),
            ("certificate.serial", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "land",
            "right",
            "/certificate/registry_no",
            json!("12?"),
            ("certificate.registry_no", "string.pattern", G::BadFormat, Soft),
        ),
        ("land", "right", "/certificate/area", json!("500"), ("", "right.signed_area", G::Contradiction, Soft)),
        (
            "land",
            "right",
            "/parties/2/organisation_id",
            Value::Null,
            ("parties[2]", "party.organisation_id", G::Missing, Soft),
        ),
        (
            "land",
            "right",
            "/parties/0/identity_no",
            json!("12345"),
            ("parties[0].identity_no", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "land",
            "right",
            "/parties/0/identity_no",
            json!("099185000017"),
            ("parties[0].identity_no", "hub.personal_id.sex", G::Contradiction, Soft),
        ),
        ("land", "right", "/parties", json!([]), ("parties", "repeated.min_items", G::Missing, Hard)),
        (
            "health",
            "insurance_card",
            "/card_no",
            json!("DN401012345678"),
            ("card_no", "string.pattern", G::BadFormat, Hard),
        ),
        (
            "health",
            "insurance_card",
            "/valid_until",
            json!("20241231"),
            ("", "insurance_card.validity", G::Contradiction, Hard),
        ),
        ("health", "encounter", "/sex", json!(4), ("sex", "int32.gte_lte", G::OutOfRange, Hard)),
        (
            "health",
            "encounter",
            "/discharged_at",
            json!("202508010000"),
            ("", "encounter.discharge_after_admission", G::Contradiction, Hard),
        ),
        ("health", "encounter", "/main_icd10", json!("18.9"), ("main_icd10", "string.pattern", G::BadFormat, Hard)),
        (
            "health",
            "health_book",
            "/chronic_conditions",
            json!(["I10", "I10"]),
            ("chronic_conditions", "repeated.unique", G::Duplicate, Hard),
        ),
        ("health", "vaccination", "/dose", json!(0), ("dose", "int32.gte_lte", G::OutOfRange, Hard)),
        (
            "health",
            "vaccination",
            "/given_at",
            json!("19800101"),
            ("given_at", "hub.not_before", G::Contradiction, Hard),
        ),
        ("population", "residence", "/personal_id", json!("1"), ("personal_id", "string.pattern", G::BadFormat, Hard)),
        (
            "population",
            "identity_card",
            "/valid_until",
            json!("2020-01-01"),
            ("valid_until", "hub.not_before", G::Contradiction, Hard),
        ),
    ]
}

#[test]
fn each_bad_sample_names_field_rule_group_and_severity() {
    for (register, record_type, pointer, value, (path, rule, group, severity)) in bad_samples() {
        let contract = samples::contract(register);
        let (_, _, sample) =
            samples::all().into_iter().find(|(r, t, _)| (*r, *t) == (register, record_type)).expect("a sample");
        let expected = (path.to_owned(), rule.to_owned(), group, severity);
        assert!(
            !violations(&contract, record_type, &sample).contains(&expected),
            "the good sample has it: {expected:?}"
        );
        let found = violations(&contract, record_type, &with(sample, pointer, value));
        assert!(found.contains(&expected), "{register}.{record_type}{pointer}: wanted {expected:?}, found {found:?}");
    }
}

#[test]
fn violations_do_not_repeat_values() {
    for (register, record_type, sample) in samples::all() {
        let contract = samples::contract(register);
        let mut canary = sample.clone();
        plant(&mut canary);
        let body = samples::body(&contract, record_type, &canary);
        let judgement = contract.judge(record_type, &body, NOW).expect("a record type");
        assert!(!judgement.accepts(), "{register}.{record_type} accepts the canary");
        assert!(!format!("{judgement:?}").contains("CANARY"), "{register}.{record_type}");
    }
}

fn plant(value: &mut Value) {
    match value {
        Value::String(text) => *text = format!("CANARY {text} \u{1F426}").repeat(40),
        Value::Array(items) => items.iter_mut().for_each(plant),
        Value::Object(fields) => fields.values_mut().for_each(plant),
        _ => {}
    }
}

#[test]
fn undecodable_bytes_are_a_hard_violation_with_the_field() {
    let civil = samples::contract("civil");
    // Field 2 (child), 2 bytes: field 99, varint.
    let judgement = civil.judge("birth", &[0x12, 0x03, 0x98, 0x06, 0x01], NOW).expect("a record type");
    let [violation] = &judgement.hard[..] else { panic!("one violation: {judgement:?}") };
    assert_eq!((violation.rule_id.as_str(), violation.group), ("hub.decode", G::BadFormat));
    assert_eq!(violation.field_path, "child");
    let truncated = civil.judge("birth", &[0x12, 0x09, 0x0a], NOW).expect("a record type");
    assert_eq!(truncated.hard.len(), 1);
}

#[test]
fn unknown_record_type_lists_those_that_there_are() {
    let error = samples::contract("civil").judge("divorce", &[], NOW).expect_err("no such type");
    assert!(error.to_string().contains("birth, change, death"), "{error}");
}

#[test]
fn lists_of_violations_are_bounded() {
    let population = samples::contract("population");
    let members = vec![json!({"full_name": "A", "personal_id": "x", "relation_to_head": "?"}); 100];
    let sample = with(samples::household(), "/members", json!(members));
    let body = samples::body(&population, "household", &sample);
    let judgement = population.judge("household", &body, NOW).expect("a record type");
    assert_eq!(judgement.hard.len(), VIOLATIONS_MAX);
}

#[test]
fn accepted_record_always_has_facts() {
    let population = samples::contract("population");
    let household = population.record_type("household").expect("a record type");
    let members = vec![json!({"full_name": "A"}); 5000];
    let body = samples::body(&population, "household", &with(samples::household(), "/members", json!(members)));
    let (judgement, facts) = household.examine(&body, NOW);
    assert!(facts.is_none());
    assert!(!judgement.accepts());
    assert!(judgement.hard.iter().any(|violation| violation.rule_id == "hub.too_many"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bytes_never_panic_and_never_pass(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (register, record_type, _) in samples::all().into_iter().take(13) {
            let contract = CONTRACTS.with(|all| all.iter().find(|c| c.register() == register).cloned()).expect("built in");
            let judgement = contract.judge(record_type, &bytes, NOW).expect("a record type");
            prop_assert!(!judgement.accepts());
        }
    }

    #[test]
    fn damaged_samples_never_panic_and_have_facts_when_accepted(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for (register, record_type, sample) in samples::all().into_iter().take(13) {
            let contract = CONTRACTS.with(|all| all.iter().find(|c| c.register() == register).cloned()).expect("built in");
            let mut body = samples::body(&contract, record_type, &sample);
            let at = at.index(body.len());
            body[at] = byte;
            let judgement = contract.judge(record_type, &body, NOW).expect("a record type");
            let examined = contract.record_type(record_type).expect("a record type").examine(&body, NOW).0;
            prop_assert_eq!(&judgement, &examined);
            prop_assert!(!judgement.accepts() || contract.facts(record_type, &body).is_ok());
        }
    }
}

thread_local! {
    static CONTRACTS: Vec<std::rc::Rc<Contract>> =
        contract::builtin().iter().map(|found| std::rc::Rc::new(samples::contract(found.register))).collect();
}
