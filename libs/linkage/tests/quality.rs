//! Precision and recall on a small noisy population, of the kind that is hard: twins, siblings, fathers and sons of one
//! name, parents' ids on children's records, lost marks, typing errors, swapped and vague dates, moves.

use std::collections::BTreeMap;

use linkage::*;
use record::MentionId;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.roll(1000) < per_mille
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        // The smaller of two throws: the head of a list is common, its tail rare.
        let n = list.len() as u64;
        list[self.roll(n).min(self.roll(n)) as usize]
    }
}

const FAMILY: [&str; 16] = [
    "Nguyễn", "Nguyễn", "Nguyễn", "Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Phan", "Vũ", "Võ", "Đặng", "Bùi", "Đỗ",
    "Hồ", "Ngô",
];
const MIDDLE: [[&str; 8]; 2] = [
    ["Văn", "Đức", "Minh", "Hữu", "Quang", "Thanh", "Công", "Quốc"],
    ["Thị", "Thị", "Ngọc", "Thanh", "Thu", "Phương", "Kim", "Hồng"],
];
const GIVEN: [[&str; 24]; 2] = [
    [
        "Hùng", "Dũng", "Nam", "Sơn", "Tuấn", "Minh", "Hải", "Long", "Anh", "Cường", "Thắng", "Đạt", "Huy", "Phúc",
        "Khoa", "Lâm", "Bình", "Quân", "Tùng", "Trung", "Kiên", "Vinh", "Đức", "Hiếu",
    ],
    [
        "Lan", "Hương", "Hường", "Hoa", "Mai", "Linh", "Trang", "Thảo", "Hà", "Nga", "Loan", "Hạnh", "Thu", "Thủy",
        "Yến", "Ngọc", "Anh", "Phương", "Oanh", "Dung", "Hằng", "Nhung", "Vân", "Chi",
    ],
];

#[derive(Clone)]
struct Person {
    name: String,
    male: bool,
    birth: (u16, u8, u8),
    id: String,
    old_id: String,
    commune: u32,
    mother: String,
    father: String,
    parent_id: String,
}

fn name(dice: &mut Dice, family: &str, male: bool) -> String {
    let side = usize::from(!male);
    format!("{family} {} {}", dice.pick(&MIDDLE[side]), dice.pick(&GIVEN[side]))
}

fn person(dice: &mut Dice, family: &str, male: bool, year: u16, commune: u32) -> Person {
    let digit = 2 * u64::from(year >= 2000) + u64::from(!male);
    Person {
        name: name(dice, family, male),
        male,
        birth: (year, 1 + dice.roll(12) as u8, 1 + dice.roll(28) as u8),
        id: format!("099{digit}{:02}{:06}", year % 100, dice.roll(1_000_000)),
        old_id: format!("{:09}", dice.roll(1_000_000_000)),
        commune,
        mother: String::new(),
        father: String::new(),
        parent_id: String::new(),
    }
}

fn population(dice: &mut Dice, families: usize) -> Vec<Person> {
    let mut all = Vec::new();
    for _ in 0..families {
        let commune = dice.roll(48) as u32;
        let (his, hers) = (dice.pick(&FAMILY), dice.pick(&FAMILY));
        let year = 1945 + dice.roll(45) as u16;
        let father = person(dice, his, true, year, commune);
        let year = 1945 + dice.roll(45) as u16;
        let mother = person(dice, hers, false, year, commune);
        let mut born = father.birth.0.max(mother.birth.0) + 20 + dice.roll(6) as u16;
        let mut last: Option<Person> = None;
        for _ in 0..dice.roll(4) {
            let male = dice.chance(500);
            let mut child = person(dice, his, male, born, commune);
            (child.mother, child.father) = (mother.name.clone(), father.name.clone());
            child.parent_id = mother.id.clone();
            if let Some(sibling) = last.as_ref().filter(|_| dice.chance(40)) {
                child.birth = sibling.birth;
                child.id = format!("{}{}", &child.id[..4], &sibling.id[4..6]) + &child.id[6..];
            }
            if male && dice.chance(15) {
                child.name = father.name.clone();
            }
            born += 1 + dice.roll(4) as u16;
            last = Some(child.clone());
            all.push(child);
        }
        all.extend([father, mother]);
    }
    all
}

/// One mention of a person in some register, with what registers do to it.
fn mention(model: &Model, dice: &mut Dice, who: &Person, register: u64) -> FeatureRow {
    let mut name = who.name.clone();
    if dice.chance(30) {
        name = String::from_utf8(search_name_in_order(&name)).expect("folded names are text");
    }
    if dice.chance(15) {
        let cut = name.char_indices().nth(name.chars().count() / 2).map_or(0, |(at, _)| at);
        name.insert(cut, 'x');
    }
    let (mut year, mut month, mut day) = who.birth;
    match dice.roll(1000) {
        0..15 => (month, day) = (0, 0),
        15..22 if day <= 12 => std::mem::swap(&mut month, &mut day),
        22..28 => year += 1,
        28..36 => (month, day) = (1, 1),
        _ => {}
    }
    let mut id = who.id.clone();
    if dice.chance(10) {
        let digit = (id.as_bytes()[9] - b'0' + 3) % 10;
        id.replace_range(9..10, &digit.to_string());
    }
    let minor = who.birth.0 > 2006;
    let child_with_parents_id = minor && register == 2 && dice.chance(300);
    let has_id = match register {
        0 => dice.chance(850),
        1 => dice.chance(450),
        _ => dice.chance(650),
    };
    let commune = if dice.chance(60) { dice.roll(48) as u32 } else { who.commune };
    model.person_row(&PersonFields {
        full_name: &name,
        sex: (register != 1).then_some(if who.male != dice.chance(5) { Sex::Male } else { Sex::Female }),
        birth: PartialDate::new(year, month, day),
        personal_id: if child_with_parents_id { Some(&who.parent_id) } else { has_id.then_some(id.as_str()) },
        old_id: (register == 1 && !has_id && !minor).then_some(who.old_id.as_str()),
        commune: Some(commune),
        province: Some((commune / 12) as u16),
        mother_name: (register == 0).then_some(who.mother.as_str()),
        father_name: (register == 0).then_some(who.father.as_str()),
        ..Default::default()
    })
}

/// The name without marks, as a system without Vietnamese letters keeps it.
fn search_name_in_order(name: &str) -> Vec<u8> {
    let tokens = name.split(' ').map(search_name);
    tokens.collect::<Vec<_>>().join(&b' ')
}

#[test]
fn noisy_population_is_linked_precisely_and_almost_completely() {
    let model = Model::epoch_1();
    let mut dice = Dice(11);
    let people = population(&mut dice, 3_000);
    let mut truth: BTreeMap<MentionId, usize> = BTreeMap::new();
    let mut inputs = Vec::new();
    for (who, person) in people.iter().enumerate() {
        for n in 0..2 + dice.roll(5) {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(inputs.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let row = mention(&model, &mut dice, person, n % 3);
            truth.insert(MentionId(id), who);
            inputs.push(MentionInput { id: MentionId(id), rank: 0, row, pinned: false });
        }
    }
    let records: Vec<_> =
        inputs.iter().map(|input| RecordMentions { mentions: std::slice::from_ref(input), distinct: &[] }).collect();
    let found = batch(&model, &records, &[]);

    let (mut by_truth, mut by_cluster, mut by_both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (mention, subject) in &found.subjects {
        let who = truth[mention];
        *by_truth.entry(who).or_insert(0u64) += 1;
        *by_cluster.entry(*subject).or_insert(0u64) += 1;
        *by_both.entry((who, *subject)).or_insert(0u64) += 1;
    }
    fn pairs<K>(counts: &BTreeMap<K, u64>) -> u64 {
        counts.values().map(|n| n * (n - 1) / 2).sum()
    }
    let (right, found, all) = (pairs(&by_both), pairs(&by_cluster), pairs(&by_truth));
    let (precision, recall) = (right as f64 / found as f64, right as f64 / all as f64);
    println!("{} persons, {} mentions: precision {precision:.5}, recall {recall:.5}", people.len(), inputs.len());
    assert!(precision >= 0.999, "precision {precision}");
    assert!(recall >= 0.97, "recall {recall}");
}
