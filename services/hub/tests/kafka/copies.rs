//! A process without views takes a copy from another one, in whatever state either is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{batch, changes, letters, publish};
use crate::country::{Country, free_port, until};
use crate::hub::Hub;

/// More than a log that is folded sooner than views of it are copied.
const RECORDS: usize = 1_500;
/// So slow that what a copy does can be watched.
const SLOW: &str = "views_bytes_per_s = 1048576\n";
const TAKEN: &str = "views were taken from another process";
const FILLED: &str = "entries that were not read here were copied from the brokers";
const FOLDED: &str = "the log is folded from its beginning";

/// Two processes that have folded the same records, and give copies slowly.
async fn two_that_fold(name: &str) -> Country {
    let mut country = Country::new(name);
    country.add_with("audit", "audit", &[], SLOW);
    country.add("ingest-1", "ingest", &["audit"]);
    country.add_with("views-1", "views", &["audit"], SLOW);
    let published = publish(&mut country.ingest("ingest-1"), batch("civil", changes("civil", RECORDS))).await;
    assert_eq!(letters(&published.expect("published")), "a".repeat(RECORDS));
    country.agree(&["audit", "views-1"]);
    country
}

/// A process that is started while this thread looks on.
struct Starting {
    port: u16,
    dir: PathBuf,
    /// Whether it ever said that it is ready before it served.
    was_ready: Arc<AtomicBool>,
    started: Option<JoinHandle<Option<Hub>>>,
}

impl Starting {
    fn begin(dir: &Path, port: u16) -> Self {
        let own = dir.to_owned();
        let started = std::thread::spawn(move || Hub::try_start_in(&own, &[]).ok());
        Self { port, dir: dir.to_owned(), was_ready: Arc::default(), started: Some(started) }
    }

    /// What it says of its readiness; `None` while it does not listen.
    fn readiness(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        self.was_ready.fetch_or(answer.starts_with("HTTP/1.1 200"), Ordering::AcqRel);
        Some(answer)
    }

    /// Waits until rows of a copy come.
    fn until_it_takes(&self) {
        until("rows of a copy come", || {
            std::thread::sleep(Duration::from_millis(10));
            let answer = self.readiness().unwrap_or_default();
            assert!(!self.started.as_ref().expect("it starts").is_finished(), "it serves already: {answer}");
            answer.contains("taking views from another process: ") && !answer.contains(" 0 rows")
        });
    }

    fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.dir.join("d/hub.lock")).expect("it holds its directory");
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().expect("kill is there").success());
        assert!(self.end().is_none(), "it was killed before it served");
    }

    fn end(&mut self) -> Option<Hub> {
        self.started.take().expect("it starts").join().expect("no panic")
    }
}

/// Another process with the role views, which takes them from those that are named; not started.
fn another(country: &mut Country, name: &'static str, from: &[&str]) -> (PathBuf, u16) {
    let metrics = free_port();
    let views_from = format!("views_from = \"{}\"\n", country.uris(from));
    country.prepare(name, "views", &["audit"], &views_from, metrics);
    (country.process(name).dir.path().to_owned(), metrics)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_views_process_takes_a_copy_is_not_ready_before_and_says_the_same() {
    let mut country = two_that_fold("copied").await;
    let record = format!("civil/{}", changes("civil", 1)[0].record_id);
    country.hub("views-1").json(&["audit", "erase", "--record", &record, "--reason", "order 12/2026"]);
    country.agree(&["audit", "views-1"]);
    let (dir, port) = another(&mut country, "views-2", &["views-1"]);
    let mut starting = Starting::begin(&dir, port);
    starting.until_it_takes();
    // Meanwhile the giver answers, and folds what comes.
    let (mut ingest, late) = (country.ingest("ingest-1"), changes("civil", RECORDS + 100).split_off(RECORDS));
    publish(&mut ingest, batch("civil", late)).await.expect("published");
    country.agree(&["audit", "views-1"]);
    let hub = starting.end().expect("it serves");
    assert!(!starting.was_ready.load(Ordering::Acquire), "it said that it was ready while it took the copy");
    country.process("views-2").adopt(hub);
    country.process("views-2").wait_ready();
    let all = country.agree(&["audit", "views-1", "views-2"]);
    assert!(all.iter().all(|status| status["records"] == RECORDS + 99), "{all:#?}");
    assert_eq!(country.hub("views-2").json(&["views", "verify"])["equal"], true, "and so says a replay");
    let log = country.process("views-2").log();
    assert!(log.contains(TAKEN) && !log.contains(FOLDED), "{log}");
    // What a giver may not have purged yet is purged here in any case.
    until("erasures are finished here too", || country.process("views-2").log().contains("were finished"));
    assert!(!dir.join("d/views-copied").exists(), "and that needs to be done once");
    until("what it never read is copied from the brokers", || country.process("views-2").log().contains(FILLED));

    // Views that it has it keeps, after a stop and after a kill.
    country.process("views-2").stop();
    country.process("views-2").start_ready();
    country.process("views-2").kill();
    country.process("views-2").start_ready();
    country.agree(&["audit", "views-2"]);
    assert_eq!(country.process("views-2").log().matches(TAKEN).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_broken_off_is_begun_anew_whoever_of_both_dies() {
    let mut country = two_that_fold("broken").await;
    let (dir, port) = another(&mut country, "views-2", &["views-1", "audit"]);
    let mut starting = Starting::begin(&dir, port);
    starting.until_it_takes();
    starting.kill();
    // Begun anew, and the giver dies this time.
    let mut starting = Starting::begin(&dir, port);
    starting.until_it_takes();
    country.process("views-1").kill();
    let hub = starting.end().expect("it serves");
    country.process("views-2").adopt(hub);
    country.process("views-2").wait_ready();
    assert_eq!(country.agree(&["audit", "views-2"])[0]["records"], RECORDS);
    assert_eq!(country.hub("views-2").json(&["views", "verify"])["equal"], true);
    let log = country.process("views-2").log();
    assert!(log.contains(TAKEN) && log.contains("views were not taken from this process"), "{log}");
    assert!(!log.contains(FOLDED), "{log}");
    let folders = std::fs::read_dir(dir.join("d/views")).expect("readable").flatten();
    assert_eq!(folders.filter(|entry| entry.path().is_dir()).count(), 1, "nothing is left of what was broken off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_nobody_gives_are_folded_from_the_log() {
    let mut country = two_that_fold("refused").await;
    // An ingest has no views; a process whose certificate the giver does not name is given none.
    let (dir, port) = another(&mut country, "views-2", &["ingest-1"]);
    let hub = Starting::begin(&dir, port).end().expect("it serves");
    country.process("views-2").adopt(hub);
    let (dir, port) = another(&mut country, "views-3", &["views-1"]);
    let granted = "callers = [\"process/other\"]\n";
    let path = country.process("views-1").dir.path().join("hub.toml");
    let giver = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(&path, giver.replace("[peers]\n", &format!("[peers]\n{granted}"))).expect("writable");
    country.process("views-1").stop();
    country.process("views-1").start_ready();
    let hub = Starting::begin(&dir, port).end().expect("it serves");
    country.process("views-3").adopt(hub);
    let all = country.agree(&["audit", "views-1", "views-2", "views-3"]);
    assert!(all.iter().all(|status| status["records"] == RECORDS), "{all:#?}");
    for name in ["views-2", "views-3"] {
        let log = country.process(name).log();
        assert!(log.contains(FOLDED) && !log.contains(TAKEN), "{name}: {log}");
    }
    assert!(country.process("views-3").log().contains("not one of the hub's own processes"));
}
