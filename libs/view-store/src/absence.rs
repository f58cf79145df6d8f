//! What tells without asking the store that a row is not there.
//!
//! Most rows that a fold asks for by key are new: it asks in order to learn that they are absent, and a log-structured store then
//! looks through every level. A filter of the keys that were ever written answers nearly all of these with one read of memory. It may
//! say of an absent row that it might be there, never of a stored row that it is absent.
//!
//! A store that began empty is known from its first row on. Of one that was opened again the filter is made from its keys on another
//! thread, once so many absent rows were asked for that it pays; until then the store is asked.

use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::DefaultHashBuilder;

use crate::error::Error;
use crate::store::Store;
use crate::table::{KeyRange, StoredKey, Table};
use crate::work::Work;

/// A block is a cache line, so that a key costs one read of memory.
type Block = [u64; 8];
const BLOCK_BITS: usize = 512;
/// With six bits set of twelve for each key, one absent key in a hundred is taken for a present one.
const BITS_SET: u32 = 6;
const BITS_PER_KEY: usize = 12;
/// Blocks of the first layer; each further one has four times as many.
const FIRST_BLOCKS: usize = 1 << 13;
/// How far the last layer may be overfilled before the filter has no use.
const OVERFILLED: usize = 4;
/// Absent rows asked for before the keys of a store that was there are gathered.
const MISSES_BEFORE_SCAN: u64 = 20_000;
/// Keys read at a time.
const SCAN_ROWS: usize = 4096;

/// A Bloom filter of one size.
struct Layer {
    blocks: Box<[Block]>,
    keys: usize,
}

impl Layer {
    fn new(blocks: usize) -> Self {
        Self { blocks: vec![[0; 8]; blocks].into(), keys: 0 }
    }

    fn keys_max(&self) -> usize {
        self.blocks.len() * BLOCK_BITS / BITS_PER_KEY
    }

    fn place(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.blocks.len() as u128) >> 64) as usize
    }

    fn insert(&mut self, hash: u64) {
        let place = self.place(hash);
        let block = &mut self.blocks[place];
        let mut new = false;
        for (word, bit) in bits(hash) {
            new |= block[word] & bit == 0;
            block[word] |= bit;
        }
        self.keys += usize::from(new);
    }

    fn may_hold(&self, hash: u64) -> bool {
        let block = &self.blocks[self.place(hash)];
        bits(hash).all(|(word, bit)| block[word] & bit != 0)
    }
}

/// Words and bits of a hash within its block. The block is chosen by the high bits, so these are mixed again.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..BITS_SET).map(move |n| {
        let at = (mixed >> (64 - 9 * (n + 1))) as usize % BLOCK_BITS;
        (at / 64, 1 << (at % 64))
    })
}

/// Filters that grow with the number of keys, up to a bound.
#[derive(Default)]
struct Layers {
    layers: Vec<Layer>,
    blocks_max: usize,
    /// There are more keys than the bound has room for.
    overfilled: bool,
}

impl Layers {
    fn new(blocks_max: usize) -> Self {
        Self { layers: Vec::new(), blocks_max, overfilled: false }
    }

    fn insert(&mut self, hash: u64) {
        if self.overfilled {
            return;
        }
        if self.layers.last().is_none_or(|last| last.keys >= last.keys_max()) {
            self.grow();
        }
        match self.layers.last_mut() {
            Some(last) if last.keys < OVERFILLED * last.keys_max() => last.insert(hash),
            Some(_) | None => *self = Self { overfilled: true, ..Self::new(self.blocks_max) },
        }
    }

    fn grow(&mut self) {
        let used: usize = self.layers.iter().map(|layer| layer.blocks.len()).sum();
        let next = self.layers.last().map_or(FIRST_BLOCKS, |last| 4 * last.blocks.len());
        let next = next.min(self.blocks_max.saturating_sub(used));
        if next > 0 {
            self.layers.push(Layer::new(next));
        }
    }

    fn may_hold(&self, hash: u64) -> bool {
        self.overfilled || self.layers.iter().rev().any(|layer| layer.may_hold(hash))
    }

    fn join(&mut self, other: Self) {
        self.overfilled |= other.overfilled;
        self.layers.extend(other.layers);
        self.blocks_max += other.blocks_max;
    }
}

/// How much is known.
enum State {
    /// Nothing: the store had rows when it was opened.
    Unknown,
    /// The keys that were there are being read; those written since are in the filter.
    Gathering { work: Work, found: Arc<Mutex<Layers>> },
    /// Every key is in the filter.
    Known,
    /// There are too many keys, or they could not be read.
    GivenUp,
}

/// Which rows of the tables that are read again are surely absent from a store.
pub(crate) struct Absence {
    hashes: DefaultHashBuilder,
    blocks_max: usize,
    layers: Layers,
    state: State,
    /// Absent rows that the store was asked for while nothing was known.
    misses: AtomicU64,
}

impl Absence {
    /// Of a store that is empty.
    pub(crate) fn of_empty(bytes_max: u64) -> Self {
        let blocks_max = usize::try_from(bytes_max).unwrap_or(usize::MAX) / size_of::<Block>();
        Self {
            hashes: DefaultHashBuilder::default(),
            blocks_max,
            layers: Layers::new(blocks_max),
            state: State::Known,
            misses: AtomicU64::new(0),
        }
    }

    /// Of a store with rows.
    pub(crate) fn of_opened(bytes_max: u64) -> Self {
        Self { state: State::Unknown, ..Self::of_empty(bytes_max) }
    }

    /// Notes a key that is about to be written.
    pub(crate) fn note(&mut self, table: Table, key: &[u8]) {
        if !table.is_read_again() || matches!(self.state, State::Unknown | State::GivenUp) {
            return;
        }
        self.layers.insert(hash(&self.hashes, table.number(), key));
        if self.layers.overfilled {
            self.give_up();
        }
    }

    /// Whether the store need not be asked for a row.
    pub(crate) fn is_absent(&self, key: &StoredKey) -> bool {
        let State::Known = self.state else { return false };
        let (table, key) = key.bytes().split_first().expect("a stored key begins with its table");
        !self.layers.may_hold(hash(&self.hashes, *table, key))
    }

    /// The store was asked for a row that is absent.
    pub(crate) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the keys of the store should be gathered now.
    pub(crate) fn wants_keys(&self) -> bool {
        matches!(self.state, State::Unknown) && self.misses.load(Ordering::Relaxed) >= MISSES_BEFORE_SCAN
    }

    /// Begins to read the keys that are there, between two batches, when all that was written is in the store; from now on every key
    /// that is written is noted.
    pub(crate) fn gather(&mut self, store: Arc<Store>, at: &Path) -> Result<(), Error> {
        // Together they stay within the bound.
        let for_new = self.blocks_max / 4;
        self.layers = Layers::new(for_new);
        let (empty, hashes) = (Layers::new(self.blocks_max - for_new), self.hashes.clone());
        let found = Arc::new(Mutex::new(Layers::default()));
        let into = Arc::clone(&found);
        let work = Work::begin("view-keys", at, move |stop| {
            let layers = scan(&store, &hashes, empty, stop)?;
            *into.lock().unwrap_or_else(PoisonError::into_inner) = layers;
            Ok(())
        })?;
        self.state = State::Gathering { work, found };
        Ok(())
    }

    /// Ends a reading of keys that is under way: whoever rewrites the store's files must not find what it reads kept alive by that. It begins
    /// anew when it would pay.
    pub(crate) fn interrupt(&mut self) {
        if matches!(self.state, State::Gathering { .. }) {
            (self.layers, self.state) = (Layers::new(self.blocks_max), State::Unknown);
            self.misses.store(0, Ordering::Relaxed);
        }
    }

    /// Takes the keys that were read, once they all were. Where they could not be read the store goes on being asked, which tells
    /// what is wrong with it.
    pub(crate) fn tend(&mut self) {
        if !matches!(&self.state, State::Gathering { work, .. } if work.is_done()) {
            return;
        }
        let State::Gathering { work, found } = std::mem::replace(&mut self.state, State::Known) else { return };
        match work.join() {
            Ok(()) => self.layers.join(std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner))),
            Err(_) => self.layers.overfilled = true,
        }
        if self.layers.overfilled {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        (self.layers, self.state) = (Layers::default(), State::GivenUp);
    }
}

fn hash(hashes: &DefaultHashBuilder, table: u8, key: &[u8]) -> u64 {
    let mut hasher = hashes.build_hasher();
    hasher.write_u8(table);
    hasher.write(key);
    hasher.finish()
}

/// A row that is written or deleted meanwhile is noted by who writes it, so this need not be of one moment.
fn scan(store: &Store, hashes: &DefaultHashBuilder, mut layers: Layers, stop: &AtomicBool) -> Result<Layers, Error> {
    for table in Table::ALL.into_iter().filter(|table| table.is_read_again()) {
        let mut from = Vec::new();
        loop {
            let rows = store.range(table, KeyRange::From(&from), SCAN_ROWS)?;
            rows.iter().for_each(|(key, _)| layers.insert(hash(hashes, table.number(), key)));
            match rows.last() {
                Some((last, _)) if rows.len() == SCAN_ROWS => from = [&last[..], &[0]].concat(),
                Some(_) | None => break,
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Durability};
    use crate::store::StoreKind;

    const MIB: u64 = 1 << 20;

    fn key(n: u64) -> [u8; 16] {
        let mut key = [7; 16];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    }

    fn absent(absence: &Absence, table: Table, keys: std::ops::Range<u64>) -> usize {
        keys.filter(|n| absence.is_absent(&StoredKey::new(table, &key(*n)))).count()
    }

    #[test]
    fn what_was_noted_is_never_absent_and_the_rest_nearly_always_is() {
        let mut absence = Absence::of_empty(8 * MIB);
        (0..400_000).for_each(|n| absence.note(Table::Head, &key(n)));
        assert_eq!(absent(&absence, Table::Head, 0..400_000), 0);
        let told = absent(&absence, Table::Head, 400_000..500_000);
        assert!(told > 95_000, "{told} of 100,000");
        let told = absent(&absence, Table::Mention, 0..100_000);
        assert!(told > 95_000, "{told} of 100,000 in another table");
    }

    #[test]
    fn more_keys_than_the_bound_has_room_for_are_told_by_the_store_alone() {
        let mut absence = Absence::of_empty(MIB / 8);
        (0..1_000_000).for_each(|n| absence.note(Table::Head, &key(n)));
        assert_eq!(absent(&absence, Table::Head, 0..2_000_000), 0);
        assert!(absence.layers.layers.is_empty(), "its memory is given back");
    }

    #[test]
    fn keys_of_an_opened_store_are_gathered_with_those_written_meanwhile() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Arc::new(Store::open(StoreKind::Fjall, dir.path(), 0).expect("a store"));
        let mut batch = Batch::new();
        (0..20_000).for_each(|n| batch.put(Table::NodeById, &key(n), b"there"));
        store.commit(batch, Durability::Buffered).expect("committed");

        let mut absence = Absence::of_opened(MIB);
        assert_eq!(absent(&absence, Table::NodeById, 50_000..60_000), 0, "nothing is known yet");
        for interrupted in [true, false] {
            assert!(!absence.wants_keys());
            (0..MISSES_BEFORE_SCAN).for_each(|_| absence.missed());
            assert!(absence.wants_keys());
            absence.gather(Arc::clone(&store), dir.path()).expect("a thread");
            if interrupted {
                absence.interrupt();
                assert_eq!(absent(&absence, Table::NodeById, 0..60_000), 0, "nothing is known again");
            }
        }
        (20_000..21_000).for_each(|n| absence.note(Table::NodeById, &key(n)));
        while matches!(absence.state, State::Gathering { .. }) {
            std::thread::yield_now();
            absence.tend();
        }
        assert_eq!(absent(&absence, Table::NodeById, 0..21_000), 0);
        let told = absent(&absence, Table::NodeById, 50_000..60_000);
        assert!(told > 9_500, "{told} of 10,000");
    }
}
