//! The power goes off at any moment: the log has every entry that was acknowledged, and views that lost something are noticed and folded again.
//!
//! A hub runs under strace from its first start to its end; then the disk as it is after a power loss at some moment of that is made up from the
//! trace ([`crate::disk`]), as often as wanted, and a hub is started on it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use wire::query::subject_key::Key;

use crate::client::{ask, batch, publish};
use crate::disk::{Disk, Names};
use crate::hub::{self, CONFIG, Hub};
use crate::kept::{self, Answer, Told};
use crate::load::{Published, REGISTERS, accepted, publish_again, stock};
use crate::rounds::{Chance, Rounds, figure};
use crate::trace::{self, Op, What};

/// Changes of each register in one recording.
const CHANGES: usize = 600;
const BATCH: usize = 20;
/// Power losses of one recording.
const LOSSES: u64 = 8;
/// Flushes of a first start that the power goes off after: all of the first, and as many of the others.
const FIRST_FLUSHES: usize = 24;
const OTHER_FLUSHES: usize = 6;

/// What a hub did to its disk, and when it told whom what.
struct Recorded {
    dir: tempfile::TempDir,
    ops: Vec<Op>,
    published: Vec<(i64, Published)>,
    answers: Vec<(i64, Answer)>,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("this age")
}

fn config(store: &str) -> String {
    let small = CONFIG.replace("segment_bytes = 4194304", "segment_bytes = 1048576");
    let ledger = "[ledger]\ncheckpoint_interval_ms = 100\ncommit_interval_ms = 300\n";
    format!("{small}kind = \"{store}\"\n{ledger}")
}

/// A hub under strace; its certificates are there before.
fn traced(dir: &Path) -> Hub {
    let made = hub::run(dir, &["dev-certs", "--config", "hub.toml"]);
    assert!(made.status.success(), "{}", hub::stderr(&made));
    std::fs::create_dir(dir.join("trace")).expect("a writable folder");
    let mut program = Command::new("strace");
    program
        .args(["-ff", "-ttt", "-T", "-y", "-xx", "-s", "67108864", "--seccomp-bpf", "-e"])
        .arg(format!("trace={}", trace::CALLS))
        .args(["-e", "signal=none", "-o", "trace/t"])
        .arg(env!("CARGO_BIN_EXE_hub"))
        .args(["serve", "--config", "hub.toml", "--dev-certs", "--json"])
        .current_dir(dir);
    Hub::try_start_by(dir, program).unwrap_or_else(|(status, log)| panic!("it does not serve ({status}): {log}"))
}

async fn record(store: &str, chance: &mut Chance) -> Recorded {
    let (hub, dir) = begin(store);
    let mut tasks = Vec::new();
    let mut persons = Vec::new();
    for register in REGISTERS {
        let (changes, numbers) = stock(register);
        persons.extend(numbers);
        let from = chance.below((changes.len() - CHANGES) as u64) as usize;
        let mut client = hub.ingest(&format!("register/{register}")).await;
        tasks.push(tokio::spawn(async move {
            let mut out = Vec::new();
            for chunk in changes[from..from + CHANGES].chunks(BATCH) {
                let told = accepted(&publish(&mut client, batch(register, chunk.to_vec())).await.expect("taken"));
                let at = now();
                let chunk = chunk.iter().cloned().zip(told);
                out.extend(chunk.map(|(change, told)| (at, Published { register, change, told })));
            }
            out
        }));
    }
    let mut portal = hub.query("portal/national").await;
    let mut answers = Vec::new();
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let key = Key::PersonalId(chance.pick(&persons).clone());
        let answer = portal.get_subject(ask(key, &["full_name"])).await.expect("answered").into_inner();
        answers.push((now(), kept::answer(answer.basis.as_ref().expect("a basis"))));
    }
    let mut published = Vec::new();
    for task in tasks {
        published.extend(task.await.expect("no panic"));
    }
    hub.folded();
    end(hub, dir, published, answers)
}

fn begin(store: &str) -> (Hub, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("hub.toml"), config(store)).expect("writable");
    (traced(dir.path()), dir)
}

fn end(hub: Hub, dir: tempfile::TempDir, published: Vec<(i64, Published)>, answers: Vec<(i64, Answer)>) -> Recorded {
    stop_traced(hub, dir.path());
    let root = std::fs::canonicalize(dir.path().join("d")).expect("a data directory");
    let ops = trace::read(&dir.path().join("trace/t"), &root);
    assert_trace_is_whole(&ops, &root);
    Recorded { dir, ops, published, answers }
}

/// strace hands no signal on: the hub itself is told to stop.
fn stop_traced(hub: Hub, dir: &Path) {
    let process = std::fs::read_to_string(dir.join("d/hub.lock")).expect("the hub's number");
    let sent = Command::new("kill").args(["-TERM", process.trim()]).status().expect("kill is there");
    assert!(sent.success());
    assert_eq!(hub.ended().code(), Some(0));
}

/// A simulation of what was not seen would prove nothing: all that was recorded makes exactly the files that are there.
fn assert_trace_is_whole(ops: &[Op], root: &Path) {
    let mut disk = Disk::new(Names::Journaled);
    ops.iter().for_each(|op| disk.apply(op, i64::MAX));
    let shown = disk.shown();
    let mut there = Vec::new();
    files(root, &mut there);
    there.retain(|path| !path.starts_with(root.join("dev-certs")));
    let differ: Vec<_> = there.iter().filter(|path| !shown.contains_key(*path)).collect();
    let unseen: Vec<_> = shown.keys().filter(|path| !there.contains(path)).collect();
    assert!(differ.is_empty() && unseen.is_empty(), "not in the trace: {differ:?}; only in the trace: {unseen:?}");
    for (path, bytes) in shown {
        let found = std::fs::read(&path).expect("readable");
        let name = path.display();
        assert_eq!(bytes.len(), found.len(), "{name}");
        let differs = bytes.iter().zip(&found).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}");
    }
}

fn files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
    out.sort();
}

/// What became of the views.
#[derive(Default)]
struct Found {
    losses: u64,
    views_rebuilt: u64,
    torn_tails: u64,
    acknowledged: u64,
}

/// What a power loss at `moment` leaves, with what a hub needs to be started on it.
fn left_by(recorded: &Recorded, store: &str, moment: i64, names: Names, chance: &mut Chance) -> tempfile::TempDir {
    let root = std::fs::canonicalize(recorded.dir.path().join("d")).expect("a data directory");
    let mut disk = Disk::new(names);
    recorded.ops.iter().take_while(|op| op.from < moment).for_each(|op| disk.apply(op, moment));
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("hub.toml"), config(store)).expect("writable");
    disk.lose_power(&root, &dir.path().join("d"), chance);
    let copied = Command::new("cp").arg("-r").arg(root.join("dev-certs")).arg(dir.path().join("d")).status();
    assert!(copied.expect("cp is there").success());
    // The record has no modes: these were made for the owner alone.
    for secret in ["keys", "secret"] {
        let Ok(names) = std::fs::read_dir(dir.path().join("d").join(secret)) else { continue };
        for name in names {
            let path = name.expect("a name").path();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        }
    }
    started_again(&dir.path().join("d"));
    dir
}

async fn lose_power(recorded: &Recorded, store: &str, chance: &mut Chance, found: &mut Found) {
    let names = *chance.pick(&[Names::Journaled, Names::Strict]);
    // Now and then in the middle of the first start.
    let from = if chance.one_in(6) { 0 } else { recorded.ops.len() as u64 / 4 };
    let at = from + chance.below(recorded.ops.len() as u64 - from);
    let moment = recorded.ops[usize::try_from(at).expect("an index")].from;
    let dir = left_by(recorded, store, moment, names, chance);

    let what = format!("{store}, names {names:?}, at operation {at} of {}", recorded.ops.len());
    let before: Vec<&Published> =
        recorded.published.iter().filter(|(told, _)| *told < moment).map(|(_, published)| published).collect();
    let answers: Vec<Answer> =
        recorded.answers.iter().filter(|(told, _)| *told < moment).map(|(_, answer)| answer.clone()).collect();
    let told: Vec<Told> = before.iter().filter_map(|published| published.told()).collect();
    let hub = Hub::try_start_in(dir.path(), &[]).unwrap_or_else(|(_, log)| panic!("{what}: {log}"));
    let again: Vec<Published> =
        before.iter().map(|p| Published { register: p.register, change: p.change.clone(), told: p.told }).collect();
    publish_again(&hub, &again).await;
    hub.folded();
    let verified = hub.json(&["views", "verify"]);
    assert_eq!(verified["equal"], true, "{what}: {verified}");
    hub.checkpointed();
    assert_eq!(hub.stop().code(), Some(0), "{what}");
    let broken = kept::broken_promises(&dir.path().join("d"), &told, &answers);
    assert!(broken.is_empty(), "{what}: {} promises broken, such as: {}", broken.len(), broken[0]);
    let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("a log");
    found.losses += 1;
    found.acknowledged += (told.len() + answers.len()) as u64;
    found.views_rebuilt += u64::from(log.contains("discarded and folded again"));
    found.torn_tails += u64::from(log.contains("unfinished write"));
}

/// After a power loss the machine has another name for its start than the one that stores on sled were open under.
fn started_again(dir: &Path) {
    let mut there = Vec::new();
    if dir.exists() {
        files(dir, &mut there);
    }
    for mark in there.iter().filter(|path| path.ends_with("open-since-boot")) {
        std::fs::write(mark, "another start of the machine").expect("writable");
    }
}

async fn lose_power_again_and_again(store: &'static str) {
    let mut found = Found::default();
    for mut chance in Rounds::new(store, 1) {
        let recorded = record(store, &mut chance).await;
        for _ in 0..LOSSES {
            lose_power(&recorded, store, &mut chance, &mut found).await;
        }
        for (name, value) in [
            ("losses", found.losses),
            ("views_rebuilt", found.views_rebuilt),
            ("torn_tails", found.torn_tails),
            ("acknowledged", found.acknowledged),
        ] {
            figure(&format!("power.{store}.{name}"), value);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_loss_takes_nothing_acknowledged_and_views_on_fjall_come_back() {
    lose_power_again_and_again("fjall").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_loss_takes_nothing_acknowledged_and_views_on_sled_come_back() {
    lose_power_again_and_again("sled").await;
}

/// Whatever of its first start a hub is robbed of, the next one begins anew or goes on: neither the log nor what it cannot be read without
/// reaches the disk alone.
#[test]
fn a_power_loss_in_the_first_start_leaves_what_the_next_start_goes_on_with() {
    for mut chance in Rounds::new("first start", 1) {
        let (hub, dir) = begin("fjall");
        let recorded = end(hub, dir, Vec::new(), Vec::new());
        let flushes = recorded.ops.iter().filter(|op| matches!(op.what, What::Sync { .. } | What::SyncAll));
        let flushes: Vec<_> = flushes.enumerate().collect();
        // The first ones make the log and what it cannot be read without; of the others a few.
        let (first, others) = flushes.split_at(FIRST_FLUSHES.min(flushes.len()));
        let others = (0..OTHER_FLUSHES.min(others.len())).map(|_| *chance.pick(others)).collect::<Vec<_>>();
        for (number, flushed) in first.iter().copied().chain(others) {
            let dir = left_by(&recorded, "fjall", flushed.to + 1, Names::Strict, &mut chance);
            let hub = Hub::try_start_in(dir.path(), &[]);
            let hub = hub.unwrap_or_else(|(_, log)| panic!("after flush {number}, {:?}: {log}", flushed.what));
            assert_eq!(hub.stop().code(), Some(0), "after flush {number}");
        }
    }
}
