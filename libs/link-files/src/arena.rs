//! Many byte strings in one piece of memory, and their numbering.

use hashbrown::HashTable;
use linkage::hash64;

/// Byte strings one after another; a string is named by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena { bytes: Vec::new(), ends: vec![0] }
    }
}

impl Arena {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a string and returns its place.
    ///
    /// # Panics
    /// When all strings together pass 4 GiB; readers of files bound their columns below that.
    pub fn push(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a column's distinct values stay below 4 GiB"));
        (self.len() - 1) as u32
    }

    /// The string at a place.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, place: usize) -> &[u8] {
        &self.bytes[self.ends[place] as usize..self.ends[place + 1] as usize]
    }

    /// The string at a place as text; what is not UTF-8 is shown by a replacement character.
    pub fn text(&self, place: usize) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.get(place))
    }

    /// Bytes of all strings together.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// Numbers distinct byte strings by first appearance.
#[derive(Debug, Default)]
pub struct Interner {
    arena: Arena,
    index: HashTable<u32>,
}

impl Interner {
    /// The number of a string; a new one for a new string.
    pub fn number(&mut self, bytes: &[u8]) -> u32 {
        let hash = hash64(0x11, bytes);
        let (arena, index) = (&mut self.arena, &mut self.index);
        let found = index.find(hash, |place| arena.get(*place as usize) == bytes);
        if let Some(place) = found {
            return *place;
        }
        let place = arena.push(bytes);
        index.insert_unique(hash, place, |other| hash64(0x11, arena.get(*other as usize)));
        place
    }

    /// The number of a string that is there.
    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        self.index.find(hash64(0x11, bytes), |place| self.arena.get(*place as usize) == bytes).copied()
    }

    /// Number of distinct strings.
    pub fn len(&self) -> usize {
        self.arena.len()
    }

    /// Bytes of all distinct strings together.
    pub fn bytes_len(&self) -> usize {
        self.arena.bytes_len()
    }

    /// The strings, by number.
    pub fn into_arena(self) -> Arena {
        self.arena
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_one_number() {
        let mut names = Interner::default();
        assert_eq!([names.number(b"an"), names.number(b""), names.number(b"an"), names.number(b"lan")], [0, 1, 0, 2]);
        assert_eq!((names.find(b"lan"), names.find(b"mai"), names.len()), (Some(2), None, 3));
        assert_eq!(names.into_arena().iter().collect::<Vec<_>>(), [b"an".as_slice(), b"", b"lan"]);
    }
}
