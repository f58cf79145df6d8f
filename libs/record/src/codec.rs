//! The byte reader and writer under every format of this crate.

use crate::ids::IdError;

/// Why bytes could not be decoded. Carries the offset, never the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a value.
    #[error("truncated at byte {at}: {need} more bytes needed")]
    Truncated {
        /// Offset of the value that did not fit.
        at: usize,
        /// How many bytes were missing.
        need: usize,
    },
    /// The format version is not one that this program reads.
    #[error("{what} has format version {found}; this program reads up to {known}: use a newer program")]
    Version {
        /// Which format.
        what: &'static str,
        /// The version byte found.
        found: u8,
        /// The newest version known here.
        known: u8,
    },
    /// A value is outside its range.
    #[error("byte {at}: {what} is not valid")]
    Invalid {
        /// Offset of the value.
        at: usize,
        /// Which value.
        what: &'static str,
    },
    /// Bytes remain after the last field.
    #[error("{extra} unexpected bytes after the end of {what}")]
    Trailing {
        /// Which format.
        what: &'static str,
        /// How many bytes too many.
        extra: usize,
    },
    /// A text field is not UTF-8.
    #[error("byte {at}: text is not valid UTF-8")]
    Utf8 {
        /// Offset of the text.
        at: usize,
    },
    /// An identifier breaks its rule.
    #[error("byte {at}: {source}")]
    Id {
        /// Offset of the identifier.
        at: usize,
        /// Which rule.
        source: IdError,
    },
}

/// Appends canonical encodings to a buffer.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes have been written.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }

    /// A fixed 16-bit integer.
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    /// A fixed 32-bit integer.
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    /// A fixed 64-bit integer.
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    /// A fixed signed 64-bit integer.
    pub fn i64(&mut self, v: i64) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    /// A LEB128 integer, shortest form.
    pub fn varint(&mut self, mut v: u64) -> &mut Self {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
        self
    }

    /// Bytes without a length.
    pub fn raw(&mut self, v: &[u8]) -> &mut Self {
        self.0.extend_from_slice(v);
        self
    }

    /// Bytes after their length as a varint.
    pub fn bytes(&mut self, v: &[u8]) -> &mut Self {
        self.varint(v.len() as u64).raw(v)
    }

    /// Text after its length in bytes as a varint.
    pub fn text(&mut self, v: &str) -> &mut Self {
        self.bytes(v.as_bytes())
    }
}

/// Reads what [`Writer`] wrote, borrowing from the input.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Bytes without a length.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer than `n` remain.
    pub fn raw(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.rest();
        if rest.len() < n {
            return Err(DecodeError::Truncated { at: self.at, need: n - rest.len() });
        }
        self.at += n;
        Ok(&rest[..n])
    }

    /// A fixed-size array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A fixed 16-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A fixed 32-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A fixed 64-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A fixed signed 64-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A LEB128 integer; longer than the shortest form is refused.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Invalid`].
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut v = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 || (shift > 0 && byte == 0) {
                break;
            }
            v |= low << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(DecodeError::Invalid { at: start, what: "integer" })
    }

    /// Bytes after their length.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Invalid`].
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let n = self.varint()?;
        let n = usize::try_from(n).map_err(|_| DecodeError::Invalid { at: start, what: "length" })?;
        self.raw(n)
    }

    /// Text after its length in bytes.
    ///
    /// # Errors
    /// As [`Reader::bytes`], or [`DecodeError::Utf8`].
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8 { at })
    }

    /// A count of elements that each take at least `element_bytes_min` bytes, so that a forged count cannot ask for memory.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] when the rest of the input is too short for that many.
    pub fn count(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let at = self.at;
        let n = self.varint()?;
        match usize::try_from(n) {
            Ok(n) if n <= self.rest().len() / element_bytes_min.max(1) => Ok(n),
            _ => Err(DecodeError::Invalid { at, what: "count" }),
        }
    }

    /// Ends the decoding of `what`.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when bytes remain.
    pub fn end(&self, what: &'static str) -> Result<(), DecodeError> {
        match self.rest().len() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { what, extra }),
        }
    }

    /// Reads a version byte and checks that it is 1..=`known`.
    ///
    /// # Errors
    /// [`DecodeError::Version`] or [`DecodeError::Truncated`].
    pub fn version(&mut self, what: &'static str, known: u8) -> Result<u8, DecodeError> {
        match self.u8()? {
            v if (1..=known).contains(&v) => Ok(v),
            found => Err(DecodeError::Version { what, found, known }),
        }
    }

    /// Parses an identifier from text.
    ///
    /// # Errors
    /// As [`Reader::text`], or [`DecodeError::Id`].
    pub fn id<T: for<'s> TryFrom<&'s str, Error = IdError>>(&mut self) -> Result<T, DecodeError> {
        let at = self.at;
        T::try_from(self.text()?).map_err(|source| DecodeError::Id { at, source })
    }
}
