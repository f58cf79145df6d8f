//! Rows that are newer than the file, with an undo list for the open batch.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// What a row costs in the map beside its bytes.
const ENTRY_BYTES: usize = 12;

/// Rows by number. Slots are filled in order of first writing, so undoing in reverse frees the last slot.
pub(super) struct Overlay {
    row_bytes: usize,
    slots: HashMap<u32, u32>,
    rows: Vec<u8>,
    /// Writes of the open batch, oldest first.
    undo: Vec<Undo>,
    /// Former rows, for the writes that overwrote one of this overlay.
    former: Vec<u8>,
}

struct Undo {
    number: u32,
    overwrote: bool,
}

impl Overlay {
    pub(super) fn new(row_bytes: usize) -> Self {
        Self { row_bytes, slots: HashMap::new(), rows: Vec::new(), undo: Vec::new(), former: Vec::new() }
    }

    pub(super) fn get(&self, number: u32) -> Option<&[u8]> {
        let slot = *self.slots.get(&number)?;
        Some(&self.rows[self.span(slot)])
    }

    pub(super) fn put(&mut self, number: u32, row: &[u8]) {
        let next = u32::try_from(self.slots.len()).expect("row numbers are 32 bits wide");
        match self.slots.entry(number) {
            Entry::Occupied(slot) => {
                let start = *slot.get() as usize * self.row_bytes;
                let held = &mut self.rows[start..start + self.row_bytes];
                self.former.extend_from_slice(held);
                held.copy_from_slice(row);
                self.undo.push(Undo { number, overwrote: true });
            }
            Entry::Vacant(slot) => {
                slot.insert(next);
                self.rows.extend_from_slice(row);
                self.undo.push(Undo { number, overwrote: false });
            }
        }
    }

    pub(super) fn changed(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut numbers: Vec<u32> = self.undo.iter().map(|undo| undo.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().map(|number| (number, self.get(number).expect("the open batch has set this row")))
    }

    pub(super) fn keep_changes(&mut self) {
        self.undo.clear();
        self.former.clear();
    }

    pub(super) fn undo_changes(&mut self) {
        while let Some(Undo { number, overwrote }) = self.undo.pop() {
            if overwrote {
                let slot = self.slots[&number];
                let span = self.span(slot);
                let former = self.former.len() - self.row_bytes;
                self.rows[span].copy_from_slice(&self.former[former..]);
                self.former.truncate(former);
            } else {
                self.slots.remove(&number);
                self.rows.truncate(self.slots.len() * self.row_bytes);
            }
        }
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.slots.keys().copied()
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.len() + self.slots.len() * ENTRY_BYTES
    }

    fn span(&self, slot: u32) -> std::ops::Range<usize> {
        let start = slot as usize * self.row_bytes;
        start..start + self.row_bytes
    }
}
