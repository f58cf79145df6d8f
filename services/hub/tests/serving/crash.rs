//! kill -9 while publishers publish and portals ask: nothing that was acknowledged is lost or doubled, and live = replayed.
//!
//! `HUB_CRASH_ROUNDS` sets how many times it is killed (5 when absent).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wire::ingest::{Change, ChangeKey, ChangeState, GetChangeStatusRequest, Position, outcome};
use wire::query::subject_key::Key;

use crate::client::{Ingest, Query, ask, batch, changes, entries, publish};
use crate::hub::{Hub, configured};

const REGISTERS: [&str; 3] = ["civil", "land", "health"];
const BATCH: usize = 20;

/// What a publisher was told of a change: where it is, or nothing.
struct Published {
    register: &'static str,
    change: Change,
    told: Option<Position>,
}

/// Publishes batch after batch until the hub is gone, and keeps what it was told.
async fn publish_until_killed(
    mut client: Ingest,
    register: &'static str,
    changes: Vec<Change>,
    acknowledged: Arc<AtomicU64>,
) -> Vec<Published> {
    let mut out = Vec::new();
    for chunk in changes.chunks(BATCH) {
        let answer = publish(&mut client, batch(register, chunk.to_vec())).await;
        let gone = answer.is_err();
        let outcomes = answer.map(|result| result.outcomes).unwrap_or_default();
        for (at, change) in chunk.iter().enumerate() {
            let told = outcomes.get(at).map(|outcome| match &outcome.outcome {
                Some(outcome::Outcome::Accepted(accepted)) => {
                    accepted.receipt.as_ref().and_then(|receipt| receipt.position.clone()).expect("a place")
                }
                other => panic!("a new change is accepted: {other:?}"),
            });
            out.push(Published { register, change: change.clone(), told });
        }
        if gone {
            return out;
        }
        acknowledged.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    out
}

async fn ask_until_killed(mut portal: Query) -> u64 {
    let mut asked = 0;
    loop {
        let question = ask(Key::PersonalId(format!("0991900{:05}", asked % 100_000)), &["full_name"]);
        match portal.get_subject(question).await {
            Ok(_) => asked += 1,
            Err(_gone) => return asked,
        }
    }
}

/// Everything again: what was acknowledged is where it was said to be, once; what was not is taken whole or was taken.
async fn publish_again(hub: &Hub, published: &[Published]) {
    for register in REGISTERS {
        let mut client = hub.ingest(&format!("register/{register}")).await;
        let own: Vec<_> = published.iter().filter(|p| p.register == register).collect();
        for chunk in own.chunks(500) {
            let again = batch(register, chunk.iter().map(|p| p.change.clone()).collect());
            let result = publish(&mut client, again).await.expect("the hub takes it");
            for (published, outcome) in chunk.iter().zip(result.outcomes) {
                match (outcome.outcome, &published.told) {
                    (Some(outcome::Outcome::Duplicate(duplicate)), Some(told)) => {
                        assert_eq!(duplicate.of.as_ref(), Some(told), "{}", published.change.record_id);
                    }
                    (Some(outcome::Outcome::Duplicate(_) | outcome::Outcome::Accepted(_)), None) => {}
                    (other, told) => panic!("{} was told {told:?}: {other:?}", published.change.record_id),
                }
            }
        }
    }
}

async fn assert_applied(hub: &Hub, published: &[Published]) {
    for register in REGISTERS {
        let mut client = hub.ingest(&format!("register/{register}")).await;
        let own: Vec<_> = published.iter().filter(|p| p.register == register).collect();
        for chunk in own.chunks(500) {
            let key = |p: &&Published| ChangeKey {
                register: register.into(),
                record_id: p.change.record_id.clone(),
                version: p.change.version,
            };
            let request = GetChangeStatusRequest { keys: chunk.iter().map(key).collect() };
            let statuses = client.get_change_status(request).await.expect("answered").into_inner().statuses;
            for (published, status) in chunk.iter().zip(statuses) {
                assert_eq!(status.state(), ChangeState::Applied, "{status:?}");
                assert_eq!((status.duplicates, status.conflicts), (0, 0), "{status:?}");
                assert!(published.told.is_none() || published.told == status.position, "{status:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9_in_the_middle_of_publishing() {
    let rounds: usize = std::env::var("HUB_CRASH_ROUNDS").map_or(5, |n| n.parse().expect("a number of rounds"));
    let dir = configured();
    let per_round = 1_200;
    // As many as the rounds need, repeated with other ids when the nation has fewer.
    let nation = REGISTERS.map(|register| changes(register, 3 * per_round));
    let mut published: Vec<Published> = Vec::new();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..rounds {
        let hub = Hub::start(dir.path());
        publish_again(&hub, &published).await;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut publishing = Vec::new();
        for (register, changes) in REGISTERS.iter().zip(&nation) {
            let from = (round % 3) * per_round;
            let own = changes[from..from + per_round].iter();
            let own = own.map(|change| Change { record_id: format!("{}-{round}", change.record_id), ..change.clone() });
            let client = hub.ingest(&format!("register/{register}")).await;
            publishing.push(tokio::spawn(publish_until_killed(client, register, own.collect(), acknowledged.clone())));
        }
        let asking = tokio::spawn(ask_until_killed(hub.query("portal/national").await));
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let kill_after = (chance >> 33) % (2 * per_round as u64) + 1;
        while acknowledged.load(Ordering::Relaxed) < kill_after {
            assert!(!publishing.iter().all(tokio::task::JoinHandle::is_finished), "the publishers ended before");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        hub.signal("-KILL");
        for task in publishing {
            published.extend(task.await.expect("no panic"));
        }
        asking.await.expect("no panic");
        drop(hub);
    }

    let hub = Hub::start(dir.path());
    publish_again(&hub, &published).await;
    let status = hub.folded();
    let told = published.iter().filter(|p| p.told.is_some()).count();
    assert!(told > 0 && told < published.len(), "{told} of {} were acknowledged", published.len());
    assert_eq!(entries(&status, "change"), published.len() as u64, "once each");
    assert_eq!(status["records"].as_u64(), Some(published.len() as u64));
    assert_applied(&hub, &published).await;
    let verified = hub.json(&["views", "verify"]);
    assert_eq!(verified["equal"], true, "{verified}");
    assert_eq!(hub.stop().code(), Some(0));
}
