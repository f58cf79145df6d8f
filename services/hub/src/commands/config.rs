//! `hub config`: the configuration explained, and checked.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::{self, Config, Key};
use crate::context::Context;
use crate::error::{CommandError, Exit};

/// Arguments of `hub config`.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// What to do with the configuration.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// Commands of `hub config`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print every key with its meaning, unit, bounds and value
    #[command(after_help = "Examples:\n  hub config explain > hub.toml\n  hub config explain --config hub.toml")]
    Explain,
    /// Check a file; the first fault is named by line and key
    #[command(after_help = "Example:\n  hub config check hub.toml && hub serve --config hub.toml")]
    Check {
        /// The file; that of --config when absent
        file: Option<PathBuf>,
    },
}

/// Explains or checks.
///
/// # Errors
/// The file is wrong or cannot be read; standard output cannot be written.
pub fn run(args: &ConfigArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        ConfigCommand::Explain => explain(context),
        ConfigCommand::Check { file } => check(file.as_ref().or(context.global.config.as_ref()), context),
    }
}

fn explain(context: &Context) -> Result<Exit, CommandError> {
    let config = context.config()?;
    let defaults = Config::default().keys();
    let keys: Vec<Value> = config.keys().iter().zip(&defaults).map(|(key, default)| described(key, default)).collect();
    context.output.show(&keys, || config::explain(&config))?;
    Ok(Exit::Ok)
}

fn described(key: &Key, default: &Key) -> Value {
    json!({
        "key": key.path(),
        "meaning": key.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
        "bounds": key.bounds.to_string(),
        "value": key.value,
        "default": default.value,
    })
}

fn check(file: Option<&PathBuf>, context: &Context) -> Result<Exit, CommandError> {
    let file =
        file.ok_or_else(|| CommandError::usage("no file to check was named", "write 'hub config check FILE'"))?;
    config::load(file)?;
    let name = file.display().to_string();
    context.output.show(&json!({ "file": name, "ok": true }), || format!("{name}: ok"))?;
    Ok(Exit::Ok)
}
