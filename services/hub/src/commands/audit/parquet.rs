//! Replayed entries as a Parquet file: a row per entry, or per access where an entry holds several.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use wire::audit::{ReplayedAccess, ReplayedEntry};

use crate::error::CommandError;

/// Rows of a row group: what is in memory.
const GROUP_ROWS: usize = 10_000;

/// The columns; times are microseconds since 1970 in UTC. What an entry does not say is null.
const SCHEMA: &str = "message entries {
  required binary position (UTF8);
  required int64 appended_at (TIMESTAMP(MICROS,true));
  required binary hash (UTF8);
  required binary kind (UTF8);
  optional binary register (UTF8);
  optional binary record_id (UTF8);
  optional binary pseudonym (UTF8);
  optional int64 version;
  optional binary record_type (UTF8);
  optional binary agency (UTF8);
  optional int64 effective_at (TIMESTAMP(MICROS,true));
  optional int64 published_at (TIMESTAMP(MICROS,true));
  optional binary by (UTF8);
  optional binary what (UTF8);
  optional binary reason (UTF8);
  optional binary record (UTF8);
  optional binary access_id (UTF8);
  optional binary procedure (UTF8);
  optional binary case_number (UTF8);
  optional binary decision (UTF8);
  optional binary fields (UTF8);
  optional binary unread (UTF8);
}";

/// A value of a row.
enum Cell {
    Text(Option<String>),
    Number(Option<i64>),
}

/// A Parquet file that is being written. It has its name only once it is whole.
pub(super) struct Parquet {
    path: PathBuf,
    beside: PathBuf,
    writer: SerializedFileWriter<File>,
    rows: Vec<Vec<Cell>>,
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()), "name a file that can be written")
}

impl Parquet {
    pub(super) fn create(path: &Path) -> Result<Self, CommandError> {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(|error| failed(path, &error))?);
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let file = File::create(&beside).map_err(|error| failed(&beside, &error))?;
        let writer =
            SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), beside, writer, rows: Vec::new() })
    }

    pub(super) fn write(&mut self, entry: &ReplayedEntry) -> Result<(), CommandError> {
        if entry.accesses.is_empty() {
            self.rows.push(row(entry, None));
        }
        self.rows.extend(entry.accesses.iter().map(|access| row(entry, Some(access))));
        if self.rows.len() >= GROUP_ROWS { self.group() } else { Ok(()) }
    }

    /// Ends the file, which then has its name.
    pub(super) fn finish(mut self) -> Result<(), CommandError> {
        self.group()?;
        let path = self.path.clone();
        self.writer.close().map_err(|error| failed(&path, &error))?;
        fs::rename(&self.beside, &self.path).map_err(|error| failed(&self.path, &error))
    }

    fn group(&mut self) -> Result<(), CommandError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        write_group(&mut self.writer, &rows).map_err(|error| failed(&self.path, &error))
    }
}

fn write_group(writer: &mut SerializedFileWriter<File>, rows: &[Vec<Cell>]) -> Result<(), ParquetError> {
    let required: Vec<bool> =
        writer.schema_descr().columns().iter().map(|column| column.max_def_level() == 0).collect();
    let mut group = writer.next_row_group()?;
    let mut at = 0;
    while let Some(mut column) = group.next_column()? {
        let cells = || rows.iter().map(|row| &row[at]);
        let there = |cell: &Cell| matches!(cell, Cell::Text(Some(_)) | Cell::Number(Some(_)));
        let levels: Vec<i16> = cells().map(|cell| i16::from(there(cell))).collect();
        let levels = (!required[at]).then_some(levels.as_slice());
        if matches!(rows[0][at], Cell::Number(_)) {
            let number = |cell: &Cell| if let Cell::Number(number) = cell { *number } else { None };
            let values: Vec<i64> = cells().filter_map(number).collect();
            column.typed::<Int64Type>().write_batch(&values, levels, None)?;
        } else {
            let text = |cell: &Cell| if let Cell::Text(text) = cell { text.clone() } else { None };
            let values: Vec<ByteArray> = cells().filter_map(text).map(|t| ByteArray::from(t.into_bytes())).collect();
            column.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
        }
        column.close()?;
        at += 1;
    }
    group.close()?;
    Ok(())
}

fn micros(time: Option<&prost_types::Timestamp>) -> Option<i64> {
    time.map(|time| time.seconds.saturating_mul(1_000_000) + i64::from(time.nanos / 1_000))
}

/// The cells of a row, in the order of the schema.
fn row(entry: &ReplayedEntry, access: Option<&ReplayedAccess>) -> Vec<Cell> {
    let said = |text: &str| Cell::Text((!text.is_empty()).then(|| text.to_owned()));
    let always = |text: &str| Cell::Text(Some(text.to_owned()));
    let (change, control, refusal) = (entry.change.as_ref(), entry.control.as_ref(), entry.refusal.as_ref());
    let of_change = |text: fn(&wire::audit::ReplayedChange) -> &String| said(change.map_or("", |c| text(c).as_str()));
    let of_access = |text: fn(&ReplayedAccess) -> &String| said(access.map_or("", |a| text(a).as_str()));
    let by = change
        .map(|c| &c.published_by)
        .or(control.map(|c| &c.actor))
        .or(refusal.map(|r| &r.published_by))
        .or(access.map(|a| &a.caller));
    let what = control.map(|c| c.order.clone()).or(access.map(|a| a.action.clone()));
    let reason = change
        .map(|c| c.reason.clone())
        .or(control.map(|c| c.reason.clone()))
        .or(refusal.map(|r| r.reasons.join("; ")))
        .or(access.map(|a| a.refusal.clone()));
    vec![
        always(&entry.position),
        Cell::Number(Some(micros(entry.appended_at.as_ref()).unwrap_or_default())),
        always(&entry.hash),
        always(&entry.kind),
        of_change(|c| &c.register),
        of_change(|c| &c.record_id),
        of_change(|c| &c.pseudonym),
        Cell::Number(change.map(|c| i64::try_from(c.version).unwrap_or(i64::MAX))),
        of_change(|c| &c.record_type),
        of_change(|c| &c.agency),
        Cell::Number(change.and_then(|c| micros(c.effective_at.as_ref()))),
        Cell::Number(change.and_then(|c| micros(c.published_at.as_ref()))),
        said(by.map_or("", String::as_str)),
        said(&what.unwrap_or_default()),
        said(&reason.unwrap_or_default()),
        of_change(|c| &c.record),
        of_access(|a| &a.access_id),
        of_access(|a| &a.procedure),
        of_access(|a| &a.case_number),
        of_access(|a| &a.decision),
        said(&access.map(|a| a.fields.join(",")).unwrap_or_default()),
        said(&entry.unread),
    ]
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    use super::*;

    #[test]
    fn entries_are_rows_and_accesses_are_rows_of_their_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("entries.parquet");
        let mut file = Parquet::create(&path).expect("a new file");
        let change = wire::audit::ReplayedChange { record_id: "KS-1".into(), version: 3, ..Default::default() };
        let entry =
            |position: &str| ReplayedEntry { position: position.into(), kind: "upsert".into(), ..Default::default() };
        file.write(&ReplayedEntry { change: Some(change), ..entry("change/0/1") }).expect("written");
        let access = |id: &str| ReplayedAccess {
            access_id: id.into(),
            fields: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        file.write(&ReplayedEntry { accesses: vec![access("x"), access("y")], ..entry("access/0/2") })
            .expect("written");
        assert!(!path.exists(), "it has its name when it is whole");
        file.finish().expect("closed");
        let read = SerializedFileReader::new(File::open(&path).expect("there")).expect("a sound file");
        let rows: Vec<_> = read.get_row_iter(None).expect("rows").map(|row| row.expect("a sound row")).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].get_string(5).ok().map(String::as_str), rows[0].get_long(7).ok()), (Some("KS-1"), Some(3)));
        assert_eq!(rows[2].get_string(16).ok().map(String::as_str), Some("y"));
        assert_eq!(rows[2].get_string(20).ok().map(String::as_str), Some("a,b"));
    }
}
