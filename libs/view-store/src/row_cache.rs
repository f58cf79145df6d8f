//! Committed rows that the fold reads again and again, in memory.
//!
//! It holds only what the store holds: rows that were read from it, and the writes of batches that it took. A deleted row
//! is remembered as such, so that asking for it again does not ask the store.

use hashbrown::DefaultHashBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::table::StoredKey;
use crate::value::Value;

/// What an entry costs beside the bytes of its value: key, pointers and the cache's own books.
const ENTRY_BYTES: u64 = 128;
/// Bytes of a middling entry; it only sizes the cache's tables.
const MIDDLING_BYTES: u64 = 256;

#[derive(Clone)]
struct Weight;

impl Weighter<StoredKey, Option<Value>> for Weight {
    fn weight(&self, _: &StoredKey, value: &Option<Value>) -> u64 {
        ENTRY_BYTES + value.as_ref().map_or(0, |value| value.len() as u64)
    }
}

type Lifecycle = DefaultLifecycle<StoredKey, Option<Value>>;

/// Rows by stored key, least useful ones evicted beyond a bound in bytes.
pub(crate) struct RowCache(Cache<StoredKey, Option<Value>, Weight, DefaultHashBuilder, Lifecycle>);

impl RowCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(bytes / MIDDLING_BYTES).unwrap_or(usize::MAX).max(1))
            .weight_capacity(bytes)
            .shards(1)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(options, Weight, DefaultHashBuilder::default(), Lifecycle::default()))
    }

    /// What is known of a row: `None` nothing, `Some(None)` that there is none.
    pub(crate) fn get(&self, key: &StoredKey) -> Option<Option<Value>> {
        self.0.get(key)
    }

    pub(crate) fn insert(&self, key: StoredKey, value: Option<Value>) {
        self.0.insert(key, value);
    }
}
