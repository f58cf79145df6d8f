//! Who may do what: the built-in policy, and policies that must be refused.

mod common;

use access::{
    BUILTIN_POLICY, HubAction, Listing, PolicyDocument, PolicyError, Query, Refusal, Request, RowFacts, RowLimit,
};
use common::*;

#[test]
fn a_portal_gets_exactly_the_fields_that_it_asked_for() {
    let access = access();
    let permit = access
        .permit(&read(NATIONAL, MARRIAGE, "person", &["person.full_name", "marital_status"]))
        .expect("both are in the procedure and of a granted class");
    assert_eq!(permit.fields().collect::<Vec<_>>(), ["person.full_name", "person.marital_status"]);
    assert_eq!(permit.own_names().collect::<Vec<_>>(), ["full_name", "marital_status"]);
    assert!(permit.releases("person.full_name") && permit.releases("full_name"));
    assert!(!permit.releases("person.birth_date") && !permit.releases("parcel.full_name"));
    assert_eq!((permit.caller(), permit.procedure(), permit.case()), (NATIONAL, MARRIAGE, "H29-2026-000123"));
    assert_eq!(permit.agency(), "national-portal");
    assert_eq!(permit.policy_hash().as_bytes(), blake3::hash(BUILTIN_POLICY.as_bytes()).as_bytes());
    assert_eq!(permit.rows(), &RowLimit::None);
}

#[test]
fn each_refusal_has_its_own_code() {
    let access = access();
    let name: &[&str] = &["person.full_name"];
    let base = read(NATIONAL, MARRIAGE, "person", name);
    let long = "x".repeat(129);
    let cases: [(Request<'_>, &str); 15] = [
        (Request { procedure: "", ..base }, "purpose_missing"),
        (Request { case: "", ..base }, "purpose_missing"),
        (Request { case: "  ", ..base }, "purpose_missing"),
        (Request { case: &long, ..base }, "case_malformed"),
        (Request { case: "a\nb", ..base }, "case_malformed"),
        (Request { fields: &[], ..base }, "fields_missing"),
        (Request { caller: "spiffe://hub.test/portal/unknown", ..base }, "caller_unknown"),
        (Request { caller: "spiffe://hub.test/portal/commune-1", ..base }, "caller_unknown"),
        (Request { procedure: "9.999999", ..base }, "procedure_unknown"),
        (Request { kind: "vehicle", ..base }, "kind_unknown"),
        (Request { fields: &["person.nickname"], ..base }, "field_unknown"),
        (Request { fields: &["parcel.area"], ..base }, "field_unknown"),
        (Request { fields: &["person.phone"], ..base }, "field_not_in_procedure"),
        (Request { fields: &["person.ethnicity"], ..base }, "sensitivity_not_granted"),
        (Request { caller: OPS, ..base }, "procedure_not_granted"),
    ];
    for (request, code) in cases {
        let refusal = access.permit(&request).expect_err(code);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(!refusal.to_string().is_empty());
    }
}

#[test]
fn refused_fields_are_named_and_nothing_is_dropped_in_silence() {
    let access = access();
    let fields = ["person.full_name", "person.ethnicity", "person.phone", "person.religion"];
    let refusal = access.permit(&read(NATIONAL, MARRIAGE, "person", &fields)).expect_err("two are not needed");
    let named: Vec<&str> = refusal.fields().iter().map(|field| field.as_str()).collect();
    assert_eq!(named, ["person.phone", "person.religion"]);
    let refusal = access.permit(&read(NATIONAL, MARRIAGE, "person", &fields[..2])).expect_err("one is sensitive");
    let named: Vec<&str> = refusal.fields().iter().map(|field| field.as_str()).collect();
    assert_eq!((named, refusal.code()), (vec!["person.ethnicity"], "sensitivity_not_granted"));
}

#[test]
fn a_refusal_repeats_no_value_sent_as_a_name() {
    let access = access();
    let secrets = ["099300001234", "Nguyễn Văn An"];
    let refusal = access.permit(&read(NATIONAL, MARRIAGE, "person", &secrets)).expect_err("no such fields");
    let shown = format!("{refusal} {refusal:?}");
    assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    let refusal = access.permit(&read(NATIONAL, secrets[0], "person", &["full_name"])).expect_err("no procedure");
    assert!(!format!("{refusal} {refusal:?}").contains(secrets[0]));
}

#[test]
fn a_commune_portal_sees_its_commune_only() {
    let access = access();
    let permit = access.permit(&read(COMMUNE, MARRIAGE, "person", &["person.full_name"])).expect("its own procedure");
    let rows = permit.rows();
    assert!(rows.covers(RowFacts { communes: &["00004", "07954"], cases: &[] }));
    assert!(!rows.covers(RowFacts { communes: &["00004"], cases: &[] }));
    assert!(!rows.covers(RowFacts::default()), "a subject of no known commune is in nobody's commune");
    let refusal = rows.require(RowFacts { communes: &["00004"], cases: &[] }).expect_err("another commune");
    assert_eq!(refusal.code(), "row_outside_scope");
}

#[test]
fn a_case_grant_sees_the_parties_of_its_case_only() {
    let policy = BUILTIN_POLICY.replace("rows = \"all\"", "rows = \"case\"");
    let access = access_with(&policy);
    let permit = access.permit(&read(NATIONAL, MARRIAGE, "person", &["person.full_name"])).expect("granted");
    assert!(permit.rows().covers(RowFacts { communes: &[], cases: &["H29-2026-000123"] }));
    assert!(!permit.rows().covers(RowFacts { communes: &["07954"], cases: &["H29-2026-000124"] }));
}

#[test]
fn a_kind_that_the_procedure_has_no_role_for_is_refused_by_its_fields() {
    let refusal = access().permit(&read(NATIONAL, MARRIAGE, "parcel", &["parcel.area"])).expect_err("no parcel here");
    assert_eq!(refusal.code(), "field_not_in_procedure");
    access().permit(&read(NATIONAL, TRANSFER, "parcel", &["parcel.area"])).expect("a transfer has a parcel");
}

#[test]
fn a_kind_or_procedure_outside_the_grant_is_refused() {
    let policy = BUILTIN_POLICY.replacen(
        "procedures = [\"*\"]\nkinds = [\"person\", \"parcel\"]",
        "procedures = [\"1.115668\"]\nkinds = [\"person\"]",
        1,
    );
    let access = access_with(&policy);
    let code = |request: &Request<'_>| access.permit(request).expect_err("outside the grant").code();
    assert_eq!(code(&read(NATIONAL, MARRIAGE, "person", &["full_name"])), "procedure_not_granted");
    assert_eq!(code(&read(NATIONAL, TRANSFER, "parcel", &["area"])), "kind_not_granted");
    access.permit(&read(NATIONAL, TRANSFER, "person", &["full_name"])).expect("what the grant says");
}

#[test]
fn a_check_reads_what_its_items_need_and_releases_values_by_class() {
    let access = access();
    let permit = access.permit_check(NATIONAL, "hub.driving-licence-renewal", "case-1").expect("served");
    let person = permit.for_kind("person").expect("the driver is a person");
    assert!(person.permit().releases("person.driver_health"), "its state is judged");
    assert!(!permit.releases_value("person.driver_health"), "its value is of a class that is not granted");
    assert!(permit.releases_value("person.residence"));
    assert!(!permit.releases_value("person.phone") && !permit.releases_value("nothing"));
    assert!(permit.for_kind("parcel").is_none());
    let refusal = access.permit_check(NATIONAL, MARRIAGE, "").expect_err("no case");
    assert_eq!(refusal.code(), "purpose_missing");
    assert_eq!(access.permit_check(CIVIL, MARRIAGE, "c").expect_err("a register").code(), "procedure_not_granted");
}

#[test]
fn a_search_shows_only_what_its_procedure_needs() {
    let access = access();
    let permit = access.permit_search(NATIONAL, MARRIAGE, "case-1", "person").expect("a portal that may search");
    let shown: Vec<&str> = permit.own_names().collect();
    assert_eq!(shown, ["birth_date", "full_name", "personal_id", "residence_unit", "sex"]);
    assert_eq!(permit.query(), Query::Search);
    let refusal = access.permit_search(NATIONAL, MARRIAGE, "case-1", "parcel").expect_err("nothing to show");
    assert_eq!(refusal.code(), "action_not_granted");
    assert_eq!(access.permit_search(NATIONAL, MARRIAGE, "", "person").expect_err("no case").code(), "purpose_missing");
}

#[test]
fn listings_and_hub_actions_go_by_role() {
    let access = access();
    access.permit_listing(AUDITOR, Listing::Any).expect("auditors list anybody's");
    access.permit_listing(NATIONAL, Listing::Own).expect("a person's own, by the portal that knows them");
    for (caller, listing) in [(NATIONAL, Listing::Any), (COMMUNE, Listing::Own), (CIVIL, Listing::Any)] {
        assert_eq!(access.permit_listing(caller, listing).expect_err("no role").code(), "action_not_granted");
    }
    let admin = [
        HubAction::ContractsRegister,
        HubAction::UnitsImport,
        HubAction::Redrive,
        HubAction::Policies,
        HubAction::VerifyViews,
        HubAction::Audit,
        HubAction::Erase,
        HubAction::ApproveErasure,
        HubAction::Keys,
    ];
    for action in admin {
        assert_eq!(access.permit_hub(OPS, action).expect("an operator").action(), action.action());
        assert_eq!(access.permit_hub(NATIONAL, action).expect_err("a portal").code(), "action_not_granted");
        assert_eq!(access.permit_hub(CIVIL, action).expect_err("a register").code(), "action_not_granted");
        let proves = matches!(action, HubAction::VerifyViews | HubAction::Audit | HubAction::ApproveErasure);
        assert_eq!(
            access.permit_hub(AUDITOR, action).is_ok(),
            proves,
            "an auditor proves and approves, and orders nothing: {action:?}"
        );
    }
    for action in [HubAction::GetStatus, HubAction::GetQuality] {
        for caller in [OPS, NATIONAL, CIVIL, AUDITOR] {
            access.permit_hub(caller, action).expect("they monitor");
        }
        assert_eq!(access.permit_hub(COMMUNE, action).expect_err("no role").code(), "action_not_granted");
    }
    assert_eq!(
        access.permit_hub("spiffe://evil/x", HubAction::GetStatus).expect_err("unknown"),
        Refusal::CallerUnknown
    );
}

#[test]
fn a_register_publishes_to_itself_only() {
    let access = access();
    for _ in 0..2 {
        access.may_write(CIVIL, "civil", "birth").expect("its own");
        access.may_write(CIVIL, "civil", "a_type_of_a_later_contract").expect("its own");
        for (caller, register) in
            [(CIVIL, "land"), (NATIONAL, "civil"), (OPS, "civil"), (CIVIL, "civil/x"), (CIVIL, "")]
        {
            let refusal = access.may_write(caller, register, "birth").expect_err("not its register");
            assert_eq!(refusal.code(), "publish_not_granted");
        }
        assert_eq!(
            access.may_write("spiffe://other.test/register/civil", "civil", "birth"),
            Err(Refusal::CallerUnknown)
        );
    }
}

#[test]
fn a_publisher_may_be_limited_to_record_types() {
    let policy = BUILTIN_POLICY.replace(
        "publish = [{ register = \"land\" }]",
        "publish = [{ register = \"land\", record_types = [\"parcel\"] }]",
    );
    let access = access_with(&policy);
    let land = "spiffe://hub.test/register/land";
    access.may_write(land, "land", "parcel").expect("listed");
    assert_eq!(access.may_write(land, "land", "right").expect_err("not listed").code(), "publish_not_granted");
}

#[test]
fn who_publishes_part_of_a_register_publishes_to_it() {
    let policy = BUILTIN_POLICY.replace(
        "publish = [{ register = \"land\" }]",
        "publish = [{ register = \"land\", record_types = [\"parcel\"] }]",
    );
    let access = access_with(&policy);
    access.publishes_to("spiffe://hub.test/register/land", "land").expect("a part of it");
    access.publishes_to(CIVIL, "civil").expect("all of it");
    for (caller, register) in [(CIVIL, "land"), (NATIONAL, "civil"), (OPS, "land")] {
        assert_eq!(access.publishes_to(caller, register).expect_err("not its register").code(), "publish_not_granted");
    }
}

#[test]
fn the_policy_hash_shows_as_hexadecimal() {
    let shown = access().policy_hash().to_string();
    assert_eq!(shown, blake3::hash(BUILTIN_POLICY.as_bytes()).to_hex().as_str());
}

#[test]
fn more_publish_questions_than_the_cache_holds_change_no_answer() {
    let access = access();
    for i in 0..600 {
        assert!(access.may_write(CIVIL, "land", &format!("t{i}")).is_err());
    }
    access.may_write(CIVIL, "civil", "birth").expect("still its own");
    assert!(access.may_write(CIVIL, "land", "t599").is_err());
}

#[test]
fn names_of_any_length_are_refused_alike() {
    let access = access();
    let long = "x".repeat(1 << 20);
    for (register, record_type) in [("civil", long.as_str()), (&long, "birth"), (&long, &long)] {
        assert_eq!(access.may_write(CIVIL, register, record_type).expect_err("too long").code(), "publish_not_granted");
    }
}

#[test]
fn a_policy_that_cannot_be_evaluated_refuses() {
    let overflow =
        "forbid (principal, action == Action::\"get_status\", resource) when { 9223372036854775807 + 1 > 0 };";
    let access = access_with(&BUILTIN_POLICY.replacen("permit (", &format!("{overflow}\npermit ("), 1));
    let refusal = access.permit_hub(OPS, HubAction::GetStatus).expect_err("the forbid cannot be evaluated");
    assert_eq!(refusal, Refusal::PolicyFailed);
    access.permit_hub(OPS, HubAction::GetQuality).expect("another action is not concerned");
}

#[test]
fn a_forbid_without_a_reason_code_is_a_plain_refusal() {
    let forbid = "forbid (principal, action == Action::\"get_subject\", resource == Field::\"person.birth_date\");";
    let access = access_with(&BUILTIN_POLICY.replacen("permit (", &format!("{forbid}\npermit ("), 1));
    access.permit(&read(NATIONAL, MARRIAGE, "person", &["full_name"])).expect("not concerned");
    let refusal =
        access.permit(&read(NATIONAL, MARRIAGE, "person", &["full_name", "birth_date"])).expect_err("forbidden");
    assert_eq!(refusal.fields().iter().map(|field| field.as_str()).collect::<Vec<_>>(), ["person.birth_date"]);
}

fn refused(from: &str, to: &str) -> PolicyError {
    assert!(BUILTIN_POLICY.contains(from), "{from} is in the document");
    PolicyDocument::parse(BUILTIN_POLICY.replace(from, to).as_bytes()).expect_err("the changed document is refused")
}

#[test]
fn a_policy_document_with_a_fault_is_refused_whole() {
    assert!(matches!(refused("version = 1", "version = 7"), PolicyError::Version { found: 7 }));
    assert!(matches!(refused("principal.classes", "principal.clases"), PolicyError::Cedar { .. }));
    assert!(matches!(refused("Action::\"publish\"", "Action::\"publsh\""), PolicyError::Cedar { .. }));
    assert!(matches!(refused("permit (principal in", "permit (principal on"), PolicyError::Cedar { .. }));
    assert!(matches!(refused("@reason(\"kind_not_granted\")", "@reason(\"because\")"), PolicyError::Reason { .. }));
    assert!(matches!(refused("rows = \"all\"\n", ""), PolicyError::Grant { .. }));
    assert!(matches!(refused("rows = \"commune\"", "rows = \"all\""), PolicyError::Grant { .. }));
    assert!(matches!(refused("\"identifier\"]", "\"identifers\"]"), PolicyError::Grant { .. }));
    assert!(matches!(refused("register/land\"", "register/civil\""), PolicyError::Grant { .. }));
    assert!(matches!(refused("spiffe://hub.test/auditor", "https://hub.test/auditor"), PolicyError::Grant { .. }));
    assert!(matches!(refused("agency = \"moj\"", "agenci = \"moj\""), PolicyError::Toml(_)));
    let many = "permit (principal in Role::\"x\", action == Action::\"search\", resource);\n".repeat(20);
    assert!(matches!(refused("\n@reason(\"kind", &format!("\n{many}@reason(\"kind")), PolicyError::TooManyPolicies));
}

#[test]
fn the_same_document_has_the_same_hash_and_another_has_another() {
    let hash = |text: &str| *PolicyDocument::parse(text.as_bytes()).expect("valid").hash();
    assert_eq!(hash(BUILTIN_POLICY), hash(BUILTIN_POLICY));
    assert_ne!(hash(BUILTIN_POLICY), hash(&BUILTIN_POLICY.replace("# Policies", "# The policies")));
}
