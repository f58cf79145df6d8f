//! The wrapping key: under it alone the key file can be read.

use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::file;
use crate::format::NONCE_BYTES;
use crate::pkcs11::Token;

/// Names a wrapping key without giving it away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WrappingId(pub [u8; 16]);

impl WrappingId {
    /// 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        record::Pseudonym(self.0).to_hex()
    }
}

impl std::fmt::Debug for WrappingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Where the wrapping key is.
#[derive(Debug, Clone)]
pub enum WrappingKey {
    /// 32 bytes in a file that only its owner can read.
    File(PathBuf),
    /// A key that never leaves its PKCS#11 token.
    Token(Token),
}

impl WrappingKey {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::File(_) => 1,
            Self::Token(_) => 2,
        }
    }

    /// The name of the kind, as commands write it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Token(_) => "pkcs11",
        }
    }

    /// Makes the first wrapping key; one that is there is taken.
    pub(crate) fn create(&self) -> Result<WrappingId, Error> {
        match self {
            Self::File(path) => match read_key(path)? {
                Some(key) => Ok(id_of(&key)),
                None => {
                    let key = draw()?;
                    file::replace(path, &*key)?;
                    Ok(id_of(&key))
                }
            },
            Self::Token(token) => token.generate(),
        }
    }

    /// Makes the next wrapping key beside the one in use, which stays until [`WrappingKey::retire`].
    pub(crate) fn make_next(&self) -> Result<(Self, WrappingId), Error> {
        match self {
            Self::File(path) => {
                let (next, key) = (next_of(path), draw()?);
                file::write_new(&next, &*key)?;
                Ok((Self::File(next), id_of(&key)))
            }
            Self::Token(token) => Ok((self.clone(), token.generate()?)),
        }
    }

    /// Ends a rotation: the next key takes the place of `former`, which is destroyed.
    pub(crate) fn retire(&self, former: WrappingId) -> Result<(), Error> {
        match self {
            Self::File(path) => {
                let next = next_of(path);
                let key = read_key(&next)?.ok_or_else(|| Error::Missing(next.clone()))?;
                file::replace(path, &*key)?;
                file::shred(&next)
            }
            Self::Token(token) => token.destroy(former),
        }
    }

    /// Ends a rotation that a crash has broken off: keeps the key that the file is wrapped by.
    pub(crate) fn settle(&self, wanted: WrappingId) -> Result<(), Error> {
        let Self::File(path) = self else { return Ok(()) };
        let next = next_of(path);
        match read_key(&next)? {
            Some(key) if id_of(&key) == wanted => self.retire(wanted),
            Some(_) => file::shred(&next),
            None => Ok(()),
        }
    }

    pub(crate) fn wrap(
        &self,
        id: WrappingId,
        file_key: &[u8; 32],
        bound: &[u8],
    ) -> Result<([u8; NONCE_BYTES], Vec<u8>), Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let wrapped = match self {
            Self::File(path) => {
                let message = Payload { msg: file_key, aad: bound };
                let sealed = cipher(path, id)?.encrypt(&Nonce::from(nonce), message);
                sealed.expect("32 bytes are far below what one nonce may encrypt")
            }
            Self::Token(token) => token.encrypt(id, &mut nonce, file_key, bound)?,
        };
        Ok((nonce, wrapped))
    }

    pub(crate) fn unwrap(
        &self,
        id: WrappingId,
        mut nonce: [u8; NONCE_BYTES],
        wrapped: &[u8],
        bound: &[u8],
        of: &Path,
    ) -> Result<Zeroizing<[u8; 32]>, Error> {
        let damaged = || Error::Damaged { path: of.to_owned(), what: "its file key does not decrypt" };
        let bytes = match self {
            Self::File(path) => {
                let opened = cipher(path, id)?.decrypt(&Nonce::from(nonce), Payload { msg: wrapped, aad: bound });
                // AES-GCM tells no more than that.
                opened.map_err(|_| damaged())?
            }
            Self::Token(token) => token.decrypt(id, &mut nonce, wrapped, bound)?,
        };
        let bytes = Zeroizing::new(bytes);
        Ok(Zeroizing::new(bytes.as_slice().try_into().map_err(|_| damaged())?))
    }
}

fn next_of(path: &Path) -> PathBuf {
    path.with_extension("next")
}

fn draw() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key)?;
    Ok(key)
}

fn id_of(key: &[u8; 32]) -> WrappingId {
    let hash = Zeroizing::new(blake3::derive_key("hub 2026 wrapping key id v1", key));
    WrappingId(hash[..16].try_into().expect("half of 32 bytes"))
}

fn read_key(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, Error> {
    let Some(bytes) = file::read(path)? else { return Ok(None) };
    let key = bytes.as_slice().try_into();
    let size = |_| Error::WrappingKeySize { path: path.to_owned(), found: bytes.len() };
    Ok(Some(Zeroizing::new(key.map_err(size)?)))
}

fn cipher(path: &Path, wanted: WrappingId) -> Result<Aes256Gcm, Error> {
    let key = read_key(path)?.ok_or_else(|| Error::Missing(path.to_owned()))?;
    let found = id_of(&key);
    if found != wanted {
        return Err(Error::OtherWrappingKey { wanted: wanted.to_hex(), found: found.to_hex() });
    }
    Ok(Aes256Gcm::new_from_slice(&*key).expect("a wrapping key has 32 bytes"))
}
