//! Parts of values that blocking keys are made of.

use linkage::hash64;
use rayon::prelude::*;

use crate::arena::Interner;
use crate::data::{Column, Data};
use crate::fold::tokens;
use crate::spec::Kind;
use crate::values::{Shape, Values};

/// Most atoms of all columns together: one bit each in a word.
pub const ATOMS_MAX: usize = 64;
/// Most hashes of one value in one atom.
pub const HASHES_MAX: usize = 4;

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it, its words in alphabetical order.
    Whole,
    /// Its rarest words, each by itself.
    Words,
    /// How its words sound, each by itself.
    Sound,
    /// Its first four letters.
    Head,
    /// Year and month.
    YearMonth,
    /// Month and day.
    MonthDay,
    /// Year and day.
    YearDay,
    /// The year.
    Year,
    /// The first half.
    FirstHalf,
    /// The second half.
    SecondHalf,
    /// The last seven digits.
    LastDigits,
    /// What stands before the `@`.
    Local,
    /// Its cell of about one kilometre, and its neighbours'.
    Cell,
    /// The number rounded to two digits.
    Rounded,
}

impl Part {
    const ALL: [Part; 14] = [
        Part::Whole,
        Part::Words,
        Part::Sound,
        Part::Head,
        Part::YearMonth,
        Part::MonthDay,
        Part::YearDay,
        Part::Year,
        Part::FirstHalf,
        Part::SecondHalf,
        Part::LastDigits,
        Part::Local,
        Part::Cell,
        Part::Rounded,
    ];

    /// The part's name, as in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Part::Whole => "whole",
            Part::Words => "words",
            Part::Sound => "sound",
            Part::Head => "head",
            Part::YearMonth => "year-month",
            Part::MonthDay => "month-day",
            Part::YearDay => "year-day",
            Part::Year => "year",
            Part::FirstHalf => "first-half",
            Part::SecondHalf => "second-half",
            Part::LastDigits => "last-digits",
            Part::Local => "local",
            Part::Cell => "cell",
            Part::Rounded => "rounded",
        }
    }

    /// The part of this name.
    pub fn named(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.name() == name)
    }

    /// The parts of a kind, the most useful first.
    pub fn of(kind: Kind) -> &'static [Part] {
        match kind {
            Kind::Name => &[Part::Whole, Part::Words, Part::Sound, Part::Head],
            Kind::Date => &[Part::Whole, Part::MonthDay, Part::YearMonth, Part::Year, Part::YearDay],
            Kind::Address | Kind::Organisation | Kind::Text => &[Part::Whole, Part::Words, Part::Head, Part::Sound],
            Kind::Phone => &[Part::Whole, Part::LastDigits],
            Kind::Email => &[Part::Whole, Part::Local],
            Kind::Code => &[Part::Whole, Part::FirstHalf, Part::SecondHalf],
            Kind::Number => &[Part::Whole, Part::Rounded],
            Kind::Point => &[Part::Whole, Part::Cell],
        }
    }
}

/// A part of a column: by value, up to [`HASHES_MAX`] hashes.
#[derive(Clone, Debug)]
pub struct Atom {
    /// The column's place.
    pub column: usize,
    /// The part.
    pub part: Part,
    ends: Vec<u32>,
    hashes: Vec<u32>,
}

impl Atom {
    /// The hashes of a value, ascending and distinct; none is 0.
    pub fn of(&self, value: u32) -> &[u32] {
        let value = value as usize;
        let start = if value == 0 { 0 } else { self.ends[value - 1] as usize };
        &self.hashes[start..self.ends[value] as usize]
    }

    /// `column:part`, as in a spec.
    pub fn name(&self, data: &Data) -> String {
        format!("{}:{}", data.columns[self.column].name, self.part.name())
    }
}

/// The atoms of all columns; the most useful ones of each column when there are too many.
pub fn atoms(data: &Data) -> Vec<Atom> {
    let mut wanted: Vec<(usize, usize, Part)> = Vec::new();
    for (place, column) in data.columns.iter().enumerate() {
        wanted.extend(Part::of(column.kind).iter().enumerate().map(|(rank, part)| (rank, place, *part)));
    }
    wanted.sort_unstable_by_key(|(rank, place, _)| (*rank, *place));
    wanted.truncate(ATOMS_MAX);
    wanted.sort_unstable_by_key(|(rank, place, _)| (*place, *rank));
    wanted.par_iter().map(|(_, place, part)| atom(&data.columns[*place], *place, *part)).collect()
}

/// One atom.
pub fn atom(column: &Column, place: usize, part: Part) -> Atom {
    let mut out = Atom { column: place, part, ends: Vec::with_capacity(column.values.len()), hashes: Vec::new() };
    let words = (part == Part::Words).then(|| word_counts(&column.values));
    let mut own: Vec<u32> = Vec::new();
    for value in 0..column.values.len() as u32 {
        own.clear();
        if value > 0 {
            hashes(column, part, value, words.as_ref(), &mut own);
            own.sort_unstable();
            own.dedup();
            own.truncate(HASHES_MAX);
        }
        out.hashes.extend_from_slice(&own);
        out.ends.push(out.hashes.len() as u32);
    }
    out
}

fn short_hash(bytes: &[u8]) -> u32 {
    (hash64(0x2b, bytes) as u32).max(1)
}

fn hashes(column: &Column, part: Part, value: u32, words: Option<&WordCounts>, out: &mut Vec<u32>) {
    let values = &column.values;
    let folded = values.folded(value);
    match part {
        Part::Whole => out.push(whole(column.kind, folded)),
        Part::Words => rare_words(values, value, words, out),
        Part::Sound => {
            let sounds = tokens(folded).filter(|token| token.len() > 2).map(sound).filter(|sound| *sound > 7);
            out.extend(sounds.take(HASHES_MAX).map(|sound| short_hash(&sound.to_be_bytes())));
        }
        Part::Head => {
            let mut head = [0; 4];
            let letters = folded.iter().copied().filter(|byte| *byte != b' ');
            head.iter_mut().zip(letters).for_each(|(to, from)| *to = from);
            out.push(short_hash(&head));
        }
        Part::YearMonth | Part::MonthDay | Part::YearDay | Part::Year => date_part(values, value, part, out),
        Part::FirstHalf if folded.len() >= 4 => out.push(short_hash(&folded[..folded.len().div_ceil(2)])),
        Part::SecondHalf if folded.len() >= 4 => out.push(short_hash(&folded[folded.len() / 2..])),
        Part::FirstHalf | Part::SecondHalf => {}
        Part::LastDigits => out.push(short_hash(&folded[folded.len().saturating_sub(7)..])),
        Part::Local => out.push(short_hash(folded.split(|byte| *byte == b'@').next().unwrap_or_default())),
        Part::Cell => cells(values, value, out),
        Part::Rounded => rounded(values, value, out),
    }
}

fn whole(kind: Kind, folded: &[u8]) -> u32 {
    match kind {
        Kind::Name | Kind::Address | Kind::Organisation | Kind::Text => {
            let mut all: Vec<&[u8]> = tokens(folded).collect();
            all.sort_unstable();
            short_hash(&all.join(&b' '))
        }
        Kind::Date | Kind::Phone | Kind::Email | Kind::Number | Kind::Code | Kind::Point => short_hash(folded),
    }
}

/// By word of a name column: the records that have it.
struct WordCounts {
    words: Interner,
    counts: Vec<u32>,
}

fn word_counts(values: &Values) -> WordCounts {
    let mut out = WordCounts { words: Interner::default(), counts: Vec::new() };
    if matches!(values.shape, Shape::Tokens(_)) {
        return out;
    }
    for value in 1..values.len() as u32 {
        for token in tokens(values.folded(value)) {
            let word = out.words.number(token) as usize;
            out.counts.resize(out.words.len(), 0);
            out.counts[word] += values.counts[value as usize];
        }
    }
    out
}

/// The rarest words that more than one record has.
fn rare_words(values: &Values, value: u32, words: Option<&WordCounts>, out: &mut Vec<u32>) {
    let mut ranked: Vec<(u32, u32)> = Vec::new();
    if let Shape::Tokens(own) = &values.shape {
        let all = own.of(value).iter().map(|token| (*token, own.vocabulary.get(*token as usize)));
        let all =
            all.filter(|(_, text)| text.len() > 1).map(|(token, text)| (own.counts[token as usize], short_hash(text)));
        ranked.extend(all);
    } else if let Some(words) = words {
        for token in tokens(values.folded(value)).filter(|token| token.len() > 1) {
            let count = words.words.find(token).map_or(0, |word| words.counts[word as usize]);
            ranked.push((count, short_hash(token)));
        }
    }
    ranked.retain(|(count, _)| *count > 1);
    ranked.sort_unstable();
    ranked.dedup();
    out.extend(ranked.iter().take(HASHES_MAX).map(|(_, hash)| *hash));
}

/// The consonants of a word by class, at most five of them after its first sound.
fn sound(word: &[u8]) -> u32 {
    let class = |c: u8| match c {
        b'b' | b'p' | b'f' | b'v' => 1,
        b'c' | b'g' | b'j' | b'k' | b'q' | b's' | b'x' | b'z' => 2,
        b'd' | b't' => 3,
        b'l' => 4,
        b'm' | b'n' => 5,
        b'r' => 6,
        _ => 0,
    };
    let first = word.first().copied().unwrap_or_default();
    let (mut out, mut last) = (7 * u32::from(class(first) == 0) + class(first), class(first));
    for c in &word[1.min(word.len())..] {
        let now = class(*c);
        if now != 0 && now != last && out < 8u32.pow(5) {
            out = out * 8 + now;
        }
        if !matches!(c, b'h' | b'w') {
            last = now;
        }
    }
    out
}

fn date_part(values: &Values, value: u32, part: Part, out: &mut Vec<u32>) {
    let Shape::Dates(dates) = &values.shape else { return };
    let date = dates[value as usize];
    let known = match part {
        Part::YearMonth => date.month() > 0,
        Part::Year => true,
        _ => date.day() > 0,
    };
    if !date.is_some() || !known {
        return;
    }
    let mask = match part {
        Part::YearMonth => 0xffff_ff00,
        Part::MonthDay => 0x0000_ffff,
        Part::YearDay => 0xffff_00ff,
        _ => 0xffff_0000,
    };
    out.push(short_hash(&(date.0 & mask).to_be_bytes()));
}

fn cells(values: &Values, value: u32, out: &mut Vec<u32>) {
    let Shape::Points(points) = &values.shape else { return };
    let (latitude, longitude) = points[value as usize];
    // Two grids, shifted by half a cell: near points share a cell of one or the other, but for the few at both borders.
    for shift in [0.0, 0.5] {
        let cell = [latitude, longitude].map(|degrees| (degrees * 100.0 + shift).floor() as i64);
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&cell[0].to_be_bytes());
        bytes[8..16].copy_from_slice(&cell[1].to_be_bytes());
        bytes[16] = u8::from(shift > 0.0);
        out.push(short_hash(&bytes));
    }
}

fn rounded(values: &Values, value: u32, out: &mut Vec<u32>) {
    let Shape::Numbers(numbers) = &values.shape else { return };
    let number = numbers.values[value as usize];
    if number.is_finite() {
        out.push(short_hash(format!("{number:.1e}").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_sound_alike_have_one_code() {
        for (a, b) in [("smith", "smyth"), ("katherine", "catherine"), ("philips", "fillips"), ("meier", "mayer")] {
            assert_eq!(sound(a.as_bytes()), sound(b.as_bytes()), "{a} {b}");
        }
        assert_ne!(sound(b"smith"), sound(b"jones"));
    }

    #[test]
    fn parts_have_names() {
        for part in Part::ALL {
            assert_eq!(Part::named(part.name()), Some(part));
        }
    }
}
