//! What can be wrong with files, specs and models.

use std::path::PathBuf;

/// Why files could not be linked. Texts name the file, the line and the column, and never a value other than a record's id.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a CSV file is malformed.
    #[error("{}, line {line}: {what}", .file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A Parquet file is malformed, or has a column that cannot be compared.
    #[error("{}: {what}", .file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A column is named that a file does not have.
    #[error("{} has no column '{column}'; it has {columns}", .file.display())]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// The column asked for.
        column: String,
        /// The columns that there are.
        columns: String,
    },
    /// Two columns of a file have one name.
    #[error("{}, line 1: two columns are called '{column}'", .file.display())]
    SameColumn {
        /// The file.
        file: PathBuf,
        /// Their name.
        column: String,
    },
    /// A record has no id.
    #[error("{}, line {line}, column '{column}': the id is empty", .file.display())]
    NoId {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The id's column.
        column: String,
    },
    /// Two records have one id.
    #[error("{}, line {line}, column '{column}': the id '{id}' stands in line {first} already", .file.display())]
    SameId {
        /// The file.
        file: PathBuf,
        /// The later line, from 1.
        line: u64,
        /// The earlier line.
        first: u64,
        /// The id's column.
        column: String,
        /// The id.
        id: String,
    },
    /// A file holds more than can be linked at once.
    #[error("{}: {what}", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// What is too large, and the bound.
        what: String,
    },
    /// There is nothing to compare.
    #[error("there is no column to compare: every column is empty, ignored, the id, or in one of the files only")]
    NothingToCompare,
    /// There are fewer than two records.
    #[error("there are {0} records; linking needs two at least")]
    TooFew(usize),
    /// A spec file is wrong.
    #[error("spec: {0}")]
    Spec(String),
    /// A model file is wrong, or is for other columns.
    #[error("model: {0}")]
    Model(String),
    /// The truth cannot be read.
    #[error("truth: {0}")]
    Truth(String),
}
