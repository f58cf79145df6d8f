//! The hub with its log on Apache Kafka, as real processes on real brokers: `KAFKA_BOOTSTRAP`, else one that `deploy/kafka/kafka` starts.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../serving/client.rs"]
mod client;
mod copies;
mod country;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../serving/hub.rs"]
mod hub;
mod roles;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use event_log::{KafkaOptions, remove_kafka};
use hub::{CONFIG, Hub, configured, lines, run, stderr, write_lines};
use serde_json::Value;

/// The brokers that all tests share.
fn bootstrap() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var("KAFKA_BOOTSTRAP") {
        Ok(given) if !given.trim().is_empty() => given,
        _ => start_broker(),
    })
}

fn start_broker() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kafka/kafka");
    let own = std::process::id();
    let out = Command::new(&script)
        .args(["up", "1"])
        .env("KAFKA_DIR", std::env::temp_dir().join(format!("hub-serve-kafka-{own}")))
        .env("KAFKA_PORT", (41_000 + own % 9_000).to_string())
        .env("KAFKA_OWNER", own.to_string())
        .output()
        .expect("deploy/kafka/kafka can be run");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "no real broker, so nothing was tested: {} up 1 failed; run it by hand, or set KAFKA_BOOTSTRAP\n{told}",
        script.display()
    );
    String::from_utf8(out.stdout).expect("an address").trim().to_owned()
}

/// Topics of one log, deleted when the test ends.
struct Topics(KafkaOptions);

impl Topics {
    fn new(name: &str) -> Self {
        let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
        Self(KafkaOptions::new(bootstrap(), format!("test-hub-{name}-{}-{stamp}", std::process::id())))
    }

    /// The configuration of a hub on them, or beside them.
    fn configure(&self, dir: &Path, kind: &str) {
        let KafkaOptions { bootstrap, prefix, .. } = &self.0;
        let log = CONFIG.replace("[log]\n", &format!("[log]\nkind = \"{kind}\"\n"));
        let kafka = format!(
            "[log.kafka]\nbootstrap = \"{bootstrap}\"\nprefix = \"{prefix}\"\nreplication = 1\nmin_insync_replicas = 1\n"
        );
        std::fs::write(dir.join("hub.toml"), format!("{log}{kafka}")).expect("writable");
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        remove_kafka(&self.0).expect("the brokers answer");
    }
}

/// Runs a command that succeeds; gives its JSON answer.
fn json(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, &[arguments, &["--config", "hub.toml", "--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// Publishes lines of a register; tells how many were accepted and how many known before.
fn publish(hub: &Hub, register: &str, lines: &[Value]) -> (u64, u64) {
    write_lines(&hub.dir.join("some.ndjson"), lines);
    let output = hub.ask(&["publish", "--register", register, "some.ndjson", "--json"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let last: Value = told
        .lines()
        .last()
        .and_then(|l| serde_json::from_str(l).ok())
        .unwrap_or_else(|| panic!("{told}{}", stderr(&output)));
    let count = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("{last}"));
    (count("accepted"), count("duplicate"))
}

const SAME: [&str; 5] = ["digest", "records", "mentions", "subjects_persons", "subjects_parcels"];

fn assert_same(a: &Value, b: &Value) {
    for field in SAME {
        assert_eq!(a[field], b[field], "{field}");
    }
}

#[test]
fn a_country_moves_to_kafka_and_back_with_the_same_digest() {
    let topics = Topics::new("move");
    let dir = configured();
    topics.configure(dir.path(), "embedded");
    let hub = Hub::start(dir.path());
    let civil = lines("civil", 200);
    assert_eq!(publish(&hub, "civil", &civil[..150]), (150, 0));
    let embedded = hub.folded();
    assert_eq!(embedded["log"], "embedded");
    assert_eq!(hub.stop().code(), Some(0));

    let refused = run(dir.path(), &["log", "copy", "--config", "hub.toml", "--from", "embedded", "--to", "kafka"]);
    assert!(stderr(&refused).contains("hub kafka init"), "{}", stderr(&refused));
    assert_eq!(json(dir.path(), &["kafka", "init"])["made"].as_array().map(Vec::len), Some(4));
    let copied = json(dir.path(), &["log", "copy", "--from", "embedded", "--to", "kafka"]);
    assert_eq!(copied["copied"], copied["entries"]);
    assert_eq!(json(dir.path(), &["log", "copy", "--from", "embedded", "--to", "kafka"])["copied"], 0);

    topics.configure(dir.path(), "kafka");
    let refused = run(dir.path(), &["serve", "--config", "hub.toml", "--dev-certs"]);
    assert_eq!(
        refused.status.code(),
        Some(2),
        "an embedded log beside one on Kafka is a mistake: {}",
        stderr(&refused)
    );
    std::fs::rename(dir.path().join("d/log"), dir.path().join("log-embedded")).expect("movable");
    std::fs::remove_dir_all(dir.path().join("d/views")).expect("removable");
    std::fs::remove_dir_all(dir.path().join("d/access-index")).expect("removable");
    let hub = Hub::start(dir.path());
    let on_kafka = hub.folded();
    assert_eq!(on_kafka["log"], "kafka");
    assert_same(&embedded, &on_kafka);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(publish(&hub, "civil", &civil), (50, 150), "what was published to the embedded log is known");
    hub.folded();
    assert_eq!(hub.json(&["audit", "verify"])["equal"], true, "ledger and log agree");
    hub.signal("-KILL");
    drop(hub);
    let hub = Hub::start(dir.path());
    let before = hub.folded();
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));

    json(dir.path(), &["log", "copy", "--from", "kafka", "--to", "embedded"]);
    topics.configure(dir.path(), "embedded");
    std::fs::remove_dir_all(dir.path().join("d/views")).expect("removable");
    std::fs::remove_dir_all(dir.path().join("d/access-index")).expect("removable");
    let hub = Hub::start(dir.path());
    assert_same(&before, &hub.folded());
    assert_eq!(hub.json(&["audit", "verify"])["equal"], true, "the same ledger still holds");
}

#[test]
fn a_retry_through_another_process_has_no_second_effect() {
    let topics = Topics::new("two");
    let (one, two) = (configured(), configured());
    for dir in [one.path(), two.path()] {
        topics.configure(dir, "kafka");
        // Keys of bodies belong to one process.
        let mut config = std::fs::read_to_string(dir.join("hub.toml")).expect("it was written");
        config.push_str("[keys]\nplain_because = \"two processes\"\n");
        std::fs::write(dir.join("hub.toml"), config).expect("writable");
    }
    json(one.path(), &["kafka", "init"]);
    let first = Hub::start(one.path());
    let civil = lines("civil", 120);
    assert_eq!(publish(&first, "civil", &civil[..80]), (80, 0));

    // Another process of the same country: it has the secrets, and folds the log by itself.
    std::fs::create_dir_all(two.path().join("d")).expect("writable");
    let copied = Command::new("cp").args(["-rp"]).arg(one.path().join("d/secret")).arg(two.path().join("d")).status();
    assert!(copied.expect("cp is there").success());
    let second = Hub::start(two.path());
    let (accepted, known) = publish(&second, "civil", &civil);
    assert_eq!(accepted + known, 120);
    assert!(accepted >= 40, "the new ones are accepted");
    let (a, b) = wait_for_equal(&first, &second);
    assert_same(&a, &b);
    assert_eq!(a["records"], 120);
    for hub in [&first, &second] {
        assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    }
    let refused = std::fs::read_dir(two.path().join("d")).expect("readable").flatten().any(|e| e.file_name() == "log");
    assert!(!refused, "no embedded log was begun");
}

/// Both have folded all that both have appended.
fn wait_for_equal(a: &Hub, b: &Hub) -> (Value, Value) {
    for _ in 0..200 {
        let (x, y) = (a.folded(), b.folded());
        if x["digest"] == y["digest"] {
            return (x, y);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    (a.folded(), b.folded())
}

#[test]
fn a_hub_with_another_secret_is_refused() {
    let topics = Topics::new("secret");
    let (one, two) = (configured(), configured());
    topics.configure(one.path(), "kafka");
    topics.configure(two.path(), "kafka");
    json(one.path(), &["kafka", "init"]);
    assert_eq!(Hub::start(one.path()).stop().code(), Some(0));
    let refused = run(two.path(), &["serve", "--config", "hub.toml", "--dev-certs"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("secret"), "{}", stderr(&refused));
}
