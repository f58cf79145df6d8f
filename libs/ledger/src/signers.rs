//! The keys that a log signs with: one at a time. Former ones stay known, because what they signed stays good, and a next one may be
//! announced before it signs, so that whoever trusts keys by a file learns of it in time.

use std::sync::{Arc, PoisonError, RwLock};

use record::Timestamp;

use crate::note::{SigningKey, VerifierKey};
use crate::policy::Policy;

/// Former keys that a trust policy lists beside the present and the next one: those that signed last.
pub const FORMER_MAX: usize = 60;

/// A key with the time in which it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The public half.
    pub verifier: VerifierKey,
    /// Since when it signs; `None` for one that is announced.
    pub from: Option<Timestamp>,
    /// Until when it signed; `None` for one that signs or will sign.
    pub until: Option<Timestamp>,
}

/// The key that signs, and those that did or will.
#[derive(Debug)]
pub struct Signers(RwLock<State>);

#[derive(Debug)]
struct State {
    present: Arc<SigningKey>,
    known: Vec<KnownKey>,
}

impl Signers {
    /// One key that signs, of which nothing else is known.
    pub fn new(present: SigningKey) -> Self {
        Self(RwLock::new(State { present: Arc::new(present), known: Vec::new() }))
    }

    fn with<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        // Every write leaves a whole state behind.
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that signs now.
    pub fn present(&self) -> Arc<SigningKey> {
        self.with(|state| Arc::clone(&state.present))
    }

    /// Learns what keys there are, and, where the key changes, which one signs from now on.
    pub fn learn(&self, known: Vec<KnownKey>, next: Option<SigningKey>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.known = known;
        if let Some(next) = next {
            state.present = Arc::new(next);
        }
    }

    /// The public halves: of the key that signs, of one that is announced, then of former ones, the last first.
    pub fn verifiers(&self) -> Vec<VerifierKey> {
        self.with(|state| {
            let present = state.present.verifier();
            let others = || state.known.iter().rev().filter(|known| known.verifier != *present);
            let next = others().filter(|known| known.from.is_none());
            let former = others().filter(|known| known.from.is_some()).take(FORMER_MAX);
            let others = next.chain(former).map(|known| known.verifier.clone());
            std::iter::once(present.clone()).chain(others).collect()
        })
    }

    /// The text of a trust policy (c2sp.org/tlog-policy) with every key of the log: `others`, which has witnesses and a quorum, or no
    /// witness.
    pub fn trust(&self, others: Option<&str>) -> String {
        let others = others.unwrap_or("quorum none\n");
        let listed = Policy::parse(others);
        let known =
            |key: &VerifierKey| listed.as_ref().is_ok_and(|policy| policy.keys(key.name()).any(|listed| listed == key));
        let lines: String =
            self.verifiers().iter().filter(|key| !known(key)).map(|key| format!("log {key}\n")).collect();
        format!("{lines}{others}")
    }

    /// A policy that trusts this log alone, by any of its keys.
    pub fn policy(&self) -> Policy {
        Policy::of_keys(self.verifiers())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::new("hub.test/log", &[seed; 32]).expect("a name")
    }

    fn known(seed: u8, from: Option<i64>, until: Option<i64>) -> KnownKey {
        let time = |at: Option<i64>| at.map(Timestamp);
        KnownKey { verifier: key(seed).verifier().clone(), from: time(from), until: time(until) }
    }

    #[test]
    fn the_policy_trusts_the_present_key_the_announced_one_and_former_ones() {
        let signers = Signers::new(key(2));
        let note = |seed: u8| key(seed).sign("hub.test/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
        assert!(signers.policy().verify(&note(1)).is_err());
        signers.learn(vec![known(1, Some(0), Some(5)), known(2, Some(5), None), known(3, None, None)], None);
        for seed in 1..=3 {
            assert!(signers.policy().verify(&note(seed)).is_ok(), "{seed}");
            assert!(Policy::parse(&signers.trust(None)).expect("a policy").verify(&note(seed)).is_ok(), "{seed}");
        }
        assert!(signers.policy().verify(&note(4)).is_err());
        signers
            .learn(vec![known(1, Some(0), Some(5)), known(2, Some(5), Some(7)), known(3, Some(7), None)], Some(key(3)));
        assert_eq!(signers.present().verifier(), key(3).verifier());
        assert_eq!(signers.trust(None).lines().next(), Some(format!("log {}", key(3).verifier()).as_str()));
    }

    #[test]
    fn a_key_that_the_configured_policy_lists_is_not_listed_twice() {
        let signers = Signers::new(key(1));
        let text = format!("log {}\nquorum none\n", key(1).verifier());
        assert_eq!(signers.trust(Some(&text)), text);
    }
}
