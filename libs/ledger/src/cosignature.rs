//! C2SP cosignatures (<https://c2sp.org/tlog-cosignature>), `cosignature/v1` with Ed25519: a witness says that it has seen
//! a log only grow up to this checkpoint.
//!
//! The other algorithm of the format, ML-DSA-44, is not read here.

use std::fmt;

use ed25519_dalek::Signer as _;

use crate::note::{Note, NoteError, Signature, Vkey};

const COSIGNATURE_V1: u8 = 4;

/// A key that cosigns checkpoints. It must not sign anything else. Its debug form does not show the secret.
pub struct CosigningKey {
    key: ed25519_dalek::SigningKey,
    verifier: CosignerKey,
}

impl fmt::Debug for CosigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosigningKey({})", self.verifier)
    }
}

impl CosigningKey {
    /// The key of that name with this seed.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = CosignerKey(Vkey::new(name, COSIGNATURE_V1, key.verifying_key())?);
        Ok(Self { key, verifier })
    }

    /// The public half.
    pub fn verifier(&self) -> &CosignerKey {
        &self.verifier
    }

    /// The signature line, with its newline, for the text of a checkpoint at `time` (seconds since 1970).
    pub fn cosign(&self, checkpoint: &str, time: u64) -> String {
        let signature = self.key.sign(&message(checkpoint, time)).to_bytes();
        let blob = [time.to_be_bytes().as_slice(), &signature].concat();
        Signature::line(self.verifier.name(), self.verifier.0.id, &blob)
    }
}

/// A witness's public key. Displays as `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey(Vkey);

impl CosignerKey {
    /// Parses `name+hash+base64(4 ‖ key)`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        Vkey::parse(text, COSIGNATURE_V1).map(Self)
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The key itself, without name and algorithm.
    pub fn public(&self) -> &[u8; 32] {
        self.0.key.as_bytes()
    }

    /// When this witness cosigned, in seconds since 1970; the latest when it did several times. `None` when it did not.
    ///
    /// # Errors
    /// [`NoteError::Signature`] when one of its cosignatures is not valid.
    pub fn verify(&self, note: &Note<'_>) -> Result<Option<u64>, NoteError> {
        let mut latest = None;
        for signature in note.by(self.name(), self.0.id) {
            let (time, ed25519) = signature.blob.split_first_chunk::<8>().ok_or(NoteError::Signature)?;
            let time = u64::from_be_bytes(*time);
            if i64::try_from(time).is_err() {
                return Err(NoteError::Signature);
            }
            self.0.verify(&message(note.text, time), ed25519)?;
            latest = latest.max(Some(time));
        }
        Ok(latest)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn message(checkpoint: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{checkpoint}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;

    #[test]
    fn a_cosignature_binds_text_and_time() {
        let log = SigningKey::new("hub.test/log", &[1; 32]).unwrap();
        let witness = CosigningKey::new("witness.test/a", &[2; 32]).unwrap();
        let other = CosigningKey::new("witness.test/b", &[3; 32]).unwrap();
        let text = "hub.test/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let note = log.sign(text) + &witness.cosign(text, 1_700_000_000);
        let verified = |note: &str| witness.verifier().verify(&Note::parse(note).unwrap());
        assert_eq!(verified(&note), Ok(Some(1_700_000_000)));
        assert_eq!(log.verifier().open(&note), Ok(text));
        assert_eq!(other.verifier().verify(&Note::parse(&note).unwrap()), Ok(None));
        assert_eq!(verified(&note.replace("\n1\n", "\n2\n")), Err(NoteError::Signature));
        assert_eq!(verified(&(note.clone() + &witness.cosign("another\n", 1_800_000_000))), Err(NoteError::Signature));
        assert_eq!(verified(&(note + &witness.cosign(text, 1_800_000_000))), Ok(Some(1_800_000_000)));
        assert_eq!(CosignerKey::parse(&witness.verifier().to_string()).as_ref(), Ok(witness.verifier()));
        assert_eq!(CosignerKey::parse(&log.verifier().to_string()), Err(NoteError::Key));
    }
}
