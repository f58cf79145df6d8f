//! Records with a known truth, made from a seed.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};

use link_files::run::{Options, Outcome, run};
use link_files::table::{Table, TableBuilder};
use link_files::{Silent, read_csv};

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * n as u128) >> 64) as usize
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// A made-up word of two to four syllables.
    pub fn word(&mut self) -> String {
        const SYLLABLES: [&str; 40] = [
            "ba", "ren", "lo", "mi", "ta", "ker", "son", "vi", "del", "ra", "no", "ster", "wil", "ham", "ga", "ri",
            "tho", "mas", "el", "len", "pe", "ton", "ju", "li", "an", "dor", "ke", "fin", "os", "mur", "ph", "bel",
            "ca", "rin", "do", "nal", "gru", "ve", "sha", "wick",
        ];
        (0..2 + self.below(3)).map(|_| self.of(&SYLLABLES)).collect()
    }

    /// One slip of a finger.
    pub fn slip(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        if letters.is_empty() {
            return String::new();
        }
        let at = self.below(letters.len());
        match self.below(3) {
            0 => letters[at] = char::from(b'a' + self.below(26) as u8),
            1 => {
                letters.remove(at);
            }
            _ => letters.insert(at, char::from(b'a' + self.below(26) as u8)),
        }
        letters.into_iter().collect()
    }
}

/// Rows with their entity. The first cell is the id.
#[derive(Clone)]
pub struct Made {
    pub head: Vec<&'static str>,
    pub rows: Vec<(Vec<String>, usize)>,
}

impl Made {
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.head).expect("a record");
        for (row, _) in &self.rows {
            writer.write_record(row).expect("a record");
        }
        String::from_utf8(writer.into_inner().expect("all is written")).expect("UTF-8")
    }

    pub fn shuffle(&mut self, dice: &mut Dice) {
        for at in (1..self.rows.len()).rev() {
            self.rows.swap(at, dice.below(at + 1));
        }
    }
}

/// Persons with one to six records each; each field of a later record has a slip, another value or nothing with some chance.
pub fn persons(entities: usize, records_max: usize, slip: usize, absent: usize, seed: u64) -> Made {
    let mut dice = Dice::new(seed);
    let given: Vec<String> = (0..400).map(|_| dice.word()).collect();
    let family: Vec<String> = (0..900).map(|_| dice.word()).collect();
    let streets: Vec<String> = (0..700).map(|_| dice.word()).collect();
    let towns: Vec<String> = (0..200).map(|_| dice.word()).collect();
    let mut rows = Vec::new();
    for entity in 0..entities {
        let skewed = |dice: &mut Dice, n: usize| dice.below(n).min(dice.below(n));
        let (g, f) = (skewed(&mut dice, given.len()), skewed(&mut dice, family.len()));
        let born = format!("{}-{:02}-{:02}", 1930 + dice.below(80), 1 + dice.below(12), 1 + dice.below(28));
        let street = streets[dice.below(streets.len())].clone();
        let address = format!("{} {} {street}", 1 + dice.below(200), dice.of(&["street", "road", "place"]));
        let town = towns[dice.below(towns.len())].clone();
        let number = format!("{:07}", 1_000_000 + dice.below(9_000_000));
        let whole = [given[g].clone(), family[f].clone(), born, address, town, number];
        for record in 0..1 + dice.below(records_max) {
            let mut row = vec![format!("p{entity}-{record}")];
            for field in &whole {
                let now = match () {
                    () if record > 0 && dice.percent(slip) => dice.slip(field),
                    () if dice.percent(absent) => String::new(),
                    () => field.clone(),
                };
                row.push(now);
            }
            rows.push((row, entity));
        }
    }
    let mut made = Made { head: vec!["id", "given_name", "surname", "birth_date", "address", "town", "number"], rows };
    made.shuffle(&mut dice);
    made
}

/// Two files of articles, one record of each article at most in either: titles with slips, authors in short forms, venues
/// under two names.
pub fn articles(count: usize, seed: u64) -> (Made, Made) {
    let mut dice = Dice::new(seed);
    let words: Vec<String> = (0..1_500).map(|_| dice.word()).collect();
    let names: Vec<String> = (0..600).map(|_| dice.word()).collect();
    let venues =
        [("VLDB", "Very Large Data Bases"), ("SIGMOD", "Management of Data"), ("TODS", "Transactions on Data")];
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for article in 0..count {
        let pick = |dice: &mut Dice| words[dice.below(words.len()).min(dice.below(words.len()))].clone();
        let mut title: Vec<String> = (0..4 + dice.below(6)).map(|_| pick(&mut dice)).collect();
        let authors: Vec<(String, String)> = (0..1 + dice.below(3))
            .map(|_| (names[dice.below(names.len())].clone(), names[dice.below(names.len())].clone()))
            .collect();
        let (venue, year) = (dice.below(venues.len()), 1990 + dice.below(20));
        let full: Vec<String> = authors.iter().map(|(g, f)| format!("{g} {f}")).collect();
        let short: Vec<String> = authors.iter().map(|(g, f)| format!("{}. {f}", &g[..1])).collect();
        if !dice.percent(20) {
            let row = [title.join(" "), full.join(", "), venues[venue].0.to_owned(), year.to_string()];
            first.push(([vec![format!("a{article}")], row.to_vec()].concat(), article));
        }
        if !dice.percent(20) {
            if dice.percent(30) {
                let at = dice.below(title.len());
                title[at] = dice.slip(&title[at]);
            }
            let by = if dice.percent(50) { short } else { full };
            let row = [title.join(" "), by.join(", "), venues[venue].1.to_owned(), year.to_string()];
            second.push(([vec![format!("b{article}")], row.to_vec()].concat(), article));
        }
    }
    let head = vec!["id", "title", "authors", "venue", "year"];
    (Made { head: head.clone(), rows: first }, Made { head, rows: second })
}

pub fn table(dir: &Path, made: &[&Made]) -> Table {
    let mut builder = TableBuilder::new("id");
    for (place, made) in made.iter().enumerate() {
        let file: PathBuf = dir.join(format!("{place}.csv"));
        std::fs::write(&file, made.csv()).expect("a writable directory");
        read_csv(&file, None, &mut builder, &Silent).expect("a readable file");
    }
    builder.finish().expect("records")
}

pub fn linked(dir: &Path, made: &[&Made]) -> (Table, Outcome) {
    let table = table(dir, made);
    let outcome = run(&table, &Options { keep_all: true, ..Options::default() }, &Silent).expect("a run");
    (table, outcome)
}

/// The truth by record, from 1.
pub fn truth(made: &[&Made]) -> Vec<u32> {
    made.iter().flat_map(|made| made.rows.iter().map(|(_, entity)| *entity as u32 + 1)).collect()
}

pub fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}
