//! What views are folded with: one linkage model, and of every register one epoch. A switch of either is prepared beside the
//! views that serve, on a basis of its own, so that nothing is ever half switched.

use std::collections::BTreeMap;
use std::sync::Arc;

use linkage::Model;
use record::{DecodeError, Index, Partition, Positions, Reader, RegisterEpoch, RegisterName, Stream, Writer};

use crate::units::Units;

const BASIS_VERSION: u8 = 1;

/// A linkage model that a control entry brought.
#[derive(Debug, Clone)]
pub struct KnownModel {
    /// The model.
    pub model: Arc<Model>,
    /// The unit lists that linkage normalises with under this model.
    pub units: Units,
    /// Index of its control entry.
    pub index: Index,
}

/// Which changes of a register count once it was restated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterBasis {
    /// The epoch of the restatement: what is stamped for it counts.
    pub epoch: RegisterEpoch,
    /// The cut that its opening names.
    pub since: Positions,
    /// The epochs that served before: an ordinary change stamped for one of them counts when it lies after the cut.
    pub earlier: Vec<RegisterEpoch>,
}

impl RegisterBasis {
    /// Whether a change counts, by the epoch that it is stamped for and its place in the change stream.
    pub fn counts(&self, stamp: RegisterEpoch, partition: Partition, index: Index) -> bool {
        stamp == self.epoch || (self.earlier.contains(&stamp) && index >= self.since.get(Stream::Change, partition))
    }
}

/// The basis of a fold.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// The linkage model; `None` for the first that the log holds.
    pub model: Option<KnownModel>,
    /// The registers that were restated.
    pub registers: BTreeMap<RegisterName, RegisterBasis>,
}

/// What tells one basis from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BasisName {
    /// Epoch of the linkage model; 0 while there is none.
    pub model: u32,
    /// Epochs of the registers that were restated.
    pub registers: BTreeMap<RegisterName, RegisterEpoch>,
}

impl BasisName {
    /// A number that differs, but for chance, where the names do: cursors hold it.
    pub fn number(&self) -> u32 {
        if self.registers.is_empty() {
            return self.model;
        }
        let mut w = Writer::new();
        w.u32(self.model);
        for (register, epoch) in &self.registers {
            w.text(register.as_str()).u32(epoch.0);
        }
        let hash = blake3::hash(&w.finish());
        u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("a hash has 4 bytes"))
    }
}

impl std::fmt::Display for BasisName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "model {}", self.model)?;
        self.registers.iter().try_for_each(|(register, epoch)| write!(f, ", {register} epoch {}", epoch.0))
    }
}

impl Basis {
    /// Whether a change counts.
    pub fn counts(&self, register: &RegisterName, stamp: RegisterEpoch, partition: Partition, index: Index) -> bool {
        match self.registers.get(register) {
            Some(basis) => basis.counts(stamp, partition, index),
            None => stamp == RegisterEpoch::default(),
        }
    }

    /// The encoding in the store.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.u8(BASIS_VERSION).u8(u8::from(self.model.is_some()));
        if let Some(known) = &self.model {
            w.u64(known.index.0).bytes(&known.model.to_bytes());
            known.units.encode(&mut w);
        }
        w.varint(self.registers.len() as u64);
        for (register, basis) in &self.registers {
            w.text(register.as_str()).u32(basis.epoch.0);
            basis.since.encode(&mut w);
            w.varint(basis.earlier.len() as u64);
            for epoch in &basis.earlier {
                w.u32(epoch.0);
            }
        }
        w.finish()
    }

    /// Reads what [`Basis::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`]: the store is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.version("basis", BASIS_VERSION)?;
        let model = match r.u8()? {
            0 => None,
            _ => Some(Self::decode_model(&mut r)?),
        };
        let mut registers = BTreeMap::new();
        for _ in 0..r.count(6)? {
            let register = r.id()?;
            let (epoch, since) = (RegisterEpoch(r.u32()?), Positions::decode(&mut r)?);
            let earlier = (0..r.count(4)?).map(|_| r.u32().map(RegisterEpoch)).collect::<Result<_, _>>()?;
            registers.insert(register, RegisterBasis { epoch, since, earlier });
        }
        r.end("basis")?;
        Ok(Self { model, registers })
    }

    fn decode_model(r: &mut Reader<'_>) -> Result<KnownModel, DecodeError> {
        let index = Index(r.u64()?);
        let at = r.at();
        let model = Model::from_bytes(r.bytes()?).map_err(|_| DecodeError::Invalid { at, what: "linkage model" })?;
        Ok(KnownModel { model: Arc::new(model), units: Units::decode(r)?, index })
    }
}

#[cfg(test)]
mod tests {
    use record::Position;

    use super::*;

    fn land() -> RegisterName {
        RegisterName::try_from("land").expect("a name")
    }

    fn restated() -> Basis {
        let mut since = Positions::new();
        since.include(Position { stream: Stream::Change, partition: Partition(2), index: Index(9) });
        let basis = RegisterBasis { epoch: RegisterEpoch(2), since, earlier: vec![RegisterEpoch(0)] };
        Basis { model: None, registers: BTreeMap::from([(land(), basis)]) }
    }

    #[test]
    fn ordinary_changes_count_from_the_cut_on_and_restated_ones_always() {
        let basis = restated();
        let counts =
            |stamp, partition, index| basis.counts(&land(), RegisterEpoch(stamp), Partition(partition), Index(index));
        assert!(counts(2, 2, 0) && counts(2, 2, 50));
        assert!(!counts(0, 2, 9) && counts(0, 2, 10));
        assert!(counts(0, 3, 0), "the cut names no end of this partition: all of it lies behind");
        assert!(!counts(1, 2, 50), "an aborted epoch never counts");
        let civil = RegisterName::try_from("civil").expect("a name");
        assert!(basis.counts(&civil, RegisterEpoch(0), Partition(2), Index(0)));
        assert!(!basis.counts(&civil, RegisterEpoch(1), Partition(2), Index(0)));
    }

    #[test]
    fn a_basis_survives_both_ways() {
        let mut basis = restated();
        basis.model = Some(KnownModel { model: Arc::new(Model::epoch_1()), units: Units::default(), index: Index(7) });
        let read = Basis::decode(&basis.encode()).expect("own bytes");
        assert_eq!(read.registers, basis.registers);
        let (read, known) = (read.model.expect("a model"), basis.model.expect("a model"));
        assert_eq!((read.index, read.model.hash()), (known.index, known.model.hash()));
    }
}
