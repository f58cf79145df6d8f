//! `hub kafka`: the topics of a log on Apache Kafka.

use clap::{Args, Subcommand};
use event_log::KafkaOptions;
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::kafka_log;

/// Arguments of `hub kafka`.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// What to do with the topics.
    #[command(subcommand)]
    pub command: KafkaCommand,
}

/// Commands of `hub kafka`.
#[derive(Debug, Clone, Subcommand)]
pub enum KafkaCommand {
    /// Make the topics that are missing, with the settings that an event log needs, then check all of them
    #[command(
        after_help = "Examples:\n  hub kafka init --config hub.toml\n  hub kafka init --bootstrap 127.0.0.1:19092 --replication 1"
    )]
    Init(WhereArgs),
    /// Check the topics: copies, durability, retention, size of messages
    #[command(after_help = "Example:\n  hub kafka check --config hub.toml")]
    Check(WhereArgs),
}

/// Where the topics are, instead of what the configuration says.
#[derive(Debug, Clone, Default, Args)]
pub struct WhereArgs {
    /// Brokers to ask first: host:port, separated by commas
    #[arg(long, value_name = "BROKERS")]
    pub bootstrap: Option<String>,
    /// What the topics' names begin with
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Brokers that keep each partition; all but one of them must have an entry before it is acknowledged
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub replication: Option<u32>,
}

impl WhereArgs {
    /// The options of the configuration, with these changes.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn options(&self, context: &Context) -> Result<KafkaOptions, CommandError> {
        let mut config = context.config()?;
        if let Some(bootstrap) = &self.bootstrap {
            config.log_kafka.bootstrap.clone_from(bootstrap);
        }
        if let Some(prefix) = &self.prefix {
            config.log_kafka.prefix.clone_from(prefix);
        }
        if let Some(replication) = self.replication {
            config.log_kafka.replication = replication;
            config.log_kafka.min_insync_replicas = (replication - 1).max(1);
        }
        kafka_log::options(&config)
    }
}

/// Makes or checks the topics.
///
/// # Errors
/// The brokers do not answer, or a topic is not as it must be.
pub fn run(args: &KafkaArgs, context: &Context) -> Result<Exit, CommandError> {
    let (options, init) = match &args.command {
        KafkaCommand::Init(at) => (at.options(context)?, true),
        KafkaCommand::Check(at) => (at.options(context)?, false),
    };
    let made = if init { event_log::init_kafka(&options).map_err(|e| kafka_log::refused(&e))? } else { Vec::new() };
    let counts = event_log::inspect_kafka(&options).map_err(|e| kafka_log::refused(&e))?;
    let shown = json!({
        "prefix": options.prefix,
        "made": made,
        "partitions": { "change": counts.change, "control": 1, "access": counts.access, "rejected": counts.rejected },
    });
    context.output.show(&shown, || {
        let begun =
            if made.is_empty() { "the topics were there".to_owned() } else { format!("made {}", made.join(", ")) };
        format!(
            "{begun}; {} are as a log needs them: {} partitions of change, {} of access",
            options.prefix, counts.change, counts.access
        )
    })?;
    Ok(Exit::Ok)
}
