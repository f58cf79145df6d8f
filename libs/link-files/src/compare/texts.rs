//! Addresses, organisations, free text: by the rarity of the tokens that two texts share.

use super::{UNEQUAL, edits};
use crate::values::Tokens;

pub(super) const LEVELS: [&str; 24] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "same words",
    "in the other column",
    "nearly all in common, very rare",
    "most in common, very rare",
    "one within the other, very rare",
    "half in common, very rare",
    "nearly all in common, rare",
    "most in common, rare",
    "one within the other, rare",
    "nearly all in common",
    "most in common",
    "half in common, rare",
    "a quarter in common, very rare",
    "one within the other",
    "a quarter in common, rare",
    "half in common",
    "a quarter in common",
    "a little in common",
    "different",
];
const SAME_WORDS: u8 = UNEQUAL;
pub(super) const CROSSED: u8 = UNEQUAL + 1;
/// Levels of agreement that speak for one entity before anything is learned: up to "most in common".
pub(super) const NEAR: usize = 11;
/// By share in common (nearly all, most, one within the other, half, a quarter) and how rare that is (very, rather, not).
const SHARES: [[u8; 3]; 5] = [
    [UNEQUAL + 2, UNEQUAL + 6, UNEQUAL + 9],
    [UNEQUAL + 3, UNEQUAL + 7, UNEQUAL + 10],
    [UNEQUAL + 4, UNEQUAL + 8, UNEQUAL + 13],
    [UNEQUAL + 5, UNEQUAL + 11, UNEQUAL + 15],
    [UNEQUAL + 12, UNEQUAL + 14, UNEQUAL + 16],
];
const LITTLE: u8 = UNEQUAL + 17;
const DIFFERENT: u8 = UNEQUAL + 18;

/// Tokens of each side that have no equal and are compared letter by letter.
const LEFT_MAX: usize = 12;

/// How two different texts agree.
pub(super) fn level(tokens: &Tokens, x: u32, y: u32, a: &[u8], b: &[u8]) -> u8 {
    let shared = shared(tokens, tokens.of(x), tokens.of(y));
    let no_space = |text: &[u8]| text.iter().filter(|c| **c != b' ').count();
    let joined = no_space(a) == no_space(b) && a.iter().filter(|c| **c != b' ').eq(b.iter().filter(|c| **c != b' '));
    if joined || shared.all {
        return SAME_WORDS;
    }
    let smaller = shared.a_bits.min(shared.b_bits).max(0.1);
    let half = (shared.a_bits + shared.b_bits).max(0.2) / 2.0;
    let mut share = shared.bits / half;
    if a.len().min(b.len()) >= 4 && a.len().max(b.len()) <= 40 && share < 0.9 {
        // Short texts whose words were torn apart or run together: pridham street, pridhamstreet.
        share = share.max(pairs_share(a, b));
    }
    let share = match share {
        0.85.. => 0,
        0.65.. => 1,
        _ if shared.bits >= 0.9 * smaller => 2,
        0.45.. => 3,
        0.25.. => 4,
        0.1.. => return LITTLE,
        _ => return DIFFERENT,
    };
    // By chance, about one pair of records in so many as there are records shares what only two of them have.
    let rare = match shared.bits / tokens.pair_bits {
        2.0.. => 0,
        1.0.. => 1,
        _ => 2,
    };
    SHARES[share][rare]
}

struct Shared {
    /// Rarity of what the two have in common, in bits.
    bits: f32,
    a_bits: f32,
    b_bits: f32,
    /// Each has exactly the other's tokens.
    all: bool,
}

fn shared(tokens: &Tokens, a: &[u32], b: &[u32]) -> Shared {
    let weight = |token: u32| tokens.rarity[token as usize];
    let mut out = Shared { bits: 0.0, a_bits: 0.0, b_bits: 0.0, all: false };
    let (mut left_a, mut left_b) = (Left::default(), Left::default());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (x, y) = (a.get(i).copied().unwrap_or(u32::MAX), b.get(j).copied().unwrap_or(u32::MAX));
        if x == y {
            out.bits += weight(x);
            out.a_bits += weight(x);
            out.b_bits += weight(x);
            (i, j) = (i + 1, j + 1);
        } else if x < y {
            out.a_bits += weight(x);
            left_a.push(x);
            i += 1;
        } else {
            out.b_bits += weight(y);
            left_b.push(y);
            j += 1;
        }
    }
    out.all = left_a.len == 0 && left_b.len == 0;
    if left_a.len <= LEFT_MAX && left_b.len <= LEFT_MAX {
        out.bits += alike(tokens, &mut left_a, &mut left_b, &mut out.a_bits, &mut out.b_bits);
    }
    out
}

/// Tokens without an equal on the other side. Counts all, keeps the first so many.
#[derive(Default)]
struct Left {
    list: [u32; LEFT_MAX],
    taken: [bool; LEFT_MAX],
    len: usize,
}

impl Left {
    fn push(&mut self, token: u32) {
        if self.len < LEFT_MAX {
            self.list[self.len] = token;
        }
        self.len += 1;
    }
}

/// Bits that tokens share which are alike: a slip is rare in itself, so that the commoner of the two says how much it tells,
/// and the slip's own rarity is taken off its side's sum.
fn alike(tokens: &Tokens, a: &mut Left, b: &mut Left, a_bits: &mut f32, b_bits: &mut f32) -> f32 {
    let mut bits = 0.0;
    // Each edit changes at most two of the letters that occur.
    let near = |x: u32, y: u32| (tokens.letters[x as usize] ^ tokens.letters[y as usize]).count_ones() <= 4;
    for (slip, credit) in [(true, 0.85), (false, 0.6)] {
        for i in 0..a.len {
            if a.taken[i] {
                continue;
            }
            let x = tokens.vocabulary.get(a.list[i] as usize);
            let alike = |token: u32| {
                let y = tokens.vocabulary.get(token as usize);
                if slip { near(a.list[i], token) && slipped(x, y) } else { shortened(x, y) }
            };
            let found = (0..b.len).find(|j| !b.taken[*j] && alike(b.list[*j]));
            let Some(j) = found else { continue };
            (a.taken[i], b.taken[j]) = (true, true);
            let (w, v) = (tokens.rarity[a.list[i] as usize], tokens.rarity[b.list[j] as usize]);
            let least = w.min(v);
            *a_bits -= w - least;
            *b_bits -= v - least;
            bits += credit * least;
        }
    }
    bits
}

fn slipped(a: &[u8], b: &[u8]) -> bool {
    let shorter = a.len().min(b.len());
    let numbers = || a.iter().chain(b).any(u8::is_ascii_digit);
    shorter >= 4
        && a.len().abs_diff(b.len()) <= 2
        && !numbers()
        && (edits(a, b, 1) == 1 || (shorter >= 7 && edits(a, b, 2) == 2))
}

/// An initial, or the beginning of a word.
fn shortened(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    (short.len() == 1 || short.len() >= 3)
        && long.starts_with(short)
        && short.iter().chain(long).all(|c| !c.is_ascii_digit())
}

/// Share of neighbouring letters that two short texts have in common, spaces aside (Dice).
fn pairs_share(a: &[u8], b: &[u8]) -> f32 {
    let mut lists = [[0u16; 40]; 2];
    let mut lens = [0usize; 2];
    for (text, (list, len)) in [a, b].into_iter().zip(lists.iter_mut().zip(&mut lens)) {
        let mut last = None;
        for c in text.iter().filter(|c| **c != b' ') {
            if let Some(last) = last {
                list[*len] = u16::from_be_bytes([last, *c]);
                *len += 1;
            }
            last = Some(*c);
        }
        list[..*len].sort_unstable();
    }
    let (x, y) = (&lists[0][..lens[0]], &lists[1][..lens[1]]);
    let (mut i, mut j, mut same) = (0, 0, 0);
    while i < x.len() && j < y.len() {
        match x[i].cmp(&y[j]) {
            std::cmp::Ordering::Equal => (i, j, same) = (i + 1, j + 1, same + 1),
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
        }
    }
    2.0 * same as f32 / (x.len() + y.len()).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_letters_see_through_lost_spaces() {
        assert!(pairs_share(b"pridham street", b"pridhamstreet") > 0.99);
        assert!(pairs_share(b"tullaroop street", b"giblin street") < 0.7);
        assert!(pairs_share(b"ab", b"cd") < 0.01);
    }

    #[test]
    fn levels_tell_apart_how_much_and_how_rare() {
        let mut all: Vec<u8> = SHARES.concat();
        all.extend([SAME_WORDS, CROSSED, LITTLE, DIFFERENT]);
        all.sort_unstable();
        assert_eq!(all, (UNEQUAL..LEVELS.len() as u8).collect::<Vec<_>>(), "every level is used once");
        assert!(LEVELS[usize::from(UNEQUAL) + NEAR - 1] == "most in common");
    }

    #[test]
    fn initials_and_beginnings_are_short_forms() {
        assert!(shortened(b"j", b"john") && shortened(b"proceedings", b"proc"));
        assert!(!shortened(b"10", b"101") && !shortened(b"of", b"office"));
        assert!(slipped(b"recieve", b"receive") && !slipped(b"1998", b"1999"));
    }
}
