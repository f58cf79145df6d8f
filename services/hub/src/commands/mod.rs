//! One module per command: its arguments and, where the command is a variant of [`crate::cli::Command`], its `run`.

pub mod accesses;
pub mod asking;
pub mod audit;
pub mod bench;
pub mod check;
pub mod compare;
pub mod completions;
pub mod config;
pub mod conformance;
pub mod contracts;
pub mod demo;
pub mod dev_certs;
pub mod doctor;
pub mod errors;
pub mod explain;
pub mod findings;
pub mod get;
pub mod heads;
pub mod init;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod keys;
pub mod link;
pub mod log;
pub mod orders;
pub mod policy;
pub mod procedures;
pub mod publish;
pub mod quality;
pub mod quarantine;
pub mod receipt;
pub mod register;
pub mod rejected;
pub mod review;
pub mod search;
pub mod serve;
pub mod status;
pub mod units;
pub mod views;
pub mod watch;

#[cfg(test)]
mod tests;
