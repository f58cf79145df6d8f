//! A rebuild that is killed again and again, wherever it is: it goes on, and ends equal.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hub::{self, Hub, configured, lines, stderr, write_lines};
use crate::rounds::{Rounds, figure};

/// Kills of one rebuild, in short and in long.
const KILLS: [u64; 2] = [3, 20];
/// Percent of one thread's time: little, so that the kills fall into the work.
const SHARE: &str = "2";
/// Longest life between the beginning of the work and its kill.
const LIFE_MS: u64 = 900;
const PATIENCE: Duration = Duration::from_secs(120);

fn publish(hub: &Hub, register: &str, lines: &[Value]) {
    let file = format!("{register}.ndjson");
    write_lines(&hub.dir.join(&file), lines);
    let published = hub.ask(&["publish", "--register", register, &file]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
}

fn begin(hub: &Hub) -> Child {
    let mut command = hub::command(&hub.dir, &["views", "prepare", "--share", SHARE, "--config", "hub.toml"]);
    command.args(["--endpoint", &hub.endpoint]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// Entries that the prepared views have folded, once they are there.
fn prepared(hub: &Hub) -> u64 {
    let begun = Instant::now();
    loop {
        let status = hub.json(&["status"]);
        if !status["prepared"].is_null() {
            return number(&status["prepared"]["entries"]);
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is prepared: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_rebuild_that_is_killed_wherever_it_is_ends_equal() {
    let (mut kills, mut rebuilds) = (0, 0);
    let rounds = Rounds::new("rebuild", 1);
    let wanted = KILLS[usize::from(rounds.is_long())];
    for mut chance in rounds {
        let dir = configured();
        let mut hub = Hub::start(dir.path());
        let civil = lines("civil", 2_000);
        let (first, rest) = civil.split_at(civil.len() / 2);
        let mut later = rest.chunks(rest.len() / usize::try_from(wanted).expect("few"));
        publish(&hub, "civil", first);
        publish(&hub, "health", &lines("health", 1_500));
        publish(&hub, "land", &lines("land", 1_000));
        hub.folded();
        let mut places = Vec::new();
        for _ in 0..wanted {
            let mut looking = begin(&hub);
            prepared(&hub);
            std::thread::sleep(Duration::from_millis(chance.below(LIFE_MS)));
            places.push(prepared(&hub));
            // The log grows while views are rebuilt.
            if chance.one_in(3) {
                publish(&hub, "civil", later.next().expect("a part for each kill"));
            }
            hub.signal("-KILL");
            drop(hub);
            looking.wait().expect("a child");
            hub = Hub::start(dir.path());
            hub.folded();
            kills += 1;
        }
        assert!(places.iter().any(|place| *place > 0), "no kill fell into the work: {places:?}");
        let before = hub.folded();
        let done = hub.json(&["views", "rebuild", "--share", "100", "--reason", "a test of kills"]);
        assert_eq!(done["before_digest"], done["after_digest"], "killed at {places:?}");
        let after = hub.folded();
        for field in ["digest", "records", "mentions", "subjects_persons", "subjects_parcels"] {
            assert_eq!(after[field], before[field], "{field}, killed at {places:?}");
        }
        assert_eq!(hub.json(&["views", "verify"])["equal"], true, "killed at {places:?}");
        assert_eq!(hub.stop().code(), Some(0));
        rebuilds += 1;
        figure("rebuild.kills", kills);
        figure("rebuild.equal", rebuilds);
    }
}
