//! Real brokers: those at `KAFKA_BOOTSTRAP`, else some that `deploy/kafka/kafka` starts and that end with this process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use event_log::{KafkaOptions, PartitionCounts, TopicPlan};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use record::Stream;

/// One broker or three of this machine.
pub struct Brokers {
    dir: PathBuf,
    pub port: u16,
    pub bootstrap: String,
    environment: Vec<(&'static str, String)>,
}

impl Brokers {
    /// Starts them, and ends the process's test with the script's own words when they do not start.
    pub fn start(count: u32) -> Self {
        Self::start_in(count, |_| Vec::new())
    }

    /// With further variables for the script, which may depend on the first broker's port.
    pub fn start_in(count: u32, environment: impl FnOnce(u16) -> Vec<(&'static str, String)>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hub-kafka-{}-{number}", std::process::id()));
        let port = free_ports(number);
        let mut brokers = Self { dir, port, bootstrap: String::new(), environment: environment(port) };
        brokers.bootstrap = brokers.run(&["up", &count.to_string()]).trim().to_owned();
        brokers
    }

    /// Runs the script with these arguments; gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kafka/kafka");
        let mut command = Command::new(&script);
        command
            .args(arguments)
            .env("KAFKA_DIR", &self.dir)
            .env("KAFKA_PORT", self.port.to_string())
            .env("KAFKA_OWNER", std::process::id().to_string())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let out = command.output().expect("deploy/kafka/kafka can be run");
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success(),
            "no real broker, so nothing was tested: {} {arguments:?} failed; run it by hand, or set KAFKA_BOOTSTRAP\n{told}",
            script.display()
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if !self.bootstrap.is_empty() {
            self.run(&["down"]);
        }
    }
}

/// The first of three ports that are free together with those 20, 50 and 100 above; others for each number.
fn free_ports(number: u32) -> u16 {
    let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let own = 20_000 + (std::process::id() % 80) as u16 * 3;
    (0..40u16)
        .map(|n| own + ((number * 40) as u16 + n) % 80 * 250)
        .find(|first| {
            (0..3).all(|n| free(first + n) && free(first + 50 + n) && free(first + 100 + n)) && free(first + 20)
        })
        .expect("some ports are free")
}

/// The cluster that tests share which do it no harm.
pub fn shared() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var("KAFKA_BOOTSTRAP") {
        Ok(given) if !given.trim().is_empty() => given,
        _ => {
            let mut brokers = Brokers::start(1);
            // They end with this process, by the script's own watch.
            std::mem::take(&mut brokers.bootstrap)
        }
    })
}

/// Options for a log that nobody else uses. Its topics suit one broker, and few partitions.
pub fn options(bootstrap: &str, name: &str) -> KafkaOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    let mut options = KafkaOptions::new(bootstrap, format!("test-{name}-{}-{number}-{stamp}", std::process::id()));
    options.topics = TopicPlan {
        partitions: PartitionCounts { change: 4, rejected: 2, access: 2 },
        replication: 1,
        min_insync: 1,
        access_retention: None,
    };
    options
}

pub fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client")
}

/// Deletes topics of a log.
pub fn delete(options: &KafkaOptions, streams: &[Stream]) {
    let names: Vec<_> = streams.iter().map(|s| format!("{}.{}", options.prefix, s.name())).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let deleted = block_on(admin(&options.bootstrap).delete_topics(&names, &AdminOptions::new()));
    deleted.expect("the brokers answer");
}
