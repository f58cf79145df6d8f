//! The files of the signing key: `secret/signing` holds the seed of the key that signs, `secret/signing-next` that of the next one.
//!
//! The log says which key signs. A next key is written before the log names it, and moved into its place after; so a start that finds
//! both knows by the log which of the two signs, and a former key is gone when its successor has its place. One process draws keys; the others
//! of a hub follow the log, and ask for the key that it names. What they sign until they have it is signed by a former key, which stays trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use event_log::EventLog;
use ledger::{KnownKey, Signers, SigningKey, VerifierKey};
use projection::state::ControlState;
use telemetry::told;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::data_dir::{SECRET_BYTES, cannot, draw, keep, secret};
use super::peers;
use crate::config::Config;
use crate::error::CommandError;

const PRESENT: &str = "signing";
const NEXT: &str = "signing-next";
/// Between two looks at what the log says of keys.
const LOOK: Duration = Duration::from_millis(200);
/// Between two times that another process is asked for a key which it has not either, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// The files, and what is known of the keys. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SigningFiles {
    /// Absent in a process that keeps no secrets.
    dir: Option<PathBuf>,
    /// Whether this process is given its keys by another one.
    given: bool,
    origin: Arc<str>,
    signers: Arc<Signers>,
    /// Held while files and signers are brought to what the log says.
    settling: Arc<Mutex<()>>,
}

/// A key that can take over.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// The verifier key of the present key.
    pub(crate) former: String,
    /// Of the next one.
    pub(crate) next: String,
}

impl SigningFiles {
    /// Reads the seed of the present key, or draws it where the log is new.
    pub(super) fn seed(dir: &Path, begun: bool) -> Result<[u8; SECRET_BYTES], CommandError> {
        secret(&dir.join(PRESENT), begun)
    }

    /// The key with this seed, and where it is kept.
    pub(super) fn new(
        dir: Option<PathBuf>,
        origin: &str,
        seed: &[u8; SECRET_BYTES],
        given: bool,
    ) -> Result<Self, CommandError> {
        let signers = Arc::new(Signers::new(key(origin, seed)?));
        Ok(Self { dir, given, origin: origin.into(), signers, settling: Arc::default() })
    }

    /// Who signs.
    pub(crate) fn signers(&self) -> Arc<Signers> {
        Arc::clone(&self.signers)
    }

    /// The next key: the one that was announced under this name and is still there, or a new one.
    pub(crate) fn draw(&self, announced: Option<&str>) -> Result<Drawn, CommandError> {
        let Some(dir) = self.dir.as_ref().filter(|_| !self.given) else {
            return Err(CommandError::usage(
                "this process is given the signing key by another one",
                "ask the process with the role audit that has no peers.keys_from",
            ));
        };
        let former = self.signers.present().verifier().to_string();
        if let Some(next) = self.next()?.map(|key| key.verifier().to_string())
            && Some(next.as_str()) == announced
        {
            return Ok(Drawn { former, next });
        }
        let next = key(&self.origin, &draw(&dir.join(NEXT))?)?.verifier().to_string();
        Ok(Drawn { former, next })
    }

    /// The seed of the key that signs, for another process; `None` where this one keeps no secrets.
    pub(super) fn present_seed(&self) -> Result<Option<Zeroizing<[u8; SECRET_BYTES]>>, CommandError> {
        let _settled = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dir) = &self.dir else { return Ok(None) };
        secret(&dir.join(PRESENT), true).map(|seed| Some(Zeroizing::new(seed)))
    }

    /// Learns from the log which keys there are, and brings the files to what it says.
    pub(crate) fn settle(&self, state: &ControlState) -> Result<(), CommandError> {
        self.settle_with(state, None)
    }

    /// The same with a key that another process gave.
    fn settle_with(&self, state: &ControlState, given: Option<SigningKey>) -> Result<(), CommandError> {
        let _settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<KnownKey> = state.signing.iter().filter_map(known).collect();
        let signs = known.iter().find(|key| key.from.is_some() && key.until.is_none());
        let present = self.signers.present();
        let next = match given {
            Some(given) => Some(given),
            None => self.next()?,
        };
        let takes_over = next.filter(|next| signs.is_some_and(|signs| signs.verifier == *next.verifier()));
        if takes_over.is_some() {
            self.take_over()?;
        } else if !self.given && signs.is_some_and(|signs| signs.verifier != *present.verifier()) {
            tracing::warn!(
                present = %present.verifier(),
                "the log names another signing key than secret/signing holds: restore that of the last rotation, or rotate again"
            );
        }
        self.signers.learn(known, takes_over);
        Ok(())
    }

    /// Whether the log names another key than this process signs with.
    fn is_replaced(&self, state: &ControlState) -> bool {
        named(state).is_some_and(|verifier| *verifier != self.signers.present().verifier().to_string())
    }

    /// Follows what the log says of keys until the hub stops: learns those that are announced, and asks the processes that give this one its
    /// secrets for the one that signs.
    pub(super) async fn follow(
        self,
        config: Config,
        log: EventLog,
        control: Arc<ArcSwap<ControlState>>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut seen = None;
        let (mut pause, mut again) = (LOOK, AGAIN);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // An error means that the hub is gone.
                _ = stopping.changed() => return,
            }
            pause = LOOK;
            let state = control.load_full();
            let replaced = self.given && self.is_replaced(&state);
            if seen.as_ref() == Some(&state.signing) && !replaced {
                continue;
            }
            let settled = if replaced {
                tokio::select! {
                    settled = self.ask(&config, &log, &state) => settled,
                    _ = stopping.changed() => return,
                }
            } else {
                self.settle(&state)
            };
            match settled {
                Ok(()) if !(self.given && self.is_replaced(&state)) => {
                    again = AGAIN;
                    if seen.replace(state.signing.clone()).is_some() {
                        tracing::info!(signs = %self.signers.present().verifier(), "the log names other signing keys");
                    }
                    continue;
                }
                Ok(()) => tracing::warn!(
                    named = named(&state).map_or("", String::as_str),
                    "the process that gives the secrets has not the signing key that the log names: it is asked again"
                ),
                Err(error) => {
                    tracing::error!(error = %told(&error), "the signing key that the log names cannot be had yet");
                }
            }
            pause = again;
            again = (again * 2).min(AGAIN_MAX);
        }
    }

    /// Asks for the key that signs, and takes it over if it is the one that the log names.
    async fn ask(&self, config: &Config, log: &EventLog, state: &ControlState) -> Result<(), CommandError> {
        let given = peers::fetch(config, log).await?;
        let key = key(&self.origin, &given.secrets.signing)?;
        // Whoever was asked may not have taken it over yet.
        let is_named = named(state).is_some_and(|verifier| *verifier == key.verifier().to_string());
        if let Some(dir) = self.dir.as_ref().filter(|_| is_named) {
            keep(&dir.join(NEXT), &given.secrets.signing)?;
        }
        self.settle_with(state, Some(key))
    }

    fn next(&self) -> Result<Option<SigningKey>, CommandError> {
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(NEXT)) else { return Ok(None) };
        if !fs::exists(&path).map_err(|error| cannot("read", &path, &error))? {
            return Ok(None);
        }
        key(&self.origin, &secret(&path, true)?).map(Some)
    }

    fn take_over(&self) -> Result<(), CommandError> {
        // Only what was found there takes over.
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(NEXT);
        let moved = || -> io::Result<()> {
            fs::rename(&path, dir.join(PRESENT))?;
            fs::File::open(dir)?.sync_all()
        };
        moved().map_err(|error| cannot("move", &path, &error))
    }
}

/// The verifier key of the key that signs, as the log says; `None` before the first rotation.
fn named(state: &ControlState) -> Option<&String> {
    let signs = |period: &&projection::state::SigningPeriod| period.from.is_some() && period.until.is_none();
    state.signing.iter().find(signs).map(|period| &period.verifier)
}

fn known(period: &projection::state::SigningPeriod) -> Option<KnownKey> {
    // What is no verifier key was not written by a hub: nobody can trust it.
    let verifier = VerifierKey::parse(&period.verifier).ok()?;
    Some(KnownKey { verifier, from: period.from, until: period.until })
}

fn key(origin: &str, seed: &[u8; SECRET_BYTES]) -> Result<SigningKey, CommandError> {
    SigningKey::new(origin, seed).map_err(|error| {
        CommandError::usage(format!("origin '{origin}' is no key name: {error}"), "correct it in the configuration")
    })
}

#[cfg(test)]
mod tests {
    use record::control::{Control, Order};
    use record::{Index, Timestamp};

    use super::*;

    fn files(dir: &Path) -> SigningFiles {
        let seed = SigningFiles::seed(dir, false).expect("a writable folder");
        SigningFiles::new(Some(dir.to_owned()), "hub.test/log", &seed, false).expect("a name")
    }

    fn present(files: &SigningFiles) -> String {
        files.signers().present().verifier().to_string()
    }

    fn order(state: &mut ControlState, drawn: &Drawn, serves: bool) {
        let order = Order::SigningKey { former: drawn.former.clone(), next: drawn.next.clone(), serves };
        state.apply(state.end, Timestamp(7), Control { actor: "ops".into(), reason: "test".into(), order });
    }

    fn begun() -> ControlState {
        let mut state = ControlState::default();
        let opened = Order::LogOpened { commitment: [0; 32], partitions: 1 };
        state.apply(Index(0), Timestamp(1), Control::by_hub(opened));
        state
    }

    #[test]
    fn a_rotation_that_was_broken_off_is_finished_by_what_the_log_says() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = files(dir.path());
        let drawn = first.draw(None).expect("room");
        let mut state = begun();
        // Killed before the log named the next key: the former one goes on.
        let again = files(dir.path());
        again.settle(&state).expect("readable");
        assert_eq!(present(&again), drawn.former);
        // Killed after: the next one takes over, and the former one is gone.
        order(&mut state, &drawn, true);
        let again = files(dir.path());
        again.settle(&state).expect("readable");
        assert_eq!(present(&again), drawn.next);
        assert_eq!(present(&files(dir.path())), drawn.next);
        assert!(!dir.path().join(NEXT).exists());
        let trust = again.signers().trust(None);
        assert_eq!(trust, format!("log {}\nlog {}\nquorum none\n", drawn.next, drawn.former));
    }

    #[test]
    fn a_process_that_is_given_its_key_draws_none_and_takes_over_the_one_that_the_log_names() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (keeper, kept) = (files(dir.path()), tempfile::tempdir().expect("a temporary directory"));
        let seed = |files: &SigningFiles| files.present_seed().expect("readable").expect("it keeps them");
        keep(&kept.path().join(PRESENT), &seed(&keeper)).expect("writable");
        let with_files = SigningFiles::new(Some(kept.path().to_owned()), "hub.test/log", &seed(&keeper), true);
        let without = SigningFiles::new(None, "hub.test/log", &seed(&keeper), true);
        let others = [with_files.expect("a name"), without.expect("a name")];
        let drawn = keeper.draw(None).expect("room");
        let mut state = begun();
        order(&mut state, &drawn, true);
        keeper.settle(&state).expect("readable");
        assert!(!keeper.is_replaced(&state));
        for other in others {
            assert!(other.draw(None).is_err());
            other.settle(&state).expect("readable");
            assert_eq!((present(&other), other.is_replaced(&state)), (drawn.former.clone(), true));
            let wrong = key("hub.test/log", &[9; 32]).expect("a name");
            other.settle_with(&state, Some(wrong)).expect("it is left");
            assert_eq!(present(&other), drawn.former);
            if let Some(dir) = &other.dir {
                keep(&dir.join(NEXT), &seed(&keeper)).expect("writable");
            }
            let right = key("hub.test/log", &seed(&keeper)).expect("a name");
            other.settle_with(&state, Some(right)).expect("writable");
            assert_eq!((present(&other), other.is_replaced(&state)), (drawn.next.clone(), false));
        }
        let again = SigningFiles::seed(kept.path(), true).expect("it was kept");
        assert_eq!(again, *seed(&keeper));
    }

    #[test]
    fn an_announced_key_is_trusted_and_signs_when_it_is_rotated_to() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (files, mut state) = (files(dir.path()), begun());
        let announced = files.draw(None).expect("room");
        order(&mut state, &announced, false);
        files.settle(&state).expect("readable");
        assert_eq!(present(&files), announced.former);
        assert!(files.signers().trust(None).contains(&announced.next));
        let drawn = files.draw(Some(&announced.next)).expect("room");
        assert_eq!(drawn.next, announced.next);
        order(&mut state, &drawn, true);
        files.settle(&state).expect("readable");
        assert_eq!(present(&files), announced.next);
        let periods: Vec<_> = state.signing.iter().map(|p| (p.from, p.until)).collect();
        assert_eq!(periods, [(Some(Timestamp(1)), Some(Timestamp(7))), (Some(Timestamp(7)), None)]);
    }
}
