//! Comparison of two folded names.

use crate::level::Level;
use crate::model::Model;
use crate::row::{FeatureRow, NAME_CUT, PLAIN_NAME};
use crate::text::tokens;

/// Tokens of a name that are looked at one by one; longer names are compared whole.
const TOKENS_MAX: usize = 12;

/// How the names of two rows agree.
pub(crate) fn level(model: &Model, a: &FeatureRow, b: &FeatureRow) -> Level {
    let (left, right) = (a.name(), b.name());
    if left.is_empty() || right.is_empty() {
        return Level::NameAbsent;
    }
    if left == right {
        return equal_folded(a, b);
    }
    different(model, left, right)
}

fn equal_folded(a: &FeatureRow, b: &FeatureRow) -> Level {
    if a.accented() == b.accented() {
        Level::NameAccented
    } else if a.has(NAME_CUT) || b.has(NAME_CUT) {
        // The rest, which the row does not hold, differs.
        Level::NameNear
    } else if a.has(PLAIN_NAME) || b.has(PLAIN_NAME) {
        Level::NameFolded
    } else {
        Level::NameMarksDiffer
    }
}

fn different(model: &Model, left: &[u8], right: &[u8]) -> Level {
    let (a, b) = (Tokens::of(left), Tokens::of(right));
    if a.len != b.len {
        return other_length(left, right, &a, &b);
    }
    if left.len() == right.len() && a.is_reordering_of(&b) { Level::NameReordered } else { same_length(model, &a, &b) }
}

/// Names with as many tokens: what differs, and is the difference a slip or a name of its own?
fn same_length(model: &Model, a: &Tokens<'_>, b: &Tokens<'_>) -> Level {
    let mut slips = 0;
    let mut unknown_pair = false;
    let (mut middle_differs, mut family_differs) = (false, false);
    for place in 0..a.len {
        let (x, y) = (a.list[place], b.list[place]);
        if x == y {
            continue;
        }
        let edits = distance(x, y);
        let close = edits <= 2 && edits < x.len().min(y.len());
        let known = close.then(|| (model.knows_token(x), model.knows_token(y)));
        if let Some(known) = known.filter(|known| *known != (true, true)) {
            slips += edits;
            unknown_pair |= known == (false, false);
        } else if place + 1 == a.len {
            return Level::NameDiffers;
        } else if place == 0 {
            family_differs = true;
        } else {
            middle_differs = true;
        }
    }
    match (family_differs, middle_differs, slips) {
        (true, ..) => Level::NameGivenOnly,
        (false, true, 0) => Level::NameMiddleDiffers,
        (false, true, _) => Level::NameDiffers,
        (false, false, 1) if !unknown_pair => Level::NameTypo,
        (false, false, 0..=2) => Level::NameNear,
        _ => Level::NameDiffers,
    }
}

/// Names with other numbers of tokens: a lost space, or middle names left out.
fn other_length(left: &[u8], right: &[u8], a: &Tokens<'_>, b: &Tokens<'_>) -> Level {
    if a.len.abs_diff(b.len) == 1 && left.iter().filter(|c| **c != b' ').eq(right.iter().filter(|c| **c != b' ')) {
        return Level::NameTypo;
    }
    let (short, long) = if a.len < b.len { (a, b) } else { (b, a) };
    let given_equal = short.given() == long.given();
    if given_equal && short.len >= 2 && short.list[0] == long.list[0] && short.is_within(long) {
        return Level::NameMiddleMissing;
    }
    if given_equal { Level::NameGivenOnly } else { Level::NameDiffers }
}

/// Longest token that is compared by edits.
const TOKEN_MAX: usize = 24;

/// Edits between two tokens (optimal string alignment), 3 standing for more than two. Tokens are a syllable long: a table on
/// the stack took a tenth of the time of a general bit-parallel library, which builds its pattern for each pair.
fn distance(x: &[u8], y: &[u8]) -> usize {
    if x.len().abs_diff(y.len()) > 2 || x.len().max(y.len()) > TOKEN_MAX {
        return 3;
    }
    let mut rows = [[0u8; TOKEN_MAX + 1]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j as u8;
    }
    for i in 1..=x.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i as u8;
        let mut least = i as u8;
        for j in 1..=y.len() {
            let differs = u8::from(x[i - 1] != y[j - 1]);
            let mut cell = (rows[last][j - 1] + differs).min(rows[last][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1] {
                cell = cell.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = cell;
            least = least.min(cell);
        }
        if least > 2 {
            return 3;
        }
    }
    usize::from(rows[x.len() % 3][y.len()].min(3))
}

struct Tokens<'a> {
    list: [&'a [u8]; TOKENS_MAX],
    len: usize,
}

impl<'a> Tokens<'a> {
    fn of(name: &'a [u8]) -> Tokens<'a> {
        let mut out = Tokens { list: [&[]; TOKENS_MAX], len: 0 };
        for token in tokens(name).take(TOKENS_MAX) {
            out.list[out.len] = token;
            out.len += 1;
        }
        out
    }

    /// Only the tokens that are there are compared: the C library compares empty slices at no address, which costs 300 ns.
    fn is_reordering_of(&self, other: &Tokens<'_>) -> bool {
        let (mut left, mut right) = (self.list, other.list);
        left[..self.len].sort_unstable();
        right[..other.len].sort_unstable();
        left[..self.len] == right[..other.len]
    }

    fn given(&self) -> &'a [u8] {
        self.list[self.len.saturating_sub(1)]
    }

    /// Whether the tokens occur in this order in the other name.
    fn is_within(&self, other: &Tokens<'_>) -> bool {
        let mut rest = other.list[..other.len].iter();
        self.list[..self.len].iter().all(|token| rest.any(|t| t == token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::PersonFields;

    fn compare(a: &str, b: &str) -> Level {
        let model = Model::epoch_1();
        let row = |full_name| model.person_row(&PersonFields { full_name, ..Default::default() });
        let (a, b) = (row(a), row(b));
        assert_eq!(level(&model, &a, &b), level(&model, &b, &a), "comparison is symmetric");
        level(&model, &a, &b)
    }

    #[test]
    fn levels_tell_slips_from_other_names() {
        for (a, b, expected) in [
            ("Nguyễn Thị Hòa", "NGUYỄN THỊ HOÀ", Level::NameAccented),
            ("Nguyễn Thị Hòa", "Nguyen Thi Hoa", Level::NameFolded),
            ("Nguyễn Thị Hương", "Nguyễn Thị Hường", Level::NameMarksDiffer),
            ("Y Wen Niê", "Niê Y Wen", Level::NameReordered),
            ("Nguyễn Văn Hùng", "Nguyễn Văn Hùngg", Level::NameTypo),
            ("Nguyễn Văn Hùng", "Nguyễn Văn Dũng", Level::NameDiffers),
            ("Nguyễn Văn Nam", "Nguyễn Nam", Level::NameMiddleMissing),
            ("Nguyễn Văn Nam", "Nguyễn Hoàng Nam", Level::NameMiddleDiffers),
            ("Hoàng Văn Nam", "Huỳnh Văn Nam", Level::NameGivenOnly),
            ("Trần Thị Lan", "TrầnThị Lan", Level::NameTypo),
            ("Nguyễn Văn Hùng", "Lê Thị Mai", Level::NameDiffers),
            ("", "Lê Thị Mai", Level::NameAbsent),
            ("Xuyzo", "Xuyzu", Level::NameNear),
        ] {
            assert_eq!(compare(a, b), expected, "{a} / {b}");
        }
    }

    #[test]
    fn edits_are_those_of_optimal_string_alignment() {
        for (x, y, edits) in
            [("an", "an", 0), ("an", "na", 1), ("hung", "hugn", 1), ("hung", "dung", 1), ("lan", "loan", 1)]
        {
            assert_eq!(distance(x.as_bytes(), y.as_bytes()), edits, "{x} {y}");
        }
        assert_eq!(distance(b"ca", b"abc"), 3);
        assert_eq!(distance(b"phuong", b"thuon"), 2);
        assert_eq!(distance(b"", b"ab"), 2);
        assert_eq!(distance(b"quang", b"trinh"), 3);
    }

    proptest::proptest! {
        #[test]
        fn edits_equal_those_of_rapidfuzz(x in "[a-d]{0,9}", y in "[a-d]{0,9}") {
            let expected = rapidfuzz::distance::osa::distance(x.bytes(), y.bytes()).min(3);
            proptest::prop_assert_eq!(distance(x.as_bytes(), y.as_bytes()), expected);
        }
    }

    #[test]
    fn long_names_that_differ_late_are_not_equal() {
        let (a, b) = ("Bạch ".repeat(40) + "An", "Bạch ".repeat(40) + "Bình");
        assert_eq!(compare(&a, &b), Level::NameNear);
    }
}
