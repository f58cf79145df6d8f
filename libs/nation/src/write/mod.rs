//! How a register writes a change down: the truth, with the slips of clerks.

mod civil;
mod health;
mod land;
mod person;
mod population;

pub(crate) use person::civil_birth;

use prost::Message;

use crate::calendar::{day_micros, minute_day, minute_micros};
use crate::change::{Flaw, Noise, Operation, PublishedChange, TrueSubject, TruthMention};
use crate::contracts::hub::r#type::v1::UnitReference;
use crate::dice::{Dice, Purpose};
use crate::plan::{Event, RecordType, Register, Stage};
use crate::truth::{Place, Truth};
use crate::units;

/// A record as it is being written.
pub(crate) struct Draft<'a> {
    pub(crate) truth: &'a Truth,
    pub(crate) event: &'a Event,
    pub(crate) dice: Dice,
    /// Day of the register's entry.
    pub(crate) day: i32,
    mentions: Vec<TruthMention>,
}

/// Writes one planned change.
pub(crate) fn write(truth: &Truth, register: Register, event: &Event) -> PublishedChange {
    // Not by version: a slip of the pen stays in every statement of a record.
    let part = u16::from(event.record_type as u8) << 8 | u16::from(event.nth);
    let dice = truth.chance.stream(Purpose::Mention, u64::from(event.about), part);
    let day = minute_day(event.registered);
    let mut draft = Draft { truth, event, dice, day, mentions: Vec::new() };
    let retract = event.stage == Stage::Retract;
    let payload = if retract { Vec::new() } else { draft.payload() };
    let place = draft.place();
    let agency = format!("{}.{}", register.agency(), units::province_code(place.commune, day));
    let mut truth_mentions = draft.mentions;
    if retract {
        truth_mentions.clear();
    }
    PublishedChange {
        register: register.name(),
        record_id: record_id(truth, event),
        version: u64::from(event.version),
        operation: if retract { Operation::Retract } else { Operation::Upsert },
        record_type: event.record_type.name(),
        effective_at: day_micros(event.effective),
        registered_at: minute_micros(event.registered),
        published_at: minute_micros(event.at),
        replaces: u64::from(event.replaces),
        agency,
        legal_basis: register.legal_basis(),
        reason: reason(event),
        payload,
        truth: truth_mentions,
        flaw: event.flaw,
        live: event.live,
    }
}

impl Register {
    /// The name in its contract.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Register::Population => "population",
            Register::Civil => "civil",
            Register::Land => "land",
            Register::Health => "health",
        }
    }

    fn agency(self) -> &'static str {
        match self {
            Register::Population => "G01",
            Register::Civil => "G15",
            Register::Land => "G10",
            Register::Health => "G18",
        }
    }

    fn legal_basis(self) -> &'static str {
        match self {
            Register::Population => "Law on Identification, art. 9",
            Register::Civil => "Law on Civil Status",
            Register::Land => "Land Law",
            Register::Health => "Law on Medical Examination and Treatment",
        }
    }
}

fn reason(event: &Event) -> &'static str {
    match event.stage {
        _ if event.replaces > 0 => "correction",
        Stage::Plain | Stage::Slip if event.version == 1 => "first entry",
        Stage::Plain | Stage::Slip => "change",
        Stage::Ended => "end of a right or of a life",
        Stage::Retract => "entered by mistake",
    }
}

/// The record's id: numbers of different registers have nothing in common.
pub(crate) fn record_id(truth: &Truth, event: &Event) -> String {
    let kind = event.record_type as u64;
    let number = truth.chance.permute(64 + kind, u64::from(event.about) * 8 + u64::from(event.nth), 1_000_000_000);
    let prefix = match event.record_type {
        RecordType::Residence => "CT",
        RecordType::Household => "HK",
        RecordType::IdentityCard => "CC",
        RecordType::Birth => "KS",
        RecordType::Death => "KT",
        RecordType::Marriage => "KH",
        RecordType::Recognition => "NC",
        RecordType::MaritalStatus => "XN",
        RecordType::CivilChange => "TD",
        RecordType::Parcel => "TH",
        RecordType::Right => "QS",
        RecordType::Restriction => "HC",
        RecordType::InsuranceCard => "BH",
        RecordType::Encounter => "LK",
        RecordType::HealthBook => "SK",
        RecordType::Vaccination => "TC",
    };
    format!("{prefix}-{number:09}")
}

impl Draft<'_> {
    fn payload(&mut self) -> Vec<u8> {
        match self.event.record_type {
            RecordType::Residence => self.residence().encode_to_vec(),
            RecordType::Household => self.household().encode_to_vec(),
            RecordType::IdentityCard => self.identity_card().encode_to_vec(),
            RecordType::Birth => self.birth().encode_to_vec(),
            RecordType::Death => self.death().encode_to_vec(),
            RecordType::Marriage => self.marriage().encode_to_vec(),
            RecordType::Recognition => self.recognition().encode_to_vec(),
            RecordType::MaritalStatus => self.marital_status().encode_to_vec(),
            RecordType::CivilChange => self.civil_change().encode_to_vec(),
            RecordType::Parcel => self.parcel().encode_to_vec(),
            RecordType::Right => self.right().encode_to_vec(),
            RecordType::Restriction => self.restriction().encode_to_vec(),
            RecordType::InsuranceCard => self.insurance_card().encode_to_vec(),
            RecordType::Encounter => self.encounter().encode_to_vec(),
            RecordType::HealthBook => self.health_book().encode_to_vec(),
            RecordType::Vaccination => self.vaccination().encode_to_vec(),
        }
    }

    /// Where the record belongs.
    pub(crate) fn place(&self) -> Place {
        let about = self.event.about;
        match self.event.record_type {
            RecordType::Parcel | RecordType::Right | RecordType::Restriction => {
                self.truth.parcels[about as usize].place
            }
            RecordType::Household | RecordType::Marriage => {
                let first = self.truth.households[about as usize].first;
                self.truth.home(first, self.day)
            }
            _ => self.truth.home(about, self.event.effective.min(self.day).max(self.truth.person(about).birth)),
        }
    }

    /// A commune as the register prints it on the day of its entry.
    pub(crate) fn unit(&self, place: Place) -> Option<UnitReference> {
        let printed = units::printed(place.commune, place.half, self.day);
        Some(UnitReference { code: printed.code.to_string(), list_version: printed.list.to_owned() })
    }

    /// The address of a person's house there; a conflicting statement names another group of houses.
    pub(crate) fn address(&self, i: u32, place: Place, day: i32) -> String {
        let household = u64::from(self.truth.person(i).household);
        let hamlet = self.truth.chance.permute(13, household, 1 << 20) % 14 + 1;
        let mut text = units::address(hamlet as u32, place.commune, place.half, day);
        if self.event.flaw == Flaw::Conflict {
            text.push_str(", tổ 2");
        }
        text
    }

    pub(crate) fn refused(&self) -> bool {
        self.event.flaw == Flaw::Refused
    }

    /// Breaks a hard rule of a change that is to be refused: the name is missing, or a number has letters in it.
    pub(crate) fn spoil(&mut self, name: &mut String, number: &mut String) {
        if self.refused() {
            if self.event.about.is_multiple_of(2) {
                name.clear();
            } else {
                *number = "09/9?".to_owned();
            }
        }
    }

    pub(crate) fn mention_parcel(&mut self, role: &'static str, parcel: u32, element: Vec<u8>) {
        self.mentions.push(TruthMention {
            role,
            index: 0,
            element,
            subject: TrueSubject::Parcel(parcel),
            ids: crate::change::Ids::default(),
            noise: Noise::default(),
        });
    }

    pub(crate) fn mention(&mut self, mention: TruthMention) {
        self.mentions.push(mention);
    }
}
