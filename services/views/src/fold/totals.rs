//! What the views hold, counted.

use record::{Reader, Writer};

use super::FoldError;

/// What the views hold, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records with at least one version.
    pub records: u64,
    /// Live mentions.
    pub mentions: u64,
    /// Subjects that are persons.
    pub persons: u64,
    /// Subjects that are parcels.
    pub parcels: u64,
    /// Records that wait for their contract.
    pub waiting: u64,
    /// Pairs of nodes that bear one personal id and are not one person.
    pub id_conflicts: u64,
    /// Entries without effect because an equal one counted before.
    pub duplicates: u64,
    /// Entries without effect because another statement counted before.
    pub conflicts: u64,
}

impl Totals {
    fn fields(&mut self) -> [&mut u64; 8] {
        [
            &mut self.records,
            &mut self.mentions,
            &mut self.persons,
            &mut self.parcels,
            &mut self.waiting,
            &mut self.id_conflicts,
            &mut self.duplicates,
            &mut self.conflicts,
        ]
    }

    pub(super) fn encode(mut self) -> Vec<u8> {
        let mut w = Writer::with_capacity(32);
        self.fields().into_iter().for_each(|f| {
            w.varint(*f);
        });
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FoldError> {
        let mut out = Self::default();
        let mut r = Reader::new(bytes);
        for field in out.fields() {
            *field = r.varint()?;
        }
        Ok(out)
    }
}
