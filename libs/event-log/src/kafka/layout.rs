//! Topics and partitions in a fixed order, so that a position vector is a plain array.

use record::{Index, Partition, Position, Positions, Stream};

use crate::types::{Locator, PartitionCounts};

/// Bits of a locator for the index.
const INDEX_BITS: u32 = 48;
/// Bits of a locator for the partition.
const PARTITION_BITS: u32 = 14;

/// The streams as topics: `control` first, so that it wins between equal times.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) counts: PartitionCounts,
    topics: [String; 4],
}

const ORDER: [Stream; 4] = [Stream::Control, Stream::Change, Stream::Rejected, Stream::Access];

/// The topic of a stream.
pub(super) fn topic_name(prefix: &str, stream: Stream) -> String {
    format!("{prefix}.{}", stream.name())
}

impl Layout {
    pub(super) fn new(prefix: &str, counts: PartitionCounts) -> Self {
        Self { counts, topics: ORDER.map(|stream| topic_name(prefix, stream)) }
    }

    pub(super) fn topic(&self, stream: Stream) -> &str {
        let at = ORDER.iter().position(|s| *s == stream).expect("every stream is in the order");
        &self.topics[at]
    }

    /// How many partitions there are, over all topics.
    pub(super) fn len(&self) -> usize {
        ORDER.iter().map(|s| usize::from(self.counts.of(*s))).sum()
    }

    pub(super) fn slot(&self, stream: Stream, partition: Partition) -> Option<usize> {
        if partition.0 >= self.counts.of(stream) {
            return None;
        }
        let before = ORDER.iter().take_while(|s| **s != stream);
        Some(before.map(|s| usize::from(self.counts.of(*s))).sum::<usize>() + usize::from(partition.0))
    }

    /// The reverse of [`Layout::slot`]; `slot` must be less than [`Layout::len`].
    pub(super) fn place(&self, slot: usize) -> (Stream, Partition) {
        let mut left = slot;
        for stream in ORDER {
            let count = usize::from(self.counts.of(stream));
            if left < count {
                return (stream, Partition(u16::try_from(left).expect("a count of partitions is a u16")));
            }
            left -= count;
        }
        unreachable!("a slot is less than the number of partitions")
    }

    pub(super) fn position(&self, slot: usize, index: u64) -> Position {
        let (stream, partition) = self.place(slot);
        Position { stream, partition, index: Index(index) }
    }

    pub(super) fn positions(&self, next: &[u64]) -> Positions {
        next.iter()
            .enumerate()
            .map(|(slot, index)| {
                let (stream, partition) = self.place(slot);
                (stream, partition, Index(*index))
            })
            .collect()
    }
}

impl Locator {
    /// A place in Kafka: two bits of stream, 14 of partition, 48 of index.
    pub(super) fn of_position(position: Position) -> Self {
        debug_assert!(position.index.0 >> INDEX_BITS == 0 && position.partition.0 >> PARTITION_BITS == 0);
        let partition = u64::from(position.partition.0) << INDEX_BITS;
        Self((position.stream as u64) << (INDEX_BITS + PARTITION_BITS) | partition | position.index.0)
    }

    pub(super) fn to_position(self) -> Position {
        let stream = Stream::from_u8((self.0 >> (INDEX_BITS + PARTITION_BITS)) as u8).expect("two bits name a stream");
        let partition = (self.0 >> INDEX_BITS) as u16 & ((1 << PARTITION_BITS) - 1);
        Position { stream, partition: Partition(partition), index: Index(self.0 & ((1 << INDEX_BITS) - 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_names_one_partition_and_back() {
        let layout = Layout::new("p", PartitionCounts { change: 5, rejected: 3, access: 2 });
        for slot in 0..layout.len() {
            let (stream, partition) = layout.place(slot);
            assert_eq!(layout.slot(stream, partition), Some(slot));
        }
        assert_eq!(layout.len(), 11);
        assert_eq!(layout.slot(Stream::Change, Partition(5)), None);
        assert_eq!(layout.topic(Stream::Rejected), "p.rejected");
    }

    #[test]
    fn a_locator_is_its_position() {
        for stream in Stream::ALL {
            for (partition, index) in [(0, 0), (4_095, (1 << 48) - 1), (7, 1 << 33)] {
                let position = Position { stream, partition: Partition(partition), index: Index(index) };
                assert_eq!(Locator::of_position(position).to_position(), position);
            }
        }
    }
}
