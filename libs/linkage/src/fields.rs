//! What a register's mention offers, and how it becomes a feature row.

use crate::date::PartialDate;
use crate::hash::hash64;
use crate::model::Model;
use crate::row::*;
use crate::text::{FoldedName, digits, fold_name, tokens};

/// Identifying fields of a person's mention, as the register wrote them. Everything may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct PersonFields<'a> {
    /// The whole name in the order it is written; one token is a valid name.
    pub full_name: &'a str,
    /// Sex.
    pub sex: Option<Sex>,
    /// Date of birth.
    pub birth: Option<PartialDate>,
    /// The 12-digit personal id. Anything else is ignored and flagged.
    pub personal_id: Option<&'a str>,
    /// The 9-digit id of the old card. Anything else is ignored and flagged.
    pub old_id: Option<&'a str>,
    /// The 10-digit social insurance number, or a 15-character health card that ends in it. Anything else is ignored.
    pub insurance_no: Option<&'a str>,
    /// Five-digit commune of residence, resolved through the model's unit list; absent when that is ambiguous.
    pub commune: Option<u32>,
    /// Two-digit province of residence, resolved likewise.
    pub province: Option<u16>,
    /// The mother's full name.
    pub mother_name: Option<&'a str>,
    /// The father's full name.
    pub father_name: Option<&'a str>,
    /// A telephone number.
    pub phone: Option<&'a str>,
}

/// A parcel's number on its map sheet.
#[derive(Clone, Copy, Debug)]
pub struct Cadastral<'a> {
    /// Commune, resolved through the model's unit list where that is unambiguous.
    pub commune: u32,
    /// Sheet, as written.
    pub sheet: &'a str,
    /// Parcel number on the sheet, as written.
    pub number: &'a str,
}

/// Identifying fields of a parcel's mention.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParcelFields<'a> {
    /// The 12-character geohash. Anything else is ignored and flagged.
    pub parcel_id: Option<&'a str>,
    /// The cadastral key, where the commune could be resolved.
    pub cadastral: Option<Cadastral<'a>>,
}

const COMMUNE_MAX: u32 = 0xff_fffe;
const SHEET_MAX: usize = 16;
const NUMBER_MAX: usize = 24;

impl Model {
    /// Builds the row of a person's mention. Never fails: what cannot be read is left out.
    pub fn person_row(&self, fields: &PersonFields<'_>) -> FeatureRow {
        let mut row = FeatureRow([0; ROW_BYTES]);
        row.0[0] = 1;
        row.0[1] = match fields.sex {
            None => 0,
            Some(Sex::Male) => 1,
            Some(Sex::Female) => 2,
        };
        if let Some(birth) = fields.birth {
            row.put_number(2, 4, u64::from(birth.year()));
            (row.0[4], row.0[5]) = (birth.month(), birth.day());
        }
        put_ids(&mut row, fields);
        if let Some(commune) = fields.commune.filter(|c| *c <= COMMUNE_MAX) {
            row.put_number(20, 23, u64::from(commune) + 1);
        }
        if let Some(province) = fields.province.filter(|p| *p < u16::MAX) {
            row.put_number(23, 25, u64::from(province) + 1);
        }
        row.put_number(25, 29, u64::from(fields.phone.map_or(0, phone_hash)));
        row.put_parent(29, fields.mother_name.map_or(ParentName::default(), parent));
        row.put_parent(34, fields.father_name.map_or(ParentName::default(), parent));
        self.put_name(&mut row, &fold_name(fields.full_name));
        row
    }

    fn put_name(&self, row: &mut FeatureRow, name: &FoldedName) {
        let folded = name.as_bytes();
        let kept = folded.len().min(NAME_MAX);
        row.0[45] = kept as u8;
        row.0[46..46 + kept].copy_from_slice(&folded[..kept]);
        row.put_number(39, 43, u64::from(name.accented));
        row.put_number(43, 45, u64::from(self.name_rarity(folded)));
        if name.plain && kept > 0 {
            row.0[1] |= PLAIN_NAME;
        }
        if kept < folded.len() {
            row.0[1] |= NAME_CUT;
        }
    }

    /// Builds the row of a parcel's mention.
    pub fn parcel_row(&self, fields: &ParcelFields<'_>) -> FeatureRow {
        let mut row = FeatureRow([0; ROW_BYTES]);
        row.0[0] = 2;
        if let Some(id) = fields.parcel_id {
            match geohash(id.trim()) {
                Some(bytes) => row.0[4..16].copy_from_slice(&bytes),
                None => row.0[1] |= FLAG_PARCEL_ID_MALFORMED,
            }
        }
        if let Some(key) = fields.cadastral.filter(|c| c.commune <= COMMUNE_MAX) {
            put_cadastral(&mut row, &key);
        }
        row
    }
}

fn put_ids(row: &mut FeatureRow, fields: &PersonFields<'_>) {
    match fields.personal_id.map(|text| digits(text, 12)) {
        Some(Some(id)) => {
            row.put_number(6, 11, id + 1);
            if !agrees_with_birth(id, row.sex(), fields.birth) {
                row.0[1] |= FLAG_ID_SUSPECT;
            }
        }
        Some(None) => row.0[1] |= FLAG_ID_MALFORMED,
        None => {}
    }
    match fields.old_id.map(|text| digits(text, 9)) {
        Some(Some(id)) => row.put_number(11, 15, id + 1),
        Some(None) => row.0[1] |= FLAG_OLD_ID_MALFORMED,
        None => {}
    }
    if let Some(number) = fields.insurance_no.and_then(insurance) {
        row.put_number(15, 20, number + 1);
    }
}

/// Whether the id's own century, sex and year digits fit the rest of the row (`PPP G YY RRRRRR`; the century and sex
/// digit is 0/1 for the 1900s, 2/3 for the 2000s and so on, even for men).
fn agrees_with_birth(id: u64, sex: u8, birth: Option<PartialDate>) -> bool {
    let (digit, year) = ((id / 100_000_000) % 10, (id / 1_000_000) % 100);
    let sex_fits = sex == 0 || digit % 2 == u64::from(sex - 1);
    let year_fits = birth.is_none_or(|b| u64::from(b.year()) == 1900 + 100 * (digit / 2) + year);
    sex_fits && year_fits
}

fn insurance(text: &str) -> Option<u64> {
    let text = text.trim();
    let tail = match text.len() {
        15 if text.is_ascii() && text.as_bytes()[..2].iter().all(u8::is_ascii_alphabetic) => &text[5..],
        _ => text,
    };
    digits(tail, 10)
}

/// The last nine digits decide, so that +84 and a leading 0 are the same number.
fn phone_hash(text: &str) -> u32 {
    let mut last = [0u8; 9];
    let mut seen = 0;
    for byte in text.bytes().rev().filter(u8::is_ascii_digit).take(9) {
        last[seen] = byte;
        seen += 1;
    }
    if seen < 9 { 0 } else { (hash64(0x70, &last) as u32).max(1) }
}

fn parent(name: &str) -> ParentName {
    let folded = fold_name(name);
    let Some(given) = tokens(folded.as_bytes()).next_back() else { return ParentName::default() };
    ParentName {
        full: ((hash64(0x71, folded.as_bytes()) & 0xff_ffff) as u32).max(1),
        given: hash64(0x72, given) as u16,
    }
}

/// Twelve characters of the geohash alphabet, lowercased.
fn geohash(text: &str) -> Option<[u8; 12]> {
    let bytes: [u8; 12] = text.as_bytes().try_into().ok()?;
    let lower = bytes.map(|b| b.to_ascii_lowercase());
    let legal = |b: &u8| matches!(b, b'0'..=b'9' | b'b'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b'z');
    lower.iter().all(legal).then_some(lower)
}

fn put_cadastral(row: &mut FeatureRow, key: &Cadastral<'_>) {
    let mut sheet = [0; SHEET_MAX];
    let mut number = [0; NUMBER_MAX];
    let (Some(sheet_len), Some(number_len)) =
        (plan_number(key.sheet, &mut sheet), plan_number(key.number, &mut number))
    else {
        return;
    };
    row.put_number(16, 20, u64::from(key.commune) + 1);
    row.0[20] = sheet_len;
    row.0[21..37].copy_from_slice(&sheet);
    row.0[37] = number_len;
    row.0[38..62].copy_from_slice(&number);
}

/// Upper case, no spaces, no leading zeros; `None` when nothing is left or it does not fit.
fn plan_number(text: &str, out: &mut [u8]) -> Option<u8> {
    let bytes = text.bytes().filter(|b| !b.is_ascii_whitespace()).map(|b| b.to_ascii_uppercase());
    let mut length = 0;
    for byte in bytes.skip_while(|b| *b == b'0') {
        *out.get_mut(length)? = byte;
        length += 1;
    }
    (length > 0).then_some(length as u8)
}
