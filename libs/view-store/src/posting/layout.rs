//! Layout of a run file: header block, directory blocks, entry blocks, each of 4 KiB with a checksum.
//!
//! * Header: magic, format version, node range, counts.
//! * Directory: for every value `p` of the key's first `directory_bits` bits, and one more, the number of entries
//!   whose prefix is below `p` (u32): 1,023 per block.
//! * Entries: key (u64), node (u32), sorted: 341 per block fill its payload exactly.

use crate::block::{self, BLOCK_BYTES, Block, PAYLOAD_BYTES};

pub(super) const ENTRY_BYTES: usize = 12;
pub(super) const ENTRIES_PER_BLOCK: usize = PAYLOAD_BYTES / ENTRY_BYTES;
pub(super) const SLOTS_PER_BLOCK: usize = PAYLOAD_BYTES / 4;
/// Entries that share a directory slot, on average: two or three cache lines.
const ENTRIES_PER_SLOT: u64 = 16;
const DIRECTORY_BITS_MAX: u32 = 28;
const MAGIC: &[u8; 8] = b"HUBPOSTS";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 40;

/// What a run file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// First node whose postings the run holds.
    pub(super) first_node: u32,
    /// First node past them.
    pub(super) end_node: u32,
    pub(super) entries: u32,
    pub(super) directory_bits: u32,
}

impl Header {
    /// Directory size for at most so many entries.
    pub(super) fn directory_bits_for(entries: u64) -> u32 {
        (entries / ENTRIES_PER_SLOT).max(2).ilog2().clamp(1, DIRECTORY_BITS_MAX)
    }

    pub(super) fn directory_slots(&self) -> usize {
        (1 << self.directory_bits) + 1
    }

    pub(super) fn directory_blocks(&self) -> usize {
        self.directory_slots().div_ceil(SLOTS_PER_BLOCK)
    }

    /// Number of the first entry block.
    pub(super) fn first_entry_block(&self) -> usize {
        1 + self.directory_blocks()
    }

    pub(super) fn blocks(&self) -> usize {
        self.first_entry_block() + (self.entries as usize).div_ceil(ENTRIES_PER_BLOCK)
    }

    pub(super) fn file_bytes(&self) -> u64 {
        (self.blocks() * BLOCK_BYTES) as u64
    }

    /// The directory slot of a key.
    pub(super) fn slot(&self, key: u64) -> usize {
        usize::try_from(key >> (64 - self.directory_bits)).expect("at most 28 bits")
    }

    /// Salt of a block's checksum: runs differ by their node range.
    pub(super) fn salt(&self, block_number: usize) -> u64 {
        let range = u64::from(self.first_node) << 32 | u64::from(self.end_node);
        range.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ block_number as u64
    }

    pub(super) fn encode(&self) -> Box<Block> {
        let mut header = block::empty();
        let fields = [
            &MAGIC[..],
            &FORMAT.to_le_bytes(),
            &(BLOCK_BYTES as u16).to_le_bytes(),
            &self.first_node.to_le_bytes(),
            &self.end_node.to_le_bytes(),
            &self.entries.to_le_bytes(),
            &self.directory_bits.to_le_bytes(),
        ];
        let fields = fields.concat();
        header[..fields.len()].copy_from_slice(&fields);
        block::seal(&mut header, 0);
        header
    }

    /// The header in a file's first bytes; `None` when they are no sound header of this format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..BLOCK_BYTES)?;
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let known = block::is_intact(header, 0)
            && header.starts_with(MAGIC)
            && header[8..10] == FORMAT.to_le_bytes()
            && header[28..HEADER_BYTES].iter().all(|byte| *byte == 0);
        let found = Self { first_node: word(12), end_node: word(16), entries: word(20), directory_bits: word(24) };
        (known && (1..=DIRECTORY_BITS_MAX).contains(&found.directory_bits)).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_reads_back_and_a_flipped_bit_is_refused() {
        let header = Header { first_node: 7, end_node: 900, entries: 12_345, directory_bits: 9 };
        let mut bytes = header.encode();
        assert_eq!(Header::decode(&bytes[..]), Some(header));
        bytes[20] ^= 1;
        assert_eq!(Header::decode(&bytes[..]), None);
    }
}
