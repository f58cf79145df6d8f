//! The log's entries as they are: filtered, resumed, and never without being written down.

use serde_json::Value;

use crate::hub::{Hub, audited, lines, stderr, write_lines};

fn replay(hub: &Hub, more: &[&str]) -> (Vec<Value>, Value) {
    let output = hub.ask(&[&["audit", "replay", "--case", "A-7", "--json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{more:?}: {}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = lines.pop().expect("a summary")["summary"].clone();
    (lines, summary)
}

fn positions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["position"].as_str().expect("a position")).collect()
}

#[test]
fn a_replay_shows_what_matches_and_says_what_that_proves() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    for register in ["civil", "land"] {
        let file = format!("{register}.ndjson");
        write_lines(&dir.path().join(&file), &lines(register, 40));
        let output = hub.ask(&["publish", "--register", register, &file]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    hub.folded();
    let civil = lines("civil", 40);
    let number = civil.iter().find_map(|line| line["record"]["child"]["personal_id"].as_str()).expect("a birth");
    let ask = [
        "get",
        "person",
        "--personal-id",
        number,
        "--procedure",
        "1.000894",
        "--case",
        "HS-1",
        "--fields",
        "full_name",
    ];
    let answer = hub.json(&ask);
    let subject = answer["subject"]["id"].as_str().expect("an id");

    let (all, summary) = replay(&hub, &["--stream", "change"]);
    assert_eq!((all.len(), summary["matched"].as_u64()), (80, Some(80)));
    let (of_civil, _) = replay(&hub, &["--stream", "change", "--register", "civil"]);
    assert!(of_civil.len() == 40 && of_civil.iter().all(|entry| entry["change"]["register"] == "civil"));
    let (typed, _) = replay(&hub, &["--register", "land", "--type", "parcel_right"]);
    let (agency, _) = replay(&hub, &["--agency", of_civil[0]["change"]["agency"].as_str().expect("an agency")]);
    assert!(typed.iter().all(|entry| entry["change"]["record_type"] == "parcel_right") && !agency.is_empty());
    let by = "spiffe://hub.test/register/land";
    let (published, _) = replay(&hub, &["--stream", "change", "--caller", by]);
    assert_eq!(published.len(), 40);

    let one = of_civil[0]["change"]["record_id"].as_str().expect("an id");
    let (record, summary) = replay(&hub, &["--record", &format!("civil/{one}"), "--stream", "change", "--records"]);
    assert_eq!(positions(&record), [of_civil[0]["position"].as_str().expect("a position")]);
    assert!(record[0]["change"]["record"].is_object(), "{record:?}");
    let complete = summary["complete"].to_string();
    assert!(complete.contains("all changes of a record stand in one partition"), "{summary}");
    assert_eq!(summary["ranges"].as_object().map(serde_json::Map::len), Some(1), "only where it can stand is read");

    let (of_subject, summary) = replay(&hub, &["--subject", subject, "--stream", "change"]);
    assert!(!of_subject.is_empty() && summary["not_complete"].to_string().contains("today"), "{summary}");
    let (asked, _) = replay(&hub, &["--subject", subject, "--stream", "access"]);
    assert!(asked.iter().any(|entry| entry["accesses"][0]["case_number"] == "HS-1"), "{asked:?}");

    let (ranged, _) = replay(&hub, &["--positions", "change/1/1..3"]);
    assert_eq!(positions(&ranged), ["change/1/1", "change/1/2"]);
    let (commune, _) = replay(&hub, &["--stream", "change", "--commune", "no-such-commune"]);
    assert!(commune.is_empty());
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let (none, _) = replay(&hub, &["--from", &later.to_string()]);
    assert!(none.is_empty());

    let refused = hub.ask(&["audit", "replay", "--case", "A-7", "--as", "portal/national"]);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    let (accesses, _) = replay(&hub, &["--stream", "access", "--caller", "spiffe://hub.test/portal/national"]);
    let last = accesses.last().expect("the refusal");
    assert_eq!(last["accesses"][0]["refusal"], "action_not_granted", "{last}");
    assert_eq!(hub.stop().code(), Some(0));
}

#[test]
fn a_replay_that_was_broken_off_goes_on_without_gap_or_repetition() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 60));
    assert_eq!(hub.ask(&["publish", "--register", "civil", "civil.ndjson"]).status.code(), Some(0));
    let command = [
        "audit",
        "replay",
        "--stream",
        "change",
        "--case",
        "A-7",
        "--json",
        "-o",
        "out.ndjson",
        "--state",
        "out.state",
    ];
    assert_eq!(hub.ask(&command).status.code(), Some(0));
    let whole = std::fs::read_to_string(dir.path().join("out.ndjson")).expect("UTF-8");
    assert_eq!(whole.lines().count(), 60);

    // What was written and not kept comes again; what was kept does not.
    std::fs::write(dir.path().join("out.ndjson"), format!("{whole}torn")).expect("writable");
    write_lines(&dir.path().join("more.ndjson"), &lines("civil", 80)[60..]);
    assert_eq!(hub.ask(&["publish", "--register", "civil", "more.ndjson"]).status.code(), Some(0));
    assert_eq!(hub.ask(&command).status.code(), Some(0));
    let longer = std::fs::read_to_string(dir.path().join("out.ndjson")).expect("UTF-8");
    assert!(longer.starts_with(&whole) && longer.lines().count() == 80, "{} lines", longer.lines().count());
    let seen: std::collections::BTreeSet<_> = longer.lines().collect();
    assert_eq!(seen.len(), 80);

    let other = [&command[..], &["--register", "land"]].concat();
    let refused = hub.ask(&other);
    assert!(stderr(&refused).contains("same filter"), "{}", stderr(&refused));
    std::fs::write(dir.path().join("out.ndjson"), "short").expect("writable");
    let refused = hub.ask(&command);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert_eq!(hub.stop().code(), Some(0));
}

#[test]
fn a_parquet_file_is_gone_on_with_and_holds_every_entry_once() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    let dir = audited();
    let hub = Hub::start(dir.path());
    let command = ["audit", "replay", "--stream", "change", "--case", "A-7", "--parquet", "out.parquet"];
    let positions = || {
        let file = std::fs::File::open(dir.path().join("out.parquet")).expect("it is whole");
        let read = SerializedFileReader::new(file).expect("a sound file");
        let rows = read.get_row_iter(None).expect("rows").map(|row| row.expect("a sound row"));
        rows.map(|row| row.get_string(0).expect("a position").clone()).collect::<Vec<_>>()
    };
    for (from, to) in [(0, 60), (60, 60), (60, 80)] {
        write_lines(&dir.path().join("civil.ndjson"), &lines("civil", 80)[from..to]);
        assert_eq!(hub.ask(&["publish", "--register", "civil", "civil.ndjson"]).status.code(), Some(0));
        let replayed = hub.ask(&[&command[..], &["--state", "out.state"]].concat());
        assert_eq!(replayed.status.code(), Some(0), "{}", stderr(&replayed));
        let seen = positions();
        let once: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), once.len()), (to, to), "after {to}");
    }
    let (all, _) = replay(&hub, &["--stream", "change"]);
    let (mut of_replay, mut of_file) = (positions_of(&all), positions());
    of_replay.sort();
    of_file.sort();
    assert_eq!(of_file, of_replay);
    assert!(!dir.path().join("out.parquet.part").exists(), "nothing is left beside it");
    std::fs::write(dir.path().join("out.parquet"), "another file").expect("writable");
    let refused = hub.ask(&[&command[..], &["--state", "out.state"]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

fn positions_of(entries: &[Value]) -> Vec<String> {
    positions(entries).into_iter().map(str::to_owned).collect()
}
