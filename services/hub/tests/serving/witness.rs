//! A witness in its own process: it cosigns a hub's checkpoints, and refuses one of another history.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{batch, changes, letters, publish};
use crate::hub::{Hub, audited, command, run, stderr};

struct WitnessProcess {
    child: Child,
    /// Its line for a policy.
    line: String,
}

impl WitnessProcess {
    fn start(dir: &Path, listen: &str) -> Self {
        let arguments = [
            "audit",
            "witness",
            "--dir",
            "witness",
            "--name",
            "witness.test/a",
            "--trust",
            "policy",
            "--listen",
            listen,
        ];
        let mut child =
            command(dir, &arguments).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("it is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("it tells its key");
        Self { child, line }
    }

    fn address(&self) -> String {
        self.line.trim_end().rsplit("http://").next().expect("a URL").to_owned()
    }
}

impl Drop for WitnessProcess {
    fn drop(&mut self) {
        // Ended already, or not wanted any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn publish_some(hub: &Hub, from: usize, to: usize) {
    let mut civil = hub.ingest("register/civil").await;
    let result = publish(&mut civil, batch("civil", changes("civil", to)[from..].to_vec())).await.expect("taken");
    assert_eq!(letters(&result), "a".repeat(to - from));
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp is there").success());
}

fn cosigned(hub: &Hub) -> u64 {
    let ledger: Value = hub.json(&["audit", "status"]);
    let note = ledger["cosigned"].as_str().expect("a text");
    note.lines().nth(1).map_or(0, |size| size.parse().expect("a size"))
}

/// The size of the checkpoint that the witness cosigned last.
fn kept(dir: &Path) -> u64 {
    let kept = std::fs::read_dir(dir.join("witness/logs")).expect("its state").next().expect("one log");
    let note = std::fs::read_to_string(kept.expect("readable").path()).expect("UTF-8");
    note.lines().nth(1).expect("three lines").parse().expect("a size")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_cosigns_one_history_and_refuses_a_fork() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    std::fs::write(dir.path().join("policy"), hub.ask(&["audit", "trust"]).stdout).expect("writable");
    assert_eq!(hub.stop().code(), Some(0));
    let witness = WitnessProcess::start(dir.path(), "127.0.0.1:0");
    let config = std::fs::read_to_string(dir.path().join("hub.toml")).expect("UTF-8");
    std::fs::write(dir.path().join("hub.toml"), config + "witnesses = \"../witnesses\"\n").expect("writable");
    std::fs::write(dir.path().join("witnesses"), format!("{}quorum a\n", witness.line)).expect("writable");

    let hub = Hub::start(dir.path());
    publish_some(&hub, 0, 20).await;
    hub.checkpointed();
    wait_for("a cosigned checkpoint", || cosigned(&hub) > 0);
    std::fs::write(dir.path().join("policy"), hub.ask(&["audit", "trust"]).stdout).expect("writable");
    hub.json(&["audit", "prove", "--position", "change/0/0", "--case", "A-1", "-o", "entry.proof"]);
    let checked = run(dir.path(), &["audit", "check", "entry.proof", "--trust", "policy", "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let report: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!(report["cosigned"][0]["witness"], "a", "{report}");
    let (_, note) = hub.tile("/checkpoint");
    assert!(String::from_utf8(note).expect("UTF-8").contains("witness.test/a"), "the cosigned checkpoint is served");
    assert_eq!(hub.stop().code(), Some(0));

    // Two histories from here on: the copy knows nothing of what comes now.
    copy(&dir.path().join("d"), &dir.path().join("copy"));
    let hub = Hub::start(dir.path());
    let before = cosigned(&hub);
    publish_some(&hub, 20, 40).await;
    hub.checkpointed();
    wait_for("another cosigned checkpoint", || cosigned(&hub) > before);
    assert_eq!(hub.stop().code(), Some(0));
    let last = kept(dir.path());

    std::fs::remove_dir_all(dir.path().join("d")).expect("removable");
    std::fs::rename(dir.path().join("copy"), dir.path().join("d")).expect("in its place");
    // Also after it was started again, at the same address.
    let address = witness.address();
    drop(witness);
    let again = WitnessProcess::start(dir.path(), &address);
    let forked = Hub::start(dir.path());
    publish_some(&forked, 40, 60).await;
    for round in 3..200 {
        publish_some(&forked, 20 * round, 20 * (round + 1)).await;
        let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("UTF-8");
        if log.contains("a witness did not cosign") {
            break;
        }
    }
    let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("UTF-8");
    assert!(log.contains("set back to an older copy") || log.contains("HTTP status 422"), "{log}");
    assert!(cosigned(&forked) <= last, "no other history is cosigned");
    assert_eq!(kept(dir.path()), last, "it stands where it stood");
    drop(again);
    assert_eq!(forked.stop().code(), Some(0), "publishing went on");
    assert!(
        stderr(&run(dir.path(), &["audit", "witness", "--dir", "w", "--name", "a b", "--trust", "policy"]))
            .contains("key name")
    );
}
