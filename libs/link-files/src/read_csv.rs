//! Reads CSV files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::Error;
use crate::progress::Progress;
use crate::table::TableBuilder;

const SNIFFED_BYTES: usize = 1 << 16;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads a CSV file into a table. The first line names the columns. The delimiter is `,`, `;`, tab or `|`: the one that the
/// first line has most of, unless it is given. Cells lose the spaces around them; a byte order mark is skipped.
///
/// # Errors
/// The file cannot be read, or a line has another number of cells than the first.
pub fn read_csv(
    path: &Path,
    delimiter: Option<u8>,
    table: &mut TableBuilder,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let fault = |source| Error::Read { file: path.to_owned(), source };
    let mut file = File::open(path).map_err(fault)?;
    let length = file.metadata().map_err(fault)?.len();
    let (head, skip) = head(&mut file).map_err(fault)?;
    file.seek(SeekFrom::Start(skip)).map_err(fault)?;
    let delimiter = delimiter.unwrap_or_else(|| sniff(&head));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .has_headers(false)
        .from_reader(BufReader::with_capacity(1 << 18, file));
    progress.begin("reading", length);
    let mut record = csv::ByteRecord::new();
    let mut count = 0u64;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(line_error(path, error)),
        }
        if count == 0 {
            let names: Vec<String> = record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            table.begin_file(path.to_owned(), &names)?;
        } else {
            let line = record.position().map_or(count + 1, csv::Position::line);
            table.record(line, record.iter())?;
        }
        count += 1;
        if count.is_multiple_of(16_384) {
            progress.at(record.position().map_or(0, csv::Position::byte));
        }
    }
    if count == 0 {
        return Err(Error::Line { file: path.to_owned(), line: 1, what: "the file is empty".to_owned() });
    }
    progress.end();
    Ok(())
}

/// The first bytes, and how many of them a byte order mark takes.
fn head(file: &mut File) -> std::io::Result<(Vec<u8>, u64)> {
    let mut head = Vec::new();
    file.take(SNIFFED_BYTES as u64).read_to_end(&mut head)?;
    let mark = head.starts_with(b"\xEF\xBB\xBF");
    if mark {
        head.drain(..3);
    }
    Ok((head, if mark { 3 } else { 0 }))
}

fn sniff(head: &[u8]) -> u8 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| line.iter().filter(|byte| *byte == delimiter).count();
    // The first of several that are equally frequent.
    DELIMITERS.iter().rev().copied().max_by_key(|delimiter| count(delimiter)).unwrap_or(b',')
}

fn line_error(path: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::Read { file: path.to_owned(), source },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let what = format!("{len} cells, where the first line has {expected_len}");
            Error::Line { file: path.to_owned(), line, what }
        }
        other => Error::Line { file: path.to_owned(), line, what: format!("{other:?}") },
    }
}
