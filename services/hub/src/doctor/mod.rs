//! Looks at a configuration and a data directory that no hub uses, and says what is wrong in words, each with the next step.
//!
//! Nothing is changed: what the next start would cut, repair or fold anew is told as a note. Each part has its own module; what it reads with are
//! the readers of the libraries, `inspect` of `event-log`, `view-store` and `tile-store`.

mod certificates;
mod configuration;
mod disk;
mod files;
mod keys;
mod ledger;
mod log;
mod secrets;
mod views;

use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::config::Config;
use crate::server::roles::Roles;

/// Findings of one kind that are shown one by one; of more the rest is counted.
const SHOWN_MAX: usize = 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was looked at, and is as it should be.
    Ok,
    /// To know; nothing is to be done.
    Note,
    /// The hub runs, and something should be done before it matters.
    Warning,
    /// The hub does not start, or what it was told to keep is not there.
    Fault,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: configuration, certificates, files, disk, secrets, log, ledger, keys or views.
    pub part: &'static str,
    /// How bad it is.
    pub state: State,
    /// What was found.
    pub what: String,
    /// The next step; empty when nothing is to be done.
    pub what_to_do: String,
    /// The file, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The entry of the log as `stream/partition/index`, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        part: &'static str,
        state: State,
        what: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> &mut Finding {
        let (what, what_to_do) = (what.into(), what_to_do.into());
        self.0.push(Finding { part, state, what, what_to_do, file: None, entry: None });
        self.0.last_mut().expect("it was pushed just now")
    }

    fn ok(&mut self, part: &'static str, what: impl Into<String>) {
        self.add(part, State::Ok, what, "");
    }

    fn fault(&mut self, part: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> &mut Finding {
        self.add(part, State::Fault, what, what_to_do)
    }

    /// Whether a part has no finding worse than a note.
    fn is_well(&self, part: &str) -> bool {
        !self.0.iter().any(|finding| finding.part == part && finding.state > State::Note)
    }
}

impl Finding {
    fn about(&mut self, file: &Path) -> &mut Self {
        self.file = Some(file.to_owned());
        self
    }
}

/// Looks at everything. `quick` leaves out reading log, ledger and views through.
pub fn examine(config: &Config, quick: bool, now: SystemTime) -> Vec<Finding> {
    let mut findings = Findings::default();
    configuration::look(config, &mut findings);
    certificates::look(config, now, &mut findings);
    let dir = config.top.data_dir.as_path();
    if !dir.join("secret").exists() && !dir.join("log").exists() {
        let what = format!("{} holds no log yet", dir.display());
        findings.add("files", State::Note, what, "'hub serve' begins one; name another directory with --data-dir");
        disk::look(config, &mut findings);
        return findings.0;
    }
    files::look(config, &mut findings);
    disk::look(config, &mut findings);
    match Held::take(dir) {
        Ok(held) => inside(config, quick, &mut findings, &held),
        Err(holder) => {
            let what = format!("{} is in use by {holder}: its files change, and were not read", dir.display());
            let next = "ask the hub itself: 'hub status', 'hub audit verify', 'hub views verify'; or stop it and run 'hub doctor' again";
            findings.add("files", State::Note, what, next);
        }
    }
    findings.0
}

fn inside(config: &Config, quick: bool, findings: &mut Findings, _held: &Held) {
    let mut ledger = ledger::Comparison::default();
    let told = if config.log.kind == "kafka" {
        let next = "'hub kafka check' looks at its topics";
        findings.add("log", State::Note, format!("the log is on Kafka at {}", config.log_kafka.bootstrap), next);
        log::Told::default()
    } else {
        let dir = config.top.data_dir.join("log");
        match event_log::describe(&dir) {
            Ok((_, partitions)) => {
                ledger = ledger::look(config, partitions, quick, findings);
                log::look(config, quick, &mut ledger, findings)
            }
            Err(error) => {
                log::refused(&error, findings);
                log::Told::default()
            }
        }
    };
    if keeps_secrets(config) {
        secrets::look(config, &told, findings);
        keys::look(config, &told, findings);
    }
    ledger.finish(config, &told, findings);
    views::look(config, &told, quick, findings);
}

/// Whether this process keeps the log's secrets: one that is given them by another keeps none, but with the role audit.
fn keeps_secrets(config: &Config) -> bool {
    config.peers.keys_from.is_none() || Roles::of(config).is_ok_and(|roles| roles.audit)
}

/// The hold on a data directory while it is looked at: no hub starts on it meanwhile.
struct Held(#[allow(dead_code, reason = "the open file is the lock")] Option<File>);

impl Held {
    /// # Errors
    /// Who has it.
    fn take(dir: &Path) -> Result<Self, String> {
        // Without a lock file no hub was ever there; one that cannot be read shows among the files.
        let Ok(mut file) = File::open(dir.join("hub.lock")) else { return Ok(Self(None)) };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: without the number it says less.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                Err(if holder.is_empty() { "a hub".into() } else { format!("the hub with process number {holder}") })
            }
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(Some(file))),
        }
    }
}

/// Says the first of many, and how many more there are.
fn first_of<T>(items: &[T]) -> (&[T], Option<String>) {
    let shown = &items[..items.len().min(SHOWN_MAX)];
    let more = items.len() - shown.len();
    (shown, (more > 0).then(|| format!("{more} more of the same kind")))
}
