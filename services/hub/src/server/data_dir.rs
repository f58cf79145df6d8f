//! The data directory: who has it, the log, and the secrets beside it.
//!
//! `hub.lock` (held while a hub runs), `secret/log` and `secret/signing` (32 bytes each, readable by the owner only), `keys/`, `log/`,
//! `ledger/`, `views/`, `access-index/`, `scratch/` (verifications), `dev-certs/`; where the log is on Kafka, `bodies/` instead of `log/`,
//! and `secret/log-id`, which names the log. A process that is given the secrets by another one has neither `secret/` nor `keys/`,
//! unless its role is to give them in turn. `purged` and `views-copied` tell such a process what of its files must still be purged of erased records.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event_log::{Embedded, EventLog, LogOptions, PartitionCounts, Tuning};
use record::LogSecret;
use zeroize::Zeroizing;

use super::keys;
use super::peers::{self, Given, Secrets};
use super::roles::Roles;
use super::signing::SigningFiles;
use crate::config::Config;
use crate::erasure::Held;
use crate::error::{CommandError, told};

/// Bytes of a secret.
pub(super) const SECRET_BYTES: usize = 32;

/// What names a log on Kafka towards its keys: drawn when it is begun, or that of the embedded log that it is a copy of.
const LOG_ID: &str = "log-id";

/// An opened data directory. Whoever holds it is the only hub on it.
pub(super) struct DataDir {
    /// The log.
    pub log: EventLog,
    /// The log's secret.
    pub secret: Arc<LogSecret>,
    /// The key that signs receipts and checkpoints.
    pub signing: SigningFiles,
    /// The keys of bodies.
    pub keys: Held,
    /// Whether they were made just now.
    pub keys_made: bool,
    /// Whether another process gave the secrets at this start: then it has begun the log, too.
    pub given: bool,
    /// The secrets as they are kept, for processes that have none.
    pub secrets: Arc<Secrets>,
    /// The lock, let go of when this is dropped.
    pub lock: Lock,
}

/// The hold on a data directory.
pub(super) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

/// Opens the directory, or begins a new one where there is none. Waits for the process that gives the secrets, where the configuration
/// names one and they are not here.
///
/// # Errors
/// One line: what is in the way, and what to do.
pub(super) async fn open(config: &Config, roles: &Roles) -> Result<DataDir, CommandError> {
    let dir = config.top.data_dir.as_path();
    private_dir(dir)?;
    let lock = Lock::take(dir)?;
    let place = Place::find(config, roles)?;
    let kept = roles.audit && dir.join("secret").join("log").exists();
    let own_ones = config.peers.keys_from.is_none() || kept;
    let (log, secrets, (keys, keys_made)) = if own_ones {
        own(config, place)?
    } else {
        let log = place.open(true, config)?;
        let given = peers::fetch(config, &log).await?;
        let keys =
            if roles.audit { keep_given(config, &given)? } else { given.keyring().map_or(Held::Plain, Held::Memory) };
        (log, given.secrets, (keys, false))
    };
    let keeps = own_ones || roles.audit;
    let asks = config.peers.keys_from.is_some();
    let signing = SigningFiles::new(keeps.then(|| dir.join("secret")), &config.top.origin, &secrets.signing, asks)?;
    let secret = LogSecret::new(&secrets.log);
    let secret = match keys.ring() {
        Some(ring) => secret.with_keys(ring),
        None => secret,
    };
    Ok(DataDir {
        log,
        secret: Arc::new(secret),
        signing,
        keys,
        keys_made,
        given: !own_ones,
        secrets: Arc::new(secrets),
        lock,
    })
}

/// The log with the secrets of this directory; they are drawn for a log that is to be begun.
fn own(config: &Config, place: Place) -> Result<(EventLog, Secrets, (Held, bool)), CommandError> {
    let begun = place.begun()?;
    let dir = config.top.data_dir.join("secret");
    private_dir(&dir)?;
    let log_secret = Zeroizing::new(secret(&dir.join("log"), begun)?);
    let signing = Zeroizing::new(SigningFiles::seed(&dir, begun)?);
    let log = place.open(begun, config)?;
    let log_id = match &log {
        EventLog::Embedded(log) => log.log_id(),
        #[cfg(feature = "kafka")]
        EventLog::Kafka(_) => named_by(secret(&dir.join(LOG_ID), begun)?),
    };
    let keys = match keys::open(config, &log, log_id)? {
        Some((store, made)) => (Held::File(Box::new(store)), made),
        None => (Held::Plain, false),
    };
    Ok((log, Secrets { log: log_secret, signing, log_id }, keys))
}

/// Keeps what another process gave, to give it in turn. The log's secret comes last: what was kept in part is asked for again.
fn keep_given(config: &Config, given: &Given) -> Result<Held, CommandError> {
    let dir = config.top.data_dir.join("secret");
    private_dir(&dir)?;
    let keys = match &given.keys {
        Some((ring, tree)) => Held::File(Box::new(keys::adopt(config, given.secrets.log_id, *ring, tree.clone())?)),
        None => Held::Plain,
    };
    remember_id(config, given.secrets.log_id)?;
    keep(&dir.join("signing"), &given.secrets.signing)?;
    keep(&dir.join("log"), &given.secrets.log)?;
    Ok(keys)
}

/// Where the log is. One on Kafka is open already: only its brokers know whether it was begun.
enum Place {
    Embedded(PathBuf),
    #[cfg(feature = "kafka")]
    Kafka(event_log::Kafka),
}

impl Place {
    fn find(config: &Config, roles: &Roles) -> Result<Self, CommandError> {
        let dir = config.top.data_dir.join("log");
        if config.log.kind != "kafka" {
            return Ok(Self::Embedded(dir));
        }
        if begun(&dir)? {
            return Err(CommandError::usage(
                format!("log.kind is \"kafka\", and {} holds an embedded log", dir.display()),
                "copy it with 'hub log copy --from embedded --to kafka' and move the folder away, or set log.kind = \"embedded\"",
            ));
        }
        Self::on_kafka(config, roles)
    }

    #[cfg(feature = "kafka")]
    fn on_kafka(config: &Config, roles: &Roles) -> Result<Self, CommandError> {
        // Who does not fold reads nothing again.
        let options = match roles.fold() {
            true => crate::kafka_log::options_with_bodies(config)?,
            false => crate::kafka_log::options(config)?,
        };
        let log = event_log::Kafka::open(&options).map_err(|error| crate::kafka_log::refused(&error))?;
        warn_of_partitions(log.partitions(), config);
        Ok(Self::Kafka(log))
    }

    #[cfg(not(feature = "kafka"))]
    fn on_kafka(_config: &Config, _roles: &Roles) -> Result<Self, CommandError> {
        Err(CommandError::usage(
            "this hub was built without Kafka",
            "build it with feature kafka, which is the default",
        ))
    }

    fn begun(&self) -> Result<bool, CommandError> {
        match self {
            Self::Embedded(dir) => begun(dir),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => Ok(log.ends().total() > 0),
        }
    }

    fn open(self, begun: bool, config: &Config) -> Result<EventLog, CommandError> {
        match self {
            Self::Embedded(dir) => {
                let log = if begun { reopen(&dir, config)? } else { create(&dir, config)? };
                for torn in log.recovered() {
                    tracing::warn!(%torn, "the log ended in an unfinished write, which nobody had been promised; it was cut off");
                }
                Ok(log.into())
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => Ok(log.into()),
        }
    }
}

fn warn_of_partitions(found: PartitionCounts, config: &Config) {
    let fixed = u32::from(found.change);
    if fixed != config.log.partitions {
        tracing::warn!(
            fixed,
            configured = config.log.partitions,
            "partitions were fixed when the log was created; the configured number is not used"
        );
    }
}

impl Lock {
    fn take(dir: &Path) -> Result<Self, CommandError> {
        let path = dir.join("hub.lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| cannot("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: without the number it says less.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let who = if holder.is_empty() {
                    "another hub".to_owned()
                } else {
                    format!("the hub with process number {holder}")
                };
                return Err(CommandError::failed(
                    format!("the data directory {} is in use by {who}", dir.display()),
                    "stop that one, or choose another directory with --data-dir",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &path, &error)),
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| cannot("write", &path, &error))?;
        Ok(Self(file))
    }
}

fn begun(log_dir: &Path) -> Result<bool, CommandError> {
    Embedded::is_begun(log_dir).map_err(|error| refused(&error))
}

fn create(dir: &Path, config: &Config) -> Result<Embedded, CommandError> {
    let count = |keys: u32| u16::try_from(keys).expect("the configuration's bounds are within u16");
    let partitions = PartitionCounts {
        change: count(config.log.partitions),
        rejected: 1,
        access: count(config.log.access_partitions),
    };
    let mut log_id = [0; 16];
    getrandom::fill(&mut log_id).map_err(|error| no_random(&error))?;
    create_with(dir, config, partitions, log_id)
}

fn create_with(
    dir: &Path,
    config: &Config,
    partitions: PartitionCounts,
    log_id: [u8; 16],
) -> Result<Embedded, CommandError> {
    Embedded::create(dir, &LogOptions { partitions, tuning: tuning(config) }, log_id).map_err(|error| refused(&error))
}

fn reopen(dir: &Path, config: &Config) -> Result<Embedded, CommandError> {
    let log = Embedded::open_with(dir, &tuning(config)).map_err(|error| refused(&error))?;
    warn_of_partitions(log.partitions(), config);
    Ok(log)
}

/// The embedded log of a data directory that no hub uses, for a command; `None` where there is none.
pub(crate) fn open_log(config: &Config) -> Result<Option<Embedded>, CommandError> {
    let dir = config.top.data_dir.join("log");
    begun(&dir)?.then(|| reopen(&dir, config)).transpose()
}

/// A new embedded log with partitions and name of the log on Kafka that it is to be a copy of.
pub(crate) fn create_log(config: &Config, partitions: PartitionCounts) -> Result<Embedded, CommandError> {
    let log_id = named_by(secret(&config.top.data_dir.join("secret").join(LOG_ID), true)?);
    create_with(&config.top.data_dir.join("log"), config, partitions, log_id)
}

/// Remembers the name of an embedded log for its copy on Kafka: its keys are bound to it.
pub(crate) fn remember_id(config: &Config, log_id: [u8; 16]) -> Result<(), CommandError> {
    let path = config.top.data_dir.join("secret").join(LOG_ID);
    let mut bytes = [0; SECRET_BYTES];
    bytes[..16].copy_from_slice(&log_id);
    keep(&path, &bytes)
}

fn named_by(bytes: [u8; SECRET_BYTES]) -> [u8; 16] {
    bytes[..16].try_into().expect("sixteen of thirty-two")
}

fn tuning(config: &Config) -> Tuning {
    Tuning {
        segment_bytes: config.log.segment_bytes,
        access_segment_bytes: config.log.segment_bytes,
        group_bytes_max: config.log.group_commit_bytes_max,
        ..Tuning::default()
    }
}

fn refused(error: &event_log::OpenError) -> CommandError {
    CommandError::failed(
        format!("the log cannot be opened: {}", told(error)),
        "mend what is named; a log is never begun anew over one that is there",
    )
}

fn private_dir(dir: &Path) -> Result<(), CommandError> {
    key_store::make_private_dir(dir).map_err(|error| cannot("create", dir, &error))
}

pub(super) fn secret(path: &Path, begun: bool) -> Result<[u8; SECRET_BYTES], CommandError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => <[u8; SECRET_BYTES]>::try_from(bytes).map_err(|bytes| {
            CommandError::failed(
                format!("the secret {} has {} bytes instead of {SECRET_BYTES}", path.display(), bytes.len()),
                "restore it from its copy",
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && begun => Err(CommandError::failed(
            format!("the secret {} is missing, and there is a log that was begun with it", path.display()),
            "restore it from its copy; without it no record of this log can be named",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => draw(path),
        Err(error) => Err(cannot("read", path, &error)),
    }
}

pub(super) fn draw(path: &Path) -> Result<[u8; SECRET_BYTES], CommandError> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|error| no_random(&error))?;
    keep(path, &secret)?;
    Ok(secret)
}

/// Written beside its place and moved there, so that a crash leaves a whole secret or none.
pub(super) fn keep(path: &Path, secret: &[u8; SECRET_BYTES]) -> Result<(), CommandError> {
    let beside: PathBuf = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(secret)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().expect("a secret lies in a directory"))?.sync_all()
    };
    write().map_err(|error| cannot("write", path, &error))
}

fn no_random(error: &getrandom::Error) -> CommandError {
    CommandError::failed(format!("the system gives no random bytes: {error}"), "mend the system")
}

pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(
        format!("cannot {verb} {}: {error}", path.display()),
        "make the data directory writable for this user, or choose another with --data-dir",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn open(config: &Config) -> Result<DataDir, CommandError> {
        super::open(config, &Roles::of(config).expect("all of them")).await
    }

    fn config(dir: &Path) -> Config {
        let mut config = Config::default();
        config.top.data_dir = dir.join("d");
        config.log.segment_bytes = 1 << 20;
        config
    }

    #[tokio::test]
    async fn secrets_are_drawn_once_and_readable_by_the_owner_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = open(&config(dir.path())).await.expect("a new directory");
        let mode =
            |name: &str| fs::metadata(dir.path().join("d").join(name)).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode("secret/log"), mode("secret/signing"), mode("secret")), (0o600, 0o600, 0o700));
        let id = |dir: &DataDir| dir.log.log_id().expect("an embedded log knows its name");
        let (commitment, first_id) = (first.secret.commitment(), id(&first));
        first.log.close().await;
        drop(first);
        let again = open(&config(dir.path())).await.expect("a directory that was closed");
        assert_eq!((again.secret.commitment(), id(&again)), (commitment, first_id));
    }

    #[tokio::test]
    async fn a_log_without_its_secret_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = open(&config(dir.path())).await.expect("a new directory");
        first.log.close().await;
        drop(first);
        fs::remove_file(dir.path().join("d/secret/log")).expect("a file");
        let error = open(&config(dir.path())).await.err().expect("refused");
        assert!(error.what.contains("secret/log is missing"), "{}", error.what);
        assert!(!dir.path().join("d/secret/log").exists(), "no other secret is drawn");
    }

    #[tokio::test]
    async fn a_second_hub_on_one_directory_names_the_first() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _first = open(&config(dir.path())).await.expect("a new directory");
        let error = open(&config(dir.path())).await.err().expect("refused");
        assert!(error.what.contains(&format!("process number {}", std::process::id())), "{}", error.what);
    }
}
