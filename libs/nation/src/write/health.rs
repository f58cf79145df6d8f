//! The health register.

use super::Draft;
use super::person::{Habit, Paper};
use crate::calendar::{PERSONAL_ID_FOR_INSURANCE, compact, date};
use crate::change::{Flaw, Ids, Noise};
use crate::contracts::hub::register::health::v1::{Encounter, HealthBookEntry, InsuranceCard, Vaccination};
use crate::truth::NONE;

const WARDS: Habit = Habit { year_only: 10, capitals: 300 };
const ICD: [&str; 12] =
    ["I10", "E11.9", "J06.9", "K29.7", "M54.5", "J20.9", "N39.0", "A09", "H52.1", "K02.1", "O80", "S52.5"];
const VACCINES: [&str; 6] = ["BCG", "HEXA", "MMR", "OPV", "FLU", "HEPB"];

impl Draft<'_> {
    /// A facility of the home province: five digits that no real list uses.
    fn facility(&mut self) -> String {
        let province = crate::units::old_province(self.place().commune);
        format!("98{province}{:02}", self.dice.below(12) + 1)
    }

    /// The number on a card: fifteen characters, or ten digits on newer ones.
    fn card(&mut self, i: u32, adult: bool) -> String {
        let short = self.dice.per_mille(300);
        let number = self.truth.insurance_no(i);
        match (short, adult) {
            (true, _) => number,
            (false, true) => format!("GD499{number}"),
            (false, false) => format!("TE199{number}"),
        }
    }

    /// The identity paper of a patient; some children are entered under a parent's number.
    fn patient_paper(&mut self, i: u32, weights: [u16; 3]) -> Paper {
        let p = self.truth.person(i);
        let child = p.age(self.day) < 14;
        let mistaken = self.dice.per_mille(50);
        if child && mistaken && p.mother != NONE {
            let number = self.truth.personal_id(p.mother, self.day);
            return Paper { number, ids: Ids::default(), noise: Noise::PARENT_ID };
        }
        self.paper(i, if child { [weights[0] + weights[1], 0, weights[2]] } else { weights })
    }

    fn insured(&self, i: u32, adult: bool) -> &'static str {
        match (adult, i % 5) {
            (false, _) => "TE",
            (true, 0) => "HN",
            (true, 1) => "DN",
            (true, _) => "GD",
        }
    }

    pub(super) fn insurance_card(&mut self) -> InsuranceCard {
        let i = self.event.about;
        let p = self.truth.person(i);
        let adult = p.age(self.event.opened) >= 6;
        let mut shown = self.show(i, WARDS);
        let mut paper = self.patient_paper(i, [70, 90, 840]);
        let card = self.card(i, adult);
        let (with_no, phone) = (self.dice.per_mille(800), self.dice.per_mille(300));
        let facility = self.facility();
        let home = self.place();
        self.mention(shown.mention("holder", paper.ids.with(Ids::INSURANCE), paper.noise));
        self.spoil(&mut shown.name, &mut paper.number);
        let insurance_no = match () {
            () if !with_no => String::new(),
            // The personal number replaced the insurance number; it is written only where the paper has it.
            () if self.day >= PERSONAL_ID_FOR_INSURANCE && paper.number.len() == 12 => paper.number.clone(),
            () => self.truth.insurance_no(i),
        };
        let (from, opened) = (date(self.event.effective), date(self.event.opened));
        InsuranceCard {
            full_name: shown.name.clone(),
            personal_id: paper.number,
            birth_date: shown.birth.compact(),
            sex: shown.sex_code(),
            card_no: card,
            insurance_no,
            valid_from: compact(from),
            valid_until: format!("{}1231", from.year.max(opened.year) + if adult { 1 } else { 6 }),
            insurance_group: self.insured(i, adult).to_owned(),
            first_facility: facility,
            address: self.address(i, home, self.day),
            residence_unit: self.unit(home),
            phone: if phone { self.truth.phone(i, self.day) } else { String::new() },
        }
    }

    pub(super) fn encounter(&mut self) -> Encounter {
        let i = self.event.about;
        let p = self.truth.person(i);
        let adult = p.age(self.event.effective) >= 6;
        let mut shown = self.show(i, WARDS);
        let mut paper = self.patient_paper(i, [180, 70, 750]);
        let carded = self.dice.per_mille(850);
        let card = self.card(i, adult);
        let (facility, hour, stay) = (self.facility(), self.dice.below(12) + 7, self.dice.below(5) as i32);
        let (diagnosed, driver, icd) = (self.dice.per_mille(930), self.dice.per_mille(30), *self.dice.pick(&ICD));
        let driver = driver && p.age(self.event.effective) >= 18;
        let home = self.place();
        let ids = if carded { paper.ids.with(Ids::INSURANCE) } else { paper.ids };
        self.mention(shown.mention("patient", ids, paper.noise));
        self.spoil(&mut shown.name, &mut paper.number);
        // Reported when it ends; nobody is admitted before birth, nor after death under a card that was used before it.
        let ends = self.event.effective;
        let admitted = (ends - stay).max(if p.death < ends { p.death + 1 } else { p.birth });
        let (day, number) = (compact(date(ends)), super::record_id(self.truth, self.event));
        Encounter {
            full_name: shown.name.clone(),
            personal_id: paper.number,
            birth_date: shown.birth.compact(),
            sex: shown.sex_code(),
            encounter_id: format!("{facility}.{}", &number[3..]),
            patient_id: format!("BN{:06}", self.truth.chance.permute(17, u64::from(i), 1_000_000)),
            ethnicity: if p.name.is_minority() { "54" } else { "01" }.to_owned(),
            nationality: "000".to_owned(),
            address: self.address(i, home, self.day),
            residence_unit: self.unit(home),
            card_nos: if carded { card } else { String::new() },
            first_facility: facility.clone(),
            card_valid_from: String::new(),
            card_valid_until: String::new(),
            admitted_at: format!("{}{hour:02}15", compact(date(admitted))),
            discharged_at: format!("{day}{:02}40", hour + 3),
            diagnosis: if diagnosed { "Theo hồ sơ bệnh án" } else { "" }.to_owned(),
            main_icd10: if diagnosed { icd } else { "" }.to_owned(),
            other_icd10: String::new(),
            outcome: 1,
            facility,
            driver_health: if driver { "fit" } else { "" }.to_owned(),
            driver_health_on: if driver { day } else { String::new() },
        }
    }

    pub(super) fn health_book(&mut self) -> HealthBookEntry {
        let i = self.event.about;
        let p = self.truth.person(i);
        let adult = p.age(self.event.effective) >= 6;
        let mut shown = self.show(i, WARDS);
        let mut paper = self.patient_paper(i, [120, 50, 830]);
        let (carded, phone, chronic) = (self.dice.per_mille(600), self.dice.per_mille(400), self.dice.per_mille(150));
        let card = self.card(i, adult);
        let facility = self.facility();
        let (height, weight) = (self.dice.below(30) as i32, self.dice.below(30) as i32);
        let home = self.place();
        let ids = if carded { paper.ids.with(Ids::INSURANCE) } else { paper.ids };
        self.mention(shown.mention("patient", ids, paper.noise));
        self.spoil(&mut shown.name, &mut paper.number);
        HealthBookEntry {
            full_name: shown.name.clone(),
            personal_id: paper.number,
            birth_date: shown.birth.compact(),
            sex: shown.sex_code(),
            phone: if phone { self.truth.phone(i, self.day) } else { String::new() },
            card_no: if carded { card } else { String::new() },
            address: self.address(i, home, self.day),
            residence_unit: self.unit(home),
            blood_group: ["O+", "A+", "B+", "AB+", ""][self.dice.weighted(&[42, 21, 30, 5, 10])].to_owned(),
            allergies: Vec::new(),
            chronic_conditions: if chronic { vec!["I10".to_owned()] } else { Vec::new() },
            family_history: String::new(),
            personal_history: String::new(),
            entered_at: format!("{}0900", compact(date(self.event.effective))),
            facility,
            height_cm: if adult { 145 + height } else { 55 + 2 * height },
            weight_g: if adult { 42_000 + 1000 * weight } else { 5_000 + 500 * weight },
            systolic_mmhg: 105 + height,
            diastolic_mmhg: 65 + weight / 2,
        }
    }

    pub(super) fn vaccination(&mut self) -> Vaccination {
        let i = self.event.about;
        let p = self.truth.person(i);
        let child = p.age(self.event.effective) < 14;
        let mut shown = self.show(i, WARDS);
        let mut paper = self.patient_paper(i, [400, 0, 600]);
        let facility = self.facility();
        let (vaccine, lot, phone) = (*self.dice.pick(&VACCINES), self.dice.below(9000), self.dice.per_mille(700));
        let home = self.place();
        self.mention(shown.mention("vaccinated", paper.ids, paper.noise));
        self.spoil(&mut shown.name, &mut paper.number);
        let lot_no = if self.event.flaw == Flaw::Conflict { format!("LX{lot:04}") } else { format!("L{lot:04}") };
        Vaccination {
            full_name: shown.name.clone(),
            personal_id: paper.number,
            birth_date: shown.birth.compact(),
            sex: shown.sex_code(),
            vaccine: vaccine.to_owned(),
            dose: i32::from(self.event.nth) + 1,
            given_at: format!("{}1000", compact(date(self.event.effective))),
            lot_no,
            facility,
            residence_unit: self.unit(home),
            mother_name: if child && p.mother != NONE { self.truth.parent_name(i, true) } else { String::new() },
            phone: if phone { self.truth.phone(i, self.day) } else { String::new() },
        }
    }
}
