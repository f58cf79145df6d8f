//! Where the brokers are, how to be let in, and the bounds of a client.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::error::OpenError;
use crate::options::{Clock, system_clock};
use crate::types::{APPEND_BYTES_MAX, ENTRY_BYTES_MAX, PartitionCounts};

/// Largest message in bytes: the largest entry with its headers.
pub(super) const MESSAGE_BYTES_MAX: usize = ENTRY_BYTES_MAX + (1 << 20);

/// How topics are made, and what is asked of those that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Partitions of every stream: used when topics are made; later the topics say.
    pub partitions: PartitionCounts,
    /// Brokers that keep each partition, at least. Default 3.
    pub replication: u16,
    /// Brokers that must have an entry before it is acknowledged, at least. Default 2.
    pub min_insync: u16,
    /// How long `access` is kept; `None` for ever. Default 1,826 days (five years).
    pub access_retention: Option<Duration>,
}

impl Default for TopicPlan {
    fn default() -> Self {
        let access_retention = Some(Duration::from_secs(1_826 * 86_400));
        Self { partitions: PartitionCounts::default(), replication: 3, min_insync: 2, access_retention }
    }
}

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Least CPU.
    #[default]
    Lz4,
    /// Least disk and network.
    Zstd,
}

/// TLS to the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaTls {
    /// The authority of the brokers' certificates, PEM; `None` for those that the system trusts.
    pub ca: Option<PathBuf>,
    /// This client's certificate and private key, PEM, where brokers ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A name and password for the brokers. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for KafkaSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, password: _ } = self;
        f.debug_struct("KafkaSasl").field("mechanism", mechanism).field("username", username).finish_non_exhaustive()
    }
}

/// The local files that hold what was read, so that a body costs no question to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalBodies {
    /// Their folder, used by one process at a time.
    pub dir: PathBuf,
    /// Their size at most, in bytes; past it the oldest file goes and its entries are asked of the brokers again. `None`: they grow with the log.
    pub bytes_max: Option<u64>,
}

/// What a process needs to know to use a log on Kafka.
#[derive(Clone)]
pub struct KafkaOptions {
    /// Brokers to ask first, `host:port` separated by commas.
    pub bootstrap: String,
    /// What the four topics' names begin with: `PREFIX.change` and so on.
    pub prefix: String,
    /// TLS; `None` for plaintext.
    pub tls: Option<KafkaTls>,
    /// SASL; `None` for none.
    pub sasl: Option<KafkaSasl>,
    /// What is asked of the topics.
    pub topics: TopicPlan,
    /// Whether the topics' settings are checked when the log is opened. Default yes; no only for a cluster that cannot tell them, such as the
    /// client library's mock.
    pub check_topics: bool,
    /// How messages are compressed.
    pub compression: Compression,
    /// Longest wait for an acknowledgement, and for room in the queue before. Default 30 s.
    pub append_timeout: Duration,
    /// Longest wait for an entry that is known to be there, and for any other answer. Default 30 s.
    pub read_timeout: Duration,
    /// After how long without an answer, or without an entry that is known to be there, the log says that it stalls. Default 5 s.
    pub stall_after: Duration,
    /// Time between two questions for the ends of the partitions. Default 200 ms.
    pub watch_interval: Duration,
    /// How long a message may wait for others to be sent with. Default 1 ms.
    pub linger: Duration,
    /// Bytes that wait to be acknowledged before `append` waits for room. Default 64 MiB.
    pub queue_bytes_max: u32,
    /// Bytes that one reader fetches ahead, over all its partitions. Default 64 MiB.
    pub reader_bytes_max: u32,
    /// Where bodies are kept locally; `None` in a process that reads none again.
    pub bodies: Option<LocalBodies>,
    /// Gives the append time. Default: the system's clock.
    pub clock: Clock,
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("bootstrap", &self.bootstrap)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl KafkaOptions {
    /// Defaults for a cluster without TLS.
    pub fn new(bootstrap: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            prefix: prefix.into(),
            tls: None,
            sasl: None,
            topics: TopicPlan::default(),
            check_topics: true,
            compression: Compression::default(),
            append_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            stall_after: Duration::from_secs(5),
            watch_interval: Duration::from_millis(200),
            linger: Duration::from_millis(1),
            queue_bytes_max: 64 << 20,
            reader_bytes_max: 64 << 20,
            bodies: None,
            clock: Arc::new(system_clock),
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let prefix_fits = !self.prefix.is_empty() && self.prefix.len() <= 200 && self.prefix.chars().all(named);
        let what = if self.bootstrap.trim().is_empty() {
            "bootstrap"
        } else if !prefix_fits {
            "prefix (letters, digits, '.', '_' and '-', at most 200)"
        } else if !self.topics.partitions.valid() {
            "number of partitions"
        } else if self.topics.min_insync == 0 || self.topics.min_insync > self.topics.replication {
            "min_insync (1 to the replication)"
        } else if self.queue_bytes_max < 64 << 10 {
            "queue_bytes_max"
        } else {
            return Ok(());
        };
        Err(OpenError::Options { what })
    }

    /// What every client needs.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "hub")
            // A topic that was deleted must not come back empty because somebody asked for it.
            .set("allow.auto.create.topics", "false")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("topic.metadata.propagation.max.ms", "5000");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            if let Some(ca) = &tls.ca {
                config.set("ssl.ca.location", ca.to_string_lossy());
            }
            if let Some((cert, key)) = &tls.client {
                config.set("ssl.certificate.location", cert.to_string_lossy());
                config.set("ssl.key.location", key.to_string_lossy());
            }
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", &sasl.mechanism);
            config.set("sasl.username", &sasl.username).set("sasl.password", &sasl.password);
        }
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.base()
    }

    /// Idempotent, without transactions: the fold commits its own positions.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        let compression = match self.compression {
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        };
        // What waits is bounded by bytes before it comes here; a single call may exceed that bound.
        let queue_kib = (self.queue_bytes_max as usize + 2 * APPEND_BYTES_MAX) >> 10;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", compression)
            .set("message.timeout.ms", self.append_timeout.as_millis().to_string())
            .set("retry.backoff.ms", "50")
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", queue_kib.to_string());
        config
    }

    /// Assigned by hand: the group's name is asked for by the client library, and nothing is committed to it.
    fn consumer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", format!("{}.reader", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "100");
        config
    }

    /// For a reader of so many partitions, each with its own queue.
    pub(super) fn reader(&self, partitions: usize) -> ClientConfig {
        let mut config = self.consumer();
        let each_kib = (self.reader_bytes_max as usize / partitions.max(1) / 1024).clamp(64, 16 << 10);
        config
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", each_kib.to_string())
            .set("fetch.message.max.bytes", (each_kib << 10).to_string())
            .set("fetch.wait.max.ms", "100");
        config
    }

    /// For single entries and questions.
    pub(super) fn lookup(&self) -> ClientConfig {
        let mut config = self.consumer();
        config
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.message.max.bytes", (256 << 10).to_string())
            .set("fetch.wait.max.ms", "10");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_debug_text() {
        let mut options = KafkaOptions::new("a:1", "hub");
        let sasl = KafkaSasl { mechanism: "PLAIN".into(), username: "hub".into(), password: "s3cret".into() };
        options.sasl = Some(sasl);
        let text = format!("{options:?} {:?}", options.sasl);
        assert!(text.contains("PLAIN") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn what_cannot_be_a_topic_name_is_refused() {
        for prefix in ["", "a b", "x/y", &"x".repeat(201)] {
            assert!(matches!(KafkaOptions::new("a:1", prefix).check(), Err(OpenError::Options { .. })), "{prefix}");
        }
        assert!(KafkaOptions::new("a:1", "hub-2.x_y").check().is_ok());
    }
}
