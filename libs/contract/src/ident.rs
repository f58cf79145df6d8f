//! Filling a mention's identifying features, and hashing them.

use crate::facts::Ident;
use crate::options::Feature;
use crate::reading::{Read, is_digits};
use crate::value::UnitRef;

const CONTEXT: &str = "national data hub 2026-11 contract element";
/// Cancelled numbers kept per mention.
const RETIRED_MAX: usize = 16;

/// Digits of a personal number, an old card number and a social insurance number.
const PERSONAL_ID: u32 = 12;
const OLD_ID: u32 = 9;
const INSURANCE_NO: u32 = 10;

impl<'a> Ident<'a> {
    /// Takes what a field says; the first filled value of a feature stays.
    pub(crate) fn take(&mut self, feature: Feature, read: &Read<'a>) {
        match read {
            Read::Date(date) => {
                self.birth.get_or_insert(*date);
            }
            Read::Sex(sex) => {
                self.sex.get_or_insert(*sex);
            }
            Read::Unit(unit) => match feature {
                Feature::CadastralUnit => {
                    self.cadastral_unit.get_or_insert(*unit);
                }
                _ => {
                    self.unit.get_or_insert(*unit);
                }
            },
            Read::Text(text) => self.take_text(feature, text),
            Read::Number(_) | Read::Bool(_) => {}
        }
    }

    fn take_text(&mut self, feature: Feature, text: &'a str) {
        let slot = match feature {
            Feature::FullName => {
                self.full_name.get_or_insert(text.into());
                return;
            }
            Feature::FamilyName => &mut self.name_parts[0],
            Feature::MiddleName => &mut self.name_parts[1],
            Feature::GivenName => &mut self.name_parts[2],
            Feature::PersonalId => &mut self.personal_id,
            Feature::OldId => &mut self.old_id,
            Feature::IdentityPaper if is_digits(text, PERSONAL_ID) => &mut self.personal_id,
            Feature::IdentityPaper if is_digits(text, OLD_ID) => &mut self.old_id,
            Feature::InsuranceNo if is_digits(text, PERSONAL_ID) => &mut self.personal_id,
            Feature::InsuranceNo if is_digits(text, INSURANCE_NO) => &mut self.insurance_no,
            Feature::InsuranceCard => return self.take_card(text),
            Feature::Phone => &mut self.phone,
            Feature::MotherName => &mut self.mother_name,
            Feature::FatherName => &mut self.father_name,
            Feature::SpouseName => &mut self.spouse_name,
            Feature::ParcelId => &mut self.parcel_id,
            Feature::CadastralSheet => &mut self.cadastral_sheet,
            Feature::CadastralNumber => &mut self.cadastral_number,
            Feature::RetiredPersonalId => {
                if self.retired_personal_ids.len() < RETIRED_MAX && !self.retired_personal_ids.contains(&text) {
                    self.retired_personal_ids.push(text);
                }
                return;
            }
            Feature::IdentityPaper
            | Feature::InsuranceNo
            | Feature::BirthDate
            | Feature::Sex
            | Feature::Unit
            | Feature::CadastralUnit
            | Feature::Unspecified => return,
        };
        slot.get_or_insert(text);
    }

    /// A card of 15 characters ends in the insurance number; a display form of 10 digits is it.
    fn take_card(&mut self, card: &'a str) {
        let number = if card.len() == 15 { card.get(5..).unwrap_or("") } else { card };
        if is_digits(number, INSURANCE_NO) {
            self.insurance_no.get_or_insert(number);
        }
    }

    /// Puts a whole name together where the register writes it in parts.
    pub(crate) fn join_name(&mut self) {
        if self.full_name.is_none() {
            let parts: Vec<_> = self.name_parts.iter().flatten().copied().collect();
            if !parts.is_empty() {
                self.full_name = Some(parts.join(" ").into());
            }
        }
    }

    /// Hash of everything that identifies this mention.
    pub(crate) fn hash(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let mut feed = |feature: Feature, bytes: &[u8]| {
            hasher.update(&[feature as u8]);
            hasher.update(&(bytes.len() as u32).to_be_bytes());
            hasher.update(bytes);
        };
        if let Some(name) = &self.full_name {
            feed(Feature::FullName, name.as_bytes());
        }
        if let Some(birth) = self.birth {
            feed(Feature::BirthDate, &[birth.year().to_be_bytes(), [birth.month(), birth.day()]].concat());
        }
        if let Some(sex) = self.sex {
            feed(Feature::Sex, sex.code().as_bytes());
        }
        for (feature, text) in self.texts() {
            if let Some(text) = text {
                feed(feature, text.as_bytes());
            }
        }
        for retired in &self.retired_personal_ids {
            feed(Feature::RetiredPersonalId, retired.as_bytes());
        }
        for (feature, unit) in [(Feature::Unit, self.unit), (Feature::CadastralUnit, self.cadastral_unit)] {
            if let Some(UnitRef { code, list_version }) = unit {
                feed(feature, code.as_bytes());
                feed(feature, list_version.as_bytes());
            }
        }
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        hash
    }

    fn texts(&self) -> [(Feature, Option<&'a str>); 13] {
        [
            (Feature::FamilyName, self.name_parts[0]),
            (Feature::MiddleName, self.name_parts[1]),
            (Feature::GivenName, self.name_parts[2]),
            (Feature::PersonalId, self.personal_id),
            (Feature::OldId, self.old_id),
            (Feature::InsuranceNo, self.insurance_no),
            (Feature::Phone, self.phone),
            (Feature::MotherName, self.mother_name),
            (Feature::FatherName, self.father_name),
            (Feature::SpouseName, self.spouse_name),
            (Feature::ParcelId, self.parcel_id),
            (Feature::CadastralSheet, self.cadastral_sheet),
            (Feature::CadastralNumber, self.cadastral_number),
        ]
    }
}
