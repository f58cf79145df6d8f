//! The `hub` program.

use std::process::ExitCode;

/// The fold and the handlers allocate many small rows on several threads; the system's allocator costs them a sixth of
/// their time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hub::run(&std::env::args_os().collect::<Vec<_>>())
}
