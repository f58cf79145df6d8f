//! A value read from a store, shared with the store's own memory where it can be.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A stored value. Cheap to clone; reads as `&[u8]`.
#[derive(Clone)]
pub struct Value(Bytes);

#[derive(Clone)]
enum Bytes {
    Fjall(fjall::Slice),
    Sled(sled::IVec),
    Shared(Arc<[u8]>),
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Fjall(bytes) => bytes,
            Bytes::Sled(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Value {}

/// Shows the length only: a value may hold personal data.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}

impl From<fjall::Slice> for Value {
    fn from(bytes: fjall::Slice) -> Self {
        Self(Bytes::Fjall(bytes))
    }
}

impl From<sled::IVec> for Value {
    fn from(bytes: sled::IVec) -> Self {
        Self(Bytes::Sled(bytes))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::Shared(bytes.into()))
    }
}

impl From<Arc<[u8]>> for Value {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(Bytes::Shared(bytes))
    }
}
