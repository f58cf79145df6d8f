//! Text as it is compared: lower case, without marks, punctuation as spaces.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Most bytes of a value that are compared; what is longer is cut, at a character.
pub const FOLDED_MAX: usize = 2_000;

/// Folds a text into `out`: compatibility-decomposed, lower case, marks and apostrophes dropped, everything else that is
/// neither letter nor digit as one space. Composed and decomposed input give the same result.
pub fn fold_text(text: &str, out: &mut Vec<u8>) {
    out.clear();
    if text.is_ascii() {
        for byte in text.bytes().take(FOLDED_MAX) {
            push_ascii(byte, out);
        }
    } else {
        for c in text.nfkd() {
            if out.len() >= FOLDED_MAX {
                break;
            }
            push_char(c, out);
        }
    }
    while out.last() == Some(&b' ') {
        out.pop();
    }
}

fn push_ascii(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => out.push(byte),
        b'A'..=b'Z' => out.push(byte | 0x20),
        b'\'' | b'`' => {}
        _ => space(out),
    }
}

fn push_char(c: char, out: &mut Vec<u8>) {
    match c {
        _ if c.is_ascii() => push_ascii(c as u8, out),
        _ if is_combining_mark(c) => {}
        '\u{2018}' | '\u{2019}' | '\u{02BC}' | '\u{02BB}' | '\u{00B4}' | '\u{2032}' => {}
        _ if c.is_alphanumeric() => {
            for low in c.to_lowercase() {
                match plain(low) {
                    Some(letters) => out.extend_from_slice(letters),
                    None => {
                        let mut buffer = [0; 4];
                        out.extend_from_slice(low.encode_utf8(&mut buffer).as_bytes());
                    }
                }
            }
        }
        _ => space(out),
    }
}

fn space(out: &mut Vec<u8>) {
    if out.last().is_some_and(|last| *last != b' ') {
        out.push(b' ');
    }
}

/// Letters whose stroke or ligature no decomposition takes apart.
fn plain(c: char) -> Option<&'static [u8]> {
    Some(match c {
        'đ' | 'ð' => b"d",
        'ł' => b"l",
        'ø' => b"o",
        'ß' => b"ss",
        'æ' => b"ae",
        'œ' => b"oe",
        'þ' => b"th",
        'ħ' => b"h",
        'ı' => b"i",
        _ => return None,
    })
}

/// The tokens of a folded text.
pub fn tokens(folded: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    folded.split(|b| *b == b' ').filter(|t| !t.is_empty())
}

/// The digits of a text, in order.
pub fn digits(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii_digit).collect()
}

/// A text that stands for nothing: what clerks and programs write into a field that they do not know.
pub fn says_nothing(folded: &[u8]) -> bool {
    const NOTHING: [&[u8]; 19] = [
        b"na",
        b"n a",
        b"null",
        b"none",
        b"nan",
        b"nil",
        b"unknown",
        b"unk",
        b"not known",
        b"not available",
        b"missing",
        b"khong",
        b"khong ro",
        b"khong co",
        b"chua ro",
        b"not applicable",
        b"undefined",
        b"no data",
        b"tbd",
    ];
    folded.is_empty() || NOTHING.contains(&folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = Vec::new();
        fold_text(text, &mut out);
        String::from_utf8(out).expect("folding keeps UTF-8")
    }

    #[test]
    fn case_marks_and_punctuation_fold() {
        assert_eq!(folded("  12, Đường Láng – Hà Nội. "), "12 duong lang ha noi");
        assert_eq!(folded("O’Brien's"), "obriens");
        assert_eq!(folded("Straße ﬁ ½"), "strasse fi 1 2");
        assert_eq!(folded("東京 Tōkyō"), "東京 tokyo");
        assert_eq!(folded(" .-"), "");
    }

    #[test]
    fn composed_and_decomposed_fold_alike() {
        let nfd: String = "Nguyễn Thị Hòa".nfd().collect();
        assert_eq!(folded(&nfd), folded("Nguyễn Thị Hòa"));
    }

    #[test]
    fn absurdly_long_text_is_cut() {
        assert!(folded(&"đ".repeat(50_000)).len() <= FOLDED_MAX + 8);
    }
}
