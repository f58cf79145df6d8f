//! One line of input as one change.

use contract::Contract;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json};
use wire::ingest::{Change, Operation};

use crate::answers::wire_time;

/// Keys of the change around the record.
const ENVELOPE: [&str; 10] = [
    "record_id",
    "version",
    "operation",
    "record_type",
    "effective_at",
    "registered_at",
    "replaces",
    "agency",
    "legal_basis",
    "reason",
];
/// Most elements of a repeated field that a CSV heading may number.
const ELEMENTS_MAX: usize = 1_000;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}{what}", if .field.is_empty() { String::new() } else { format!("{}: ", .field) })]
pub struct LineError {
    /// Line, from 1.
    pub line: u64,
    /// The key, column or path of the field; empty for the line as a whole.
    pub field: String,
    /// What is wrong. Never holds the value.
    pub what: String,
}

/// Turns lines into changes by a register's contract.
pub struct Lines {
    contract: Contract,
    pool: DescriptorPool,
    /// Record type of lines that name none.
    record_type: Option<String>,
}

/// What is wrong, before the line's number is known.
type Fault = (String, String);

fn fault(field: &str, what: impl Into<String>) -> Fault {
    (field.to_owned(), what.into())
}

impl Lines {
    /// By the contract with these descriptors. `record_type` stands for lines that name none.
    ///
    /// # Errors
    /// The descriptors are no contract that this program can read.
    pub fn new(descriptors: &[u8], record_type: Option<String>) -> Result<Self, String> {
        let contract = Contract::compile(descriptors).map_err(|error| crate::error::told(&error))?;
        let pool = DescriptorPool::decode(descriptors).map_err(|error| crate::error::told(&error))?;
        if let Some(name) = &record_type {
            contract.record_type(name).map_err(|error| error.to_string())?;
        }
        Ok(Self { contract, pool, record_type })
    }

    /// A change from a JSON object with the record under "record".
    ///
    /// # Errors
    /// What is wrong, with the field.
    pub fn of_json(&self, line: u64, text: &str) -> Result<Change, LineError> {
        let change = || -> Result<Change, Fault> {
            let json: Json = serde_json::from_str(text)
                .map_err(|error| fault("", format!("not JSON at column {}", error.column())))?;
            let Json::Object(mut object) = json else { return Err(fault("", "not a JSON object")) };
            let record = object.remove("record");
            self.change(object, record)
        };
        change().map_err(|(field, what)| LineError { line, field, what })
    }

    /// A change from a row: envelope columns by name, every other column by the path of its field, such as `child.full_name` or
    /// `parties.0.share`. An empty cell states nothing.
    ///
    /// # Errors
    /// What is wrong, with the column.
    pub fn of_row<'a>(
        &self,
        line: u64,
        cells: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Change, LineError> {
        let change = || -> Result<Change, Fault> {
            let (mut envelope, mut paths) = (Map::new(), Vec::new());
            for (column, cell) in cells {
                if cell.is_empty() {
                    continue;
                }
                if ENVELOPE.contains(&column) {
                    envelope.insert(column.to_owned(), Json::from(cell));
                } else {
                    paths.push((column, cell));
                }
            }
            let record = self.record(&envelope, paths)?;
            self.change(envelope, record)
        };
        change().map_err(|(field, what)| LineError { line, field, what })
    }

    fn record_type_of(&self, envelope: &Map<String, Json>) -> Result<String, Fault> {
        let named = text(envelope, "record_type")?;
        let name = named.or_else(|| self.record_type.clone()).ok_or_else(|| fault("record_type", "is missing"))?;
        self.contract.record_type(&name).map_err(|error| fault("record_type", error.to_string()))?;
        Ok(name)
    }

    fn record(&self, envelope: &Map<String, Json>, paths: Vec<(&str, &str)>) -> Result<Option<Json>, Fault> {
        if paths.is_empty() {
            return Ok(None);
        }
        let name = self.record_type_of(envelope)?;
        let record_type = self.contract.record_type(&name).map_err(|error| fault("record_type", error.to_string()))?;
        let message = self.pool.get_message_by_name(record_type.message());
        let message = message.ok_or_else(|| fault("record_type", "its message is not in the contract"))?;
        let mut record = Json::Object(Map::new());
        for (path, cell) in paths {
            let segments: Vec<&str> = path.split('.').collect();
            place(&mut record, &message, &segments, cell).map_err(|what| fault(path, what))?;
        }
        Ok(Some(record))
    }

    fn change(&self, envelope: Map<String, Json>, record: Option<Json>) -> Result<Change, Fault> {
        if let Some(unknown) = envelope.keys().find(|key| !ENVELOPE.contains(&key.as_str())) {
            return Err(fault(
                unknown,
                format!("is no key of a change; the keys are {} and record", ENVELOPE.join(", ")),
            ));
        }
        let record_type = self.record_type_of(&envelope)?;
        let operation = match text(&envelope, "operation")?.as_deref() {
            None | Some("upsert") => Operation::Upsert,
            Some("retract") => Operation::Retract,
            Some(_) => return Err(fault("operation", "must be upsert or retract")),
        };
        let payload = match (operation, record) {
            (Operation::Upsert, Some(record)) => {
                self.contract.json_to_body(&record_type, &record).map_err(|error| in_record(&error))?
            }
            (Operation::Upsert, None) => return Err(fault("record", "is missing")),
            (Operation::Retract, None) => Vec::new(),
            (Operation::Retract | Operation::Unspecified, _) => {
                return Err(fault("record", "is not stated by a retraction"));
            }
        };
        Ok(Change {
            record_id: text(&envelope, "record_id")?.ok_or_else(|| fault("record_id", "is missing"))?,
            version: number(&envelope, "version")?.ok_or_else(|| fault("version", "is missing"))?,
            operation: operation.into(),
            record_type,
            effective_at: Some(time(&envelope, "effective_at")?.ok_or_else(|| fault("effective_at", "is missing"))?),
            registered_at: time(&envelope, "registered_at")?,
            replaces: number(&envelope, "replaces")?.unwrap_or(0),
            agency: text(&envelope, "agency")?.unwrap_or_default(),
            legal_basis: text(&envelope, "legal_basis")?.unwrap_or_default(),
            reason: text(&envelope, "reason")?.unwrap_or_default(),
            payload: payload.into(),
            traceparent: String::new(),
        })
    }
}

fn in_record(error: &contract::BodyJsonError) -> Fault {
    match error {
        contract::BodyJsonError::Json(error) => fault("record", error.to_string()),
        other => fault("record", other.to_string()),
    }
}

fn text(envelope: &Map<String, Json>, key: &str) -> Result<Option<String>, Fault> {
    match envelope.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(fault(key, "must be text")),
    }
}

fn number(envelope: &Map<String, Json>, key: &str) -> Result<Option<u64>, Fault> {
    let number = match envelope.get(key) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Number(number)) => number.as_u64(),
        Some(Json::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| fault(key, "must be a whole number"))
}

/// RFC 3339, or a date, which is its first moment in UTC.
fn time(envelope: &Map<String, Json>, key: &str) -> Result<Option<prost_types::Timestamp>, Fault> {
    let Some(text) = text(envelope, key)? else { return Ok(None) };
    let time = text.parse::<jiff::Timestamp>().or_else(|_| format!("{text}T00:00:00Z").parse());
    time.map(|time| Some(wire_time(time)))
        .map_err(|_| fault(key, "must be a time as in RFC 3339, or a date YYYY-MM-DD"))
}

/// Puts a cell where its path leads, as the JSON of its field's type.
fn place(at: &mut Json, message: &MessageDescriptor, path: &[&str], cell: &str) -> Result<(), String> {
    let (name, rest) = path.split_first().ok_or("the path ends too early")?;
    let field =
        message.get_field_by_name(name).ok_or_else(|| format!("{} has no field of that name", message.full_name()))?;
    let object = at.as_object_mut().ok_or("the path leads through a value")?;
    let slot = object.entry((*name).to_owned()).or_insert(Json::Null);
    if field.is_map() {
        return Err("a map cannot be written in a column; use NDJSON".to_owned());
    }
    if !field.is_list() {
        return within(slot, &field, rest, cell);
    }
    let (index, rest) = rest.split_first().ok_or("the field is repeated: number the element, as in name.0")?;
    let index: usize = index
        .parse()
        .ok()
        .filter(|index| *index < ELEMENTS_MAX)
        .ok_or("the field is repeated: number the element from 0, as in name.0")?;
    if slot.is_null() {
        *slot = Json::Array(Vec::new());
    }
    let elements = slot.as_array_mut().ok_or("the path leads through a value")?;
    // Elements whose cells are all empty before this one would be stated as empty: they are left out.
    while elements.len() <= index {
        elements.push(Json::Null);
    }
    within(&mut elements[index], &field, rest, cell)?;
    Ok(())
}

fn within(slot: &mut Json, field: &FieldDescriptor, rest: &[&str], cell: &str) -> Result<(), String> {
    match (field.kind(), rest.is_empty()) {
        (Kind::Message(message), false) => {
            if slot.is_null() {
                *slot = Json::Object(Map::new());
            }
            place(slot, &message, rest, cell)
        }
        (Kind::Message(message), true) if !message.full_name().starts_with("google.protobuf.") => {
            Err(format!("is a message: name one of its fields, such as {}", first_field(field, &message)))
        }
        (_, false) => Err("the path leads through a value".to_owned()),
        (Kind::Bool, true) => {
            let truth = cell.parse::<bool>().map_err(|_| "must be true or false".to_owned())?;
            *slot = Json::from(truth);
            Ok(())
        }
        // Numbers may be text in protobuf's JSON; names of enums and times are.
        (_, true) => {
            *slot = Json::from(cell);
            Ok(())
        }
    }
}

fn first_field(field: &FieldDescriptor, message: &MessageDescriptor) -> String {
    message
        .fields()
        .next()
        .map_or_else(|| field.name().to_owned(), |inner| format!("{}.{}", field.name(), inner.name()))
}
