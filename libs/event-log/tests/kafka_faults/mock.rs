//! Error codes by the client library's mock cluster.
//!
//! Its brokers do not drop what a producer sends again, as brokers do by its sequence number: that nothing stands twice is for
//! [`crate::outages`] and [`crate::network`] to show.

use std::time::Duration;

use event_log::{AppendError, EventLog, Kafka, KafkaOptions, PartitionCounts};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Code};
use record::Stream;

use crate::load::{Load, PARTITIONS, check_places, entry};

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    options: KafkaOptions,
}

impl Mock {
    fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        let mut options = KafkaOptions::new(cluster.bootstrap_servers(), "mock");
        options.check_topics = false;
        options.append_timeout = Duration::from_secs(10);
        options.topics.partitions = PartitionCounts { change: PARTITIONS, rejected: 1, access: 1 };
        for stream in Stream::ALL {
            let partitions = i32::from(options.topics.partitions.of(stream));
            cluster.create_topic(&format!("mock.{}", stream.name()), partitions, 1).expect("a topic");
        }
        Self { cluster, options }
    }

    fn open(&self) -> EventLog {
        Kafka::open(&self.options).expect("opened").into()
    }

    /// The next requests of a kind are answered with these errors.
    fn fails(&self, request: RDKafkaApiKey, codes: &[Code]) {
        self.cluster.request_errors(request, codes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_by_itself_is_tried_again_and_stands_where_it_was_promised() {
    let passing = [
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Code::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    for code in passing {
        let mock = Mock::new();
        let log = mock.open();
        log.append(vec![entry(0, "first-0-0-0")]).await.expect("appended");
        mock.fails(RDKafkaApiKey::Produce, &[code, code]);
        let load = Load::start(&log, "passing");
        load.acknowledges(100).await;
        let outcome = load.stop().await;
        assert!(outcome.failed.is_empty(), "{code:?}: {:?}", outcome.failed.first());
        check_places(&log, &outcome.promised);
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_refuses_is_told_and_later_appends_succeed() {
    let refused = [
        Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    ];
    for code in refused {
        let mock = Mock::new();
        let log = mock.open();
        log.append(vec![entry(0, "first-0-0-0")]).await.expect("appended");
        mock.fails(RDKafkaApiKey::Produce, &[code]);
        let error = log.append(vec![entry(0, "second-0-0-0")]).await.expect_err("refused");
        assert!(matches!(&error, AppendError::Refused { topic, .. } if topic == "mock.change"), "{code:?}: {error}");
        // The client may ask for the topic's state again before it believes that it may.
        let patience = std::time::Instant::now() + Duration::from_secs(60);
        while let Err(error) = log.append(vec![entry(0, "third-0-0-0")]).await {
            assert!(std::time::Instant::now() < patience, "{code:?}: {error}");
        }
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_cannot_go_on_is_replaced() {
    let mock = Mock::new();
    let log = mock.open();
    let first = log.append(vec![entry(0, "first-0-0-0")]).await.expect("appended");
    mock.fails(RDKafkaApiKey::Produce, &[Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH; 3]);
    let mut failed = 0;
    let second = loop {
        match log.append(vec![entry(0, "second-0-0-0")]).await {
            Ok(appended) => break appended,
            Err(error) => {
                assert!(matches!(error, AppendError::Unanswered { .. }), "{error}");
                failed += 1;
                assert!(failed < 10, "the producer was not replaced: {error}");
            }
        }
    };
    assert!(second[0].position > first[0].position);
    log.close().await;
}
