//! Names as people search and compare them, by the same normalisation as linkage.

use crate::text::{fold_name, tokens};

/// Whether two names say the same as far as both say anything: equal up to tone placement, or one of them was written
/// without its tone marks and they are equal without.
pub fn names_agree(a: &str, b: &str) -> bool {
    let (a, b) = (fold_name(a), fold_name(b));
    a.as_bytes() == b.as_bytes() && (a.accented == b.accented || a.plain || b.plain)
}

/// A name as a search key: folded, lower case, tokens in alphabetical order, so that tone marks, case and the order of
/// tokens do not matter.
pub fn search_name(name: &str) -> Vec<u8> {
    let folded = fold_name(name);
    let mut all: Vec<&[u8]> = tokens(folded.as_bytes()).collect();
    all.sort_unstable();
    all.join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tone_placement_and_lost_marks_agree_but_other_tones_do_not() {
        assert!(names_agree("Nguyễn Thị Hòa", "Nguyễn Thị Hoà"));
        assert!(names_agree("Nguyễn Thị Hương", "Nguyen Thi Huong"));
        assert!(!names_agree("Nguyễn Thị Hương", "Nguyễn Thị Hường"));
        assert!(!names_agree("Nguyễn Thị Hương", "Trần Thị Hương"));
    }

    #[test]
    fn search_keys_ignore_marks_case_and_order() {
        assert_eq!(search_name("NGUYỄN Văn Đức"), search_name("duc nguyen van"));
        assert_ne!(search_name("Nguyễn Văn Đức"), search_name("Nguyễn Đức"));
    }
}
