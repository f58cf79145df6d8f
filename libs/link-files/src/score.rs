//! The score of a pair of records: a sum of fixed-point weights, one per column.

use crate::compare::{ABSENT, level};
use crate::data::Data;
use crate::model::Model;

/// Scores pairs of nodes.
#[derive(Clone, Copy, Debug)]
pub struct Scorer<'a> {
    /// The records.
    pub data: &'a Data,
    /// The weights.
    pub model: &'a Model,
}

/// What one column says of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Place of the column.
    pub column: usize,
    /// How the two agree.
    pub level: u8,
    /// Weight in 1/1024 bit, the rarity's share included.
    pub bits: i32,
    /// What the rarity of the value adds.
    pub rarity: i32,
}

impl Scorer<'_> {
    /// The pair's match weight in 1/1024 bit, prior included. Symmetric.
    pub fn bits(&self, a: u32, b: u32) -> i32 {
        let mut bits = self.model.prior;
        self.each(a, b, |evidence| bits += evidence.bits);
        bits
    }

    /// Column by column; columns without a value on a side are passed over.
    pub fn explain(&self, a: u32, b: u32) -> Vec<Evidence> {
        let mut out = Vec::new();
        self.each(a, b, |evidence| out.push(evidence));
        out
    }

    /// Calls `say` for each column that both records have.
    pub fn each(&self, a: u32, b: u32, mut say: impl FnMut(Evidence)) {
        let mut levels = [ABSENT; crate::data::COLUMNS_MAX];
        for (column, found) in levels.iter_mut().enumerate().take(self.data.columns.len()) {
            *found = level(self.data, column, a, b);
        }
        for (column, model) in self.model.columns.iter().enumerate() {
            let level = levels[column];
            if level == ABSENT {
                continue;
            }
            let above = model.parent.map_or(ABSENT, |parent| levels[parent]);
            let values = &self.data.columns[column];
            let own_rarity = values.values.rarity[values.codes[a as usize] as usize];
            let rarity = model.rarity_weight(above, level, own_rarity);
            say(Evidence { column, level, bits: model.weight(above, level) + rarity, rarity });
        }
    }
}
