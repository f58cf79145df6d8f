//! How many objects each register should hold: what "sufficient" is measured against.

use std::collections::BTreeMap;

use crate::Nation;
use crate::calendar::{END, NEVER};
use crate::truth::Place;
use crate::units;

/// The number of objects that a register should hold of a commune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedObjects {
    /// Name of the register.
    pub register: &'static str,
    /// Record type.
    pub record_type: &'static str,
    /// Code of the commune in the list [`crate::NEW_LIST`].
    pub commune: String,
    /// How many real objects there are.
    pub objects: u64,
}

impl Nation {
    /// What each register should hold at the end, by commune: every person a residence and a birth, every household, couple,
    /// death and parcel its record, and a card for everybody who lives. The registers hold less: books that nobody digitised,
    /// households that nobody entered, persons without a card, a few parcels that were never measured.
    pub fn expected(&self) -> Vec<ExpectedObjects> {
        let mut count: BTreeMap<(&str, &str, u32), u64> = BTreeMap::new();
        let mut add = |register, record_type, place: Place| {
            let code = units::new_code(units::successor(place.commune, place.half));
            *count.entry((register, record_type, code)).or_default() += 1;
        };
        for (i, p) in self.truth.persons.iter().enumerate() {
            let home = self.truth.home(i as u32, END);
            add("population", "residence", home);
            add("civil", "birth", home);
            if p.alive(END) {
                add("health", "insurance_card", home);
            } else {
                add("civil", "death", home);
            }
        }
        for household in &self.truth.households {
            let home = self.truth.home(household.first, END);
            add("population", "household", home);
            if household.married != NEVER {
                add("civil", "marriage", home);
            }
        }
        for (n, parcel) in self.truth.parcels.iter().enumerate() {
            add("land", "parcel", parcel.place);
            add("land", "right", parcel.place);
            if n % 25 == 24 {
                // Every so often a neighbour's land is in nobody's books.
                add("land", "parcel", parcel.place);
                add("land", "right", parcel.place);
            }
        }
        let row = |((register, record_type, commune), objects): ((&'static str, &'static str, u32), u64)| {
            ExpectedObjects { register, record_type, commune: commune.to_string(), objects }
        };
        count.into_iter().map(row).collect()
    }
}
