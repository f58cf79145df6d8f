//! The truth in figures: how many true pairs there are, and how many share no identifier.

use crate::change::{Flaw, Ids, Operation, PublishedChange, TrueSubject};
use crate::{Nation, REGISTERS};

const SETS: usize = Ids::ALL.0 as usize + 1;

/// The truth of a nation in exact figures. Pairs are unordered pairs of live mentions of one true person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruthReport {
    /// Persons of the nation, without parents who live elsewhere.
    pub persons: u32,
    /// Parcels.
    pub parcels: u32,
    /// Changes of all registers, with repetitions and refusals.
    pub changes: u64,
    /// Changes that break a hard rule of their contract.
    pub refused: u64,
    /// Changes sent again.
    pub duplicates: u64,
    /// Changes under a version that an earlier statement has.
    pub conflicts: u64,
    /// Retractions.
    pub retractions: u64,
    /// Records that count for links in the end.
    pub live_records: u64,
    /// Live mentions of persons of the nation.
    pub person_mentions: u64,
    /// Live mentions of persons that show no identifier of their own.
    pub mentions_without_id: u64,
    /// Live mentions of parents who live elsewhere; they add distinct persons and hardly any pair.
    pub elsewhere_mentions: u64,
    /// Live mentions of parcels.
    pub parcel_mentions: u64,
    /// True pairs of persons' mentions.
    pub pairs: u64,
    /// True pairs whose mentions stand in two registers.
    pub pairs_between_registers: u64,
    /// Those of them that share no identifier: neither a personal number, nor an old card number, nor an insurance number.
    pub pairs_between_without_common_id: u64,
}

impl TruthReport {
    /// Share of true pairs between registers that share no identifier, per mille.
    pub fn without_common_id_per_mille(&self) -> u64 {
        self.pairs_between_without_common_id * 1000 / self.pairs_between_registers.max(1)
    }
}

/// Mentions of one person: by register and by set of identifiers.
type Seen = [[u8; SETS]; REGISTERS.len()];

impl Nation {
    /// Counts the truth. Writes every change once and holds 64 bytes a person while it does.
    pub fn report(&self) -> TruthReport {
        let persons = self.config().persons;
        let mut report = TruthReport { persons, parcels: self.parcels(), ..TruthReport::default() };
        let mut seen: Vec<Seen> = vec![[[0; SETS]; REGISTERS.len()]; persons as usize];
        for (register, name) in REGISTERS.into_iter().enumerate() {
            for change in self.changes(name) {
                report.count(&change);
                if change.live {
                    report.count_mentions(&change, register, &mut seen);
                }
            }
        }
        for person in &seen {
            report.count_pairs(person);
        }
        report
    }
}

impl TruthReport {
    fn count(&mut self, change: &PublishedChange) {
        self.changes += 1;
        self.live_records += u64::from(change.live);
        match change.flaw {
            Flaw::None => self.retractions += u64::from(change.operation == Operation::Retract),
            Flaw::Duplicate => self.duplicates += 1,
            Flaw::Conflict => self.conflicts += 1,
            Flaw::Refused => self.refused += 1,
        }
    }

    fn count_mentions(&mut self, change: &PublishedChange, register: usize, seen: &mut [Seen]) {
        for mention in &change.truth {
            match mention.subject {
                TrueSubject::Parcel(_) => self.parcel_mentions += 1,
                TrueSubject::Person(i) => match seen.get_mut(i as usize) {
                    None => self.elsewhere_mentions += 1,
                    Some(person) => {
                        self.person_mentions += 1;
                        self.mentions_without_id += u64::from(mention.ids.is_empty());
                        // Nobody is mentioned 255 times in one way; a household has at most five members.
                        let cell = &mut person[register][usize::from(mention.ids.0)];
                        *cell = cell.saturating_add(1);
                    }
                },
            }
        }
    }

    fn count_pairs(&mut self, person: &Seen) {
        let by_register = person.map(|sets| sets.iter().map(|n| u64::from(*n)).sum::<u64>());
        let total: u64 = by_register.iter().sum();
        self.pairs += total * total.saturating_sub(1) / 2;
        for a in 0..REGISTERS.len() {
            for b in a + 1..REGISTERS.len() {
                self.pairs_between_registers += by_register[a] * by_register[b];
                self.pairs_between_without_common_id += strangers(&person[a], &person[b]);
            }
        }
    }
}

/// Pairs of mentions of two registers that have no identifier in common.
fn strangers(a: &[u8; SETS], b: &[u8; SETS]) -> u64 {
    let mut pairs = 0;
    for (x, n) in a.iter().enumerate().filter(|(_, n)| **n > 0) {
        for (y, m) in b.iter().enumerate().filter(|(_, m)| **m > 0) {
            let apart = !Ids(x as u8).meets(Ids(y as u8));
            pairs += if apart { u64::from(*n) * u64::from(*m) } else { 0 };
        }
    }
    pairs
}
