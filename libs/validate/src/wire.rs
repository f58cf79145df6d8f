//! A cursor over protobuf wire bytes. Every read is bounds-checked and reports a [`Fault`].

use crate::error::Fault;

/// The wire types a record may use; groups are told apart so that they can be refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Len,
    StartGroup,
    EndGroup,
    Fixed32,
}

impl WireType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            WireType::Varint => "varint",
            WireType::Fixed64 => "fixed64",
            WireType::Len => "length-delimited",
            WireType::StartGroup => "start-group",
            WireType::EndGroup => "end-group",
            WireType::Fixed32 => "fixed32",
        }
    }
}

/// A field number and its wire type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) number: u32,
    pub(crate) wire_type: WireType,
}

/// Remaining input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest.split_first() {
            Some((&byte, tail)) if byte < 0x80 => {
                self.rest = tail;
                Ok(u64::from(byte))
            }
            Some(_) => self.long_varint(),
            None => Err(Fault::Truncated),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && byte > 1 {
                return Err(Fault::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Fault::Truncated)
    }

    #[inline]
    pub(crate) fn key(&mut self) -> Result<Key, Fault> {
        let raw = self.varint()?;
        let number = u32::try_from(raw >> 3).map_err(|_| Fault::BadKey)?;
        if number == 0 || number > 0x1fff_ffff {
            return Err(Fault::BadKey);
        }
        let wire_type = match raw & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Len,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => return Err(Fault::BadKey),
        };
        Ok(Key { number, wire_type })
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<[u8; 4], Fault> {
        let (head, tail) = self.rest.split_first_chunk::<4>().ok_or(Fault::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<[u8; 8], Fault> {
        let (head, tail) = self.rest.split_first_chunk::<8>().ok_or(Fault::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn chunk(&mut self) -> Result<&'a [u8], Fault> {
        let len = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Fault::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    /// How many varints a packed run holds: the bytes without a continuation bit.
    pub(crate) fn varints(&self) -> usize {
        self.rest.iter().filter(|byte| **byte < 0x80).count()
    }
}
