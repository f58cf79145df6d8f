//! The unit of a segment file: a checksummed frame.
//!
//! ```text
//! 0  u32 CRC32C of everything after it, started from the segment's salt
//! 4  u32 payload bytes
//! 8  u8  kind: 1 entry, 2 commit
//! 9  u8  stream                      (commit: 0)
//! 10 u16 partition                   (commit: 0)
//! 12 u32 0                           (commit: entries in the group)
//! 16 u64 index                       (commit: number of the group)
//! 24 i64 append time in microseconds, the same for the whole group
//! 32 payload, zeros up to a multiple of 8
//! ```
//!
//! Integers are little-endian. A group commit is its entries and one commit frame; what has no commit frame was never acknowledged. The
//! kind is never 0, so that preallocated zeros are no frame. The salt is random per segment and never leaves it: bytes that a publisher
//! chose cannot pass for a frame.

/// Bytes before the payload.
pub(crate) const HEAD_BYTES: usize = 32;
/// Every frame begins at a multiple of this.
pub(crate) const ALIGN: usize = 8;

const KIND_ENTRY: u8 = 1;
const KIND_COMMIT: u8 = 2;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// An entry; stream and partition are not yet checked against the log.
    Entry { stream: u8, partition: u16, index: u64 },
    /// The end of a group.
    Commit { entries: u32, group: u64 },
}

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) crc: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) kind: FrameKind,
    pub(crate) time: i64,
}

impl Head {
    /// Reads a head; `None` when no frame can begin so. The checksum is not yet checked.
    pub(crate) fn parse(b: &[u8; HEAD_BYTES], payload_bytes_max: usize) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"));
        let payload_bytes = u32_at(4);
        let partition = u16::from_le_bytes([b[10], b[11]]);
        let kind = match b[8] {
            KIND_ENTRY if payload_bytes as usize <= payload_bytes_max && u32_at(12) == 0 => {
                FrameKind::Entry { stream: b[9], partition, index: u64_at(16) }
            }
            KIND_COMMIT if payload_bytes == 0 && b[9] == 0 && partition == 0 => {
                FrameKind::Commit { entries: u32_at(12), group: u64_at(16) }
            }
            _ => return None,
        };
        Some(Self { crc: u32_at(0), payload_bytes, kind, time: u64_at(24).cast_signed() })
    }

    /// Size of the whole frame, padding included.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes as usize)
    }
}

/// Size of a frame with a payload of that size.
pub(crate) fn frame_bytes(payload_bytes: usize) -> usize {
    (HEAD_BYTES + payload_bytes).next_multiple_of(ALIGN)
}

/// Whether the checksum of a whole frame is right.
pub(crate) fn intact(frame: &[u8], salt: u32) -> bool {
    frame.len() >= HEAD_BYTES && crc32c::crc32c_append(salt, &frame[4..]).to_le_bytes() == frame[..4]
}

/// Appends an entry's frame. `payload` is at most `u32::MAX` bytes.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    salt: u32,
    (stream, partition, index): (u8, u16, u64),
    time: i64,
    payload: &[u8],
) {
    let bytes = u32::try_from(payload.len()).expect("the caller checked the entry's size");
    put(out, salt, (bytes, KIND_ENTRY, stream, partition, 0, index, time), payload);
}

/// Appends the frame that ends a group.
pub(crate) fn put_commit(out: &mut Vec<u8>, salt: u32, entries: u32, group: u64, time: i64) {
    put(out, salt, (0, KIND_COMMIT, 0, 0, entries, group, time), &[]);
}

fn put(out: &mut Vec<u8>, salt: u32, head: (u32, u8, u8, u16, u32, u64, i64), payload: &[u8]) {
    let (bytes, kind, stream, partition, entries, number, time) = head;
    let from = out.len();
    let mut fixed = [0; HEAD_BYTES];
    fixed[4..8].copy_from_slice(&bytes.to_le_bytes());
    fixed[8] = kind;
    fixed[9] = stream;
    fixed[10..12].copy_from_slice(&partition.to_le_bytes());
    fixed[12..16].copy_from_slice(&entries.to_le_bytes());
    fixed[16..24].copy_from_slice(&number.to_le_bytes());
    fixed[24..32].copy_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(payload);
    out.resize(from + frame_bytes(payload.len()), 0);
    let crc = crc32c::crc32c_append(salt, &out[from + 4..]);
    out[from..from + 4].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(frame: &[u8]) -> Option<Head> {
        Head::parse(frame[..HEAD_BYTES].try_into().expect("a frame has a head"), 1 << 20)
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(head(&[0; HEAD_BYTES]), None);
    }

    #[test]
    fn entry_frame_has_its_golden_bytes() {
        let mut out = Vec::new();
        put_entry(&mut out, 0x0102_0304, (3, 0x0a0b, 7), 1_700_000_000_000_000, b"hello");
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&hex[8..], "0500000001030b0a00000000070000000000000000401e18240a060068656c6c6f000000");
        assert!(intact(&out, 0x0102_0304) && !intact(&out, 0));
    }

    proptest! {
        #[test]
        fn entry_frame_reads_back_as_written(
            salt: u32, stream in 0u8..4, partition: u16, index: u64, time: i64, payload: Vec<u8>
        ) {
            let mut out = vec![9; 8];
            put_entry(&mut out, salt, (stream, partition, index), time, &payload);
            let frame = &out[8..];
            let head = head(frame).expect("an entry");
            prop_assert_eq!(head.kind, FrameKind::Entry { stream, partition, index });
            prop_assert_eq!((head.time, head.frame_bytes()), (time, frame.len()));
            prop_assert_eq!(&frame[HEAD_BYTES..HEAD_BYTES + head.payload_bytes as usize], &payload[..]);
            prop_assert!(intact(frame, salt));
        }

        #[test]
        fn commit_frame_reads_back_as_written(salt: u32, entries: u32, group: u64, time: i64) {
            let mut out = Vec::new();
            put_commit(&mut out, salt, entries, group, time);
            let head = head(&out).expect("a commit");
            prop_assert_eq!(head.kind, FrameKind::Commit { entries, group });
            prop_assert_eq!((head.time, head.frame_bytes()), (time, out.len()));
            prop_assert!(intact(&out, salt));
        }

        #[test]
        fn every_single_bit_flip_is_detected(
            salt: u32, index: u64, time: i64, payload in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let mut out = Vec::new();
            put_entry(&mut out, salt, (0, 1, index), time, &payload);
            for bit in 0..out.len() * 8 {
                out[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!intact(&out, salt));
                out[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
