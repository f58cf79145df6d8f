//! Values that are unmistakable, and finding them in whatever form they may have taken.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::{Regex, RegexBuilder};

/// Shorter forms would be met by chance.
const FORM_BYTES_MIN: usize = 6;

/// Finds planted values: as they are, in other case, without marks, and as hexadecimal, base64, percent-encoded or listed bytes.
pub struct Planted {
    pattern: Regex,
    /// What each form is a form of.
    names: HashMap<Vec<u8>, &'static str>,
}

impl Planted {
    /// Of values with their names. A value of several words is also looked for word by word.
    pub fn new(values: &[(&'static str, &str)]) -> Self {
        let mut names = HashMap::new();
        for (name, value) in values {
            let words = value.split([' ', ',']).filter(|word| word.len() >= FORM_BYTES_MIN);
            for text in std::iter::once(*value).chain(words) {
                for form in forms(text) {
                    names.entry(form).or_insert(*name);
                }
            }
        }
        let mut literals: Vec<String> = names.keys().map(|form| literal(form)).collect();
        // The longest form first, so that it is the one that is named.
        literals.sort_by_key(|literal| (std::cmp::Reverse(literal.len()), literal.clone()));
        let pattern = RegexBuilder::new(&literals.join("|")).unicode(false).size_limit(1 << 28).build();
        Self { pattern: pattern.expect("literals"), names }
    }

    /// The first planted value, by its name, with what stands around it.
    pub fn first_in(&self, haystack: &[u8]) -> Option<(&'static str, String)> {
        let found = self.pattern.find(haystack)?;
        let name = self.names.get(found.as_bytes()).expect("only forms are looked for");
        let (from, to) = (found.start().saturating_sub(160), (found.end() + 80).min(haystack.len()));
        Some((name, String::from_utf8_lossy(&haystack[from..to]).into_owned()))
    }

    /// What a place tells that it should not.
    pub fn complaint(&self, place: &str, haystack: impl AsRef<[u8]>) -> Option<String> {
        let (name, around) = self.first_in(haystack.as_ref())?;
        Some(format!("{place} tells the {name}: …{around}…"))
    }
}

fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut spelled = vec![text.to_owned(), text.to_lowercase(), text.to_uppercase(), without_marks(text)];
    spelled.push(without_marks(text).to_lowercase());
    spelled.push(without_marks(text).to_uppercase());
    spelled.sort();
    spelled.dedup();
    let mut out = Vec::new();
    for text in &spelled {
        let bytes = text.as_bytes();
        out.push(bytes.to_vec());
        if bytes.len() < FORM_BYTES_MIN {
            continue;
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let escaped: String = text.chars().flat_map(char::escape_unicode).collect();
        let percent: String = bytes
            .iter()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let json: String = text
            .encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(ascii) if ascii.is_ascii() => char::from(ascii).to_string(),
                Ok(_) | Err(_) => format!("\\u{unit:04x}"),
            })
            .collect();
        let listed = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let debug: String = bytes.iter().flat_map(|b| std::ascii::escape_default(*b)).map(char::from).collect();
        out.extend([hex.to_uppercase(), hex, escaped, percent, json, listed, debug].map(String::into_bytes));
        for shift in 0..3 {
            out.extend([encoded(&STANDARD_NO_PAD, shift, bytes), encoded(&URL_SAFE_NO_PAD, shift, bytes)]);
        }
    }
    out
}

/// The characters of base64 that only the text decides, when `shift` other bytes stand before it.
fn encoded(engine: &impl base64::Engine, shift: usize, bytes: &[u8]) -> Vec<u8> {
    let all = engine.encode([&vec![0; shift][..], bytes].concat());
    let (first, last) = ((8 * shift).div_ceil(6), 8 * (shift + bytes.len()) / 6);
    all.as_bytes()[first..last].to_vec()
}

/// A literal of a byte regex. A short number must stand alone: inside a longer one it is chance.
fn literal(form: &[u8]) -> String {
    let plain: String = form.iter().map(|b| format!("\\x{b:02x}")).collect();
    let short_number = form.len() <= 10 && form.iter().all(u8::is_ascii_digit);
    if short_number { format!("\\b{plain}\\b") } else { plain }
}

/// Vietnamese letters without their marks.
fn without_marks(text: &str) -> String {
    let plain = |letter: char| match letter {
        'à' | 'á' | 'ạ' | 'ả' | 'ã' | 'â' | 'ầ' | 'ấ' | 'ậ' | 'ẩ' | 'ẫ' | 'ă' | 'ằ' | 'ắ' | 'ặ' | 'ẳ' | 'ẵ' => {
            'a'
        }
        'è' | 'é' | 'ẹ' | 'ẻ' | 'ẽ' | 'ê' | 'ề' | 'ế' | 'ệ' | 'ể' | 'ễ' => 'e',
        'ì' | 'í' | 'ị' | 'ỉ' | 'ĩ' => 'i',
        'ò' | 'ó' | 'ọ' | 'ỏ' | 'õ' | 'ô' | 'ồ' | 'ố' | 'ộ' | 'ổ' | 'ỗ' | 'ơ' | 'ờ' | 'ớ' | 'ợ' | 'ở' | 'ỡ' => {
            'o'
        }
        'ù' | 'ú' | 'ụ' | 'ủ' | 'ũ' | 'ư' | 'ừ' | 'ứ' | 'ự' | 'ử' | 'ữ' => 'u',
        'ỳ' | 'ý' | 'ỵ' | 'ỷ' | 'ỹ' => 'y',
        'Đ' => 'D',
        'đ' => 'd',
        other => other,
    };
    text.chars().map(plain).collect()
}

#[test]
fn a_planted_value_is_found_in_every_form() {
    let planted = Planted::new(&[("name", "Zqxkim Vựcthẳm"), ("number", "099190736451"), ("year", "19370213")]);
    let hex = "5a71786b696d"; // Zqxkim
    let shown = format!("{:?}", "Zqxkim".as_bytes());
    for (text, name) in [
        ("… zqxkim vucTHAM …", Some("name")),
        ("ZQXKIM", Some("name")),
        ("VỰCTHẲM", Some("name")),
        (hex, Some("name")),
        (shown.as_str(), Some("name")),
        ("b\"V\\xe1\\xbb\\xb1cth\\xe1\\xba\\xb3m\"", Some("name")),
        ("V%E1%BB%B1cth%E1%BA%B3m", Some("name")),
        (&STANDARD_NO_PAD.encode("xx099190736451yyy"), Some("number")),
        ("born 19370213.", Some("year")),
        ("at 1193702134", None),
        ("Zqx kim", None),
    ] {
        assert_eq!(planted.first_in(text.as_bytes()).map(|found| found.0), name, "{text}");
    }
}
