//! The shipped profiles, and documents that must be refused.

mod common;

use access::{BUILTIN_POLICY, PolicyDocument, ProcedureError, ProcedureSet, RuleError, What};

#[test]
fn the_ten_procedures_ship_in_both_languages() {
    let set = ProcedureSet::builtin();
    let codes = [
        "1.001193",
        "2.002621",
        "2.002622",
        "1.000894",
        "1.004222",
        "1.001776",
        "1.014027",
        "1.115668",
        "hub.driving-licence-renewal",
        "2.000720",
    ];
    for code in codes {
        let procedure = set.get(code).unwrap_or_else(|| panic!("{code} ships"));
        for text in [procedure.title()].into_iter().chain(procedure.items().iter().flat_map(|i| [i.title(), i.todo()]))
        {
            assert!(!text.vi.is_empty() && !text.en.is_empty(), "{code} has both languages");
        }
    }
}

#[test]
fn every_profile_names_only_attributes_that_the_kinds_have() {
    let unknown = ProcedureSet::builtin().unknown_attributes(&common::kinds());
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn an_attribute_that_no_kind_has_is_reported() {
    let text = access::BUILTIN_PROCEDURES.replace("\"insurance_no\"", "\"insurance_nr\"");
    let text = text.replace("has(deceased.insurance_no)", "has(deceased.insurance_nr)");
    let set = ProcedureSet::parse(text.as_bytes()).expect("still a valid document");
    let unknown = set.unknown_attributes(&common::kinds());
    assert!(unknown.contains(&("2.002622".to_owned(), "person.insurance_nr".to_owned())), "{unknown:?}");
}

#[test]
fn item_fields_are_within_the_least_data_of_their_procedure() {
    for procedure in ProcedureSet::builtin().iter() {
        let fields: Vec<&str> = procedure.fields().collect();
        assert!(procedure.item_fields().all(|field| fields.contains(&field)), "{}", procedure.code());
        assert!(procedure.item_fields().count() > 0, "{}", procedure.code());
    }
}

#[test]
fn every_item_has_a_register_with_a_title_and_an_owner() {
    let set = ProcedureSet::builtin();
    for item in set.iter().flat_map(|procedure| procedure.items()) {
        assert!(item.registers().all(|code| set.register(code).is_some()), "{}", item.id());
        assert!(!item.owner().is_empty(), "{}", item.id());
    }
}

#[test]
fn rules_use_only_items_before_them() {
    for procedure in ProcedureSet::builtin().iter() {
        for (place, item) in procedure.items().iter().enumerate() {
            if let What::Rule { uses, .. } = item.what() {
                assert!(uses.iter().all(|&used| used < place), "{} {}", procedure.code(), item.id());
            }
        }
    }
}

#[test]
fn the_builtin_grants_name_nothing_that_is_not_there() {
    let document = PolicyDocument::parse(BUILTIN_POLICY.as_bytes()).expect("the built-in document is valid");
    assert_eq!(document.dangling(&ProcedureSet::builtin(), &common::kinds()), []);
}

fn refused(from: &str, to: &str) -> ProcedureError {
    assert!(access::BUILTIN_PROCEDURES.contains(from), "{from} is in the document");
    let text = access::BUILTIN_PROCEDURES.replace(from, to);
    ProcedureSet::parse(text.as_bytes()).expect_err("the changed document is refused")
}

#[test]
fn a_document_with_a_fault_is_refused_whole_and_says_where() {
    let endless = refused("rule = \"husband.age_years >= 20\"", "rule = \"[1,2].all(x, [1,2].all(y, true))\"");
    assert!(
        matches!(&endless, ProcedureError::Rule { item, source: RuleError::Unbounded, .. } if &**item == "husband_of_age"),
        "{endless:?}"
    );
    let unlisted = refused("rule = \"husband.age_years >= 20\"", "rule = \"husband.religion == 'x'\"");
    assert!(matches!(unlisted, ProcedureError::Rule { source: RuleError::Attribute { .. }, .. }));
    assert!(matches!(refused("version = 1", "version = 2"), ProcedureError::Version { found: 2 }));
    assert!(matches!(refused("code = \"2.000635\"", "code = \"1.000894\""), ProcedureError::Repeated { .. }));
    assert!(matches!(refused("registers = [\"traffic\"]", "registers = [\"trafic\"]"), ProcedureError::Item { .. }));
    assert!(matches!(refused("to = \"parcel\"", "to = \"plot\""), ProcedureError::Item { .. }));
    assert!(matches!(refused("relation = \"owner-of\"", "relation = \"friend-of\""), ProcedureError::Item { .. }));
    assert!(matches!(refused("max_age_days = 180", "max_age_years = 1"), ProcedureError::Toml(_)));
    assert!(matches!(ProcedureSet::parse(&[0xff]), Err(ProcedureError::Utf8(_))));
}

#[test]
fn the_hash_is_of_the_document_s_bytes() {
    let set = ProcedureSet::builtin();
    assert_eq!(set.hash(), blake3::hash(access::BUILTIN_PROCEDURES.as_bytes()).as_bytes());
}

#[test]
fn the_relations_are_those_of_the_contracts() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/hub/contract/v1/options.proto");
    let text = std::fs::read_to_string(path).expect("the workspace has the options file");
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("RELATION_TYPE_")?.split_once(" = "));
    let names: Vec<String> = names.map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
    assert_eq!(names[0], "unspecified");
    assert_eq!(names[1..], access::RELATIONS);
}

#[test]
fn the_registers_that_the_contracts_have_are_listed_with_their_titles() {
    let set = ProcedureSet::builtin();
    for register in ["civil", "land", "health", "population"] {
        let listed = set.register(register).unwrap_or_else(|| panic!("{register} is listed"));
        assert!(!listed.title.vi.is_empty() && !listed.agency.is_empty());
    }
}
