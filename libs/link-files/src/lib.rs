//! Linkage of files, without a hub: which records of one file, or of two, are one entity, whatever the columns.
//!
//! A file becomes columns of interned values ([`table`]); a spec says how each column is compared, or [`guess`] does. Equal
//! records are one node ([`data`]). A weighted sample that stands for all pairs ([`sample`]) teaches, without labels, how
//! often matches and others agree ([`em`]) and which blocking keys find most for least ([`select`]). Candidates are scored key
//! by key ([`pairs`], [`score`]) in 1/1024 bit, and clustered in a canonical order ([`cluster`]). [`output`] writes the results
//! and [`evaluate`] measures them against a truth.
//!
//! Invariants:
//! - The partition is a function of the set of records and the spec. The order of records, their ids, the number of threads and
//!   hash maps never reach it: values are numbered by content, nodes by values, and floating-point sums are made in one order.
//! - An id names its record. It is never compared, blocked on or sorted by.
//! - Time and memory are bounded: by K in a block, by a budget of pairs, by the members that speak for a cluster. What a bound
//!   left out is said in the summary.
//!
//! Deliberately absent: the streaming engine and its epochs (crate `linkage`), and any network. Files are touched in
//! [`read_csv()`], [`read_parquet()`] and [`output`] only.

mod arena;
pub mod atoms;
pub mod cluster;
pub mod compare;
pub mod data;
mod date;
pub mod em;
mod error;
pub mod evaluate;
mod fold;
pub mod guess;
pub mod model;
pub mod output;
pub mod pairs;
mod progress;
mod read_csv;
mod read_parquet;
pub mod report;
pub mod result;
pub mod run;
pub mod sample;
pub mod score;
pub mod select;
pub mod spec;
pub mod summary;
pub mod table;
pub mod threshold;
pub mod values;

pub use error::Error;
pub use progress::{Progress, Silent};
pub use read_csv::read_csv;
pub use read_parquet::read_parquet;
