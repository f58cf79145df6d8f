//! Questions through real parts: entries on an embedded log, the running fold, the access log, and the service itself.

mod question;
mod support;

use std::time::Duration;

use question::{
    AUDITOR, CIVIL, COMMUNE, Hub, NATIONAL, Record, attribute, by_personal_id, purpose, reason, subject_of, text,
};
use record::Positions;
use serde_json::json;
use tokio::sync::watch;
use tonic::Code;
use tonic_types::StatusExt as _;
use wire::query::get_subject_response::Result as Found;
use wire::query::query_service_server::QueryService as _;
use wire::query::subject_key::Key;
use wire::query::{
    CadastralKey, CheckProcedureRequest, ExplainLinkRequest, GetQualityRequest, GetStatusRequest, GetSubjectRequest,
    ItemState, ListAccessesRequest, MinPosition, NameBirth, NameCommune, ParcelSheet, SearchRequest, SubjectKey,
    search_request,
};

const BIRTH_REGISTRATION: &str = "1.001193";
const LAND_TRANSFER: &str = "1.115668";
const ID: &str = "099190000025";

fn key(key: Key) -> Option<SubjectKey> {
    Some(SubjectKey { key: Some(key) })
}

fn residence(id: &str, birth: &str, unit: (&str, &str)) -> serde_json::Value {
    json!({
        "full_name": "Trần Thị Bình", "personal_id": id, "birth_date": birth, "sex": "Nữ", "nationality": "Việt Nam",
        "ethnicity": "Kinh", "hometown": "Xã Mẫu", "permanent_address": "Phường Mẫu",
        "permanent_unit": {"code": unit.0, "list_version": unit.1}, "household_no": "HS-1",
        "marital_status": "married", "previous_personal_ids": ["099190000017"],
    })
}

/// Personal ids of which none is another one mistyped.
fn far_apart(n: u32) -> String {
    format!("099190{:06}", (n + 1) * 98_765 % 1_000_000)
}

fn card(id: &str, birth: &str) -> serde_json::Value {
    json!({
        "full_name": "Trần Thị Bình", "personal_id": id, "birth_date": birth, "sex": 2,
        "residence_unit": {"code": "00004", "list_version": "new"}, "card_no": "DN4010123456789",
        "insurance_no": "0123456789", "valid_from": "20250101", "valid_until": "20251231", "insurance_group": "DN",
        "first_facility": "01001", "address": "Phường Mẫu", "phone": "0900000000",
    })
}

async fn hub_with_residence() -> Hub {
    let hub = Hub::start().await;
    let record = Record::new("population", "residence", "P-1").with(residence(ID, "1990-08-07", ("00004", "new")));
    hub.state(&[record]).await;
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_under_a_retired_id_and_under_the_id_of_a_subject_that_has_moved() {
    let hub = Hub::start().await;
    hub.state(&[Record::new("health", "insurance_card", "H-1").with(card(ID, "19900807"))]).await;
    let before = subject_of(hub.get(NATIONAL, by_personal_id(ID, &["full_name"])).await);
    assert_eq!((before.records, before.moved), (1, false));
    let record = Record::new("population", "residence", "P-1").with(residence(ID, "1990-08-07", ("00004", "new")));
    hub.state(&[record]).await;

    let now = subject_of(hub.get(NATIONAL, by_personal_id("099190000017", &["full_name", "personal_id"])).await);
    assert_eq!(now.records, 2);
    assert_eq!(text(&attribute(&now, "personal_id").value), ID);
    assert_ne!(now.id, before.id);
    let moved = GetSubjectRequest { key: key(Key::Subject(before.id.clone())), ..by_personal_id(ID, &["full_name"]) };
    let moved = subject_of(hub.get(NATIONAL, moved).await);
    assert_eq!((moved.id, moved.moved), (now.id, true));
    let by_card = GetSubjectRequest {
        key: key(Key::InsuranceNo("DN4010123456789".into())),
        ..by_personal_id(ID, &["full_name"])
    };
    assert!(!subject_of(hub.get(NATIONAL, by_card).await).moved);
    let nobody = hub.get(NATIONAL, by_personal_id("099190000099", &["full_name"])).await;
    assert!(matches!(nobody.result, Some(Found::NotFound(_))));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_two_people_is_a_typed_answer_with_both_subjects() {
    let hub = Hub::start().await;
    let person = |id: &str, name: &str, birth: &str| {
        let mut json = residence(id, birth, ("00004", "new"));
        json["full_name"] = name.into();
        json["old_id"] = "111222333".into();
        json["previous_personal_ids"] = json!([]);
        Record::new("population", "residence", &format!("P-{id}")).with(json)
    };
    hub.state(&[
        person("099190000025", "Trần Thị Bình", "1990-08-07"),
        person("099060000011", "Lê Văn Hùng", "1960-01-02"),
    ])
    .await;
    let request = GetSubjectRequest { key: key(Key::OldId("111222333".into())), ..by_personal_id(ID, &["full_name"]) };
    let Some(Found::Ambiguous(several)) = hub.get(NATIONAL, request).await.result else { panic!("not ambiguous") };
    assert_eq!(several.subjects.len(), 2);
    for id in several.subjects {
        let again = GetSubjectRequest { key: key(Key::Subject(id.clone())), ..by_personal_id(ID, &["full_name"]) };
        assert_eq!(subject_of(hub.get(NATIONAL, again).await).id, id);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_a_childs_record_shows_names_its_bearer_and_the_answer_says_so() {
    let hub = hub_with_residence().await;
    let holder = |id: &str, name: &str, birth: &str, sex: u8| {
        let mut json = card(ID, birth);
        (json["full_name"], json["sex"], json["phone"]) = (name.into(), sex.into(), "".into());
        (json["card_no"], json["insurance_no"]) = (format!("TE101{id}").into(), id.into());
        Record::new("health", "insurance_card", id).with(json)
    };
    hub.state(&[holder("0555555501", "Lê Văn Bé", "20200305", 1)]).await;
    let subject = subject_of(hub.get(NATIONAL, by_personal_id(ID, &["full_name"])).await);
    assert_eq!((text(&attribute(&subject, "full_name").value).as_str(), subject.records), ("Trần Thị Bình", 1));
    let finding = subject.findings.iter().find(|f| f.rule_id == "hub.number_of_another").expect("a finding");
    assert_eq!((finding.register.as_str(), finding.field_path.as_str()), ("health", "key"));
    assert_eq!(finding.group, "contradiction");
    let check = CheckProcedureRequest {
        purpose: purpose(BIRTH_REGISTRATION),
        roles: [("mother".to_owned(), SubjectKey { key: Some(Key::PersonalId(ID.into())) })].into(),
        ..CheckProcedureRequest::default()
    };
    let check = hub.query.check_procedure(hub.ask(NATIONAL, check)).await.expect("granted").into_inner();
    assert!(check.items.iter().all(|item| item.state() != ItemState::Ambiguous));
    assert_eq!(check.findings.len(), 1);
    assert_eq!(check.findings[0].field_path, "roles[mother]");

    // A third person of the same sex and year: nothing tells whose number it is.
    hub.state(&[holder("0777777702", "Phạm Ngọc Khuê", "19900101", 2)]).await;
    let several = hub.get(NATIONAL, by_personal_id(ID, &["full_name"])).await;
    let Some(Found::Ambiguous(several)) = several.result else { panic!("not ambiguous: {several:?}") };
    assert_eq!(several.subjects.len(), 3);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_a_reason_and_an_access_entry() {
    let hub = hub_with_residence().await;
    let good = by_personal_id(ID, &["full_name"]);
    let cases = [
        (NATIONAL, GetSubjectRequest { purpose: None, ..good.clone() }, Code::InvalidArgument, "purpose_missing"),
        (NATIONAL, GetSubjectRequest { fields: vec![], ..good.clone() }, Code::InvalidArgument, "fields_missing"),
        (NATIONAL, by_personal_id(ID, &["shoe_size"]), Code::InvalidArgument, "field_unknown"),
        (NATIONAL, by_personal_id(ID, &["diagnoses"]), Code::PermissionDenied, "field_not_in_procedure"),
        (NATIONAL, by_personal_id(ID, &["ethnicity"]), Code::PermissionDenied, "sensitivity_not_granted"),
        (NATIONAL, by_personal_id("12", &["full_name"]), Code::InvalidArgument, "key_malformed"),
        (NATIONAL, GetSubjectRequest { kind: "ship".into(), ..good.clone() }, Code::InvalidArgument, "kind_unknown"),
        (NATIONAL, GetSubjectRequest { key: None, ..good.clone() }, Code::InvalidArgument, "key_missing"),
        (CIVIL, good.clone(), Code::PermissionDenied, "procedure_not_granted"),
    ];
    for (caller, request, code, expected) in cases {
        let before = hub.accesses();
        let status = hub.query.get_subject(hub.ask(caller, request)).await.expect_err(expected);
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
        let after = hub.accesses();
        assert_eq!(after.len(), before.len() + 1, "{expected}");
        let refused = after.last().expect("one more");
        assert_eq!(refused.decision, record::access::Decision::Refused { code: expected.into() });
        assert!(refused.fields.is_empty());
    }
    let status = hub.query.get_status(hub.ask("spiffe://hub.test/nobody", GetStatusRequest {})).await;
    assert_eq!(status.expect_err("no grant").code(), Code::PermissionDenied);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_attribute_names_both_registers_and_every_value_its_source() {
    let hub = hub_with_residence().await;
    hub.state(&[Record::new("health", "insurance_card", "H-1").with(card(ID, "19900817"))]).await;
    let subject = subject_of(hub.get(NATIONAL, by_personal_id(ID, &["birth_date", "full_name"])).await);
    assert_eq!(subject.attributes.len(), 2, "what was not asked for does not leave");
    let birth = attribute(&subject, "birth_date");
    assert!(birth.disputed);
    let mut registers = birth.disputed_by.clone();
    registers.sort();
    assert_eq!(registers, ["health", "population"]);
    assert_eq!(birth.competing.len(), 1);
    let source = birth.value.as_ref().and_then(|v| v.source.as_ref()).expect("a source");
    assert!(source.position.starts_with("change/"), "{}", source.position);
    assert_eq!((source.version, source.record_type.is_empty()), (1, false));
    assert!(source.age.is_some() && source.published_at.is_some());
    assert!(!attribute(&subject, "full_name").disputed);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backdated_correction_holds_from_its_effective_time_once_it_is_known() {
    let hub = Hub::start().await;
    let first = Record::new("population", "residence", "P-1").with(residence(ID, "1990-08-07", ("00004", "new")));
    hub.state(&[first.clone().effective(hub.days_ago(100))]).await;
    hub.cut().await;
    let knew_one = hub.later().await;
    let corrected = first.clone().with(residence(ID, "1990-08-09", ("00004", "new")));
    hub.state(&[corrected.version(2).replaces(1).effective(hub.days_ago(100))]).await;
    let moved = first.with(residence(ID, "1990-08-09", ("00009", "new")));
    hub.state(&[moved.version(3).effective(hub.days_ago(10))]).await;
    hub.cut().await;

    let fields = ["birth_date", "residence_unit"];
    let ask = |known_at, valid_at| GetSubjectRequest { known_at, valid_at, ..by_personal_id(ID, &fields) };
    let told = async |request| {
        let subject = subject_of(hub.get(NATIONAL, request).await);
        let unit = attribute(&subject, "residence_unit").resolved_unit.expect("decided");
        let code = question::text_of(unit.fields.get("code"));
        (text(&attribute(&subject, "birth_date").value), code)
    };
    let at = |days| Some(question::wire_time(hub.days_ago(days)));
    let knew_one = Some(question::wire_time(knew_one));
    assert_eq!(told(ask(None, None)).await, ("1990-08-09".into(), "00009".into()));
    assert_eq!(told(ask(None, at(50))).await, ("1990-08-09".into(), "00004".into()));
    assert_eq!(told(ask(knew_one, None)).await, ("1990-08-07".into(), "00004".into()));
    assert_eq!(told(ask(knew_one, at(50))).await, ("1990-08-07".into(), "00004".into()));
    let early = hub.get(NATIONAL, ask(None, at(200))).await;
    assert!(matches!(early.result, Some(Found::NotFound(_))), "nothing held then");
    let unknown = hub.get(NATIONAL, ask(at(50), None)).await;
    assert!(matches!(unknown.result, Some(Found::NotFound(_))), "nothing was known then");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_is_durable_before_its_answer_and_listed_after_a_restart_without_its_index() {
    let hub = hub_with_residence().await;
    let answer = hub.get(NATIONAL, by_personal_id(ID, &["full_name"])).await;
    let basis = answer.basis.clone().expect("a basis");
    let access = hub.accesses().pop().expect("an access");
    assert_eq!(question::hex(&access.id), basis.access_id);
    let record::access::Decision::Answered { salt, answer: hash } = access.decision else { panic!("not answered") };
    let without = wire::query::GetSubjectResponse { basis: None, ..answer };
    let bytes = prost::Message::encode_to_vec(&without);
    assert_eq!(support::secret().answer_hash(&salt, &bytes), hash);
    assert_eq!(access.fields, ["person.full_name"]);
    assert_eq!(access.records.len(), 1);

    let hub = hub.restart_without_index().await;
    let request = ListAccessesRequest {
        kind: "person".into(),
        key: key(Key::PersonalId(ID.into())),
        purpose: purpose(BIRTH_REGISTRATION),
        limit: 1,
        page_token: String::new(),
    };
    for caller in [AUDITOR, NATIONAL] {
        let listed = hub.query.list_accesses(hub.ask(caller, request.clone())).await.expect("granted").into_inner();
        assert_eq!(listed.accesses.len(), 1);
    }
    let mut seen = Vec::new();
    let mut page = request.clone();
    loop {
        let listed = hub.query.list_accesses(hub.ask(AUDITOR, page.clone())).await.expect("granted").into_inner();
        seen.extend(listed.accesses);
        if listed.next_page_token.is_empty() {
            break;
        }
        page.page_token = listed.next_page_token;
    }
    let actions: Vec<&str> = seen.iter().map(|a| a.action.as_str()).collect();
    assert_eq!(actions, ["list_accesses", "list_accesses", "get_subject"], "newest first");
    assert_eq!(seen[2].access_id, basis.access_id);
    assert_eq!((seen[2].case_number.as_str(), seen[2].decision.as_str()), ("H29-2026-000123", "answered"));
    let status = hub.query.list_accesses(hub.ask(CIVIL, request)).await.expect_err("no such role");
    assert_eq!(reason(&status), "action_not_granted");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_reads_its_own_write() {
    let hub = Hub::start().await;
    for round in 0..20 {
        let (id, birth) = (far_apart(round), format!("{}-08-07", 1940 + 3 * round));
        let mut json = residence(&id, &birth, ("00004", "new"));
        json["previous_personal_ids"] = json!([]);
        let place = hub.append(&[Record::new("population", "residence", &format!("P-{round}")).with(json)]).await[0];
        let min_positions = vec![MinPosition { partition: place.partition.0.into(), index: place.index.0 }];
        let request = GetSubjectRequest { min_positions, ..by_personal_id(&id, &["personal_id"]) };
        let ids = attribute(&subject_of(hub.get(NATIONAL, request).await), "personal_id");
        let sources = ids.value.iter().chain(&ids.competing).filter_map(|v| v.source.as_ref());
        assert!(sources.map(|s| s.position.clone()).any(|p| p == place.to_string()), "the write is in the answer");
    }
    let place = hub
        .append(&[Record::new("population", "residence", "P-late").with(residence(ID, "1990-08-07", ("00004", "new")))])
        .await[0];
    let min_positions = vec![MinPosition { partition: place.partition.0.into(), index: place.index.0 }];
    let request = GetSubjectRequest { min_positions, ..by_personal_id(ID, &["full_name"]) };
    // Views that never get there.
    let (_stands, stale) = watch::channel(Positions::new());
    let query = hub.query_over(stale, Duration::from_millis(20));
    let status = query.get_subject(hub.ask(NATIONAL, request.clone())).await.expect_err("the views stand still");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "views_behind"), "{status:?}");
    let details = status.get_error_details();
    assert!(
        details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()),
        "it says when to ask again: {status:?}"
    );
    assert_eq!(details.bad_request().expect("which").field_violations[0].field, "min_positions");
    let stands = format!("change/{} stands at 0 of {}", place.partition.0, place.index.0 + 1);
    assert!(status.message().contains(&stands), "it says where they are: {status:?}");
    // The caller's own deadline is answered before it is over.
    let mut hurried = hub.ask(NATIONAL, request.clone());
    hurried.set_timeout(Duration::from_millis(100));
    let status = query.get_subject(hurried).await.expect_err("the views stand still");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "views_behind"), "{status:?}");
    subject_of(hub.get(NATIONAL, request).await);

    let beyond = vec![MinPosition { partition: 0, index: 1 << 40 }];
    let request = GetSubjectRequest { min_positions: beyond, ..by_personal_id(ID, &["full_name"]) };
    let status = hub.query.get_subject(hub.ask(NATIONAL, request)).await.expect_err("no such entry");
    assert_eq!(reason(&status), "position_unknown");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_unit_resolves_to_the_new_one_and_a_split_one_stays_undecided() {
    let hub = Hub::start().await;
    let parcel = |id: &str, unit: &str, number: &str| {
        Record::new("land", "parcel", id).with(json!({
            "parcel_id": id, "unit": {"code": unit, "list_version": "old"}, "sheet": "7", "number": number,
            "address_as_printed": "Thôn 1", "address": "Xã Mẫu", "area": "120.5", "data_state": "usable",
            "land_uses": [{"code": "ODT", "area": "120.5", "origin": "CNQ-CTT", "form": "own", "term": "long-term"}],
        }))
    };
    hub.state(&[parcel("w7er8u0evss2", "00001", "2"), parcel("w3gvk1c5zpv8", "00005", "3")]).await;
    let ask = |key: SubjectKey| GetSubjectRequest {
        kind: "parcel".into(),
        key: Some(key),
        purpose: purpose(LAND_TRANSFER),
        fields: vec!["unit".into(), "number".into()],
        ..GetSubjectRequest::default()
    };
    let cadastral = |commune: &str, list: &str, number: &str| SubjectKey {
        key: Some(Key::Cadastral(CadastralKey {
            commune_code: commune.into(),
            list_version: list.into(),
            sheet: "7".into(),
            number: number.into(),
        })),
    };
    for (commune, list) in [("00001", "old"), ("00009", "new"), ("00009", "")] {
        let parcel = subject_of(hub.get(NATIONAL, ask(cadastral(commune, list, "2"))).await);
        let unit = attribute(&parcel, "unit").resolved_unit.expect("one unit");
        assert_eq!(question::text_of(unit.fields.get("code")), "00009");
        let printed = question::struct_of(&attribute(&parcel, "unit").value);
        assert_eq!(question::text_of(printed.fields.get("code")), "00001", "kept as printed");
    }
    let split = subject_of(hub.get(NATIONAL, ask(cadastral("00005", "old", "3"))).await);
    assert!(attribute(&split, "unit").resolved_unit.is_none());
    let search = SearchRequest {
        kind: "parcel".into(),
        purpose: purpose(LAND_TRANSFER),
        query: Some(search_request::Query::ParcelSheet(ParcelSheet {
            commune_code: "00009".into(),
            list_version: String::new(),
            sheet: "7".into(),
        })),
    };
    let hits = hub.query.search(hub.ask(NATIONAL, search)).await.expect("granted").into_inner().hits;
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].masked.get("number").map(String::as_str), Some("2"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_every_item_its_state_and_only_released_values() {
    let hub = hub_with_residence().await;
    let request = |role: &str| CheckProcedureRequest {
        purpose: purpose(BIRTH_REGISTRATION),
        roles: [(role.to_owned(), SubjectKey { key: Some(Key::PersonalId(ID.into())) })].into(),
        ..CheckProcedureRequest::default()
    };
    let check = hub.query.check_procedure(hub.ask(NATIONAL, request("mother"))).await.expect("granted").into_inner();
    assert!(!check.complete);
    let item = |id: &str| check.items.iter().find(|i| i.item == id).expect("an item of the profile");
    assert_eq!(item("mother_id").state(), ItemState::Available);
    assert_eq!(text(&Some(wire::query::Value { value: item("mother_id").value.clone(), source: None })), ID);
    assert_eq!(item("mother_id").source.as_ref().map(|s| s.register.as_str()), Some("population"));
    assert_eq!(item("mother_residence").state(), ItemState::Available);
    assert_eq!(item("father_id").state(), ItemState::NotNeeded);
    assert_eq!(item("birth_notice").state(), ItemState::OnPaperOnly);
    assert!(!item("birth_notice").what_to_do.is_empty() && item("birth_notice").value.is_none());

    let pension = CheckProcedureRequest { purpose: purpose("1.001776"), ..request("applicant") };
    let check = hub.query.check_procedure(hub.ask(NATIONAL, pension)).await.expect("granted").into_inner();
    let item = |id: &str| check.items.iter().find(|i| i.item == id).expect("an item of the profile");
    assert_eq!(item("disability").state(), ItemState::NotConnected);
    assert!(!item("disability").owner.is_empty());
    let status = hub.query.check_procedure(hub.ask(NATIONAL, request("uncle"))).await.expect_err("no such role");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "role_unknown"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_shows_at_most_twenty_masked_hits() {
    let hub = Hub::start().await;
    let person = |n: u32| {
        let birth = format!("1990-{:02}-{:02}", 1 + n / 5, 1 + 5 * (n % 5));
        let mut json = residence(&far_apart(n), &birth, ("00004", "new"));
        json["previous_personal_ids"] = json!([]);
        Record::new("population", "residence", &format!("P-{n}")).with(json)
    };
    hub.state(&(0..25).map(person).collect::<Vec<_>>()).await;
    let ask = |query| SearchRequest { kind: "person".into(), purpose: purpose(BIRTH_REGISTRATION), query: Some(query) };
    let birth = |full_name: &str, birth_date: &str| {
        search_request::Query::NameBirth(NameBirth { full_name: full_name.into(), birth_date: birth_date.into() })
    };
    let all = hub.query.search(hub.ask(NATIONAL, ask(birth("binh thi tran", "1990")))).await.expect("granted");
    let all = all.into_inner();
    assert_eq!((all.hits.len(), all.more), (20, true));
    for hit in &all.hits {
        assert_eq!(hit.masked.get("full_name").map(String::as_str), Some("T. T. B."));
        assert_eq!(hit.masked.get("birth_date").map(String::as_str), Some("1990"));
        assert!(hit.masked.values().all(|text| !text.contains("09919")));
    }
    let one = hub.query.search(hub.ask(NATIONAL, ask(birth("Trần Thị Bình", "1990-02-06")))).await.expect("granted");
    assert_eq!(one.get_ref().hits.len(), 1);
    let commune = search_request::Query::NameCommune(NameCommune {
        full_name: "Trần Thị Bình".into(),
        commune_code: "00004".into(),
        list_version: "new".into(),
    });
    let there = hub.query.search(hub.ask(NATIONAL, ask(commune))).await.expect("granted").into_inner();
    assert_eq!(there.hits.len(), 20);
    let none = hub.query.search(hub.ask(NATIONAL, ask(birth("Lê Văn Hùng", "1990")))).await.expect("granted");
    assert!(none.get_ref().hits.is_empty() && !none.get_ref().more);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commune_reads_its_own_people_only() {
    let hub = hub_with_residence().await;
    let subject = subject_of(hub.get(COMMUNE, by_personal_id(ID, &["full_name"])).await);
    assert_eq!(subject.records, 1);
    let mut away = residence("099190000033", "1991-01-01", ("00009", "new"));
    away["previous_personal_ids"] = json!([]);
    hub.state(&[Record::new("population", "residence", "P-2").with(away)]).await;
    let request = by_personal_id("099190000033", &["full_name"]);
    let status = hub.query.get_subject(hub.ask(COMMUNE, request)).await.expect_err("another commune");
    assert_eq!(reason(&status), "row_outside_scope");
    assert_eq!(hub.accesses().pop().map(|a| a.records.len()), Some(1), "the refusal tells what was read");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quality_and_status_count_what_is_folded() {
    let hub = hub_with_residence().await;
    let quality = GetQualityRequest { register: "population".into(), by: "commune".into(), trend_hours: 0 };
    let rows = hub.query.get_quality(hub.ask(AUDITOR, quality)).await.expect("granted").into_inner().rows;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].records, rows[0].sufficient), (1, None), "no expected number, no measure");
    let by = GetQualityRequest { by: "moon".into(), ..GetQualityRequest::default() };
    let status = hub.query.get_quality(hub.ask(AUDITOR, by)).await.expect_err("no such row");
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = hub.query.get_status(hub.ask(AUDITOR, GetStatusRequest {})).await.expect("granted").into_inner();
    assert_eq!((status.records, status.mentions >= 1, status.behind), (1, true, 0));
    assert_eq!(status.contracts.len(), 4);
    assert_eq!((status.log.as_str(), status.digest.len()), ("embedded", 64));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_explained_in_bits_and_values_stay_where_they_are() {
    let hub = hub_with_residence().await;
    let other = far_apart(7);
    hub.state(&[
        Record::new("health", "insurance_card", "H-1").with(card(ID, "19900807")),
        Record::new("health", "insurance_card", "H-2").with(card(&other, "19900807")),
    ])
    .await;
    let ask = |caller: &str, right: Option<SubjectKey>| {
        let (left, purpose) = (key(Key::PersonalId(ID.into())), purpose(""));
        hub.ask(caller, ExplainLinkRequest { kind: "person".into(), left, right, purpose })
    };
    let whole = hub.query.explain_link(ask(AUDITOR, None)).await.expect("an auditor may").into_inner();
    assert!(whole.together && whole.model_epoch == 1 && whole.threshold_bits >= 4.0);
    let tree = &whole.pairs[0];
    assert_eq!((whole.pairs.len(), tree.outcome.as_str()), (1, "tree"));
    let sum: f64 = tree.evidence.iter().map(|e| e.bits).sum();
    assert!((sum - tree.bits).abs() < 1e-9 && tree.bits > whole.threshold_bits, "{tree:?}");
    let field = |name: &str| tree.evidence.iter().find(|e| e.field == name).expect("a field of persons");
    assert_eq!((field("personal_id").level.as_str(), field("birth").level.as_str()), ("equal", "equal"));
    assert_eq!(whole.refused[0].outcome, "refused_by_ids");
    assert_eq!(whole.refused[0].refused_by.len(), 2);
    assert!(!format!("{whole:?}").contains("Trần"), "how they agree, not what they say");

    let right = key(Key::PersonalId(other));
    let apart = hub.query.explain_link(ask(AUDITOR, right)).await.expect("an auditor may").into_inner();
    assert!(!apart.together && apart.left_subject != apart.right_subject);
    assert_eq!(apart.pairs[0].outcome, "refused_by_ids");
    let right = key(Key::Subject(tree.right.as_ref().expect("two ends").mention.clone()));
    let path = hub.query.explain_link(ask(AUDITOR, right)).await.expect("an auditor may").into_inner();
    assert!(path.together && path.pairs.len() <= 1);

    let status = hub.query.explain_link(ask(CIVIL, None)).await.expect_err("a register may not");
    assert_eq!(status.code(), Code::PermissionDenied);
    let actions: Vec<_> = hub.accesses().iter().map(|a| (a.action.name(), a.records.len())).collect();
    assert_eq!(actions.iter().filter(|(action, _)| *action == "explain_link").count(), 4, "{actions:?}");
    assert!(actions[0].1 >= 2, "the records that were read are told");
    hub.stop().await;
}
