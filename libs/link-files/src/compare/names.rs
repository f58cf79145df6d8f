//! Names of persons in any shape, and other short names.

use super::{UNEQUAL, edits, jaro_winkler};
use crate::fold::tokens;

pub(super) const LEVELS: [&str; 15] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "equal but for marks",
    "same words reordered",
    "in the other column",
    "one slip",
    "slips",
    "initials or short forms",
    "words left out",
    "a word in common",
    "somewhat alike",
    "different",
];
const MARKS: u8 = UNEQUAL;
const REORDERED: u8 = UNEQUAL + 1;
pub(super) const CROSSED: u8 = UNEQUAL + 2;
const SLIP: u8 = UNEQUAL + 3;
const SLIPS: u8 = UNEQUAL + 4;
const SHORT: u8 = UNEQUAL + 5;
const LEFT_OUT: u8 = UNEQUAL + 6;
const COMMON_WORD: u8 = UNEQUAL + 7;
const ALIKE: u8 = UNEQUAL + 8;
const DIFFERENT: u8 = UNEQUAL + 9;

/// Words of a name that are looked at one by one.
const WORDS_MAX: usize = 12;

/// How two different names agree.
pub(super) fn level(a: &[u8], b: &[u8]) -> u8 {
    if a == b {
        return MARKS;
    }
    let (mut a_words, mut b_words) = (Words::of(a), Words::of(b));
    if a_words.len.max(b_words.len) == 1 {
        return single(a, b);
    }
    if a.iter().filter(|c| **c != b' ').eq(b.iter().filter(|c| **c != b' ')) {
        return SLIP;
    }
    if edits(a, b, 1) <= 1 && a.len().min(b.len()) >= 5 {
        return SLIP;
    }
    if a_words.len > b_words.len {
        std::mem::swap(&mut a_words, &mut b_words);
    }
    aligned(&a_words, &b_words).unwrap_or_else(|| if jaro_winkler(a, b) >= 0.85 { ALIKE } else { DIFFERENT })
}

/// Two names of one word each.
fn single(a: &[u8], b: &[u8]) -> u8 {
    let shorter = a.len().min(b.len());
    let slips = edits(a, b, 2);
    if slips == 1 && shorter >= 3 {
        return SLIP;
    }
    if a.starts_with(b) || b.starts_with(a) {
        return SHORT;
    }
    let likeness = jaro_winkler(a, b);
    match slips {
        2 if shorter >= 5 => SLIPS,
        _ if likeness >= 0.9 => SLIPS,
        _ if likeness >= 0.8 || (slips <= 2 && shorter >= 3) => ALIKE,
        _ => DIFFERENT,
    }
}

struct Words<'a> {
    list: [&'a [u8]; WORDS_MAX],
    len: usize,
}

impl<'a> Words<'a> {
    fn of(name: &'a [u8]) -> Words<'a> {
        let mut out = Words { list: [&[]; WORDS_MAX], len: 0 };
        for word in tokens(name).take(WORDS_MAX) {
            out.list[out.len] = word;
            out.len += 1;
        }
        out
    }
}

/// Whether two words go together.
type WordTest = fn(&[u8], &[u8]) -> bool;

/// Each word of the shorter name takes its best partner in the longer one: equal words first, then slips, then short forms.
fn aligned(short: &Words<'_>, long: &Words<'_>) -> Option<u8> {
    let mut taken = [false; WORDS_MAX];
    let mut done = [false; WORDS_MAX];
    let mut counts = [0usize; 3];
    let mut in_order = true;
    let tests: [WordTest; 3] = [|x, y| x == y, slipped, shortened];
    for (kind, test) in tests.iter().enumerate() {
        for (x, done) in done.iter_mut().enumerate().take(short.len) {
            let free = |y: &usize| !taken[*y] && test(short.list[x], long.list[*y]);
            let found = if *done { None } else { (0..long.len).find(free) };
            if let Some(y) = found {
                (taken[y], *done) = (true, true);
                counts[kind] += 1;
                in_order &= x == y;
            }
        }
    }
    let [equal, slips, shorts] = counts;
    let known = |words: &Words<'_>, at: &[bool]| (0..words.len).any(|w| at[w] && words.list[w].len() > 1);
    if equal + slips + shorts == short.len && (equal > 0 || slips > 0) && known(short, &done) {
        return Some(match (short.len == long.len, slips, shorts) {
            (true, 0, 0) => REORDERED,
            (true, 1, 0) if in_order => SLIP,
            (true, _, 0) => SLIPS,
            (_, _, 1..) => SHORT,
            (false, _, 0) if short.len == 1 => COMMON_WORD,
            (false, _, 0) => LEFT_OUT,
        });
    }
    let whole = (0..short.len).any(|x| done[x] && short.list[x].len() > 2);
    (equal > 0 && whole).then_some(COMMON_WORD)
}

fn slipped(a: &[u8], b: &[u8]) -> bool {
    let shorter = a.len().min(b.len());
    shorter >= 3 && (edits(a, b, 1) == 1 || (shorter >= 6 && edits(a, b, 2) == 2))
}

fn shortened(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_shape_have_their_level() {
        for (a, b, expected) in [
            ("nguyen van nam", "nam nguyen van", REORDERED),
            ("nguyen van nam", "nguyen nam", LEFT_OUT),
            ("john smith", "j smith", SHORT),
            ("nguyen van hung", "nguyen van hungg", SLIP),
            ("harrington", "harringtn", SLIP),
            ("kathryn", "kate", ALIKE),
            ("michael", "mich", SHORT),
            ("tran thilan", "tran thi lan", SLIP),
            ("lee", "baker", DIFFERENT),
            ("nguyen van hung", "le thi mai", DIFFERENT),
            ("thomas clifford", "clifford of chudleigh", COMMON_WORD),
        ] {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            assert_eq!(level(a, b), expected, "{:?}", std::str::from_utf8(a));
            assert_eq!(level(a, b), level(b, a));
        }
    }

    #[test]
    fn two_initials_are_not_a_name_in_common() {
        assert_eq!(level(b"j s", b"j t"), DIFFERENT);
    }
}
