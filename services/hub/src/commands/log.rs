//! `hub log`: moving the log.

use clap::{Args, Subcommand, ValueEnum};
use event_log::{EventLog, copy};
use serde_json::json;

use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, Exit, told};
use crate::progress::Progress;
use crate::server::data_dir;

/// Arguments of `hub log`.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What to do with the log.
    #[command(subcommand)]
    pub command: LogCommand,
}

/// Commands of `hub log`.
#[derive(Debug, Clone, Subcommand)]
pub enum LogCommand {
    /// Copy every entry, with its position and time, from one kind of log to the other, while no hub runs; a copy that was broken off goes on
    #[command(
        after_help = "Examples:\n  hub kafka init --config hub.toml\n  hub log copy --config hub.toml --from embedded --to kafka\n  hub log copy --config hub.toml --from kafka --to embedded"
    )]
    Copy {
        /// The kind of log to read
        #[arg(long, value_enum, value_name = "KIND")]
        from: Kind,
        /// The kind of log to write
        #[arg(long, value_enum, value_name = "KIND")]
        to: Kind,
    },
}

/// A kind of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Files of the data directory
    Embedded,
    /// The topics of section [log.kafka]
    Kafka,
}

/// Copies.
///
/// # Errors
/// A log cannot be opened, the target is not a beginning of the source, or an entry was not copied.
pub async fn run(args: &LogArgs, context: &Context) -> Result<Exit, CommandError> {
    let LogCommand::Copy { from, to } = args.command;
    if from == to {
        return Err(CommandError::usage("a log is copied from one kind to the other", "name both --from and --to"));
    }
    let config = context.config()?;
    let source = open(from, &config)?;
    let target = match open_target(to, &config, &source) {
        Ok(target) => target,
        Err(error) => {
            source.close().await;
            return Err(error);
        }
    };
    if let EventLog::Embedded(embedded) = &source {
        data_dir::remember_id(&config, embedded.log_id())?;
    }
    let progress = Progress::new("copy", "entries", None, context.output.is_json());
    let copied = copy(&source, &target, |now| {
        progress.total(now.total);
        progress.set(now.copied);
    })
    .await;
    progress.finish();
    let total = target.ends().total();
    source.close().await;
    target.close().await;
    let copied = copied.map_err(|error| {
        CommandError::failed(
            format!("the copy stopped: {}", told(&error)),
            "mend what is named and copy again: it goes on where it stopped",
        )
    })?;
    context.output.show(&json!({ "copied": copied, "entries": total }), || {
        format!("{copied} entries copied, {total} in the target; set log.kind to use it, and keep the secrets")
    })?;
    Ok(Exit::Ok)
}

fn open(kind: Kind, config: &Config) -> Result<EventLog, CommandError> {
    match kind {
        Kind::Embedded => match data_dir::open_log(config)? {
            Some(log) => Ok(log.into()),
            None => Err(CommandError::usage(
                format!("{} holds no log", config.top.data_dir.display()),
                "name the hub's data directory with --data-dir",
            )),
        },
        Kind::Kafka => open_kafka(config),
    }
}

fn open_target(kind: Kind, config: &Config, source: &EventLog) -> Result<EventLog, CommandError> {
    match kind {
        Kind::Embedded => match data_dir::open_log(config)? {
            Some(log) => Ok(log.into()),
            None => data_dir::create_log(config, source.partitions()).map(EventLog::from),
        },
        Kind::Kafka => open_kafka(config),
    }
}

#[cfg(feature = "kafka")]
fn open_kafka(config: &Config) -> Result<EventLog, CommandError> {
    let options = crate::kafka_log::options(config)?;
    let log = event_log::Kafka::open(&options).map_err(|error| crate::kafka_log::refused(&error))?;
    Ok(log.into())
}

#[cfg(not(feature = "kafka"))]
fn open_kafka(_config: &Config) -> Result<EventLog, CommandError> {
    Err(CommandError::usage("this hub was built without Kafka", "build it with feature kafka, which is the default"))
}
