//! The super-log: one tree over the states of all partitions.
//!
//! Every partition of the log has its RFC 6962 tree, whose leaves are the entries' 32-byte hashes. A *head* is such a tree's
//! size and root, written as the text of a C2SP checkpoint with origin `<log>/<stream>/<partition>`. A *tick* takes the heads of
//! all partitions at one cut of the log, puts a tree over them, and is a leaf of the super-log:
//!
//! ```text
//! hub.tick/v1
//! 1763791978000000            time of the cut, microseconds since 1970
//! 64 1 1 1                    partitions of change, control, access, rejected
//! <base64 of the root over the heads, in this order>
//! ```
//!
//! The super-log's checkpoint, with the log's own name as origin, is what the log signs and witnesses cosign. Its last leaf is
//! the state of the whole log. Every partition has one slot and every slot one partition, so that a tick cannot show two
//! heads of one partition. Ticks are taken at cuts, which are in the log, so that the super-log can be built again from it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use record::{Partition, Stream, Timestamp};

use crate::checkpoint::Checkpoint;
use crate::tree::{Hash, Tree, leaf_hash};

const FIRST_LINE: &str = "hub.tick/v1";

/// Most partitions of one stream.
pub const PARTITIONS_MAX: u16 = 4_096;

/// A text is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TickError {
    /// Not a tick.
    #[error("not a tick: expected '{FIRST_LINE}', time, partitions of each stream and base64 root, each on a line")]
    Tick,
    /// Not a head of this log.
    #[error("not a head: expected a checkpoint with origin <log>/<stream>/<partition> and no further lines")]
    Head,
}

/// How many partitions each stream has; `control` has one. Decides each partition's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Partitions of `change`.
    pub change: u16,
    /// Partitions of `access`.
    pub access: u16,
    /// Partitions of `rejected`.
    pub rejected: u16,
}

impl Shape {
    /// How many partitions a stream has.
    pub fn of(&self, stream: Stream) -> u16 {
        match stream {
            Stream::Change => self.change,
            Stream::Control => 1,
            Stream::Access => self.access,
            Stream::Rejected => self.rejected,
        }
    }

    /// Partitions of all streams.
    pub fn slots(&self) -> u64 {
        Stream::ALL.into_iter().map(|s| u64::from(self.of(s))).sum()
    }

    /// A partition's number among all; `None` when there is no such partition.
    pub fn slot(&self, stream: Stream, partition: Partition) -> Option<u64> {
        let before: u64 = Stream::ALL.into_iter().take_while(|s| *s != stream).map(|s| u64::from(self.of(s))).sum();
        (partition.0 < self.of(stream)).then(|| before + u64::from(partition.0))
    }

    /// Every partition in the order of slots.
    pub fn partitions(self) -> impl Iterator<Item = (Stream, Partition)> {
        Stream::ALL.into_iter().flat_map(move |s| (0..self.of(s)).map(move |p| (s, Partition(p))))
    }

    fn is_sound(&self) -> bool {
        Stream::ALL.into_iter().all(|s| (1..=PARTITIONS_MAX).contains(&self.of(s)))
    }
}

/// The state of all partitions at one cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Time of the cut.
    pub at: Timestamp,
    /// How many partitions there are.
    pub shape: Shape,
    /// Root over the heads.
    pub heads: Hash,
}

impl Tick {
    /// The text, which is the leaf's entry.
    pub fn to_text(&self) -> String {
        let Shape { change, access, rejected } = self.shape;
        format!("{FIRST_LINE}\n{}\n{change} 1 {access} {rejected}\n{}\n", self.at.0, STANDARD.encode(self.heads))
    }

    /// Parses a tick; one value has one spelling.
    ///
    /// # Errors
    /// [`TickError::Tick`].
    pub fn parse(text: &str) -> Result<Self, TickError> {
        let read = Self::read(text).filter(|tick| tick.shape.is_sound() && tick.to_text() == text);
        read.ok_or(TickError::Tick)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split('\n').skip(1);
        // What cannot be read is no tick, whatever the reason.
        let at = Timestamp(lines.next()?.parse().ok()?);
        let mut counts = lines.next()?.split(' ').map(|n| n.parse::<u16>().ok());
        let (change, _control, access, rejected) = (counts.next()??, counts.next()??, counts.next()??, counts.next()??);
        let heads = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        Some(Self { at, shape: Shape { change, access, rejected }, heads })
    }
}

/// The state of one partition: how many entries, and the root over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The stream.
    pub stream: Stream,
    /// The partition.
    pub partition: Partition,
    /// Entries.
    pub size: u64,
    /// Root over their hashes.
    pub root: Hash,
}

impl Head {
    /// The head as a checkpoint of its own, as it is hashed into a tick and signed for tools that read one partition.
    pub fn checkpoint(&self, log: &str) -> Checkpoint {
        Checkpoint::new(format!("{log}/{}", tree_name(self.stream, self.partition)), self.size, self.root)
    }

    /// Parses a head's text.
    ///
    /// # Errors
    /// [`TickError::Head`].
    pub fn parse(text: &str, log: &str) -> Result<Self, TickError> {
        // A text that is no checkpoint is no head.
        let read = Checkpoint::parse(text).ok().and_then(|c| Self::of(&c, log));
        read.filter(|head| head.checkpoint(log).to_text() == text).ok_or(TickError::Head)
    }

    fn of(checkpoint: &Checkpoint, log: &str) -> Option<Self> {
        let name = checkpoint.origin.strip_prefix(log)?.strip_prefix('/')?;
        let (stream, partition) = parse_tree_name(name)?;
        Some(Self { stream, partition, size: checkpoint.size, root: checkpoint.root })
    }
}

/// Which of a log's trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreeOf {
    /// The super-log.
    Log,
    /// A partition.
    Partition(Stream, Partition),
}

/// The name of a partition's tree below its log: `<stream>/<partition>`.
pub fn tree_name(stream: Stream, partition: Partition) -> String {
    format!("{}/{}", stream.name(), partition.0)
}

/// Parses what [`tree_name`] wrote.
pub fn parse_tree_name(name: &str) -> Option<(Stream, Partition)> {
    let (stream, partition) = name.split_once('/')?;
    let stream = Stream::ALL.into_iter().find(|s| s.name() == stream)?;
    // Another spelling names no tree.
    let partition = Partition(partition.parse().ok()?);
    (tree_name(stream, partition) == name).then_some((stream, partition))
}

/// The heads of all partitions at one tick, with the tree over them.
#[derive(Debug, Clone)]
pub struct Heads {
    shape: Shape,
    heads: Vec<Head>,
    tree: Tree,
}

impl Heads {
    /// Asks for the size and root of each partition, in the order of slots.
    ///
    /// # Errors
    /// What `head` returns.
    pub fn collect<E>(
        log: &str,
        shape: Shape,
        mut head: impl FnMut(Stream, Partition) -> Result<(u64, Hash), E>,
    ) -> Result<Self, E> {
        let mut heads = Vec::with_capacity(shape.slots() as usize);
        for (stream, partition) in shape.partitions() {
            let (size, root) = head(stream, partition)?;
            heads.push(Head { stream, partition, size, root });
        }
        let tree = Tree::new(heads.iter().map(|h| leaf_hash(h.checkpoint(log).to_text().as_bytes())).collect());
        Ok(Self { shape, heads, tree })
    }

    /// The tick at that time.
    pub fn tick(&self, at: Timestamp) -> Tick {
        Tick { at, shape: self.shape, heads: self.tree.root() }
    }

    /// The heads in the order of slots.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// One partition's head, with the path from it to the tick's root.
    pub fn prove(&self, stream: Stream, partition: Partition) -> Option<(Head, Vec<Hash>)> {
        let slot = self.shape.slot(stream, partition)? as usize;
        Some((self.heads[slot], self.tree.path(slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::verify_inclusion;

    const SHAPE: Shape = Shape { change: 3, access: 2, rejected: 1 };

    #[test]
    fn every_partition_has_one_slot_and_is_proven_there() {
        let Ok(heads) = Heads::collect("hub.test/log", SHAPE, |s, p| {
            Ok::<_, std::convert::Infallible>((10 * s as u64 + u64::from(p.0) + 1, [s as u8; 32]))
        });
        let tick = heads.tick(Timestamp(5));
        assert_eq!((SHAPE.slots(), heads.heads().len()), (7, 7));
        for (n, (stream, partition)) in SHAPE.partitions().enumerate() {
            assert_eq!(SHAPE.slot(stream, partition), Some(n as u64));
            let (head, path) = heads.prove(stream, partition).unwrap();
            let text = head.checkpoint("hub.test/log").to_text();
            assert_eq!(Head::parse(&text, "hub.test/log"), Ok(head));
            assert_eq!(Head::parse(&text, "hub.test/lo"), Err(TickError::Head));
            verify_inclusion(leaf_hash(text.as_bytes()), n as u64, SHAPE.slots(), &tick.heads, &path).unwrap();
        }
        assert_eq!(SHAPE.slot(Stream::Access, Partition(2)), None);
    }

    #[test]
    fn a_tick_has_one_spelling() {
        let tick = Tick { at: Timestamp(1_763_791_978_000_000), shape: SHAPE, heads: [1; 32] };
        let text = tick.to_text();
        assert_eq!(text, "hub.tick/v1\n1763791978000000\n3 1 2 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n");
        assert_eq!(Tick::parse(&text), Ok(tick));
        for (from, to) in
            [("v1", "v2"), ("3 1 2", "3 2 2"), ("3 1", "03 1"), ("3 1", "0 1"), ("\n1763", "\n+1763"), ("E=\n", "E=")]
        {
            assert_eq!(Tick::parse(&text.replacen(from, to, 1)), Err(TickError::Tick), "{from} {to}");
        }
    }
}
