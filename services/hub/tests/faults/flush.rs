//! Flushes that fail or take long, injected into a running hub by strace.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tonic::Code;
use tonic_types::StatusExt as _;
use wire::query::subject_key::Key;

use crate::client::{ask, batch, letters, publish, refusal};
use crate::hub::{CONFIG, Hub};
use crate::kept::{self, Told};
use crate::load::{accepted, stock};

/// strace on a running hub; what it injects ends with it.
struct Injected(Child);

impl Injected {
    fn into(hub: &Hub, what: &str) -> Self {
        let mut strace = Command::new("strace");
        let inject = format!("inject=fdatasync,fsync:{what}");
        strace.args(["-f", "-qq", "-e", "trace=fdatasync,fsync", "-e", &inject, "-o", "/dev/null", "-p"]);
        let mut child = strace.arg(hub.process().to_string()).stderr(Stdio::piped()).spawn().expect("strace is there");
        // With -qq it says nothing: it is attached once a thread of the hub is traced.
        let begun = Instant::now();
        let traced = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", hub.process())).expect("it runs");
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        };
        while !traced() {
            if child.try_wait().expect("a child").is_some() {
                let errors = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
                panic!("strace does not attach: {}", errors.collect::<Vec<_>>().join(" "));
            }
            assert!(begun.elapsed().as_secs() < 20, "strace does not attach");
            std::thread::sleep(Duration::from_millis(5));
        }
        // All its threads.
        std::thread::sleep(Duration::from_millis(200));
        Self(child)
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        let told = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        // It ends by itself when the hub has.
        let _ = (told, self.0.wait());
    }
}

fn configured() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let more = "[telemetry]\nprometheus_listen = \"127.0.0.1:0\"\n";
    std::fs::write(dir.path().join("hub.toml"), format!("{CONFIG}{more}")).expect("writable");
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_flush_nothing_is_acknowledged_until_a_new_start() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let (all, persons) = stock("civil");
    let mut civil = hub.ingest("register/civil").await;
    let result = publish(&mut civil, batch("civil", all[..100].to_vec())).await.expect("taken");
    let told: Vec<Told> = all
        .iter()
        .zip(accepted(&result))
        .filter_map(|(change, told)| {
            let (record_id, version) = (change.record_id.clone(), change.version);
            told.map(|position| Told { register: "civil", record_id, version, position })
        })
        .collect();
    assert_eq!(told.len(), 100);
    hub.folded();

    let injected = Injected::into(&hub, "error=EIO");
    let failed = publish(&mut civil, batch("civil", all[100..200].to_vec())).await.expect_err("the flush failed");
    assert_eq!((failed.code(), refusal(&failed).1.as_str()), (Code::Unavailable, "log_down"), "{failed:?}");
    drop(injected);
    // The disk flushes again, and what it holds of the failed one is unknown: nothing is taken, nothing is answered.
    for chunk in all[200..600].chunks(100) {
        let refused = publish(&mut civil, batch("civil", chunk.to_vec())).await.expect_err("nothing is acknowledged");
        assert_eq!(refusal(&refused).1, "log_down", "{refused:?}");
        assert!(refused.get_error_details().retry_info().is_some(), "{refused:?}");
    }
    let mut portal = hub.query("portal/national").await;
    let question = ask(Key::PersonalId(persons[0].clone()), &["full_name"]);
    match portal.get_subject(question).await {
        // Accesses have files of their own, which may not have met the failure.
        Ok(answer) => drop(kept::answer(answer.get_ref().basis.as_ref().expect("a basis"))),
        Err(status) => assert_eq!(refusal(&status).1, "access_not_recorded", "{status:?}"),
    }
    assert!(hub.metrics("/readyz").ends_with("the log takes nothing\n"), "{}", hub.metrics("/readyz"));
    hub.signal("-KILL");
    drop(hub);

    let hub = Hub::start(dir.path());
    let mut civil = hub.ingest("register/civil").await;
    let again = publish(&mut civil, batch("civil", all[..100].to_vec())).await.expect("taken");
    assert_eq!(letters(&again), "d".repeat(100), "what was acknowledged is there");
    let unknown = letters(&publish(&mut civil, batch("civil", all[100..200].to_vec())).await.expect("taken"));
    assert!(
        unknown == "a".repeat(100) || unknown == "d".repeat(100),
        "a group is there wholly or not at all: {unknown}"
    );
    let fresh = letters(&publish(&mut civil, batch("civil", all[200..600].to_vec())).await.expect("taken"));
    assert_eq!(fresh, "a".repeat(400), "what was refused was not written");
    assert_eq!(hub.folded()["records"], 600);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));
    assert!(kept::broken_promises(&dir.path().join("d"), &told, &[]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_slows_publishers_and_grows_no_memory() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let (all, persons) = stock("civil");
    let mut civil = hub.ingest("register/civil").await;
    publish(&mut civil, batch("civil", all[..200].to_vec())).await.expect("taken");
    hub.folded();
    let before = hub.resident_bytes();
    let injected = Injected::into(&hub, "delay_enter=150000");
    let mut publishing = Vec::new();
    for life in 0..8 {
        let mut civil = civil.clone();
        let own: Vec<_> = all
            .iter()
            .map(|c| wire::ingest::Change { record_id: format!("{}-{life}", c.record_id), ..c.clone() })
            .collect();
        publishing.push(tokio::spawn(async move {
            for chunk in own.chunks(100) {
                let told = publish(&mut civil, batch("civil", chunk.to_vec())).await.expect("slow is no refusal");
                assert_eq!(letters(&told), "a".repeat(chunk.len()));
            }
        }));
    }
    let mut portal = hub.query("portal/national").await;
    let (mut answered, mut late) = (0, 0);
    while !publishing.iter().all(tokio::task::JoinHandle::is_finished) {
        let mut question = tonic::Request::new(ask(Key::PersonalId(persons[answered % 100].clone()), &["full_name"]));
        let deadline = if answered % 2 == 0 { Duration::from_millis(20) } else { Duration::from_secs(20) };
        question.set_timeout(deadline);
        let begun = Instant::now();
        match portal.get_subject(question).await {
            Ok(_) => {}
            Err(status) => {
                late += 1;
                assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");
                assert!(begun.elapsed() < deadline + Duration::from_secs(5), "a deadline is kept");
            }
        }
        answered += 1;
    }
    for task in publishing {
        task.await.expect("no panic");
    }
    assert!(answered > late && late > 0, "{answered} asked, {late} with too short a time");
    let grown = hub.resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more");
    drop(injected);
    assert_eq!(hub.folded()["records"], 8 * all.len() + 200);
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));
}
