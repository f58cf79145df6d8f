//! Every key of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::section::Bounds::{Any, OneOf, Optional, Share, SomeOf, Text, Whole};
use super::section::section;

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;

const fn whole(min: i64, max: i64, unit: &'static str) -> super::section::Bounds {
    Whole { min, max, unit }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

section! {
    /// Keys at the top of the file.
    Top "" {
        /// Directory of the log, the views and the development certificates. Relative paths in this file start here,
        /// except this one, which starts where the hub is started.
        data_dir: PathBuf = "hub-data".into(), Text;
        /// SPIFFE trust domain of every caller's certificate.
        trust_domain: String = "hub.test".to_owned(), Text;
        /// Name of this hub's log in signed receipts and checkpoints. Never change it once receipts were given.
        origin: String = "hub.test/log".to_owned(), Text;
        /// Administrative unit lists to load when the log is created: files that `hub units import --out` wrote, oldest first.
        unit_lists: Vec<PathBuf> = Vec::new(), Any;
        /// Policy that a new log begins with; absent: the built-in one, for development. Afterwards `hub policy put` replaces it, and this is not read.
        policy: Option<PathBuf> = None, Optional { example: "\"/etc/hub/policy.toml\"" };
    }
}

section! {
    /// The gRPC server.
    Grpc "grpc" {
        /// Address and port to listen on.
        listen: SocketAddr = loopback(7443), Any;
        /// Largest message that queries and administration take. A publisher's batch has a bound of its own: 8 MiB.
        message_bytes_max: u32 = 16 << 20, whole(64 * KIB, 256 * MIB, "bytes");
        /// Open connections; further peers are dropped.
        connections_max: u32 = 4096, whole(1, 65_536, "connections");
        /// TLS handshakes that run at the same time; further peers wait.
        handshakes_max: u32 = 64, whole(1, 4096, "handshakes");
        /// Longest TLS handshake.
        handshake_timeout_ms: u64 = 10_000, whole(100, 60_000, "milliseconds");
        /// Interval of keep-alive pings on idle connections.
        keepalive_interval_ms: u64 = 30_000, whole(1_000, 600_000, "milliseconds");
        /// How long a hub that is to stop goes on serving, while it says already that it is not ready: as long as a load balancer
        /// needs to see it.
        drain_ms: u64 = 0, whole(0, 600_000, "milliseconds");
        /// Longest wait for running requests when the hub stops.
        stop_timeout_ms: u64 = 10_000, whole(0, 600_000, "milliseconds");
    }
}

section! {
    /// What this process does; several processes share a log on Kafka.
    Roles "roles" {
        /// "ingest" takes changes; "views" folds them and answers; "audit" folds them, keeps the ledger, writes cuts, and holds the log's
        /// secrets for the others. Separated by commas.
        serve: String = "ingest,views,audit".to_owned(), Text;
        /// Registers whose changes this process takes; empty for all.
        registers: Vec<String> = Vec::new(), Any;
        /// How long no cut came although one was due until another process with the role audit takes over writing them.
        takeover_after_ms: u64 = 5_000, whole(500, 600_000, "milliseconds");
    }
}

section! {
    /// Other processes of the same hub.
    Peers "peers" {
        /// Processes with the role audit, asked in turn for the log's secrets and keys: URIs, separated by commas. Absent: this process has its
        /// own. With the role audit they are kept, so that it can give them too; otherwise they are held in memory only.
        keys_from: Option<String> = None, Optional { example: "\"https://hub-audit-0:7443,https://hub-audit-1:7443\"" };
        /// Processes that fold (roles views or audit), asked in turn for a copy of their views when this one folds and has none that it can use:
        /// URIs, separated by commas. Absent, or when none gives them: the log is folded from its beginning.
        views_from: Option<String> = None, Optional { example: "\"https://hub-views-0:7443,https://hub-views-1:7443\"" };
        /// How fast this process gives a copy of its views, at most; one at a time.
        views_bytes_per_s: u64 = 64 << 20, whole(MIB, 16 * GIB, "bytes a second");
        /// SPIFFE paths of the processes that are given secrets and views. Nobody is given them without TLS.
        callers: Vec<String> = vec!["process/hub".to_owned()], Any;
        /// The certificate chain that this process shows to others, PEM.
        cert: PathBuf = "dev-certs/process-hub.pem".into(), Text;
        /// Its private key, PEM.
        key: PathBuf = "dev-certs/process-hub.key".into(), Text;
        /// The authority of the others' server certificates, PEM.
        ca: PathBuf = "dev-certs/ca.pem".into(), Text;
    }
}

section! {
    /// The same services as JSON over HTTP, on the same address.
    Http "http" {
        /// Whether they are served.
        enabled: bool = true, Any;
        /// Largest body of a request. A publisher's batch as JSON takes a third more than its bytes.
        body_bytes_max: u32 = 16 << 20, whole(64 * KIB, 256 * MIB, "bytes");
        /// Longest time to receive a request's body.
        body_timeout_ms: u64 = 30_000, whole(100, 600_000, "milliseconds");
        /// Requests that are read and answered at the same time; further ones wait. Streams count only until they begin.
        requests_max: u32 = 64, whole(1, 4096, "requests");
    }
}

section! {
    /// Who may connect.
    Tls "tls" {
        /// "mutual": every caller needs a client certificate. "off": for development, plaintext on a loopback address
        /// only, everybody is `plaintext_principal`.
        mode: String = "mutual".to_owned(), OneOf(&["mutual", "off"]);
        /// The server's certificate chain, PEM.
        cert: PathBuf = "dev-certs/server.pem".into(), Text;
        /// The server's private key, PEM.
        key: PathBuf = "dev-certs/server.key".into(), Text;
        /// The authority that issues client certificates, PEM.
        client_ca: PathBuf = "dev-certs/ca.pem".into(), Text;
        /// The client authority's list of certificates that it has revoked, PEM, as of the hub's start. With one, who is not known to be
        /// unrevoked is refused: also everybody once the list has passed its end.
        revoked: Option<PathBuf> = None, Optional { example: "\"/etc/hub/tls/revoked.pem\"" };
        /// SPIFFE path of every caller when the mode is "off".
        plaintext_principal: String = "operator/ops".to_owned(), Text;
    }
}

section! {
    /// The log.
    Log "log" {
        /// Where the log is: "embedded", in files of the data directory, for one process; "kafka", in topics of an Apache Kafka cluster.
        kind: String = "embedded".to_owned(), OneOf(&["embedded", "kafka"]);
        /// Partitions of the change stream. Fixed when the log is created.
        partitions: u32 = 64, whole(1, 1024, "partitions");
        /// Partitions of the access stream. Fixed when the log is created.
        access_partitions: u32 = 8, whole(1, 256, "partitions");
        /// Embedded: size of one segment file.
        segment_bytes: u64 = 256 << 20, whole(MIB, 4 * GIB, "bytes");
        /// Embedded: bytes after which what is made durable together takes no more; bounds the wait for a flush.
        group_commit_bytes_max: u64 = 4 << 20, whole(64 * KIB, 16 * MIB, "bytes");
        /// How long access entries are kept.
        access_retention_days: u32 = 1_826, whole(1, 36_500, "days");
    }
}

section! {
    /// The log on Apache Kafka, where its kind is "kafka".
    LogKafka "log.kafka" {
        /// Brokers to ask first: host:port, separated by commas.
        bootstrap: String = "127.0.0.1:9092".to_owned(), Text;
        /// What the names of the log's topics begin with.
        prefix: String = "hub".to_owned(), Text;
        /// Brokers that keep each partition, at least.
        replication: u32 = 3, whole(1, 32, "brokers");
        /// Brokers that have an entry before it is acknowledged, at least.
        min_insync_replicas: u32 = 2, whole(1, 32, "brokers");
        /// Whether brokers are spoken to over TLS.
        tls: String = "off".to_owned(), OneOf(&["on", "off"]);
        /// The authority of the brokers' certificates, PEM; absent: those that the system trusts.
        ca: Option<PathBuf> = None, Optional { example: "\"/etc/hub/kafka/ca.pem\"" };
        /// This hub's certificate chain for brokers that ask for one, PEM.
        cert: Option<PathBuf> = None, Optional { example: "\"/etc/hub/kafka/hub.pem\"" };
        /// Its private key, PEM.
        key: Option<PathBuf> = None, Optional { example: "\"/etc/hub/kafka/hub.key\"" };
        /// How the hub proves its name to brokers.
        sasl: String = "off".to_owned(), OneOf(&["off", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
        /// The name.
        sasl_username: Option<String> = None, Optional { example: "\"hub\"" };
        /// File that holds the password, readable by the hub's user only.
        sasl_password_file: Option<PathBuf> = None, Optional { example: "\"/etc/hub/kafka/password\"" };
        /// How entries are compressed.
        compression: String = "lz4".to_owned(), OneOf(&["lz4", "zstd"]);
        /// Longest wait for an acknowledgement.
        append_timeout_ms: u64 = 30_000, whole(1_000, 600_000, "milliseconds");
        /// Longest wait for any other answer.
        read_timeout_ms: u64 = 30_000, whole(1_000, 600_000, "milliseconds");
        /// After how long without an answer the hub says that the log stalls, and is not ready.
        stall_after_ms: u64 = 5_000, whole(500, 600_000, "milliseconds");
        /// Time between two questions for what other processes have appended.
        watch_interval_ms: u64 = 200, whole(10, 60_000, "milliseconds");
        /// Bytes that wait to be acknowledged; then publishers wait.
        queue_bytes_max: u32 = 64 << 20, whole(MIB, 1024 * MIB, "bytes");
        /// Bytes that each reader of the log fetches ahead.
        reader_bytes_max: u32 = 64 << 20, whole(MIB, 1024 * MIB, "bytes");
        /// Size of the local copies of entries that were read, at most; what is no longer there is asked of the brokers. 0: they grow with the log.
        bodies_bytes_max: u64 = 0, whole(0, 1024 * 1024 * GIB, "bytes");
    }
}

section! {
    /// The keys that bodies of changes are encrypted under.
    Keys "keys" {
        /// Why a new log is to store its bodies plain. Absent, they are encrypted; a log that has keys stays encrypted.
        plain_because: Option<String> = None, Optional { example: "\"a benchmark without personal data\"" };
        /// Where the key is that the key file is encrypted under: a file, or a PKCS#11 token.
        wrapping: String = "file".to_owned(), OneOf(&["file", "pkcs11"]);
        /// That file; made when there is none. Better on another disk than the data directory.
        wrapping_file: PathBuf = "keys/wrapping".into(), Text;
        /// The token's module: a shared library of its maker.
        pkcs11_module: PathBuf = "/usr/lib/softhsm/libsofthsm2.so".into(), Text;
        /// The token's label.
        pkcs11_token: String = "hub".to_owned(), Text;
        /// A file with the token's PIN, readable by its owner only.
        pkcs11_pin: PathBuf = "secret/pin".into(), Text;
        /// Label of the key in the token.
        pkcs11_key: String = "hub wrapping key".to_owned(), Text;
        /// Whether an erasure waits for the approval of a second person.
        second_person: bool = true, Any;
    }
}

section! {
    /// What operators and reviewers order.
    Admin "admin" {
        /// Orders that count only when a second person approves them, who may give the same order and is not who gave it.
        /// Erasures have a key of their own: `keys.second_person`.
        second_person: Vec<String> = Vec::new(), SomeOf(&[
            "contract", "units", "policy", "procedures", "model", "model_switch", "register_epoch", "decision",
            "quarantine", "fold_approved",
        ]);
    }
}

section! {
    /// The ledger, which makes the log provable to others.
    Ledger "ledger" {
        /// Least time between two signed checkpoints. One is signed when something was added, and none while nothing is.
        checkpoint_interval_ms: u64 = 1_000, whole(100, 600_000, "milliseconds");
        /// Time between two flushes of the ledger's files; after a crash the rest is made again from the log.
        commit_interval_ms: u64 = 30_000, whole(100, 3_600_000, "milliseconds");
        /// Whether the whole log is compared with the ledger when the hub starts, beside its work. The newest entries always are.
        verify_on_start: bool = true, Any;
        /// Where tiles and checkpoints are served over HTTP, for everybody who can connect: they hold no personal data.
        listen: Option<SocketAddr> = None, Optional { example: "\"127.0.0.1:9465\"" };
        /// Requests for tiles that are answered at the same time; further ones wait.
        requests_max: u32 = 64, whole(1, 4_096, "requests");
        /// Whose cosignatures are asked for: a trust policy (c2sp.org/tlog-policy) with the URLs of witnesses.
        witnesses: Option<PathBuf> = None, Optional { example: "\"/etc/hub/witnesses\"" };
        /// The authorities that a witness with an https URL is certified by, PEM.
        witness_ca: PathBuf = "/etc/ssl/certs/ca-certificates.crt".into(), Text;
    }
}

section! {
    /// The view store.
    Store "store" {
        /// Which store holds the views; the log can rebuild either.
        kind: String = "fjall".to_owned(), OneOf(&["fjall", "sled"]);
        /// Memory for the store's cache.
        cache_bytes: u64 = 256 << 20, whole(8 * MIB, 1024 * GIB, "bytes");
        /// Most records that the fold commits together.
        batch_records: u32 = 4_096, whole(1, 65_536, "records");
        /// How often all rows of the views are read again, slowly, and compared with their digest.
        check_interval_s: u32 = 3_600, whole(1, 31_536_000, "seconds");
    }
}

section! {
    /// What one caller may take.
    Limits "limits" {
        /// Batches of one connection that are not answered yet; then the hub stops reading.
        batches_in_flight: u32 = 8, whole(1, 1024, "batches");
        /// Queries that wait for their turn; a further one is refused, and may be repeated.
        queries_max: u32 = 256, whole(1, 65_536, "queries");
    }
}

section! {
    /// Measures from these on are shown as green, down to 0.15 below as yellow, and further down as red; nothing is refused for them.
    Quality "quality" {
        /// Values that match the authoritative register.
        correct_min: f64 = 0.90, Share;
        /// Required values that are filled, times objects that are there.
        sufficient_min: f64 = 0.90, Share;
        /// Records without a violation or surplus duplicate.
        clean_min: f64 = 0.90, Share;
        /// Changes published within the promise of their contract.
        alive_min: f64 = 0.90, Share;
    }
}

section! {
    /// What the hub tells of itself.
    Telemetry "telemetry" {
        /// How log lines look.
        log_format: String = "text".to_owned(), OneOf(&["text", "json"]);
        /// What is logged: a level, or directives such as "info,ingest=debug".
        log_filter: String = "info,fjall=warn,lsm_tree=warn,sled=warn".to_owned(), Text;
        /// Where traces, metrics and logs go by OTLP/gRPC.
        otlp_endpoint: Option<String> = None, Optional { example: "\"http://127.0.0.1:4317\"" };
        /// Share of traces that begin here and are recorded. A publisher's own decision comes first.
        trace_ratio: f64 = 0.01, Share;
        /// Where /metrics, /healthz and /readyz are served.
        prometheus_listen: Option<SocketAddr> = None, Optional { example: "\"127.0.0.1:9464\"" };
    }
}
