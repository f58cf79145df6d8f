//! A wrapping key in SoftHSM: the same keys, and a rotation that destroys the former key in the token.
//!
//! Left out where SoftHSM is not installed, unless HUB_TEST_SOFTHSM is set, as `tests/run` does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use key_store::{Error, KeyStore, Token, WrappingKey};
use record::Pseudonym;

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

fn module() -> Option<PathBuf> {
    let found = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
    assert!(found.is_some() || std::env::var_os("HUB_TEST_SOFTHSM").is_none(), "SoftHSM is not installed");
    found
}

fn token(dir: &Path, module: PathBuf) -> Token {
    let (tokens, conf) = (dir.join("tokens"), dir.join("softhsm2.conf"));
    fs::create_dir(&tokens).expect("a folder");
    fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).expect("written");
    // SAFETY: the only test of this process, and no thread of it is running yet.
    unsafe { std::env::set_var("SOFTHSM2_CONF", &conf) };
    let arguments = ["--init-token", "--free", "--label", "hub", "--so-pin", "12345678", "--pin", "87654321"];
    let made = Command::new("softhsm2-util").args(arguments).output().expect("softhsm2-util runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pin = dir.join("pin");
    fs::write(&pin, "87654321\n").expect("written");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).expect("changed");
    Token { module, token: "hub".into(), pin, key: "hub wrapping key".into() }
}

#[test]
fn keys_under_a_token_survive_rotation_and_are_lost_to_whoever_lacks_it() {
    let Some(module) = module() else { return };
    let place = tempfile::tempdir().expect("a temporary directory");
    let token = token(place.path(), module);
    let (dir, log) = (place.path().join("keys"), [1; 16]);
    let wrapping = || WrappingKey::Token(token.clone());
    let secret = |store: &KeyStore, n: u8| {
        let record = Pseudonym([n; 16]);
        store.keyring().load().key(record).map(|key| *key.body_secret(record, &[0; 16])).ok()
    };
    let mut store = KeyStore::create(&dir, wrapping(), log).expect("new keys");
    let kept = secret(&store, 2);
    store.destroy(&[Pseudonym([1; 16])]).expect("written");
    let copy = place.path().join("copy");
    KeyStore::backup(&dir, &wrapping(), &copy).expect("copied");
    let former = store.status().wrapping;
    assert_ne!(store.rotate().expect("rotated"), former);
    drop(store);
    let store = KeyStore::open(&dir, wrapping(), log).expect("readable");
    assert_eq!((secret(&store, 1), secret(&store, 2)), (None, kept));
    let error = KeyStore::inspect(&copy, &wrapping()).expect_err("its wrapping key is destroyed");
    assert!(matches!(&error, Error::NoTokenKey { id, .. } if *id == former.to_hex()), "{error}");
    let other = WrappingKey::Token(Token { token: "another".into(), ..token.clone() });
    assert!(matches!(KeyStore::open(&dir, other, log), Err(Error::NoToken(_))));
    fs::write(&token.pin, "wrong").expect("written");
    assert!(matches!(KeyStore::open(&dir, wrapping(), log), Err(Error::Token { .. })));
}
