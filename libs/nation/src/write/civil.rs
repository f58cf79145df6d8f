//! The books of civil status.

use super::Draft;
use super::person::{Habit, Paper, Shown, Written, civil_birth};
use crate::calendar::{NEVER, START, date, dots};
use crate::change::{Flaw, Ids, Noise};
use crate::contracts::hub::register::civil::v1::{
    Birth, Change, Child, Death, DeathNotice, Deceased, Entry, FieldChange, MaritalStatus, Marriage, Parent,
    ParentRecognition, Person, Requester,
};
use crate::plan::{RecordType, Stage};
use crate::truth::{DISPUTED, NONE, Place, REISSUED};
use crate::units;

const BOOKS: Habit = Habit { year_only: 10, capitals: 120 };
/// Old books often know the year of a parent's birth only.
const OLD_BOOKS: Habit = Habit { year_only: 60, capitals: 120 };

impl Draft<'_> {
    /// True for an entry of the time before the registers were electronic.
    fn of_old(&self) -> bool {
        self.event.effective < START
    }

    fn entry(&mut self, place: Place) -> Entry {
        let at = date(self.event.effective);
        let number =
            self.truth.chance.permute(14, u64::from(self.event.about) * 32 + self.event.record_type as u64, 1 << 40);
        let mut office = units::office(place.commune, place.half, self.event.effective);
        if self.event.flaw == Flaw::Conflict {
            office.push_str(" (bản sao)");
        }
        let known = self.dice.per_mille(930);
        Entry {
            number: format!("{}/{}", number % 400 + 1, at.year),
            book: if known { format!("{:02}/{}", number / 400 % 9 + 1, at.year) } else { String::new() },
            page: (number / 4000 % 200 + 1).to_string(),
            registered_on: dots(at),
            registration_type: 1,
            office,
            office_unit: self.unit(place),
            signer: "Nguyễn Văn Ký".to_owned(),
            signer_title: "Chủ tịch".to_owned(),
            clerk: "Trần Thị Ghi".to_owned(),
            note: String::new(),
        }
    }

    pub(super) fn birth(&mut self) -> Birth {
        let i = self.event.about;
        let truth = self.truth;
        let p = truth.person(i);
        let entry = self.entry(self.place());
        let mut shown = self.show(i, Habit { year_only: 10, capitals: 60 });
        if p.is(DISPUTED) && self.event.stage == Stage::Plain {
            shown.birth = Written::Day(date(civil_birth(truth, i)));
            shown.noise.mark(Noise::WRONG_DATE, true);
        }
        let numbered = if self.of_old() { if date(p.birth).year >= 2016 { 800 } else { 160 } } else { 985 };
        let mut paper = self.paper(i, [1000 - numbered, 0, numbered]);
        let birthplace = truth.birthplace(i);
        // A child is not lost between the book of its birth and its present home: both are in the family's commune.
        let home = if self.of_old() { birthplace } else { self.place() };
        self.mention(shown.mention("child", paper.ids, paper.noise));
        let mother = self.parent(i, true);
        let father = (p.father != NONE || p.mother == NONE).then(|| self.parent(i, false));
        self.spoil(&mut shown.name, &mut paper.number);
        Birth {
            entry: Some(entry),
            child: Some(Child {
                full_name: shown.name.clone(),
                sex: shown.sex_word(),
                birth_date: shown.birth.dots(),
                birthplace: self.address(i, birthplace, self.event.effective),
                birthplace_unit: self.unit(birthplace),
                hometown: self.address(i, birthplace, self.event.effective),
                ethnicity: p.name.ethnicity().to_owned(),
                nationality: "Việt Nam".to_owned(),
                birth_type: if father.is_some() { 1 } else { 2 },
                personal_id: paper.number,
                residence_unit: self.unit(home),
            }),
            requester: Some(Requester {
                full_name: mother.full_name.clone(),
                relation: "Mẹ".to_owned(),
                identity_paper_type: 0,
                identity_paper_no: String::new(),
            }),
            mother: Some(mother),
            father,
        }
    }

    fn parent(&mut self, child: u32, mother: bool) -> Parent {
        let p = self.truth.person(child);
        let known = if mother { p.mother } else { p.father };
        let role = if mother { "mother" } else { "father" };
        let (shown, paper, home) = if known == NONE {
            let shown = self.show_elder(child, mother, OLD_BOOKS);
            let paper = self.elder_paper(child, mother, 350);
            (shown, paper, self.truth.birthplace(child))
        } else {
            let shown = self.show(known, if self.of_old() { OLD_BOOKS } else { BOOKS });
            let paper = self.paper(known, if self.of_old() { [450, 400, 150] } else { [90, 60, 850] });
            (shown, paper, self.truth.home(known, self.event.effective.min(self.day)))
        };
        self.mention(shown.mention(role, paper.ids, paper.noise));
        let at = if known == NONE { child } else { known };
        Parent {
            full_name: shown.name.clone(),
            birth_date: shown.birth.dots(),
            ethnicity: p.name.ethnicity().to_owned(),
            nationality: "Việt Nam".to_owned(),
            residence: self.address(at, home, self.event.effective),
            residence_type: 1,
            identity_paper_type: paper.type_code(),
            identity_paper_no: paper.number,
            residence_unit: self.unit(home),
        }
    }

    pub(super) fn death(&mut self) -> Death {
        let i = self.event.about;
        let p = self.truth.person(i);
        let place = self.place();
        let entry = self.entry(place);
        let mut shown = self.show(i, BOOKS);
        let mut paper = self.paper(i, [150, 150, 700]);
        let noticed = self.dice.per_mille(900);
        self.mention(shown.mention("deceased", paper.ids, paper.noise));
        self.spoil(&mut shown.name, &mut paper.number);
        let died = dots(date(p.death));
        Death {
            entry: Some(entry),
            deceased: Some(Deceased {
                full_name: shown.name.clone(),
                sex: shown.sex_word(),
                birth_date: shown.birth.dots(),
                ethnicity: p.name.ethnicity().to_owned(),
                nationality: "Việt Nam".to_owned(),
                residence: self.address(i, place, self.day),
                residence_type: 1,
                identity_paper_type: paper.type_code(),
                identity_paper_no: paper.number,
                residence_unit: self.unit(place),
                death_date: died.clone(),
                death_time: format!("{:02}:{:02}", self.dice.below(24), self.dice.below(60)),
                death_place: self.address(i, place, self.day),
                death_cause: "Bệnh".to_owned(),
            }),
            notice: noticed.then(|| DeathNotice {
                notice_type: 1,
                number: format!("BT-{}", i % 9000 + 1),
                issued_on: died,
                issuer: "Trạm y tế".to_owned(),
            }),
            requester: None,
        }
    }

    pub(super) fn marriage(&mut self) -> Marriage {
        let household = &self.truth.households[self.event.about as usize];
        let entry = self.entry(self.truth.home(household.first, self.event.effective));
        let weights = if self.of_old() { [300, 550, 150] } else { [40, 50, 910] };
        let mut husband = self.person_block("husband", household.first, weights);
        let wife = self.person_block("wife", household.first + 1, weights);
        self.spoil(&mut husband.full_name, &mut husband.identity_paper_no);
        Marriage { entry: Some(entry), husband: Some(husband), wife: Some(wife) }
    }

    /// The person block of most tables.
    fn person_block(&mut self, role: &'static str, i: u32, weights: [u16; 3]) -> Person {
        let shown = self.show(i, BOOKS);
        let paper = self.paper(i, weights);
        let home = self.truth.home(i, self.event.effective);
        self.mention(shown.mention(role, paper.ids, paper.noise));
        self.block(i, &shown, &paper, home)
    }

    fn block(&self, i: u32, shown: &Shown, paper: &Paper, home: Place) -> Person {
        let subject = self.truth.persons.get(i as usize);
        Person {
            full_name: shown.name.clone(),
            sex: shown.sex_word(),
            birth_date: shown.birth.dots(),
            ethnicity: subject.map_or("Kinh", |p| p.name.ethnicity()).to_owned(),
            nationality: "Việt Nam".to_owned(),
            residence: self.address(i.min(self.truth.persons.len() as u32 - 1), home, self.day),
            residence_type: 1,
            identity_paper_type: paper.type_code(),
            identity_paper_no: paper.number.clone(),
            residence_unit: self.unit(home),
        }
    }

    pub(super) fn recognition(&mut self) -> ParentRecognition {
        let child = self.event.about;
        let place = self.place();
        let entry = self.entry(place);
        let shown = self.show_elder(child, false, BOOKS);
        let paper = self.elder_paper(child, false, 800);
        self.mention(shown.mention("parent", paper.ids, paper.noise));
        let parent = self.block(child, &shown, &paper, place);
        let mut child_block = self.person_block("child", child, [200, 0, 800]);
        self.spoil(&mut child_block.full_name, &mut child_block.identity_paper_no);
        ParentRecognition {
            entry: Some(entry),
            parent: Some(parent),
            child: Some(child_block),
            decision_no: format!("QĐ-{}", child % 900 + 1),
            recognition_type: 1,
            mother_name: self.truth.parent_name(child, true),
            father_name: shown.name,
        }
    }

    pub(super) fn marital_status(&mut self) -> MaritalStatus {
        let i = self.event.about;
        let entry = self.entry(self.place());
        let mut person = self.person_block("person", i, [30, 60, 910]);
        self.spoil(&mut person.full_name, &mut person.identity_paper_no);
        let status = self.marital_code(i);
        let married = self.truth.household_of(i).married;
        let since = if married == NEVER { START } else { married.min(self.day) };
        let text = match status {
            "single" => "Chưa đăng ký kết hôn với ai",
            "widowed" => "Vợ hoặc chồng đã chết",
            _ => "Đang có vợ hoặc chồng",
        };
        MaritalStatus {
            entry: Some(entry),
            person: Some(person),
            status_text: text.to_owned(),
            residence_from: dots(date(since)),
            residence_until: dots(date(self.day)),
            status: status.to_owned(),
            purpose: "Bổ sung hồ sơ".to_owned(),
        }
    }

    pub(super) fn civil_change(&mut self) -> Change {
        debug_assert!(self.event.record_type == RecordType::CivilChange);
        let i = self.event.about;
        let p = self.truth.person(i);
        let entry = self.entry(self.place());
        let mut person = self.person_block("person", i, [0, 0, 1]);
        let reissued = p.is(REISSUED);
        // The number that the decision names is the new one, whenever the entry is made.
        if reissued {
            person.identity_paper_no = self.truth.present_id(i);
            let mention = self.mentions.last_mut().expect("the block made a mention");
            mention.ids = Ids::PERSONAL.with(Ids::RETIRED);
            mention.noise = Noise(mention.noise.0 & !Noise::ID_TYPO.0);
        }
        self.spoil(&mut person.full_name, &mut person.identity_paper_no);
        let (field, old, new) = if reissued {
            ("soDinhDanh", self.truth.retired_id(i), self.truth.present_id(i))
        } else {
            ("danToc", "Không rõ".to_owned(), p.name.ethnicity().to_owned())
        };
        Change {
            entry: Some(entry),
            person: Some(person),
            decision_no: format!("QĐ-{}", i % 900 + 1),
            changes: vec![FieldChange { field_name: field.to_owned(), old_value: old, new_value: new }],
            previous_personal_id: if reissued { self.truth.retired_id(i) } else { String::new() },
        }
    }
}
