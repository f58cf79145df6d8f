//! The score of a pair of rows: a sum of fixed-point weights, one per field.

use crate::date::PartialDate;
use crate::level::{Field, Level};
use crate::model::Model;
use crate::name;
use crate::row::{FLAG_ID_SUSPECT, FeatureRow, Kind, ParentName};

/// Fields of a row, the prior not counted.
const FIELDS_MAX: usize = 10;

/// Match weight of a pair and the levels that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Match weight in 1/1024 bit, prior included; [`Score::NEVER`] between kinds.
    pub bits: i32,
    levels: [Level; FIELDS_MAX],
    len: usize,
}

impl Score {
    /// Weight of a pair that cannot be one subject whatever it shares: rows of two kinds.
    pub const NEVER: i32 = i32::MIN;

    /// Levels by field, in the order of the fields.
    pub fn levels(&self) -> &[Level] {
        &self.levels[..self.len]
    }
}

/// One field's share in a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldEvidence {
    /// The field.
    pub field: Field,
    /// How it agrees or differs.
    pub level: Level,
    /// Its weight in 1/1024 bit, the name's rarity included.
    pub bits: i32,
    /// Rarity of the name in 1/1024 bit, where it counts; else 0.
    pub rarity: i32,
}

/// Two mentions that bear one personal id yet have another name and another date of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// How the names differ.
    pub name: Level,
    /// How the dates differ.
    pub birth: Level,
}

impl Model {
    /// Scores two rows. Symmetric.
    pub fn score(&self, a: &FeatureRow, b: &FeatureRow) -> Score {
        let mut score = Score { bits: Score::NEVER, levels: [Level::Prior; FIELDS_MAX], len: 0 };
        match (a.kind(), b.kind()) {
            (Some(Kind::Person), Some(Kind::Person)) => self.compare_persons(a, b, &mut score),
            (Some(Kind::Parcel), Some(Kind::Parcel)) => compare_parcels(a, b, &mut score),
            _ => return score,
        }
        let sum: i32 = score.levels().iter().map(|level| self.weight_in(*level, a, b).0).sum();
        score.bits = self.weight(Level::Prior) + sum;
        score
    }

    /// Whether the pair's score reaches the threshold.
    pub fn links(&self, a: &FeatureRow, b: &FeatureRow) -> bool {
        self.edge_bits(a, b).is_some()
    }

    /// The pair's score when it reaches the threshold. Names, the dear part, are not compared where even equal ones would
    /// not do.
    pub fn edge_bits(&self, a: &FeatureRow, b: &FeatureRow) -> Option<i32> {
        if (a.kind(), b.kind()) == (Some(Kind::Person), Some(Kind::Person)) {
            let beside: i32 = levels_beside_name(a, b).iter().map(|level| self.weight(*level)).sum();
            let most = self.name_weight_max() + a.rarity().min(b.rarity());
            if self.weight(Level::Prior) + beside + most < self.threshold() {
                return None;
            }
        }
        let bits = self.score(a, b).bits;
        (bits >= self.threshold()).then_some(bits)
    }

    fn name_weight_max(&self) -> i32 {
        let names = Level::NameAbsent as usize..=Level::NameDiffers as usize;
        self.weights[names].iter().copied().max().unwrap_or(0)
    }

    /// Whether mentions with this very row are one node: their score against each other reaches the threshold.
    pub fn self_links(&self, row: &FeatureRow) -> bool {
        self.links(row, row)
    }

    /// A pair's score field by field, the prior first. Empty between kinds.
    pub fn explain(&self, a: &FeatureRow, b: &FeatureRow) -> Vec<FieldEvidence> {
        let score = self.score(a, b);
        if score.bits == Score::NEVER {
            return Vec::new();
        }
        let levels = std::iter::once(Level::Prior).chain(score.levels().iter().copied());
        let evidence = |level: Level| {
            let (bits, rarity) = self.weight_in(level, a, b);
            FieldEvidence { field: level.field(), level, bits, rarity }
        };
        levels.map(evidence).collect()
    }

    /// The conflict of a pair that shares a personal id, if there is one: a parent's id on a child, or a typing error.
    pub fn conflict(&self, a: &FeatureRow, b: &FeatureRow) -> Option<Conflict> {
        let (left, right) = (a.personal_id()?, b.personal_id()?);
        if left != right {
            return None;
        }
        let (name, birth) = (name::level(self, a, b), birth_level(a.birth(), b.birth()));
        (name.name_contradicts() && birth.birth_contradicts()).then_some(Conflict { name, birth })
    }

    /// A level's weight for this pair, and the rarity that it contains.
    fn weight_in(&self, level: Level, a: &FeatureRow, b: &FeatureRow) -> (i32, i32) {
        let rarity = if level.counts_rarity() { a.rarity().min(b.rarity()) } else { 0 };
        (self.weight(level) + rarity, rarity)
    }

    fn compare_persons(&self, a: &FeatureRow, b: &FeatureRow, score: &mut Score) {
        score.levels[0] = name::level(self, a, b);
        score.levels[1..].copy_from_slice(&levels_beside_name(a, b));
        score.len = FIELDS_MAX;
    }
}

fn levels_beside_name(a: &FeatureRow, b: &FeatureRow) -> [Level; FIELDS_MAX - 1] {
    [
        birth_level(a.birth(), b.birth()),
        sex_level(a.sex(), b.sex()),
        personal_id_level(a, b),
        old_id_level(a, b),
        insurance_level(a, b),
        place_level(a, b),
        parent_level(
            a.mother(),
            b.mother(),
            [Level::MotherAbsent, Level::MotherEqual, Level::MotherGivenOnly, Level::MotherDiffers],
        ),
        parent_level(
            a.father(),
            b.father(),
            [Level::FatherAbsent, Level::FatherEqual, Level::FatherGivenOnly, Level::FatherDiffers],
        ),
        three([Level::PhoneAbsent, Level::PhoneEqual, Level::PhoneDiffers], some(a.phone()), some(b.phone())),
    ]
}

fn some(hash: u32) -> Option<u32> {
    (hash != 0).then_some(hash)
}

fn three<T: PartialEq>([absent, equal, differs]: [Level; 3], a: Option<T>, b: Option<T>) -> Level {
    match (a, b) {
        (Some(a), Some(b)) if a == b => equal,
        (Some(_), Some(_)) => differs,
        _ => absent,
    }
}

fn compare_parcels(a: &FeatureRow, b: &FeatureRow, score: &mut Score) {
    let id = [Level::ParcelIdAbsent, Level::ParcelIdEqual, Level::ParcelIdDiffers];
    let key = [Level::CadastralAbsent, Level::CadastralEqual, Level::CadastralDiffers];
    score.levels[0] = three(id, a.parcel_id(), b.parcel_id());
    score.levels[1] = three(key, a.cadastral(), b.cadastral());
    score.len = 2;
}

fn birth_level(a: Option<PartialDate>, b: Option<PartialDate>) -> Level {
    let (Some(a), Some(b)) = (a, b) else { return Level::BirthAbsent };
    if a == b && a.is_full() {
        return if a.is_vague() { Level::BirthFirstOfJanuary } else { Level::BirthExact };
    }
    if a.year() == b.year() && (a.is_vague() || b.is_vague()) {
        return Level::BirthYearVague;
    }
    if !a.is_full() || !b.is_full() {
        return Level::BirthDiffers;
    }
    if a.year() == b.year() && a.month() == b.day() && a.day() == b.month() {
        return Level::BirthSwapped;
    }
    if date_edits(a, b) {
        return Level::BirthOneEdit;
    }
    if a.year() == b.year() { Level::BirthYearOnly } else { Level::BirthDiffers }
}

/// One edit between two dates written as `yyyymmdd`.
fn date_edits(a: PartialDate, b: PartialDate) -> bool {
    let number = |d: PartialDate| u64::from(d.year()) * 10_000 + u64::from(d.month()) * 100 + u64::from(d.day());
    digit_edits(number(a), number(b), 8) == 1
}

fn sex_level(a: u8, b: u8) -> Level {
    three([Level::SexAbsent, Level::SexEqual, Level::SexDiffers], some(u32::from(a)), some(u32::from(b)))
}

fn personal_id_level(a: &FeatureRow, b: &FeatureRow) -> Level {
    let (Some(left), Some(right)) = (a.personal_id(), b.personal_id()) else { return Level::IdAbsent };
    let suspects = u8::from(a.has(FLAG_ID_SUSPECT)) + u8::from(b.has(FLAG_ID_SUSPECT));
    match (digit_edits(left, right, 12), suspects) {
        (0, 0) if a.birth().is_none() || b.birth().is_none() => Level::IdEqualUndated,
        (0, 0) => Level::IdEqual,
        (0, 1) => Level::IdEqualSuspect,
        (0, _) => Level::IdEqualBothSuspect,
        (1, _) => Level::IdOneEdit,
        (_, 1..) => Level::IdDiffersSuspect,
        (2, 0) => Level::IdTwoEdits,
        (_, 0) => Level::IdDiffers,
    }
}

fn old_id_level(a: &FeatureRow, b: &FeatureRow) -> Level {
    let (Some(left), Some(right)) = (a.old_id(), b.old_id()) else { return Level::OldIdAbsent };
    match digit_edits(left, right, 9) {
        0 => Level::OldIdEqual,
        1 => Level::OldIdOneEdit,
        2 => Level::OldIdTwoEdits,
        _ => Level::OldIdDiffers,
    }
}

fn insurance_level(a: &FeatureRow, b: &FeatureRow) -> Level {
    let (Some(left), Some(right)) = (a.insurance(), b.insurance()) else { return Level::InsuranceAbsent };
    match digit_edits(left, right, 10) {
        0 => Level::InsuranceEqual,
        1 => Level::InsuranceOneEdit,
        _ => Level::InsuranceDiffers,
    }
}

fn place_level(a: &FeatureRow, b: &FeatureRow) -> Level {
    match (a.commune(), b.commune(), a.province(), b.province()) {
        (Some(x), Some(y), ..) if x == y => Level::CommuneEqual,
        (_, _, Some(x), Some(y)) if x == y => Level::ProvinceEqual,
        (_, _, Some(_), Some(_)) => Level::PlaceDiffers,
        _ => Level::PlaceAbsent,
    }
}

fn parent_level(a: Option<ParentName>, b: Option<ParentName>, [absent, equal, given, differs]: [Level; 4]) -> Level {
    match (a, b) {
        (Some(a), Some(b)) if a.full == b.full => equal,
        (Some(a), Some(b)) if a.given == b.given => given,
        (Some(_), Some(_)) => differs,
        _ => absent,
    }
}

/// Edits between two numbers of `digits` digits: digits that differ, where an exchange of neighbours counts once.
/// Numbers have a fixed length, so an insertion is always at least two edits. Stops counting at 3.
pub(crate) fn digit_edits(a: u64, b: u64, digits: u32) -> u32 {
    if a == b {
        return 0;
    }
    let (mut x, mut y, mut edits, mut left) = (a, b, 0, digits);
    while left > 0 && edits < 3 && x != y {
        let exchanged = left > 1 && x % 10 != y % 10 && x % 10 == (y / 10) % 10 && (x / 10) % 10 == y % 10;
        let differs = x % 10 != y % 10;
        edits += u32::from(differs);
        let step = if exchanged { 2 } else { 1 };
        x /= 10u64.pow(step);
        y /= 10u64.pow(step);
        left -= step;
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digit_edits_count_exchanges_once() {
        assert_eq!(digit_edits(123_456_789, 123_456_789, 9), 0);
        assert_eq!(digit_edits(123_456_789, 123_456_780, 9), 1);
        assert_eq!(digit_edits(123_456_789, 213_456_789, 9), 1);
        assert_eq!(digit_edits(123_456_789, 213_456_780, 9), 2);
        assert_eq!(digit_edits(111_111_111, 222_222_222, 9), 3);
        assert_eq!(digit_edits(0, 100_000_000, 9), 1);
    }

    proptest! {
        #[test]
        fn digit_edits_are_symmetric(a in 0u64..1_000_000, b in 0u64..1_000_000) {
            prop_assert_eq!(digit_edits(a, b, 6), digit_edits(b, a, 6));
        }
    }
}
