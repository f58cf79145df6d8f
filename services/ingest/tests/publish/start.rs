use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ingest::{BootstrapError, Bootstrapped, Cutter, bootstrap, system_clock, system_salts};
use record::control::Order;
use record::{LogSecret, Partition, Stream};
use wire::ingest::{DeclareExpectedRequest, GetKeysRequest};

use crate::hub::{Hub, batch, control_of, first, new_log, publish, sound};

#[tokio::test]
async fn a_new_log_gets_its_prefix_once_and_refuses_another_secret() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = new_log(dir.path());
    let secret = LogSecret::new(&[3; 32]);
    let Bootstrapped::Written(count) = bootstrap(&log, &secret, &first()).await.expect("an empty log") else {
        panic!("the log was empty");
    };
    assert_eq!(bootstrap(&log, &secret, &first()).await.expect("begun"), Bootstrapped::Verified);
    let other = bootstrap(&log, &LogSecret::new(&[4; 32]), &first()).await;
    assert!(matches!(other, Err(BootstrapError::OtherSecret)), "{other:?}");
    assert_eq!(log.ends().get(Stream::Control, Partition(0)).0, count as u64);
    let state = control_of(&log);
    assert_eq!(state.log, Some((secret.commitment(), 4)));
    let registers: Vec<&str> = state.registers().map(|(register, _)| register.as_str()).collect();
    assert_eq!(registers, ["civil", "health", "land"]);
    assert!(state.void.is_empty() && state.policy.is_some() && state.procedures.is_some() && state.model.is_some());
}

#[tokio::test]
async fn cuts_follow_movement_and_stop_with_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = new_log(dir.path());
    bootstrap(&log, &LogSecret::new(&[3; 32]), &first()).await.expect("an empty log");
    let control = Arc::new(ArcSwap::from_pointee(control_of(&log)));
    let before = log.ends();
    let cutter = Cutter::start(log.clone(), control.clone(), None, system_clock(), system_salts());
    let moved = tokio::time::timeout(
        Duration::from_secs(30),
        log.wait_beyond(&before, event_log::StreamSet::empty().with(Stream::Control)),
    );
    assert!(moved.await.expect("a cut within a second"));
    cutter.shutdown().await;
    let state = control_of(&log);
    let (_, ends) = state.cut.clone().expect("a cut");
    assert_eq!((ends, state.void.len()), (before, 0));
    // Nothing moved since: neither the same nor another process writes one more.
    let rest = log.ends();
    control.store(Arc::new(state));
    Cutter::start(log.clone(), control, None, system_clock(), system_salts()).shutdown().await;
    assert_eq!(log.ends(), rest);
}

#[tokio::test]
async fn a_cut_covers_accesses_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = new_log(dir.path());
    bootstrap(&log, &LogSecret::new(&[3; 32]), &first()).await.expect("an empty log");
    let header = record::EntryHeader::of_hub(record::EntryKind::Access, record::Timestamp(1));
    let bytes = record::Entry::encode_salted(&header, &[0; 16], b"an access").expect("a small entry").into();
    let access = event_log::Append { stream: Stream::Access, partition: Partition(0), bytes };
    log.append(vec![access]).await.expect("durable");
    let control = Arc::new(ArcSwap::from_pointee(control_of(&log)));
    let before = log.ends();
    // The last cut, on the way out, waits for nothing.
    Cutter::start(log.clone(), control, None, system_clock(), system_salts()).shutdown().await;
    let (_, ends) = control_of(&log).cut.expect("a cut");
    assert_eq!((ends.get(Stream::Access, Partition(0)).0, &ends), (1, &before));
}

#[tokio::test]
async fn a_register_declares_its_objects_and_reads_the_keys() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    publish(&mut client, batch("civil", sound("civil", 1))).await;
    let request = |record_type: &str| DeclareExpectedRequest {
        register: "civil".into(),
        record_type: record_type.into(),
        commune: "00004".into(),
        objects: 17,
    };
    let answer = client.declare_expected(request("birth")).await.expect("its own register").into_inner();
    let position = answer.position.expect("where it stands");
    assert_eq!((position.stream.as_str(), position.partition), ("control", 0));
    let state = control_of(&hub.log);
    assert_eq!(state.expected.values().collect::<Vec<_>>(), [&17]);
    let unknown = client.declare_expected(request("nothing")).await.expect_err("no such record type");
    assert_eq!(unknown.code(), tonic::Code::InvalidArgument);
    let mut land = hub.client("register/land").await;
    let refused = land.declare_expected(request("birth")).await.expect_err("another's register");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let keys = land.get_keys(GetKeysRequest {}).await.expect("anybody may verify").into_inner().keys;
    assert_eq!(keys[0].verifier, hub.key.verifier().to_string());
    let controls = crate::hub::entries(&hub.log, Stream::Control);
    let written = controls.iter().filter(|logged| {
        let entry = record::Entry::decode(&logged.bytes).expect("an entry");
        let control = record::control::Control::decode(entry.plain_body().expect("plain")).expect("control");
        matches!(control.order, Order::Expected { .. }) && control.actor == "spiffe://hub.test/register/civil"
    });
    assert_eq!(written.count(), 1);
}
