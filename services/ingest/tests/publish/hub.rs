//! A door over a real log, a real view store and real mutual TLS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use access::{Access, Kinds, PolicyDocument, ProcedureSet};
use arc_swap::ArcSwap;
use event_log::{Embedded, EventLog, LogOptions, Logged, PartitionCounts, StreamSet, Tuning};
use identity::{CertPaths, ClientTls, ConnectionLimits, DevCertsOptions, Incoming, ServerTls, TrustDomain, dev_certs};
use ingest::{Bootstrap, Deps, Ingest, Limits, RESPONSE_BYTES_MAX, Takes, bootstrap, system_clock, system_salts};
use ledger::{Signers, SigningKey};
use nation::{Config, Flaw, Nation, Operation};
use projection::state::ControlState;
use record::control::Control;
use record::{Entry, LogSecret, Partition, Positions, Stream};
use telemetry::Metrics;
use tokio::sync::{oneshot, watch};
use tonic::transport::{Channel, Endpoint, Server};
use view_store::{Expect, Options, ViewStore};
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::ingest::{Batch, BatchResult, Change, Outcome, PublishBatchRequest, outcome};

pub const ORIGIN: &str = "hub.test/log";

pub type Client = IngestServiceClient<Channel>;

pub struct Hub {
    pub dir: tempfile::TempDir,
    pub log: EventLog,
    pub secret: Arc<LogSecret>,
    pub key: Arc<SigningKey>,
    pub control: Arc<ArcSwap<ControlState>>,
    pub store: ViewStore,
    pub folded: watch::Sender<Positions>,
    pub address: SocketAddr,
    ingest: Ingest,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

pub fn domain() -> TrustDomain {
    TrustDomain::try_from("hub.test").expect("a valid trust domain")
}

pub fn first() -> Bootstrap {
    Bootstrap {
        kinds: b"kinds".to_vec(),
        policy: None,
        unit_lists: Vec::new(),
        keys: None,
        clock: system_clock(),
        salts: system_salts(),
    }
}

pub fn new_log(dir: &Path) -> EventLog {
    let options = LogOptions {
        partitions: PartitionCounts { change: 4, rejected: 1, access: 1 },
        tuning: Tuning { segment_bytes: 64 << 20, access_segment_bytes: 1 << 20, ..Tuning::default() },
    };
    Embedded::create(dir, &options, [7; 16]).expect("an empty folder").into()
}

/// What the control stream says, read from the log as the fold reads it.
pub fn control_of(log: &EventLog) -> ControlState {
    let mut state = ControlState::default();
    for logged in entries(log, Stream::Control) {
        let entry = Entry::decode(&logged.bytes).expect("an entry");
        let control = Control::decode(entry.plain_body().expect("plain")).expect("a control entry");
        state.apply(logged.position.index, entry.header.recorded_at, control);
    }
    state
}

pub fn entries(log: &EventLog, stream: Stream) -> Vec<Logged> {
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(stream)).expect("a log");
    let mut out = Vec::new();
    loop {
        let batch = reader.next_batch(10_000, 64 << 20).expect("a sound log");
        if batch.entries.is_empty() {
            return out;
        }
        out.extend(batch.entries);
    }
}

fn policy() -> Access {
    let attributes = contract::kinds().attributes();
    let rows: Vec<_> = attributes
        .iter()
        .map(|a| {
            (a.kind.name(), a.name.as_str(), access::Sensitivity::from_name(a.sensitivity.name()).expect("a class"))
        })
        .collect();
    let document = PolicyDocument::parse(access::BUILTIN_POLICY.as_bytes()).expect("a valid document");
    let kinds = Kinds::from_rows(rows).expect("kinds");
    Access::new(document, ProcedureSet::builtin(), kinds).expect("grants fit")
}

impl Hub {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = new_log(&dir.path().join("log"));
        Self::over(dir, log, limits).await
    }

    pub async fn over(dir: tempfile::TempDir, log: EventLog, limits: Limits) -> Self {
        let secret = Arc::new(LogSecret::new(&[3; 32]));
        bootstrap(&log, &secret, &first()).await.expect("a new log, or one with this secret");
        let views = dir.path().join("views");
        let expect = Expect { fold_version: 1, log_id: [7; 16] };
        let store = ViewStore::open(&views, Options { cache_bytes: 16 << 20, ..Options::default() }, expect);
        let store = store.expect("an empty folder").into_store();
        let control = Arc::new(ArcSwap::from_pointee(control_of(&log)));
        let signers = Arc::new(Signers::new(SigningKey::new(ORIGIN, &[1; 32]).expect("a name")));
        let key = signers.present();
        let (folded, seen) = watch::channel(Positions::new());
        let ingest = Ingest::new(Deps {
            log: log.clone(),
            secret: secret.clone(),
            signers,
            origin: ORIGIN.into(),
            control: control.clone(),
            access: Arc::new(ArcSwap::from_pointee(policy())),
            heads: Some(view_store::Serving::new(store.reader())),
            takes: Takes::All,
            folded: seen,
            limits,
            clock: system_clock(),
            salts: system_salts(),
            metrics: Metrics::disabled(),
        });
        let certs = dir.path().join("certs");
        if !certs.exists() {
            std::fs::create_dir(&certs).expect("a temporary folder");
            dev_certs(&certs, &DevCertsOptions::new(domain()), SystemTime::now()).expect("an empty folder");
        }
        let tls = ServerTls::load(&CertPaths::dev_server(&certs), domain()).expect("server files");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let incoming = Incoming::tls(listener, tls, ConnectionLimits::default()).into_stream();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::builder().add_service(ingest.service());
        let serving = serving.serve_with_incoming_shutdown(incoming, async move {
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move { serving.await.expect("the server runs") });
        Self { dir, log, secret, key, control, store, folded, address, ingest, stop, server }
    }

    /// A publisher with the certificate of this SPIFFE path.
    pub async fn client(&self, path: &str) -> Client {
        let tls = ClientTls::load(&CertPaths::dev_client(&self.dir.path().join("certs"), path)).expect("client files");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).expect("a URI");
        let channel = endpoint.tls_config(tls.tonic()).expect("usable").connect().await.expect("let in");
        IngestServiceClient::new(channel)
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
            .max_encoding_message_size(64 << 20)
    }

    pub fn refresh(&self) {
        self.control.store(Arc::new(control_of(&self.log)));
    }

    /// Whether the log takes entries.
    pub fn writable(&self) -> watch::Receiver<bool> {
        self.ingest.writable()
    }

    pub fn changes_in_log(&self) -> u64 {
        self.log.ends().of(Stream::Change).total()
    }

    pub fn refused_in_log(&self) -> u64 {
        self.log.ends().get(Stream::Rejected, Partition(0)).0
    }

    /// Stops the server and the door; the clients are dropped before.
    pub async fn stop(self) -> (tempfile::TempDir, EventLog) {
        let _ = self.stop.send(());
        self.server.await.expect("the server ends");
        self.ingest.shutdown().await;
        drop(self.store);
        (self.dir, self.log)
    }
}

/// Sound changes of a register from the synthetic nation, one per record.
pub fn sound(register: &'static str, count: usize) -> Vec<Change> {
    let mut seen = std::collections::HashSet::new();
    changes(register, |flaw, operation| flaw == Flaw::None && operation == Operation::Upsert)
        .into_iter()
        .filter(|change| seen.insert(change.record_id.clone()))
        .take(count)
        .collect()
}

/// Changes that break a hard rule of their contract.
pub fn flawed(register: &'static str) -> VecDeque<Change> {
    changes(register, |flaw, _| flaw == Flaw::Refused).into()
}

fn changes(register: &'static str, wanted: impl Fn(Flaw, Operation) -> bool) -> Vec<Change> {
    let nation = Nation::new(Config { persons: 3_000, ..Config::default() }).expect("within bounds");
    nation.changes(register).filter(|change| wanted(change.flaw, change.operation)).map(wire_change).collect()
}

fn wire_change(change: nation::PublishedChange) -> Change {
    let time = |micros: i64| Some(wire::timestamp(micros));
    Change {
        record_id: change.record_id,
        version: change.version,
        operation: match change.operation {
            Operation::Upsert => 1,
            Operation::Retract => 2,
        },
        record_type: change.record_type.into(),
        effective_at: time(change.effective_at),
        registered_at: time(change.registered_at),
        replaces: change.replaces,
        agency: change.agency,
        legal_basis: change.legal_basis.into(),
        reason: change.reason.into(),
        payload: change.payload.into(),
        traceparent: String::new(),
    }
}

pub fn batch(register: &str, changes: Vec<Change>) -> Batch {
    Batch { sequence: 5, register: register.into(), published_at: None, changes, register_epoch: 0 }
}

pub async fn publish(client: &mut Client, batch: Batch) -> BatchResult {
    let request = PublishBatchRequest { batch: Some(batch) };
    client.publish_batch(request).await.expect("a batch is answered").into_inner().result.expect("a result")
}

/// One letter per outcome: accepted, duplicate, conflict, rejected, unauthorised.
pub fn letters(result: &BatchResult) -> String {
    let letter = |outcome: &Outcome| match outcome.outcome.as_ref().expect("an outcome") {
        outcome::Outcome::Accepted(_) => 'a',
        outcome::Outcome::Duplicate(_) => 'd',
        outcome::Outcome::Conflict(_) => 'c',
        outcome::Outcome::Rejected(_) => 'r',
        outcome::Outcome::Unauthorised(_) => 'u',
    };
    result.outcomes.iter().map(letter).collect()
}

/// Rule ids of the refusal at `at`.
pub fn rules(result: &BatchResult, at: usize) -> Vec<String> {
    match result.outcomes[at].outcome.as_ref() {
        Some(outcome::Outcome::Rejected(rejected)) => rejected.violations.iter().map(|v| v.rule_id.clone()).collect(),
        other => panic!("not refused: {other:?}"),
    }
}
