//! Who really lives in the nation, what they own, and when what happened: before any register writes it down.
//!
//! Kept small (a person takes 32 bytes, with households and parcels under 60): numbers, addresses and the names of parents
//! who live elsewhere are functions of the person's number and the seed.

use crate::calendar::{END, NEVER, START, date, day};
use crate::dice::{Chance, Dice, Purpose};
use crate::names::Name;
use crate::units::OLD_COMMUNES;

/// No such person, household or parcel.
pub(crate) const NONE: u32 = u32::MAX;

/// Person: a man.
pub(crate) const MALE: u16 = 1;
/// Person: has a twin in the household.
pub(crate) const TWIN: u16 = 2;
/// Person: holds an old card number of nine digits.
pub(crate) const OLD_ID: u16 = 4;
/// Person: the personal number was cancelled and issued anew within the simulated time.
pub(crate) const REISSUED: u16 = 8;
/// Person: the civil status books and the population database disagree on the date of birth.
pub(crate) const DISPUTED: u16 = 16;
/// Person: the day of birth is unknown and stands as 1 January.
pub(crate) const NEW_YEAR: u16 = 32;

pub(crate) struct Person {
    pub(crate) birth: i32,
    pub(crate) death: i32,
    pub(crate) household: u32,
    pub(crate) mother: u32,
    pub(crate) father: u32,
    pub(crate) spouse: u32,
    pub(crate) name: Name,
    pub(crate) flags: u16,
}

impl Person {
    pub(crate) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn male(&self) -> bool {
        self.is(MALE)
    }

    pub(crate) fn alive(&self, day: i32) -> bool {
        self.birth <= day && day < self.death
    }

    /// Full years of age.
    pub(crate) fn age(&self, day: i32) -> i32 {
        (day - self.birth).div_euclid(365) - i32::from((day - self.birth) % 365 < (day - self.birth) / 1461)
    }
}

/// A place: an old commune and, where the reform split it, which half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) commune: u16,
    pub(crate) half: bool,
}

pub(crate) struct Household {
    pub(crate) first: u32,
    pub(crate) size: u8,
    pub(crate) home: Place,
    /// Day of the move to `next`, or never.
    pub(crate) moved: i32,
    pub(crate) next: Place,
    /// Day on which the couple married; never without a couple.
    pub(crate) married: i32,
    /// Where the wife lived before a marriage within the simulated time.
    pub(crate) wife_from: Place,
    pub(crate) first_parcel: u32,
    pub(crate) parcels: u8,
}

pub(crate) struct Parcel {
    pub(crate) household: u32,
    pub(crate) place: Place,
    pub(crate) sheet: u16,
    pub(crate) number: u16,
    /// Area in tenths of a square metre.
    pub(crate) area: u32,
    /// Household that bought it, and when.
    pub(crate) buyer: u32,
    pub(crate) sold: i32,
    pub(crate) state: State,
    pub(crate) owners: Owners,
    /// Parcel from which it was split off.
    pub(crate) origin: u32,
}

/// Result of the cleaning campaign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Usable,
    Supplement,
    Rebuild,
}

/// Who of the household stands on the certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    Head,
    Couple,
    Organisation,
}

pub(crate) struct Truth {
    pub(crate) chance: Chance,
    pub(crate) persons: Vec<Person>,
    pub(crate) households: Vec<Household>,
    pub(crate) parcels: Vec<Parcel>,
}

impl Truth {
    pub(crate) fn new(chance: Chance, persons: u32) -> Self {
        let mut truth = Self {
            chance,
            persons: Vec::with_capacity(persons as usize),
            households: Vec::with_capacity(persons as usize / 3),
            parcels: Vec::with_capacity(persons as usize / 3),
        };
        while truth.persons.len() < persons as usize {
            truth.add_household(persons);
        }
        truth.add_parcels();
        truth
    }

    pub(crate) fn person(&self, i: u32) -> &Person {
        &self.persons[i as usize]
    }

    pub(crate) fn household_of(&self, i: u32) -> &Household {
        &self.households[self.person(i).household as usize]
    }

    /// Numbers of a household's members, parents first.
    pub(crate) fn members(&self, household: &Household) -> std::ops::Range<u32> {
        household.first..household.first + u32::from(household.size)
    }

    /// Where a person lives on a day.
    pub(crate) fn home(&self, i: u32, day: i32) -> Place {
        let household = self.household_of(i);
        let came_by_marriage = household.married >= START && household.married != NEVER && i == household.first + 1;
        if came_by_marriage && day < household.married {
            household.wife_from
        } else if day < household.moved {
            household.home
        } else {
            household.next
        }
    }

    /// Where a person was born.
    pub(crate) fn birthplace(&self, i: u32) -> Place {
        let home = self.home(i, START);
        let drawn = self.chance.permute(11, u64::from(i), 1 << 20);
        let grown = self.person(i).mother == NONE;
        if grown && drawn % 100 < 35 {
            Place { commune: (drawn / 100 % u64::from(OLD_COMMUNES)) as u16, half: drawn & 1 == 1 }
        } else {
            home
        }
    }

    /// The personal number in force on a day. Prefix 099 is assigned to no province.
    pub(crate) fn personal_id(&self, i: u32, day: i32) -> String {
        if day < self.reissued_on(i) { self.retired_id(i) } else { self.present_id(i) }
    }

    /// The personal number that is in force at the end.
    pub(crate) fn present_id(&self, i: u32) -> String {
        let p = self.person(i);
        self.number(i, date(p.birth).year, p.male())
    }

    /// The number that was cancelled, for a reissued person: it has the wrong year of birth or the wrong sex. The serial
    /// stays, so that no number is ever given twice.
    pub(crate) fn retired_id(&self, i: u32) -> String {
        let p = self.person(i);
        let year = date(p.birth).year;
        if i.is_multiple_of(3) { self.number(i, year, !p.male()) } else { self.number(i, year - 11, p.male()) }
    }

    fn number(&self, i: u32, year: i32, male: bool) -> String {
        let century = (year.div_euclid(100) - 19) * 2 + i32::from(!male);
        let serial = self.chance.permute(1, u64::from(i), 1_000_000);
        format!("099{century}{:02}{serial:06}", year.rem_euclid(100))
    }

    /// Day from which the present personal number holds; `i32::MIN` when there never was another.
    pub(crate) fn reissued_on(&self, i: u32) -> i32 {
        if self.person(i).is(REISSUED) {
            START + 200 + (self.chance.permute(12, u64::from(i), 1 << 20) % 600) as i32
        } else {
            i32::MIN
        }
    }

    /// The old card number. Prefix 99 is assigned to no province. Also for parents who live elsewhere (see `elder`).
    pub(crate) fn old_id(&self, i: u32) -> String {
        format!("99{:07}", self.chance.permute(2, u64::from(i), 10_000_000))
    }

    /// The social insurance number.
    pub(crate) fn insurance_no(&self, i: u32) -> String {
        format!("99{:08}", self.chance.permute(3, u64::from(i), 100_000_000))
    }

    /// The telephone by which a person is reached: a child's is its mother's. No network has the prefix.
    pub(crate) fn phone(&self, i: u32, day: i32) -> String {
        let p = self.person(i);
        let owner = if p.age(day) < 15 && p.mother != NONE { p.mother } else { i };
        format!("010{:07}", self.chance.permute(4, u64::from(owner), 10_000_000))
    }

    /// Parcel identifier: a geohash in a cell that lies outside of the country.
    pub(crate) fn parcel_id(&self, parcel: u32) -> String {
        const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let mut point = self.chance.permute(5, u64::from(parcel), 1 << 50);
        let mut id = String::from("wb");
        for _ in 0..10 {
            id.push(char::from(DIGITS[(point & 31) as usize]));
            point >>= 5;
        }
        id
    }

    /// Number of a parent who lives elsewhere, as a true subject beyond the persons of the nation.
    pub(crate) fn elder_number(&self, child: u32, mother: bool) -> u32 {
        self.persons.len() as u32 + 2 * child + u32::from(mother)
    }

    /// Name and day of birth of a parent who lives elsewhere.
    pub(crate) fn elder(&self, child: u32, mother: bool) -> (Name, i32) {
        let p = self.person(child);
        let mut dice = self.chance.stream(Purpose::Elders, u64::from(child), u16::from(mother));
        let birth = p.birth - dice.between(20 * 365, 37 * 365);
        let year = date(birth).year;
        let name = if mother { Name::draw(&mut dice, false, year, None) } else { p.name.of_kin(&mut dice, true, year) };
        (name, birth)
    }

    /// The whole name of a parent, wherever the parent lives.
    pub(crate) fn parent_name(&self, child: u32, mother: bool) -> String {
        let p = self.person(child);
        let known = if mother { p.mother } else { p.father };
        match known {
            NONE => self.elder(child, mother).0.write(!mother),
            known => self.person(known).name.write(!mother),
        }
    }

    pub(crate) fn name(&self, i: u32) -> String {
        let p = self.person(i);
        p.name.write(p.male())
    }
}

impl Truth {
    fn add_household(&mut self, limit: u32) {
        let number = self.households.len() as u32;
        let mut dice = self.chance.stream(Purpose::Household, u64::from(number), 0);
        let kind = dice.weighted(&[56, 14, 9, 21]);
        let first = self.persons.len() as u32;
        let home = place(&mut dice);
        let moved =
            if dice.per_mille(110) { START + 90 + dice.below((END - START - 110) as u32) as i32 } else { NEVER };
        let mut household = Household {
            first,
            size: 0,
            home,
            moved,
            next: place(&mut dice),
            married: NEVER,
            wife_from: place(&mut dice),
            first_parcel: 0,
            parcels: 0,
        };
        match kind {
            0 => self.couple(&mut dice, number, &mut household, 24, 40, 3),
            1 => self.couple(&mut dice, number, &mut household, 24, 65, 0),
            2 => self.single_parent(&mut dice, number, &household),
            _ => {
                self.couple(&mut dice, number, &mut household, 30, 26, 2);
                self.grandparent(&mut dice, number, first);
            }
        }
        self.persons.truncate(limit as usize);
        // A cut household keeps no reference to who is not there.
        for p in &mut self.persons[first as usize..] {
            if p.spouse != NONE && p.spouse >= limit {
                p.spouse = NONE;
                household.married = NEVER;
            }
            for parent in [&mut p.mother, &mut p.father] {
                *parent = if *parent < limit { *parent } else { NONE };
            }
        }
        household.size = (self.persons.len() as u32 - first) as u8;
        self.deaths(&mut dice, &household);
        self.households.push(household);
    }

    fn add(&mut self, dice: &mut Dice, household: u32, birth: i32, male: bool, father: Option<Name>) -> u32 {
        let year = date(birth).year;
        let spike = if year < 1975 { 30 } else { 4 };
        let (birth, new_year) = if dice.per_mille(spike) { (day(year, 1, 1), NEW_YEAR) } else { (birth, 0) };
        let mut flags = new_year | if male { MALE } else { 0 };
        let drawn = dice.below(1000);
        flags |= if year < 2001 && drawn < 920 { OLD_ID } else { 0 };
        flags |= if year < 2002 && drawn % 250 == 7 { REISSUED } else { 0 };
        flags |= if dice.per_mille(8) { DISPUTED } else { 0 };
        let name = Name::draw(dice, male, year, father);
        self.persons.push(Person {
            birth,
            death: NEVER,
            household,
            mother: NONE,
            father: NONE,
            spouse: NONE,
            name,
            flags,
        });
        self.persons.len() as u32 - 1
    }

    /// A couple whose husband is from `age` to `age + span` years old at the end, with up to `children` children.
    fn couple(&mut self, dice: &mut Dice, number: u32, household: &mut Household, age: i32, span: i32, children: u32) {
        let years = age + (dice.below(span as u32 + 1) + dice.below(span as u32 / 2 + 1)) as i32 * 2 / 3;
        let husband_birth = END - years * 365 - dice.below(365) as i32;
        let wife_birth = (husband_birth + dice.between(-900, 2200)).min(END - 23 * 365);
        let husband = self.add(dice, number, husband_birth, true, None);
        let wife = self.add(dice, number, wife_birth, false, None);
        (self.persons[husband as usize].spouse, self.persons[wife as usize].spouse) = (wife, husband);
        let of_age = husband_birth.max(wife_birth) + 20 * 365;
        household.married = (of_age + dice.below(9 * 365) as i32).min(END - 60 - dice.below(600) as i32);
        let mut birth = household.married + 250 + dice.below(800) as i32;
        let mut left = if children == 0 { 0 } else { 1 + dice.below(children) };
        while left > 0 && birth < END - 10 && birth < self.person(wife).birth + 44 * 365 {
            left -= 1;
            let child = self.child(dice, number, birth, husband, wife);
            if dice.per_mille(14) && left > 0 {
                left -= 1;
                self.twin(dice, number, child);
            }
            birth += 420 + dice.below(1500) as i32;
        }
    }

    fn child(&mut self, dice: &mut Dice, number: u32, birth: i32, father: u32, mother: u32) -> u32 {
        let male = dice.per_mille(520);
        let family = if father == NONE { self.person(mother).name } else { self.person(father).name };
        let child = self.add(dice, number, birth, male, Some(family));
        let siblings = self.persons[..child as usize].iter().rev().take_while(|p| p.household == number);
        let taken: Vec<Name> = siblings.filter(|p| p.male() == male).map(|p| p.name).collect();
        let p = &mut self.persons[child as usize];
        while taken.contains(&p.name) {
            p.name = p.name.renamed(dice);
        }
        (p.father, p.mother) = (father, mother);
        child
    }

    /// Twins share the day of birth, the parents and often the middle name.
    fn twin(&mut self, dice: &mut Dice, number: u32, first: u32) {
        let (birth, father, mother) = {
            let p = self.person(first);
            (p.birth, p.father, p.mother)
        };
        let second = self.child(dice, number, birth, father, mother);
        let (name, male, new_year) = {
            let p = self.person(first);
            (p.name, p.male(), p.flags & NEW_YEAR)
        };
        let p = &mut self.persons[second as usize];
        p.birth = birth;
        p.flags = p.flags & !NEW_YEAR | TWIN | new_year;
        if male == p.male() {
            p.name = name.renamed(dice);
        }
        self.persons[first as usize].flags |= TWIN;
    }

    fn single_parent(&mut self, dice: &mut Dice, number: u32, household: &Household) {
        let birth = END - dice.between(26, 52) * 365 - dice.below(365) as i32;
        let mother = self.add(dice, number, birth, false, None);
        debug_assert_eq!(mother, household.first);
        let mut at = (birth + dice.between(20, 26) * 365).min(END - 400);
        for _ in 0..1 + dice.below(2) {
            if at < END - 10 {
                self.child(dice, number, at, NONE, mother);
                at += 500 + dice.below(1800) as i32;
            }
        }
    }

    fn grandparent(&mut self, dice: &mut Dice, number: u32, husband: u32) {
        let male = dice.per_mille(380);
        let birth = self.person(husband).birth - dice.between(20, 34) * 365;
        let name = self.person(husband).name;
        let elder = self.add(dice, number, birth, male, male.then_some(name));
        let p = &mut self.persons[husband as usize];
        if male {
            p.father = elder;
        } else {
            p.mother = elder;
        }
    }

    fn deaths(&mut self, dice: &mut Dice, household: &Household) {
        let recent = household.married != NEVER && household.married > START - 400;
        for i in self.members(household) {
            let p = self.person(i);
            let share = match p.age(START) {
                ..1 => 0,
                1..50 => 6,
                50..70 => 45,
                70..80 => 140,
                _ => 300,
            };
            let dies = dice.per_mille(share);
            let at = START + 40 + dice.below((END - START - 60) as u32) as i32;
            let has_young = self.members(household).any(|c| self.person(c).birth > START - 400);
            if dies && !recent && !has_young {
                self.persons[i as usize].death = at;
            }
        }
    }

    fn add_parcels(&mut self) {
        let mut used = vec![0u32; usize::from(OLD_COMMUNES)];
        for h in 0..self.households.len() as u32 {
            let mut dice = self.chance.stream(Purpose::Parcel, u64::from(h), 0);
            self.households[h as usize].first_parcel = self.parcels.len() as u32;
            let count = dice.weighted(&[30, 58, 12]) as u8;
            for _ in 0..count {
                let parcel = self.draw_parcel(&mut dice, h, &mut used);
                self.parcels.push(parcel);
            }
            self.households[h as usize].parcels = count;
        }
    }

    fn draw_parcel(&self, dice: &mut Dice, h: u32, used: &mut [u32]) -> Parcel {
        let household = &self.households[h as usize];
        let elsewhere = place(dice);
        let place = if dice.per_mille(820) { household.home } else { elsewhere };
        let taken = &mut used[usize::from(place.commune)];
        *taken += 1;
        // Sheets are numbered through a province, so that a merged commune has each number once.
        let sheet = u32::from(place.commune % 24) * 40 + *taken % 40 + 1;
        let number = *taken / 40 + 1;
        let others = self.households.len() as u32;
        let (sale, buyer) = (dice.per_mille(30), dice.below(others));
        let sold = START + 120 + dice.below((END - START - 130) as u32) as i32;
        let couple = household.married != NEVER && household.married < START;
        let owners = match dice.below(1000) {
            0..12 => Owners::Organisation,
            12..560 if couple => Owners::Couple,
            _ => Owners::Head,
        };
        let state = [State::Usable, State::Supplement, State::Rebuild][dice.weighted(&[39, 60, 1])];
        let previous = self.parcels.last().filter(|p| p.place == place && p.origin == NONE);
        let origin = match previous {
            Some(_) if dice.per_mille(60) => self.parcels.len() as u32 - 1,
            _ => NONE,
        };
        Parcel {
            household: h,
            place,
            sheet: sheet as u16,
            number: number as u16,
            area: 400 + dice.below(60_000),
            buyer: if sale && buyer != h && owners != Owners::Organisation { buyer } else { NONE },
            sold: if sale && buyer != h { sold } else { NEVER },
            state,
            owners,
            origin,
        }
    }
}

fn place(dice: &mut Dice) -> Place {
    Place { commune: dice.below(u32::from(OLD_COMMUNES)) as u16, half: dice.per_mille(400) }
}
