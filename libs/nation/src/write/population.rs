//! The population database.

use super::Draft;
use super::person::{ORDINARY, Written};
use crate::calendar::{NEVER, date, iso};
use crate::change::{Ids, Noise};
use crate::contracts::hub::register::population::v1::{DwellingReference, Household, IdentityCard, Member, Residence};
use crate::plan::Stage;
use crate::truth::{NONE, OLD_ID, Place, REISSUED, State};

impl Draft<'_> {
    pub(super) fn residence(&mut self) -> Residence {
        let i = self.event.about;
        let p = self.truth.person(i);
        let household = self.truth.household_of(i);
        // A correction dates the same move earlier.
        let mut holds = self.event.effective;
        if household.moved != NEVER && holds >= household.moved - 25 {
            holds = holds.max(household.moved);
        }
        let home = self.truth.home(i, holds);
        let mut shown = self.show(i, ORDINARY);
        let mut paper = self.paper(i, [0, 0, 1]);
        let mut ids = paper.ids;
        let with_old = self.dice.per_mille(700) && p.is(OLD_ID);
        ids = if with_old { ids.with(Ids::OLD) } else { ids };
        let (phone, parents, spouse) = (self.dice.per_mille(400), self.dice.per_mille(800), self.dice.per_mille(800));
        let married = p.spouse != NONE && household.married <= holds.max(self.day);
        let previous = p.is(REISSUED) && self.day >= self.truth.reissued_on(i);
        ids = if previous { ids.with(Ids::RETIRED) } else { ids };
        self.spoil(&mut shown.name, &mut paper.number);
        let truth = self.truth;
        let of_parent = |mother: bool| {
            let known = if mother { p.mother } else { p.father };
            match known {
                NONE => String::new(),
                known => truth.personal_id(known, self.day),
            }
        };
        let fatherless = p.father == NONE && p.mother != NONE;
        let record = Residence {
            full_name: shown.name.clone(),
            other_name: String::new(),
            personal_id: paper.number.clone(),
            old_id: if with_old { truth.old_id(i) } else { String::new() },
            birth_date: shown.birth.iso(),
            sex: shown.sex_word(),
            birthplace: self.address(i, truth.birthplace(i), 0),
            birth_registry_office: String::new(),
            hometown: self.address(i, truth.birthplace(i), 0),
            ethnicity: p.name.ethnicity().to_owned(),
            religion: "Không".to_owned(),
            nationality: "Việt Nam".to_owned(),
            blood_group: String::new(),
            permanent_address: self.address(i, home, self.day),
            permanent_unit: self.unit(home),
            temporary_address: String::new(),
            current_address: self.address(i, home, self.day),
            absence: String::new(),
            household_no: household_no(p.household),
            relation_to_head: self.relation(i).to_owned(),
            marital_status: self.marital_code(i).to_owned(),
            father_name: if parents && !fatherless { truth.parent_name(i, false) } else { String::new() },
            mother_name: if parents { truth.parent_name(i, true) } else { String::new() },
            spouse_name: if spouse && married { truth.name(p.spouse) } else { String::new() },
            father_personal_id: if parents { of_parent(false) } else { String::new() },
            mother_personal_id: if parents { of_parent(true) } else { String::new() },
            death_date: if self.event.stage == Stage::Ended { iso(date(p.death)) } else { String::new() },
            phone: if phone { truth.phone(i, self.day) } else { String::new() },
            email: String::new(),
            previous_personal_ids: if previous { vec![truth.retired_id(i)] } else { Vec::new() },
            dwelling: None,
        };
        self.mention(shown.mention("person", ids, paper.noise));
        Residence { dwelling: self.dwelling(i, home), ..record }
    }

    /// The parcel on which the house stands, where the database knows it.
    fn dwelling(&mut self, i: u32, home: Place) -> Option<DwellingReference> {
        let household = self.truth.household_of(i);
        let known = self.dice.per_mille(450);
        if !known || household.parcels == 0 {
            return None;
        }
        let n = household.first_parcel;
        let parcel = &self.truth.parcels[n as usize];
        if parcel.place != home || parcel.sold <= self.day || parcel.state == State::Rebuild {
            return None;
        }
        self.mention_parcel("dwelling", n, Vec::new());
        Some(DwellingReference {
            parcel_id: if parcel.state == State::Usable { self.truth.parcel_id(n) } else { String::new() },
            unit: self.unit(parcel.place),
            sheet: parcel.sheet.to_string(),
            number: parcel.number.to_string(),
        })
    }

    pub(super) fn household(&mut self) -> Household {
        let number = self.event.about;
        let truth = self.truth;
        let household = &truth.households[number as usize];
        let here: Vec<u32> = truth.members(household).filter(|i| truth.person(*i).alive(self.day)).collect();
        let head = here.first().copied().unwrap_or(household.first);
        let home = truth.home(head, self.day.max(self.event.effective));
        let mut head_block = self.member("head", 0, head, head);
        let mut members = Vec::with_capacity(here.len());
        for (index, i) in here.iter().skip(1).enumerate() {
            members.push(self.member("member", index as u16, *i, head));
        }
        let mut number_text = household_no(number);
        self.spoil(&mut head_block.full_name, &mut head_block.personal_id);
        if self.refused() {
            number_text.clear();
        }
        Household {
            household_no: number_text,
            address: self.address(head, home, self.day),
            unit: self.unit(home),
            head: Some(head_block),
            members,
        }
    }

    fn member(&mut self, role: &'static str, index: u16, i: u32, head: u32) -> Member {
        let shown = self.show(i, ORDINARY);
        let paper = self.paper(i, [25, 0, 975]);
        let mut mention = shown.mention(role, paper.ids, paper.noise);
        if role == "member" {
            mention.index = index;
            mention.element = paper.number.clone().into_bytes();
        }
        self.mention(mention);
        let relation = if i == head { "head" } else { self.relation_to(i, head) };
        Member {
            full_name: shown.name.clone(),
            personal_id: paper.number,
            birth_date: shown.birth.iso(),
            sex: shown.sex_word(),
            relation_to_head: relation.to_owned(),
        }
    }

    fn relation(&self, i: u32) -> &'static str {
        let head = self.truth.household_of(i).first;
        if i == head { "head" } else { self.relation_to(i, head) }
    }

    fn relation_to(&self, i: u32, head: u32) -> &'static str {
        let (p, h) = (self.truth.person(i), self.truth.person(head));
        match () {
            () if p.spouse == head => "spouse",
            () if p.mother == head || p.father == head => "child",
            () if h.mother == i || h.father == i => "parent",
            () if p.mother != NONE && (p.mother, p.father) == (h.mother, h.father) => "sibling",
            () => "other",
        }
    }

    /// Marital status on the day of the entry.
    pub(super) fn marital_code(&self, i: u32) -> &'static str {
        let p = self.truth.person(i);
        if p.spouse == NONE || self.truth.household_of(i).married > self.day {
            "single"
        } else if self.truth.person(p.spouse).death <= self.day {
            "widowed"
        } else {
            "married"
        }
    }

    pub(super) fn identity_card(&mut self) -> IdentityCard {
        let i = self.event.about;
        let p = self.truth.person(i);
        let home = self.truth.home(i, self.event.effective.max(p.birth));
        let mut shown = self.show(i, ORDINARY);
        let mut paper = self.paper(i, [0, 0, 1]);
        let with_old = self.dice.per_mille(750) && p.is(OLD_ID);
        let ids = if with_old { paper.ids.with(Ids::OLD) } else { paper.ids };
        if matches!(shown.birth, Written::Year(_)) && p.age(self.day) < 60 {
            // A card of a younger person always has the day.
            shown.birth = Written::Day(date(p.birth));
            shown.noise = Noise(shown.noise.0 & !Noise::YEAR_ONLY.0);
        }
        self.mention(shown.mention("holder", ids, paper.noise));
        self.spoil(&mut shown.name, &mut paper.number);
        let age = p.age(self.event.effective);
        let until = [25, 40, 60].into_iter().find(|at| *at > age + 2);
        let birth = date(p.birth);
        let until =
            until.map(|at| iso(crate::calendar::Date { year: birth.year + at, day: birth.day.min(28), ..birth }));
        IdentityCard {
            card_no: paper.number.clone(),
            personal_id: paper.number,
            old_id: if with_old { self.truth.old_id(i) } else { String::new() },
            full_name: shown.name.to_uppercase(),
            birth_date: shown.birth.iso(),
            sex: shown.sex_word(),
            nationality: "Việt Nam".to_owned(),
            issued_on: iso(date(self.event.effective)),
            valid_until: until.unwrap_or_default(),
            residence_unit: self.unit(home),
            residence: self.address(i, home, self.day),
        }
    }
}

pub(super) fn household_no(household: u32) -> String {
    format!("SHK{household:07}")
}
