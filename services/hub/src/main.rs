//! The `hub` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hub::run(std::env::args_os())
}
