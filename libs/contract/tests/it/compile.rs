//! What makes a descriptor set a contract, and what a new register brings at run time.

use crate::samples;
use contract::{Contract, ContractError, RelationType, builtin, export};

const POPULATION: &str = "hub/register/population/v1/population.proto";
const CIVIL: &str = "hub/register/civil/v1/civil.proto";

#[test]
fn built_in_contracts_compile_and_population_is_not_among_them() {
    let registers: Vec<_> = builtin().iter().map(|found| found.register).collect();
    assert_eq!(registers, ["civil", "land", "health"]);
    for found in builtin() {
        let contract = Contract::compile(found.descriptor_set).expect("a built-in contract compiles");
        assert_eq!(contract.register(), found.register);
        for record_type in contract.record_types() {
            assert!(record_type.freshness_seconds() > 0);
            assert!(!record_type.roles().is_empty(), "{}", record_type.name());
        }
    }
    assert!(export().iter().all(|(path, _)| !path.contains("population")));
}

#[test]
fn exported_texts_are_all_that_a_publisher_needs() {
    let paths: Vec<_> = export().iter().map(|(path, _)| *path).collect();
    for needed in ["buf/validate/validate.proto", "hub/contract/v1/options.proto", "hub/type/v1/types.proto", CIVIL] {
        assert!(paths.contains(&needed), "{needed}");
    }
    // compile_file resolves imports from the exported texts alone.
    Contract::compile(&samples::compile_file(CIVIL, &[])).expect("the exported texts compile");
}

#[test]
fn population_works_from_a_descriptor_set_at_run_time() {
    let population = Contract::compile(&samples::compile_file(POPULATION, &[])).expect("the contract compiles");
    let types: Vec<_> = population.record_types().iter().map(|found| found.name()).collect();
    assert_eq!(types, ["household", "identity_card", "residence"]);

    let body = samples::body(&population, "residence", &samples::residence());
    let facts = population.facts("residence", &body).expect("facts");
    assert_eq!(facts.mentions.len(), 2);
    assert_eq!(facts.mentions[0].ident.personal_id, Some("099190000025"));
    assert_eq!(facts.mentions[0].ident.retired_personal_ids.as_slice(), ["099190000017"]);
    assert_eq!(facts.mentions[1].ident.parcel_id, Some("w7er8u0evss2"));
    assert_eq!(facts.relations[0].relation, RelationType::ResidentOf);
    assert_eq!(facts.unit.map(|unit| unit.code), Some("00004"));

    let body = samples::body(&population, "household", &samples::household());
    let facts = population.facts("household", &body).expect("facts");
    let relations: Vec<_> = facts.relations.iter().map(|r| (r.relation, r.from, r.to)).collect();
    assert_eq!(relations, [(RelationType::SpouseOf, 1, 0), (RelationType::ChildOf, 2, 0)]);
    assert!(facts.mentions.iter().all(|mention| mention.ident.unit.is_some()), "the household's commune is carried");
}

#[test]
fn identity_ignores_comments_and_bundling_but_not_meaning() {
    let id = |replacements: &[(&str, &str)]| {
        Contract::compile(&samples::compile_file(CIVIL, replacements)).expect("the contract compiles").id()
    };
    let plain = id(&[]);
    let built_in = Contract::compile(builtin()[0].descriptor_set).expect("the built-in contract compiles").id();
    assert_eq!(plain, built_in);
    assert_eq!(plain, id(&[("// Registration of a birth", "// Another comment")]));
    assert_ne!(plain, id(&[("max_len = 16", "max_len = 17")]));
}

#[test]
fn promise_begins_on_a_day_and_covers_everything_without_one() {
    let start = |stated: &str| {
        let set = samples::compile_file(CIVIL, &[("fresh_from: \"2024-01-01\"", stated)]);
        Contract::compile(&set).map(|contract| contract.record_type("birth").expect("a record type").fresh_from_us())
    };
    assert_eq!(start("fresh_from: \"2024-01-01\"").ok(), Some(1_704_067_200_000_000));
    assert_eq!(start("").ok(), Some(i64::MIN));
    for no_day in ["2024", "2024-02-30", "soon"] {
        let refused = start(&format!("fresh_from: \"{no_day}\"")).expect_err("no day");
        assert!(refused.to_string().contains("fresh_from"), "{refused}");
    }
}

/// A register with one record type whose body is this text.
fn register(fields: &str) -> String {
    format!(
        "syntax = \"proto3\"; package x.v1; import \"hub/contract/v1/options.proto\";
         import \"buf/validate/validate.proto\"; import \"hub/type/v1/types.proto\";
         option (hub.contract.v1.register) = {{name: \"x\" agency: \"A\" freshness_seconds: 60}};
         message R {{
           option (hub.contract.v1.record_type) = {{name: \"r\" mention: {{kind: \"person\" role: \"p\" number: 1}}}};
           {fields}
         }}"
    )
}

fn error(text: &str) -> String {
    let set = samples::compile_text("x/v1/x.proto", text);
    let error = Contract::compile(&set).expect_err("no contract");
    assert!(!matches!(error, ContractError::Schema(_)), "{error:?}");
    error.to_string()
}

const NAME: &str = "string name = 1 [(hub.contract.v1.field).identifies = FEATURE_FULL_NAME];";

#[test]
fn each_wrong_option_is_refused_with_its_place_and_what_to_do() {
    let cases = [
        ("string name = 1;", "role \"p\" has no field that identifies"),
        (
            "string name = 1 [(hub.contract.v1.field).identifies = FEATURE_BIRTH_DATE];",
            "field name: FEATURE_BIRTH_DATE does not fit",
        ),
        ("string name = 1 [(hub.contract.v1.field).identifies = FEATURE_PARCEL_ID];", "does not identify a Person"),
        ("double name = 1 [(hub.contract.v1.field).identifies = FEATURE_FULL_NAME];", "reads no value from this type"),
        (
            "string name = 1 [(hub.contract.v1.field).asserts = \"person.shoe_size\"];",
            "no attribute of this mention's kind",
        ),
        ("string name = 1 [(hub.contract.v1.field).asserts = \"person.birth_date\"];", "the field does not give one"),
        (
            "string name = 1 [(hub.contract.v1.field).mention = {kind: \"person\" role: \"q\" number: 2}];",
            "only a sub-message can be a mention",
        ),
        ("string unit = 1 [(hub.contract.v1.field).record_unit = true];", "record_unit needs a unit"),
        ("string died = 1 [(hub.contract.v1.field).not_before = \"born\"];", "is no field of the same message"),
        (
            "S s = 1 [(hub.contract.v1.field).mention = {kind: \"ship\" role: \"q\" number: 2}]; message S { string n = 1; }",
            "there is no kind \"ship\"",
        ),
        (
            "S s = 1 [(hub.contract.v1.field).mention = {kind: \"person\" role: \"q\"}]; message S { string n = 1; }",
            "number must be 1 to 255",
        ),
        (
            "S s = 1 [(hub.contract.v1.field).mention = {kind: \"person\" role: \"p\" number: 2}]; message S { string n = 1; }",
            "used twice",
        ),
        (
            "S s = 1 [(hub.contract.v1.field).asserts = \"person.full_name\"]; message S { string n = 1; }",
            "a sub-message neither identifies nor asserts",
        ),
        (
            "map<string, string> m = 1 [(hub.contract.v1.field).asserts = \"person.full_name\"];",
            "reads nothing from a map",
        ),
        (
            "R again = 1 [(hub.contract.v1.field).mention = {kind: \"person\" role: \"q\" number: 2}];",
            "cannot contain itself",
        ),
    ];
    for (fields, wanted) in cases {
        let message = error(&register(fields));
        assert!(message.contains(wanted), "{fields}: {message}");
        assert!(message.starts_with("x/v1/x.proto: message x.v1."), "{message}");
    }
}

#[test]
fn sets_that_are_no_contract_are_refused() {
    let set = |text: &str| samples::compile_text("x/v1/x.proto", text);
    let compile = |text: &str| Contract::compile(&set(text)).expect_err("no contract");
    assert!(matches!(Contract::compile(b"\xff\xff"), Err(ContractError::Schema(_))));
    assert!(matches!(Contract::compile(&vec![0; 5 << 20]), Err(ContractError::TooLarge { .. })));
    assert!(matches!(compile("syntax = \"proto3\"; message M {}"), ContractError::NoRegister));
    let head = "syntax = \"proto3\"; import \"hub/contract/v1/options.proto\";";
    let stated = |register: &str| format!("{head} option (hub.contract.v1.register) = {{{register}}}; message M {{}}");
    assert!(matches!(compile(&stated("name: \"x\" agency: \"A\"")), ContractError::NoRecordTypes { .. }));
    assert!(matches!(compile(&stated("name: \"X y\" agency: \"A\"")), ContractError::Register { .. }));
    assert!(matches!(compile(&stated("name: \"x\"")), ContractError::Register { .. }));
    let two = register(NAME).replace("package x.v1;", &format!("package x.v1; import \"{CIVIL}\";"));
    assert!(matches!(compile(&two), ContractError::SeveralRegisters { .. }));
}

#[test]
fn rules_that_do_not_compile_are_refused() {
    let broken = register(&format!(
        "option (buf.validate.message).cel = {{id: \"x\" message: \"m\" expression: \"this.nmae == ''\"}}; {NAME}"
    ));
    assert!(error(&broken).contains("message x.v1.R: its rules do not compile"));
}

#[test]
fn a_message_inside_itself_says_nothing_and_does_no_harm() {
    let text = register(&format!("{NAME} R again = 2; repeated R more = 3;"));
    let contract = Contract::compile(&samples::compile_text("x/v1/x.proto", &text)).expect("the contract compiles");
    let body = samples::body(&contract, "r", &serde_json::json!({"name": "A", "again": {"name": "B"}}));
    assert_eq!(contract.facts("r", &body).expect("facts").mentions.len(), 1);
}

#[test]
fn bare_unit_codes_and_split_names_are_read() {
    let text = register(
        "string family = 1 [(hub.contract.v1.field).identifies = FEATURE_FAMILY_NAME];
         string middle = 2 [(hub.contract.v1.field).identifies = FEATURE_MIDDLE_NAME];
         string given = 3 [(hub.contract.v1.field).identifies = FEATURE_GIVEN_NAME];
         string commune = 4 [(hub.contract.v1.field).identifies = FEATURE_UNIT,
                             (hub.contract.v1.field).unit_list_version = \"2025-07-01\",
                             (hub.contract.v1.field).record_unit = true];",
    );
    let contract = Contract::compile(&samples::compile_text("x/v1/x.proto", &text)).expect("the contract compiles");
    let sample = serde_json::json!({"family": "Nguyễn", "given": "An", "commune": "00004"});
    let body = samples::body(&contract, "r", &sample);
    let facts = contract.facts("r", &body).expect("facts");
    assert_eq!(facts.mentions[0].ident.full_name.as_deref(), Some("Nguyễn An"));
    assert_eq!(facts.unit.map(|unit| (unit.code, unit.list_version)), Some(("00004", "2025-07-01")));
}
