//! The log on Apache Kafka as the configuration describes it.

use std::path::PathBuf;
use std::time::Duration;

use event_log::{Compression, KafkaOptions, KafkaSasl, KafkaTls, LocalBodies, OpenError, PartitionCounts, TopicPlan};

use crate::config::{Config, LogKafka};
use crate::error::{CommandError, told};

/// What the configuration says of brokers and topics. Reads the file with the password.
///
/// # Errors
/// One line: keys that do not go together, or a file that cannot be read.
pub fn options(config: &Config) -> Result<KafkaOptions, CommandError> {
    let kafka = &config.log_kafka;
    let millis = Duration::from_millis;
    let defaults = KafkaOptions::new(&kafka.bootstrap, &kafka.prefix);
    Ok(KafkaOptions {
        tls: (kafka.tls == "on").then(|| tls(config)).transpose()?,
        sasl: (kafka.sasl != "off").then(|| sasl(config)).transpose()?,
        topics: topics(config),
        compression: if kafka.compression == "zstd" { Compression::Zstd } else { Compression::Lz4 },
        append_timeout: millis(kafka.append_timeout_ms),
        read_timeout: millis(kafka.read_timeout_ms),
        stall_after: millis(kafka.stall_after_ms),
        watch_interval: millis(kafka.watch_interval_ms),
        queue_bytes_max: kafka.queue_bytes_max,
        reader_bytes_max: kafka.reader_bytes_max,
        ..defaults
    })
}

/// The same for a process that reads bodies again: they are kept in its data directory.
///
/// # Errors
/// As [`options`].
pub fn options_with_bodies(config: &Config) -> Result<KafkaOptions, CommandError> {
    let bytes_max = Some(config.log_kafka.bodies_bytes_max).filter(|max| *max > 0);
    let bodies = Some(LocalBodies { dir: config.top.data_dir.join("bodies"), bytes_max });
    Ok(KafkaOptions { bodies, ..options(config)? })
}

fn topics(config: &Config) -> TopicPlan {
    let count = |n: u32| u16::try_from(n).expect("the configuration's bounds are within u16");
    TopicPlan {
        partitions: PartitionCounts {
            change: count(config.log.partitions),
            rejected: 1,
            access: count(config.log.access_partitions),
        },
        replication: count(config.log_kafka.replication),
        min_insync: count(config.log_kafka.min_insync_replicas),
        access_retention: Some(Duration::from_secs(u64::from(config.log.access_retention_days) * 86_400)),
    }
}

fn tls(config: &Config) -> Result<KafkaTls, CommandError> {
    let LogKafka { ca, cert, key, .. } = &config.log_kafka;
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some((config.path(cert), config.path(key))),
        (None, None) => None,
        _ => {
            return Err(CommandError::usage(
                "log.kafka.cert and log.kafka.key belong together",
                "name both files, or neither",
            ));
        }
    };
    Ok(KafkaTls { ca: ca.as_ref().map(|ca| config.path(ca)), client })
}

fn sasl(config: &Config) -> Result<KafkaSasl, CommandError> {
    let LogKafka { sasl, sasl_username, sasl_password_file, .. } = &config.log_kafka;
    let (Some(username), Some(file)) = (sasl_username, sasl_password_file) else {
        return Err(CommandError::usage(
            "log.kafka.sasl needs a name and a password",
            "set log.kafka.sasl_username and log.kafka.sasl_password_file, or sasl = \"off\"",
        ));
    };
    let path: PathBuf = config.path(file);
    let password = std::fs::read_to_string(&path).map_err(|error| {
        CommandError::usage(
            format!("log.kafka.sasl_password_file: cannot read {}: {error}", path.display()),
            "name a file that the hub's user may read",
        )
    })?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    Ok(KafkaSasl { mechanism: sasl.clone(), username: username.clone(), password })
}

/// Why the log on Kafka cannot be used, in one line.
pub fn refused(error: &OpenError) -> CommandError {
    CommandError::failed(
        format!("the log on Kafka cannot be opened: {}", told(error)),
        "mend what is named, then try again",
    )
}
