use bytes::Bytes;
use ingest::{append_control, system_clock, system_salts};
use record::RegisterName;
use record::control::{Control, Order};
use wire::ingest::{ListRejectedRequest, ListRejectedResponse, RedriveRequest, outcome};

use crate::hub::{Client, Hub, batch, flawed, letters, publish, rules, sound};

async fn list(client: &mut Client, register: &str, limit: u32, page_token: &str) -> ListRejectedResponse {
    loop {
        let request = ListRejectedRequest { register: register.into(), limit, page_token: page_token.into() };
        match client.list_rejected(request).await {
            Ok(listed) => return listed.into_inner(),
            // The list is read from the log at start.
            Err(status) if status.code() == tonic::Code::Unavailable => tokio::task::yield_now().await,
            Err(status) => panic!("{status}"),
        }
    }
}

#[tokio::test]
async fn a_bad_change_leaves_its_neighbours_unharmed_and_is_kept() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let mut changes = sound("civil", 2);
    changes.insert(1, flawed("civil").pop_front().expect("the nation has flawed changes"));
    let result = publish(&mut client, batch("civil", changes.clone())).await;
    assert_eq!(letters(&result), "ara");
    let listed = list(&mut client, "civil", 0, "").await;
    assert_eq!((listed.changes.len(), hub.refused_in_log()), (1, 1));
    assert_eq!(listed.changes[0].change.as_ref(), Some(&changes[1]));
    let Some(outcome::Outcome::Rejected(rejected)) = &result.outcomes[1].outcome else { panic!("refused") };
    assert_eq!(listed.changes[0].violations, rejected.violations);
    assert_eq!(listed.changes[0].position, rejected.position);
}

#[tokio::test]
async fn broken_payloads_and_frames_are_typed_violations() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let good = sound("civil", 1).remove(0);
    let with = |payload: Vec<u8>| wire::ingest::Change { payload: Bytes::from(payload), ..good.clone() };
    let mut unknown_field = good.payload.to_vec();
    unknown_field.extend([0xf8, 0xff, 0x01, 0x01]);
    let decode = "hub.decode";
    let cases = [
        (with(unknown_field), decode),
        (with(vec![0x08, 0x01]), decode),
        (with(good.payload[..good.payload.len() - 1].to_vec()), decode),
        (with(vec![0x0a, 0x03, 0x0a, 0x01, 0xff]), decode),
        (with(Vec::new()), "hub.payload_empty"),
        (with(vec![0; (1 << 20) + 1]), "hub.payload_bytes"),
        (wire::ingest::Change { operation: 2, ..good.clone() }, "hub.retract_payload"),
        (wire::ingest::Change { operation: 9, ..good.clone() }, "hub.operation"),
        (wire::ingest::Change { version: 0, ..good.clone() }, "hub.version"),
        (wire::ingest::Change { record_id: "a\u{7}".into(), ..good.clone() }, "hub.record_id"),
        (wire::ingest::Change { effective_at: None, ..good.clone() }, "hub.effective_at"),
        (wire::ingest::Change { registered_at: None, ..good.clone() }, "hub.registered_at"),
        (wire::ingest::Change { agency: "Not An Agency".into(), ..good.clone() }, "hub.agency"),
        (wire::ingest::Change { replaces: good.version, ..good.clone() }, "hub.replaces"),
        (wire::ingest::Change { record_type: "nothing".into(), ..good.clone() }, "hub.unknown_record_type"),
        (wire::ingest::Change { reason: "x".repeat(2_000), ..good.clone() }, "hub.text_bytes"),
    ];
    let changes: Vec<_> = cases.iter().map(|(change, _)| change.clone()).collect();
    let result = publish(&mut client, batch("civil", changes)).await;
    for (at, (_, rule)) in cases.iter().enumerate() {
        assert!(rules(&result, at).iter().any(|found| found == rule), "case {at}: {:?}", rules(&result, at));
    }
    assert_eq!(hub.changes_in_log(), 0);
    assert_eq!(letters(&publish(&mut client, batch("civil", vec![good])).await), "a");
}

#[tokio::test]
async fn what_a_caller_may_not_write_is_neither_taken_nor_kept() {
    let hub = Hub::start().await;
    let mut land = hub.client("register/land").await;
    let result = publish(&mut land, batch("civil", sound("civil", 2))).await;
    assert_eq!(letters(&result), "uu");
    assert_eq!((hub.changes_in_log(), hub.refused_in_log()), (0, 0));
    let request = ListRejectedRequest { register: "civil".into(), ..Default::default() };
    let refused = land.list_rejected(request).await.expect_err("another's register");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let mut portal = hub.client("portal/national").await;
    assert_eq!(letters(&publish(&mut portal, batch("civil", sound("civil", 1))).await), "u");
}

#[tokio::test]
async fn an_epoch_that_is_not_open_is_refused_and_cannot_be_driven_into_the_present_one() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let mut restated = batch("civil", sound("civil", 1));
    restated.register_epoch = 1;
    let result = publish(&mut client, restated).await;
    assert_eq!(rules(&result, 0), ["hub.register_epoch"]);
    list(&mut client, "civil", 0, "").await;
    let request = RedriveRequest { register: "civil".into(), positions: Vec::new() };
    let driven = client.redrive(request).await.expect("answered").into_inner();
    assert_eq!((driven.still_rejected, hub.changes_in_log()), (1, 0));
}

#[tokio::test]
async fn refused_changes_are_taken_after_the_contract_came_also_across_a_restart() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/population").await;
    let changes = sound("population", 5);
    let result = publish(&mut client, batch("population", changes.clone())).await;
    assert_eq!(letters(&result), "rrrrr");
    assert_eq!(rules(&result, 0), ["hub.unknown_register"]);
    let first = list(&mut client, "population", 3, "").await;
    let second = list(&mut client, "population", 3, &first.next_page_token).await;
    assert_eq!((first.changes.len(), second.changes.len(), second.next_page_token.as_str()), (3, 2, ""));
    let position = first.changes[0].position.clone().expect("named");
    drop(client);
    let (dir, log) = hub.stop().await;
    std::fs::remove_dir_all(dir.path().join("views")).expect("the views are closed");

    let hub = Hub::over(dir, log, ingest::Limits::default()).await;
    let register = RegisterName::try_from("population").expect("a name");
    let descriptors = nation::population_descriptor_set().to_vec();
    let control = Control::by_hub(Order::Contract { register, descriptors });
    append_control(&hub.log, &control, &system_clock(), &system_salts()).await.expect("appended");
    hub.refresh();
    let mut client = hub.client("register/population").await;
    assert_eq!(list(&mut client, "population", 0, "").await.changes.len(), 5);
    let one = RedriveRequest { register: "population".into(), positions: vec![position] };
    let driven = client.redrive(one.clone()).await.expect("driven").into_inner();
    assert_eq!((driven.accepted, driven.still_rejected), (1, 0));
    let closed = client.redrive(one).await.expect_err("it is open no more");
    assert_eq!(closed.code(), tonic::Code::InvalidArgument);
    // An operator may drive what publishers left.
    let mut operator = hub.client("operator/ops").await;
    let all = RedriveRequest { register: "population".into(), positions: Vec::new() };
    let driven = operator.redrive(all).await.expect("driven").into_inner();
    assert_eq!((driven.accepted, driven.duplicate, driven.still_rejected), (4, 0, 0));
    assert!(list(&mut client, "population", 0, "").await.changes.is_empty());
    assert_eq!(letters(&publish(&mut client, batch("population", changes)).await), "ddddd");
    assert_eq!(hub.changes_in_log(), 5);
}
