//! Files as tables of interned values.

use std::path::PathBuf;

use crate::arena::{Arena, Interner};
use crate::error::Error;

/// Most records of all files together.
pub const RECORDS_MAX: usize = 100_000_000;
/// Most bytes of one column's distinct values.
pub const COLUMN_BYTES_MAX: usize = 3 << 30;

/// One column of all files: a distinct value is kept once.
#[derive(Clone, Debug)]
pub struct RawColumn {
    /// The column's name.
    pub name: String,
    /// Distinct values as they stand in the file; place 0 is the empty one.
    pub values: Arena,
    /// By record, the place of its value; 0 when it has none.
    pub codes: Vec<u32>,
}

/// One of the files.
#[derive(Clone, Debug)]
pub struct FileInfo {
    /// Where it was read from.
    pub path: PathBuf,
    /// Number of its records.
    pub records: usize,
    /// Columns that only this file has and that are therefore not compared.
    pub alone: Vec<String>,
}

/// One or two files, their records one after another.
#[derive(Clone, Debug)]
pub struct Table {
    /// The files, in the order in which they were named.
    pub files: Vec<FileInfo>,
    /// Columns that every file has, without the id's.
    pub columns: Vec<RawColumn>,
    /// By record, its id. It names the record and does nothing else.
    pub ids: Arena,
}

impl Table {
    /// Number of records of all files.
    pub fn records(&self) -> usize {
        self.ids.len()
    }

    /// First record of the second file; the number of records when there is one file.
    pub fn second_file(&self) -> usize {
        self.files[0].records
    }

    /// The place of the file that a record is in.
    pub fn file_of(&self, record: usize) -> usize {
        usize::from(record >= self.second_file())
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&RawColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Takes a column out.
    pub fn take_column(&mut self, name: &str) -> Option<RawColumn> {
        let place = self.columns.iter().position(|column| column.name == name)?;
        Some(self.columns.remove(place))
    }
}

/// Takes records and makes a [`Table`] of them: what the readers of file formats share.
#[derive(Debug)]
pub struct TableBuilder {
    id_column: String,
    files: Vec<FileInfo>,
    columns: Vec<BuildColumn>,
    ids: Arena,
    /// The ids of the file that is being read, with the line of each.
    seen: Interner,
    lines: Vec<u64>,
    /// By column of the file: where its cells go.
    places: Vec<Place>,
}

#[derive(Debug)]
struct BuildColumn {
    name: String,
    values: Interner,
    codes: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Id,
    Column(usize),
    Nowhere,
}

impl TableBuilder {
    /// A table whose records are named by the column `id_column`.
    pub fn new(id_column: &str) -> TableBuilder {
        TableBuilder {
            id_column: id_column.to_owned(),
            files: Vec::new(),
            columns: Vec::new(),
            ids: Arena::default(),
            seen: Interner::default(),
            lines: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Begins a file with these columns.
    ///
    /// # Errors
    /// Two columns have one name, or none is the id's.
    pub fn begin_file(&mut self, path: PathBuf, names: &[String]) -> Result<(), Error> {
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                return Err(Error::SameColumn { file: path, column: name.clone() });
            }
        }
        if !names.contains(&self.id_column) {
            return Err(Error::NoColumn { file: path, column: self.id_column.clone(), columns: list(names) });
        }
        let first = self.files.is_empty();
        self.places = names.iter().map(|name| self.place(name, first)).collect();
        let alone = names.iter().zip(&self.places).filter(|(_, place)| matches!(place, Place::Nowhere));
        let alone = alone.map(|(name, _)| name.clone()).collect();
        self.files.push(FileInfo { path, records: 0, alone });
        self.seen = Interner::default();
        self.lines.clear();
        Ok(())
    }

    /// Names of other files are compared without regard to case, spaces and punctuation.
    fn place(&mut self, name: &str, first: bool) -> Place {
        if *name == self.id_column {
            return Place::Id;
        }
        if first {
            let mut values = Interner::default();
            values.number(b"");
            self.columns.push(BuildColumn { name: name.to_owned(), values, codes: Vec::new() });
            return Place::Column(self.columns.len() - 1);
        }
        let same = |column: &BuildColumn| column.name == name;
        let alike = |column: &BuildColumn| plain_name(&column.name) == plain_name(name);
        let found = self.columns.iter().position(same).or_else(|| self.columns.iter().position(alike));
        found.map_or(Place::Nowhere, Place::Column)
    }

    /// Takes a record: its cells by column of the file, and the line where it stands.
    ///
    /// # Errors
    /// The id is empty or known, or a bound is passed.
    pub fn record<'a>(&mut self, line: u64, cells: impl Iterator<Item = &'a [u8]>) -> Result<(), Error> {
        let record = self.ids.len();
        for (cell, place) in cells.zip(&self.places) {
            match place {
                Place::Id => {
                    take_id(&mut self.seen, &mut self.lines, line, cell).map_err(|fault| {
                        fault.error(self.files.last().expect("a file was begun"), &self.id_column, line, cell)
                    })?;
                    self.ids.push(cell);
                }
                Place::Column(column) => {
                    let column = &mut self.columns[*column];
                    column.codes.resize(record, 0);
                    column.codes.push(column.values.number(cell));
                }
                Place::Nowhere => {}
            }
        }
        let file = self.files.last_mut().expect("a file was begun");
        file.records += 1;
        if self.ids.len() > RECORDS_MAX {
            let what = format!("more than {RECORDS_MAX} records cannot be linked at once");
            return Err(Error::TooLarge { file: file.path.clone(), what });
        }
        if record.is_multiple_of(4096) {
            self.check_bytes()?;
        }
        Ok(())
    }

    fn check_bytes(&self) -> Result<(), Error> {
        let large = self.columns.iter().find(|column| column.values.bytes_len() > COLUMN_BYTES_MAX);
        large.map_or(Ok(()), |column| {
            let file = self.files.last().expect("a file was begun").path.clone();
            let what = format!("the values of column '{}' pass {COLUMN_BYTES_MAX} bytes", column.name);
            Err(Error::TooLarge { file, what })
        })
    }

    /// The table.
    ///
    /// # Errors
    /// There are fewer than two records.
    pub fn finish(mut self) -> Result<Table, Error> {
        let records = self.ids.len();
        if records < 2 {
            return Err(Error::TooFew(records));
        }
        let first_file = self.files[0].records;
        let (shared, alone): (Vec<_>, Vec<_>) =
            self.columns.into_iter().partition(|column| self.files.len() == 1 || column.codes.len() > first_file);
        self.files[0].alone.extend(alone.into_iter().map(|column| column.name));
        let columns = shared.into_iter().map(|mut column| {
            column.codes.resize(records, 0);
            RawColumn { name: column.name, values: column.values.into_arena(), codes: column.codes }
        });
        Ok(Table { files: self.files, columns: columns.collect(), ids: self.ids })
    }
}

enum IdFault {
    Empty,
    Known(u64),
}

impl IdFault {
    fn error(self, file: &FileInfo, column: &str, line: u64, id: &[u8]) -> Error {
        let (file, column) = (file.path.clone(), column.to_owned());
        match self {
            IdFault::Empty => Error::NoId { file, line, column },
            IdFault::Known(first) => {
                Error::SameId { file, line, first, column, id: String::from_utf8_lossy(id).into_owned() }
            }
        }
    }
}

fn take_id(seen: &mut Interner, lines: &mut Vec<u64>, line: u64, id: &[u8]) -> Result<(), IdFault> {
    if id.is_empty() {
        return Err(IdFault::Empty);
    }
    let number = seen.number(id) as usize;
    match lines.get(number) {
        Some(first) => Err(IdFault::Known(*first)),
        None => {
            lines.push(line);
            Ok(())
        }
    }
}

/// A column's name without case, spaces and punctuation.
pub(crate) fn plain_name(name: &str) -> String {
    let mut folded = Vec::new();
    crate::fold::fold_text(name, &mut folded);
    folded.retain(|byte| *byte != b' ');
    String::from_utf8_lossy(&folded).into_owned()
}

/// Names as a list for an error.
pub(crate) fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
