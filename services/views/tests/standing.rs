//! Where a register stands: heads, findings and trends, through the running fold and the service itself.

mod question;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use nation::{Flaw, Nation, REGISTERS};
use question::{AUDITOR, CIVIL, Hub, NATIONAL, Record, reason};
use record::Timestamp;
use record::access::Decision;
use serde_json::json;
use tonic::Code;
use views::quality_history::QualityHistory;
use views::query::{Options, Query};
use wire::query::query_service_server::QueryService as _;
use wire::query::{GetHeadsRequest, GetQualityRequest, HeadState, ListFindingsRequest, Quality, RecordFinding};

const CASE: &str = "A-7";

fn death(id: &str, name: &str, at: i64, version: u64) -> Record {
    let json = json!({ "deceased": { "full_name": name, "birth_date": "01.02.1940", "identity_paper_type": 2, "identity_paper_no": "099040000025" } });
    Record::new("civil", "death", id).with(json).version(version).effective(Timestamp(at))
}

async fn hub_of_a_nation() -> Hub {
    let nation = Nation::new(nation::Config { persons: 2_000, seed: 5 }).expect("within bounds");
    let contracts = support::contracts();
    let hub = Hub::start().await;
    for register in REGISTERS {
        let sound = nation.changes(register).filter(|change| change.flaw != Flaw::Refused);
        hub.take(sound.map(|change| support::entry(&contracts[register], &change).bytes).collect()).await;
    }
    hub
}

async fn findings(hub: &Hub, request: ListFindingsRequest) -> Vec<RecordFinding> {
    let mut request = ListFindingsRequest { case_number: CASE.into(), ..request };
    let mut found = Vec::new();
    loop {
        let answer = hub.query.list_findings(hub.ask(AUDITOR, request.clone())).await.expect("granted").into_inner();
        found.extend(answer.findings);
        if answer.next_page_token.is_empty() {
            return found;
        }
        request.page_token = answer.next_page_token;
    }
}

async fn quality(hub: &Hub, by: &str) -> Vec<Quality> {
    let request = GetQualityRequest { by: by.into(), ..GetQualityRequest::default() };
    hub.query.get_quality(hub.ask(AUDITOR, request)).await.expect("granted").into_inner().rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_findings_are_those_that_the_measures_count() {
    let hub = hub_of_a_nation().await;
    let mut seen = BTreeSet::new();
    for row in quality(&hub, "register").await {
        let counter = |name: &str| row.counters[name];
        let all = findings(&hub, ListFindingsRequest { register: row.register.clone(), ..Default::default() }).await;
        assert!(all.iter().all(|f| !f.record_id.is_empty() && !f.what_to_do.is_empty() && f.since.is_some()));
        let of = |wanted: &dyn Fn(&RecordFinding) -> bool| {
            all.iter().filter(|f| wanted(f)).map(|f| f.record.as_str()).collect::<Vec<_>>()
        };
        let records = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect::<BTreeSet<_>>().len() as u64;
        let register = &row.register;
        let broken = of(&|f| f.criterion == "clean" && f.rule_id != "hub.surplus");
        assert_eq!(records(broken), counter("violated"), "{register}");
        assert_eq!(of(&|f| f.rule_id == "hub.surplus").len() as u64, counter("surplus"), "{register}");
        assert_eq!(of(&|f| f.rule_id == "hub.late").len() as u64, counter("events") - counter("timely"), "{register}");
        let unfilled = of(&|f| f.rule_id == "hub.sufficient").len() as u64;
        assert_eq!(unfilled, counter("required") - counter("filled"), "{register}");
        let disputed = of(&|f| f.rule_id == "hub.disputed");
        let (records, faults) = (records(disputed), counter("compared") - counter("matched"));
        assert!(records <= faults && (records > 0) == (faults > 0), "{register}: {records} of {faults}");
        seen.extend(all.iter().map(|f| f.rule_id.clone()).filter(|rule| rule.starts_with("hub.")));
        for criterion in ["correct", "sufficient", "clean", "alive"] {
            let request =
                ListFindingsRequest { register: register.clone(), criterion: criterion.into(), ..Default::default() };
            let some = findings(&hub, request).await;
            let wanted: Vec<_> = all.iter().filter(|f| f.criterion == criterion).cloned().collect();
            assert_eq!(some, wanted, "{register} {criterion}");
        }
    }
    for rule in ["hub.surplus", "hub.disputed", "hub.late", "hub.sufficient"] {
        assert!(seen.contains(rule), "the nation has some {rule}: {seen:?}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_narrowed_by_place_and_time_and_turned_page_by_page() {
    let hub = hub_of_a_nation().await;
    let of = |request: ListFindingsRequest| ListFindingsRequest { register: "land".into(), ..request };
    let all = findings(&hub, of(ListFindingsRequest::default())).await;
    let mut by_commune: BTreeMap<String, usize> = BTreeMap::new();
    all.iter().for_each(|f| *by_commune.entry(f.commune.clone()).or_default() += 1);
    let (commune, count) = by_commune.iter().find(|(commune, _)| !commune.is_empty()).expect("some commune");
    let there = findings(&hub, of(ListFindingsRequest { commune: commune.clone(), ..Default::default() })).await;
    assert_eq!(there.len(), *count);
    let by_few = findings(&hub, of(ListFindingsRequest { limit: 3, ..Default::default() })).await;
    assert_eq!(by_few, all);
    let later = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
    assert!(findings(&hub, of(ListFindingsRequest { since: Some(later), ..Default::default() })).await.is_empty());
    let none = ListFindingsRequest {
        since: Some(later),
        case_number: CASE.into(),
        register: "health".into(),
        ..Default::default()
    };
    let first = hub.query.list_findings(hub.ask(AUDITOR, none)).await.expect("granted").into_inner();
    assert!(
        first.findings.is_empty() && !first.next_page_token.is_empty(),
        "an answer judges so many records, then says where to go on"
    );
    let bad = ListFindingsRequest { page_token: "zz".into(), case_number: CASE.into(), ..of(Default::default()) };
    let status = hub.query.list_findings(hub.ask(AUDITOR, bad)).await.expect_err("no such page");
    assert_eq!(reason(&status), "page_token_malformed");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_registers_own_publisher_and_for_a_case_an_auditor_learn_where_it_stands() {
    let hub = Hub::start().await;
    hub.state(&[death("KT-1", "Lê Văn Hùng", 1_700_000_000_000_000, 4)]).await;
    let heads = |case: &str| GetHeadsRequest {
        register: "civil".into(),
        record_ids: vec!["KT-1".into(), "KT-2".into()],
        case_number: case.into(),
    };
    let own = hub.query.get_heads(hub.ask(CIVIL, heads(""))).await.expect("its own").into_inner().heads;
    assert_eq!((own[0].state(), own[0].version, own[0].hash.len()), (HeadState::Stated, 4, 32));
    assert_eq!((own[1].state(), own[1].record_id.as_str()), (HeadState::Absent, "KT-2"));
    assert!(hub.accesses().is_empty(), "nothing left that the publisher had not brought");
    for (caller, code, why) in [
        (NATIONAL, Code::PermissionDenied, "publish_not_granted"),
        ("spiffe://hub.test/register/land", Code::PermissionDenied, "publish_not_granted"),
        (AUDITOR, Code::InvalidArgument, "purpose_missing"),
    ] {
        let status = hub.query.get_heads(hub.ask(caller, heads(""))).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{caller}");
        let request = ListFindingsRequest { register: "civil".into(), ..Default::default() };
        let status = hub.query.list_findings(hub.ask(caller, request)).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{caller}");
    }
    let refused = hub.accesses().len();
    assert_eq!(refused, 6, "each refusal is an access");
    let seen = hub.query.get_heads(hub.ask(AUDITOR, heads(CASE))).await.expect("for a case").into_inner().heads;
    assert_eq!(seen, own);
    let last = hub.accesses().pop().expect("an access");
    assert!(matches!(last.decision, Decision::Answered { .. }));
    assert_eq!((last.procedure.as_str(), last.case.as_str(), last.records.len()), ("register.heads", CASE, 2));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measure_is_told_with_what_it_was() {
    let hub = Hub::start().await;
    hub.state(&[death("KT-1", "Lê Văn Hùng", 1_700_000_000_000_000, 4)]).await;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let history = QualityHistory::new(dir.path().join("quality"));
    let points = async |query: &Query| {
        let request = wire::query::GetQualityHistoryRequest { register: "civil".into() };
        let points = query.get_quality_history(hub.ask(AUDITOR, request)).await.expect("granted").into_inner().points;
        points.iter().map(|p| p.measures.as_ref().expect("measures").records).collect::<Vec<_>>()
    };
    let first_day = hub.query_with(|options: Options| Options { quality: Some(history.clone()), ..options });
    assert_eq!(points(&first_day).await, [1], "without a sample there is the present");
    drop(first_day);
    let day_ago = Timestamp(question::now().0 - 25 * 3_600_000_000);
    assert!(history.sample(&hub.view(), day_ago).expect("writable"));
    assert!(!history.sample(&hub.view(), day_ago).expect("one an hour"));
    hub.state(&[death("KT-2", "Trần Thị Bình", 1_700_000_000_000_000, 1)]).await;
    assert!(history.sample(&hub.view(), question::now()).expect("writable"));
    let query = hub.query_with(|options: Options| Options { quality: Some(history.clone()), ..options });
    let ask = |hours| GetQualityRequest { trend_hours: hours, ..GetQualityRequest::default() };
    let civil = |answer: wire::query::GetQualityResponse| {
        let row = answer.rows.into_iter().find(|row| row.register == "civil").expect("a row");
        (row.records, row.before.map(|before| before.records), answer.compared_at.is_some())
    };
    let get = async |query: &Query, hours| {
        query.get_quality(hub.ask(AUDITOR, ask(hours))).await.expect("granted").into_inner()
    };
    assert_eq!(civil(get(&query, 24).await), (2, Some(1), true));
    assert_eq!(civil(get(&query, 0).await), (2, None, false));
    assert_eq!(civil(get(&query, 1_000).await), (2, Some(1), true), "the oldest sample stands for what is older");
    assert_eq!(points(&query).await, [1, 2, 2], "the samples, and the present");
    drop(query);
    hub.stop().await;
}
