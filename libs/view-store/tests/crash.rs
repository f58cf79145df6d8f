//! A process killed at any moment loses no commit that it was told is safe, and leaves a store that opens.

mod fixture;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use fixture::{EXPECT, batch, check, keys_of, resume, small};
use view_store::{Durability, OpenError, Options, StoreKind, ViewStore};

const DIRECTORY: &str = "VIEW_STORE_CRASH_DIRECTORY";
const KILLS: usize = 6;

#[test]
fn killed_process_loses_no_synced_commit_on_fjall() {
    kill_again_and_again(
        "killed_process_loses_no_synced_commit_on_fjall",
        &Options { durability: Durability::Synced, ..small(StoreKind::Fjall) },
    );
}

#[test]
fn killed_process_loses_no_buffered_commit_on_fjall() {
    kill_again_and_again(
        "killed_process_loses_no_buffered_commit_on_fjall",
        &Options { durability: Durability::Buffered, ..small(StoreKind::Fjall) },
    );
}

#[test]
fn killed_process_loses_no_synced_commit_on_sled() {
    kill_again_and_again(
        "killed_process_loses_no_synced_commit_on_sled",
        &Options { durability: Durability::Synced, ..small(StoreKind::Sled) },
    );
}

/// Machines that start again have nothing of what sled was told to flush for sure: only those that were stopped in order before may go on.
#[test]
fn store_on_sled_that_was_open_when_the_machine_went_down_is_not_trusted() {
    let test = "store_on_sled_that_was_open_when_the_machine_went_down_is_not_trusted";
    let options = Options { durability: Durability::Synced, ..small(StoreKind::Sled) };
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        commit_for_ever(Path::new(&dir), &options);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let views = dir.path().join("views");
    let mark = views.join("store/open-since-boot");
    kill_after(test, &views, 3);
    check(&mut resume(&views, StoreKind::Sled));
    assert!(!mark.exists(), "it was closed in order");
    check(&mut resume(&views, StoreKind::Sled));

    kill_after(test, &views, 3);
    std::fs::write(&mark, "another start of the machine").expect("the mark of a killed process is there");
    let refused = ViewStore::open(&views, options, EXPECT).err().expect("it is not trusted");
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("the machine has started again"), "{refused}");
}

/// Runs this very test in a child process that commits until it is killed, some batches later each time.
fn kill_again_and_again(test: &str, options: &Options) {
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        commit_for_ever(Path::new(&dir), options);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let views = dir.path().join("views");
    for kill in 0..KILLS {
        let acknowledged = kill_after(test, &views, 1 + kill * 7);
        let mut store = resume(&views, options.store);
        let found = store.committed().batch;
        assert!(found >= acknowledged, "batch {acknowledged} was acknowledged, {found} is the last one found");
        check(&mut store);
    }
}

/// Kills a child once it has acknowledged `batches` batches; returns the last one that it acknowledged.
fn kill_after(test: &str, views: &Path, batches: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test's own path"))
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, views)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child process");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let acknowledged = |line: std::io::Result<String>| line.expect("text").strip_prefix("batch ")?.parse().ok();
    let mut last: u64 = lines.by_ref().filter_map(acknowledged).nth(batches - 1).expect("the child commits");
    child.kill().expect("it runs until it is killed");
    child.wait().expect("it is dead");
    for number in lines.filter_map(|line| line.ok()?.strip_prefix("batch ")?.parse().ok()) {
        last = number;
    }
    last
}

fn commit_for_ever(dir: &Path, options: &Options) -> ! {
    let mut store = ViewStore::open(dir, options.clone(), EXPECT).expect("a sound store").into_store();
    store.restore_postings(|_, row, keys| keys.extend(keys_of(row))).expect("a sound store");
    loop {
        let number = batch(&mut store, 53);
        // One write, so that the parent never reads half a number; it may be gone already.
        let line = format!("\nbatch {number}\n");
        std::io::stdout().write_all(line.as_bytes()).expect("the parent reads until it kills");
    }
}
