//! The 4 KiB block that every derived file consists of: 4,092 bytes of payload, then their CRC32C.
//!
//! The checksum also covers a salt (which file, which block), so that a sound block in the wrong place is found out.

/// Bytes of a block on disk.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Bytes of a block that hold data.
pub(crate) const PAYLOAD_BYTES: usize = BLOCK_BYTES - 4;

/// A block in memory.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// A block of zeros, not yet sealed.
pub(crate) fn empty() -> Box<Block> {
    Box::new([0; BLOCK_BYTES])
}

/// Writes the checksum into the block.
pub(crate) fn seal(block: &mut Block, salt: u64) {
    let sum = checksum(block, salt);
    block[PAYLOAD_BYTES..].copy_from_slice(&sum.to_le_bytes());
}

/// True when the block is as it was sealed.
pub(crate) fn is_intact(block: &[u8], salt: u64) -> bool {
    block.len() == BLOCK_BYTES && block[PAYLOAD_BYTES..] == checksum(block, salt).to_le_bytes()
}

fn checksum(block: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &block[..PAYLOAD_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_and_any_other_salt_is_noticed() {
        let mut block = empty();
        block[17] = 3;
        seal(&mut block, 9);
        assert!(is_intact(&block[..], 9));
        assert!(!is_intact(&block[..], 10));
        for bit in (0..BLOCK_BYTES * 8).step_by(97) {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&block[..], 9));
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
