//! The clock jumps back and forth by a day: what was published is in order and counted once, what was known at a time stays so, ages are never
//! negative, and certificates are judged by the clock as it stands.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::date_time_ymd;
use record::control::{Control, Order};
use record::{Entry, Positions, Stream};
use serde_json::Value;

use crate::certificates::{authority, call, changed, usages};
use crate::client::{batch, letters, publish};
use crate::hub::{CONFIG, Hub};
use crate::load::stock;

const DAY_S: i64 = 86_400;
const PURPOSE: [&str; 4] = ["--procedure", "1.001193", "--case", "HS-1"];

/// A clock that can be set, for processes that are started with its variables.
struct Clock {
    library: String,
    file: String,
}

impl Clock {
    fn new(dir: &Path) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock.c");
        let (library, file) = (dir.join("clock.so"), dir.join("clock"));
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("a C compiler is there").success());
        std::fs::write(&file, [0; 8]).expect("writable");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        Self { library: text(&library), file: text(&file) }
    }

    /// Sets it so many seconds beside the real one, also for who runs already.
    fn jump(&self, seconds: i64) {
        // In place: a file that is mapped must not be replaced.
        let mut file = std::fs::File::options().write(true).open(&self.file).expect("there");
        file.write_all(&seconds.to_le_bytes()).expect("writable");
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("HUB_TEST_CLOCK", &self.file)]
    }
}

/// Times of the cuts in a stopped hub's log, in the order of the control stream.
fn cuts(data: &Path) -> Vec<i64> {
    let log = event_log::EventLog::Embedded(event_log::Embedded::open(&data.join("log")).expect("a sound log"));
    let mut reader = log.reader(&Positions::new(), event_log::StreamSet::empty().with(Stream::Control)).expect("a log");
    let mut times = Vec::new();
    loop {
        let batch = reader.next_batch(1_000, 8 << 20).expect("a sound log");
        if batch.entries.is_empty() {
            return times;
        }
        for logged in batch.entries {
            let entry = Entry::decode(&logged.bytes).expect("a sound entry");
            let control = Control::decode(entry.plain_body().expect("plain")).expect("a sound entry");
            if let Order::Cut { at, .. } = control.order {
                times.push(at.0);
            }
        }
    }
}

fn ages(answer: &Value) -> Vec<f64> {
    let attributes = answer["subject"]["attributes"].as_array().expect("attributes");
    let age = |attribute: &Value| attribute["value"]["source"]["age"].as_str()?.strip_suffix('s')?.parse().ok();
    attributes.iter().filter_map(age).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_by_a_day_changes_no_order_and_counts_nothing_twice() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path();
    std::fs::write(path.join("hub.toml"), CONFIG).expect("writable");
    let clock = Clock::new(path);
    // Those of the test itself and of the commands are to hold on all days.
    clock.jump(-2 * DAY_S);
    let mut made = crate::hub::command(path, &["dev-certs", "--config", "hub.toml"]);
    assert!(made.envs(clock.variables()).status().expect("the program starts").success());
    std::fs::copy(path.join("d/dev-certs/ca.pem"), path.join("server-ca.pem")).expect("made");
    let ca = authority(&usages(), |_| {});
    let both = std::fs::read_to_string(path.join("server-ca.pem")).expect("readable") + &ca.pem();
    std::fs::write(path.join("clients.pem"), both).expect("writable");
    let more = format!(
        "[ledger]\ncheckpoint_interval_ms = 100\ncommit_interval_ms = 300\n[tls]\nclient_ca = \"{}/clients.pem\"\n",
        path.display()
    );
    std::fs::write(path.join("hub.toml"), format!("{CONFIG}{more}")).expect("writable");
    let half_a_day = Duration::from_secs(43_200);
    let now = jiff::Timestamp::now();
    let part = |what: &str| now.strftime(what).to_string();
    let number = |what: &str| part(what).parse::<u8>().expect("a number");
    let midnight = date_time_ymd(part("%Y").parse().expect("a year"), number("%m"), number("%d"));
    let now = midnight + Duration::from_secs(u64::from(number("%H")) * 3_600 + u64::from(number("%M")) * 60);
    let short = ca.issue(path, "short", &changed(|params| params.not_after = now + half_a_day), &[]);
    let young = ca.issue(path, "young", &changed(|params| params.not_before = now - half_a_day), &[]);

    clock.jump(0);
    let mut hub = Hub::start_in(path, &clock.variables());
    let (all, persons) = stock("civil");
    let person = persons[0].clone();
    let get = ["get", "person", "--personal-id", &person, "--fields", "full_name"];
    let get = [&get[..], &PURPOSE].concat();
    let mut sent = 0;
    let mut digest = Value::Null;
    for (jump, restart) in [(0, false), (-DAY_S, false), (DAY_S, false), (-DAY_S, true), (DAY_S, true), (0, true)] {
        clock.jump(jump);
        if restart {
            assert_eq!(hub.folded()["digest"], digest, "nothing moved");
            assert_eq!(hub.stop().code(), Some(0));
            hub = Hub::start_in(path, &clock.variables());
            assert_eq!(hub.folded()["digest"], digest, "a restart at another time changes nothing");
        }
        let mut civil = hub.ingest("register/civil").await;
        let again = publish(&mut civil, batch("civil", all[..sent].to_vec())).await.expect("taken");
        assert_eq!(letters(&again), "d".repeat(sent), "at {jump} s");
        let fresh = publish(&mut civil, batch("civil", all[sent..sent + 100].to_vec())).await.expect("taken");
        assert_eq!(letters(&fresh), "a".repeat(100), "at {jump} s");
        sent += 100;
        digest = hub.folded()["digest"].clone();
        let answer = hub.json(&get);
        let ages = ages(&answer);
        assert!(!ages.is_empty() && ages.iter().all(|age| *age >= 0.0), "at {jump} s: {answer}");
        let expired = call(hub.address(), &short).await.is_err();
        assert_eq!(expired, jump == DAY_S, "at {jump} s: a certificate of half a day");
        let early = call(hub.address(), &young).await.is_err();
        assert_eq!(early, jump == -DAY_S, "at {jump} s: a certificate since half a day");
        // A cut covers it.
        hub.checkpointed();
    }
    assert_eq!(hub.folded()["records"].as_u64(), Some(sent as u64));
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.json(&["audit", "verify"])["equal"], true);
    // What was known is told by the last cut not later: now, which is before the cuts of the day that has not been.
    let now = jiff::Timestamp::now().to_string();
    let known = hub.json(&[&get[..], &["--known-at", &now]].concat());
    assert!(known["subject"]["id"].is_string(), "{known}");
    assert_eq!(hub.stop().code(), Some(0));
    let cuts = cuts(&path.join("d"));
    assert!(cuts.len() > 3 && cuts.is_sorted(), "{cuts:?}");
}
