//! Vietnamese names: family names by their known frequency, middle names *Văn* and *Thị* that fall with age, given names by
//! cohort, and some two per cent of persons with the names of smaller peoples (one token, a mark of sex first, the clan last).

use unicode_normalization::char::{decompose_canonical, is_combining_mark};

use crate::dice::Dice;

/// A name in parts; `write` gives the whole. Equal parts are an equal name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    people: People,
    family: u8,
    middle: u8,
    given: u8,
}

/// How a people forms its names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum People {
    Kinh,
    /// Mark of sex, given name, clan last.
    EDe,
    /// Mark of sex and given name, no family name.
    CoHo,
    /// Family name first, given name of one token.
    Hmong,
    /// One token.
    Khmer,
}

/// Weights per myriad. Frequencies of the first fifteen: press, after the census; the rest fills up.
const FAMILIES: [(&str, u16); 26] = [
    ("Nguyễn", 3840),
    ("Trần", 1100),
    ("Lê", 950),
    ("Phạm", 710),
    ("Hoàng", 310),
    ("Huỳnh", 200),
    ("Phan", 450),
    ("Vũ", 230),
    ("Võ", 160),
    ("Đặng", 210),
    ("Bùi", 200),
    ("Đỗ", 140),
    ("Hồ", 130),
    ("Ngô", 130),
    ("Dương", 100),
    ("Lý", 50),
    ("Đinh", 170),
    ("Đoàn", 140),
    ("Trịnh", 120),
    ("Trương", 150),
    ("Lâm", 90),
    ("Mai", 90),
    ("Tô", 60),
    ("Cao", 90),
    ("Hà", 100),
    ("Thái", 80),
];

const MIDDLE_MALE: [&str; 24] = [
    "Văn", "Đức", "Minh", "Hữu", "Quang", "Thanh", "Công", "Xuân", "Ngọc", "Đình", "Quốc", "Anh", "Tuấn", "Gia", "Bá",
    "Trọng", "Thế", "Duy", "Tiến", "Hoàng", "Viết", "Mạnh", "Thành", "Khắc",
];
const MIDDLE_FEMALE: [&str; 24] = [
    "Thị", "Ngọc", "Thanh", "Thu", "Minh", "Phương", "Thúy", "Kim", "Hồng", "Mỹ", "Bảo", "Khánh", "Thảo", "Diệu",
    "Như", "Quỳnh", "Hoài", "Bích", "Tuyết", "Ánh", "Hải", "Lan", "Xuân", "Gia",
];
/// Old given names first, those in fashion last; a cohort draws from a window.
const GIVEN_MALE: [&str; 72] = [
    "Tám",
    "Bảy",
    "Thìn",
    "Tỵ",
    "Mão",
    "Hợi",
    "Chiến",
    "Thắng",
    "Lợi",
    "Sáu",
    "Năm",
    "Chính",
    "Hùng",
    "Dũng",
    "Cường",
    "Tuấn",
    "Hòa",
    "Bình",
    "Sơn",
    "Hải",
    "Thành",
    "Minh",
    "Long",
    "Nam",
    "Tùng",
    "Thủy",
    "Quang",
    "Trung",
    "Kiên",
    "Hưng",
    "Đức",
    "Khoa",
    "Toàn",
    "Thịnh",
    "Phúc",
    "Vinh",
    "Hiếu",
    "Trường",
    "Giang",
    "Lâm",
    "Tân",
    "Phong",
    "Việt",
    "Quân",
    "Hoàng",
    "Dương",
    "Tiến",
    "Đạt",
    "Huy",
    "Khánh",
    "Bảo",
    "Nghĩa",
    "Nhân",
    "Tài",
    "Lộc",
    "Duy",
    "Thái",
    "Khải",
    "An",
    "Khang",
    "Phát",
    "Khôi",
    "Nguyên",
    "Đăng",
    "Kiệt",
    "Hào",
    "Thiên",
    "Bách",
    "Vỹ",
    "Tuệ",
    "Huỳnh",
    "Quý",
];
const GIVEN_FEMALE: [&str; 72] = [
    "Tám",
    "Bảy",
    "Mùi",
    "Mận",
    "Nhàn",
    "Lựu",
    "Đào",
    "Sen",
    "Cúc",
    "Nga",
    "Thìn",
    "Tươi",
    "Lan",
    "Hoa",
    "Hồng",
    "Huệ",
    "Loan",
    "Hòa",
    "Thủy",
    "Thúy",
    "Hương",
    "Hường",
    "Hằng",
    "Hạnh",
    "Hiền",
    "Liên",
    "Oanh",
    "Yến",
    "Dung",
    "Mai",
    "Tuyết",
    "Xuân",
    "Thu",
    "Hà",
    "Phượng",
    "Bích",
    "Nhung",
    "Vân",
    "Trang",
    "Linh",
    "Thảo",
    "Phương",
    "Ngọc",
    "Anh",
    "Hoài",
    "Quyên",
    "Thư",
    "My",
    "Nhi",
    "Giang",
    "Ngân",
    "Hân",
    "Trâm",
    "Vy",
    "Chi",
    "Uyên",
    "Khuê",
    "Châu",
    "Diệp",
    "An",
    "Thùy",
    "Duyên",
    "Ly",
    "Kiều",
    "Nhã",
    "Tiên",
    "Trúc",
    "Quỳnh",
    "Hiếu",
    "Như",
    "Đan",
    "Lam",
];
const EDE_GIVEN: [&str; 16] = [
    "Wen", "Blên", "Thuân", "Sơn", "Ngông", "Krông", "Hiên", "Rin", "Đhăm", "Bhiông", "Nuê", "Yuk", "Liêng", "Môn",
    "Djuan", "Khiêm",
];
const EDE_CLANS: [&str; 8] = ["Niê", "Mlô", "Êban", "Byă", "Kbuôr", "Ayŭn", "Hđơk", "Buôn Yă"];
const COHO_GIVEN: [&str; 16] = [
    "Brôi", "Tham", "Wơi", "Breo", "Điệp", "Thoai", "Jrang", "Lơng", "Bon", "Să", "Rin", "Nhoan", "Sip", "Đỉu", "Hèm",
    "Goát",
];
const HMONG_FAMILIES: [&str; 8] = ["Giàng", "Vàng", "Sùng", "Thào", "Lầu", "Mùa", "Hạng", "Cứ"];
const HMONG_GIVEN: [&str; 16] =
    ["Páo", "Dính", "Chứ", "Sình", "Mỷ", "Dua", "Chía", "Súa", "Nhìa", "Pàng", "Lử", "Seo", "Sáy", "Tủa", "Dế", "Dợ"];
const KHMER_GIVEN: [&str; 16] = [
    "Sarath", "Sôpheap", "Đanh", "Chanđa", "Rithy", "Sôkha", "Thuôl", "Samnang", "Bopha", "Vuthy", "Dara", "Sovan",
    "Kunthea", "Phalla", "Sopheak", "Rattana",
];

impl Name {
    /// A name for a person born in `year`. A child takes its father's family name and its people's way of naming.
    pub(crate) fn draw(dice: &mut Dice, male: bool, year: i32, father: Option<Name>) -> Name {
        let people = match father {
            Some(father) => father.people,
            None => match dice.below(1000) {
                0..4 => People::EDe,
                4..8 => People::CoHo,
                8..16 => People::Hmong,
                16..20 => People::Khmer,
                _ => People::Kinh,
            },
        };
        let family = match (father, people) {
            (Some(father), _) => father.family,
            (None, People::Kinh) => dice.weighted(&FAMILIES.map(|(_, weight)| weight)) as u8,
            (None, People::EDe | People::CoHo | People::Hmong | People::Khmer) => dice.below(8) as u8,
        };
        let (middle, given) = match people {
            People::Kinh => (middle(dice, male, year), given(dice, year)),
            People::EDe | People::CoHo | People::Hmong | People::Khmer => (0, dice.below(16) as u8),
        };
        Name { people, family, middle, given }
    }

    /// The family name of `other` under an own given name: how a wife differs from her husband's sister is not drawn here.
    pub(crate) fn of_kin(self, dice: &mut Dice, male: bool, year: i32) -> Name {
        Name::draw(dice, male, year, Some(self))
    }

    /// Another given name, for twins and siblings.
    pub(crate) fn renamed(mut self, dice: &mut Dice) -> Name {
        let names = if self.people == People::Kinh { 72 } else { 16 };
        self.given = ((u32::from(self.given) + 1 + dice.below(names - 1)) % names) as u8;
        self
    }

    /// The whole name, composed (NFC), family name first where there is one.
    pub(crate) fn write(self, male: bool) -> String {
        let at = |table: &[&'static str], i: u8| table[usize::from(i) % table.len()];
        match self.people {
            People::Kinh => {
                let (middles, givens) =
                    if male { (&MIDDLE_MALE, &GIVEN_MALE) } else { (&MIDDLE_FEMALE, &GIVEN_FEMALE) };
                let family = FAMILIES[usize::from(self.family) % FAMILIES.len()].0;
                let (middle, given) = (at(middles, self.middle), at(givens, self.given));
                match self.middle {
                    NO_MIDDLE => format!("{family} {given}"),
                    TWO_MIDDLES.. if given != middle => {
                        let first = if male { "Văn" } else { "Thị" };
                        format!("{family} {first} {middle} {given}")
                    }
                    _ => format!("{family} {middle} {given}"),
                }
            }
            People::EDe => {
                format!(
                    "{} {} {}",
                    if male { "Y" } else { "H'" },
                    at(&EDE_GIVEN, self.given),
                    at(&EDE_CLANS, self.family)
                )
            }
            People::CoHo => format!("{} {}", if male { "K'" } else { "Ka" }, at(&COHO_GIVEN, self.given)),
            People::Hmong => format!(
                "{} {} {}",
                at(&HMONG_FAMILIES, self.family),
                if male { "A" } else { "Thị" },
                at(&HMONG_GIVEN, self.given)
            ),
            People::Khmer => at(&KHMER_GIVEN, self.given).to_owned(),
        }
    }

    /// True for the names of the smaller peoples.
    pub(crate) fn is_minority(self) -> bool {
        self.people != People::Kinh
    }

    /// The ethnic group as registers print it.
    pub(crate) fn ethnicity(self) -> &'static str {
        match self.people {
            People::Kinh => "Kinh",
            People::EDe => "Ê Đê",
            People::CoHo => "Cơ Ho",
            People::Hmong => "Mông",
            People::Khmer => "Khmer",
        }
    }
}

/// Values of `middle` from here on write Văn or Thị before the middle name.
const TWO_MIDDLES: u8 = 48;
const NO_MIDDLE: u8 = 47;

fn middle(dice: &mut Dice, male: bool, year: i32) -> u8 {
    let traditional = match year {
        ..1960 => 700,
        1960..1975 => 560,
        1975..1990 => 400,
        1990..2005 => {
            if male {
                240
            } else {
                300
            }
        }
        _ => {
            if male {
                70
            } else {
                110
            }
        }
    };
    if dice.per_mille(traditional) {
        // Văn and Thị alone are what most old people share; many add a second middle name.
        return if dice.per_mille(350) { TWO_MIDDLES + 1 + dice.below(23) as u8 } else { 0 };
    }
    if dice.per_mille(60) { NO_MIDDLE } else { 1 + dice.below(23) as u8 }
}

fn given(dice: &mut Dice, year: i32) -> u8 {
    // A window of forty names moves with the cohort; within it the middle is twice as frequent.
    let from = ((year - 1930).clamp(0, 95) as u32) * 32 / 95;
    (from + (dice.below(40) + dice.below(41)) / 2) as u8 % 72
}

/// Drops every mark: "Nguyễn Đức" becomes "Nguyen Duc".
pub(crate) fn without_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'đ' => out.push('d'),
            'Đ' => out.push('D'),
            _ => decompose_canonical(c, |part| {
                if !is_combining_mark(part) {
                    out.push(part);
                }
            }),
        }
    }
    out
}

/// Pairs of (first letter with the tone, plain second) and (plain first, second letter with the tone).
const PLACEMENTS: [(&str, &str); 15] = [
    ("òa", "oà"),
    ("óa", "oá"),
    ("ỏa", "oả"),
    ("õa", "oã"),
    ("ọa", "oạ"),
    ("òe", "oè"),
    ("óe", "oé"),
    ("ỏe", "oẻ"),
    ("õe", "oẽ"),
    ("ọe", "oẹ"),
    ("ùy", "uỳ"),
    ("úy", "uý"),
    ("ủy", "uỷ"),
    ("ũy", "uỹ"),
    ("ụy", "uỵ"),
];

/// Moves the tone of open syllables in *oa oe uy* to the other letter; `None` where the name has no such syllable.
pub(crate) fn other_tone_placement(text: &str) -> Option<String> {
    let mut changed = false;
    let words = text.split(' ').map(|word| {
        for (old, new) in PLACEMENTS {
            if let Some(stem) = word.strip_suffix(old) {
                // In "quý" the u belongs to the consonant: there is only one way to write it.
                if !stem.to_lowercase().ends_with('q') {
                    changed = true;
                    return format!("{stem}{new}");
                }
            }
        }
        word.to_owned()
    });
    let text = words.collect::<Vec<_>>().join(" ");
    changed.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Chance, Purpose};

    #[test]
    fn every_drawn_name_is_composed_and_has_no_empty_token() {
        let chance = Chance::new(1);
        for i in 0..20_000 {
            let mut dice = chance.stream(Purpose::Mention, i, 0);
            let male = i % 2 == 0;
            let name = Name::draw(&mut dice, male, 1930 + (i % 96) as i32, None).write(male);
            assert!(name.split(' ').all(|token| !token.is_empty()), "{name}");
            assert!(!name.chars().any(is_combining_mark), "{name}");
        }
    }

    #[test]
    fn tone_moves_in_open_syllables_only() {
        assert_eq!(other_tone_placement("Lê Thị Hòa").as_deref(), Some("Lê Thị Hoà"));
        assert_eq!(other_tone_placement("Vũ Thủy").as_deref(), Some("Vũ Thuỷ"));
        assert_eq!(other_tone_placement("Đỗ Quý"), None);
        assert_eq!(other_tone_placement("Hoàng Lan"), None);
    }

    #[test]
    fn marks_are_dropped_and_nothing_else() {
        assert_eq!(without_marks("Nguyễn Đức Ưng"), "Nguyen Duc Ung");
        assert_eq!(without_marks("H' Wen Êban"), "H' Wen Eban");
    }
}
