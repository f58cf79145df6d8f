//! The manifest: what a directory holds, so that a store is never trusted, nor taken for new, by its looks.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::directory::sync_directory;
use crate::error::Error;
use crate::store::StoreKind;

pub(crate) const MANIFEST_FILE: &str = "manifest";
pub(crate) const MANIFEST_DRAFT: &str = "manifest.tmp";
const MAGIC: &[u8; 8] = b"HUBVIEWS";
/// Version of everything that this crate lays out: tables, dense files, runs, manifest.
pub(crate) const FORMAT: u16 = 1;
const BYTES: usize = 44;

/// Whether the directory was ever ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Its creation has begun; it has never held a batch.
    Creating = 0,
    /// It holds batches.
    Ready = 1,
    /// Its files hold values that had to go: it is built anew.
    Purged = 2,
}

/// What the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreKind,
    pub(crate) phase: Phase,
    pub(crate) fold_version: u32,
    pub(crate) log_id: [u8; 16],
    /// Number of the last batch that was known to be on disk; the store holds it, or has lost it.
    pub(crate) held_batches: u64,
}

/// What was found in the manifest's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Damaged,
    OtherFormat(u16),
    Sound(Manifest),
}

impl Manifest {
    /// Replaces the manifest, durably and as one.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Error> {
        let draft = dir.join(MANIFEST_DRAFT);
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&self.encode())?;
            file.sync_all()
        });
        written.map_err(|source| Error::io(&draft, source))?;
        let path = dir.join(MANIFEST_FILE);
        fs::rename(&draft, &path).map_err(|source| Error::io(&path, source))?;
        sync_directory(dir)
    }

    pub(crate) fn read(dir: &Path) -> Result<Found, Error> {
        let path = dir.join(MANIFEST_FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
            Err(source) => Err(Error::io(&path, source)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = [
            &MAGIC[..],
            &FORMAT.to_le_bytes(),
            &[self.store.number(), self.phase as u8],
            &self.fold_version.to_le_bytes(),
            &self.log_id,
            &self.held_batches.to_le_bytes(),
        ]
        .concat();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Magic and format come first in every format, and the last four bytes are the checksum of the rest.
    fn decode(bytes: &[u8]) -> Found {
        let Some((body, sum)) = bytes.split_last_chunk::<4>() else { return Found::Damaged };
        if body.len() < 10 || !body.starts_with(MAGIC) || crc32c::crc32c(body).to_le_bytes() != *sum {
            return Found::Damaged;
        }
        let format = u16::from_le_bytes([body[8], body[9]]);
        if format != FORMAT {
            return Found::OtherFormat(format);
        }
        Self::decode_body(body).map_or(Found::Damaged, Found::Sound)
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        if body.len() != BYTES - 4 {
            return None;
        }
        Some(Self {
            store: StoreKind::from_number(body[10])?,
            phase: match body[11] {
                0 => Phase::Creating,
                1 => Phase::Ready,
                2 => Phase::Purged,
                _ => return None,
            },
            fold_version: u32::from_le_bytes(body[12..16].try_into().expect("four bytes")),
            log_id: body[16..32].try_into().expect("sixteen bytes"),
            held_batches: u64::from_le_bytes(body[32..40].try_into().expect("eight bytes")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Manifest = Manifest {
        store: StoreKind::Sled,
        phase: Phase::Ready,
        fold_version: 0x0102_0304,
        log_id: *b"0123456789abcdef",
        held_batches: 77,
    };

    #[test]
    fn first_format_is_still_read() {
        let stored = b"HUBVIEWS\x01\x00\x02\x01\x04\x03\x02\x010123456789abcdef\x4d\0\0\0\0\0\0\0";
        let stored = [&stored[..], &crc32c::crc32c(stored).to_le_bytes()].concat();
        assert_eq!(Manifest::decode(&stored), Found::Sound(SAMPLE));
        assert_eq!(SAMPLE.encode(), stored);
    }

    #[test]
    fn any_flipped_bit_or_cut_is_damage() {
        let bytes = SAMPLE.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&flipped), Found::Damaged);
        }
        for len in 0..bytes.len() {
            assert_eq!(Manifest::decode(&bytes[..len]), Found::Damaged);
        }
    }

    #[test]
    fn later_format_is_named() {
        let mut bytes = SAMPLE.encode();
        bytes.truncate(BYTES - 4);
        bytes[8] = 9;
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        assert_eq!(Manifest::decode(&bytes), Found::OtherFormat(9));
    }
}
