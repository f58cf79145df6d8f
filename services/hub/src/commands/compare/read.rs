//! Reading a register's records for a comparison: one line after the other, whatever the size of the file.

use std::io::{BufRead, BufReader, Read};

use contract::Contract;
use record::{AgencyId, Envelope, Operation, RecordId, Timestamp};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use wire::ingest::{Change, Operation as WireOperation};
use wire::query::{CompareRequest, ComparedHead};

use crate::error::CommandError;
use crate::publish::Lines;

/// Records of one message.
const HEADS: usize = 5_000;
/// Longest line; a longer one is no record.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// How lines become records.
pub(super) struct Reader {
    /// Lines are changes as `hub publish` takes them, and what they state is compared, too.
    pub(super) content: Option<(Lines, Contract)>,
    pub(super) csv: bool,
    /// What the first message says.
    pub(super) first: CompareRequest,
    pub(super) out: mpsc::Sender<CompareRequest>,
}

struct Taken {
    request: CompareRequest,
    last: Option<String>,
    out: mpsc::Sender<CompareRequest>,
}

/// Whoever listens has gone away, and knows why.
enum Stop {
    Wrong(CommandError),
    Gone,
}

impl From<CommandError> for Stop {
    fn from(error: CommandError) -> Self {
        Self::Wrong(error)
    }
}

impl Reader {
    /// Reads all of it, and tells what is wrong. Blocks: on the input, and on whoever takes what was read.
    pub(super) fn run(self, input: Box<dyn Read + Send>) -> Result<(), CommandError> {
        let taken = Taken { request: self.first.clone(), last: None, out: self.out.clone() };
        let read = if self.csv { self.csv(input, taken) } else { self.ndjson(input, taken) };
        match read {
            Ok(()) | Err(Stop::Gone) => Ok(()),
            Err(Stop::Wrong(error)) => Err(error),
        }
    }

    fn ndjson(&self, input: Box<dyn Read + Send>, mut taken: Taken) -> Result<(), Stop> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let (mut text, mut line) = (Vec::new(), 0_u64);
        loop {
            text.clear();
            let read = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            if read.map_err(|error| unreadable(line + 1, &error.to_string()))? == 0 {
                return taken.flush();
            }
            line += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let text = std::str::from_utf8(&text).map_err(|_| wrong(line, "not UTF-8"))?;
            let head = match &self.content {
                Some((lines, contract)) => of_change(line, text, lines, contract)?,
                None => of_json(line, text)?,
            };
            taken.take(line, head)?;
        }
    }

    fn csv(&self, input: Box<dyn Read + Send>, mut taken: Taken) -> Result<(), Stop> {
        let mut reader = csv::ReaderBuilder::new().from_reader(input);
        let heading = reader.headers().map_err(|error| unreadable(1, &error.to_string()))?;
        let column = |name: &str| heading.iter().position(|h| h.trim_start_matches('\u{feff}').trim() == name);
        let (Some(id), Some(version)) = (column("record_id"), column("version")) else {
            return Err(wrong(1, "the heading has no columns record_id and version").into());
        };
        let hash = column("hash");
        let mut row = csv::StringRecord::new();
        while reader.read_record(&mut row).map_err(|error| unreadable(0, &error.to_string()))? {
            let line = row.position().map_or(0, csv::Position::line);
            let cell = |at: usize| row.get(at).unwrap_or_default().trim();
            let version = cell(version).parse().map_err(|_| wrong(line, "version: not a whole number"))?;
            let hash = hash_of(line, hash.map(cell).unwrap_or_default())?;
            taken.take(line, ComparedHead { record_id: cell(id).to_owned(), version, hash })?;
        }
        taken.flush()
    }
}

impl Taken {
    fn take(&mut self, line: u64, head: ComparedHead) -> Result<(), Stop> {
        if head.record_id.is_empty() {
            return Err(wrong(line, "record_id: is missing").into());
        }
        if self.last.as_ref().is_some_and(|last| head.record_id <= *last) {
            return Err(unsorted(line).into());
        }
        self.last = Some(head.record_id.clone());
        self.request.heads.push(head);
        if self.request.heads.len() < HEADS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.out.blocking_send(std::mem::take(&mut self.request)).map_err(|_| Stop::Gone)
    }
}

fn of_json(line: u64, text: &str) -> Result<ComparedHead, CommandError> {
    let json: Json = serde_json::from_str(text).map_err(|_| wrong(line, "not a JSON object"))?;
    let record_id = json["record_id"].as_str().ok_or_else(|| wrong(line, "record_id: is missing"))?.to_owned();
    let version = json["version"].as_u64().or_else(|| json["version"].as_str()?.parse().ok());
    let version = version.ok_or_else(|| wrong(line, "version: not a whole number"))?;
    let hash = hash_of(line, json["hash"].as_str().unwrap_or_default())?;
    Ok(ComparedHead { record_id, version, hash })
}

fn hash_of(line: u64, text: &str) -> Result<Vec<u8>, CommandError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let malformed = || wrong(line, "hash: not 64 hexadecimal digits");
    let digit = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    bytes.filter(|bytes| bytes.len() == 32).ok_or_else(malformed)
}

fn of_change(line: u64, text: &str, lines: &Lines, contract: &Contract) -> Result<ComparedHead, CommandError> {
    let change = lines.of_json(line, text).map_err(|error| correct(error.to_string()))?;
    let hash = statement_hash(&change, contract.agency()).map_err(|what| wrong(line, what))?;
    Ok(ComparedHead { record_id: change.record_id, version: change.version, hash: hash.to_vec() })
}

/// What the hub keeps as the hash of this change's statement, where `agency` is the register's own.
fn statement_hash(change: &Change, agency: &str) -> Result<[u8; 32], &'static str> {
    let micros = |time: Option<&prost_types::Timestamp>| {
        let time = time?;
        Some(Timestamp(time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos) / 1_000)?))
    };
    let agency = if change.agency.is_empty() { agency } else { change.agency.as_str() };
    let retract = change.operation == i32::from(WireOperation::Retract);
    let envelope = Envelope {
        record_id: RecordId::try_from(change.record_id.as_str()).map_err(|_| "record_id: is no id of a record")?,
        record_type: &change.record_type,
        operation: if retract { Operation::Retract } else { Operation::Upsert },
        agency: AgencyId::try_from(agency).map_err(|_| "agency: is no name of an agency")?,
        replaces: change.replaces,
        effective_at: micros(change.effective_at.as_ref()).ok_or("effective_at: is missing")?,
        registered_at: micros(change.registered_at.as_ref()).ok_or("registered_at: is missing")?,
        legal_basis: &change.legal_basis,
        reason: &change.reason,
        payload: &change.payload,
        published_at: Timestamp(0),
        principal: "",
        trace: None,
    };
    Ok(envelope.statement_hash().0)
}

fn unsorted(line: u64) -> CommandError {
    CommandError::usage(
        format!("line {line} does not come after the line before it in the order of record_id"),
        "sort by the bytes of record_id, each record once: ORDER BY record_id COLLATE \"C\" in SQL, or LC_ALL=C sort on a file whose lines begin with it",
    )
}

fn wrong(line: u64, what: &str) -> CommandError {
    correct(format!("line {line}: {what}"))
}

fn unreadable(line: u64, what: &str) -> CommandError {
    correct(if line == 0 { what.to_owned() } else { format!("line {line}: {what}") })
}

fn correct(what: String) -> CommandError {
    CommandError::usage(
        what,
        "a line of NDJSON is {\"record_id\":\"KS-1\",\"version\":7} with a \"hash\" where wanted; a CSV file has the columns record_id, version and, where wanted, hash",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, csv: bool) -> (Result<(), CommandError>, Vec<ComparedHead>) {
        let (out, mut taken) = mpsc::channel(16);
        let reader = Reader { content: None, csv, first: CompareRequest::default(), out };
        let result = reader.run(Box::new(text.as_bytes()));
        let mut heads = Vec::new();
        while let Ok(request) = taken.try_recv() {
            heads.extend(request.heads);
        }
        (result, heads)
    }

    #[test]
    fn csv_and_ndjson_say_the_same() {
        let (read_csv, of_csv) = read("name,version,record_id\nx,7,KS-1\ny,3,KS-2\n", true);
        let (read_json, of_json) =
            read("{\"record_id\":\"KS-1\",\"version\":7}\n\n{\"record_id\":\"KS-2\",\"version\":\"3\"}\n", false);
        assert!(read_csv.is_ok() && read_json.is_ok());
        assert_eq!(of_csv, of_json);
        assert_eq!(of_csv.iter().map(|head| head.version).collect::<Vec<_>>(), [7, 3]);
    }

    #[test]
    fn a_line_out_of_order_or_twice_is_told_with_its_number_and_a_way_out() {
        for text in ["record_id,version\nKS-2,1\nKS-10,1\n", "record_id,version\nKS-1,1\nKS-1,1\n"] {
            let error = read(text, true).0.expect_err("out of order");
            assert!(error.what.starts_with("line 3 ") && error.what_to_do.contains("LC_ALL=C sort"), "{error:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_told_with_its_line_and_without_its_value() {
        for (text, what) in [
            ("{\"record_id\":\"KS-1\"}\n", "line 1: version: not a whole number"),
            ("[]\n", "line 1: record_id: is missing"),
            ("{\"record_id\":\"KS-1\",\"version\":1,\"hash\":\"ab\"}\n", "line 1: hash: not 64 hexadecimal digits"),
        ] {
            assert_eq!(read(text, false).0.expect_err("no record").what, what);
        }
    }
}
