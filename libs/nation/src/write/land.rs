//! The land register.

use super::Draft;
use super::person::{Habit, Paper, Shown, Written};
use crate::calendar::{END, NEVER, REFORM, START, date, slashes};
use crate::contracts::hub::register::land::v1::{
    Asset, Certificate, CurrentUser, LandUse, Parcel, ParcelReference, Party, Restriction, Right, RightParcel,
};
use crate::plan::Stage;
use crate::truth::{NONE, Owners, Place, State};

/// Certificates are printed in capitals and know the year of birth more often than the day.
const CERTIFICATES: Habit = Habit { year_only: 10, capitals: 400 };
const USES: [&str; 4] = ["ONT", "ODT", "CLN", "LUC"];

impl Draft<'_> {
    pub(super) fn parcel(&mut self) -> Parcel {
        let n = self.event.about;
        let parcel = &self.truth.parcels[n as usize];
        let complete = parcel.state == State::Usable;
        let numbered = self.dice.per_mille(if complete { 1000 } else { 400 });
        let measured = parcel.state != State::Rebuild;
        let mut sheet = parcel.sheet.to_string();
        self.mention_parcel("parcel", n, Vec::new());
        let derived_from = match parcel.origin {
            NONE => Vec::new(),
            origin => {
                self.mention_parcel("origin", origin, self.truth.parcel_id(origin).into_bytes());
                vec![ParcelReference { parcel_id: self.truth.parcel_id(origin), ..self.reference(origin) }]
            }
        };
        if self.refused() {
            sheet = "số ?".to_owned();
        }
        let land_uses = if measured { vec![self.land_use(n, complete)] } else { Vec::new() };
        Parcel {
            parcel_id: if numbered { self.truth.parcel_id(n) } else { String::new() },
            unit: self.unit(parcel.place),
            sheet: sheet.clone(),
            number: parcel.number.to_string(),
            certificate_sheet: sheet,
            certificate_number: parcel.number.to_string(),
            address_as_printed: self.land_address(n, START),
            address: if complete || self.day >= REFORM { self.land_address(n, REFORM) } else { String::new() },
            area: if measured { square_metres(parcel.area) } else { String::new() },
            land_uses,
            data_state: match parcel.state {
                State::Usable => "usable",
                State::Supplement => "supplement",
                State::Rebuild => "rebuild",
            }
            .to_owned(),
            derived_from,
            surveyed_on: if measured { slashes(date(self.event.effective - 40)) } else { String::new() },
        }
    }

    fn land_use(&mut self, n: u32, complete: bool) -> LandUse {
        let parcel = &self.truth.parcels[n as usize];
        let lacking = if complete { 0 } else { 450 };
        let (no_origin, no_term) = (self.dice.per_mille(lacking), self.dice.per_mille(lacking));
        LandUse {
            code: (*self.dice.pick(&USES)).to_owned(),
            area: square_metres(parcel.area),
            origin: if no_origin { String::new() } else { "CNQ-CTT".to_owned() },
            form: "own".to_owned(),
            term: if no_term { String::new() } else { "long-term".to_owned() },
        }
    }

    fn land_address(&self, n: u32, day: i32) -> String {
        let parcel = &self.truth.parcels[n as usize];
        let first = self.truth.households[parcel.household as usize].first;
        self.address(first, parcel.place, day)
    }

    fn reference(&self, n: u32) -> ParcelReference {
        let parcel = &self.truth.parcels[n as usize];
        ParcelReference {
            parcel_id: if parcel.state == State::Usable { self.truth.parcel_id(n) } else { String::new() },
            unit: self.unit(parcel.place),
            sheet: parcel.sheet.to_string(),
            number: parcel.number.to_string(),
        }
    }

    pub(super) fn right(&mut self) -> Right {
        let n = self.event.about;
        let parcel = &self.truth.parcels[n as usize];
        let complete = parcel.state == State::Usable;
        let certificate = self.certificate(complete);
        let numbered = self.dice.per_mille(if complete { 950 } else { 300 });
        let measured = parcel.state != State::Rebuild;
        let land_uses = if measured { vec![self.land_use(n, complete)] } else { Vec::new() };
        self.mention_parcel("parcel", n, Vec::new());
        let right_parcel = RightParcel {
            parcel_id: if numbered { self.truth.parcel_id(n) } else { String::new() },
            unit: self.unit(parcel.place),
            sheet: parcel.sheet.to_string(),
            number: parcel.number.to_string(),
            address_as_printed: self.land_address(n, START),
            address: if complete { self.land_address(n, REFORM) } else { String::new() },
            area: if measured { square_metres(parcel.area) } else { String::new() },
            land_uses,
        };
        let mut parties = self.parties(n);
        let current_user = self.current_user(n);
        if let Some(first) = parties.first_mut() {
            self.spoil(&mut first.name, &mut first.identity_no);
        }
        let assets = if self.dice.per_mille(550) {
            vec![Asset {
                r#type: "house".to_owned(),
                ownership: "own".to_owned(),
                grade: "4".to_owned(),
                ..Asset::default()
            }]
        } else {
            Vec::new()
        };
        Right { certificate: Some(certificate), parcel: Some(right_parcel), parties, current_user, assets }
    }

    fn certificate(&mut self, complete: bool) -> Certificate {
        let n = u64::from(self.event.about);
        let serial = self.truth.chance.permute(15, n, 26 * 26 * 1_000_000);
        let letter = |at: u64| char::from(b'A' + (at % 26) as u8);
        let (letters, digits) = (serial / 1_000_000, serial % 1_000_000);
        let area = self.truth.parcels[self.event.about as usize].area;
        let (no_book, odd_book, larger) =
            (self.dice.per_mille(if complete { 0 } else { 500 }), self.dice.per_mille(25), self.dice.per_mille(6));
        let registry_no = match () {
            () if no_book => String::new(),
            // Written as some offices do, against the pattern: let in with a finding.
            () if odd_book => format!("số {digits}"),
            () => format!("CH {:05}", digits % 100_000),
        };
        Certificate {
            serial: format!("{}{} {digits:06}", letter(letters / 26), letter(letters)),
            issued_on: slashes(date(self.event.effective.min(self.day))),
            registry_no,
            area: square_metres(if larger { area + 400 } else { area }),
            issuer: if self.event.flaw == crate::change::Flaw::Conflict {
                "Văn phòng đăng ký"
            } else {
                "UBND huyện"
            }
            .to_owned(),
        }
    }

    fn parties(&mut self, n: u32) -> Vec<Party> {
        let parcel = &self.truth.parcels[n as usize];
        if parcel.owners == Owners::Organisation {
            return vec![self.organisation(n)];
        }
        let sold = self.event.stage == Stage::Ended;
        let household = &self.truth.households[if sold { parcel.buyer } else { parcel.household } as usize];
        let (head, couple) = (household.first, household.married != NEVER && household.married < START);
        if couple && (parcel.owners == Owners::Couple || sold) {
            vec![self.party("owner", "spouses", 0, head), self.party("co_owner", "spouses", 1, head + 1)]
        } else {
            vec![self.party("owner", "person", 0, head)]
        }
    }

    fn organisation(&mut self, n: u32) -> Party {
        let missing = self.dice.per_mille(200);
        Party {
            r#type: "organisation".to_owned(),
            name: format!("Hợp tác xã số {}", n % 90 + 1),
            organisation_id: if missing { String::new() } else { format!("99{:08}", n % 100_000_000) },
            role: "owner".to_owned(),
            ..Party::default()
        }
    }

    /// An owner: a third by personal number, most by the old card, a fifth by name, year and address alone.
    fn party(&mut self, role: &str, kind: &str, index: u16, i: u32) -> Party {
        let p = self.truth.person(i);
        let (shown, paper, home) = self.owner(i);
        let sexed = self.dice.per_mille(700);
        let mut mention = shown.mention("owner", paper.ids, paper.noise);
        mention.index = index;
        mention.element = paper.number.clone().into_bytes();
        self.mention(mention);
        let spouse = (kind == "spouses" && p.spouse != NONE).then(|| self.truth.name(p.spouse));
        Party {
            r#type: kind.to_owned(),
            name: shown.name.clone(),
            identity_no: paper.number,
            organisation_id: String::new(),
            birth_date: shown.birth.slashes(),
            sex: if sexed { shown.sex_word() } else { String::new() },
            address: self.address(i, home, self.day),
            residence_unit: self.unit(home),
            role: role.to_owned(),
            spouse_name: spouse.unwrap_or_default(),
        }
    }

    fn owner(&mut self, i: u32) -> (Shown, Paper, Place) {
        let new = self.event.stage == Stage::Ended || self.event.effective >= START;
        let state = match self.event.record_type {
            crate::plan::RecordType::Right => self.truth.parcels[self.event.about as usize].state,
            _ => State::Usable,
        };
        let weights = match (new, state) {
            (true, _) => [0, 80, 920],
            (false, State::Usable) => [0, 620, 380],
            (false, State::Supplement) => [330, 540, 130],
            (false, State::Rebuild) => [800, 200, 0],
        };
        let paper = self.paper(i, weights);
        // Who stands without a number is known by the year of birth, at times by the day.
        let bare = paper.number.is_empty();
        let mut shown = self.show(i, CERTIFICATES);
        let vague = self.dice.per_mille(if bare { 700 } else { 150 });
        if let (true, Written::Day(day)) = (vague, shown.birth) {
            shown.birth = Written::Year(day.year);
        }
        let home = if self.dice.per_mille(80) { self.truth.home(i, START) } else { self.truth.home(i, self.day) };
        (shown, paper, home)
    }

    /// Who uses the land where the certificate names another: mostly a grown child.
    fn current_user(&mut self, n: u32) -> Option<CurrentUser> {
        let parcel = &self.truth.parcels[n as usize];
        let household = &self.truth.households[parcel.household as usize];
        let other = self.dice.per_mille(60);
        let heir = self.truth.members(household).skip(2).find(|i| self.truth.person(*i).age(END) >= 20);
        let i =
            heir.filter(|i| other && parcel.owners != Owners::Organisation && self.truth.person(*i).alive(self.day))?;
        let shown = self.show(i, CERTIFICATES);
        let paper = self.paper(i, [250, 200, 550]);
        self.mention(shown.mention("current_user", paper.ids, paper.noise));
        Some(CurrentUser {
            name: shown.name.clone(),
            identity_no: paper.number,
            birth_date: shown.birth.slashes(),
            change_reason: "Tặng cho".to_owned(),
        })
    }

    pub(super) fn restriction(&mut self) -> Restriction {
        let n = self.event.about;
        let kind = ["mortgage", "dispute", "seizure", "planning"][self.dice.weighted(&[86, 6, 3, 5])];
        let private = self.dice.per_mille(120);
        let lender = self.dice.below(self.truth.households.len() as u32);
        let mut reference = self.reference(n);
        self.mention_parcel("parcel", n, Vec::new());
        let holder = match (kind, private) {
            ("mortgage", true) => {
                let first = self.truth.households[lender as usize].first;
                let mut party = self.party("mortgagee", "person", 0, first);
                party.spouse_name = String::new();
                let mention = self.mentions.last_mut().expect("the party made a mention");
                (mention.role, mention.element) = ("holder", Vec::new());
                Some(party)
            }
            ("mortgage", false) => Some(Party {
                r#type: "organisation".to_owned(),
                name: format!("Ngân hàng số {}", lender % 12 + 1),
                organisation_id: format!("99{:08}", 90_000_000 + lender % 12),
                role: "mortgagee".to_owned(),
                ..Party::default()
            }),
            _ => None,
        };
        if self.refused() {
            reference.sheet = "số ?".to_owned();
        }
        let registered = self.truth.chance.permute(16, u64::from(n), 1 << 30);
        // The first statement and the one that lifts it name one day of registration.
        let lifted = self.event.stage == Stage::Ended;
        let since = self.event.opened;
        Restriction {
            parcel: Some(reference),
            r#type: kind.to_owned(),
            holder,
            registry_no: format!("TC-{registered}"),
            registered_on: slashes(date(since)),
            lifted_on: if lifted { slashes(date(self.event.effective)) } else { String::new() },
            note: if self.event.flaw == crate::change::Flaw::Conflict {
                "Bản nhập lại".to_owned()
            } else {
                String::new()
            },
        }
    }
}

/// Tenths of a square metre as the register writes them.
fn square_metres(tenths: u32) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}
