//! The entry: what the log keeps, with the same bytes on the embedded log and on Kafka.
//!
//! ```text
//! offset  bytes
//!      0      1  format version, 1
//!      1      1  stream
//!      2      1  body codec
//!      3      1  kind
//!      4      4  register epoch
//!      8      8  record version
//!     16      8  effective at (microseconds)
//!     24      8  recorded at (microseconds): when the hub took it
//!     32     16  record pseudonym
//!     48     16  contract id
//!     64     32  BLAKE3 of the stored body
//!     96      1  length of the register's name (0 for control and access entries), then the name
//!      …      4  length of the stored body, then the stored body
//! ```
//!
//! Header and ledger never hold a bare hash of plaintext: the stored body is salted (codec 0) or encrypted (codec 1, see
//! [`crate::body`]). Bodies of changes and refusals are what people are told by: they are encrypted. Control entries are
//! plain, because the keys themselves are ruled by them; accesses and closed refusals hold pseudonyms and hashes, and must
//! stay readable to whoever checks an answer when the record is erased.

use std::borrow::Cow;

use crate::body;
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{ContractId, Pseudonym, RegisterEpoch, RegisterName, Timestamp};
use crate::keys::{KeyTree, NoKey, RecordKey};
use crate::position::Stream;

/// The format that this program writes.
pub const ENTRY_VERSION: u8 = 1;
/// Largest entry, in bytes, header included.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Length of the salt before a plain body.
pub const SALT_BYTES: usize = 16;

const FIXED_BYTES: usize = 96;
const HASH_AT: usize = 64;

/// How the body is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BodyCodec {
    /// 16 random bytes, then the body.
    SaltedPlain = 0,
    /// [`crate::body`]: AES-256-GCM under a key that only the record's own gives; destroying that erases the body.
    Aes256Gcm = 1,
}

impl BodyCodec {
    fn from_u8(v: u8) -> Option<Self> {
        match v {
            0 => Some(Self::SaltedPlain),
            1 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }
}

/// What an entry does. The body's format follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A change that states the whole record. Body: [`crate::Envelope`].
    Upsert = 1,
    /// A change that takes the record back. Body: [`crate::Envelope`].
    Retract = 2,
    /// A control entry. Body: [`crate::control::Control`].
    Control = 3,
    /// The answers of one group commit. Body: [`crate::access::AccessBatch`].
    Access = 4,
    /// A refused change. Body: [`crate::envelope::Refusal`].
    Rejected = 5,
    /// A refused change was driven again or given up. Body: [`crate::envelope::RefusalClosed`].
    RejectedClosed = 6,
}

impl EntryKind {
    const ALL: [Self; 6] =
        [Self::Upsert, Self::Retract, Self::Control, Self::Access, Self::Rejected, Self::RejectedClosed];

    /// The stream that holds entries of this kind.
    pub fn stream(self) -> Stream {
        match self {
            Self::Upsert | Self::Retract => Stream::Change,
            Self::Control => Stream::Control,
            Self::Access => Stream::Access,
            Self::Rejected | Self::RejectedClosed => Stream::Rejected,
        }
    }
}

/// BLAKE3 of the whole entry: the ledger's commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryHash(pub [u8; 32]);

impl EntryHash {
    /// Hashes an encoded entry.
    pub fn of(entry: &[u8]) -> Self {
        Self(*blake3::hash(entry).as_bytes())
    }
}

/// What is readable of an entry without its body's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryHeader {
    /// What the entry does; decides the stream.
    pub kind: EntryKind,
    /// How the body is stored.
    pub codec: BodyCodec,
    /// The register; `None` for control and access entries.
    pub register: Option<RegisterName>,
    /// The register's epoch that the change was stamped for.
    pub epoch: RegisterEpoch,
    /// The record's pseudonym; zero where there is no record.
    pub record: Pseudonym,
    /// The record's version; 0 where there is no record.
    pub version: u64,
    /// From when the change holds.
    pub effective_at: Timestamp,
    /// When the hub took the entry.
    pub recorded_at: Timestamp,
    /// The contract that the change was checked against; zero where there is none.
    pub contract: ContractId,
}

impl EntryHeader {
    /// A header of an entry that concerns no record.
    pub fn of_hub(kind: EntryKind, recorded_at: Timestamp) -> Self {
        Self {
            kind,
            codec: BodyCodec::SaltedPlain,
            register: None,
            epoch: RegisterEpoch::default(),
            record: Pseudonym::default(),
            version: 0,
            effective_at: recorded_at,
            recorded_at,
            contract: ContractId::default(),
        }
    }

    fn encode_fixed(&self, w: &mut Writer) {
        w.u8(ENTRY_VERSION).u8(self.kind.stream() as u8).u8(self.codec as u8).u8(self.kind as u8);
        w.u32(self.epoch.0).u64(self.version);
        w.i64(self.effective_at.0).i64(self.recorded_at.0);
        w.raw(&self.record.0).raw(&self.contract.0);
    }

    /// What an encrypted body is bound to: the header's bytes up to the body's hash, and the register's name behind its length.
    pub fn bound(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(HASH_AT + 64);
        self.encode_fixed(&mut w);
        let name = self.register.as_ref().map_or("", RegisterName::as_str);
        w.u8(name.len() as u8).raw(name.as_bytes());
        w.finish()
    }
}

/// A decoded entry that borrows its stored body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The header.
    pub header: EntryHeader,
    /// The body as stored: salted or encrypted.
    pub stored_body: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Encodes an entry whose body is stored plain behind `salt`.
    ///
    /// # Errors
    /// [`TooLarge`] past [`ENTRY_BYTES_MAX`].
    pub fn encode_salted(header: &EntryHeader, salt: &[u8; SALT_BYTES], body: &[u8]) -> Result<Vec<u8>, TooLarge> {
        debug_assert_eq!(header.codec, BodyCodec::SaltedPlain);
        Self::encode(header, SALT_BYTES + body.len(), |w| {
            w.raw(salt).raw(body);
        })
    }

    /// Encodes an entry whose body is encrypted under the record's key. The salt must be drawn anew for every entry.
    ///
    /// # Errors
    /// [`TooLarge`] past [`ENTRY_BYTES_MAX`].
    pub fn encode_encrypted(
        header: &EntryHeader,
        key: &RecordKey,
        salt: &[u8; SALT_BYTES],
        body: &[u8],
    ) -> Result<Vec<u8>, TooLarge> {
        debug_assert_eq!(header.codec, BodyCodec::Aes256Gcm);
        let secret = key.body_secret(header.record, salt);
        Self::encode(header, body::OVERHEAD_BYTES + body.len(), |w| {
            w.raw(&body::seal(&secret, salt, &header.bound(), body));
        })
    }

    fn encode(header: &EntryHeader, body_bytes: usize, body: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, TooLarge> {
        let name = header.register.as_ref().map_or("", RegisterName::as_str);
        let total = FIXED_BYTES + 1 + name.len() + 4 + body_bytes;
        if total > ENTRY_BYTES_MAX {
            return Err(TooLarge { bytes: total });
        }
        let mut w = Writer::with_capacity(total);
        header.encode_fixed(&mut w);
        w.raw(&[0; 32]).u8(name.len() as u8).raw(name.as_bytes()).u32(body_bytes as u32);
        body(&mut w);
        let mut bytes = w.finish();
        debug_assert_eq!(bytes.len(), total, "the body has the length that was told");
        let hash = blake3::hash(&bytes[total - body_bytes..]);
        bytes[HASH_AT..FIXED_BYTES].copy_from_slice(hash.as_bytes());
        Ok(bytes)
    }

    /// Decodes an entry and checks that its kind fits its stream. The body's hash is checked by [`Entry::verify_body`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("entry", ENTRY_VERSION)?;
        let invalid = |at, what| DecodeError::Invalid { at, what };
        let stream = Stream::from_u8(r.u8()?).ok_or(invalid(1, "stream"))?;
        let codec = BodyCodec::from_u8(r.u8()?).ok_or(invalid(2, "body codec"))?;
        let kind = r.u8()?;
        let kind = EntryKind::ALL.into_iter().find(|k| *k as u8 == kind).ok_or(invalid(3, "entry kind"))?;
        if kind.stream() != stream {
            return Err(invalid(1, "stream of this kind"));
        }
        let epoch = RegisterEpoch(r.u32()?);
        let version = r.u64()?;
        let effective_at = Timestamp(r.i64()?);
        let recorded_at = Timestamp(r.i64()?);
        let record = Pseudonym(r.array()?);
        let contract = ContractId(r.array()?);
        let _body_hash: [u8; 32] = r.array()?;
        let register = Self::register(&mut r)?;
        let body_bytes = r.u32()? as usize;
        let stored_body = r.raw(body_bytes)?;
        r.end("entry")?;
        let header = EntryHeader { kind, codec, register, epoch, record, version, effective_at, recorded_at, contract };
        Ok(Self { header, stored_body })
    }

    fn register(r: &mut Reader<'a>) -> Result<Option<RegisterName>, DecodeError> {
        let at = r.at();
        let n = usize::from(r.u8()?);
        let name = std::str::from_utf8(r.raw(n)?).map_err(|_| DecodeError::Utf8 { at })?;
        if name.is_empty() {
            return Ok(None);
        }
        RegisterName::try_from(name).map(Some).map_err(|source| DecodeError::Id { at, source })
    }

    /// Whether the stored body has the hash that the header of `bytes` (this entry, encoded) names.
    pub fn verify_body(&self, bytes: &[u8]) -> bool {
        bytes.get(HASH_AT..FIXED_BYTES).is_some_and(|h| h == blake3::hash(self.stored_body).as_bytes())
    }

    /// The body of an entry whose stream is never encrypted: control, accesses, closed refusals.
    ///
    /// # Errors
    /// [`BodyError`] when it is encrypted or shorter than its salt.
    pub fn plain_body(&self) -> Result<&'a [u8], BodyError> {
        match self.header.codec {
            BodyCodec::SaltedPlain => self.stored_body.get(SALT_BYTES..).ok_or(BodyError::Short),
            BodyCodec::Aes256Gcm => Err(BodyError::Encrypted),
        }
    }

    /// The body, with the key of its record.
    ///
    /// # Errors
    /// [`BodyError`]; [`BodyError::Erased`] when the record's key was destroyed.
    pub fn body(&self, keys: &KeyTree) -> Result<Cow<'a, [u8]>, BodyError> {
        match self.header.codec {
            BodyCodec::SaltedPlain => self.plain_body().map(Cow::Borrowed),
            BodyCodec::Aes256Gcm => {
                let salt = body::salt(self.stored_body).ok_or(BodyError::Short)?;
                let key = keys.key(self.header.record)?;
                self.body_by(&key.body_secret(self.header.record, &salt)).map(Cow::Owned)
            }
        }
    }

    /// The encrypted body, with the secret of this one body ([`RecordKey::body_secret`]).
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn body_by(&self, secret: &[u8; 32]) -> Result<Vec<u8>, BodyError> {
        match self.header.codec {
            BodyCodec::SaltedPlain => Err(BodyError::Plain),
            BodyCodec::Aes256Gcm => body::open(secret, &self.header.bound(), self.stored_body),
        }
    }

    /// The secret of this one body, for whoever is to be shown it; `None` when it is stored plain.
    ///
    /// # Errors
    /// [`BodyError`] when there is no key.
    pub fn body_secret(&self, keys: &KeyTree) -> Result<Option<[u8; 32]>, BodyError> {
        if self.header.codec == BodyCodec::SaltedPlain {
            return Ok(None);
        }
        let salt = body::salt(self.stored_body).ok_or(BodyError::Short)?;
        Ok(Some(*keys.key(self.header.record)?.body_secret(self.header.record, &salt)))
    }
}

/// An entry would be larger than [`ENTRY_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of {bytes} bytes is larger than the {ENTRY_BYTES_MAX} that the log takes: send less in one change")]
pub struct TooLarge {
    /// The size that was asked for.
    pub bytes: usize,
}

/// Why a stored body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The record's key was destroyed: nobody can read the body any more.
    #[error("the record is erased: its key was destroyed")]
    Erased,
    /// The body is encrypted, and whoever reads it holds no keys.
    #[error("the body is encrypted (codec 1), and no keys are at hand: give the key file of this log")]
    Encrypted,
    /// The body was encrypted under another key than the one at hand.
    #[error("the body was encrypted under another key: give the key file of this log")]
    OtherKey,
    /// The body or its header is not what was encrypted.
    #[error("the encrypted body or its header was changed")]
    Changed,
    /// The body is plain, where an encrypted one was expected.
    #[error("the body is stored plain: no secret opens it")]
    Plain,
    /// The body is shorter than its salt.
    #[error("the stored body is shorter than its salt")]
    Short,
}

impl From<NoKey> for BodyError {
    fn from(error: NoKey) -> Self {
        match error {
            NoKey::Destroyed => Self::Erased,
            NoKey::Absent => Self::Encrypted,
        }
    }
}
