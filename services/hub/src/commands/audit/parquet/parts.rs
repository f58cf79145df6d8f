//! Row groups on the disk before their file is whole.
//!
//! A Parquet file says at its end where its row groups are, so one that was broken off says nothing. Each row group is a file of its
//! own until the end, durable and named before a state tells of it; at the end their columns are copied as they are.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::SCHEMA;
use crate::commands::audit::state::Kept;
use crate::error::CommandError;

/// The row groups of a file.
pub(super) struct Parts {
    path: PathBuf,
    folder: PathBuf,
    /// Those that are finished beside the file.
    pub(super) groups: u64,
    /// Bytes of the file as it was whole before; 0 when it was not.
    pub(super) whole_bytes: u64,
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()), "name a file that can be written")
}

fn other(path: &Path, what: &str) -> CommandError {
    CommandError::usage(
        format!("{} {what}", path.display()),
        "name the file that the state belongs to, or remove the state to begin anew",
    )
}

fn bytes_of(path: &Path) -> Option<u64> {
    // What cannot be looked at is not the file that is looked for.
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

impl Parts {
    pub(super) fn open(path: &Path, kept: &Kept) -> Result<Self, CommandError> {
        let mut folder = path.to_owned().into_os_string();
        folder.push(".part");
        let parts = Self { path: path.to_owned(), folder: folder.into(), groups: kept.groups, whole_bytes: kept.bytes };
        if kept.bytes > 0 && bytes_of(path) != Some(kept.bytes) {
            if bytes_of(&parts.whole()) != Some(kept.bytes) {
                return Err(other(path, "is not the file that the state covers"));
            }
            // Everything was done but its name.
            fs::rename(parts.whole(), path).map_err(|error| failed(path, &error))?;
        }
        if kept.groups == 0 {
            parts.clear()?;
        }
        fs::create_dir_all(&parts.folder).map_err(|error| failed(&parts.folder, &error))?;
        match (0..kept.groups).find(|number| !parts.part(*number).exists()) {
            Some(_) => Err(other(&parts.folder, "lacks row groups that the state covers")),
            None => Ok(parts),
        }
    }

    /// Finishes one more row group.
    pub(super) fn push(
        &mut self,
        group: impl FnOnce(&mut SerializedFileWriter<File>) -> Result<(), ParquetError>,
    ) -> Result<(), CommandError> {
        let (part, beside) = (self.part(self.groups), self.folder.join("next"));
        write(&beside, group).and_then(|()| named(&beside, &part)).map_err(|error| failed(&part, &error))?;
        self.groups += 1;
        Ok(())
    }

    /// Joins all row groups in one file, which does not have its name yet.
    pub(super) fn join(&mut self) -> Result<(), CommandError> {
        if self.groups == 0 && self.whole_bytes > 0 {
            return Ok(());
        }
        let whole = (self.whole_bytes > 0).then(|| self.path.clone());
        let all: Vec<PathBuf> = whole.into_iter().chain((0..self.groups).map(|number| self.part(number))).collect();
        let (beside, whole) = (self.folder.join("next"), self.whole());
        let copy = |writer: &mut SerializedFileWriter<File>| all.iter().try_for_each(|part| copy(part, writer));
        write(&beside, copy).and_then(|()| named(&beside, &whole)).map_err(|error| failed(&self.path, &error))?;
        self.whole_bytes = bytes_of(&whole).ok_or_else(|| failed(&whole, &"it is gone"))?;
        self.groups = 0;
        Ok(())
    }

    /// Gives the whole file its name.
    pub(super) fn name(self) -> Result<(), CommandError> {
        if self.whole().exists() {
            named(&self.whole(), &self.path).map_err(|error| failed(&self.path, &error))?;
        }
        self.clear()
    }

    fn part(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:06}"))
    }

    fn whole(&self) -> PathBuf {
        self.folder.join("whole")
    }

    fn clear(&self) -> Result<(), CommandError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.folder, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Writes a file of these columns and makes it durable.
fn write(
    path: &Path,
    groups: impl FnOnce(&mut SerializedFileWriter<File>) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let file = File::create(path)?;
    let mut writer = SerializedFileWriter::new(file.try_clone()?, schema, Arc::new(properties))?;
    groups(&mut writer)?;
    writer.close()?;
    Ok(file.sync_all()?)
}

fn named(from: &Path, to: &Path) -> Result<(), ParquetError> {
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

/// Copies the row groups of a file, as they are.
fn copy(from: &Path, to: &mut SerializedFileWriter<File>) -> Result<(), ParquetError> {
    let file = File::open(from)?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    for group in metadata.row_groups() {
        let mut out = to.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
                rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            out.append_column(&file, close)?;
        }
        out.close()?;
    }
    Ok(())
}
