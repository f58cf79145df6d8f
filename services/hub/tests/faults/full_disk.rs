//! A whole hub on a disk that fills up, and one whose disk fills up under one kind of file only: publishing and reading go on or are refused with a
//! time to come again, and everything is there, without a new start, once there is space. Each needs a disk of its own: root may mount one, and
//! anybody in `unshare -rm`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::query::get_subject_response;
use wire::query::subject_key::Key;

use crate::client::{ask, batch, changes, entries, letters, publish, refusal};
use crate::hub::{CONFIG, Hub, configured, stderr};
use crate::kept::{self, Answer, Told};
use crate::load::{accepted, stock};

/// A small file system, unmounted when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Panics where mounting is not allowed: a full disk that nobody has seen is not tested.
    pub fn mount(at: &Path, mib: u32) -> Self {
        std::fs::create_dir_all(at).expect("a writable directory");
        let size = format!("size={mib}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).status();
        let mounted = mount.expect("the command `mount` is there").success();
        assert!(mounted, "this test fills a disk of its own: run it as root, or as `unshare -rm cargo test ...`");
        Self(at.to_owned())
    }
}

impl SmallDisk {
    /// Writes a file that leaves that many bytes of space, whatever the hub has taken by now.
    fn fill(&self, ballast: &Path, leave: usize) {
        let begun = Instant::now();
        // The hub may write between the look and the file.
        while let Err(error) =
            std::fs::write(ballast, vec![1; self.free().checked_sub(leave).expect("the disk has space")])
        {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            std::fs::remove_file(ballast).expect("it was begun");
        }
    }

    fn free(&self) -> usize {
        let df = Command::new("df").args(["--block-size=1", "--output=avail"]).arg(&self.0).output();
        let told = String::from_utf8(df.expect("the command `df` is there").stdout).expect("text");
        told.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number of bytes")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A disk that is still mounted goes with the namespace or the next boot; a test cannot do more.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_on_a_full_disk_refuses_by_name_and_has_everything_once_there_is_space() {
    let dir = configured();
    let config = CONFIG.replace("segment_bytes = 4194304", "segment_bytes = 1048576");
    let telemetry = "[telemetry]\nprometheus_listen = \"127.0.0.1:0\"\n";
    std::fs::write(dir.path().join("hub.toml"), format!("{config}{telemetry}")).expect("writable");
    let disk = SmallDisk::mount(&dir.path().join("d"), 64);
    let hub = Hub::start(dir.path());
    let ballast = disk.0.join("ballast");
    disk.fill(&ballast, 2 << 20);
    let mut civil = hub.ingest("register/civil").await;
    let all = changes("civil", 5_000);
    let mut taken = 0;
    let full = loop {
        let chunk = all[taken..].chunks(100).next().expect("the disk is full before the changes are out");
        match publish(&mut civil, batch("civil", chunk.to_vec())).await {
            Ok(result) => assert_eq!(letters(&result), "a".repeat(chunk.len())),
            Err(status) => break status,
        }
        taken += chunk.len();
    };
    assert_eq!((full.code(), refusal(&full).1.as_str()), (Code::ResourceExhausted, "log_full"), "{full:?}");
    assert!(full.get_error_details().retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{full:?}");
    assert!(taken >= 200, "{taken}");

    // Questions are answered, or told why not: their access entries need space too.
    let mut portal = hub.query("portal/national").await;
    for _ in 0..20 {
        if let Err(status) = portal.get_subject(ask(Key::PersonalId("099000000001".into()), &["full_name"])).await {
            assert_eq!((status.code(), refusal(&status).1.as_str()), (Code::Unavailable, "access_not_recorded"));
        }
    }
    assert!(hub.metrics("/healthz").ends_with("ok\n"), "the process lives");

    std::fs::remove_file(&ballast).expect("it is there");
    let chunk = all[taken..taken + 100].to_vec();
    let result = publish(&mut civil, batch("civil", chunk)).await.expect("there is space again");
    assert_eq!(letters(&result), "a".repeat(100));
    taken += 100;
    // Views whose store met the full disk stood still; they go on by themselves.
    ready_again(&hub);
    assert_eq!(hub.folded()["records"].as_u64(), Some(taken as u64));
    assert_eq!(hub.stop().code(), Some(0));

    let hub = Hub::start(dir.path());
    let status = hub.folded();
    assert_eq!((entries(&status, "change"), status["records"].as_u64()), (taken as u64, Some(taken as u64)));
    let mut civil = hub.ingest("register/civil").await;
    for chunk in all[..taken].chunks(500) {
        let again = publish(&mut civil, batch("civil", chunk.to_vec())).await.expect("answered");
        assert_eq!(letters(&again), "d".repeat(chunk.len()), "what was acknowledged is there");
    }
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert!(hub.metrics("/readyz").ends_with("\r\n\r\nready\n"));
    assert_eq!(hub.stop().code(), Some(0));
    drop(disk);
}

/// Longest wait for a hub that goes on by itself.
const PATIENCE: Duration = Duration::from_secs(90);

fn ready_again(hub: &Hub) {
    let begun = Instant::now();
    while !hub.metrics("/readyz").ends_with("\r\n\r\nready\n") {
        let log = || std::fs::read_to_string(hub.dir.join("serve.log")).expect("UTF-8");
        assert!(begun.elapsed() < PATIENCE, "{}: {}", hub.metrics("/readyz"), log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A refusal that tells when to come again.
fn assert_passing(status: &Status) {
    assert!([Code::Unavailable, Code::ResourceExhausted].contains(&status.code()), "{status:?}");
    assert!(status.get_error_details().retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{status:?}");
}

/// What was promised on the way.
#[derive(Default)]
struct Promised {
    told: Vec<Told>,
    answers: Vec<Answer>,
    /// Those of the answers that read a record.
    read: Vec<Answer>,
}

impl Promised {
    /// Publishes and asks once; whatever is refused says when to come again.
    async fn work(&mut self, hub: &Hub, changes: &[wire::ingest::Change], person: &str) {
        let mut civil = hub.ingest("register/civil").await;
        match publish(&mut civil, batch("civil", changes.to_vec())).await {
            Ok(result) => {
                let told = changes.iter().zip(accepted(&result));
                self.told.extend(told.filter_map(|(change, told)| {
                    let (record_id, version) = (change.record_id.clone(), change.version);
                    told.map(|position| Told { register: "civil", record_id, version, position })
                }));
            }
            Err(status) => assert_passing(&status),
        }
        let mut portal = hub.query("portal/national").await;
        for _ in 0..5 {
            match portal.get_subject(ask(Key::PersonalId(person.to_owned()), &["full_name"])).await {
                Ok(answer) => {
                    let access = kept::answer(answer.get_ref().basis.as_ref().expect("a basis"));
                    if matches!(answer.get_ref().result, Some(get_subject_response::Result::Subject(_))) {
                        self.read.push(access.clone());
                    }
                    self.answers.push(access);
                }
                Err(status) => assert_passing(&status),
            }
        }
    }
}

/// A disk of its own for one folder of the data directory fills up under load; `met` tells whether the hub has met that.
async fn full_under(folder: &str, mib: u32, met: impl Fn(&Hub, &Promised) -> bool) {
    let dir = configured();
    let config = CONFIG.replace("segment_bytes = 4194304", "segment_bytes = 1048576");
    let more = "[telemetry]\nprometheus_listen = \"127.0.0.1:0\"\n[ledger]\ncheckpoint_interval_ms = 100\ncommit_interval_ms = 300\n";
    std::fs::write(dir.path().join("hub.toml"), format!("{config}{more}")).expect("writable");
    let disk = SmallDisk::mount(&dir.path().join("d").join(folder), mib);
    let hub = Hub::start(dir.path());
    let (all, persons) = stock("civil");
    let person = persons[0].as_str();
    let mut promised = Promised::default();
    promised.work(&hub, &all[..200], person).await;
    hub.folded();
    let ballast = disk.0.join("ballast");
    disk.fill(&ballast, 48 << 10);
    let begun = Instant::now();
    let mut round = 0;
    while !met(&hub, &promised) {
        let log = || std::fs::read_to_string(dir.path().join("serve.log")).expect("UTF-8");
        assert!(begun.elapsed() < PATIENCE, "{folder}: a full disk was not met: {}", log());
        let fresh = all.iter().cycle().skip(100 * (round % 20)).take(100);
        let fresh: Vec<_> = fresh
            .map(|c| wire::ingest::Change { record_id: format!("{}-{round}", c.record_id), ..c.clone() })
            .collect();
        promised.work(&hub, &fresh, person).await;
        round += 1;
    }
    assert!(hub.metrics("/healthz").ends_with("ok\n"), "{folder}: the process lives");

    std::fs::remove_file(&ballast).expect("it is there");
    ready_again(&hub);
    let before = promised.told.len();
    let late: Vec<_> = all[200..300]
        .iter()
        .map(|c| wire::ingest::Change { record_id: format!("{}-late", c.record_id), ..c.clone() })
        .collect();
    let begun = Instant::now();
    while promised.told.len() == before {
        assert!(begun.elapsed() < PATIENCE, "{folder}: nothing is taken");
        promised.work(&hub, &late, person).await;
    }
    hub.folded();
    hub.until("the ledger follows again", |ledger| ledger["stopped"] == "");
    hub.checkpointed();
    let answers = promised.answers.len();
    promised.work(&hub, &[], person).await;
    assert_eq!(promised.answers.len(), answers + 5, "{folder}: everybody is answered again");
    let list =
        ["accesses", "person", "--personal-id", person, "--procedure", "audit", "--case", "A-1", "--limit", "1000"];
    let listed = hub.json(&list);
    let listed: std::collections::HashSet<&str> = listed["accesses"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|access| access["access_id"].as_str())
        .collect();
    let hex = |id: &[u8; 16]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(promised.read.len() > 5, "{folder}: somebody was found");
    for answer in promised.read.iter().rev().take(900) {
        assert!(listed.contains(hex(&answer.access).as_str()), "{folder}: an access is not listed");
    }
    assert_eq!(hub.json(&["views", "verify"])["equal"], true, "{folder}");
    let verified = hub.ask(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{folder}: {}", stderr(&verified));
    assert_eq!(hub.stop().code(), Some(0), "{folder}");
    let broken = kept::broken_promises(&dir.path().join("d"), &promised.told, &promised.answers);
    assert!(broken.is_empty(), "{folder}: {} promises broken, such as: {}", broken.len(), broken[0]);
    drop(disk);
}

fn said(hub: &Hub, what: &str) -> bool {
    std::fs::read_to_string(hub.dir.join("serve.log")).expect("UTF-8").contains(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_log_refuses_publishers_until_there_is_space() {
    full_under("log", 24, |hub, _| said(hub, "an append failed")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_views_stops_the_fold_until_there_is_space() {
    full_under("views", 192, |hub, _| said(hub, "the fold waits")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_index_of_accesses_refuses_questions_until_there_is_space() {
    full_under("access-index", 96, |hub, _| said(hub, "accesses were not recorded")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_ledger_stops_checkpoints_until_there_is_space() {
    full_under("ledger", 24, |hub, _| said(hub, "the ledger waits")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_scratch_fails_a_verification_and_nothing_else() {
    full_under("scratch", 8, |hub, promised| {
        promised.told.len() > 300 && hub.ask(&["views", "verify"]).status.code() != Some(0)
    })
    .await;
}
