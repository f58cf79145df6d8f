//! The state of every item, from facts.

mod common;

use access::{
    AttributeFact, Facts, ItemResult, ItemState, Need, ProcedureSet, Reason, RecordFact, RelationFact, RoleFacts,
    Source, Stated, SubjectFacts, check, is_complete,
};
use common::{MARRIAGE, NATIONAL, TRANSFER, access};
use serde_json::{Value, json};

const DAY: i64 = 86_400_000_000;
/// 2026-11-22 00:00 in Vietnam.
const NOW: i64 = (1_795_305_600 - 7 * 3_600) * 1_000_000;

fn source(register: &str, record_type: &str, days_ago: i64) -> Source {
    Source {
        register: register.to_owned(),
        record_type: record_type.to_owned(),
        record: format!("{register}-1"),
        version: 1,
        position: "change/0/1".to_owned(),
        effective_at_us: NOW - days_ago * DAY,
        published_at_us: NOW - days_ago * DAY,
    }
}

fn stated(register: &str, value: Value, days_ago: i64) -> Stated {
    Stated { value, source: source(register, "any", days_ago), on_paper: false }
}

fn subject(attributes: &[(&str, &str, Value)]) -> SubjectFacts {
    let attributes = attributes.iter().map(|(name, register, value)| {
        let values = vec![stated(register, value.clone(), 10)];
        ((*name).to_owned(), AttributeFact { values, disputed: false })
    });
    SubjectFacts { attributes: attributes.collect(), records: Vec::new() }
}

fn seller() -> SubjectFacts {
    subject(&[
        ("person.personal_id", "civil", json!("099050000001")),
        ("person.marital_status", "civil", json!({"value": "single"})),
    ])
}

fn parcel() -> SubjectFacts {
    subject(&[
        ("parcel.certificate_serial", "land", json!("AA 01234567")),
        ("parcel.parcel_id", "land", json!("w7er8u0t5jkm")),
        ("parcel.area", "land", json!({"value": "120.5"})),
    ])
}

fn owner_of(from: &str, to: &str) -> RelationFact {
    RelationFact {
        name: "owner-of".to_owned(),
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
        source: source("land", "right", 30),
        disputed: false,
    }
}

fn transfer() -> Facts {
    let roles = [("seller", seller()), ("buyer", seller()), ("parcel", parcel())];
    Facts {
        now_us: NOW,
        connected: ["civil", "land", "health"].map(str::to_owned).into(),
        roles: roles.map(|(role, facts)| (role.to_owned(), RoleFacts::Resolved(facts))).into(),
        relations: vec![owner_of("seller", "parcel")],
    }
}

fn set(facts: &mut Facts, role: &str, attribute: &str, fact: AttributeFact) {
    match facts.roles.get_mut(role) {
        Some(RoleFacts::Resolved(subject)) => {
            subject.attributes.insert(attribute.to_owned(), fact);
        }
        other => panic!("{role} is {other:?}"),
    }
}

fn one(values: Vec<Stated>) -> AttributeFact {
    AttributeFact { values, disputed: false }
}

/// State, reason and need of one item.
fn item(code: &str, facts: &Facts, id: &str) -> (ItemState, Reason, Need) {
    with(code, facts, id, |result| (result.state, result.reason, result.need))
}

fn with<T>(code: &str, facts: &Facts, id: &str, look: impl FnOnce(&ItemResult<'_>) -> T) -> T {
    let set = ProcedureSet::builtin();
    let results = check(set.get(code).expect("it ships"), facts);
    look(results.iter().find(|result| result.item.id() == id).expect("the profile has the item"))
}

#[test]
fn a_fact_from_a_register_that_counts_is_available_with_source_and_age() {
    let facts = transfer();
    with(TRANSFER, &facts, "certificate", |result| {
        assert_eq!((result.state, result.reason), (ItemState::Available, Reason::Satisfied));
        assert_eq!(result.source.map(|source| source.register.as_str()), Some("land"));
        assert_eq!(result.age_us, Some(10 * DAY));
        assert_eq!(result.what_to_do.vi, "");
    });
}

#[test]
fn every_profile_without_a_connected_register_is_not_connected() {
    for procedure in ProcedureSet::builtin().iter() {
        let facts = Facts { now_us: NOW, ..Facts::default() };
        let results = check(procedure, &facts);
        assert_eq!(results.len(), procedure.items().len());
        for result in &results {
            let absent_party = result.reason == Reason::RoleAbsent || result.reason == Reason::ConditionFalse;
            assert!(absent_party || result.state == ItemState::NotConnected, "{} {:?}", result.item.id(), result.state);
            let says = !result.what_to_do.vi.is_empty() && !result.what_to_do.en.is_empty();
            assert_eq!(says, result.state != ItemState::NotNeeded);
        }
        assert!(!is_complete(&results));
    }
}

#[test]
fn registers_that_do_not_exist_are_not_connected_and_name_the_paper() {
    with(TRANSFER, &transfer(), "contract", |result| {
        assert_eq!((result.state, result.reason), (ItemState::NotConnected, Reason::RegisterNotConnected));
        assert!(result.what_to_do.en.contains("notary database"), "{}", result.what_to_do.en);
        assert!(result.what_to_do.en.contains("the notarised contract"), "{}", result.what_to_do.en);
        assert_eq!(result.item.owner(), "moj");
    });
}

#[test]
fn a_seller_who_is_not_the_owner_is_told_so() {
    let mut facts = transfer();
    assert_eq!(item(TRANSFER, &facts, "owner_match").0, ItemState::Available);
    for relation in [owner_of("buyer", "parcel"), owner_of("seller", "elsewhere")] {
        facts.relations = vec![relation];
        let got = item(TRANSFER, &facts, "owner_match");
        assert_eq!(got, (ItemState::Missing, Reason::RelationAbsent, Need::Required));
    }
}

#[test]
fn a_mortgage_blocks_a_transfer() {
    let mut facts = transfer();
    assert_eq!(item(TRANSFER, &facts, "no_restriction").0, ItemState::Available);
    for form in [json!(["mortgage"]), json!([{"value": "planning"}, {"value": "mortgage"}])] {
        set(&mut facts, "parcel", "parcel.restrictions", one(vec![stated("land", form, 1)]));
        let got = item(TRANSFER, &facts, "no_restriction");
        assert_eq!((got.0, got.1), (ItemState::Missing, Reason::RuleUnmet));
    }
    set(&mut facts, "parcel", "parcel.restrictions", one(vec![stated("land", json!(["planning"]), 1)]));
    assert_eq!(item(TRANSFER, &facts, "no_restriction").0, ItemState::Available);
}

#[test]
fn a_key_that_finds_nothing_or_several_says_so() {
    let mut facts = transfer();
    facts.roles.insert("seller".to_owned(), RoleFacts::NotFound);
    assert_eq!(item(TRANSFER, &facts, "seller_id").1, Reason::RoleNotFound);
    assert_eq!(item(TRANSFER, &facts, "seller_alive").1, Reason::RoleNotFound, "nobody found is not alive");
    facts.roles.insert("seller".to_owned(), RoleFacts::Ambiguous { matches: 2 });
    assert_eq!(item(TRANSFER, &facts, "seller_id").0, ItemState::Ambiguous);
    facts.roles.remove("seller");
    assert_eq!(item(TRANSFER, &facts, "seller_id").1, Reason::RoleNotGiven);
    assert_eq!(item(TRANSFER, &facts, "owner_match").1, Reason::RoleNotGiven);
}

#[test]
fn disputed_comes_before_stale_and_a_rule_inherits_it() {
    let mut facts = transfer();
    let values = vec![stated("civil", json!("099050000001"), 9_000), stated("health", json!("099050000002"), 1)];
    set(&mut facts, "seller", "person.personal_id", AttributeFact { values, disputed: true });
    assert_eq!(item(TRANSFER, &facts, "seller_id").0, ItemState::Disputed);
    let alive = item(TRANSFER, &facts, "seller_alive");
    assert_eq!((alive.0, alive.1), (ItemState::Disputed, Reason::DependsOn));
}

#[test]
fn a_value_from_a_register_that_does_not_count_is_missing() {
    let mut facts = transfer();
    set(&mut facts, "seller", "person.personal_id", one(vec![stated("health", json!("099050000001"), 1)]));
    assert_eq!(item(TRANSFER, &facts, "seller_id").1, Reason::ValueAbsent);
    for blank in [json!(""), json!(null), json!("  "), json!({"value": ""}), json!([])] {
        set(&mut facts, "seller", "person.personal_id", one(vec![stated("civil", blank, 1)]));
        assert_eq!(item(TRANSFER, &facts, "seller_id").1, Reason::ValueAbsent);
    }
}

#[test]
fn the_next_register_that_counts_speaks_where_the_first_is_silent() {
    let mut facts = transfer();
    let values =
        vec![stated("land", json!("1"), 1), stated("population", json!(""), 1), stated("civil", json!("2"), 3)];
    set(&mut facts, "seller", "person.personal_id", one(values));
    with(TRANSFER, &facts, "seller_id", |result| {
        assert_eq!(result.source.map(|source| source.register.as_str()), Some("civil"));
    });
}

fn couple(birth: Value) -> Facts {
    let person = subject(&[
        ("person.personal_id", "civil", json!("099060000001")),
        ("person.birth_date", "civil", birth),
        ("person.marital_status", "civil", json!("single")),
    ]);
    let roles = ["husband", "wife"].map(|role| (role.to_owned(), RoleFacts::Resolved(person.clone())));
    Facts { now_us: NOW, connected: ["civil".to_owned()].into(), roles: roles.into(), relations: Vec::new() }
}

#[test]
fn the_age_of_marriage_is_reached_on_the_birthday() {
    let of_age = |birth: &str, id: &str| item(MARRIAGE, &couple(json!(birth)), id).0;
    assert_eq!(of_age("2006-11-22", "husband_of_age"), ItemState::Available);
    assert_eq!(of_age("2006-11-23", "husband_of_age"), ItemState::Missing);
    assert_eq!(of_age("2006-11-23", "wife_of_age"), ItemState::Available);
    assert_eq!(of_age("2008-11-23", "wife_of_age"), ItemState::Missing);
    let year_only = couple(json!({"year": 2006}));
    assert_eq!(item(MARRIAGE, &year_only, "husband_of_age").1, Reason::RuleUnmet, "an unknown day is not rounded up");
}

#[test]
fn an_old_statement_is_stale_from_the_first_instant_past_its_age() {
    let mut facts = couple(json!("1990-01-01"));
    let mut aged = stated("civil", json!("single"), 180);
    set(&mut facts, "wife", "person.marital_status", one(vec![aged.clone()]));
    assert_eq!(item(MARRIAGE, &facts, "wife_marital_status").0, ItemState::Available);
    aged.source.published_at_us -= 1;
    set(&mut facts, "wife", "person.marital_status", one(vec![aged]));
    assert_eq!(item(MARRIAGE, &facts, "wife_marital_status").0, ItemState::Stale);
    let dependent = item(MARRIAGE, &facts, "wife_free");
    assert_eq!((dependent.0, dependent.1), (ItemState::Stale, Reason::DependsOn));
}

#[test]
fn what_the_owner_keeps_on_paper_is_on_paper_only() {
    let mut facts = couple(json!("1990-01-01"));
    set(&mut facts, "wife", "person.marital_status", AttributeFact::default());
    with(MARRIAGE, &facts, "wife_marital_status", |result| {
        assert_eq!((result.state, result.reason), (ItemState::OnPaperOnly, Reason::Paper));
        assert!(result.what_to_do.en.contains("a marital status certificate"), "{}", result.what_to_do.en);
    });
    let mut paper = stated("civil", json!(null), 1);
    paper.on_paper = true;
    set(&mut facts, "wife", "person.personal_id", one(vec![paper]));
    assert_eq!(item(MARRIAGE, &facts, "wife_id").0, ItemState::OnPaperOnly);
}

#[test]
fn a_condition_decides_need_and_an_undecided_one_asks() {
    let pension = |birth: Option<Value>| {
        let mut facts =
            Facts { now_us: NOW, connected: ["civil".to_owned(), "soc".to_owned()].into(), ..Facts::default() };
        let person = match birth {
            Some(birth) => subject(&[("person.birth_date", "civil", birth)]),
            None => SubjectFacts::default(),
        };
        facts.roles.insert("applicant".to_owned(), RoleFacts::Resolved(person));
        item("1.014027", &facts, "poverty")
    };
    assert_eq!(pension(Some(json!("1951-11-22"))), (ItemState::NotNeeded, Reason::ConditionFalse, Need::Not));
    assert_eq!(pension(Some(json!("1951-11-23"))), (ItemState::Missing, Reason::RecordAbsent, Need::ByCondition));
    assert_eq!(pension(None), (ItemState::Missing, Reason::RecordAbsent, Need::Undecided));
}

#[test]
fn an_optional_party_that_the_case_lacks_is_not_asked_for() {
    let facts = Facts { now_us: NOW, connected: ["civil".to_owned()].into(), ..Facts::default() };
    assert_eq!(item("1.001193", &facts, "father_id"), (ItemState::NotNeeded, Reason::RoleAbsent, Need::Not));
    assert_eq!(item("1.001193", &facts, "marriage"), (ItemState::NotNeeded, Reason::ConditionFalse, Need::Not));
    assert_eq!(item("1.001193", &facts, "mother_id").1, Reason::RoleNotGiven);
}

#[test]
fn marriage_reads_both_ways_and_kinship_only_one() {
    let mut facts = transfer();
    facts.roles.insert("spouse".to_owned(), RoleFacts::Resolved(seller()));
    set(&mut facts, "seller", "person.marital_status", one(vec![stated("civil", json!("married"), 1)]));
    assert_eq!(item(TRANSFER, &facts, "spouse_consent").1, Reason::RelationAbsent);
    for (from, to) in [("seller", "spouse"), ("spouse", "seller")] {
        let mut relation = owner_of(from, to);
        relation.name = "spouse-of".to_owned();
        relation.source.register = "civil".to_owned();
        facts.relations = vec![relation];
        assert_eq!(
            item(TRANSFER, &facts, "spouse_consent"),
            (ItemState::Available, Reason::Satisfied, Need::ByCondition)
        );
    }
}

#[test]
fn a_record_of_the_type_is_found_and_the_newest_speaks() {
    let mut mother = seller();
    let record = |record_type, days| RecordFact { source: source("health", record_type, days) };
    mother.records = vec![record("birth_notice", 9), record("encounter", 1), record("birth_notice", 5)];
    let mut facts = transfer();
    facts.roles.insert("mother".to_owned(), RoleFacts::Resolved(mother));
    with("1.001193", &facts, "birth_notice", |result| {
        assert_eq!((result.state, result.age_us), (ItemState::Available, Some(5 * DAY)));
    });
}

#[test]
fn a_dead_seller_is_not_alive() {
    let mut facts = transfer();
    set(&mut facts, "seller", "person.death_date", one(vec![stated("civil", json!({"year": 2025}), 1)]));
    assert_eq!(item(TRANSFER, &facts, "seller_alive").1, Reason::RuleUnmet);
}

#[test]
fn a_value_leaves_only_as_far_as_the_permit_says() {
    let access = access();
    let set_of = ProcedureSet::builtin();
    let driving = set_of.get("hub.driving-licence-renewal").expect("it ships");
    let person = subject(&[
        ("person.personal_id", "civil", json!("099050000001")),
        ("person.driver_health", "health", json!("fit_with_conditions")),
    ]);
    let facts = Facts {
        now_us: NOW,
        connected: ["civil".to_owned(), "health".to_owned()].into(),
        roles: [("applicant".to_owned(), RoleFacts::Resolved(person))].into(),
        relations: Vec::new(),
    };
    let permit = access.permit_check(NATIONAL, driving.code(), "case-1").expect("served");
    let results = check(driving, &facts);
    let find = |id: &str| results.iter().find(|result| result.item.id() == id).expect("the profile has the item");
    assert_eq!(find("applicant_id").value(&permit), Some(&json!("099050000001")));
    assert_eq!(find("health_check").state, ItemState::Available);
    assert_eq!(find("health_check").value(&permit), None, "a sensitive value stays");
    assert_eq!(find("fit_to_drive").state, ItemState::Available);
}

#[test]
fn the_order_of_facts_changes_nothing() {
    let mut facts = transfer();
    facts.relations = vec![owner_of("seller", "parcel"), owner_of("seller", "parcel")];
    facts.relations[1].source.record = "land-2".to_owned();
    let forward = with(TRANSFER, &facts, "owner_match", |result| result.source.cloned());
    facts.relations.reverse();
    assert_eq!(with(TRANSFER, &facts, "owner_match", |result| result.source.cloned()), forward);
}
