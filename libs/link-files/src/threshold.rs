//! The threshold of best expected F1.

use crate::pairs::ScoredPair;

/// The chance that a pair of this weight is a match, by the model.
pub fn chance(bits: i32) -> f64 {
    1.0 / (1.0 + (-f64::from(bits) / 1024.0).exp2())
}

/// The threshold in 1/1024 bit at which the expected F1 of the pairs is best: those above it are expected to hold Σp matches
/// of the Σp of all pairs. Pairs that no key found do not take part, as no threshold reaches them. At least `least`.
pub fn best_expected(pairs: &[ScoredPair], least: i32) -> (i32, f64) {
    let mut bits: Vec<i32> = pairs.iter().map(|pair| pair.bits).collect();
    bits.sort_unstable_by_key(|bits| std::cmp::Reverse(*bits));
    let total: f64 = bits.iter().map(|bits| chance(*bits)).sum();
    let (mut found, mut best) = (0.0, (least, 0.0));
    for (place, bits) in bits.iter().enumerate() {
        if *bits < least {
            break;
        }
        found += chance(*bits);
        let f1 = 2.0 * found / (place as f64 + 1.0 + total);
        if f1 > best.1 {
            best = (*bits, f1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_lies_where_matches_and_chance_meet() {
        let pair = |bits: i32| ScoredPair { a: 0, b: 1, bits: bits * 1024 };
        let pairs: Vec<_> = (0..100).map(|_| pair(12)).chain((0..1000).map(|_| pair(-6))).chain([pair(2)]).collect();
        let (threshold, f1) = best_expected(&pairs, i32::MIN);
        assert_eq!(threshold, 2 * 1024);
        assert!((0.9..1.0).contains(&f1));
        assert_eq!(best_expected(&pairs, 5 * 1024).0, 12 * 1024);
        assert_eq!(best_expected(&[], 7).0, 7);
    }
}
