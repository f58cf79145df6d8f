//! Every decoder of bytes that come from outside, as a function of bytes: for `tests/decoders.rs`, which runs them on changed examples, and for
//! cargo-fuzz, whose targets in `tests/fuzz` call the same functions. None may panic, and none may take more memory than [`Decoder::bytes_max`].

use std::path::Path;
use std::sync::LazyLock;

use contract::Contract;
use event_log::{Embedded, EventLog, StreamSet};
use ledger::{Checkpoint, Note, Policy, Receipt, Resource, Tick};
use link_files::Silent;
use link_files::table::TableBuilder;
use proof::Trust;
use record::access::AccessBatch;
use record::control::Control;
use record::{Entry, Envelope, LtHash, Positions, Reader};

/// A decoder.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Name of its target and of its folder in the corpus.
    pub name: &'static str,
    /// Decodes, and does with the outcome what the hub does first.
    pub decode: fn(&[u8]),
    /// Sound examples.
    pub examples: fn() -> Vec<Vec<u8>>,
    /// Memory that it may take at once for an input of that many bytes.
    pub bytes_max: fn(usize) -> usize,
}

/// All of them.
pub const DECODERS: [Decoder; 12] = [
    Decoder { name: "segment", decode: segment, examples: segments, bytes_max: |n| (24 << 20) + 8 * n },
    Decoder { name: "entry", decode: entry, examples: entries, bytes_max: |n| (1 << 20) + 64 * n },
    Decoder {
        name: "descriptor_set",
        decode: descriptor_set,
        examples: descriptor_sets,
        bytes_max: |n| (64 << 20) + 256 * n,
    },
    Decoder { name: "change_body", decode: change_body, examples: change_bodies, bytes_max: |n| (1 << 20) + 64 * n },
    Decoder { name: "ndjson", decode: ndjson, examples: json_lines, bytes_max: |n| (1 << 20) + 128 * n },
    Decoder { name: "csv", decode: csv, examples: tables, bytes_max: |n| (4 << 20) + 512 * n },
    Decoder { name: "bundle", decode: bundle, examples: bundles, bytes_max: |n| (4 << 20) + 64 * n },
    Decoder { name: "tile", decode: tile, examples: tiles, bytes_max: |n| (1 << 20) + 16 * n },
    Decoder { name: "note", decode: note, examples: notes, bytes_max: |n| (1 << 20) + 64 * n },
    Decoder { name: "documents", decode: documents, examples: policies, bytes_max: |n| (8 << 20) + 256 * n },
    Decoder { name: "unit_list", decode: unit_list, examples: unit_lists, bytes_max: |n| (1 << 20) + 64 * n },
    Decoder { name: "model", decode: model, examples: models, bytes_max: |n| (4 << 20) + 64 * n },
];

static CIVIL: LazyLock<Contract> = LazyLock::new(|| {
    let civil = contract::builtin().iter().find(|known| known.register == "civil").expect("it is built in");
    Contract::compile(civil.descriptor_set).expect("a contract")
});

const FORMAT_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../libs/event-log/tests/fixtures/format-1");
const PROOF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../libs/proof/tests/fixtures/format-1");
/// Frames of a segment that are kept of the example: its head and what was written.
const SEGMENT_BYTES: usize = 24 << 10;

fn file(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(Path::new(folder).join(name)).expect("an example of this repository")
}

/// The newest segment of a log: opened and read to its end.
pub fn segment(bytes: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = {
            // In memory where there is such a folder: opening flushes.
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a temporary directory")
        };
    }
    DIR.with(|dir| {
        let dir = dir.path();
        for track in ["main", "access"] {
            // What an earlier input left.
            let _ = std::fs::remove_dir_all(dir.join(track));
            std::fs::create_dir(dir.join(track)).expect("writable");
        }
        std::fs::write(dir.join("LOG"), file(FORMAT_1, "LOG")).expect("writable");
        std::fs::write(dir.join("access/0000000001.seg"), file(FORMAT_1, "access/0000000001.seg")).expect("writable");
        std::fs::write(dir.join("main/0000000001.seg"), bytes).expect("writable");
        let Ok(log) = Embedded::open(dir) else { return };
        let log = EventLog::Embedded(log);
        let Ok(mut reader) = log.reader(&Positions::new(), StreamSet::ALL) else { return };
        while reader.next_batch(64, 1 << 20).is_ok_and(|batch| !batch.entries.is_empty()) {}
    });
}

fn segments() -> Vec<Vec<u8>> {
    let mut bytes = file(FORMAT_1, "main/0000000001.seg");
    bytes.truncate(SEGMENT_BYTES);
    vec![bytes]
}

/// An entry and its body, whatever its kind.
pub fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        let body = entry.plain_body().unwrap_or(bytes);
        let _ = (Envelope::decode(body).is_ok(), Control::decode(body).is_ok(), AccessBatch::decode(body).is_ok());
    }
    let _ = (Envelope::decode(bytes).is_ok(), Control::decode(bytes).is_ok(), AccessBatch::decode(bytes).is_ok());
    let _ = (Positions::decode(&mut Reader::new(bytes)).is_ok(), LtHash::from_bytes(bytes).is_ok());
    let _ = (record::envelope::Refusal::decode(bytes).is_ok(), Receipt::decode(bytes).is_ok());
}

fn entries() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["LOG", "main/0000000001.seg", "main/0000000001.idx", "main/0000000002.seg", "access/0000000001.seg"] {
        let to = dir.path().join(name);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("writable");
        std::fs::write(to, file(FORMAT_1, name)).expect("writable");
    }
    let log = EventLog::Embedded(Embedded::open(dir.path()).expect("a sound log"));
    let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("a log");
    let batch = reader.next_batch(100, 1 << 20).expect("a sound log");
    let mut out: Vec<Vec<u8>> = batch.entries.iter().map(|logged| logged.bytes.to_vec()).collect();
    let header = record::EntryHeader::of_hub(record::EntryKind::Control, record::Timestamp(7));
    let order = record::control::Order::Cut { at: record::Timestamp(5), ends: log.ends() };
    let body = Control::by_hub(order).encode();
    out.push(Entry::encode_salted(&header, &[1; 16], &body).expect("a small entry"));
    out.push(body);
    out
}

/// A contract that somebody registers.
pub fn descriptor_set(bytes: &[u8]) {
    if let Ok(contract) = Contract::compile(bytes) {
        let _ = contract::compat(&CIVIL, &contract);
    }
}

fn descriptor_sets() -> Vec<Vec<u8>> {
    let builtin = contract::builtin().iter().map(|known| known.descriptor_set.to_vec());
    builtin.chain([nation::population_descriptor_set().to_vec()]).collect()
}

/// The body of a change, by each record type of the civil register: judged, and shown as JSON.
pub fn change_body(bytes: &[u8]) {
    for name in CIVIL.record_types().iter().map(|record_type| record_type.name()) {
        let judged = CIVIL.judge(name, bytes, 1_700_000_000_000_000).expect("a record type of the contract");
        if judged.accepts() {
            let _ = CIVIL.body_to_json(name, bytes).is_ok();
        }
    }
}

fn change_bodies() -> Vec<Vec<u8>> {
    let nation = nation::Nation::new(nation::Config { persons: 1_000, seed: 1 }).expect("within bounds");
    nation.changes("civil").take(40).map(|change| change.payload).collect()
}

/// A line of a file that is published.
pub fn ndjson(bytes: &[u8]) {
    let Ok(line) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let record_type = line["record_type"].as_str().unwrap_or("birth");
    if let Ok(body) = CIVIL.json_to_body(record_type, &line["record"]) {
        let _ = CIVIL.judge(record_type, &body, 1_700_000_000_000_000).is_ok();
    }
}

fn json_lines() -> Vec<Vec<u8>> {
    let nation = nation::Nation::new(nation::Config { persons: 1_000, seed: 1 }).expect("within bounds");
    let line = |change: nation::PublishedChange| {
        let record = CIVIL.body_to_json(change.record_type, &change.payload).ok()?;
        let line = serde_json::json!({ "record_type": change.record_type, "record": record });
        Some(line.to_string().into_bytes())
    };
    nation.changes("civil").filter_map(line).take(20).collect()
}

/// A file of `hub link files`.
pub fn csv(bytes: &[u8]) {
    thread_local! {
        static FILE: tempfile::NamedTempFile = tempfile::NamedTempFile::new().expect("a temporary file");
    }
    FILE.with(|file| {
        std::fs::write(file.path(), bytes).expect("writable");
        let _ = link_files::read_csv(file.path(), None, &mut TableBuilder::new("id"), &Silent).is_ok();
    });
}

fn tables() -> Vec<Vec<u8>> {
    let head = "id,full_name,birth_date\n";
    let rows: String = (0..20).map(|n| format!("{n},\"Nguyễn, Văn {n}\",199{}-05-06\n", n % 10)).collect();
    vec![format!("{head}{rows}").into_bytes(), format!("\u{feff}{}", rows.replace(',', ";")).into_bytes()]
}

/// A proof bundle that an auditor is handed, and the trust policy beside it.
pub fn bundle(bytes: &[u8]) {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| {
        Policy::parse(&String::from_utf8(file(PROOF, "policy")).expect("UTF-8")).expect("a sound policy")
    });
    let _ = proof::check(bytes, &Trust { policy: &POLICY, known: None }).is_ok();
    let _ = proof::Bundle::decode(bytes).is_ok();
}

fn bundles() -> Vec<Vec<u8>> {
    vec![file(PROOF, "answer.proof")]
}

/// A tile and its name, as whoever mirrors a ledger reads them.
pub fn tile(bytes: &[u8]) {
    let (name, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    let named = std::str::from_utf8(name).ok().and_then(Resource::parse);
    let Some(Resource::Hashes(tile) | Resource::Entries(tile)) = named else { return };
    let _ = tile.hashes(rest.get(1..).unwrap_or_default()).is_ok();
}

fn tiles() -> Vec<Vec<u8>> {
    ["tile/0/000", "tile/0/x001/x234/067.p/3", "tile/entries/000.p/7"]
        .into_iter()
        .map(|name| [name.as_bytes(), &[0], &[7; 3 * 32]].concat())
        .collect()
}

/// Checkpoints, ticks, cosigned notes, trust policies: texts of the ledger.
pub fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (Note::parse(text).is_ok(), Checkpoint::parse(text).is_ok(), Policy::parse(text).is_ok());
    let _ = (Tick::parse(text).is_ok(), ledger::witness::AddCheckpoint::parse(text).is_ok());
}

fn notes() -> Vec<Vec<u8>> {
    let checkpoint = file(PROOF, "older.checkpoint");
    let asked = [b"old 3\nqINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n\n", &checkpoint[..]].concat();
    vec![checkpoint, asked, file(PROOF, "policy")]
}

/// Policies and procedures that an operator puts.
pub fn documents(bytes: &[u8]) {
    let _ = (access::PolicyDocument::parse(bytes).is_ok(), access::ProcedureSet::parse(bytes).is_ok());
}

fn policies() -> Vec<Vec<u8>> {
    vec![access::BUILTIN_POLICY.as_bytes().to_vec(), access::BUILTIN_PROCEDURES.as_bytes().to_vec()]
}

/// A unit list that is imported.
pub fn unit_list(bytes: &[u8]) {
    if let Ok(list) = projection::units::UnitList::decode(bytes) {
        let _ = list.check().is_ok();
    }
}

fn unit_lists() -> Vec<Vec<u8>> {
    let unit =
        |n: u32| projection::units::Unit { code: format!("{n:05}"), name: format!("Xã {n}"), province: "01".into() };
    let list = projection::units::UnitList {
        version: "2025-07-01".into(),
        valid_from: "2025-07-01".into(),
        previous: "2015-01-01".into(),
        units: (1..40).map(unit).collect(),
        map: (100..140).map(|old| (format!("{old:05}"), format!("{:05}", 1 + old % 39))).collect(),
    };
    vec![list.encode()]
}

/// A linkage model that is proposed.
pub fn model(bytes: &[u8]) {
    let _ = linkage::Model::from_bytes(bytes).is_ok();
}

fn models() -> Vec<Vec<u8>> {
    vec![linkage::Model::epoch_1().to_bytes()]
}
