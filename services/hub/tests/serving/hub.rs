//! A hub in its own process and directory, and commands against it.

use std::io::{BufRead as _, BufReader};
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
    endpoint: String,
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
        let mut child = command(dir, &["serve", "--config", "hub.toml", "--dev-certs", "--json"])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::options().create(true).append(true).open(dir.join("serve.log")).expect("writable"))
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("UTF-8");
        let serving: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("{error}: {line:?}; {}", std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default())
        });
        let endpoint = serving["endpoint"].as_str().expect("an endpoint").to_owned();
        Self { dir: dir.to_owned(), endpoint, child }
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
    pub fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
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

/// Sound changes of a register as `hub publish` takes them, one per record.
pub fn lines(register: &'static str, count: usize) -> Vec<Value> {
    let nation = Nation::new(nation::Config { persons: 2_000, seed: 1 }).expect("within bounds");
    let descriptors = match contract::builtin().iter().find(|known| known.register == register) {
        Some(known) => known.descriptor_set,
        None => nation::population_descriptor_set(),
    };
    let contract = Contract::compile(descriptors).expect("a contract");
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
