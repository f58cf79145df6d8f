//! A table of what linking costs per record, in memory: `cargo run --release -p linkage --example link_speed [records]`.

use std::hint::black_box;
use std::time::Instant;

use linkage::*;
use record::MentionId;

/// A small generator of its own: figures must not depend on another crate.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.roll(list.len() as u64) as usize]
    }
}

struct Person {
    name: String,
    id: String,
    birth: PartialDate,
    sex: Sex,
    commune: u32,
}

fn persons(count: usize, dice: &mut Dice) -> Vec<Person> {
    let family = ["Nguyễn", "Nguyễn", "Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi"];
    let middle = ["Văn", "Thị", "Ngọc", "Minh", "Thanh", "Đức", "Hồng", "Kim", "Quang", "Hữu"];
    let given = [
        "An", "Bình", "Chi", "Dung", "Giang", "Hà", "Hùng", "Khánh", "Lan", "Linh", "Mai", "Nam", "Nga", "Oanh",
        "Phúc", "Quân", "Sơn", "Thảo", "Tuấn", "Uyên", "Vinh", "Xuân", "Yến", "Đạt", "Hương", "Long",
    ];
    let person = |_| {
        let (year, male) = (1940 + dice.roll(80), dice.roll(2) == 0);
        let (month, day) = (1 + dice.roll(12) as u8, 1 + dice.roll(28) as u8);
        let digit = 2 * u64::from(year >= 2000) + u64::from(!male);
        Person {
            name: format!("{} {} {}", dice.pick(&family), dice.pick(&middle), dice.pick(&given)),
            id: format!("099{digit}{:02}{:06}", year % 100, dice.roll(1_000_000)),
            birth: PartialDate::new(year as u16, month, day).expect("a day that every month has"),
            sex: if male { Sex::Male } else { Sex::Female },
            commune: dice.roll(1 + count as u64 / 2_000) as u32,
        }
    };
    (0..count).map(person).collect()
}

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let mut dice = Dice(7);
    let people = persons(count * 45 / 100, &mut dice);
    let model = Model::epoch_1();
    let picks: Vec<(usize, u64)> =
        (0..count).map(|_| (dice.roll(people.len() as u64) as usize, dice.roll(10))).collect();

    let start = Instant::now();
    let rows: Vec<FeatureRow> = picks.iter().map(|(who, noise)| row(&model, &people[*who], *noise)).collect();
    report("row", start, count);

    let start = Instant::now();
    let mut keys = Vec::new();
    for row in &rows {
        keys.clear();
        blocking_keys(row, &mut keys);
        black_box(&keys);
    }
    report("keys", start, count);

    let start = Instant::now();
    for pair in rows.windows(2) {
        black_box(model.score(&pair[0], &pair[1]));
    }
    report("score, unlike pair", start, count);

    let start = Instant::now();
    for row in &rows {
        black_box(model.self_links(row));
    }
    report("score, equal pair", start, count);

    let mut state = MemoryState::new();
    let start = Instant::now();
    for (n, row) in rows.iter().enumerate() {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let mention = MentionInput { id: MentionId(id), rank: 0, row: *row, pinned: false };
        let record = RecordMentions { mentions: &[mention], distinct: &[] };
        let Ok(diff) = Engine::new(&model, &mut state).insert(&record);
        black_box(diff);
    }
    report("insert", start, count);
    let components: Vec<usize> = state.components().map(|c| c.nodes.len()).collect();
    let largest = components.iter().max().copied().unwrap_or(0);
    println!("components {:>10}, largest {largest} nodes", components.len());
}

fn row(model: &Model, person: &Person, noise: u64) -> FeatureRow {
    model.person_row(&PersonFields {
        full_name: &person.name,
        personal_id: (noise < 6).then_some(person.id.as_str()),
        birth: if noise == 9 { PartialDate::new(person.birth.year(), 0, 0) } else { Some(person.birth) },
        sex: Some(person.sex),
        commune: Some(person.commune + u32::from(noise == 8)),
        province: Some(1),
        ..Default::default()
    })
}

fn report(what: &str, start: Instant, count: usize) {
    println!("{what:<20} {:>8.0} ns per record", start.elapsed().as_nanos() as f64 / count as f64);
}
