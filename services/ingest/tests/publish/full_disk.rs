//! The door when the disk is full, and when a write failed. Both need a disk of their own: root may mount one, and anybody in
//! `unshare -rm`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use event_log::{Embedded, EventLog, LogOptions, PartitionCounts, Tuning};
use ingest::Limits;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::ingest::{Change, GetKeysRequest, ListRejectedRequest, PublishBatchRequest};

use crate::hub::{Client, Hub, batch, letters, publish, sound};

/// A file system of 8 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Panics where mounting is not allowed: a full disk that nobody has seen is not tested.
    fn mount() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(dir.path()).status();
        let mounted = mount.expect("the command `mount` is there").success();
        assert!(mounted, "this test fills a disk of its own: run it as root, or as `unshare -rm cargo test ...`");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A disk that is still mounted goes with the namespace or the next boot; a test cannot do more.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn tuning() -> Tuning {
    Tuning { segment_bytes: 1 << 20, access_segment_bytes: 64 << 10, ..Tuning::default() }
}

fn log_on(disk: &SmallDisk) -> EventLog {
    let options = LogOptions { partitions: PartitionCounts { change: 4, rejected: 1, access: 1 }, tuning: tuning() };
    Embedded::create(&disk.path().join("log"), &options, [7; 16]).expect("an empty folder").into()
}

/// Cuts the newest segment behind what is written: the space that was reserved for it goes to whoever wants it.
fn take_reserved_space(segments: &Path) {
    let files = std::fs::read_dir(segments).expect("the log's folder").map(|entry| entry.expect("an entry").path());
    let newest = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().expect("a segment");
    let bytes = std::fs::read(&newest).expect("readable");
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("something is written") as u64 + 1;
    let segment = std::fs::OpenOptions::new().write(true).open(newest).expect("writable");
    segment.set_len(written.next_multiple_of(4 << 10)).expect("cut");
}

async fn hub_on(disk: &SmallDisk) -> Hub {
    Hub::over(tempfile::tempdir().expect("a temporary folder"), log_on(disk), Limits::default()).await
}

fn copies(change: &Change, round: usize) -> Vec<Change> {
    let id = |n| format!("{}-{round}-{n}", &change.record_id[..change.record_id.len().min(100)]);
    (0..100).map(|n| Change { record_id: id(n), ..change.clone() }).collect()
}

/// Publishes batch after batch until one is refused: how many were taken before, and the refusal.
async fn publish_until_refused(client: &mut Client, change: &Change, from: usize) -> (usize, Status) {
    for round in from..from + 1_000 {
        let call = PublishBatchRequest { batch: Some(batch("civil", copies(change, round))) };
        match client.publish_batch(call).await {
            Ok(answer) => assert_eq!(letters(&answer.into_inner().result.expect("a result")), "a".repeat(100)),
            Err(status) => return (round - from, status),
        }
    }
    panic!("the disk never filled");
}

fn assert_refused(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    assert_eq!((status.code(), details.error_info().expect("why").reason.as_str()), (code, reason), "{status:?}");
    assert!(details.retry_info().expect("when").retry_delay > Some(Duration::ZERO), "{status:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_batches_by_name_reads_on_and_recovers_by_itself() {
    let disk = SmallDisk::mount();
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).expect("there is space");
    let hub = hub_on(&disk).await;
    let mut client = hub.client("register/civil").await;
    let change = sound("civil", 1).remove(0);
    let (taken, full) = publish_until_refused(&mut client, &change, 0).await;
    assert_refused(&full, Code::ResourceExhausted, "log_full");
    assert!(taken > 5, "{taken} batches fit");
    assert_eq!(hub.changes_in_log(), 100 * taken as u64, "what was refused left no trace");
    let (none, again) = publish_until_refused(&mut client, &change, taken).await;
    assert_eq!(none, 0);
    assert_refused(&again, Code::ResourceExhausted, "log_full");

    // What is there is read and told.
    assert_eq!(crate::hub::entries(&hub.log, record::Stream::Change).len(), 100 * taken);
    assert_eq!(letters(&publish(&mut client, batch("civil", copies(&change, 0))).await), "d".repeat(100));
    let listed = ListRejectedRequest { register: "civil".into(), ..Default::default() };
    assert!(client.list_rejected(listed).await.expect("read").into_inner().changes.is_empty());
    client.get_keys(GetKeysRequest {}).await.expect("told");
    assert!(*hub.writable().borrow(), "space may come back: the hub goes on taking requests");

    std::fs::remove_file(&ballast).expect("it is there");
    let (more, _) = publish_until_refused(&mut client, &change, taken).await;
    assert!(more > 5, "the same hub goes on once there is space: {more}");
    assert_eq!(hub.changes_in_log(), 100 * (taken + more) as u64);
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_and_everything_is_read() {
    let disk = SmallDisk::mount();
    let hub = hub_on(&disk).await;
    let mut client = hub.client("register/civil").await;
    let change = sound("civil", 1).remove(0);
    assert_eq!(letters(&publish(&mut client, batch("civil", copies(&change, 0))).await), "a".repeat(100));
    take_reserved_space(&disk.path().join("log/main"));
    let ballast = disk.path().join("ballast");
    assert!(std::fs::write(&ballast, vec![1; 9 << 20]).is_err(), "the disk is full");
    let (_, down) = publish_until_refused(&mut client, &change, 1).await;
    assert_refused(&down, Code::Unavailable, "log_down");
    assert!(!*hub.writable().borrow(), "readiness is told");
    std::fs::remove_file(&ballast).expect("it is there");

    // Space does not tell what the disk holds: until it is opened anew, nothing more is acknowledged.
    let before = hub.changes_in_log();
    let (none, down) = publish_until_refused(&mut client, &change, 900).await;
    assert_eq!(none, 0);
    assert_refused(&down, Code::Unavailable, "log_down");
    let refusal = PublishBatchRequest { batch: Some(batch("civil", vec![Change::default()])) };
    let down = client.publish_batch(refusal).await.expect_err("a refusal cannot be kept either");
    assert_refused(&down, Code::Unavailable, "log_down");
    assert_eq!(hub.changes_in_log(), before);
    assert_eq!(crate::hub::entries(&hub.log, record::Stream::Change).len() as u64, before);
    assert_eq!(letters(&publish(&mut client, batch("civil", copies(&change, 0))).await), "d".repeat(100));
    drop(client);
    let (dir, log) = hub.stop().await;
    log.close().await;
    drop(log);

    let opened = Embedded::open_with(&disk.path().join("log"), &tuning()).expect("what was acknowledged is sound");
    std::fs::remove_dir_all(dir.path().join("views")).expect("the views are closed");
    let hub = Hub::over(dir, opened.into(), Limits::default()).await;
    assert_eq!(hub.changes_in_log(), before);
    let mut client = hub.client("register/civil").await;
    assert_eq!(letters(&publish(&mut client, batch("civil", copies(&change, 0))).await), "d".repeat(100));
    assert_eq!(letters(&publish(&mut client, batch("civil", copies(&change, 901))).await), "a".repeat(100));
}
