//! Roles as processes: they share one log and nothing else, and come and go under load.

use serde_json::Value;
use tonic::Code;
use wire::query::MinPosition;
use wire::query::subject_key::Key;

use crate::client::{ask, batch, changes, letters, publish, refusal};
use crate::country::{Country, until};
use crate::hub::{lines, run, stderr, write_lines};

/// How often views are killed; `HUB_KILLS` sets it, `tests/soak` to 50.
fn kills() -> usize {
    std::env::var("HUB_KILLS").map_or(5, |given| given.parse().expect("HUB_KILLS is a number"))
}

/// One audit, two ingests, two views, all with encrypted bodies.
fn five(name: &str) -> Country {
    let mut country = Country::new(name);
    country.add("audit", "audit", &[]);
    for (name, roles) in [("ingest-1", "ingest"), ("ingest-2", "ingest"), ("views-1", "views"), ("views-2", "views")] {
        country.add(name, roles, &["audit"]);
    }
    country
}

const FOLDING: [&str; 3] = ["audit", "views-1", "views-2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_through_another_ingest_has_no_second_effect_and_every_views_process_says_the_same() {
    let country = five("five");
    let changes = changes("civil", 300);
    let (mut one, mut two) = (country.ingest("ingest-1"), country.ingest("ingest-2"));
    let first = publish(&mut one, batch("civil", changes[..200].to_vec())).await.expect("published");
    assert_eq!(letters(&first), "a".repeat(200));
    let again = publish(&mut one, batch("civil", changes[..200].to_vec())).await.expect("published");
    assert_eq!(letters(&again), "d".repeat(200), "an ingest remembers what it took");
    let second = publish(&mut two, batch("civil", changes[100..].to_vec())).await.expect("published");
    assert_eq!(second.outcomes.len(), 200);
    let all = country.agree(&FOLDING);
    assert!(all.iter().all(|status| status["records"] == 300), "{all:#?}");
    for name in FOLDING {
        assert_eq!(country.hub(name).json(&["views", "verify"])["equal"], true);
    }

    // Whoever shows a receipt is answered from views that hold it, wherever it was taken and wherever it asks.
    let late = publish(&mut two, batch("civil", lines_as_changes(300..301))).await.expect("published");
    let wire::ingest::outcome::Outcome::Accepted(accepted) = late.outcomes[0].outcome.clone().expect("an outcome")
    else {
        panic!("it is sound");
    };
    let position = accepted.receipt.and_then(|receipt| receipt.position).expect("a receipt names its place");
    let mut question = ask(Key::PersonalId("099000000000".into()), &["full_name"]);
    question.min_positions = vec![MinPosition { partition: position.partition, index: position.index }];
    let answer = country.query("views-1").get_subject(question.clone()).await.expect("answered").into_inner();
    let folded = answer.basis.expect("what it was made from").positions;
    assert!(folded[&format!("change/{}", position.partition)] > position.index, "{folded:?}");
    question.min_positions[0].index += 1_000_000;
    let mut hasty = tonic::Request::new(question);
    hasty.set_timeout(std::time::Duration::from_millis(800));
    let behind = country.query("views-2").get_subject(hasty).await.expect_err("no such entry");
    assert!(behind.message().contains("stands at"), "{behind:?}");
}

fn lines_as_changes(which: std::ops::Range<usize>) -> Vec<wire::ingest::Change> {
    changes("civil", which.end).split_off(which.start)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_does_what_its_roles_say_and_sends_others_where_they_are_served() {
    let mut country = Country::new("roles");
    country.add("audit", "audit", &[]);
    country.add("views-1", "views", &["audit"]);
    country.add("ingest-1", "ingest", &["audit"]);
    let one = changes("civil", 1);
    let error = publish(&mut country.ingest("views-1"), batch("civil", one.clone())).await.expect_err("views only");
    assert_eq!(refusal(&error).1, "not_ingest", "{error:?}");
    let question = ask(Key::PersonalId("099000000000".into()), &["full_name"]);
    let error = country.query("ingest-1").get_subject(question.clone()).await.expect_err("ingest only");
    assert_eq!(error.code(), Code::Unimplemented, "{error:?}");
    country.query("audit").get_subject(question).await.expect("who folds can answer");

    // A sector's own ingest takes its register alone.
    let land = country.process("ingest-1");
    land.stop();
    let path = land.dir.path().join("hub.toml");
    let config = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(&path, config.replace("[roles]\n", "[roles]\nregisters = [\"land\"]\n")).expect("writable");
    land.start_ready();
    let error = publish(&mut country.ingest("ingest-1"), batch("civil", one)).await.expect_err("not its register");
    assert_eq!(refusal(&error).1, "register_elsewhere", "{error:?}");
    assert!(error.message().contains("land"), "{error:?}");
    let published = publish(&mut country.register("ingest-1", "land"), batch("land", changes("land", 20))).await;
    assert_eq!(letters(&published.expect("its register")), "a".repeat(20));
    assert!(country.agree(&["audit", "views-1"]).iter().all(|status| status["records"] == 20));
    assert!(!country.process("ingest-1").dir.path().join("d/secret").exists(), "the secrets are in memory only");
    assert!(!country.process("views-1").dir.path().join("d/keys").exists(), "the keys are in memory only");
}

#[test]
fn a_publisher_needs_no_other_process_than_the_one_that_takes_its_changes() {
    let mut country = Country::new("door");
    country.add("audit", "audit", &[]);
    country.add("views-1", "views", &["audit"]);
    country.add("ingest-1", "ingest", &["audit"]);
    let ingest = country.hub("ingest-1");
    assert_eq!(crate::publish(ingest, "civil", &lines("civil", 30)), (30, 0));

    // A contract that is registered at another process is known here when its entry comes by.
    let population = lines("population", 10);
    let file = ingest.dir.join("population.binpb");
    std::fs::write(&file, nation::population_descriptor_set()).expect("writable");
    let file = file.to_str().expect("UTF-8");
    let taken = country.hub("views-1").ask(&["contracts", "register", file, "--reason", "a new register", "--json"]);
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    let known = || ingest.json(&["contracts", "list"]).to_string();
    until("the contract is known", || known().contains("population"));
    assert_eq!(crate::publish(ingest, "population", &population), (10, 0));
    assert!(country.agree(&["audit", "views-1"]).iter().all(|status| status["records"] == 40));

    let refused = ingest.ask(&["policy", "show"]);
    assert!(stderr(&refused).contains("role views"), "{}", stderr(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request_that_is_retried_once() {
    let mut country = five("rolling");
    let load = country.load(["ingest-1", "ingest-2"], ["views-1", "views-2"], changes("civil", 2_000));
    load.goes_on(100, 20);
    for name in ["ingest-1", "views-1", "audit", "ingest-2", "views-2"] {
        country.process(name).stop();
        load.goes_on(40, 5);
        country.process(name).start_ready();
        load.goes_on(40, 5);
    }
    let published = load.stop().await;
    let all = country.agree(&FOLDING);
    assert!(all.iter().all(|status| status["records"].as_u64() == Some(published as u64)), "{published}: {all:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_are_killed_again_and_again_under_load_end_with_an_equal_digest() {
    let mut country = five("killed");
    let load = country.load(["ingest-1", "ingest-2"], ["views-1", "views-2"], changes("civil", 2_000));
    for _ in 0..kills() {
        load.goes_on(40, 3);
        country.process("views-1").kill();
        load.goes_on(20, 3);
        country.process("views-1").start();
    }
    country.process("ingest-1").kill();
    load.goes_on(60, 3);
    let published = load.stop().await;
    let all = country.agree(&FOLDING);
    assert!(all.iter().all(|status| status["records"].as_u64() == Some(published as u64)), "{published}: {all:#?}");
    assert_eq!(country.hub("views-1").json(&["views", "verify"])["equal"], true);
    println!("figure views.kills {}", kills());
    println!("figure views.records {published}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_writes_cuts_and_gives_the_secrets_when_the_one_that_did_dies() {
    let mut country = Country::new("audits");
    country.add("audit-1", "audit", &[]);
    country.add("audit-2", "audit", &["audit-1"]);
    country.add("ingest-1", "ingest", &["audit-1", "audit-2"]);
    let all = changes("civil", 400);
    let mut ingest = country.ingest("ingest-1");
    publish(&mut ingest, batch("civil", all[..200].to_vec())).await.expect("published");
    let cut = |status: &Value| status["last_cut"].as_str().expect("a time").to_owned();
    country.agree(&["audit-1", "audit-2"]);
    until("a checkpoint is signed by both", || {
        ["audit-1", "audit-2"].iter().all(|name| country.hub(name).ledger()["covered"].as_object().is_some())
    });
    country.process("audit-1").kill();
    let before = cut(&country.hub("audit-2").folded());
    publish(&mut ingest, batch("civil", all[200..].to_vec())).await.expect("published");
    until("another process writes cuts", || cut(&country.hub("audit-2").json(&["status"])) > before);

    // It also gives the secrets, to a process that knew neither.
    country.add("views-1", "views", &["audit-1", "audit-2"]);
    assert_eq!(country.agree(&["audit-2", "views-1"])[0]["records"], 400);
    country.process("audit-1").start_ready();
    country.agree(&["audit-1", "audit-2", "views-1"]);
    for name in ["audit-1", "audit-2"] {
        assert_eq!(country.hub(name).json(&["audit", "verify"])["equal"], true, "{name}");
    }

    // An erasure that one process is asked for is carried out by all.
    let record = format!("civil/{}", all[0].record_id);
    let erased = country.hub("views-1").json(&["audit", "erase", "--record", &record, "--reason", "order 12/2026"]);
    assert_eq!((&erased["keys_destroyed"], &erased["purged"]), (&Value::from(1), &Value::from(true)));
    for name in ["audit-1", "audit-2"] {
        let done = "another process was asked for, were finished";
        until("the others destroy the key and purge", || country.process(name).log().contains(done));
    }
    assert!(country.agree(&["audit-1", "audit-2", "views-1"]).iter().all(|status| status["records"] == 399));
    let error = publish(&mut ingest, batch("civil", all[..1].to_vec())).await.expect("answered");
    assert_eq!(letters(&error), "r", "nothing of it is taken any more, by a process that has no views either");
}

/// Publishes five changes there; the number of good receipts by the key that signed them, by the policy of the process `audit`.
fn signed_by(country: &Country, ingest: &str, from: usize, audit: &str) -> Value {
    let (hub, policy) = (country.hub(ingest), country.hub(audit).ask(&["audit", "trust"]).stdout);
    write_lines(&hub.dir.join("changes"), &lines("civil", from + 5)[from..]);
    std::fs::write(hub.dir.join("policy"), policy).expect("writable");
    let receipts = format!("receipts-{from}");
    let published = hub.ask(&["publish", "--register", "civil", "changes", "--receipts", &receipts]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    let checked = run(&hub.dir, &["receipt", "check", &receipts, "--trust", "policy", "--json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{}", stderr(&checked)));
    assert_eq!(report["good"], 5, "{report}");
    report["signed_by"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_key_that_one_process_rotates_signs_at_all_of_them_without_a_new_start() {
    let mut country = Country::new("signing");
    country.add("audit-1", "audit", &[]);
    country.add("audit-2", "audit", &["audit-1"]);
    country.add("ingest-1", "ingest", &["audit-1", "audit-2"]);
    let first = signed_by(&country, "ingest-1", 0, "audit-1");
    let refused = country.hub("audit-2").ask(&["keys", "signing", "rotate", "--reason", "yearly"]);
    assert!(stderr(&refused).contains("has no peers.keys_from"), "{}", stderr(&refused));
    let rotated = country.hub("audit-1").json(&["keys", "signing", "rotate", "--reason", "yearly"]);
    let (former, next) = (rotated["former"].as_str().expect("a key"), rotated["next"].as_str().expect("a key"));
    assert_eq!(first[former], 5, "{first}");
    let mut from = 5;
    until("its receipts are signed by the next key", || {
        from += 5;
        signed_by(&country, "ingest-1", from, "audit-1")[next] == 5
    });
    until("the other audit process signs with it", || country.hub("audit-2").ledger()["verifier"] == next);

    // It keeps the key that it was given, and gives it in turn.
    country.process("audit-1").kill();
    country.process("audit-2").stop();
    country.process("audit-2").start_ready();
    until("it signs with the key that it kept", || country.hub("audit-2").ledger()["verifier"] == next);
    country.add("ingest-2", "ingest", &["audit-1", "audit-2"]);
    assert_eq!(signed_by(&country, "ingest-2", from + 5, "audit-2")[next], 5);
}
