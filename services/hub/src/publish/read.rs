//! Reading lines on a thread of its own.

use std::io::{BufRead, BufReader, Read};

use prost::Message as _;
use tokio::sync::mpsc;
use wire::ingest::Change;

use super::line::{LineError, Lines};
use crate::commands::publish::InputFormat;

/// A batch closes at this many bytes, so that it stays well below what the hub takes.
const BATCH_BYTES: usize = 4 << 20;
/// Longest line; a longer one is no record.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// What is read.
pub struct Source {
    /// The bytes.
    pub input: Box<dyn Read + Send>,
    /// How they are written.
    pub format: InputFormat,
    /// Lines up to this one are left out: they were acknowledged before.
    pub after: u64,
    /// Changes of one batch.
    pub batch: usize,
}

/// What the reader found.
pub enum Found {
    /// Changes with the lines where they stand, and the last line that was read.
    Batch {
        /// The changes.
        changes: Vec<Change>,
        /// Their lines.
        lines: Vec<u64>,
        /// Every line up to this one is in this batch or an earlier one, or broken.
        reached: u64,
    },
    /// A line that cannot be read; it is left out.
    Broken(LineError),
    /// The input ended, after this line.
    End(u64),
    /// The input cannot be read further.
    Failed(String),
}

struct Batching {
    out: mpsc::Sender<Found>,
    changes: Vec<Change>,
    lines: Vec<u64>,
    bytes: usize,
    max: usize,
    reached: u64,
}

/// Whoever listens has gone away.
struct Gone;

/// Reads all of it. Blocks: on the input, and on whoever takes what was found.
pub fn read(source: Source, lines: &Lines, out: mpsc::Sender<Found>) {
    let batching =
        Batching { out, changes: Vec::new(), lines: Vec::new(), bytes: 0, max: source.batch, reached: source.after };
    // When nobody listens any more, there is nobody to tell.
    let _ = match source.format {
        InputFormat::Ndjson => ndjson(source, lines, batching),
        InputFormat::Csv => csv(source, lines, batching),
    };
}

fn ndjson(source: Source, lines: &Lines, mut batching: Batching) -> Result<(), Gone> {
    let mut input = BufReader::with_capacity(1 << 16, source.input);
    let mut text = Vec::new();
    let mut line = 0;
    loop {
        text.clear();
        match (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut text) {
            Ok(0) => return batching.end(line),
            Ok(_) => line += 1,
            Err(error) => return batching.failed(&format!("line {}: {error}", line + 1)),
        }
        if text.len() as u64 == LINE_BYTES_MAX && !text.ends_with(b"\n") {
            return batching.failed(&format!("line {line} is longer than {LINE_BYTES_MAX} bytes"));
        }
        if line <= source.after || text.trim_ascii().is_empty() {
            continue;
        }
        let change = match std::str::from_utf8(&text) {
            Ok(text) => lines.of_json(line, text),
            Err(_) => Err(LineError { line, field: String::new(), what: "not UTF-8".to_owned() }),
        };
        batching.take(line, change)?;
    }
}

fn csv(source: Source, lines: &Lines, mut batching: Batching) -> Result<(), Gone> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source.input);
    let heading: Vec<String> = match reader.headers() {
        Ok(heading) => heading.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect(),
        Err(error) => return batching.failed(&format!("the heading cannot be read: {error}")),
    };
    let mut row = csv::ByteRecord::new();
    let mut line = 1;
    loop {
        match reader.read_byte_record(&mut row) {
            Ok(true) => line = row.position().map_or(line + 1, csv::Position::line),
            Ok(false) => return batching.end(line),
            Err(error) => return batching.failed(&error.to_string()),
        }
        if line <= source.after {
            continue;
        }
        batching.take(line, of_row(line, &heading, &row, lines))?;
    }
}

fn of_row(line: u64, heading: &[String], row: &csv::ByteRecord, lines: &Lines) -> Result<Change, LineError> {
    let broken = |field: &str, what: String| LineError { line, field: field.to_owned(), what };
    if row.len() != heading.len() {
        return Err(broken("", format!("has {} cells, the heading has {}", row.len(), heading.len())));
    }
    let mut cells = Vec::with_capacity(heading.len());
    for (column, cell) in heading.iter().zip(row) {
        let cell = std::str::from_utf8(cell).map_err(|_| broken(column, "not UTF-8".to_owned()))?;
        cells.push((column.as_str(), cell.trim()));
    }
    lines.of_row(line, cells)
}

impl Batching {
    fn take(&mut self, line: u64, change: Result<Change, LineError>) -> Result<(), Gone> {
        match change {
            Ok(change) => {
                self.bytes += change.encoded_len();
                self.changes.push(change);
                self.lines.push(line);
                self.reached = line;
                if self.changes.len() >= self.max || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
            }
            Err(broken) => {
                self.reached = line;
                self.say(Found::Broken(broken))
            }
        }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.bytes = 0;
        let (changes, lines) = (std::mem::take(&mut self.changes), std::mem::take(&mut self.lines));
        self.say(Found::Batch { changes, lines, reached: self.reached })
    }

    fn end(&mut self, line: u64) -> Result<(), Gone> {
        if !self.changes.is_empty() {
            self.flush()?;
        }
        self.say(Found::End(line))
    }

    fn failed(&mut self, what: &str) -> Result<(), Gone> {
        if !self.changes.is_empty() {
            self.flush()?;
        }
        self.say(Found::Failed(what.to_owned()))
    }

    fn say(&self, found: Found) -> Result<(), Gone> {
        self.out.blocking_send(found).map_err(|_| Gone)
    }
}
