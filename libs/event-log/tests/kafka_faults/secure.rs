//! TLS and SASL towards a real broker that asks for both.

use std::path::PathBuf;

use event_log::{EventLog, Kafka, KafkaOptions, KafkaSasl, KafkaTls, OpenError, StreamSet, init_kafka};
use record::Positions;

use crate::brokers::{self, Brokers};
use crate::load::entry;

struct Secure {
    brokers: Brokers,
    address: String,
    ca: PathBuf,
    password: String,
}

impl Secure {
    fn start() -> Self {
        let brokers = Brokers::start_in(1, |_| vec![("KAFKA_SECURE", "1".to_owned())]);
        let told = brokers.run(&["secure"]);
        let words: Vec<&str> = told.split_whitespace().collect();
        let [address, ca, "hub", password] = words[..] else { panic!("{told}") };
        let password = std::fs::read_to_string(password).expect("a file").trim().to_owned();
        Self { address: address.to_owned(), ca: ca.into(), password, brokers }
    }

    fn options(&self, mechanism: &str, password: &str) -> KafkaOptions {
        let mut options = brokers::options(&self.address, "secure");
        options.tls = Some(KafkaTls { ca: Some(self.ca.clone()), client: None });
        let (mechanism, username, password) = (mechanism.into(), "hub".into(), password.into());
        options.sasl = Some(KafkaSasl { mechanism, username, password });
        options.read_timeout = std::time::Duration::from_secs(10);
        options
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_brokers_that_ask_for_tls_and_a_password() {
    let secure = Secure::start();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let options = secure.options(mechanism, &secure.password);
        init_kafka(&options).expect("topics");
        let log: EventLog = Kafka::open(&options).expect("opened").into();
        let appended = log.append(vec![entry(1, "a secret entry")]).await.expect("appended");
        assert_eq!(log.read_position(appended[0].position).expect("read").bytes, "a secret entry");
        let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("a reader");
        let mut read = 0;
        while read == 0 {
            read = reader.next_batch(10, 1 << 20).expect("read").entries.len();
        }
        log.close().await;
    }

    // The wrong password, an authority that did not certify the broker, and no TLS at all: refused, and no word of the password.
    let wrong = secure.options("SCRAM-SHA-512", "not the password");
    let mut stranger = secure.options("PLAIN", &secure.password);
    stranger.tls = Some(KafkaTls { ca: None, client: None });
    let mut plain = secure.options("PLAIN", &secure.password);
    plain.tls = None;
    for options in [wrong, stranger, plain] {
        let error = Kafka::open(&options).expect_err("refused");
        assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
        let told = format!("{error} {error:?} {options:?}");
        assert!(!told.contains(&secure.password) && !told.contains("not the password"), "{told}");
    }
    drop(secure.brokers);
}
