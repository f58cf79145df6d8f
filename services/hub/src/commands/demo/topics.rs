//! Topics of a hub that lives for one command, where its log is on Kafka.

use event_log::KafkaOptions;

use crate::config::Config;
use crate::error::CommandError;
use crate::kafka_log;

/// Topics that are deleted when the command ends, unless they are kept.
pub(crate) struct Topics(Option<KafkaOptions>);

/// Sets the configuration to topics of this process's own, on as many brokers as there are, up to three.
///
/// # Errors
/// The brokers do not answer.
pub(crate) fn configure(config: &mut Config, brokers: &str) -> Result<(), CommandError> {
    config.log.kind = "kafka".to_owned();
    brokers.clone_into(&mut config.log_kafka.bootstrap);
    let begun = (ingest::system_clock())().0;
    config.log_kafka.prefix = format!("hub-demo-{}-{begun}", std::process::id());
    let found = event_log::kafka_brokers(&kafka_log::options(config)?).map_err(|error| kafka_log::refused(&error))?;
    let replication = u32::try_from(found.min(3)).expect("at most three");
    config.log_kafka.replication = replication.max(1);
    config.log_kafka.min_insync_replicas = (replication.max(2)) - 1;
    Ok(())
}

/// Makes the topics, where the log is on Kafka.
///
/// # Errors
/// The brokers refuse them.
pub(crate) fn make(config: &Config, keep: bool) -> Result<Topics, CommandError> {
    if config.log.kind != "kafka" {
        return Ok(Topics(None));
    }
    let options = kafka_log::options(config)?;
    let made = event_log::init_kafka(&options).map_err(|error| kafka_log::refused(&error))?;
    Ok(Topics((!keep && !made.is_empty()).then_some(options)))
}

impl Drop for Topics {
    fn drop(&mut self) {
        if let Some(options) = &self.0
            && let Err(error) = event_log::remove_kafka(options)
        {
            tracing::warn!(%error, prefix = options.prefix, "the demo's topics could not be deleted");
        }
    }
}
