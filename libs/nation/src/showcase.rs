//! Persons and parcels that a demonstration can show.

use crate::Nation;
use crate::calendar::{END, NEVER, START, date, iso};
use crate::change::{Ids, Noise, PublishedChange, TrueSubject};
use crate::plan::{Event, RecordType, Register, Stage, is_unentered, plan};
use crate::truth::{NONE, REISSUED, State};
use crate::write::{civil_birth, write};

/// What to show. Every number begins with the unassigned prefix; `None` where a small nation has no such case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Showcase {
    /// A living person with faultless records in all four registers.
    pub person: Option<ShownPerson>,
    /// Registration of a birth (procedure 1.001193) in which something is missing: the parents' marriage stands in no
    /// register, and nobody entered their household in the population database (in a small nation, somebody did).
    pub birth: Option<BirthCase>,
    /// A person whose date of birth is one in civil status and another in the population database.
    pub disputed: Option<DisputedPerson>,
    /// A parcel with a mortgage in force.
    pub mortgaged_parcel: Option<String>,
    /// A person who is dead in civil status and was treated afterwards.
    pub stale: Option<ShownPerson>,
    /// A person whose number was cancelled and issued anew.
    pub renumbered: Option<Renumbered>,
}

/// A person to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPerson {
    /// Number of the true person.
    pub subject: u32,
    /// Personal number in force.
    pub personal_id: String,
    /// True whole name.
    pub full_name: String,
    /// True date of birth, `YYYY-MM-DD`.
    pub birth_date: String,
}

/// A birth to be registered, by the role of each person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BirthCase {
    /// The mother.
    pub mother: ShownPerson,
    /// The father.
    pub father: ShownPerson,
}

/// A person about whom two registers disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputedPerson {
    /// Who.
    pub person: ShownPerson,
    /// Date of birth in the civil status books, `YYYY-MM-DD`.
    pub civil_birth_date: String,
}

/// A person with a cancelled number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renumbered {
    /// Who, with the number in force.
    pub person: ShownPerson,
    /// The cancelled number.
    pub retired_id: String,
}

/// Only this many persons are looked at, so that a large nation is shown as fast as a small one.
const LOOKED_AT: u32 = 20_000;

const POPULATION: u16 = 1;
const CIVIL: u16 = 2;
const LAND: u16 = 4;
const HEALTH: u16 = 8;
const BIRTH: u16 = 16;
const DEATH: u16 = 32;
const TREATED_DEAD: u16 = 64;
const MARRIAGE: u16 = 128;
/// The personal number stands on a record of a child.
const LENT: u16 = 256;

impl Nation {
    /// Picks the cases; the first of each kind, by number.
    pub fn showcase(&self) -> Showcase {
        let mut marks = vec![0u16; self.config().persons.min(LOOKED_AT) as usize];
        let mut mortgaged = None;
        for (register, bit) in [
            (Register::Population, POPULATION),
            (Register::Civil, CIVIL),
            (Register::Land, LAND),
            (Register::Health, HEALTH),
        ] {
            for event in plan(&self.truth, register).iter().filter(|e| e.live && self.first_person(e) < LOOKED_AT) {
                let change = write(&self.truth, register, event);
                self.note(event, &change, bit, &mut marks);
                let bank = event.record_type == RecordType::Restriction && event.stage == Stage::Plain;
                let parcel = event.about;
                if bank && mortgaged.is_none_or(|known| parcel < known) && self.is_shown(parcel, &change) {
                    mortgaged = Some(parcel);
                }
            }
        }
        let find = |wanted: &dyn Fn(u32, u16) -> bool| {
            marks.iter().enumerate().map(|(i, m)| (i as u32, *m)).find(|(i, m)| wanted(*i, *m)).map(|(i, _)| i)
        };
        let p = |i: u32| self.truth.person(i);
        let all = POPULATION | CIVIL | LAND | HEALTH;
        let clean = |i: u32| p(i).alive(END) && p(i).flags & (REISSUED | crate::truth::DISPUTED) == 0;
        Showcase {
            person: find(&|i, m| m & all == all && clean(i) && p(i).age(END) >= 25).map(|i| self.shown(i)),
            birth: find(&|i, m| m & MARRIAGE == 0 && self.is_young_mother(i, &marks, true))
                .or_else(|| find(&|i, m| m & MARRIAGE == 0 && self.is_young_mother(i, &marks, false)))
                .map(|i| BirthCase { mother: self.shown(i), father: self.shown(p(i).spouse) }),
            disputed: find(&|i, m| m & POPULATION > 0 && m & BIRTH > 0 && civil_birth(&self.truth, i) != p(i).birth)
                .map(|i| DisputedPerson {
                    person: self.shown(i),
                    civil_birth_date: iso(date(civil_birth(&self.truth, i))),
                }),
            mortgaged_parcel: mortgaged.map(|n| self.truth.parcel_id(n)),
            stale: find(&|_, m| m & DEATH > 0 && m & TREATED_DEAD > 0).map(|i| self.shown(i)),
            renumbered: find(&|i, m| m & POPULATION > 0 && m & CIVIL > 0 && p(i).is(REISSUED) && p(i).alive(END))
                .map(|i| Renumbered { person: self.shown(i), retired_id: self.truth.retired_id(i) }),
        }
    }

    fn first_person(&self, event: &Event) -> u32 {
        match event.record_type {
            RecordType::Household | RecordType::Marriage => self.truth.households[event.about as usize].first,
            RecordType::Parcel | RecordType::Right | RecordType::Restriction => {
                self.truth.households[self.truth.parcels[event.about as usize].household as usize].first
            }
            _ => event.about,
        }
    }

    /// Marks who stands without fault in what.
    fn note(&self, event: &Event, change: &PublishedChange, register: u16, marks: &mut [u16]) {
        for mention in &change.truth {
            let TrueSubject::Person(i) = mention.subject else { continue };
            if mention.noise.has(Noise::PARENT_ID)
                && let Some(mark) = marks.get_mut(self.truth.person(i).mother as usize)
            {
                *mark |= LENT;
            }
            let Some(mark) = marks.get_mut(i as usize) else { continue };
            if event.record_type == RecordType::Marriage {
                *mark |= MARRIAGE;
            }
            let disputed = event.record_type == RecordType::Birth && mention.role == "child";
            if !mention.ids.meets(Ids::PERSONAL) || !(mention.noise == Noise::default() || disputed) {
                continue;
            }
            *mark |= register;
            *mark |= if disputed { BIRTH } else { 0 };
            *mark |= if event.record_type == RecordType::Death { DEATH } else { 0 };
            let late = event.record_type == RecordType::Encounter && event.effective > self.truth.person(i).death;
            *mark |= if late { TREATED_DEAD } else { 0 };
        }
    }

    /// True when the mortgage is a mortgage, of a parcel whose identifier is public.
    fn is_shown(&self, parcel: u32, change: &PublishedChange) -> bool {
        use prost::Message as _;
        let usable = self.truth.parcels[parcel as usize].state == State::Usable;
        let record = crate::contracts::hub::register::land::v1::Restriction::decode(change.payload.as_slice());
        usable && record.is_ok_and(|record| record.r#type == "mortgage")
    }

    /// A wife of child-bearing age whose husband lives too, both known by numbers that nobody else's record shows: to civil
    /// status alone when they are `unentered` in the population database, else to that.
    fn is_young_mother(&self, i: u32, marks: &[u16], unentered: bool) -> bool {
        let p = self.truth.person(i);
        let source = if unentered { CIVIL } else { POPULATION };
        let known = |i: u32| {
            marks.get(i as usize).is_some_and(|m| m & (source | LENT) == source) && self.truth.person(i).alive(END)
        };
        let married = self.truth.household_of(i).married;
        let spouse = p.spouse;
        !p.male()
            && spouse != NONE
            && known(i)
            && known(spouse)
            && married != NEVER
            && (!unentered || is_unentered(&self.truth, p.household))
            && p.age(START) >= 18
            && p.age(END) < 38
    }

    fn shown(&self, i: u32) -> ShownPerson {
        ShownPerson {
            subject: i,
            personal_id: self.truth.present_id(i),
            full_name: self.truth.name(i),
            birth_date: iso(date(self.truth.person(i).birth)),
        }
    }
}
