//! The key file: what is destroyed is gone from it, what is not survives everything else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use key_store::{Error, KeyStore, WrappingKey};
use record::keys::NoKey;
use record::{Keyring, Pseudonym};

const LOG: [u8; 16] = [7; 16];

fn record(n: u64) -> Pseudonym {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    Pseudonym(out)
}

fn secret(ring: &Keyring, n: u64) -> Result<[u8; 32], NoKey> {
    ring.load().key(record(n)).map(|key| *key.body_secret(record(n), &[1; 16]))
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn wrapping(&self) -> WrappingKey {
        WrappingKey::File(self.0.path().join("wrapping"))
    }

    fn create(&self) -> KeyStore {
        KeyStore::create(&self.dir(), self.wrapping(), LOG).expect("new keys")
    }

    fn open(&self) -> Result<KeyStore, Error> {
        KeyStore::open(&self.dir(), self.wrapping(), LOG)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn keys_survive_a_restart_and_destroyed_ones_do_not() {
    let place = Place::new();
    let mut store = place.create();
    let (first, kept) = (secret(&store.keyring(), 1), secret(&store.keyring(), 2));
    assert!(first.is_ok() && first != kept);
    assert_eq!(store.status().seeds, 1);
    assert_eq!(store.destroy(&[record(1), record(3), record(1)]).expect("written"), 2);
    assert!(store.must_purge().expect("readable"));
    let generation = store.status().generation;
    drop(store);
    let store = place.open().expect("the same keys");
    assert_eq!(store.status().generation, generation);
    assert_eq!(secret(&store.keyring(), 1), Err(NoKey::Destroyed));
    assert_eq!(secret(&store.keyring(), 2), kept);
    assert!(store.must_purge().expect("readable"), "a crash does not forget it");
    store.purged().expect("removed");
    assert!(!store.must_purge().expect("readable"));
}

#[test]
fn a_ring_that_was_handed_out_before_forgets_too() {
    let place = Place::new();
    let mut store = place.create();
    let ring = store.keyring();
    store.destroy(&[record(1)]).expect("written");
    assert_eq!(secret(&ring, 1), Err(NoKey::Destroyed));
    assert_eq!(store.destroy(&[record(1)]).expect("nothing to write"), 0);
}

#[test]
fn secrets_are_for_their_owner_only_and_a_second_creation_is_refused() {
    let place = Place::new();
    drop(place.create());
    let (tree, wrapping) = (place.dir().join("tree"), place.0.path().join("wrapping"));
    assert_eq!((mode(&place.dir()), mode(&tree), mode(&wrapping)), (0o700, 0o600, 0o600));
    assert!(matches!(KeyStore::create(&place.dir(), place.wrapping(), LOG), Err(Error::Exists(_))));
    for path in [tree, wrapping] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(matches!(place.open(), Err(Error::Open { mode: 0o640, .. })), "{}", path.display());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    }
    assert!(place.open().is_ok());
}

#[test]
fn any_changed_byte_and_any_cut_of_the_file_is_refused() {
    let place = Place::new();
    drop(place.create());
    let path = place.dir().join("tree");
    let whole = fs::read(&path).expect("a file");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).expect("written");
        assert!(place.open().is_err(), "byte {at}");
        // Whoever makes the checksum right again still does not have the file key.
        let (body, _) = changed.split_at(whole.len() - 32);
        let forged = [body, blake3_of(body).as_slice()].concat();
        fs::write(&path, forged).expect("written");
        assert!(place.open().is_err() || at >= whole.len() - 32, "forged at byte {at}");
    }
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).expect("written");
        assert!(place.open().is_err(), "cut at {end}");
    }
    fs::write(&path, &whole).expect("written");
    assert!(place.open().is_ok());
}

fn blake3_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[test]
fn the_wrong_log_and_the_wrong_wrapping_key_are_told() {
    let place = Place::new();
    drop(place.create());
    assert!(matches!(KeyStore::open(&place.dir(), place.wrapping(), [8; 16]), Err(Error::OtherLog(_))));
    let wrapping = place.0.path().join("wrapping");
    let right = fs::read(&wrapping).expect("a key");
    fs::write(&wrapping, [9; 32]).expect("written");
    assert!(matches!(place.open(), Err(Error::OtherWrappingKey { .. })));
    fs::write(&wrapping, [9; 31]).expect("written");
    assert!(matches!(place.open(), Err(Error::WrappingKeySize { found: 31, .. })));
    fs::remove_file(&wrapping).expect("removed");
    assert!(matches!(place.open(), Err(Error::Missing(_))));
    fs::write(&wrapping, right).expect("written");
    fs::set_permissions(&wrapping, fs::Permissions::from_mode(0o600)).expect("changed");
    assert!(place.open().is_ok());
    fs::remove_file(place.dir().join("tree")).expect("removed");
    assert!(matches!(place.open(), Err(Error::Missing(_))));
}

#[test]
fn a_rotation_keeps_every_key_and_makes_older_copies_worthless() {
    let place = Place::new();
    let mut store = place.create();
    let kept = secret(&store.keyring(), 2);
    let copy = place.0.path().join("copy");
    KeyStore::backup(&place.dir(), &place.wrapping(), &copy).expect("copied");
    let former = store.status().wrapping;
    store.destroy(&[record(1)]).expect("written");
    let now = store.rotate().expect("rotated");
    assert_ne!(former, now);
    drop(store);
    let store = place.open().expect("the same keys");
    assert_eq!((store.status().wrapping, secret(&store.keyring(), 2)), (now, kept));
    assert!(matches!(KeyStore::inspect(&copy, &place.wrapping()), Err(Error::OtherWrappingKey { .. })));
    assert!(!place.0.path().join("wrapping.next").exists());
}

#[test]
fn a_rotation_that_is_broken_off_at_any_step_leaves_readable_keys() {
    let place = Place::new();
    let mut store = place.create();
    let kept = secret(&store.keyring(), 2);
    let wrapping = place.0.path().join("wrapping");
    let next = place.0.path().join("wrapping.next");
    let former = fs::read(&wrapping).expect("a key");
    // Before the file was written under the next key: that one is thrown away.
    fs::write(&next, [5; 32]).expect("written");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).expect("changed");
    assert_eq!(secret(&place.open().expect("readable").keyring(), 2), kept);
    assert!(!next.exists() && fs::read(&wrapping).expect("a key") == former);
    // After that, and before the next key took its place: it does so now.
    store.rotate().expect("rotated");
    drop(store);
    fs::rename(&wrapping, &next).expect("moved");
    fs::write(&wrapping, &former).expect("written");
    fs::set_permissions(&wrapping, fs::Permissions::from_mode(0o600)).expect("changed");
    assert_eq!(secret(&place.open().expect("readable").keyring(), 2), kept);
    assert!(!next.exists() && fs::read(&wrapping).expect("a key") != former);
}

#[test]
fn a_backup_is_checked_and_comes_back() {
    let place = Place::new();
    let mut store = place.create();
    let kept = secret(&store.keyring(), 2);
    store.destroy(&[record(1)]).expect("written");
    let status = store.status();
    drop(store);
    let copy = place.0.path().join("copy");
    assert_eq!(KeyStore::backup(&place.dir(), &place.wrapping(), &copy).expect("copied"), status);
    assert_eq!(mode(&copy), 0o600);
    assert!(matches!(KeyStore::backup(&place.dir(), &place.wrapping(), &copy), Err(Error::Exists(_))));
    assert!(matches!(KeyStore::restore(&place.dir(), &place.wrapping(), &copy), Err(Error::Exists(_))));
    fs::remove_file(place.dir().join("tree")).expect("removed");
    assert_eq!(KeyStore::restore(&place.dir(), &place.wrapping(), &copy).expect("restored"), status);
    let store = place.open().expect("readable");
    assert_eq!((secret(&store.keyring(), 1), secret(&store.keyring(), 2)), (Err(NoKey::Destroyed), kept));
}

#[test]
fn no_error_and_no_debug_text_holds_a_secret() {
    let place = Place::new();
    let store = place.create();
    let key = fs::read(place.0.path().join("wrapping")).expect("a key");
    let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
    let text = format!("{store:?}{:?}", store.keyring());
    assert!(!text.contains(&hex) && !text.contains(&format!("{key:?}")), "{text}");
}
