//! The newest postings, in memory: chains of entries per blocking key, newest first.

use hashbrown::HashMap;

/// End of a chain.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    node: u32,
    /// Older entry of the same key.
    older: u32,
}

/// Postings that no run holds yet. Entries are only appended, so that a batch is undone by truncation.
#[derive(Default)]
pub(super) struct Front {
    newest: HashMap<u64, u32>,
    entries: Vec<Entry>,
}

impl Front {
    pub(super) fn with_capacity(postings: usize) -> Self {
        Self { newest: HashMap::with_capacity(postings), entries: Vec::with_capacity(postings) }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn insert(&mut self, key: u64, node: u32) {
        let this = u32::try_from(self.entries.len()).expect("the front is flushed long before 2^32 postings");
        let older = self.newest.insert(key, this).unwrap_or(NONE);
        self.entries.push(Entry { key, node, older });
    }

    /// Adds the nodes of a key until `nodes` holds `limit`; false when some were left out.
    pub(super) fn lookup(&self, key: u64, limit: usize, nodes: &mut Vec<u32>) -> bool {
        let mut at = self.newest.get(&key).copied().unwrap_or(NONE);
        while at != NONE {
            if nodes.len() >= limit {
                return false;
            }
            let entry = self.entries[at as usize];
            nodes.push(entry.node);
            at = entry.older;
        }
        true
    }

    /// Forgets all but the first `len` entries.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.entries.len() > len {
            let entry = self.entries.pop().expect("longer than `len`");
            if entry.older == NONE {
                self.newest.remove(&entry.key);
            } else {
                self.newest.insert(entry.key, entry.older);
            }
        }
    }

    /// All postings, sorted by key, then node.
    pub(super) fn sorted(&self) -> Vec<(u64, u32)> {
        let mut postings: Vec<(u64, u32)> = self.entries.iter().map(|entry| (entry.key, entry.node)).collect();
        postings.sort_unstable();
        postings
    }
}
