//! Decoded rows in memory, from batch to batch.

use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Values by key, in two generations: what is not asked for while the younger one fills up is forgotten.
pub(super) struct Kept<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_max: usize,
}

impl<K: Copy + Eq + Hash, V> Kept<K, V> {
    /// Keeps about twice `generation_max` values, and during a batch those that it touches beside.
    pub(super) fn new(generation_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max }
    }

    /// The value of a key, which is loaded when it is not here.
    pub(super) fn get_or_load<E>(&mut self, key: K, load: impl FnOnce() -> Result<V, E>) -> Result<&mut V, E> {
        match self.young.entry(key) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let value = match self.old.remove(&key) {
                    Some(value) => value,
                    None => load()?,
                };
                Ok(entry.insert(value))
            }
        }
    }

    /// The value of a key, when it is here.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&key) {
            self.young.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: K) {
        self.old.remove(&key);
        self.young.remove(&key);
    }

    /// Forgets the older generation when the younger one is full. Only between batches: what a batch has changed must be
    /// written before.
    pub(super) fn age(&mut self) {
        if self.young.len() >= self.generation_max {
            std::mem::swap(&mut self.old, &mut self.young);
            // Its memory is used again: a table that grows anew costs as much as what it saves.
            self.young.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_survives_and_the_rest_is_forgotten() {
        let mut kept = Kept::new(2);
        let load = |kept: &mut Kept<u32, u32>, key: u32| *kept.get_or_load(key, || Ok::<_, ()>(key * 10)).unwrap();
        assert_eq!((load(&mut kept, 1), load(&mut kept, 2)), (10, 20));
        kept.age();
        assert_eq!(kept.get_mut(1), Some(&mut 10));
        kept.insert(3, 31);
        kept.age();
        assert_eq!((kept.get_mut(1).copied(), kept.get_mut(3).copied()), (Some(10), Some(31)));
        assert_eq!(kept.get_mut(2), None);
        kept.remove(3);
        assert_eq!(load(&mut kept, 3), 30);
    }
}
