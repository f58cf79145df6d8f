//! What counts as breaking, by example: the civil contract with some of its text replaced.

use crate::samples;
use contract::{Contract, compat};

const CIVIL: &str = "hub/register/civil/v1/civil.proto";

/// Rules that a replacement breaks, each once, by name.
fn broken(replacements: &[(&str, &str)]) -> Vec<&'static str> {
    let old = Contract::compile(&samples::compile_file(CIVIL, &[])).expect("the old contract");
    let new = Contract::compile(&samples::compile_file(CIVIL, replacements)).expect("the new contract");
    let mut rules: Vec<_> = compat(&old, &new).into_iter().map(|breaking| breaking.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn each_incompatible_change_is_named_by_its_rule() {
    let purpose = "  string purpose = 6 [\n    (buf.validate.field).string.max_len = 500,\n    (hub.contract.v1.field).sufficient = true\n  ];";
    let cases = [
        (
            vec![(
                "string death_time = 12 [(buf.validate.field).string.pattern = \"^$|^([01]?[0-9]|2[0-3]):[0-5][0-9]$\"];",
                "",
            )],
            vec!["FIELD_NO_DELETE"],
        ),
        (vec![(purpose, "  string purpose = 16;")], vec!["FIELD_NO_DELETE"]),
        (vec![(purpose, "  string aim = 6;")], vec!["FIELD_SAME_JSON_NAME", "FIELD_SAME_NAME"]),
        (vec![(purpose, "  bytes purpose = 6;")], vec!["FIELD_SAME_TYPE"]),
        (vec![(purpose, "  repeated string purpose = 6;")], vec!["FIELD_SAME_CARDINALITY"]),
        (vec![(purpose, "  optional string purpose = 6;")], vec!["FIELD_SAME_CARDINALITY"]),
        (
            vec![(purpose, "  oneof why {\n string purpose = 6;\n }")],
            vec!["FIELD_SAME_CARDINALITY", "FIELD_SAME_ONEOF"],
        ),
        (
            vec![("message DeathNotice", "message Notice"), ("  DeathNotice notice", "  Notice notice")],
            vec!["FIELD_SAME_TYPE", "MESSAGE_NO_DELETE"],
        ),
        (vec![("name: \"marriage\"", "name: \"wedding\"")], vec!["HUB_RECORD_TYPE_NO_DELETE"]),
        (vec![("name: \"civil\"", "name: \"civil_status\"")], vec!["HUB_REGISTER_SAME_NAME"]),
        (vec![("agency: \"G15\"", "agency: \"G16\"")], vec!["HUB_REGISTER_SAME_AGENCY"]),
        (
            vec![("role: \"deceased\"\n      number: 1", "role: \"deceased\"\n      number: 9")],
            vec!["HUB_MENTION_SAME_NUMBER"],
        ),
        (vec![("role: \"deceased\"", "role: \"dead\"")], vec!["HUB_MENTION_NO_DELETE"]),
        (vec![("    (hub.contract.v1.field).identifies = FEATURE_UNIT,\n", "")], vec!["HUB_IDENTIFIES_SAME"]),
        (vec![("    (hub.contract.v1.field).asserts = \"person.death_place\",\n", "")], vec!["HUB_ASSERT_NO_DELETE"]),
        (vec![("male: [\"Nam\"]", "male: [\"Trai\"]")], vec!["HUB_SAME_SEX_CODING"]),
        (vec![("        to: \"father\"", "        to: \"mother\"")], vec!["HUB_RELATION_NO_DELETE"]),
    ];
    for (replacements, rules) in cases {
        assert_eq!(broken(&replacements), rules, "{replacements:?}");
    }
}

#[test]
fn additions_and_other_rules_are_compatible() {
    assert_eq!(broken(&[]), [""; 0]);
    let added = ("message FieldChange {", "message FieldChange {\n  string reason = 4;\n");
    assert_eq!(broken(&[added]), [""; 0]);
    let stricter = (
        "string death_place = 13 [\n    (buf.validate.field).string.max_len = 500",
        "string death_place = 13 [\n    (buf.validate.field).string.max_len = 400",
    );
    assert_eq!(broken(&[stricter]), [""; 0]);
}

#[test]
fn enum_values_may_come_but_not_go() {
    let text = |values: &str| {
        format!(
            "syntax = \"proto3\"; package x.v1; import \"hub/contract/v1/options.proto\";
             option (hub.contract.v1.register) = {{name: \"x\" agency: \"A\" freshness_seconds: 60}};
             message R {{
               option (hub.contract.v1.record_type) = {{name: \"r\" mention: {{kind: \"person\" role: \"p\" number: 1}}}};
               string name = 1 [(hub.contract.v1.field).identifies = FEATURE_FULL_NAME];
               E e = 2;
             }}
             enum E {{ E_UNSPECIFIED = 0; {values} }}"
        )
    };
    let contract = |values: &str| {
        Contract::compile(&samples::compile_text("x/v1/x.proto", &text(values))).expect("the contract compiles")
    };
    let rules = |old: &str, new: &str| {
        compat(&contract(old), &contract(new)).into_iter().map(|breaking| breaking.rule).collect::<Vec<_>>()
    };
    assert_eq!(rules("E_A = 1;", "E_A = 1; E_B = 2;"), [""; 0]);
    assert_eq!(rules("E_A = 1; E_B = 2;", "E_A = 1;"), ["ENUM_VALUE_NO_DELETE"]);
    assert_eq!(rules("E_A = 1;", "E_B = 1;"), ["ENUM_VALUE_SAME_NAME"]);
}

#[test]
fn breaking_names_file_and_path() {
    let old = samples::contract("civil");
    let renamed = samples::compile_file(CIVIL, &[("string death_cause = 14", "string death_reason = 14")]);
    let breaking = compat(&old, &Contract::compile(&renamed).expect("the new contract"));
    let name = breaking.iter().find(|found| found.rule == "FIELD_SAME_NAME").expect("the renamed field");
    assert_eq!(name.file, CIVIL);
    assert_eq!(name.path, "hub.register.civil.v1.Deceased.death_cause");
    assert_eq!(name.message, "name death_cause became death_reason");
}
