use std::time::Duration;

use ingest::{BATCH_BYTES_MAX, Limits};
use tokio::sync::mpsc;
use tonic::Code;
use tonic_types::StatusExt as _;
use wire::ingest::{Batch, Change, PublishBatchRequest, PublishRequest};

use crate::hub::{Hub, batch, letters, publish, sound};

/// A stream of requests that a test feeds by a channel.
fn requests(mut batches: mpsc::Receiver<Batch>) -> impl futures::Stream<Item = PublishRequest> + Send + 'static {
    futures::stream::poll_fn(move |context| {
        batches.poll_recv(context).map(|batch| batch.map(|b| PublishRequest { batch: Some(b) }))
    })
}

/// Copies of a change under record ids of their own.
fn copies(change: &Change, from: usize, count: usize) -> Vec<Change> {
    let id = |n| format!("{}-{n}", &change.record_id[..change.record_id.len().min(100)]);
    (from..from + count).map(|n| Change { record_id: id(n), ..change.clone() }).collect()
}

#[tokio::test]
async fn a_stream_answers_every_batch_in_order() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let change = sound("civil", 1).remove(0);
    let (send, batches) = mpsc::channel(4);
    let mut answers = client.publish(requests(batches)).await.expect("a stream").into_inner();
    let feeding = tokio::spawn(async move {
        for n in 0..40 {
            let changes = copies(&change, n * 10, 1 + n % 10);
            let batch = Batch { sequence: n as u64, ..batch("civil", changes) };
            send.send(batch).await.expect("the stream is read");
        }
    });
    let mut next = 0;
    while let Some(answer) = answers.message().await.expect("no error") {
        let result = answer.result.expect("a result");
        assert_eq!(result.sequence, next);
        assert_eq!(letters(&result), "a".repeat(1 + next as usize % 10));
        next += 1;
    }
    assert_eq!(next, 40);
    feeding.await.expect("no panic");
}

#[tokio::test]
async fn a_reader_that_stops_stops_its_publisher_and_nobody_else() {
    let hub = Hub::start_with(Limits { batches_max: 16, stream_batches_max: 4, ..Limits::default() }).await;
    let mut client = hub.client("register/civil").await;
    let change = sound("civil", 1).remove(0);
    let (send, batches) = mpsc::channel(1);
    let mut answers = client.publish(requests(batches)).await.expect("a stream").into_inner();
    let mut sent = 0;
    let patience = Duration::from_secs(2);
    loop {
        let batch = batch("civil", copies(&change, sent * 50, 50));
        match tokio::time::timeout(patience, send.send(batch)).await {
            Ok(delivered) => delivered.expect("the stream is open"),
            Err(_) => break,
        }
        sent += 1;
        assert!(sent < 10_000, "a reader that stops must stop its publisher");
    }
    let mut other = hub.client("register/land").await;
    let result = publish(&mut other, batch("land", sound("land", 3))).await;
    assert_eq!(letters(&result), "aaa");
    drop(send);
    let mut answered = 0;
    while let Some(answer) = answers.message().await.expect("no error") {
        assert_eq!(letters(&answer.result.expect("a result")), "a".repeat(50));
        answered += 1;
    }
    assert_eq!(answered, sent);
}

#[tokio::test]
async fn a_publisher_that_vanishes_leaves_whole_batches() {
    let hub = Hub::start().await;
    let change = sound("civil", 1).remove(0);
    let (send, batches) = mpsc::channel(8);
    let mut client = hub.client("register/civil").await;
    let answers = client.publish(requests(batches)).await.expect("a stream").into_inner();
    for n in 0..6 {
        send.send(batch("civil", copies(&change, n * 100, 100))).await.expect("the stream is open");
    }
    drop((answers, send, client));
    let mut again = hub.client("register/civil").await;
    for n in 0..6 {
        let letters = letters(&publish(&mut again, batch("civil", copies(&change, n * 100, 100))).await);
        assert!(letters == "a".repeat(100) || letters == "d".repeat(100), "batch {n} was half applied: {letters}");
    }
    assert_eq!(hub.changes_in_log(), 600);
}

#[tokio::test]
async fn a_batch_beyond_its_limits_is_refused_by_name_and_nothing_of_it_is_kept() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let change = sound("civil", 1).remove(0);
    let call = |batch: Option<Batch>| PublishBatchRequest { batch };
    let many = client.publish_batch(call(Some(batch("civil", vec![Change::default(); 10_001])))).await;
    let many = many.expect_err("too many changes");
    assert_eq!(
        (many.code(), many.get_error_details().error_info().expect("why").reason.as_str()),
        (Code::InvalidArgument, "batch_changes")
    );
    let fields = many.get_error_details().bad_request().expect("which").field_violations.clone();
    assert_eq!(fields[0].field, "batch.changes");
    let large = Change { payload: vec![0; BATCH_BYTES_MAX].into(), ..change.clone() };
    let large = client.publish_batch(call(Some(batch("civil", vec![large])))).await.expect_err("too many bytes");
    assert_eq!(large.get_error_details().error_info().expect("why").reason, "batch_bytes");
    let none = client.publish_batch(call(None)).await.expect_err("no batch");
    assert_eq!(none.code(), Code::InvalidArgument);
    let nameless = client.publish_batch(call(Some(batch("No Register", vec![change.clone()])))).await;
    assert_eq!(nameless.expect_err("no name").code(), Code::InvalidArgument);
    assert_eq!((hub.changes_in_log(), hub.refused_in_log()), (0, 0));
    assert_eq!(letters(&publish(&mut client, batch("civil", Vec::new())).await), "");
    assert_eq!(letters(&publish(&mut client, batch("civil", vec![change])).await), "a");
}

#[tokio::test]
async fn ten_thousand_refusals_fit_one_append() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    let bad = Change { record_type: "birth".into(), payload: vec![0xff; 500].into(), ..Change::default() };
    let result = publish(&mut client, batch("civil", vec![bad; 10_000])).await;
    assert_eq!(letters(&result), "r".repeat(10_000));
    assert_eq!(hub.refused_in_log(), 10_000);
}

#[tokio::test]
async fn a_closed_log_is_unavailable_and_says_when_to_retry() {
    let hub = Hub::start().await;
    let mut client = hub.client("register/civil").await;
    hub.log.close().await;
    let call = PublishBatchRequest { batch: Some(batch("civil", sound("civil", 1))) };
    let refused = client.publish_batch(call).await.expect_err("the log is closed");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.get_error_details().retry_info().expect("when").retry_delay.is_some());
}
