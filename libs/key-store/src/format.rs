//! The key file, byte by byte.
//!
//! ```text
//! offset  bytes
//!      0      8  "hubkeys\n"
//!      8      1  format, 1
//!      9      1  kind of wrapping key: 1 a file, 2 a PKCS#11 token
//!     10     16  id of the log
//!     26     16  id of these keys
//!     42     16  id of the wrapping key
//!     58      8  generation: how often the file was written
//!     66     12  nonce of the wrapped file key
//!     78     48  file key, encrypted by AES-256-GCM under the wrapping key; associated data: bytes 0 to 66
//!    126      8  length of what follows, without the checksum
//!    134      …  live seeds (`record::keys`), encrypted by AES-256-GCM under the file key with a nonce of zeros;
//!                associated data: bytes 0 to 134
//!      …     32  BLAKE3 of all before
//! ```

use std::path::Path;

use aes_gcm::aead::{Aead as _, AeadInOut as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use record::{KeyTree, Reader, Writer};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::wrapping::{WrappingId, WrappingKey};

const MAGIC: &[u8; 8] = b"hubkeys\n";
const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 32;
pub(crate) const NONCE_BYTES: usize = 12;
const WRAPPED_BYTES: usize = 48;
const WRAPPED_AT: usize = 66;
const SEALED_AT: usize = 134;

/// Names one ring of keys, from its creation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingId(pub [u8; 16]);

/// What the file says in the open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) wrapping_kind: u8,
    pub(crate) log: [u8; 16],
    pub(crate) ring: RingId,
    pub(crate) wrapping: WrappingId,
    pub(crate) generation: u64,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(SEALED_AT);
        w.raw(MAGIC).u8(FORMAT).u8(self.wrapping_kind).raw(&self.log).raw(&self.ring.0);
        w.raw(&self.wrapping.0).u64(self.generation);
        w.finish()
    }
}

/// The file's bytes: the tree under a new file key, that under the wrapping key.
pub(crate) fn seal(head: &Head, tree: &KeyTree, wrapping: &WrappingKey) -> Result<Vec<u8>, Error> {
    let mut file_key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *file_key)?;
    let mut out = head.encode();
    let (nonce, wrapped) = wrapping.wrap(head.wrapping, &file_key, &out)?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&wrapped);
    let mut seeds = tree.encode();
    out.extend_from_slice(&(seeds.len() as u64 + 16).to_le_bytes());
    let cipher = Aes256Gcm::new_from_slice(&*file_key).expect("a file key has 32 bytes");
    let tag = cipher.encrypt_inout_detached(&zeros(), &out, seeds.as_mut_slice().into());
    let tag = tag.expect("a key file is far below the 64 GiB that one nonce may encrypt");
    out.extend_from_slice(&seeds);
    out.extend_from_slice(&tag);
    out.extend_from_slice(blake3::hash(&out).as_bytes());
    Ok(out)
}

/// Reads the open part and checks the checksum, without any key.
pub(crate) fn head(bytes: &[u8], path: &Path) -> Result<Head, Error> {
    let damaged = |what| Error::Damaged { path: path.to_owned(), what };
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| damaged("it is too short"))?;
    if body.get(..8) != Some(MAGIC) {
        return Err(damaged("it does not begin as one"));
    }
    match body.get(8) {
        Some(&FORMAT) => {}
        Some(found) => return Err(Error::Format { path: path.to_owned(), found: *found }),
        None => return Err(damaged("it is too short")),
    }
    if blake3::hash(body) != *sum || body.len() < SEALED_AT {
        return Err(damaged("its checksum is wrong"));
    }
    let mut r = Reader::new(&body[9..]);
    let mut read = || {
        Ok::<_, record::DecodeError>(Head {
            wrapping_kind: r.u8()?,
            log: r.array()?,
            ring: RingId(r.array()?),
            wrapping: WrappingId(r.array()?),
            generation: r.u64()?,
        })
    };
    // The length was checked above.
    read().map_err(|_| damaged("it is too short"))
}

/// Decrypts the seeds.
pub(crate) fn open(bytes: &[u8], head: &Head, wrapping: &WrappingKey, path: &Path) -> Result<KeyTree, Error> {
    let damaged = |what| Error::Damaged { path: path.to_owned(), what };
    let sealed = &bytes[SEALED_AT..bytes.len() - CHECKSUM_BYTES];
    let told = &bytes[SEALED_AT - 8..SEALED_AT];
    if told != (sealed.len() as u64).to_le_bytes() {
        return Err(damaged("its length is not what it says"));
    }
    let nonce = bytes[WRAPPED_AT..][..NONCE_BYTES].try_into().expect("twelve bytes");
    let wrapped = &bytes[WRAPPED_AT + NONCE_BYTES..][..WRAPPED_BYTES];
    let file_key = wrapping.unwrap(head.wrapping, nonce, wrapped, &bytes[..WRAPPED_AT], path)?;
    let cipher = Aes256Gcm::new_from_slice(&*file_key).expect("a file key has 32 bytes");
    // AES-GCM tells no more than that.
    let seeds = cipher.decrypt(&zeros(), Payload { msg: sealed, aad: &bytes[..SEALED_AT] });
    let seeds = Zeroizing::new(seeds.map_err(|_| damaged("its seeds do not decrypt"))?);
    KeyTree::decode(&seeds).map_err(|_| damaged("its seeds are none"))
}

fn zeros() -> Nonce<aes_gcm::aead::consts::U12> {
    [0; NONCE_BYTES].into()
}
