//! C2SP signed notes (<https://c2sp.org/signed-note>) with Ed25519.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, Verifier as _};
use sha2::{Digest as _, Sha256};

const ALGORITHM_ED25519: u8 = 1;

/// Why a note or key is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The name has a space or a plus, or is empty.
    #[error("a key name is not empty and has neither spaces nor '+'")]
    Name,
    /// Not a verifier key of this form.
    #[error("not a verifier key: expected name+hash+base64 with algorithm Ed25519")]
    Key,
    /// The note has no signature block.
    #[error("not a signed note: the blank line and signatures are missing")]
    Form,
    /// No signature by the key.
    #[error("the note carries no signature by this key")]
    Unsigned,
    /// A signature by the key's name and hash does not verify.
    #[error("the note's signature by this key is not valid")]
    Signature,
}

/// A key that signs notes. Its debug form does not show the secret.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

impl SigningKey {
    /// The key of that name with this seed.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text, which ends with a newline, and returns the whole note.
    pub fn sign(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'), "a note's text ends with a newline");
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let blob = [self.verifier.hash.as_slice(), &signature].concat();
        format!("{text}\n\u{2014} {} {}\n", self.verifier.name, STANDARD.encode(blob))
    }
}

/// A key that verifies notes. Displays as `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: ed25519_dalek::VerifyingKey) -> Result<Self, NoteError> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(NoteError::Name);
        }
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', ALGORITHM_ED25519])
            .chain_update(key.as_bytes())
            .finalize();
        Ok(Self { name: name.into(), hash: [digest[0], digest[1], digest[2], digest[3]], key })
    }

    /// Parses `name+hash+base64(algorithm ‖ key)`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim_end().splitn(3, '+');
        let (name, hash, key) = match (parts.next(), parts.next(), parts.next()) {
            (Some(n), Some(h), Some(k)) => (n, h, k),
            _ => return Err(NoteError::Key),
        };
        let blob = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (&[algorithm], public) = blob.split_first_chunk::<1>().ok_or(NoteError::Key)?;
        let public: &[u8; 32] = public.try_into().map_err(|_| NoteError::Key)?;
        let public = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| NoteError::Key)?;
        let key = Self::new(name, public)?;
        if algorithm != ALGORITHM_ED25519 || key.hash_hex() != hash {
            return Err(NoteError::Key);
        }
        Ok(key)
    }

    fn hash_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.hash))
    }

    /// Checks that the note carries a valid signature by this key and returns the signed text.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let split = note.rfind("\n\n").ok_or(NoteError::Form)?;
        let (text, signatures) = (&note[..=split], &note[split + 2..]);
        for line in signatures.lines() {
            let rest = line.strip_prefix("\u{2014} ").ok_or(NoteError::Form)?;
            let (name, blob) = rest.split_once(' ').ok_or(NoteError::Form)?;
            let blob = STANDARD.decode(blob).map_err(|_| NoteError::Form)?;
            if name != self.name || !blob.starts_with(&self.hash) {
                continue;
            }
            let signature = ed25519_dalek::Signature::from_slice(&blob[4..]).map_err(|_| NoteError::Signature)?;
            return match self.key.verify(text.as_bytes(), &signature) {
                Ok(()) => Ok(text),
                Err(_) => Err(NoteError::Signature),
            };
        }
        Err(NoteError::Unsigned)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&[ALGORITHM_ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.hash_hex(), STANDARD.encode(blob))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Example key and note of golang.org/x/mod/sumdb/note (package documentation).
    const GO_VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_the_go_implementation_opens() {
        let key = VerifierKey::parse(GO_VERIFIER).unwrap();
        assert!(key.open(GO_NOTE).unwrap().ends_with("problem is.\n"));
        assert_eq!(key.to_string(), GO_VERIFIER);
    }

    #[test]
    fn a_changed_note_does_not_open() {
        let signer = SigningKey::new("hub.test/log", &[7; 32]).unwrap();
        let note = signer.sign("root\n");
        assert_eq!(signer.verifier().open(&note), Ok("root\n"));
        assert_eq!(signer.verifier().open(&note.replace("root", "rood")), Err(NoteError::Signature));
        let other = SigningKey::new("hub.test/other", &[7; 32]).unwrap();
        assert_eq!(other.verifier().open(&note), Err(NoteError::Unsigned));
    }

    #[test]
    fn a_verifier_key_with_another_hash_is_refused() {
        assert_eq!(VerifierKey::parse(&GO_VERIFIER.replace("c74f", "c74e")), Err(NoteError::Key));
        assert_eq!(VerifierKey::parse("x"), Err(NoteError::Key));
    }
}
