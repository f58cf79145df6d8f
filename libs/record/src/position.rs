//! Where an entry stands in the log.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Reader, Writer};

/// A stream of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Stream {
    /// Record changes; partitioned by record.
    Change = 0,
    /// Contracts, policies, unit lists, epochs, decisions, cuts: one partition, one total order.
    Control = 1,
    /// Who was answered what.
    Access = 2,
    /// Changes that were refused, with their reasons.
    Rejected = 3,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Self; 4] = [Self::Change, Self::Control, Self::Access, Self::Rejected];

    /// The stream with that number.
    pub fn from_u8(v: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as u8 == v)
    }

    /// The name, as commands and answers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Control => "control",
            Self::Access => "access",
            Self::Rejected => "rejected",
        }
    }
}

/// A partition of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Partition(pub u16);

/// The number of an entry in its partition, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Index(pub u64);

impl Index {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The place of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The stream.
    pub stream: Stream,
    /// The partition of the stream.
    pub partition: Partition,
    /// The entry's number in the partition.
    pub index: Index,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.stream.name(), self.partition.0, self.index.0)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut parts = text.split('/');
        let stream = parts.next().and_then(|name| Stream::ALL.into_iter().find(|s| s.name() == name));
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (partition, index) = (number().and_then(|n| u16::try_from(n).ok()), number());
        let read = stream.zip(partition).zip(index);
        let read = read.map(|((stream, p), i)| Self { stream, partition: Partition(p), index: Index(i) });
        read.filter(|position| position.to_string() == text).ok_or(PositionError)
    }
}

/// A text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position: expected stream/partition/index, such as change/3/17")]
pub struct PositionError;

/// A position vector: for each partition the index after the last entry that counts (its end, exclusive).
///
/// A partition that is not named stands at 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions(BTreeMap<(Stream, Partition), Index>);

impl Positions {
    /// Nothing read, of any partition.
    pub fn new() -> Self {
        Self::default()
    }

    /// The end of one partition.
    pub fn get(&self, stream: Stream, partition: Partition) -> Index {
        self.0.get(&(stream, partition)).copied().unwrap_or_default()
    }

    /// Sets the end of one partition.
    pub fn set(&mut self, stream: Stream, partition: Partition, end: Index) {
        if end.0 == 0 {
            self.0.remove(&(stream, partition));
        } else {
            self.0.insert((stream, partition), end);
        }
    }

    /// Moves a partition's end so that `position` counts; never moves it back.
    pub fn include(&mut self, position: Position) {
        if !self.covers(position) {
            self.set(position.stream, position.partition, position.index.next());
        }
    }

    /// Whether the entry at `position` counts.
    pub fn covers(&self, position: Position) -> bool {
        position.index < self.get(position.stream, position.partition)
    }

    /// Whether every entry that counts in `other` counts here.
    pub fn covers_all(&self, other: &Self) -> bool {
        other.iter().all(|(s, p, end)| self.get(s, p) >= end)
    }

    /// Every partition that is not at 0, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Stream, Partition, Index)> + '_ {
        self.0.iter().map(|(&(s, p), &i)| (s, p, i))
    }

    /// How many entries count, over all partitions.
    pub fn total(&self) -> u64 {
        self.0.values().map(|i| i.0).sum()
    }

    /// Only the partitions of one stream.
    pub fn of(&self, stream: Stream) -> Self {
        Self(self.0.iter().filter(|((s, _), _)| *s == stream).map(|(k, v)| (*k, *v)).collect())
    }

    /// Appends the canonical encoding.
    pub fn encode(&self, w: &mut Writer) {
        w.varint(self.0.len() as u64);
        for (stream, partition, end) in self.iter() {
            w.u8(stream as u8).u16(partition.0).varint(end.0);
        }
    }

    /// Reads what [`Positions::encode`] wrote; order and non-zero ends are checked.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut out = Self::new();
        for _ in 0..r.count(4)? {
            let at = r.at();
            let stream = Stream::from_u8(r.u8()?).ok_or(DecodeError::Invalid { at, what: "stream" })?;
            let key = (stream, Partition(r.u16()?));
            let end = Index(r.varint()?);
            let in_order = out.0.last_key_value().is_none_or(|(last, _)| *last < key);
            if !in_order || end.0 == 0 {
                return Err(DecodeError::Invalid { at, what: "position vector" });
            }
            out.0.insert(key, end);
        }
        Ok(out)
    }
}

impl FromIterator<(Stream, Partition, Index)> for Positions {
    fn from_iter<T: IntoIterator<Item = (Stream, Partition, Index)>>(iter: T) -> Self {
        let mut out = Self::new();
        for (stream, partition, end) in iter {
            out.set(stream, partition, end);
        }
        out
    }
}
