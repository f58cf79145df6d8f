//! A bounded cache of verified blocks.
//!
//! Direct-mapped: a block has one slot, found by hashing its number, with a lock of its own. No list to keep in
//! order and no lock that all threads share; a collision costs one read of a page that the system most likely holds.

use std::sync::{Mutex, PoisonError};

use crate::block::{self, BLOCK_BYTES, Block};
use crate::error::Error;

struct Slot {
    number: u64,
    block: Box<Block>,
}

/// Verified blocks by number.
pub(super) struct BlockCache {
    slots: Vec<Mutex<Option<Slot>>>,
}

impl BlockCache {
    /// A cache of at most `bytes`, and of one block at least.
    pub(super) fn new(bytes: u64) -> Self {
        let count = usize::try_from(bytes / BLOCK_BYTES as u64).unwrap_or(1).max(1);
        Self { slots: (0..count).map(|_| Mutex::new(None)).collect() }
    }

    /// Lets `view` read a block, which `load` fetches and verifies when it is not here.
    pub(super) fn read(
        &self,
        number: u64,
        load: impl FnOnce(&mut Block) -> Result<(), Error>,
        view: impl FnOnce(&Block),
    ) -> Result<(), Error> {
        let mut held = self.slot(number).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = held.as_ref().filter(|slot| slot.number == number) {
            view(&slot.block);
            return Ok(());
        }
        // Taken out while it loads, so that a failed load leaves the slot empty.
        let mut block = held.take().map_or_else(block::empty, |slot| slot.block);
        load(&mut block)?;
        view(&block);
        *held = Some(Slot { number, block });
        Ok(())
    }

    /// Lets `write` write a block anew while nobody loads it, and forgets what was cached of it.
    pub(super) fn replace<T>(&self, number: u64, write: impl FnOnce() -> T) -> T {
        let mut held = self.slot(number).lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|slot| slot.number == number) {
            *held = None;
        }
        write()
    }

    /// Lets `load` read a block past the cache, while nobody writes it.
    pub(super) fn pass<T>(&self, number: u64, load: impl FnOnce() -> T) -> T {
        let _held = self.slot(number).lock().unwrap_or_else(PoisonError::into_inner);
        load()
    }

    fn slot(&self, number: u64) -> &Mutex<Option<Slot>> {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.slots[usize::try_from(spread).expect("32 bits fit") % self.slots.len()]
    }
}
