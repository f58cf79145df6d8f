//! Records that are erased are gone from every file of the data directory; everything else, and every proof, stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use event_log::{Embedded, EventLog, StreamSet};
use key_store::{KeyStore, WrappingKey};
use record::{Entry, EntryKind, Envelope, Positions, Pseudonym, Stream};
use serde_json::Value;

use crate::hub::{CONFIG, Hub, lines, run, stderr, write_lines};

const RECORDS: usize = 3_000;
const ERASED: usize = 1_000;

fn id(n: usize) -> String {
    format!("ZQXMARK{n:06}KW")
}

/// What the log says of every record, read with the keys: pseudonym and hash of the statement by record id.
fn statements(dir: &Path) -> BTreeMap<String, (Pseudonym, [u8; 32])> {
    let log = Embedded::open(&dir.join("log")).expect("a sound log");
    let wrapping = WrappingKey::File(dir.join("keys/wrapping"));
    let keys = KeyStore::open(&dir.join("keys"), wrapping, log.log_id()).expect("its keys").keyring().load();
    let log = EventLog::from(log);
    let mut reader = log.reader(&Positions::new(), StreamSet::empty().with(Stream::Change)).expect("readable");
    let mut out = BTreeMap::new();
    loop {
        let batch = reader.next_batch(4_096, 8 << 20).expect("sound");
        if batch.entries.is_empty() {
            break;
        }
        for logged in batch.entries {
            let entry = Entry::decode(&logged.bytes).expect("an entry");
            assert!(matches!(entry.header.kind, EntryKind::Upsert) && entry.plain_body().is_err(), "all are encrypted");
            let Ok(body) = entry.body(&keys) else { continue };
            let envelope = Envelope::decode(&body).expect("an envelope");
            let hash = envelope.statement_hash().0;
            out.insert(envelope.record_id.as_str().to_owned(), (entry.header.record, hash));
        }
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(log.close());
    out
}

/// Of a log that nobody has open: the entries of changes and refusals as they are stored, and every body as it reads.
pub async fn bodies(data: &Path) -> (Vec<u8>, Vec<u8>) {
    let log = Embedded::open(&data.join("log")).expect("a sound log");
    let wrapping = WrappingKey::File(data.join("keys/wrapping"));
    let keys = KeyStore::open(&data.join("keys"), wrapping, log.log_id()).expect("its keys").keyring().load();
    let log = EventLog::from(log);
    let streams = Stream::ALL.into_iter().fold(StreamSet::empty(), StreamSet::with);
    let mut reader = log.reader(&Positions::new(), streams).expect("readable");
    let (mut stored, mut readable) = (Vec::new(), Vec::new());
    loop {
        let batch = reader.next_batch(4_096, 8 << 20).expect("sound");
        if batch.entries.is_empty() {
            break;
        }
        for logged in batch.entries {
            let entry = Entry::decode(&logged.bytes).expect("an entry");
            if matches!(entry.header.kind, EntryKind::Upsert | EntryKind::Retract | EntryKind::Rejected) {
                stored.extend_from_slice(&logged.bytes);
            }
            readable.extend_from_slice(&entry.body(&keys).expect("readable"));
        }
    }
    drop(reader);
    log.close().await;
    (stored, readable)
}

/// How often the files below a folder hold one of these byte strings, and the first file that does.
fn found(dir: &Path, wanted: &BTreeSet<[u8; 8]>) -> (usize, Option<String>) {
    // Most places are ruled out by their first two bytes, and most files are zeros.
    let mut begins = vec![false; 1 << 16];
    wanted.iter().for_each(|w| begins[usize::from(u16::from_le_bytes([w[0], w[1]]))] = true);
    found_below(dir, wanted, &begins)
}

fn found_below(dir: &Path, wanted: &BTreeSet<[u8; 8]>, begins: &[bool]) -> (usize, Option<String>) {
    let (mut count, mut first) = (0, None);
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let (below, name) = found_below(&path, wanted, begins);
            (count, first) = (count + below, first.or(name));
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let mut hits = 0;
        for (n, block) in bytes.chunks(4_096).enumerate() {
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let from = n * 4_096;
            let to = (from + block.len()).min(bytes.len().saturating_sub(7));
            for at in from..to {
                if begins[usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))]
                    && wanted.contains(&head(&bytes[at..at + 8]))
                {
                    hits += 1;
                }
            }
        }
        count += hits;
        if hits > 0 {
            first = first.or(Some(path.display().to_string()));
        }
    }
    (count, first)
}

fn head(bytes: &[u8]) -> [u8; 8] {
    bytes[..8].try_into().expect("eight bytes")
}

fn audited() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = "[ledger]\ncheckpoint_interval_ms = 100\ncommit_interval_ms = 300\n";
    fs::write(dir.path().join("hub.toml"), format!("{CONFIG}{ledger}")).expect("writable");
    dir
}

#[test]
fn a_thousand_erased_records_leave_no_trace_and_every_proof_holds() {
    let dir = audited();
    let data = dir.path().join("d");
    let hub = Hub::start(dir.path());
    // Several records of each person, so that what an erasure leaves is linked again.
    let mut records: Vec<Value> = lines("civil", RECORDS).into_iter().cycle().take(RECORDS).collect();
    for (n, record) in records.iter_mut().enumerate() {
        record["record_id"] = id(n).into();
    }
    write_lines(&dir.path().join("civil.ndjson"), &records);
    let published = hub.ask(&["publish", "--register", "civil", "civil.ndjson"]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    hub.folded();
    // A refused change of a record that will be erased: it is kept, encrypted, and goes with the record.
    let mut refused = records[0].clone();
    (refused["version"], refused["record"]) = (99.into(), Value::Object(Default::default()));
    write_lines(&dir.path().join("refused.ndjson"), &[refused]);
    hub.ask(&["publish", "--register", "civil", "refused.ndjson"]);
    assert_eq!(hub.json(&["rejected", "--register", "civil"])["changes"].as_array().map(Vec::len), Some(1));
    fs::write(dir.path().join("policy"), hub.ask(&["audit", "trust"]).stdout).expect("writable");
    assert_eq!(hub.stop().code(), Some(0));
    let told = statements(&data);
    assert_eq!(told.len(), records.len());
    let copied = run(dir.path(), &["keys", "backup", "keys.copy", "--config", "hub.toml"]);
    assert_eq!(copied.status.code(), Some(0), "{}", stderr(&copied));

    let gone: Vec<String> = (0..ERASED).map(|n| id(2 * n)).collect();
    let hashes: BTreeSet<[u8; 8]> = gone.iter().map(|id| head(&told[id].1)).collect();
    let (before, _) = found(&data.join("views"), &hashes);
    assert!(before >= ERASED, "the views hold what they were told of {before}");
    assert_eq!(found(&data, &[head(b"ZQXMARK0")].into()), (0, None), "no id was ever written in the clear");

    let hub = Hub::start(dir.path());
    hub.folded();
    let list: String = gone.iter().map(|id| format!("civil/{id}\n")).collect();
    fs::write(dir.path().join("gone"), list).expect("writable");
    let asked = hub.json(&["audit", "erase", "--records", "gone", "--reason", "court order 12"]);
    assert_eq!((&asked["waits"], &asked["records"]), (&Value::from(true), &Value::from(ERASED)), "{asked}");
    let number = asked["index"].to_string().replace('"', "");
    let own = hub.ask(&["audit", "approve", &number, "--reason", "seen", "--as", "operator/ops"]);
    assert_eq!(own.status.code(), Some(3), "{}", stderr(&own));
    let waiting = hub.json(&["audit", "erasures"]);
    assert_eq!(waiting["waiting"].as_array().map(Vec::len), Some(1), "{waiting}");
    let done = hub.json(&["audit", "approve", &number, "--reason", "the order was seen"]);
    assert_eq!((&done["keys_destroyed"], &done["purged"]), (&Value::from(ERASED), &Value::from(true)), "{done}");

    // What stays, stays; what went cannot come back.
    let equal = hub.json(&["views", "verify"]);
    assert_eq!(equal["equal"], true, "{equal}");
    assert_eq!(hub.json(&["status"])["records"].to_string().replace('"', ""), (records.len() - ERASED).to_string());
    assert_eq!(hub.json(&["rejected", "--register", "civil"])["changes"].as_array().map_or(0, Vec::len), 0);
    let mut again = records[0].clone();
    again["version"] = 100.into();
    write_lines(&dir.path().join("again.ndjson"), &[again]);
    let again = hub.ask(&["publish", "--register", "civil", "again.ndjson"]);
    assert!(stderr(&again).contains("hub.record_erased"), "{}", stderr(&again));
    let kept = format!("civil/{}", id(1));
    let replayed = hub.ask(&["audit", "replay", "--record", &kept, "--case", "A-1"]);
    assert!(String::from_utf8_lossy(&replayed.stdout).contains(&id(1)), "{}", stderr(&replayed));

    hub.checkpointed();
    let index = done["index"].to_string().replace('"', "");
    let erasure = format!("control/0/{index}");
    let other = format!("civil/{}", id(1));
    hub.json(&["audit", "prove", "--position", &erasure, "--case", "A-2", "-o", "erasure.proof"]);
    hub.json(&["audit", "prove", "--record", &other, "--case", "A-2", "-o", "other.proof"]);
    for bundle in ["erasure.proof", "other.proof"] {
        let checked = run(dir.path(), &["audit", "check", bundle, "--trust", "policy", "--json"]);
        assert_eq!(checked.status.code(), Some(0), "{bundle}: {}", stderr(&checked));
    }
    let verified = hub.ask(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
    assert_eq!(hub.stop().code(), Some(0));

    assert_eq!(found(&data, &hashes), (0, None), "hashes of what was stated");
    let left = statements(&data);
    assert_eq!(left.len(), records.len() - ERASED);
    assert!(left.iter().all(|(id, told_now)| told[id] == *told_now) && gone.iter().all(|id| !left.contains_key(id)));

    // A key file that comes back from a copy is of no avail: the log says what is erased.
    fs::remove_file(data.join("keys/tree")).expect("removed");
    let restored = run(dir.path(), &["keys", "restore", "keys.copy", "--config", "hub.toml"]);
    assert_eq!(restored.status.code(), Some(0), "{}", stderr(&restored));
    assert_eq!(statements(&data).len(), records.len(), "the copy still had the keys");
    let hub = Hub::start(dir.path());
    hub.until("the keys are destroyed again", |_| {
        let log = fs::read_to_string(dir.path().join("serve.log")).expect("UTF-8");
        log.contains("erasures that a former run had begun")
    });
    let rotated = hub.json(&["keys", "rotate", "--reason", "a copy was used"]);
    assert_eq!(rotated["wrapping"], "file", "{rotated}");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.stop().code(), Some(0));
    assert_eq!(statements(&data).len(), records.len() - ERASED);
    let copy = run(dir.path(), &["keys", "status", "--config", "hub.toml", "--json"]);
    assert_eq!(copy.status.code(), Some(0), "{}", stderr(&copy));
}

#[test]
fn a_hub_without_its_keys_or_with_others_does_not_start() {
    let dir = audited();
    let hub = Hub::start(dir.path());
    assert_eq!(hub.stop().code(), Some(0));
    let tree = dir.path().join("d/keys/tree");
    let kept = fs::read(&tree).expect("a key file");
    fs::remove_file(&tree).expect("removed");
    let (status, log) = Hub::try_start_in(dir.path(), &[]).err().expect("refused");
    assert!(!status.success() && log.contains("keys is missing") && !tree.exists(), "{log}");
    fs::write(&tree, &kept).expect("written");
    let (_, log) = Hub::try_start_in(dir.path(), &[]).err().expect("refused");
    assert!(log.contains("may be read by others"), "{log}");
}

#[test]
fn a_log_may_be_plain_for_a_reason_and_then_says_what_an_erasure_leaves() {
    let dir = audited();
    let config = fs::read_to_string(dir.path().join("hub.toml")).expect("written");
    let keys = "[keys]\nplain_because = \"a test\"\nsecond_person = false\n";
    fs::write(dir.path().join("hub.toml"), format!("{config}{keys}")).expect("writable");
    let hub = Hub::start(dir.path());
    let records = lines("civil", 10);
    write_lines(&dir.path().join("civil.ndjson"), &records);
    let published = hub.ask(&["publish", "--register", "civil", "civil.ndjson"]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    hub.folded();
    assert!(!dir.path().join("d/keys").exists());
    let record = format!("civil/{}", records[0]["record_id"].as_str().expect("an id"));
    let done = hub.json(&["audit", "erase", "--record", &record, "--reason", "court order 12"]);
    assert_eq!((&done["waits"], &done["records"]), (&Value::from(false), &Value::from(1)), "{done}");
    assert_eq!(done["plain_entries"].to_string().replace('"', ""), "1", "{done}");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.json(&["status"])["records"].to_string().replace('"', ""), "9");
    let unknown = hub.ask(&["audit", "erase", "--record", "civil/none", "--reason", "court order 12"]);
    assert!(stderr(&unknown).contains("no such record"), "{}", stderr(&unknown));
    // From here on the configuration wants keys: what comes is encrypted, what was is read.
    assert_eq!(hub.stop().code(), Some(0));
    fs::write(dir.path().join("hub.toml"), config).expect("writable");
    let hub = Hub::start(dir.path());
    let mut later = records[1].clone();
    later["record_id"] = "LATER-1".into();
    write_lines(&dir.path().join("later.ndjson"), &[later]);
    let published = hub.ask(&["publish", "--register", "civil", "later.ndjson"]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    hub.folded();
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    assert_eq!(hub.json(&["status"])["records"].to_string().replace('"', ""), "10");
    assert_eq!(hub.stop().code(), Some(0));
    assert_eq!(found(&dir.path().join("d/log"), &[head(b"LATER-1\0")].into()).0, 0);
}
