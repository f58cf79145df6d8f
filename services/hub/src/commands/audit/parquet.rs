//! Replayed entries as a Parquet file: a row per entry, or per access where an entry holds several.

mod parts;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use wire::audit::{ReplayedAccess, ReplayedEntry};

use super::state::{Kept, State};
use crate::error::CommandError;
use parts::Parts;

/// Rows of a row group, a message more at most: what is in memory.
const GROUP_ROWS: usize = 10_000;
/// Longest time that a row waits for its group: what is done again after a break.
const GROUP_TIME: Duration = Duration::from_secs(30);

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

/// A Parquet file that is being written. Row groups are finished one by one in a folder beside it; it has its name, and they are gone,
/// only once it is whole.
pub(super) struct Parquet {
    parts: Parts,
    rows: Vec<Vec<Cell>>,
    /// Since when the oldest of them waits.
    since: Instant,
}

impl Parquet {
    /// Goes on where the state is: behind the row groups that it covers, and behind those of the file, when that was whole before.
    pub(super) fn open(path: &Path, kept: &Kept) -> Result<Self, CommandError> {
        Ok(Self { parts: Parts::open(path, kept)?, rows: Vec::new(), since: Instant::now() })
    }

    pub(super) fn write(&mut self, entry: &ReplayedEntry) {
        if self.rows.is_empty() {
            self.since = Instant::now();
        }
        if entry.accesses.is_empty() {
            self.rows.push(row(entry, None));
        }
        self.rows.extend(entry.accesses.iter().map(|access| row(entry, Some(access))));
    }

    /// Finishes a row group that is full or has waited long; tells whether everything so far is on the disk.
    pub(super) fn settle(&mut self) -> Result<bool, CommandError> {
        if self.rows.len() >= GROUP_ROWS || self.since.elapsed() >= GROUP_TIME {
            self.group()?;
        }
        Ok(self.rows.is_empty())
    }

    /// What a state says of what is on the disk.
    pub(super) fn kept(&self, resume: String, entries: u64) -> Kept {
        Kept { resume, entries, bytes: self.parts.whole_bytes, groups: self.parts.groups }
    }

    /// Makes the file whole, and keeps the state with it.
    pub(super) fn finish(mut self, resume: String, entries: u64, state: &mut State) -> Result<(), CommandError> {
        self.group()?;
        state.keep(self.kept(resume.clone(), entries))?;
        self.parts.join()?;
        state.keep(self.kept(resume, entries))?;
        self.parts.name()
    }

    fn group(&mut self) -> Result<(), CommandError> {
        match std::mem::take(&mut self.rows) {
            rows if rows.is_empty() => Ok(()),
            rows => self.parts.push(|writer| write_group(writer, &rows)),
        }
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

    fn entry(position: &str) -> ReplayedEntry {
        ReplayedEntry { position: position.into(), kind: "upsert".into(), ..Default::default() }
    }

    fn read(path: &Path) -> Vec<parquet::record::Row> {
        let read = SerializedFileReader::new(File::open(path).expect("there")).expect("a sound file");
        read.get_row_iter(None).expect("rows").map(|row| row.expect("a sound row")).collect()
    }

    fn positions(path: &Path) -> Vec<String> {
        read(path).iter().map(|row| row.get_string(0).expect("a position").clone()).collect()
    }

    #[test]
    fn entries_are_rows_and_accesses_are_rows_of_their_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("entries.parquet");
        let mut state = State::open(None).expect("no state is kept");
        let mut file = Parquet::open(&path, &Kept::default()).expect("a new file");
        let change = wire::audit::ReplayedChange { record_id: "KS-1".into(), version: 3, ..Default::default() };
        file.write(&ReplayedEntry { change: Some(change), ..entry("change/0/1") });
        let access = |id: &str| ReplayedAccess {
            access_id: id.into(),
            fields: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        file.write(&ReplayedEntry { accesses: vec![access("x"), access("y")], ..entry("access/0/2") });
        assert!(!path.exists(), "it has its name when it is whole");
        file.finish(String::new(), 2, &mut state).expect("closed");
        let rows = read(&path);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].get_string(5).ok().map(String::as_str), rows[0].get_long(7).ok()), (Some("KS-1"), Some(3)));
        assert_eq!(rows[2].get_string(16).ok().map(String::as_str), Some("y"));
        assert_eq!(rows[2].get_string(20).ok().map(String::as_str), Some("a,b"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn finished_row_groups_survive_a_break_and_no_row_comes_twice_or_is_lost() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, state) = (dir.path().join("entries.parquet"), dir.path().join("state"));
        let all: Vec<String> = (0..9).map(|n| format!("change/0/{n}")).collect();
        // Two groups of two are kept; the fifth row waits, and a sixth is in a group that the state does not know.
        let mut kept = State::open(Some(&state)).expect("a beginning");
        let mut file = Parquet::open(&path, &kept.kept).expect("a new file");
        for (number, position) in all[..4].iter().enumerate() {
            file.write(&entry(position));
            if number % 2 == 1 {
                file.group().expect("writable");
                kept.keep(file.kept(format!("after {number}"), number as u64 + 1)).expect("writable");
            }
        }
        file.write(&entry(&all[4]));
        assert!(!file.settle().expect("nothing to do"), "a row waits: the state stays where it is");
        file.group().expect("writable");
        file.write(&entry(&all[5]));
        drop(file);

        let mut kept = State::open(Some(&state)).expect("it was kept");
        assert_eq!((kept.kept.resume.as_str(), kept.kept.entries, kept.kept.groups), ("after 3", 4, 2));
        let mut file = Parquet::open(&path, &kept.kept).expect("its groups are there");
        all[4..7].iter().for_each(|position| file.write(&entry(position)));
        file.finish("after 6".into(), 7, &mut kept).expect("closed");
        assert_eq!(positions(&path), all[..7]);

        // The whole file is gone on with as well.
        let mut kept = State::open(Some(&state)).expect("it was kept");
        let file = Parquet::open(&path, &kept.kept).expect("the file is the state's");
        file.finish("after 6".into(), 7, &mut kept).expect("nothing new");
        assert_eq!(positions(&path), all[..7]);
        let mut file = Parquet::open(&path, &kept.kept).expect("the file is the state's");
        all[7..].iter().for_each(|position| file.write(&entry(position)));
        file.finish("after 8".into(), 9, &mut kept).expect("closed");
        assert_eq!(positions(&path), all);

        std::fs::write(&path, b"another file").expect("writable");
        assert!(Parquet::open(&path, &kept.kept).is_err(), "the state is of another file");
    }

    #[test]
    fn a_break_at_the_very_end_leaves_a_whole_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, state) = (dir.path().join("entries.parquet"), dir.path().join("state"));
        let mut kept = State::open(Some(&state)).expect("a beginning");
        let mut file = Parquet::open(&path, &kept.kept).expect("a new file");
        file.write(&entry("change/0/0"));
        file.group().expect("writable");
        file.parts.join().expect("writable");
        kept.keep(file.kept("the end".into(), 1)).expect("writable");
        drop(file);
        assert!(!path.exists());
        let file = Parquet::open(&path, &kept.kept).expect("it has everything");
        assert_eq!(positions(&path), ["change/0/0"]);
        file.finish("the end".into(), 1, &mut kept).expect("nothing new");
        assert_eq!(positions(&path), ["change/0/0"]);

        let gone = Kept { groups: 3, ..Kept::default() };
        assert!(Parquet::open(&path, &gone).is_err(), "row groups that the state covers are missing");
    }
}
