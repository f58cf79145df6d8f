//! The log's one secret, every name that is derived from it, and the keys of its bodies.

use std::sync::Arc;

use crate::ids::{MentionId, Pseudonym, RecordId, RegisterName};
use crate::keys::{KeyTree, Keyring};
use crate::position::Partition;

/// 32 secret bytes per log. They live beside the log, never in it; the first control entry commits to them.
#[derive(Clone)]
pub struct LogSecret {
    record: [u8; 32],
    mention: [u8; 32],
    answer: [u8; 32],
    commitment: [u8; 32],
    keys: Keyring,
}

impl LogSecret {
    /// Derives the keys of each use from the secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self {
            record: blake3::derive_key("hub 2026 record pseudonym v1", secret),
            mention: blake3::derive_key("hub 2026 mention id v1", secret),
            answer: blake3::derive_key("hub 2026 answer salt v1", secret),
            commitment: blake3::derive_key("hub 2026 secret commitment v1", secret),
            keys: Keyring::absent(),
        }
    }

    /// The same, with the keys of the log's bodies. Without keys new bodies are stored plain, and encrypted ones cannot be
    /// read.
    pub fn with_keys(self, keys: Keyring) -> Self {
        Self { keys, ..self }
    }

    /// The keys of bodies as they are now.
    pub fn keys(&self) -> Arc<KeyTree> {
        self.keys.load()
    }

    /// The id of the ring of keys; `None` where bodies are stored plain.
    pub fn ring(&self) -> Option<[u8; 16]> {
        self.keys.id()
    }

    /// What the first control entry holds: it names the secret without giving it away.
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// The name of a record inside the hub.
    pub fn pseudonym(&self, register: &RegisterName, record: &RecordId) -> Pseudonym {
        let mut h = blake3::Hasher::new_keyed(&self.record);
        part(&mut h, register.as_str().as_bytes());
        part(&mut h, record.as_str().as_bytes());
        Pseudonym(first16(&h.finalize()))
    }

    /// The permanent public id of the mention with key `(register, record, role, element)`. The record's pseudonym stands
    /// for the first two.
    pub fn mention_id(&self, record: Pseudonym, role: &str, element: &[u8]) -> MentionId {
        let mut h = blake3::Hasher::new_keyed(&self.mention);
        part(&mut h, &record.0);
        part(&mut h, role.as_bytes());
        part(&mut h, element);
        MentionId(first16(&h.finalize()))
    }

    /// The key under which one answer is hashed: it opens that answer's hash and gives away nothing of any other. Whoever
    /// is to be shown that an answer is the hub's gets it with the answer.
    pub fn answer_key(&self, salt: &[u8; 16]) -> [u8; 32] {
        *blake3::keyed_hash(&self.answer, salt).as_bytes()
    }

    /// The salted hash of an answer, so that an access entry proves what was answered without telling it.
    pub fn answer_hash(&self, salt: &[u8; 16], answer: &[u8]) -> [u8; 32] {
        answer_hash(&self.answer_key(salt), answer)
    }

    /// Whether an access entry's hash is that of `answer`. Also takes the hash that entries carry which were written
    /// before answers had keys of their own: of salt and answer, under one key for all.
    pub fn is_answer(&self, salt: &[u8; 16], answer: &[u8], hash: &[u8; 32]) -> bool {
        let former = || *blake3::Hasher::new_keyed(&self.answer).update(salt).update(answer).finalize().as_bytes();
        self.answer_hash(salt, answer) == *hash || former() == *hash
    }
}

/// The hash of an answer under its own key ([`LogSecret::answer_key`]).
pub fn answer_hash(key: &[u8; 32], answer: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, answer).as_bytes()
}

impl std::fmt::Debug for LogSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogSecret(..)")
    }
}

impl Pseudonym {
    /// The partition of the change stream that holds this record: `hash(register, record id) mod N`.
    pub fn partition(&self, partitions: u16) -> Partition {
        let head = u64::from_le_bytes(self.0[..8].try_into().expect("a pseudonym has 16 bytes"));
        Partition((head % u64::from(partitions.max(1))) as u16)
    }
}

fn part(h: &mut blake3::Hasher, bytes: &[u8]) {
    h.update(&(bytes.len() as u32).to_le_bytes());
    h.update(bytes);
}

fn first16(hash: &blake3::Hash) -> [u8; 16] {
    hash.as_bytes()[..16].try_into().expect("a BLAKE3 hash has 32 bytes")
}
