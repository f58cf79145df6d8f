//! The stable 64-bit hash behind blocking keys and name digests.
//!
//! Folded multiplication over 8-byte words. It is uniform and fast and its outputs are kept in posting files, so it never
//! changes; it is not a cryptographic hash: a collision costs one needless comparison, never a wrong link.

const SECRET: [u64; 4] = [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9, 0x4b33_a62e_d433_d4a3, 0x4d5a_2da5_1de1_aa47];

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hashes bytes under a seed. Frozen: equal input gives the same number in every version.
pub fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = fold(seed ^ SECRET[0], (bytes.len() as u64) ^ SECRET[1]);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = hash_word(state, u64::from_le_bytes(word));
    }
    finish(state)
}

/// Mixes one word into a running state.
pub(crate) fn hash_word(state: u64, word: u64) -> u64 {
    fold(state ^ word ^ SECRET[2], SECRET[1]).wrapping_add(state.rotate_left(23))
}

/// Ends a running state.
pub(crate) fn finish(state: u64) -> u64 {
    fold(state ^ SECRET[3], SECRET[0] ^ (state >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_frozen() {
        assert_eq!([hash64(0, b""), hash64(1, b"nguyen van an")], GOLDEN);
    }

    const GOLDEN: [u64; 2] = [2_924_505_314_894_757_007, 6_589_670_047_136_629_356];

    #[test]
    fn low_and_high_bits_are_uniform() {
        let mut low = [0u32; 256];
        let mut high = [0u32; 256];
        for n in 0..65_536u64 {
            let h = hash64(7, &n.to_le_bytes());
            low[(h & 255) as usize] += 1;
            high[(h >> 56) as usize] += 1;
        }
        assert!(low.iter().chain(&high).all(|n| (170..350).contains(n)));
    }
}
