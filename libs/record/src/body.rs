//! Body codec 1: encrypted bodies.
//!
//! ```text
//! offset  bytes
//!      0     16  salt, drawn anew for every entry
//!     16     32  commitment to the body's key
//!     48      …  the body, encrypted by AES-256-GCM, then its tag (16)
//! ```
//!
//! The *secret* of a body is BLAKE3 of salt and record pseudonym, keyed with the record's key ([`crate::keys`]). 64 bytes of
//! BLAKE3 of a constant, keyed with the secret, are the AES key and the commitment. Since the key is of one body, the nonce is
//! zero. The associated data is the entry's header up to the body's hash, and the register's name: an encrypted body stands
//! under no other header.
//!
//! A secret can be shown to a third party: it opens one body and no other. The commitment makes that a proof: AES-GCM alone
//! lets whoever writes a body prepare two keys that open it to two contents (Grubbs, Lu, Ristenpart 2017).

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce, Tag};
use zeroize::Zeroizing;

use crate::codec::Writer;
use crate::entry::{BodyError, SALT_BYTES};

const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const BODY_AT: usize = SALT_BYTES + COMMITMENT_BYTES;
/// How much longer an encrypted body is than the plain one, in bytes.
pub const OVERHEAD_BYTES: usize = BODY_AT + TAG_BYTES;

const EXPAND: &[u8] = b"hub 2026 body key and commitment v1";

struct BodyKey {
    cipher: Aes256Gcm,
    commitment: [u8; COMMITMENT_BYTES],
}

impl BodyKey {
    fn of(secret: &[u8; 32]) -> Self {
        let mut out = Zeroizing::new([0; 64]);
        blake3::Hasher::new_keyed(secret).update(EXPAND).finalize_xof().fill(&mut *out);
        let (key, commitment) = out.split_at(32);
        let cipher = Aes256Gcm::new_from_slice(key).expect("half of 64 bytes is a key");
        Self { cipher, commitment: commitment.try_into().expect("the other half") }
    }
}

fn nonce() -> Nonce<aes_gcm::aead::consts::U12> {
    [0; 12].into()
}

/// Encrypts a body: the stored form.
pub(crate) fn seal(secret: &[u8; 32], salt: &[u8; SALT_BYTES], bound: &[u8], body: &[u8]) -> Vec<u8> {
    let key = BodyKey::of(secret);
    let mut w = Writer::with_capacity(OVERHEAD_BYTES + body.len());
    w.raw(salt).raw(&key.commitment).raw(body);
    let mut stored = w.finish();
    let sealed = key.cipher.encrypt_inout_detached(&nonce(), bound, (&mut stored[BODY_AT..]).into());
    let tag = sealed.expect("a body is far below the 64 GiB that one nonce may encrypt");
    stored.extend_from_slice(&tag);
    stored
}

/// The salt of a stored body; `None` when it is too short for one.
pub(crate) fn salt(stored: &[u8]) -> Option<[u8; SALT_BYTES]> {
    stored.first_chunk().copied()
}

/// Decrypts a stored body.
pub(crate) fn open(secret: &[u8; 32], bound: &[u8], stored: &[u8]) -> Result<Vec<u8>, BodyError> {
    let sealed = stored.get(BODY_AT..).ok_or(BodyError::Short)?;
    let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(BodyError::Short)?;
    let key = BodyKey::of(secret);
    if stored[SALT_BYTES..BODY_AT] != key.commitment {
        return Err(BodyError::OtherKey);
    }
    let mut out = body.to_vec();
    let opened = key.cipher.decrypt_inout_detached(&nonce(), bound, out.as_mut_slice().into(), &Tag::from(*tag));
    // AES-GCM tells no more than that.
    opened.map_err(|_| BodyError::Changed)?;
    Ok(out)
}
