//! The embedded log when its process is killed, its disk is full, or its disk is slow.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::suite::{entry, read_all};
use event_log::{AppendError, Embedded, EventLog, LogOptions, PartitionCounts, ReadError, StreamSet, Tuning};
use rand::{RngExt, SeedableRng};
use record::{Index, Partition, Positions, Stream, Timestamp};

const DIR: &str = "EVENT_LOG_TEST_DIR";
const PARTITIONS: PartitionCounts = PartitionCounts { change: 4, rejected: 1, access: 1 };

fn tuning() -> Tuning {
    Tuning {
        segment_bytes: 64 << 10,
        access_segment_bytes: 64 << 10,
        index_interval_bytes: 4 << 10,
        ..Tuning::default()
    }
}

fn create(dir: &Path) -> EventLog {
    let options = LogOptions { partitions: PARTITIONS, tuning: tuning() };
    EventLog::Embedded(Embedded::create(dir, &options, [7; 16]).expect("created"))
}

fn open(dir: &Path) -> EventLog {
    EventLog::Embedded(Embedded::open_with(dir, &tuning()).expect("opened"))
}

/// Runs one of this file's ignored tests in a process of its own.
fn child(name: &str, dir: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that is killed"]
async fn appends_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let log = open(Path::new(&dir));
    let run = log.ends().total();
    let tasks: Vec<_> = (0..4u16)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0u64.. {
                    let batch = (0..1 + n % 5)
                        .map(|i| {
                            let id = format!("{run}-{task}-{n}-{i}:");
                            entry(Stream::Change, task, id.clone().into_bytes().repeat(1 + (n % 60) as usize))
                        })
                        .collect::<Vec<_>>();
                    let ids: Vec<_> = batch.iter().map(|a| String::from_utf8_lossy(&a.bytes).into_owned()).collect();
                    for (a, id) in log.append(batch).await.expect("appended").iter().zip(ids) {
                        let id = id.split(':').next().expect("an id");
                        println!("\nACK {} {} {id}", a.position.partition.0, a.position.index.0);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(create(dir.path()));
    let mut random = rand_seed();
    let mut acknowledged: Vec<(u16, u64, String)> = Vec::new();
    for _ in 0..8 {
        let mut process = child("crash::appends_until_killed", dir.path()).spawn().expect("started");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let kill_after = random.random_range(1..1_500);
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            let Some(rest) = line.strip_prefix("ACK ") else { continue };
            let parts: Vec<_> = rest.split(' ').collect();
            // The last line of a killed process may be cut short; the last part of an id is one digit.
            let [partition, index, id] = parts[..] else { continue };
            if id.matches('-').count() < 3 || id.ends_with('-') {
                continue;
            }
            acknowledged.push((partition.parse().expect("a number"), index.parse().expect("a number"), id.to_owned()));
            seen += 1;
            if seen == kill_after {
                process.kill().expect("killed");
            }
        }
        process.wait().expect("ended");
        assert!(seen >= kill_after, "the process ended before it was killed");
        check(&open(dir.path()), &acknowledged);
    }
}

fn rand_seed() -> rand::rngs::StdRng {
    rand::rngs::StdRng::seed_from_u64(9)
}

fn check(log: &EventLog, acknowledged: &[(u16, u64, String)]) {
    let mut ids = HashSet::new();
    for e in read_all(log, &Positions::new(), StreamSet::ALL) {
        let text = String::from_utf8(e.bytes.to_vec()).expect("text");
        let id = text.split(':').next().expect("an id").to_owned();
        assert!(ids.insert(id.clone()), "{id} is there twice");
    }
    for (partition, index, id) in acknowledged {
        assert!(ids.contains(id), "{id} is lost");
        let e = log.read_position(crate::suite::at(Stream::Change, *partition, *index)).expect("kept");
        assert!(e.bytes.starts_with(format!("{id}:").as_bytes()), "another entry stands at {}", e.position);
    }
}

/// A file system of 1 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Panics where mounting is not allowed: a full disk that nobody has seen is not tested.
    fn mount() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(dir.path()).status();
        let mounted = mount.expect("the command `mount` is there").success();
        assert!(mounted, "this test fills a disk of its own: run it as root, or as `unshare -rm cargo test ...`");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

async fn append_until_refused(log: &EventLog) -> (u64, AppendError) {
    for n in 0..10_000u64 {
        if let Err(e) = log.append(vec![entry(Stream::Change, 0, vec![n as u8; 3_000])]).await {
            return (n, e);
        }
    }
    panic!("the disk never filled");
}

#[tokio::test]
async fn a_full_disk_refuses_cleanly_and_recovers_when_space_returns() {
    let disk = SmallDisk::mount();
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 300 << 10]).expect("written");
    let dir = disk.0.path().join("log");
    let log = create(&dir);
    let (accepted, error) = append_until_refused(&log).await;
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert!(accepted > 50);
    assert_eq!(log.ends().total(), accepted, "what was refused left no trace");
    assert_eq!(read_all(&log, &Positions::new(), StreamSet::ALL).len() as u64, accepted);
    assert!(matches!(append_until_refused(&log).await, (0, AppendError::Full { .. })));

    std::fs::remove_file(&ballast).expect("removed");
    let (more, _) = append_until_refused(&log).await;
    assert!(more > 50, "the same log goes on once there is space");
    drop(log);
    let log = open(&dir);
    assert_eq!(read_all(&log, &Positions::new(), StreamSet::ALL).len() as u64, accepted + more);
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_until_reopened() {
    let disk = SmallDisk::mount();
    let dir = disk.0.path().join("log");
    let log = create(&dir);
    let acknowledged = log.append(vec![entry(Stream::Change, 0, "kept")]).await.expect("appended");
    // The reserved space is taken away, and given to somebody else.
    let segment = std::fs::OpenOptions::new().write(true).open(dir.join("main/0000000001.seg")).expect("writable");
    segment.set_len(8 << 10).expect("cut");
    let ballast = disk.0.path().join("ballast");
    assert!(std::fs::write(&ballast, vec![1; 2 << 20]).is_err(), "the disk is full");
    for _ in 0..2 {
        let error = log.append(vec![entry(Stream::Change, 0, vec![2; 30_000])]).await.expect_err("no space");
        assert!(matches!(error, AppendError::Poisoned { .. }), "{error}");
    }
    std::fs::remove_file(&ballast).expect("removed");
    let error = log.append(vec![entry(Stream::Change, 0, "small")]).await.expect_err("poisoned");
    assert!(matches!(error, AppendError::Poisoned { .. }), "space does not tell what the disk holds: {error}");
    assert_eq!(log.ends().total(), 1);
    log.append(vec![entry(Stream::Access, 0, "elsewhere")]).await.expect("the other sequence is sound");
    drop(log);

    let log = open(&dir);
    assert_eq!(log.read(acknowledged[0].locator).expect("kept").bytes, "kept");
    let next = log.append(vec![entry(Stream::Change, 0, "next")]).await.expect("appended");
    assert_eq!(next[0].position.index, Index(1));
}

#[tokio::test]
#[ignore = "the process whose files are limited"]
async fn appends_under_a_file_size_limit() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    // 64 KiB segments pass the limit of 100 KiB; a group that needs a larger one does not.
    let log = create(Path::new(&dir));
    log.append(vec![entry(Stream::Change, 0, "fits")]).await.expect("appended");
    let error = log.append(vec![entry(Stream::Change, 0, vec![0; 200 << 10])]).await.expect_err("over the limit");
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    log.append(vec![entry(Stream::Change, 0, "fits again")]).await.expect("appended");
    println!("\nPASSED");
}

#[test]
fn a_file_size_limit_refuses_cleanly() {
    let dir = tempfile::tempdir().expect("a folder");
    let inner = child("crash::appends_under_a_file_size_limit", &dir.path().join("log"));
    let mut limited = Command::new("bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    let out = limited.env(DIR, dir.path().join("log")).output().expect("run");
    assert!(String::from_utf8_lossy(&out.stdout).contains("PASSED"), "{out:?}");
    assert_eq!(read_all(&open(&dir.path().join("log")), &Positions::new(), StreamSet::ALL).len(), 2);
}

#[tokio::test]
async fn a_slow_log_makes_appenders_wait_within_the_bound() {
    let dir = tempfile::tempdir().expect("a folder");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    // The clock is read once per group: holding it back holds the writer.
    let clock = std::sync::Arc::new(move || {
        let _ = held.lock().expect("one writer per track").recv_timeout(Duration::from_secs(60));
        Timestamp(5)
    });
    let tuning = Tuning { queue_bytes_max: 64 << 10, clock, ..tuning() };
    let log = Embedded::create(dir.path(), &LogOptions { partitions: PARTITIONS, tuning }, [7; 16]).expect("created");
    let log = EventLog::Embedded(log);
    let mut calls: Vec<_> = (0..12)
        .map(|_| {
            let log = log.clone();
            Box::pin(async move { log.append(vec![entry(Stream::Change, 0, vec![0; 10_000])]).await })
        })
        .collect();
    // Each call is polled once: it is queued, or waits for room. Six fit into 64 KiB.
    for call in &mut calls {
        assert!(
            std::future::Future::poll(call.as_mut(), &mut std::task::Context::from_waker(std::task::Waker::noop()))
                .is_pending()
        );
    }
    drop(calls.drain(6..));
    for _ in 0..8 {
        release.send(()).expect("the writer waits");
    }
    for call in calls {
        call.await.expect("appended");
    }
    assert_eq!(
        log.ends().get(Stream::Change, Partition(0)),
        Index(6),
        "calls dropped while waiting for room were never queued"
    );
    drop(release);
    log.close().await;
}

#[tokio::test]
async fn retention_drops_whole_old_access_segments_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = now.clone();
    let clock = std::sync::Arc::new(move || Timestamp(clock.load(std::sync::atomic::Ordering::SeqCst)));
    let tuning = Tuning { clock, ..tuning() };
    let options = LogOptions { partitions: PARTITIONS, tuning: tuning.clone() };
    let log = EventLog::Embedded(Embedded::create(dir.path(), &options, [7; 16]).expect("created"));
    let mut appended = Vec::new();
    for n in 0..300 {
        now.store(1_000 + n, std::sync::atomic::Ordering::SeqCst);
        let batch = vec![entry(Stream::Access, 0, vec![0; 2_000]), entry(Stream::Change, 0, vec![0; 100])];
        appended.extend(
            log.append(batch).await.expect("appended").into_iter().filter(|a| a.position.stream == Stream::Access),
        );
    }
    let mut old = log.reader(&Positions::new(), StreamSet::ALL).expect("the reader starts");
    old.next_batch(1, 1).expect("sound");
    assert_eq!(log.retain_access(Timestamp(0)).expect("kept"), 0);
    assert!(log.retain_access(Timestamp(1_150)).expect("dropped") > 1);
    let first = log.first().get(Stream::Access, Partition(0));
    assert!(first.0 > 100 && first.0 <= 150, "{first:?}");
    assert_eq!(log.first().get(Stream::Change, Partition(0)), Index(0));

    for _ in 0..2 {
        let log = log.clone();
        let expired = log.reader(&Positions::new(), StreamSet::ALL).expect_err("gone");
        assert!(matches!(expired, ReadError::Expired { first: f, .. } if f == first), "{expired}");
        assert!(matches!(log.read_position(appended[0].position), Err(ReadError::Expired { .. })));
        assert!(matches!(log.read(appended[0].locator), Err(ReadError::NotFound { .. })));
        assert_eq!(read_all(&log, &log.first(), StreamSet::empty().with(Stream::Access)).len() as u64, 300 - first.0);
        assert_eq!(log.read(appended[150].locator).expect("kept").position, appended[150].position);
        assert_eq!(log.find_time(Stream::Access, Partition(0), Timestamp(0)).expect("sound"), first);
    }
    drop((log, old));
    let log = EventLog::Embedded(Embedded::open_with(dir.path(), &tuning).expect("opened"));
    assert_eq!(log.first().get(Stream::Access, Partition(0)), first);
    assert!(log.retain_access_bytes(0).expect("dropped") > 1);
    let kept = read_all(&log, &log.first(), StreamSet::empty().with(Stream::Access)).len();
    assert!(kept > 0 && kept < 40, "the segment that is written to stays: {kept}");
    let next = log.append(vec![entry(Stream::Access, 0, "next")]).await.expect("appended");
    assert_eq!(next[0].position.index, Index(300));
}
