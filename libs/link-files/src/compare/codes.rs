//! Exact codes, telephone numbers, e-mail addresses.

use super::{UNEQUAL, edits, jaro_winkler};

pub(super) const LEVELS: [&str; 10] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "one slip",
    "two slips",
    "one within the other",
    "alike",
    "different",
];
pub(super) const PHONE_LEVELS: [&str; 9] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "equal without prefix",
    "one slip",
    "same last digits",
    "different",
];
pub(super) const EMAIL_LEVELS: [&str; 10] = [
    "absent",
    "equal, very common",
    "equal, common",
    "equal, uncommon",
    "equal, rare",
    "same name at another domain",
    "one slip",
    "alike",
    "same domain",
    "different",
];

/// How two different codes agree.
pub(super) fn level(a: &[u8], b: &[u8]) -> u8 {
    let shorter = a.len().min(b.len());
    match edits(a, b, 2) {
        1 if shorter >= 2 => UNEQUAL,
        2 if shorter >= 5 => UNEQUAL + 1,
        _ if shorter >= 3 && (within(a, b) || within(b, a)) => UNEQUAL + 2,
        _ if shorter >= 5 && jaro_winkler(a, b) >= 0.88 => UNEQUAL + 3,
        _ => UNEQUAL + 4,
    }
}

/// A part of a code; words without a digit (`male` in `female`) are no parts of each other.
fn within(part: &[u8], whole: &[u8]) -> bool {
    part.iter().any(u8::is_ascii_digit) && (whole.starts_with(part) || whole.ends_with(part))
}

/// Fewest last digits that make a telephone number the same without its prefix.
const SAME_NUMBER: usize = 7;

/// How two different telephone numbers agree.
pub(super) fn phone_level(a: &[u8], b: &[u8]) -> u8 {
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let shorter = a.len().min(b.len());
    if shorter >= SAME_NUMBER && same_end == shorter || same_end > SAME_NUMBER {
        UNEQUAL
    } else if shorter >= 5 && edits(a, b, 1) == 1 {
        UNEQUAL + 1
    } else if same_end >= 4 {
        UNEQUAL + 2
    } else {
        UNEQUAL + 3
    }
}

/// How two different e-mail addresses agree.
pub(super) fn email_level(a: &[u8], b: &[u8]) -> u8 {
    let ((name_a, domain_a), (name_b, domain_b)) = (parts(a), parts(b));
    if name_a == name_b {
        return UNEQUAL;
    }
    let shorter = name_a.len().min(name_b.len());
    if edits(a, b, 1) == 1 || (edits(name_a, name_b, 1) == 1 && shorter >= 4) {
        return UNEQUAL + 1;
    }
    if shorter >= 4 && jaro_winkler(name_a, name_b) >= 0.88 {
        return UNEQUAL + 2;
    }
    if domain_a == domain_b { UNEQUAL + 3 } else { UNEQUAL + 4 }
}

fn parts(address: &[u8]) -> (&[u8], &[u8]) {
    let at = address.iter().position(|byte| *byte == b'@').unwrap_or(address.len());
    (&address[..at], address.get(at + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_phones_and_addresses_agree_in_part() {
        assert_eq!(level(b"1234567", b"1234576"), UNEQUAL);
        assert_eq!(level(b"1234567", b"1235566"), UNEQUAL + 1);
        assert_eq!(level(b"tq13", b"tq138df"), UNEQUAL + 2);
        assert_eq!(level(b"male", b"female"), UNEQUAL + 4);
        assert_eq!(level(b"1", b"2"), UNEQUAL + 4);
        assert_eq!(phone_level(b"84912345678", b"912345678"), UNEQUAL);
        assert_eq!(phone_level(b"912345678", b"912345679"), UNEQUAL + 1);
        assert_eq!(phone_level(b"912345678", b"387111222"), UNEQUAL + 3);
        assert_eq!(email_level(b"an@a.vn", b"an@b.vn"), UNEQUAL);
        assert_eq!(email_level(b"binh1@a.vn", b"binh2@b.vn"), UNEQUAL + 1);
        assert_eq!(email_level(b"lan@a.vn", b"mai@a.vn"), UNEQUAL + 3);
    }
}
