//! A whole hub on a disk that fills up. It needs a disk of its own: root may mount one, and anybody in `unshare -rm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use tonic::Code;
use tonic_types::StatusExt as _;
use wire::query::subject_key::Key;

use crate::client::{ask, batch, changes, entries, letters, publish, refusal};
use crate::hub::{CONFIG, Hub, configured};

/// A file system of 64 MiB, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Panics where mounting is not allowed: a full disk that nobody has seen is not tested.
    fn mount(at: &Path) -> Self {
        std::fs::create_dir(at).expect("a writable directory");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(at).status();
        let mounted = mount.expect("the command `mount` is there").success();
        assert!(mounted, "this test fills a disk of its own: run it as root, or as `unshare -rm cargo test ...`");
        Self(at.to_owned())
    }
}

impl SmallDisk {
    /// Writes a file that leaves that many bytes of space, whatever the hub has taken by now.
    fn fill(&self, ballast: &Path, leave: usize) {
        let df = Command::new("df").args(["--block-size=1", "--output=avail"]).arg(&self.0).output();
        let told = String::from_utf8(df.expect("the command `df` is there").stdout).expect("text");
        let free: usize = told.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number of bytes");
        std::fs::write(ballast, vec![1; free.checked_sub(leave).expect("the disk has space")]).expect("there is space");
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
    let disk = SmallDisk::mount(&dir.path().join("d"));
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
    // Views whose store met the full disk stand still, and readiness says so; a new start goes on where they were.
    let ready = hub.metrics("/readyz");
    assert!(ready.ends_with("ready\n") || ready.ends_with("the fold has stopped\n"), "{ready}");
    let stopped = hub.stop().code();
    assert!(stopped == Some(0) || ready.contains("stopped") || stopped == Some(1), "{stopped:?}");

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
