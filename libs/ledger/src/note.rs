//! C2SP signed notes (<https://c2sp.org/signed-note>) with Ed25519.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, Verifier as _};
use sha2::{Digest as _, Sha256};

/// Most signatures that a note may carry; the format asks for at least 16.
pub const SIGNATURES_MAX: usize = 64;

const ED25519: u8 = 1;

/// Why a note or key is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The name has a space or a plus, or is empty.
    #[error("a key name is not empty and has neither spaces nor '+'")]
    Name,
    /// Not a verifier key of this form.
    #[error("not a verifier key: expected name+hash+base64 with algorithm Ed25519")]
    Key,
    /// Not text, a blank line and 1 to 64 signature lines.
    #[error("not a signed note: expected text, a blank line and 1 to {SIGNATURES_MAX} signature lines")]
    Form,
    /// No signature by the key.
    #[error("the note carries no signature by this key")]
    Unsigned,
    /// A signature by the key's name and hash does not verify.
    #[error("the note's signature by this key is not valid")]
    Signature,
}

/// A note as it is written: what it says, and who signed it. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// The signed text, with its last newline.
    pub text: &'a str,
    /// The signatures in their order.
    pub signatures: Vec<Signature<'a>>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Name of the key.
    pub name: &'a str,
    /// Id of the key.
    pub id: [u8; 4],
    /// What the key's algorithm made.
    pub blob: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Parses a note.
    ///
    /// # Errors
    /// [`NoteError::Form`].
    pub fn parse(note: &'a str) -> Result<Self, NoteError> {
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Form);
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Form)?;
        let lines = note[split + 2..].strip_suffix('\n').ok_or(NoteError::Form)?;
        let signatures = lines.split('\n').take(SIGNATURES_MAX + 1).map(Signature::parse).collect::<Option<Vec<_>>>();
        match signatures {
            Some(signatures) if signatures.len() <= SIGNATURES_MAX => Ok(Self { text: &note[..=split], signatures }),
            _ => Err(NoteError::Form),
        }
    }

    /// What the key with that name and id signed with.
    pub fn by(&self, name: &str, id: [u8; 4]) -> impl Iterator<Item = &Signature<'a>> {
        self.signatures.iter().filter(move |s| s.name == name && s.id == id)
    }
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, base64) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        // Base64 has one spelling for each value here: trailing bits and padding are checked.
        let bytes = STANDARD.decode(base64).ok()?;
        let (id, blob) = bytes.split_first_chunk::<4>()?;
        (is_name(name) && !blob.is_empty()).then(|| Self { name, id: *id, blob: blob.to_vec() })
    }

    /// The line that a note carries, with its newline.
    pub fn line(name: &str, id: [u8; 4], blob: &[u8]) -> String {
        format!("\u{2014} {name} {}\n", STANDARD.encode([&id, blob].concat()))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
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
        let verifier = VerifierKey(Vkey::new(name, ED25519, key.verifying_key())?);
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
        format!("{text}\n{}", Signature::line(self.verifier.name(), self.verifier.0.id, &signature))
    }
}

/// A key that verifies notes. Displays as `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey(Vkey);

impl VerifierKey {
    /// Parses `name+hash+base64(algorithm ‖ key)`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        Vkey::parse(text, ED25519).map(Self)
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The key itself, without name and algorithm.
    pub fn public(&self) -> &[u8; 32] {
        self.0.key.as_bytes()
    }

    /// Checks that the note carries a valid signature by this key and returns the signed text.
    ///
    /// # Errors
    /// [`NoteError::Form`], [`NoteError::Unsigned`], [`NoteError::Signature`].
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        self.verify(&Note::parse(note)?)
    }

    /// As [`VerifierKey::open`], of a note that was parsed.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], [`NoteError::Signature`].
    pub fn verify<'a>(&self, note: &Note<'a>) -> Result<&'a str, NoteError> {
        let signature = note.by(self.name(), self.0.id).next().ok_or(NoteError::Unsigned)?;
        self.0.verify(note.text.as_bytes(), &signature.blob).map(|()| note.text)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A verifier key of any algorithm that signs with Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vkey {
    pub(crate) name: String,
    pub(crate) id: [u8; 4],
    algorithm: u8,
    pub(crate) key: ed25519_dalek::VerifyingKey,
}

impl Vkey {
    pub(crate) fn new(name: &str, algorithm: u8, key: ed25519_dalek::VerifyingKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name);
        }
        let digest =
            Sha256::new().chain_update(name).chain_update([b'\n', algorithm]).chain_update(key.as_bytes()).finalize();
        Ok(Self { name: name.into(), id: [digest[0], digest[1], digest[2], digest[3]], algorithm, key })
    }

    pub(crate) fn parse(text: &str, algorithm: u8) -> Result<Self, NoteError> {
        let mut parts = text.trim_end().splitn(3, '+');
        let (name, id, key) = match (parts.next(), parts.next(), parts.next()) {
            (Some(n), Some(i), Some(k)) => (n, i, k),
            _ => return Err(NoteError::Key),
        };
        let blob = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (&[found], public) = blob.split_first_chunk::<1>().ok_or(NoteError::Key)?;
        let public: &[u8; 32] = public.try_into().map_err(|_| NoteError::Key)?;
        let public = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| NoteError::Key)?;
        let key = Self::new(name, algorithm, public)?;
        if found != algorithm || key.id_hex() != id {
            return Err(NoteError::Key);
        }
        Ok(key)
    }

    fn id_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
        // Whatever is wrong with a signature, its reader can only ask for another note.
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| NoteError::Signature)?;
        self.key.verify(message, &signature).map_err(|_| NoteError::Signature)
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&[self.algorithm], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(blob))
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
    fn what_is_not_a_note_is_refused() {
        let good = GO_NOTE;
        assert_eq!(Note::parse(good).unwrap().signatures.len(), 1);
        let many = format!("{good}{}", "\u{2014} a AAAAAAA=\n".repeat(SIGNATURES_MAX));
        for bad in [
            "",
            "text\n",
            "text\n\n",
            good.trim_end(),
            &good.replace("\u{2014}", "-"),
            &good.replace('\n', "\r\n"),
            &good.replace("AM=", "AN="),
            &good.replace("AM=", "AM"),
            &many,
        ] {
            assert_eq!(Note::parse(bad), Err(NoteError::Form), "{bad:?}");
        }
    }

    #[test]
    fn a_verifier_key_with_another_hash_is_refused() {
        assert_eq!(VerifierKey::parse(&GO_VERIFIER.replace("c74f", "c74e")), Err(NoteError::Key));
        assert_eq!(VerifierKey::parse("x"), Err(NoteError::Key));
    }
}
