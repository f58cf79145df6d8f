//! Sound records to play with: of the synthetic nation for the registers that it knows, else from a file.

use std::path::Path;

use contract::Contract;
use nation::{Flaw, Nation, Operation as Stated};
use serde_json::Value as Json;
use wire::ingest::{Change, Operation};

use crate::answers::wire_time;
use crate::error::CommandError;
use crate::publish::Lines;

/// Registers whose records the synthetic nation has.
const KNOWN: [&str; 4] = ["civil", "land", "health", "population"];
/// Persons of the nation.
const PERSONS: u32 = 2_000;

/// Sound changes of a register, `count` of them, each with a record id of its own that begins with `prefix`.
pub(super) struct Samples {
    pub(super) changes: Vec<Change>,
    /// The first twelve digits that a record gives as somebody's personal id.
    pub(super) personal_id: Option<String>,
}

/// Makes them.
///
/// # Errors
/// The file has no sound record, or none is known and none was named.
pub(super) fn samples(
    register: &str,
    file: Option<&Path>,
    descriptors: &[u8],
    prefix: &str,
    count: usize,
) -> Result<Samples, CommandError> {
    let mut found = match file {
        Some(file) => of_file(file, descriptors)?,
        None => of_nation(register, count)?,
    };
    let kinds = found.len();
    while found.len() < count {
        found.push(found[found.len() % kinds].clone());
    }
    found.truncate(count);
    let personal_id = personal_id(&found, descriptors);
    for (at, change) in found.iter_mut().enumerate() {
        change.record_id = format!("{prefix}-{at:03}");
        change.version = 10;
        change.replaces = 0;
    }
    Ok(Samples { changes: found, personal_id })
}

fn of_nation(register: &str, count: usize) -> Result<Vec<Change>, CommandError> {
    let Some(known) = KNOWN.into_iter().find(|known| *known == register) else {
        return Err(CommandError::usage(
            format!("no records of register '{register}' are known to play with"),
            "name a file with a few sound records as 'hub publish' takes them: --sample FILE",
        ));
    };
    let nation = Nation::new(nation::Config { persons: PERSONS, seed: 7 })
        .map_err(|error| CommandError::failed(error.to_string(), "report this build of the hub as broken"))?;
    let sound = nation.changes(known).filter(|change| change.flaw == Flaw::None && change.operation == Stated::Upsert);
    let time = |micros: i64| jiff::Timestamp::from_microsecond(micros).ok().map(wire_time);
    let changes = sound.take(count).map(|change| Change {
        record_id: change.record_id,
        version: change.version,
        operation: Operation::Upsert.into(),
        record_type: change.record_type.into(),
        effective_at: time(change.effective_at),
        registered_at: time(change.registered_at),
        agency: change.agency,
        payload: change.payload.into(),
        ..Change::default()
    });
    Ok(changes.collect())
}

fn of_file(file: &Path, descriptors: &[u8]) -> Result<Vec<Change>, CommandError> {
    let wrong = |what: String| {
        CommandError::usage(
            format!("{}: {what}", file.display()),
            "name a file with sound records as 'hub publish' takes them",
        )
    };
    let lines = Lines::new(descriptors, None).map_err(wrong)?;
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let changes: Result<Vec<Change>, _> = numbered
        .map(|(at, line)| lines.of_json(at as u64 + 1, line).map_err(|error| wrong(error.to_string())))
        .collect();
    let changes = changes?;
    if changes.is_empty() { Err(wrong("it holds no record".to_owned())) } else { Ok(changes) }
}

/// The first personal id of the records, by the names of their fields.
fn personal_id(changes: &[Change], descriptors: &[u8]) -> Option<String> {
    let contract = Contract::compile(descriptors).ok()?;
    changes.iter().find_map(|change| {
        // A record that cannot be shown has none to show.
        let json = contract.body_to_json(&change.record_type, &change.payload).ok()?;
        within(&json)
    })
}

fn within(json: &Json) -> Option<String> {
    match json {
        Json::Object(fields) => {
            let own = fields.get("personal_id").and_then(Json::as_str);
            let is_id = |id: &&str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
            own.filter(is_id).map(str::to_owned).or_else(|| fields.values().find_map(within))
        }
        Json::Array(items) => items.iter().find_map(within),
        _ => None,
    }
}
