//! The hub's one binary: command line, configuration, and what commands share.
//!
//! A command is a module in [`commands`] with its arguments and a function
//! `run(&Args, &Context) -> Result<Exit, CommandError>` (async where it waits), and a variant of [`cli::Command`].
//!
//! Invariants: results go to standard output, everything else to standard error; with `--json` each is one JSON value;
//! exit codes are those of [`Exit`]; an error is one line that says what happened and what to do.
//!
//! Deliberately absent: anything that a service or a library decides. This crate parses, wires and shows.

mod admin;
pub mod answers;
mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connection;
pub mod context;
pub mod doctor;
mod erasure;
pub mod error;
pub mod errors;
mod http_api;
#[cfg(feature = "kafka")]
mod kafka_log;
pub mod listening;
pub mod output;
pub mod progress;
pub mod protos;
pub mod publish;
pub mod receipts;
pub mod server;
pub mod signals;
mod synthetic;
pub mod unit_files;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

pub use cli::{Cli, Command};
pub use connection::ConnectionArgs;
pub use context::{Context, GlobalArgs};
pub use error::{CommandError, Exit};

/// Runs the hub with a command line whose first word is the program's name.
///
/// Not generic: whatever takes it would compile the whole program once more.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error, arguments.iter().any(|word| word == "--json")),
    };
    let context = Context::new(cli.global);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(cli.command.run(&context)),
        Err(error) => Err(CommandError::failed(
            format!("the system gives no threads: {error}"),
            "raise the limit of processes and open files",
        )),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{}", error.line(context.global.json));
            error.exit.into()
        }
    }
}

fn explain_usage(error: &clap::Error, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that has gone away is no error.
        let _ = error.print();
        return Exit::Ok.into();
    }
    if json {
        let first = error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        eprintln!("{}", CommandError::usage(first, "see 'hub --help'").line(true));
    } else {
        let _ = error.print();
    }
    Exit::Usage.into()
}
