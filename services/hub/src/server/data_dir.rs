//! The data directory: who has it, the log, and the secrets beside it.
//!
//! `hub.lock` (held while a hub runs), `secret/log` and `secret/signing` (32 bytes each, readable by the owner only), `keys/`, `log/`,
//! `ledger/`, `views/`, `access-index/`, `scratch/` (verifications), `dev-certs/`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event_log::{Embedded, EventLog, LogOptions, PartitionCounts, Tuning};
use key_store::KeyStore;
use ledger::SigningKey;
use record::LogSecret;

use super::keys;
use crate::config::Config;
use crate::error::{CommandError, told};

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// An opened data directory. Whoever holds it is the only hub on it.
pub(super) struct DataDir {
    /// The log.
    pub log: EventLog,
    /// Its identity.
    pub log_id: [u8; 16],
    /// The log's secret.
    pub secret: Arc<LogSecret>,
    /// Signs receipts and checkpoints.
    pub key: Arc<SigningKey>,
    /// The keys of bodies, and whether they were made just now.
    pub keys: Option<(KeyStore, bool)>,
    /// The lock, let go of when this is dropped.
    pub lock: Lock,
}

/// The hold on a data directory.
pub(super) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

/// Opens the directory, or begins a new one where there is none.
///
/// # Errors
/// One line: what is in the way, and what to do.
pub(super) fn open(config: &Config) -> Result<DataDir, CommandError> {
    let dir = config.top.data_dir.as_path();
    private_dir(dir)?;
    let lock = Lock::take(dir)?;
    let log_dir = dir.join("log");
    let begun = begun(&log_dir)?;
    let secrets = dir.join("secret");
    private_dir(&secrets)?;
    let secret = LogSecret::new(&secret(&secrets.join("log"), begun)?);
    let seed = self::secret(&secrets.join("signing"), begun)?;
    let key = SigningKey::new(&config.top.origin, &seed).map_err(|error| {
        CommandError::usage(
            format!("origin '{}' is no key name: {error}", config.top.origin),
            "correct it in the configuration",
        )
    })?;
    let log = if begun { reopen(&log_dir, config)? } else { create(&log_dir, config)? };
    for torn in log.recovered() {
        tracing::warn!(%torn, "the log ended in an unfinished write, which nobody had been promised; it was cut off");
    }
    let log_id = log.log_id();
    let log = EventLog::from(log);
    let keys = keys::open(config, &log, log_id)?;
    let secret = match &keys {
        Some((store, _)) => secret.with_keys(store.keyring()),
        None => secret,
    };
    Ok(DataDir { log_id, log, secret: Arc::new(secret), key: Arc::new(key), keys, lock })
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
    match fs::read_dir(log_dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("read", log_dir, &error)),
    }
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
    Embedded::create(dir, &LogOptions { partitions, tuning: tuning(config) }, log_id).map_err(|error| refused(&error))
}

fn reopen(dir: &Path, config: &Config) -> Result<Embedded, CommandError> {
    let log = Embedded::open_with(dir, &tuning(config)).map_err(|error| refused(&error))?;
    let fixed = u32::from(log.partitions().change);
    if fixed != config.log.partitions {
        tracing::warn!(
            fixed,
            configured = config.log.partitions,
            "partitions were fixed when the log was created; the configured number is not used"
        );
    }
    Ok(log)
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
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| cannot("create", dir, &error))
}

fn secret(path: &Path, begun: bool) -> Result<[u8; SECRET_BYTES], CommandError> {
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

/// Written beside its place and moved there, so that a crash leaves a whole secret or none.
fn draw(path: &Path) -> Result<[u8; SECRET_BYTES], CommandError> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|error| no_random(&error))?;
    let beside: PathBuf = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&secret)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().expect("a secret lies in a directory"))?.sync_all()
    };
    write().map_err(|error| cannot("write", path, &error))?;
    Ok(secret)
}

fn no_random(error: &getrandom::Error) -> CommandError {
    CommandError::failed(format!("the system gives no random bytes: {error}"), "mend the system")
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(
        format!("cannot {verb} {}: {error}", path.display()),
        "make the data directory writable for this user, or choose another with --data-dir",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config(dir: &Path) -> Config {
        let mut config = Config::default();
        config.top.data_dir = dir.join("d");
        config.log.segment_bytes = 1 << 20;
        config
    }

    #[tokio::test]
    async fn secrets_are_drawn_once_and_readable_by_the_owner_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = open(&config(dir.path())).expect("a new directory");
        let mode =
            |name: &str| fs::metadata(dir.path().join("d").join(name)).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode("secret/log"), mode("secret/signing"), mode("secret")), (0o600, 0o600, 0o700));
        let (commitment, id) = (first.secret.commitment(), first.log_id);
        first.log.close().await;
        drop(first);
        let again = open(&config(dir.path())).expect("a directory that was closed");
        assert_eq!((again.secret.commitment(), again.log_id), (commitment, id));
    }

    #[tokio::test]
    async fn a_log_without_its_secret_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = open(&config(dir.path())).expect("a new directory");
        first.log.close().await;
        drop(first);
        fs::remove_file(dir.path().join("d/secret/log")).expect("a file");
        let error = open(&config(dir.path())).err().expect("refused");
        assert!(error.what.contains("secret/log is missing"), "{}", error.what);
        assert!(!dir.path().join("d/secret/log").exists(), "no other secret is drawn");
    }

    #[tokio::test]
    async fn a_second_hub_on_one_directory_names_the_first() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _first = open(&config(dir.path())).expect("a new directory");
        let error = open(&config(dir.path())).err().expect("refused");
        assert!(error.what.contains(&format!("process number {}", std::process::id())), "{}", error.what);
    }
}
