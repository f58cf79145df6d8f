//! A reviewer's day: the queue, decisions, contradictions, undoing.

use serde_json::Value;

use crate::hub::{Hub, configured, lines, stderr, write_lines};

fn queue(hub: &Hub) -> Vec<Value> {
    let answer = hub.json(&["review", "list", "--case", "R-1", "--limit", "200"]);
    answer["reviews"].as_array().cloned().unwrap_or_default()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn holds(queue: &[Value], (left, right): (&str, &str)) -> bool {
    queue.iter().any(|review| (text(review, "left"), text(review, "right")) == (left, right))
}

/// A birth like another one, of a child with the same name, day and parents, and a number of its own.
fn namesake(lines: &[Value]) -> Value {
    let number =
        |line: &Value| line["record"]["child"]["personal_id"].as_str().filter(|id| id.len() == 12).map(str::to_owned);
    let birth = lines.iter().find(|line| line["record_type"] == "birth" && number(line).is_some());
    let mut birth = birth.expect("a nation has births").clone();
    let id = number(&birth).expect("it was looked for");
    let other = |digit: char| char::from(b'0' + (digit as u8 - b'0' + 5) % 10);
    let other: String = id[..6].chars().chain(id[6..].chars().map(other)).collect();
    birth["record_id"] = "KS-NAMESAKE".into();
    birth["record"]["child"]["personal_id"] = other.into();
    birth
}

#[test]
fn decisions_join_part_contradict_are_undone_and_outlive_the_process() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let mut lines = lines("civil", 400);
    lines.push(namesake(&lines));
    write_lines(&dir.path().join("civil.ndjson"), &lines);
    hub.json(&["publish", "--register", "civil", "civil.ndjson"]);
    hub.folded();

    let before = queue(&hub);
    let weights: Vec<(&str, u64)> =
        before.iter().map(|r| (text(r, "class"), r["accesses"].as_u64().unwrap_or(0))).collect();
    let rank = |class: &str| ["conflict", "refused", "weak"].iter().position(|known| *known == class);
    assert!(weights.windows(2).all(|two| rank(two[0].0) <= rank(two[1].0)), "{weights:?}");
    let apart = |r: &&Value| r["left_subject"] != r["right_subject"] && text(r, "class") == "refused";
    let review = before.iter().find(apart).expect("two persons who are nearly one").clone();
    let pair = (text(&review, "left"), text(&review, "right"));

    let explained =
        ["explain", "person", "--subject", pair.0, "--and", pair.1, "--case", "R-1", "--as", "reviewer/main"];
    assert_eq!(hub.json(&explained)["together"], false);
    let reason = ["--reason", "both certificates seen"];
    let decide =
        |verdict: &str| hub.ask(&[&["review", "decide", verdict, pair.0, pair.1][..], &reason, &["--json"]].concat());
    let decided: Value = serde_json::from_slice(&decide("must").stdout).expect("one JSON value");
    assert_eq!(decided["left_subject"], decided["right_subject"], "{decided}");
    assert_eq!(text(&decided["decision"], "effect"), "stands");
    assert!(!holds(&queue(&hub), pair), "what was decided leaves the queue");

    let contradiction = decide("cannot");
    assert_eq!(contradiction.status.code(), Some(3), "{}", stderr(&contradiction));
    let told = stderr(&contradiction);
    assert!(told.contains("decision_contradicted") || told.contains("contradict"), "{told}");
    assert!(told.contains(pair.0) && told.contains(pair.1), "the chain is named: {told}");

    let portal = hub.ask(&["review", "list", "--case", "R-1", "--as", "portal/national"]);
    assert_eq!(portal.status.code(), Some(3), "{}", stderr(&portal));
    let nobody = "00".repeat(16);
    let unknown = hub.ask(&[&["review", "decide", "must", pair.0, &nobody][..], &reason].concat());
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));

    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));
    let hub = Hub::start(dir.path());
    let verified = hub.json(&["views", "verify", "--store", "sled"]);
    assert_eq!(verified["equal"], true, "{verified}");
    let decide =
        |verdict: &str| hub.ask(&[&["review", "decide", verdict, pair.0, pair.1][..], &reason, &["--json"]].concat());
    let undone: Value = serde_json::from_slice(&decide("undo").stdout).expect("one JSON value");
    assert_ne!(undone["left_subject"], undone["right_subject"], "{undone}");
    assert_eq!(decide("undo").status.code(), Some(3), "nothing is left to undo");
    assert!(holds(&queue(&hub), pair), "and the pair is to be reviewed again");

    let decisions = hub.json(&["review", "decisions", "--mention", pair.0]);
    let told: Vec<(&str, &str)> = decisions["decisions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| (text(d, "verdict"), text(d, "effect")))
        .collect();
    assert_eq!(told, [("VERDICT_MUST", "undone"), ("VERDICT_UNDO", "stands")]);
    assert!(text(&decisions["decisions"][0], "actor").ends_with("reviewer/main"));

    let unsure: Value = serde_json::from_slice(&decide("unsure").stdout).expect("one JSON value");
    assert_ne!(unsure["left_subject"], unsure["right_subject"]);
    assert!(!holds(&queue(&hub), pair), "nobody looks at it twice");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));
}
