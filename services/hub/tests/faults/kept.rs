//! What a stopped hub's log holds, read without the hub, against what it had promised.

use std::collections::HashMap;
use std::path::Path;

use event_log::{Embedded, EventLog, StreamSet};
use record::access::AccessBatch;
use record::{Entry, EntryKind, LogSecret, Position, Positions, Pseudonym, RecordId, RegisterName, Stream};

/// A change that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub register: &'static str,
    pub record_id: String,
    pub version: u64,
    pub position: Position,
}

/// An answer that arrived: its access entry's place and the id of the access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub position: Position,
    pub access: [u8; 16],
}

/// Place and id of the access of an answer, as its basis tells them.
pub fn answer(basis: &wire::query::Basis) -> Answer {
    let byte = |at| u8::from_str_radix(&basis.access_id[at..at + 2], 16).expect("hexadecimal digits");
    let mut access = [0; 16];
    assert_eq!(basis.access_id.len(), 32, "an id of 16 bytes");
    access.iter_mut().enumerate().for_each(|(at, out)| *out = byte(2 * at));
    Answer { position: basis.access_position.parse().expect("a place"), access }
}

/// What was lost or doubled, in words; empty when every promise holds. Nothing else has the directory open.
pub fn broken_promises(data: &Path, changes: &[Told], answers: &[Answer]) -> Vec<String> {
    let secret: [u8; 32] = std::fs::read(data.join("secret/log")).expect("a secret").try_into().expect("32 bytes");
    let secret = LogSecret::new(&secret);
    let log = EventLog::Embedded(Embedded::open(&data.join("log")).expect("a sound log"));
    let held = Held::read(&log);
    let mut broken = held.doubled.clone();
    for told in changes {
        let register = RegisterName::try_from(told.register).expect("a name");
        let record = secret.pseudonym(&register, &RecordId::try_from(told.record_id.as_str()).expect("an id"));
        if held.changes.get(&told.position) != Some(&(record, told.version)) {
            broken.push(format!("{} is not at {} as was acknowledged", told.record_id, told.position));
        }
    }
    for answer in answers {
        if !held.accesses.get(&answer.position).is_some_and(|ids| ids.contains(&answer.access)) {
            broken.push(format!("an answer was given, and its access is not at {}", answer.position));
        }
    }
    broken
}

#[derive(Default)]
struct Held {
    changes: HashMap<Position, (Pseudonym, u64)>,
    accesses: HashMap<Position, Vec<[u8; 16]>>,
    doubled: Vec<String>,
}

impl Held {
    fn read(log: &EventLog) -> Self {
        let mut held = Self::default();
        let mut identities = HashMap::new();
        let mut reader = log.reader(&Positions::new(), StreamSet::ALL).expect("it begins at its beginning");
        loop {
            let batch = reader.next_batch(4_096, 16 << 20).expect("a sound log");
            if batch.entries.is_empty() {
                return held;
            }
            for logged in batch.entries {
                let entry = Entry::decode(&logged.bytes).expect("a sound entry");
                let header = &entry.header;
                if logged.position.stream == Stream::Change {
                    let identity = (header.register.clone(), header.record, header.version);
                    // What is stated again for an epoch that does not serve yet is known to the prepared views alone: sent again
                    // after a restart it stands there twice, and counts once.
                    if header.epoch.0 == 0
                        && let Some(first) = identities.insert(identity, logged.position)
                    {
                        held.doubled.push(format!("{} states what {first} states", logged.position));
                    }
                    held.changes.insert(logged.position, (header.record, header.version));
                }
                if header.kind == EntryKind::Access {
                    let batch = AccessBatch::decode(entry.plain_body().expect("plain")).expect("a sound batch");
                    held.accesses.insert(logged.position, batch.accesses.iter().map(|access| access.id).collect());
                }
            }
        }
    }
}
