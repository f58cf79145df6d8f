//! A hub in its own process and directory, and commands against it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use contract::Contract;
use nation::{Flaw, Nation, Operation};
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub const CONFIG: &str = "\
data_dir = \"d\"
[grpc]
listen = \"127.0.0.1:0\"
stop_timeout_ms = 2000
[log]
partitions = 4
access_partitions = 1
segment_bytes = 4194304
[store]
cache_bytes = 16777216
";

pub struct Hub {
    pub dir: PathBuf,
    pub endpoint: String,
    metrics: Option<String>,
    tiles: Option<String>,
    child: Child,
}

/// Runs a command in a directory; its standard input is empty.
pub fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).stdin(Stdio::null()).output().expect("the program starts")
}

pub fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
    command.args(arguments).current_dir(dir).env_remove("NO_COLOR");
    command
}

fn get(address: &str, path: &str) -> Vec<u8> {
    let mut stream = std::net::TcpStream::connect(address).expect("the endpoint listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").expect("an open connection");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    answer
}

/// A directory with a hub whose ledger is fast, and served.
pub fn audited() -> tempfile::TempDir {
    let dir = configured();
    let ledger = "[ledger]\ncheckpoint_interval_ms = 100\ncommit_interval_ms = 300\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(dir.path().join("hub.toml"), format!("{CONFIG}{ledger}")).expect("writable");
    dir
}

pub fn configured() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("hub.toml"), CONFIG).expect("writable");
    dir
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

impl Hub {
    pub fn start(dir: &Path) -> Self {
        Self::start_in(dir, &[])
    }

    /// Starts it with further variables in its environment. What it prints goes to `serve.out` and `serve.log` in its directory.
    pub fn start_in(dir: &Path, environment: &[(&str, &str)]) -> Self {
        Self::try_start_in(dir, environment)
            .unwrap_or_else(|(status, log)| panic!("it does not serve ({status}): {log}"))
    }

    /// The same, or how it ended and its log.
    pub fn try_start_in(dir: &Path, environment: &[(&str, &str)]) -> Result<Self, (ExitStatus, String)> {
        let mut program = command(dir, &["serve", "--config", "hub.toml", "--dev-certs", "--json"]);
        program.envs(environment.iter().copied());
        Self::try_start_by(dir, program)
    }

    /// The same by a command that runs `hub serve --json` in that directory.
    pub fn try_start_by(dir: &Path, mut program: Command) -> Result<Self, (ExitStatus, String)> {
        let append = |name: &str| {
            std::fs::File::options().create(true).append(true).open(dir.join(name)).expect("a writable directory")
        };
        let out = append("serve.out");
        let before = usize::try_from(out.metadata().expect("a file").len()).expect("a short file");
        let mut child =
            program.stdout(out).stderr(append("serve.log")).stdin(Stdio::null()).spawn().expect("the program starts");
        let log = || std::fs::read_to_string(dir.join("serve.log")).expect("UTF-8");
        let begin = Instant::now();
        let line = loop {
            let text = std::fs::read_to_string(dir.join("serve.out")).expect("UTF-8");
            if let Some((line, _)) = text[before..].split_once('\n') {
                break line.to_owned();
            }
            if let Some(ended) = child.try_wait().expect("a child") {
                return Err((ended, log()));
            }
            assert!(begin.elapsed() < PATIENCE, "the hub does not serve: {}", log());
            std::thread::sleep(Duration::from_millis(5));
        };
        let serving: Value = serde_json::from_str(&line).expect("one JSON object");
        let endpoint = serving["endpoint"].as_str().expect("an endpoint").to_owned();
        let address = |name: &str| serving[name].as_str().map(|uri| uri.trim_start_matches("http://").to_owned());
        Ok(Self { dir: dir.to_owned(), endpoint, metrics: address("metrics"), tiles: address("tiles"), child })
    }

    /// What an HTTP request to the metrics endpoint is answered.
    pub fn metrics(&self, path: &str) -> String {
        let address = self.metrics.as_deref().expect("the configuration has an address for metrics");
        String::from_utf8(get(address, path)).expect("UTF-8")
    }

    /// Head and body of what an HTTP request for a file of the ledger is answered.
    pub fn tile(&self, path: &str) -> (String, Vec<u8>) {
        let answer = get(self.tiles.as_deref().expect("the configuration has an address for tiles"), path);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head and a body");
        (String::from_utf8(answer[..end].to_vec()).expect("ASCII").to_lowercase(), answer[end + 4..].to_vec())
    }

    /// What the ledger says of itself, also when it is not well.
    pub fn ledger(&self) -> Value {
        let output = self.ask(&["audit", "status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)))
    }

    /// Waits until the ledger is as wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let ledger = self.ledger();
            if wanted(&ledger) {
                return ledger;
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {ledger}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a checkpoint covers every change and access that is in the log now, and tells the ledger.
    pub fn checkpointed(&self) -> Value {
        let status = self.json(&["status"]);
        let ends = status["log_ends"].as_object().expect("ends").clone();
        let begin = Instant::now();
        loop {
            let ledger = self.ledger();
            assert_eq!(ledger["stopped"], "", "{ledger}");
            let wanted = ends.iter().filter(|(name, _)| name.starts_with("change/") || name.starts_with("access/"));
            if wanted.clone().all(|(name, end)| ledger["covered"][name].as_u64() >= end.as_u64()) {
                return ledger;
            }
            assert!(begin.elapsed() < PATIENCE, "{ledger}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Bytes of memory that the process holds now.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }

    pub fn address(&self) -> &str {
        self.endpoint.trim_start_matches("https://")
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command as a client of this hub.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        run(&self.dir, &[arguments, &["--config", "hub.toml", "--endpoint", &self.endpoint]].concat())
    }

    /// The JSON answer of a command that succeeds.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.ask(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON value")
    }

    /// Waits until everything in the log is folded, and tells the status.
    pub fn folded(&self) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.json(&["status"]);
            if status["behind"] == 0 {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "{status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Stops it by SIGTERM and tells how it ended.
    pub fn stop(self) -> ExitStatus {
        self.signal("-TERM");
        self.ended()
    }

    /// Waits for the end of one that was told to stop, and tells how it ended.
    pub fn ended(mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the hub does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Ended already, or not wanted any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn contract_of(register: &str) -> Contract {
    let descriptors = match contract::builtin().iter().find(|known| known.register == register) {
        Some(known) => known.descriptor_set,
        None => nation::population_descriptor_set(),
    };
    Contract::compile(descriptors).expect("a contract")
}

/// Sound changes of a register as `hub publish` takes them, one per record.
pub fn lines(register: &'static str, count: usize) -> Vec<Value> {
    let nation = Nation::new(nation::Config { persons: 2_000, seed: 1 }).expect("within bounds");
    let contract = contract_of(register);
    let mut seen = std::collections::HashSet::new();
    nation
        .changes(register)
        .filter(|change| change.flaw == Flaw::None && change.operation == Operation::Upsert)
        .filter(|change| seen.insert(change.record_id.clone()))
        .take(count)
        .map(|change| {
            let time = |micros| jiff::Timestamp::from_microsecond(micros).expect("a time").to_string();
            json!({
                "record_id": change.record_id,
                "version": change.version,
                "record_type": change.record_type,
                "effective_at": time(change.effective_at),
                "registered_at": time(change.registered_at),
                "agency": change.agency,
                "record": contract.body_to_json(change.record_type, &change.payload).expect("a sound record"),
            })
        })
        .collect()
}

pub fn write_lines(path: &Path, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(path, text).expect("writable");
}
