//! A synthetic nation: who lives in it, what they own, and what four registers write down of them over three years, slips of
//! clerks and an administrative reform included. It feeds the demo, the benchmarks and the tests.
//!
//! Invariants:
//! - Everything is a function of [`Config`]: the same configuration gives the same bytes, on any machine. There is no clock and
//!   no iteration over a hash map, and each draw comes from a stream named by what it is for.
//! - No number can meet a real person or parcel: personal numbers begin with the unassigned prefix 099, old card, insurance
//!   and telephone numbers with unassigned prefixes, parcel identifiers with a cell outside of the country, and the
//!   administrative units have invented names and unused codes.
//! - The truth is kept in memory (under 100 bytes a person); records are written one at a time while a stream is read.
//! - Every mention says who is really meant, so that precision and recall of linkage can be measured over pairs of mentions.
//!
//! Deliberately absent: networking, batching, the hub's own types and any judgement of the records.

mod calendar;
mod change;
mod dice;
mod expected;
mod names;
mod plan;
mod report;
mod showcase;
mod truth;
mod units;
mod write;

/// The messages of the four register contracts, as prost makes them.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod contracts {
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}

pub use change::{Flaw, Ids, Noise, Operation, PublishedChange, TrueSubject, TruthMention};
pub use expected::ExpectedObjects;
pub use report::TruthReport;
pub use showcase::{BirthCase, DisputedPerson, Renumbered, Showcase, ShownPerson};
pub use units::{NEW_LIST, OLD_LIST, Unit, UnitListCsv};

use dice::Chance;
use plan::{Event, Register};
use truth::Truth;

/// The registers, in the order in which the demo publishes them.
pub const REGISTERS: [&str; 4] = ["population", "civil", "land", "health"];
/// Fewest persons of a nation.
pub const PERSONS_MIN: u32 = 10;
/// Most persons of a nation: a personal number has a serial of six digits.
pub const PERSONS_MAX: u32 = 1_000_000;

/// What a nation is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many persons live in it at some time, [`PERSONS_MIN`] to [`PERSONS_MAX`].
    pub persons: u32,
    /// Seed of all chance.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { persons: 20_000, seed: 1 }
    }
}

/// Why there is no such nation or stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too few or too many persons.
    #[error("a nation has {PERSONS_MIN} to {PERSONS_MAX} persons, not {persons}")]
    Persons {
        /// How many were asked for.
        persons: u32,
    },
}

/// A synthetic nation.
pub struct Nation {
    truth: Truth,
    config: Config,
}

impl Nation {
    /// Makes the nation; about 1 µs a person.
    ///
    /// # Errors
    /// [`Error::Persons`] when the number of persons is out of bounds.
    pub fn new(config: Config) -> Result<Self, Error> {
        if !(PERSONS_MIN..=PERSONS_MAX).contains(&config.persons) {
            return Err(Error::Persons { persons: config.persons });
        }
        Ok(Self { truth: Truth::new(Chance::new(config.seed), config.persons), config })
    }

    /// What it was made from.
    pub fn config(&self) -> Config {
        self.config
    }

    /// How many parcels there are.
    pub fn parcels(&self) -> u32 {
        self.truth.parcels.len() as u32
    }

    /// The changes of one register in the order in which it publishes them; nothing for a register that is not one of
    /// [`REGISTERS`]. Holds 28 bytes for each change of this register, and writes each record when it is asked for.
    pub fn changes(&self, register: &str) -> Changes<'_> {
        let register = [Register::Population, Register::Civil, Register::Land, Register::Health]
            .into_iter()
            .find(|known| known.name() == register);
        let events = register.map(|register| plan::plan(&self.truth, register)).unwrap_or_default();
        Changes { truth: &self.truth, register: register.unwrap_or(Register::Population), events: events.into_iter() }
    }

    /// The dated lists of administrative units, oldest first.
    pub fn unit_lists(&self) -> Vec<UnitListCsv> {
        units::lists()
    }
}

/// The changes of one register in the order of publication.
pub struct Changes<'a> {
    truth: &'a Truth,
    register: Register,
    events: std::vec::IntoIter<Event>,
}

impl Iterator for Changes<'_> {
    type Item = PublishedChange;

    fn next(&mut self) -> Option<PublishedChange> {
        self.events.next().map(|event| write::write(self.truth, self.register, &event))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.events.size_hint()
    }
}

impl ExactSizeIterator for Changes<'_> {}

/// The contract of the register *population*, which is registered with a hub at run time: an encoded
/// `google.protobuf.FileDescriptorSet` with all imports and source info.
pub fn population_descriptor_set() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/population.binpb"))
}
