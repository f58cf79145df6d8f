//! A model epoch: everything that turns two rows into bits, immutable and hashed.

use std::collections::BTreeMap;

use record::{DecodeError, Reader, Writer};

use crate::frequency::{FAMILY, GIVEN, MIDDLE, rarity};
use crate::hash::hash64;
use crate::level::Level;
use crate::text::tokens;

const FORMAT: u8 = 1;
/// Most entries of one token table that a decoded model may carry.
const TOKENS_MAX: usize = 100_000;

/// A frozen linkage model. Equal bytes mean equal behaviour: the epoch is named by [`Model::hash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Number of the epoch; the built-in one is 1.
    pub(crate) epoch: u32,
    /// An edge needs at least this much, in 1/1024 bit (T).
    pub(crate) threshold: i32,
    /// A key with more live nodes than this yields no candidates (K).
    pub(crate) key_nodes_max: u32,
    /// A component with more nodes than this raises its own threshold.
    pub(crate) component_nodes_max: u32,
    /// By how much it raises it at a time, in 1/1024 bit.
    pub(crate) threshold_step: i32,
    /// A name is never taken to be rarer than this, in 1/1024 bit.
    pub(crate) rarity_max: i32,
    /// Weight by level, in 1/1024 bit.
    pub(crate) weights: Vec<i32>,
    /// Rarity of family, middle and given tokens.
    pub(crate) names: [TokenTable; 3],
    /// The same tables for look-ups.
    index: TokenIndex,
}

/// Open addressing by the hash of a token; derived from the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenIndex {
    slots: Vec<Option<(u64, [Option<i32>; 3])>>,
}

impl TokenIndex {
    fn of(tables: &[TokenTable; 3]) -> TokenIndex {
        let tokens: usize = tables.iter().map(|table| table.tokens.len()).sum();
        let mut index = TokenIndex { slots: vec![None; (4 * tokens + 4).next_power_of_two()] };
        for (place, table) in tables.iter().enumerate() {
            for (token, bits) in &table.tokens {
                let hash = hash64(0x73, token);
                let slot = index.slot(hash);
                index.slots[slot].get_or_insert((hash, [None; 3])).1[place] = Some(*bits);
            }
        }
        index
    }

    /// The slot of a hash, or the free one where it would go. There are always free slots.
    fn slot(&self, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot].is_some_and(|(other, _)| other != hash) {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn find(&self, token: &[u8]) -> Option<[Option<i32>; 3]> {
        self.slots[self.slot(hash64(0x73, token))].map(|(_, bits)| bits)
    }
}

/// Rarity of folded tokens in one place of a name, in 1/1024 bit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct TokenTable {
    tokens: BTreeMap<Vec<u8>, i32>,
    /// What a token that is not in the table counts.
    unseen: i32,
}

impl TokenTable {
    fn built_in(counts: &[(&str, u32)], unseen: u32) -> TokenTable {
        let tokens = counts.iter().map(|(token, count)| (token.as_bytes().to_vec(), rarity(*count))).collect();
        TokenTable { tokens, unseen: rarity(unseen) }
    }
}

impl Model {
    /// The built-in model, epoch 1.
    pub fn epoch_1() -> Model {
        let names =
            [TokenTable::built_in(FAMILY, 50), TokenTable::built_in(MIDDLE, 300), TokenTable::built_in(GIVEN, 150)];
        Model {
            epoch: 1,
            threshold: 4 * 1024,
            key_nodes_max: 64,
            component_nodes_max: 512,
            threshold_step: 2 * 1024,
            rarity_max: 15 * 1024,
            weights: Level::EPOCH_1.to_vec(),
            index: TokenIndex::of(&names),
            names,
        }
    }

    /// The same model with another bound K on the live nodes of a key: for tests and for a trained epoch.
    #[must_use]
    pub fn with_key_nodes_max(mut self, nodes: u32) -> Model {
        self.key_nodes_max = nodes.max(1);
        self
    }

    /// The same model with another bound on the nodes of a component.
    #[must_use]
    pub fn with_component_nodes_max(mut self, nodes: u32) -> Model {
        self.component_nodes_max = nodes.max(2);
        self
    }

    /// The same model with another threshold T, in 1/1024 bit.
    #[must_use]
    pub fn with_threshold(mut self, bits: i32) -> Model {
        self.threshold = bits;
        self
    }

    /// The same model as another epoch.
    #[must_use]
    pub fn with_epoch(mut self, epoch: u32) -> Model {
        self.epoch = epoch;
        self
    }

    /// Number of the epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The threshold T, in 1/1024 bit: an edge scores at least this.
    pub fn threshold(&self) -> i32 {
        self.threshold
    }

    /// The prior odds of a pair, in 1/1024 bit.
    pub fn prior(&self) -> i32 {
        self.weight(Level::Prior)
    }

    /// The bound K: a blocking key with more live nodes yields no candidates.
    pub fn key_nodes_max(&self) -> usize {
        self.key_nodes_max as usize
    }

    pub(crate) fn set_weight(&mut self, level: Level, bits: i32) {
        self.weights[level as usize] = bits.clamp(-BITS_MAX, BITS_MAX);
    }

    /// Takes over the rarity of tokens in one place of a name; other tokens keep theirs, as far as the table takes them.
    pub(crate) fn learn_names(&mut self, place: usize, counted: impl Iterator<Item = (Vec<u8>, i32)>) {
        for (token, bits) in counted {
            let tokens = &mut self.names[place].tokens;
            if tokens.len() < TOKENS_MAX || tokens.contains_key(&token) {
                tokens.insert(token, bits.clamp(0, BITS_MAX));
            }
        }
        self.index = TokenIndex::of(&self.names);
    }

    pub(crate) fn weight(&self, level: Level) -> i32 {
        self.weights[level as usize]
    }

    /// Rarity of a folded full name: the sum over its tokens, capped.
    pub(crate) fn name_rarity(&self, folded: &[u8]) -> u16 {
        let rarity = |place: usize, token: &[u8]| {
            self.index.find(token).and_then(|bits| bits[place]).unwrap_or(self.names[place].unseen)
        };
        let mut parts = tokens(folded);
        let Some(last) = parts.next_back() else { return 0 };
        let family = parts.next().map_or(0, |first| rarity(0, first));
        let middle: i32 = parts.map(|token| rarity(1, token)).sum();
        (family + middle + rarity(2, last)).clamp(0, self.rarity_max) as u16
    }

    /// True when the token is a name of its own in any place.
    pub(crate) fn knows_token(&self, token: &[u8]) -> bool {
        self.index.find(token).is_some()
    }

    /// The canonical bytes of the epoch.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT).u32(self.epoch).u32(self.threshold as u32).u32(self.key_nodes_max);
        out.u32(self.component_nodes_max).u32(self.threshold_step as u32).u32(self.rarity_max as u32);
        out.varint(self.weights.len() as u64);
        for weight in &self.weights {
            out.u32(*weight as u32);
        }
        for table in &self.names {
            out.u32(table.unseen as u32).varint(table.tokens.len() as u64);
            for (token, bits) in &table.tokens {
                out.bytes(token).u32(*bits as u32);
            }
        }
        out.finish()
    }

    /// Reads a model.
    ///
    /// # Errors
    /// When the bytes are not exactly what [`Model::to_bytes`] writes for some model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, DecodeError> {
        let mut input = Reader::new(bytes);
        input.version("linkage model", FORMAT)?;
        let epoch = input.u32()?;
        let threshold = bounded(&mut input, "threshold", -BITS_MAX, BITS_MAX)?;
        let key_nodes_max = bounded(&mut input, "key bound", 1, 1 << 20)? as u32;
        let component_nodes_max = bounded(&mut input, "component bound", 2, 1 << 20)? as u32;
        let threshold_step = bounded(&mut input, "threshold step", 1, BITS_MAX)?;
        let rarity_max = bounded(&mut input, "rarity bound", 0, i32::from(u16::MAX))?;
        let weights = read_weights(&mut input)?;
        let names = [read_table(&mut input)?, read_table(&mut input)?, read_table(&mut input)?];
        input.end("linkage model")?;
        Ok(Model {
            epoch,
            threshold,
            key_nodes_max,
            component_nodes_max,
            threshold_step,
            rarity_max,
            weights,
            index: TokenIndex::of(&names),
            names,
        })
    }

    /// BLAKE3 of the canonical bytes.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }
}

/// Largest weight or threshold, in 1/1024 bit: sums over all fields stay far from overflow.
const BITS_MAX: i32 = 1 << 20;

fn bounded(input: &mut Reader<'_>, what: &'static str, low: i32, high: i32) -> Result<i32, DecodeError> {
    let at = input.at();
    let value = input.u32()? as i32;
    if (low..=high).contains(&value) { Ok(value) } else { Err(DecodeError::Invalid { at, what }) }
}

fn read_weights(input: &mut Reader<'_>) -> Result<Vec<i32>, DecodeError> {
    let at = input.at();
    if input.count(4)? != Level::ALL.len() {
        return Err(DecodeError::Invalid { at, what: "number of weights" });
    }
    Level::ALL.iter().map(|_| bounded(input, "weight", -BITS_MAX, BITS_MAX)).collect()
}

fn read_table(input: &mut Reader<'_>) -> Result<TokenTable, DecodeError> {
    let unseen = bounded(input, "rarity", 0, BITS_MAX)?;
    let at = input.at();
    let count = input.count(5)?;
    if count > TOKENS_MAX {
        return Err(DecodeError::Invalid { at, what: "number of tokens" });
    }
    let mut tokens: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
    for _ in 0..count {
        let at = input.at();
        let token = input.bytes()?.to_vec();
        if tokens.last_key_value().is_some_and(|(last, _)| *last >= token) {
            return Err(DecodeError::Invalid { at, what: "order of tokens" });
        }
        let bits = bounded(input, "rarity", 0, BITS_MAX)?;
        tokens.insert(token, bits);
    }
    Ok(TokenTable { tokens, unseen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn model_bytes_round_trip() {
        let model = Model::epoch_1();
        let bytes = model.to_bytes();
        let read = Model::from_bytes(&bytes).expect("own bytes");
        assert_eq!(read, model);
        assert_eq!(read.to_bytes(), bytes);
        assert!(Model::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Model::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn common_names_weigh_less_than_rare_ones() {
        let model = Model::epoch_1();
        assert!(model.name_rarity(b"nguyen thi lan") < model.name_rarity(b"ksor hoai thuong"));
        assert_eq!(model.name_rarity(b""), 0);
        assert!(model.name_rarity(b"a b c d e f g h") <= 15 * 1024);
    }

    proptest! {
        #[test]
        fn damaged_model_is_an_error_or_a_canonical_model(at in 0usize..200, byte: u8) {
            let mut bytes = Model::epoch_1().to_bytes();
            bytes[at] = byte;
            if let Ok(model) = Model::from_bytes(&bytes) {
                prop_assert_eq!(model.to_bytes(), bytes);
            }
        }
    }
}
