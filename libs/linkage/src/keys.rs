//! Blocking keys: two rows are compared only when they share one.

use crate::date::PartialDate;
use crate::hash::{finish, hash_word, hash64};
use crate::row::{FeatureRow, Kind};
use crate::text::tokens;

/// Most keys of one row.
pub const KEYS_MAX: usize = 10;

/// What a key is made of; the number is hashed into it and never changes.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Rule {
    PersonalId = 1,
    OldId = 2,
    NameBirth = 3,
    GivenBirthSex = 4,
    BirthCommune = 5,
    NameCommune = 6,
    GivenYearCommune = 7,
    NameYearProvince = 8,
    InitialsBirthSex = 9,
    Insurance = 10,
    ParcelId = 11,
    Cadastral = 12,
}

fn key(rule: Rule, words: &[u64]) -> u64 {
    finish(words.iter().fold(hash64(rule as u64, b"blocking key"), |state, word| hash_word(state, *word)))
}

/// Appends the row's blocking keys: uniform 64-bit hashes, a pure function of the row, without repetition.
///
/// Day and month enter a key unordered, so that a swapped date still meets its twin. A date that knows only its year makes
/// none of the keys that need a day.
pub fn blocking_keys(row: &FeatureRow, out: &mut Vec<u64>) {
    match row.kind() {
        Some(Kind::Person) => person_keys(row, out),
        Some(Kind::Parcel) => {
            out.extend(row.parcel_id().map(|id| key(Rule::ParcelId, &[hash64(0, id)])));
            out.extend(row.cadastral().map(|cadastral| key(Rule::Cadastral, &[hash64(0, cadastral)])));
        }
        None => {}
    }
}

/// What rows of one subject mostly have in common: a uniform hash. A hint of what should be handled together, and no more than that: it decides about
/// no link. None of a row without any key.
pub fn locality_key(row: &FeatureRow) -> Option<u64> {
    if row.kind() == Some(Kind::Person)
        && let Some(birth) = row.birth().filter(|birth| birth.is_full())
        && !row.name().is_empty()
    {
        return Some(key(Rule::NameBirth, &[NameHashes::of(row.name()).sorted, unordered_day(birth)]));
    }
    let mut keys = Vec::with_capacity(KEYS_MAX);
    blocking_keys(row, &mut keys);
    keys.first().copied()
}

/// The key of the personal id alone: rows that share it are checked for conflicts.
pub fn personal_id_key(row: &FeatureRow) -> Option<u64> {
    row.personal_id().map(|id| key(Rule::PersonalId, &[id]))
}

fn person_keys(row: &FeatureRow, out: &mut Vec<u64>) {
    out.extend(personal_id_key(row));
    out.extend(row.old_id().map(|id| key(Rule::OldId, &[id])));
    out.extend(row.insurance().map(|id| key(Rule::Insurance, &[id])));
    let Some(birth) = row.birth() else {
        return name_commune(row, out);
    };
    let day = birth.is_full().then(|| unordered_day(birth));
    let (year, sex) = (u64::from(birth.year()), u64::from(row.sex()));
    if let (Some(day), Some(commune)) = (day, row.commune()) {
        out.push(key(Rule::BirthCommune, &[day, commune]));
    }
    if let Some(given) = row.given() {
        let given = hash64(0, given);
        let name = NameHashes::of(row.name());
        if let Some(day) = day {
            out.push(key(Rule::NameBirth, &[name.sorted, day]));
            out.push(key(Rule::GivenBirthSex, &[given, day, sex]));
            out.push(key(Rule::InitialsBirthSex, &[name.initials, day, sex]));
        }
        if let Some(commune) = row.commune() {
            out.push(key(Rule::GivenYearCommune, &[given, year, commune]));
        }
        if let Some(province) = row.province() {
            out.push(key(Rule::NameYearProvince, &[name.sorted, year, province]));
        }
    }
    name_commune(row, out);
}

fn name_commune(row: &FeatureRow, out: &mut Vec<u64>) {
    if let (false, Some(commune)) = (row.name().is_empty(), row.commune()) {
        out.push(key(Rule::NameCommune, &[NameHashes::of(row.name()).sorted, commune]));
    }
}

fn unordered_day(date: PartialDate) -> u64 {
    let (low, high) = (date.month().min(date.day()), date.month().max(date.day()));
    (u64::from(date.year()) << 16) | (u64::from(low) << 8) | u64::from(high)
}

/// Hashes of a name that do not depend on the order of its tokens.
struct NameHashes {
    sorted: u64,
    initials: u64,
}

impl NameHashes {
    fn of(name: &[u8]) -> NameHashes {
        // Sums are free of order, and the terms are hashes already.
        let mut out = NameHashes { sorted: 0, initials: 0 };
        for token in tokens(name) {
            out.sorted = out.sorted.wrapping_add(hash64(1, token));
            out.initials = out.initials.wrapping_add(hash64(2, &token[..1]));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::PersonFields;
    use crate::model::Model;
    use crate::row::Sex;

    fn keys(fields: &PersonFields<'_>) -> Vec<u64> {
        let mut out = Vec::new();
        blocking_keys(&Model::epoch_1().person_row(fields), &mut out);
        out
    }

    fn full() -> PersonFields<'static> {
        PersonFields {
            full_name: "Nguyễn Văn An",
            sex: Some(Sex::Male),
            birth: PartialDate::new(1980, 5, 9),
            personal_id: Some("099080000001"),
            old_id: Some("012345678"),
            insurance_no: Some("0123456789"),
            commune: Some(4),
            province: Some(1),
            ..Default::default()
        }
    }

    #[test]
    fn full_row_has_every_key_once() {
        let mut all = keys(&full());
        assert_eq!(all.len(), KEYS_MAX);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), KEYS_MAX);
    }

    #[test]
    fn empty_row_has_no_key() {
        assert!(keys(&PersonFields::default()).is_empty());
    }

    #[test]
    fn swapped_day_reordered_name_and_lost_marks_keep_a_key() {
        let changed = PersonFields {
            full_name: "an nguyen van",
            birth: PartialDate::new(1980, 9, 5),
            personal_id: None,
            old_id: None,
            insurance_no: None,
            commune: Some(9),
            ..full()
        };
        let (a, b) = (keys(&full()), keys(&changed));
        assert!(a.iter().any(|key| b.contains(key)));
    }
}
