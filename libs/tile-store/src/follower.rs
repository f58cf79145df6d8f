//! From the log's entries to the ledger: hashes are appended, cuts become ticks.

use std::collections::VecDeque;

use ledger::tick::tree_name;
use record::control::{Control, Order};
use record::{Entry, EntryHash, EntryKind, Position, Positions, Timestamp};

use crate::error::Error;
use crate::store::TileStore;

/// Keeps a ledger behind its log. It is given the log's entries from [`TileStore::ends`] on; those of one partition in order,
/// partitions in any order.
///
/// A cut becomes a tick once every entry that it covers was given: a log whose streams are read one after the other gives
/// a cut before some of what it covers. A cut that is not later than the last tick, or behind it in a partition, becomes none. So
/// the ticks follow from the log alone, however it is read.
#[derive(Debug)]
pub struct Follower {
    store: TileStore,
    /// Cuts whose entries have not all been given, in their order.
    waiting: VecDeque<(Timestamp, Positions)>,
}

impl Follower {
    /// Cuts that wait at most; [`Follower::is_full`] says when to read other streams first.
    pub const WAITING_MAX: usize = 4_096;

    /// A follower that extends this ledger.
    pub fn new(store: TileStore) -> Self {
        Self { store, waiting: VecDeque::new() }
    }

    /// The ledger.
    pub fn store(&self) -> &TileStore {
        &self.store
    }

    /// The ledger, to publish and commit.
    pub fn store_mut(&mut self) -> &mut TileStore {
        &mut self.store
    }

    /// Whether so many cuts wait for entries of other partitions that these should be given before more of `control`.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= Self::WAITING_MAX
    }

    /// Takes an entry, and the ticks that it completes. An entry that the ledger has already is left out. Returns how many
    /// ticks were taken.
    ///
    /// # Errors
    /// [`Error::Gap`], [`Error::NoPartition`], [`Error::Control`], [`Error::Poisoned`], [`Error::Io`].
    pub fn take(&mut self, position: Position, entry: &[u8]) -> Result<usize, Error> {
        let size = self.store.size(position.stream, position.partition)?;
        if position.index < size {
            return Ok(0);
        }
        if position.index > size {
            let tree = tree_name(position.stream, position.partition);
            return Err(Error::Gap { tree, found: position.index.0, size: size.0 });
        }
        let cut = cut_of(entry).map_err(|source| Error::Control { position, source })?;
        self.store.append(position.stream, position.partition, [EntryHash::of(entry)])?;
        self.waiting.extend(cut);
        self.ticks()
    }

    fn ticks(&mut self) -> Result<usize, Error> {
        let mut taken = 0;
        while let Some((at, ends)) = self.waiting.front() {
            match self.store.tick(*at, ends) {
                Ok(_) => taken += 1,
                Err(Error::Backwards) => {}
                Err(Error::Ahead { .. }) => break,
                Err(error) => return Err(error),
            }
            self.waiting.pop_front();
        }
        Ok(taken)
    }
}

fn cut_of(bytes: &[u8]) -> Result<Option<(Timestamp, Positions)>, record::DecodeError> {
    const KIND: usize = 3;
    if bytes.get(KIND) != Some(&(EntryKind::Control as u8)) {
        return Ok(None);
    }
    // A control entry whose body is not plain is no cut: only the hub writes those.
    let Ok(body) = Entry::decode(bytes)?.plain_body() else { return Ok(None) };
    match Control::decode(body)?.order {
        Order::Cut { at, ends } => Ok(Some((at, ends))),
        _ => Ok(None),
    }
}
