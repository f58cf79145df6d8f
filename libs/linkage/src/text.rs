//! Names as they are compared: folded tokens, and the accented form as a hash.
//!
//! The tone is a property of the syllable here, not of a letter, so that *hòa* and *hoà*, *thủy* and *thuỷ* are one
//! accented form whatever the keyboard placed. `i` and `y` are never exchanged: *Lý* and *Lí* are different names.

use unicode_normalization::char::{decompose_canonical, is_combining_mark};

use crate::hash::hash64;

/// Most bytes that a folded name keeps; what is longer is cut, while the accented hash still covers all of it.
const FOLDED_MAX: usize = 120;

/// A name after folding: lowercase tokens without marks, separated by one space.
#[derive(Clone, Debug)]
pub struct FoldedName {
    bytes: [u8; FOLDED_MAX],
    len: usize,
    /// Hash of the accented form, tone placement aside; 0 when there is no name.
    pub accented: u32,
    /// True when the text carried no Vietnamese mark at all.
    pub plain: bool,
}

impl FoldedName {
    /// The folded bytes; empty when the text holds no letter or digit.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Folds a name. Composed and decomposed input give the same result.
pub fn fold_name(text: &str) -> FoldedName {
    let mut fold = Folder::new();
    for c in text.chars() {
        if c.is_ascii() {
            fold.ascii(c as u8);
        } else {
            fold.wide(c);
        }
    }
    fold.finish()
}

/// Iterates over the tokens of a folded name.
pub(crate) fn tokens(folded: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    folded.split(|b| *b == b' ').filter(|t| !t.is_empty())
}

struct Folder {
    out: FoldedName,
    accents: [u8; 2 * FOLDED_MAX],
    accents_len: usize,
    accents_hash: u64,
    tone: u8,
    shape: u16,
    in_token: bool,
}

impl Folder {
    fn new() -> Folder {
        Folder {
            out: FoldedName { bytes: [0; FOLDED_MAX], len: 0, accented: 0, plain: true },
            accents: [0; 2 * FOLDED_MAX],
            accents_len: 0,
            accents_hash: 0,
            tone: 0,
            shape: 0,
            in_token: false,
        }
    }

    fn ascii(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => self.letter(byte),
            b'A'..=b'Z' => self.letter(byte | 0x20),
            b'\'' | b'`' => {}
            _ => self.end_token(),
        }
    }

    fn wide(&mut self, c: char) {
        match c {
            '\u{2018}' | '\u{2019}' | '\u{02BC}' | '\u{02BB}' | '\u{00B4}' | '\u{2032}' | '\u{FF07}' => {}
            'đ' | 'Đ' | 'ð' | 'Ð' => {
                self.letter(b'd');
                self.shape(0x11);
            }
            _ if is_combining_mark(c) || c.is_alphanumeric() => decompose_canonical(c, |part| self.part(part)),
            _ => self.end_token(),
        }
    }

    fn part(&mut self, c: char) {
        if is_combining_mark(c) {
            return self.mark(c);
        }
        for low in c.to_lowercase() {
            let mut buffer = [0; 4];
            for byte in low.encode_utf8(&mut buffer).bytes() {
                self.letter(byte);
            }
        }
    }

    fn mark(&mut self, c: char) {
        match c {
            '\u{0300}' => self.tone(1),
            '\u{0301}' => self.tone(2),
            '\u{0303}' => self.tone(3),
            '\u{0309}' => self.tone(4),
            '\u{0323}' => self.tone(5),
            // Horn, breve, circumflex, and whatever else a name from elsewhere carries.
            _ => self.shape((u32::from(c) & 0xff) as u8),
        }
    }

    fn tone(&mut self, tone: u8) {
        if self.in_token {
            self.out.plain = false;
            self.tone = tone;
        }
    }

    fn shape(&mut self, shape: u8) {
        if self.in_token {
            self.out.plain = false;
            // A sum: marks of one letter may come in any order.
            self.shape = self.shape.wrapping_add(u16::from(shape) + 1);
        }
    }

    fn flush_shape(&mut self) {
        if self.shape != 0 {
            self.accent(0x80);
            for byte in std::mem::take(&mut self.shape).to_be_bytes() {
                self.accent(byte);
            }
        }
    }

    fn letter(&mut self, byte: u8) {
        if !self.in_token {
            if self.out.len > 0 {
                self.push(b' ');
            }
            self.in_token = true;
        }
        self.push(byte);
        self.flush_shape();
        self.accent(byte);
    }

    fn push(&mut self, byte: u8) {
        if self.out.len < FOLDED_MAX {
            self.out.bytes[self.out.len] = byte;
            self.out.len += 1;
        }
    }

    fn accent(&mut self, byte: u8) {
        if self.accents_len == self.accents.len() {
            self.flush_accents();
        }
        self.accents[self.accents_len] = byte;
        self.accents_len += 1;
    }

    fn flush_accents(&mut self) {
        self.accents_hash = hash64(self.accents_hash, &self.accents[..self.accents_len]);
        self.accents_len = 0;
    }

    fn end_token(&mut self) {
        if self.in_token {
            self.flush_shape();
            self.accent(0x10 + self.tone);
            self.tone = 0;
            self.in_token = false;
        }
    }

    fn finish(mut self) -> FoldedName {
        self.end_token();
        if self.out.len > 0 {
            self.flush_accents();
            self.out.accented = (self.accents_hash as u32).max(1);
        }
        while self.out.len > 0 && self.out.bytes[self.out.len - 1] == b' ' {
            self.out.len -= 1;
        }
        self.out
    }
}

/// Reads exactly `digits` decimal digits, spaces, dots and hyphens between them aside; `None` for anything else.
pub(crate) fn digits(text: &str, digits: usize) -> Option<u64> {
    let (mut value, mut seen) = (0u64, 0usize);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if seen < digits => {
                value = value * 10 + u64::from(byte - b'0');
                seen += 1;
            }
            b' ' | b'.' | b'-' => {}
            _ => return None,
        }
    }
    (seen == digits).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    fn folded(text: &str) -> String {
        String::from_utf8(fold_name(text).as_bytes().to_vec()).expect("folded names stay UTF-8 here")
    }

    #[test]
    fn marks_case_and_apostrophes_fold() {
        assert_eq!(folded("  NGUYỄN  Thị Đào "), "nguyen thi dao");
        assert_eq!(folded("H’Mông"), folded("h'mong"));
        assert_eq!(folded("Y Wen Niê"), "y wen nie");
        assert_eq!(folded("Bé"), "be");
        assert_eq!(folded(" .-"), "");
    }

    #[test]
    fn tone_placement_is_one_accented_form() {
        for (old, new) in [("Hòa", "Hoà"), ("Thủy", "Thuỷ"), ("Khóe", "Khoé")] {
            assert_eq!(fold_name(old).accented, fold_name(new).accented, "{old}");
        }
        assert_ne!(fold_name("Hương").accented, fold_name("Hường").accented);
        assert_ne!(fold_name("Lý").as_bytes(), fold_name("Lí").as_bytes());
        assert_ne!(fold_name("Đô").accented, fold_name("Do").accented);
    }

    #[test]
    fn plain_text_is_told_from_accented() {
        assert!(fold_name("Nguyen Van A").plain);
        assert!(!fold_name("Nguyễn Van A").plain);
        assert_eq!(fold_name("").accented, 0);
    }

    #[test]
    fn long_names_are_cut_yet_told_apart() {
        let (a, b) = ("a".repeat(400), "a".repeat(401));
        assert_eq!(fold_name(&a).as_bytes(), fold_name(&b).as_bytes());
        assert_ne!(fold_name(&a).accented, fold_name(&b).accented);
    }

    #[test]
    fn digits_are_exact() {
        assert_eq!(digits("099 204-000123", 12), Some(99_204_000_123));
        assert_eq!(digits("09920400012", 12), None);
        assert_eq!(digits("0992040001234", 12), None);
        assert_eq!(digits("A9920400012", 12), None);
    }

    proptest! {
        #[test]
        fn composed_and_decomposed_text_fold_alike(text in "[A-Za-zÀ-ỹĐđ' ]{0,40}") {
            let (nfc, nfd): (String, String) = (text.nfc().collect(), text.nfd().collect());
            let (a, b) = (fold_name(&nfc), fold_name(&nfd));
            prop_assert_eq!(a.as_bytes(), b.as_bytes());
            prop_assert_eq!(a.accented, b.accented);
            prop_assert_eq!(a.plain, b.plain);
        }

        #[test]
        fn any_text_folds(text in any::<String>()) {
            let once = fold_name(&text);
            prop_assert!(once.as_bytes().len() <= FOLDED_MAX);
        }
    }
}
