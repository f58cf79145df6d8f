//! A country of several processes on one log, and load on it that goes on while they come and go.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use identity::{CertPaths, ClientTls};
use ingest::RESPONSE_BYTES_MAX;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use wire::ingest::Change;
use wire::ingest::ingest_service_client::IngestServiceClient;
use wire::query::query_service_client::QueryServiceClient;
use wire::query::subject_key::Key;

use crate::client::{Ingest, Query, ask, batch, letters, publish};
use crate::hub::{Hub, configured};
use crate::{Topics, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// One process: its directory stays when it ends.
pub struct Process {
    pub dir: TempDir,
    pub port: u16,
    hub: Option<Hub>,
}

impl Process {
    pub fn hub(&self) -> &Hub {
        self.hub.as_ref().expect("it runs")
    }

    pub fn start(&mut self) {
        self.hub = Some(Hub::start(self.dir.path()));
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start_ready(&mut self) {
        self.start();
        self.wait_ready();
    }

    pub fn wait_ready(&self) {
        until("it is ready", || self.hub().metrics("/readyz").starts_with("HTTP/1.1 200"));
    }

    /// It was started by somebody else.
    pub fn adopt(&mut self, hub: Hub) {
        self.hub = Some(hub);
    }

    /// By SIGTERM; it ends in order.
    pub fn stop(&mut self) {
        assert_eq!(self.hub.take().expect("it runs").stop().code(), Some(0), "{}", self.log());
    }

    pub fn kill(&mut self) {
        let hub = self.hub.take().expect("it runs");
        hub.signal("-KILL");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("serve.log")).expect("UTF-8")
    }
}

/// Processes by name, on topics of their own.
pub struct Country {
    topics: Topics,
    processes: BTreeMap<&'static str, Process>,
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Country {
    /// Makes the topics. Nothing runs yet.
    pub fn new(name: &str) -> Self {
        Self { topics: Topics::new(name), processes: BTreeMap::new() }
    }

    /// Adds a process with these roles, which is given the secrets by the others that are named, and starts it.
    pub fn add(&mut self, name: &'static str, roles: &str, keys_from: &[&str]) {
        self.add_with(name, roles, keys_from, "");
    }

    /// The same with further lines in its section [peers].
    pub fn add_with(&mut self, name: &'static str, roles: &str, keys_from: &[&str], peers: &str) {
        self.prepare(name, roles, keys_from, peers, 0);
        self.process(name).start();
    }

    /// The URIs of processes, as keys of the configuration name them.
    pub fn uris(&self, names: &[&str]) -> String {
        let uris = names.iter().map(|name| format!("https://127.0.0.1:{}", self.processes[name].port));
        uris.collect::<Vec<_>>().join(",")
    }

    /// The same, without starting it; `metrics` is the port of what it tells of itself.
    pub fn prepare(&mut self, name: &'static str, roles: &str, keys_from: &[&str], peers: &str, metrics: u16) {
        let (dir, port) = (configured(), free_port());
        self.topics.configure(dir.path(), "kafka");
        let path = dir.path().join("hub.toml");
        let config = std::fs::read_to_string(&path).expect("it was written");
        let from = match keys_from {
            [] => String::new(),
            from => format!("keys_from = \"{}\"\n", self.uris(from)),
        };
        let config = config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
        let own = format!(
            "[telemetry]\nprometheus_listen = \"127.0.0.1:{metrics}\"\n[keys]\nsecond_person = false\n[roles]\nserve = \"{roles}\"\ntakeover_after_ms = 1500\n[peers]\n{from}{peers}"
        );
        std::fs::write(&path, format!("{config}{own}")).expect("writable");
        match self.processes.values().next() {
            None => {
                json(dir.path(), &["kafka", "init"]);
            }
            Some(first) => copy_certs(first.dir.path(), dir.path()),
        }
        self.processes.insert(name, Process { dir, port, hub: None });
    }

    pub fn process(&mut self, name: &str) -> &mut Process {
        self.processes.get_mut(name).expect("it was added")
    }

    pub fn hub(&self, name: &str) -> &Hub {
        self.processes[name].hub()
    }

    /// Waits until these have folded what all have appended, and say the same.
    pub fn agree(&self, names: &[&str]) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let all: Vec<Value> = names.iter().map(|name| self.hub(name).folded()).collect();
            let equal = all.windows(2).all(|two| two[0]["digest"] == two[1]["digest"]);
            if equal && all.windows(2).all(|two| two[0]["folded"] == two[1]["folded"]) {
                return all;
            }
            assert!(begin.elapsed() < PATIENCE, "they do not agree: {all:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn channel(&self, name: &str, caller: &str) -> Channel {
        let process = &self.processes[name];
        let paths = CertPaths::dev_client(&process.dir.path().join("d/dev-certs"), caller);
        let tls = ClientTls::load(&paths).expect("client files");
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", process.port)).expect("a URI");
        let endpoint = endpoint.timeout(Duration::from_secs(40)).connect_timeout(Duration::from_secs(5));
        endpoint.tls_config(tls.tonic()).expect("usable").connect_lazy()
    }

    pub fn ingest(&self, name: &str) -> Ingest {
        self.register(name, "civil")
    }

    /// The publisher of a register, at a process.
    pub fn register(&self, name: &str, register: &str) -> Ingest {
        let channel = self.channel(name, &format!("register/{register}"));
        IngestServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    pub fn query(&self, name: &str) -> Query {
        QueryServiceClient::new(self.channel(name, "portal/national"))
    }

    /// Publishes and asks without an end, each request at one process and, if that fails, once more at the other.
    pub fn load(&self, ingests: [&str; 2], views: [&str; 2], changes: Vec<Change>) -> Load {
        let load = Load { changes: changes.len(), ..Load::default() };
        let state = &load.state;
        let publisher = publishing(state.clone(), ingests.map(|name| self.ingest(name)), changes);
        let asker = asking(state.clone(), views.map(|name| self.query(name)));
        let tasks = vec![tokio::spawn(publisher), tokio::spawn(asker)];
        Load { tasks, ..load }
    }
}

fn copy_certs(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("d")).expect("writable");
    let copied = std::process::Command::new("cp").arg("-rp").arg(from.join("d/dev-certs")).arg(to.join("d")).status();
    assert!(copied.expect("cp is there").success());
}

#[derive(Default)]
pub struct State {
    stop: AtomicBool,
    /// Changes that were acknowledged, each as often as it was published.
    pub acknowledged: AtomicUsize,
    pub answers: AtomicU64,
    pub retried: AtomicU64,
}

#[derive(Default)]
pub struct Load {
    pub state: Arc<State>,
    changes: usize,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Waits for so many more acknowledged changes and answers.
    pub fn goes_on(&self, changes: usize, answers: u64) {
        let (published, answered) = (
            self.state.acknowledged.load(Ordering::Acquire) + changes,
            self.state.answers.load(Ordering::Acquire) + answers,
        );
        until("the load goes on", || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a request failed twice");
            let state = &self.state;
            state.acknowledged.load(Ordering::Acquire) >= published && state.answers.load(Ordering::Acquire) >= answered
        });
    }

    /// Ends it; how many different changes were acknowledged.
    pub async fn stop(self) -> usize {
        self.state.stop.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.expect("no request failed twice");
        }
        self.state.acknowledged.load(Ordering::Acquire).min(self.changes)
    }
}

const CHUNK: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Publishes all changes in order, then all of them again, and so on.
async fn publishing(state: Arc<State>, mut clients: [Ingest; 2], changes: Vec<Change>) {
    for (turn, chunk) in changes.chunks(CHUNK).cycle().enumerate() {
        if state.stop.load(Ordering::Acquire) {
            return;
        }
        let mut first = publish(&mut clients[turn % 2], batch("civil", chunk.to_vec())).await;
        if first.is_err() {
            state.retried.fetch_add(1, Ordering::AcqRel);
            first = publish(&mut clients[(turn + 1) % 2], batch("civil", chunk.to_vec())).await;
        }
        let result = first.unwrap_or_else(|status| panic!("publishing failed twice: {status:?}"));
        assert!(letters(&result).chars().all(|outcome| matches!(outcome, 'a' | 'd')), "{}", letters(&result));
        state.acknowledged.fetch_add(chunk.len(), Ordering::AcqRel);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn asking(state: Arc<State>, mut clients: [Query; 2]) {
    let mut turn = 0;
    while !state.stop.load(Ordering::Acquire) {
        // Nobody has that number: an answer too, with its access entry.
        let question = || ask(Key::PersonalId("099000000000".into()), &["full_name"]);
        let answered = |result: Result<_, tonic::Status>| match result {
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            Err(status) => Err(status),
        };
        let mut first = answered(clients[turn % 2].get_subject(question()).await);
        if first.is_err() {
            state.retried.fetch_add(1, Ordering::AcqRel);
            first = answered(clients[(turn + 1) % 2].get_subject(question()).await);
        }
        first.unwrap_or_else(|status| panic!("a question failed twice: {status:?}"));
        state.answers.fetch_add(1, Ordering::AcqRel);
        turn += 1;
        tokio::time::sleep(PAUSE).await;
    }
}
