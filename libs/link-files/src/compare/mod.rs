//! How two values of a column agree: a level, from equal to contradicting.

mod codes;
mod dates;
mod names;
mod numbers;
mod texts;

use crate::data::{Column, Data};
use crate::spec::Kind;
use crate::values::{BIT, Shape};

/// One of the two records has no value.
pub const ABSENT: u8 = 0;
/// Equal values, the commonest; up to [`EQUAL_RAREST`] the rarer the higher.
pub const EQUAL: u8 = 1;
/// Equal values, the rarest.
pub const EQUAL_RAREST: u8 = 4;
/// First level of values that are not equal; what it means depends on the kind.
pub const UNEQUAL: u8 = 5;
/// Most levels of a kind: five bits of a pattern.
pub const LEVELS_MAX: usize = 32;

/// Bounds between the four levels of equal values: rarity in bits.
const BANDS: [i32; 3] = [9 * BIT / 2, 15 * BIT / 2, 21 * BIT / 2];

/// The level of equal values of this rarity.
pub fn equal_level(rarity: i32) -> u8 {
    EQUAL + BANDS.iter().filter(|bound| rarity >= **bound).count() as u8
}

/// Names of a kind's levels, by level.
pub fn level_names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Name => &names::LEVELS,
        Kind::Date => &dates::LEVELS,
        Kind::Address | Kind::Organisation | Kind::Text => &texts::LEVELS,
        Kind::Phone => &codes::PHONE_LEVELS,
        Kind::Email => &codes::EMAIL_LEVELS,
        Kind::Code => &codes::LEVELS,
        Kind::Number => &numbers::LEVELS,
        Kind::Point => &numbers::POINT_LEVELS,
    }
}

/// Levels of unequal values that count as agreement when weights are learned: the first so many after [`UNEQUAL`].
pub fn near_levels(kind: Kind) -> usize {
    match kind {
        Kind::Name => 7,
        Kind::Date => 3,
        Kind::Address | Kind::Organisation | Kind::Text => texts::NEAR,
        Kind::Phone | Kind::Email | Kind::Code => 2,
        Kind::Number => 3,
        Kind::Point => 3,
    }
}

/// The level of a pair of nodes in a column. Symmetric.
pub fn level(data: &Data, place: usize, a: u32, b: u32) -> u8 {
    let column = &data.columns[place];
    let (x, y) = (column.codes[a as usize], column.codes[b as usize]);
    if x == 0 || y == 0 {
        return ABSENT;
    }
    if x == y {
        return equal_level(column.values.rarity[x as usize]);
    }
    let level = values_level(column, x, y);
    if column.swaps_with.is_some_and(|other| swapped(data, place, other, a, b)) {
        let crossed = crossed_level(column.kind);
        return crossed.map_or(level, |crossed| level.min(crossed));
    }
    level
}

fn crossed_level(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Name => Some(names::CROSSED),
        Kind::Address | Kind::Organisation | Kind::Text => Some(texts::CROSSED),
        Kind::Date | Kind::Phone | Kind::Email | Kind::Number | Kind::Code | Kind::Point => None,
    }
}

/// Whether each record has in this column what the other has in the column it swaps with.
fn swapped(data: &Data, place: usize, other: usize, a: u32, b: u32) -> bool {
    let (own, other) = (&data.columns[place], &data.columns[other]);
    let form = |column: &'_ Column, node: u32| column.codes[node as usize];
    let same = |x: u32, y: u32| x != 0 && y != 0 && own.values.form(x) == other.values.form(y);
    same(form(own, a), form(other, b)) && same(form(own, b), form(other, a))
}

/// The level of two different values.
pub fn values_level(column: &Column, x: u32, y: u32) -> u8 {
    let values = &column.values;
    // In one order, so that the result cannot depend on which side is which.
    let (x, y) = (x.min(y), x.max(y));
    let (a, b) = (values.folded(x), values.folded(y));
    match &values.shape {
        Shape::Names(_) => names::level(a, b),
        Shape::Dates(dates) => dates::level(dates[x as usize], dates[y as usize], a, b),
        Shape::Numbers(numbers) => numbers::level(numbers, x, y, a, b),
        Shape::Points(points) => numbers::point_level(points[x as usize], points[y as usize]),
        Shape::Tokens(tokens) => texts::level(tokens, x, y, a, b),
        Shape::Plain => match column.kind {
            Kind::Phone => codes::phone_level(a, b),
            Kind::Email => codes::email_level(a, b),
            _ => codes::level(a, b),
        },
    }
}

/// Edits between two strings (optimal string alignment), `bound + 1` standing for more than `bound`.
fn edits(a: &[u8], b: &[u8], bound: usize) -> usize {
    const STACK: usize = 32;
    if a.len().abs_diff(b.len()) > bound {
        return bound + 1;
    }
    if a.len().max(b.len()) > STACK {
        let args = rapidfuzz::distance::osa::Args::default().score_cutoff(bound);
        let (a, b) = (a.iter().copied(), b.iter().copied());
        return rapidfuzz::distance::osa::distance_with_args(a, b, &args).unwrap_or(bound + 1);
    }
    let mut rows = [[0u8; STACK + 1]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j as u8;
    }
    for i in 1..=a.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i as u8;
        let mut least = i as u8;
        for j in 1..=b.len() {
            let change = rows[last][j - 1] + u8::from(a[i - 1] != b[j - 1]);
            let mut cell = change.min(rows[last][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cell = cell.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = cell;
            least = least.min(cell);
        }
        if usize::from(least) > bound {
            return bound + 1;
        }
    }
    usize::from(rows[a.len() % 3][b.len()]).min(bound + 1)
}

/// Jaro–Winkler similarity.
fn jaro_winkler(a: &[u8], b: &[u8]) -> f64 {
    rapidfuzz::distance::jaro_winkler::similarity(a.iter().copied(), b.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_bounded_and_count_transpositions_once() {
        assert_eq!(edits(b"hung", b"hugn", 2), 1);
        assert_eq!(edits(b"hung", b"dung", 2), 1);
        assert_eq!(edits(b"abcdef", b"ghijkl", 2), 3);
        let (long, other) = ([b'a'; 60], [b'a'; 61]);
        assert_eq!(edits(&long, &other, 2), 1);
    }

    #[test]
    fn rarer_equal_values_have_higher_levels() {
        assert_eq!([0, 5, 9, 18].map(|bits| equal_level(bits * BIT)), [1, 2, 3, 4]);
    }

    #[test]
    fn every_kind_names_its_levels() {
        for kind in
            [Kind::Name, Kind::Date, Kind::Address, Kind::Phone, Kind::Email, Kind::Number, Kind::Code, Kind::Point]
        {
            assert!(level_names(kind).len() <= LEVELS_MAX && level_names(kind).len() > UNEQUAL as usize);
        }
    }
}
