//! Quantities and points on earth.

use super::{UNEQUAL, edits};
use crate::values::Numbers;

pub(super) const LEVELS: [&str; 10] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "nearly equal",
    "one digit differs",
    "close",
    "not far",
    "different",
];
pub(super) const POINT_LEVELS: [&str; 10] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "within 50 m",
    "within 500 m",
    "within 5 km",
    "within 50 km",
    "farther",
];

/// How two different quantities agree; `a` and `b` are their texts.
pub(super) fn level(numbers: &Numbers, x: u32, y: u32, a: &[u8], b: &[u8]) -> u8 {
    let (p, q) = (numbers.values[x as usize], numbers.values[y as usize]);
    let far = UNEQUAL + 4;
    if p.is_nan() || q.is_nan() {
        return if edits(a, b, 1) == 1 && a.len().min(b.len()) >= 3 { UNEQUAL + 1 } else { far };
    }
    let apart = (p - q).abs();
    let share = apart / p.abs().max(q.abs()).max(1e-12);
    let spreads = apart / numbers.spread;
    // A difference of one is small for a year and large for a rank: the spread of the column says which.
    let tiny = if numbers.whole { apart <= 1.0 && spreads <= 0.5 } else { share <= 0.01 && spreads <= 0.5 };
    if tiny {
        UNEQUAL
    } else if a.len().min(b.len()) >= 4 && edits(a, b, 1) == 1 {
        UNEQUAL + 1
    } else if share <= 0.05 && spreads <= 0.5 {
        UNEQUAL + 2
    } else if share <= 0.25 && spreads <= 1.0 {
        UNEQUAL + 3
    } else {
        far
    }
}

/// Mean radius of the earth in metres.
const EARTH_M: f64 = 6_371_000.0;

/// How far apart two different points are, on the local plane.
pub(super) fn point_level(x: (f64, f64), y: (f64, f64)) -> u8 {
    let middle = ((x.0 + y.0) / 2.0).to_radians();
    let (north, east) = ((x.0 - y.0).to_radians(), (x.1 - y.1).to_radians() * middle.cos());
    let metres = EARTH_M * (north * north + east * east).sqrt();
    let bounds = [50.0, 500.0, 5_000.0, 50_000.0];
    UNEQUAL + bounds.iter().filter(|bound| metres > **bound || metres.is_nan()).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_near_by_the_spread_of_their_column() {
        let years = Numbers { values: vec![f64::NAN, 1999.0, 2000.0, 1960.0, 2008.0], spread: 10.0, whole: true };
        assert_eq!(level(&years, 1, 2, b"1999", b"2000"), UNEQUAL);
        assert_eq!(level(&years, 1, 3, b"1999", b"1960"), UNEQUAL + 4);
        assert_eq!(level(&years, 2, 4, b"2000", b"2008"), UNEQUAL + 1);
        let prices = Numbers { values: vec![f64::NAN, 100.0, 100.5, 104.0, 400.0], spread: 90.0, whole: false };
        assert_eq!(level(&prices, 1, 2, b"100", b"100.5"), UNEQUAL);
        assert_eq!(level(&prices, 1, 3, b"100", b"104"), UNEQUAL + 2);
        assert_eq!(level(&prices, 1, 4, b"100", b"400.25"), UNEQUAL + 4);
    }

    #[test]
    fn points_are_near_by_metres() {
        let hanoi = (21.0278, 105.8342);
        assert_eq!(point_level(hanoi, (21.0279, 105.8342)), UNEQUAL);
        assert_eq!(point_level(hanoi, (21.0350, 105.8400)), UNEQUAL + 2);
        assert_eq!(point_level(hanoi, (10.7769, 106.7009)), UNEQUAL + 4);
    }
}
