//! The keys of bodies at the start of a hub: made for a new log, opened for one that was begun, missed loudly.

use event_log::EventLog;
use ingest::ring_of;
use key_store::{KeyStore, Token, WrappingKey};
use record::KeyTree;

use crate::config::Config;
use crate::error::{CommandError, told};

/// Folder of the key file within the data directory.
const KEYS_DIR: &str = "keys";

/// The folder of the key file.
pub(crate) fn dir(config: &Config) -> std::path::PathBuf {
    config.top.data_dir.join(KEYS_DIR)
}

/// Where the wrapping key is, as configured.
pub(crate) fn wrapping(config: &Config) -> WrappingKey {
    let keys = &config.keys;
    if keys.wrapping == "pkcs11" {
        return WrappingKey::Token(Token {
            module: config.path(&keys.pkcs11_module),
            token: keys.pkcs11_token.clone(),
            pin: config.path(&keys.pkcs11_pin),
            key: keys.pkcs11_key.clone(),
        });
    }
    WrappingKey::File(config.path(&keys.wrapping_file))
}

/// One line on what is wrong with the keys.
pub(crate) fn refused(error: &key_store::Error) -> CommandError {
    CommandError::failed(
        format!("the keys of the log's bodies: {}", told(error)),
        "mend what is named; 'hub keys status' checks it, docs/encryption.md tells what is kept where",
    )
}

/// The keys, and whether they were made just now; nothing where the configuration wants plain bodies and there never were keys.
pub(super) fn open(
    config: &Config,
    log: &EventLog,
    log_id: [u8; 16],
) -> Result<Option<(KeyStore, bool)>, CommandError> {
    let (dir, plain) = (dir(config), config.keys.plain_because.as_deref());
    if KeyStore::exists(&dir).map_err(|error| refused(&error))? {
        if plain.is_some() {
            tracing::warn!("keys.plain_because is not followed: this log's bodies are encrypted, and stay so");
        }
        let store = KeyStore::open(&dir, wrapping(config), log_id).map_err(|error| refused(&error))?;
        return Ok(Some((store, false)));
    }
    let ring = ring_of(log).map_err(|error| {
        CommandError::failed(format!("the log's control entries: {}", told(&error)), "restore the log from its copy")
    })?;
    if ring.is_some() {
        return Err(refused(&key_store::Error::Missing(dir)));
    }
    if let Some(reason) = plain {
        tracing::warn!(reason, "bodies are stored plain: erasing a record hides it, and does not remove its bytes");
        return Ok(None);
    }
    let store = KeyStore::create(&dir, wrapping(config), log_id).map_err(|error| refused(&error))?;
    tracing::info!(
        wrapping = store.wrapping().kind_name(),
        "keys were made for the log's bodies; without a copy of them the log cannot be read: see 'hub keys backup'"
    );
    Ok(Some((store, true)))
}

/// Keeps the keys that another process gave, under a wrapping key of this one's own.
pub(super) fn adopt(
    config: &Config,
    log_id: [u8; 16],
    ring: [u8; 16],
    tree: KeyTree,
) -> Result<KeyStore, CommandError> {
    let dir = dir(config);
    if KeyStore::exists(&dir).map_err(|error| refused(&error))? {
        // What was given before a crash; the keys that it has are these, or more.
        return KeyStore::open(&dir, wrapping(config), log_id).map_err(|error| refused(&error));
    }
    KeyStore::adopt(&dir, wrapping(config), log_id, ring, tree).map_err(|error| refused(&error))
}
