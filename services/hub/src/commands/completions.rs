//! `hub completions`: what a shell needs to complete commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output;

/// Arguments of `hub completions`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub completions bash > /etc/bash_completion.d/hub\n  hub completions zsh > ~/.zfunc/_hub"
)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the completion script.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &CompletionsArgs, _context: &Context) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hub", &mut script);
    output::print(&script)?;
    Ok(Exit::Ok)
}
