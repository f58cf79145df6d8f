//! One bit of one file flips while the hub is off: it is detected before anything of it is served, or nothing that is served differs.
//!
//! Detected is: the hub does not start and names the reason; it folds views, index or ledger anew and says so; a command or an answer fails and says
//! so. What is then answered must be what was answered before.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tonic::Code;
use wire::query::get_subject_response::Result as Answered;
use wire::query::subject_key::Key;

use crate::client::{Query, ask, batch, letters, publish};
use crate::hub::{CONFIG, Hub, stderr};
use crate::load::{REGISTERS, stock};
use crate::rounds::{Chance, Rounds, figure};

const CHANGES: usize = 900;
/// Persons who are asked for after each flip.
const ASKED: usize = 40;
/// Flips of one data directory.
const FLIPS: u64 = 12;

/// A data directory of a hub that was stopped, and what that hub had answered.
struct Sound {
    dir: tempfile::TempDir,
    files: Vec<PathBuf>,
    persons: Vec<String>,
    answers: Vec<String>,
    digest: String,
}

fn config(store: &str) -> String {
    let small = CONFIG.replace("segment_bytes = 4194304", "segment_bytes = 1048576");
    let ledger = "[ledger]\ncheckpoint_interval_ms = 100\ncommit_interval_ms = 300\n";
    format!("{small}kind = \"{store}\"\n{ledger}")
}

/// What is the same whenever it is asked.
fn essence(answer: &wire::query::GetSubjectResponse) -> String {
    match answer.result.as_ref().expect("a result") {
        Answered::NotFound(_) => "not found".to_owned(),
        Answered::Ambiguous(several) => format!("{:?}", several.subjects),
        Answered::Subject(subject) => {
            let mut out = format!("{} {} {:?}", subject.id, subject.records, subject.findings);
            for attribute in &subject.attributes {
                write!(out, " {}", attribute.name).expect("a string takes all");
                for value in attribute.value.iter().chain(&attribute.competing) {
                    let source = value.source.as_ref().expect("a source");
                    write!(out, " {:?} of {} {}", value.value, source.record, source.position).expect("a string");
                }
            }
            for relation in &subject.relations {
                write!(out, " {} {} {}", relation.relation, relation.direction, relation.subject).expect("a string");
            }
            out
        }
    }
}

/// What the portal is told of each person: an answer, or the code of an error that says so.
async fn answers(portal: &mut Query, persons: &[String]) -> Vec<Result<String, Code>> {
    let mut out = Vec::new();
    for person in persons {
        let question = ask(Key::PersonalId(person.clone()), &["full_name", "birth_date", "sex"]);
        let answer = portal.get_subject(question).await;
        out.push(answer.map(|answer| essence(answer.get_ref())).map_err(|status| status.code()));
    }
    out
}

impl Sound {
    async fn new(store: &str, chance: &mut Chance) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("hub.toml"), config(store)).expect("writable");
        let hub = Hub::start(dir.path());
        let mut persons = Vec::new();
        for register in REGISTERS {
            let (changes, numbers) = stock(register);
            persons.extend(numbers);
            let from = chance.below((changes.len() - CHANGES) as u64) as usize;
            let mut client = hub.ingest(&format!("register/{register}")).await;
            for chunk in changes[from..from + CHANGES].chunks(100) {
                let told = publish(&mut client, batch(register, chunk.to_vec())).await.expect("taken");
                assert_eq!(letters(&told), "a".repeat(chunk.len()));
            }
        }
        let persons: Vec<String> = (0..ASKED).map(|_| chance.pick(&persons).clone()).collect();
        let digest = hub.folded()["digest"].as_str().expect("a digest").to_owned();
        let answered = answers(&mut hub.query("portal/national").await, &persons).await;
        let answers = answered.into_iter().map(|answer| answer.expect("a sound hub answers")).collect();
        hub.checkpointed();
        assert_eq!(hub.stop().code(), Some(0));
        let mut files = Vec::new();
        list(&dir.path().join("d"), &mut files);
        // Certificates are replaced by hand and judged by whoever connects; the lock holds a number for people.
        files.retain(|file| !file.starts_with(dir.path().join("d/dev-certs")) && !file.ends_with("hub.lock"));
        files.retain(|file| file.metadata().expect("there").len() > 0);
        Self { dir, files, persons, answers, digest }
    }

    /// A copy in which one bit of one file is another: where.
    fn flipped(&self, chance: &mut Chance) -> (tempfile::TempDir, PathBuf, String) {
        let copy = tempfile::tempdir().expect("a temporary directory");
        let mut cp = Command::new("cp");
        let copied = cp.args(["-r", "--sparse=always"]).arg(self.dir.path().join("d")).arg(copy.path()).status();
        assert!(copied.expect("cp is there").success());
        std::fs::copy(self.dir.path().join("hub.toml"), copy.path().join("hub.toml")).expect("writable");
        let file = chance.pick(&self.files).strip_prefix(self.dir.path()).expect("below it").to_owned();
        let path = copy.path().join(&file);
        let mut bytes = std::fs::read(&path).expect("readable");
        // Most files end in space that nothing was written to yet.
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1);
        let within = if chance.one_in(8) { bytes.len() } else { written };
        let (at, bit) = (chance.below(within as u64) as usize, chance.below(8));
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, bytes).expect("writable");
        (copy, file.clone(), format!("{}, byte {at}, bit {bit}", file.display()))
    }
}

fn list(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { list(&path, out) } else { out.push(path) }
    }
    out.sort();
}

/// How a flip was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// The hub does not start.
    Refused,
    /// It starts, and something says what is wrong.
    Told,
    /// Nothing says anything, and nothing differs.
    Harmless,
}

/// Lines in which the hub tells that something is not as it should be.
fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect()
}

async fn flip(sound: &Sound, chance: &mut Chance) -> Taken {
    let (copy, file, what) = sound.flipped(chance);
    let named = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let is_log = file.starts_with("d/log") && named.ends_with(".seg");
    let hub = match Hub::try_start_in(copy.path(), &[]) {
        Ok(hub) => hub,
        Err((status, log)) => {
            let reason = log.lines().last().unwrap_or_default();
            let told = reason.starts_with("hub: ") || reason.starts_with("{\"error\":");
            assert!(status.code() == Some(1) && told, "{what}: {status}: {log}");
            // Views, index and ledger are made again from the log.
            assert!(!file.starts_with("d/views") && !file.starts_with("d/access-index"), "{what}: {reason}");
            assert!(!is_log || reason.contains(&named), "{what}: the file is not named: {reason}");
            return Taken::Refused;
        }
    };
    let mut told = false;
    let log = || std::fs::read_to_string(copy.path().join("serve.log")).expect("UTF-8");
    // A log that cannot be read on is told by the fold, and everybody is answered from what is folded.
    let status = settled(&hub);
    let stopped = status["fold_stopped"].as_str().unwrap_or_default().to_owned();
    told |= !stopped.is_empty();
    if stopped.is_empty() {
        assert_eq!(status["digest"], sound.digest.as_str(), "{what}: {}", log());
    }
    let mut portal = hub.query("portal/national").await;
    for (answer, before) in answers(&mut portal, &sound.persons).await.iter().zip(&sound.answers) {
        match answer {
            Ok(answer) => assert_eq!(answer, before, "{what}: {}", log()),
            Err(code) => {
                assert!([Code::Unavailable, Code::DataLoss].contains(code), "{what}: {code}");
                told = true;
            }
        }
    }
    for command in [&["views", "verify", "--json"][..], &["audit", "verify", "--json"]] {
        let checked = hub.ask(command);
        let (out, errors) = (String::from_utf8_lossy(&checked.stdout).into_owned(), stderr(&checked));
        if checked.status.code() != Some(0) {
            told = true;
            let compared = serde_json::from_str::<serde_json::Value>(&out).is_ok_and(|told| told["equal"] == false);
            assert!(!errors.is_empty() || compared, "{what}: {command:?}: {out}");
            let tells = errors.clone() + &out + &log();
            assert!(!is_log || tells.contains(&named), "{what}: {command:?}: the file is not named: {tells}");
        }
    }
    let ended = hub.stop();
    let log = log();
    told |= !complaints(&log).is_empty() || ended.code() != Some(0);
    if told { Taken::Told } else { Taken::Harmless }
}

/// The status once all is folded, or the fold says that it cannot go on.
fn settled(hub: &Hub) -> serde_json::Value {
    let begun = std::time::Instant::now();
    loop {
        let status = hub.json(&["status"]);
        let stopped = status["fold_stopped"].as_str().is_some_and(|why| !why.is_empty());
        if status["behind"] == 0 || (stopped && begun.elapsed().as_secs() > 5) {
            return status;
        }
        assert!(begun.elapsed().as_secs() < 60, "{status}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_detected_before_it_is_served_or_harmless() {
    let mut found = [0_u64; 3];
    for (round, mut chance) in Rounds::new("rot", 1).enumerate() {
        let sound = Sound::new(if round % 4 == 3 { "sled" } else { "fjall" }, &mut chance).await;
        for _ in 0..FLIPS {
            match flip(&sound, &mut chance).await {
                Taken::Refused => found[0] += 1,
                Taken::Told => found[1] += 1,
                Taken::Harmless => found[2] += 1,
            }
        }
        let [refused, told, harmless] = found;
        for (name, value) in
            [("flips", refused + told + harmless), ("refused", refused), ("told", told), ("harmless", harmless)]
        {
            figure(&format!("rot.{name}"), value);
        }
    }
}
