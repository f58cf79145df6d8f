//! What every command is given: the global flags, the configuration, and where to print.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config};
use crate::error::CommandError;
use crate::output::{Color, Output};

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// Configuration file (TOML); see 'hub config explain'
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Data directory, instead of the configuration's
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON value instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// When to colour the output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Global options")]
    pub color: Color,
    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// What a command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The global flags.
    pub global: GlobalArgs,
    /// Where to print.
    pub output: Output,
}

impl Context {
    /// From the global flags.
    pub fn new(global: GlobalArgs) -> Self {
        let output = Output::new(global.json, global.color);
        Self { global, output }
    }

    /// The configuration: the file of `--config`, or the defaults, with the flags' changes.
    ///
    /// # Errors
    /// The file cannot be read or is wrong.
    pub fn config(&self) -> Result<Config, CommandError> {
        let mut config = match &self.global.config {
            Some(path) => config::load(path)?,
            None => Config::default(),
        };
        if let Some(data_dir) = &self.global.data_dir {
            config.top.data_dir.clone_from(data_dir);
        }
        match self.global.verbose {
            0 => {}
            1 => config.telemetry.log_filter = "debug".to_owned(),
            _ => config.telemetry.log_filter = "trace".to_owned(),
        }
        Ok(config)
    }
}
