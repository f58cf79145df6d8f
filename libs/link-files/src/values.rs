//! A column's distinct values in their normal form, with what comparisons need of each.

use linkage::fold_name;

use crate::arena::{Arena, Interner};
use crate::date::{self, DateParts, Order};
use crate::fold::{digits, fold_text, says_nothing, tokens};
use crate::guess::{number_of, point_of};
use crate::spec::Kind;
use crate::table::RawColumn;

/// Bits are counted in 1/1024, as everywhere in linkage.
pub const BIT: i32 = 1024;
/// Most distinct tokens of a value that are compared.
const TOKENS_MAX: usize = 256;
/// First byte of the normal form of a date or number that could not be read as one.
const UNREAD: u8 = 1;

/// The distinct values of a column. Place 0 is "none". Values are sorted by their normal form, so that a value's place does
/// not depend on the order of records.
#[derive(Clone, Debug)]
pub struct Values {
    /// Normal forms.
    forms: Arena,
    /// By value: the records that have it.
    pub counts: Vec<u32>,
    /// By value: −log2 of its share among the records that have any, in 1/1024 bit.
    pub rarity: Vec<i32>,
    /// What comparisons of this kind need besides.
    pub shape: Shape,
}

/// What comparisons need of a value besides its normal form.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Nothing.
    Plain,
    /// By value: the hash of a name's accented form.
    Names(Vec<u32>),
    /// By value: the date; none where it could not be read.
    Dates(Vec<DateParts>),
    /// Quantities.
    Numbers(Numbers),
    /// Tokens.
    Tokens(Tokens),
    /// By value: latitude and longitude in degrees.
    Points(Vec<(f64, f64)>),
}

/// Quantities of a column.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// By value: the number; NaN where it could not be read.
    pub values: Vec<f64>,
    /// Spread of the column: half the distance between its 16th and 84th percentile.
    pub spread: f64,
    /// True when all are whole.
    pub whole: bool,
}

/// Tokens of a column's values.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The distinct tokens.
    pub vocabulary: Arena,
    /// By token: −log2 of the share of records that have it, in bits.
    pub rarity: Vec<f32>,
    /// By token: the records that have it.
    pub counts: Vec<u32>,
    /// By token: the letters that it has, a bit each: two tokens whose bits differ much cannot be slips of each other.
    pub letters: Vec<u32>,
    /// Bits of a token that two records have and no other: log2 of half the records that have a value, at least 3.
    pub pair_bits: f32,
    ends: Vec<u32>,
    tokens: Vec<u32>,
}

impl Tokens {
    /// The distinct tokens of a value, ascending.
    pub fn of(&self, value: u32) -> &[u32] {
        let value = value as usize;
        let start = if value == 0 { 0 } else { self.ends[value - 1] as usize };
        &self.tokens[start..self.ends[value] as usize]
    }

    fn recount(&mut self, values: &[u32], filled: usize) {
        self.pair_bits = (bits_of(2, filled) as f32).max(3.0);
        self.counts = vec![0; self.vocabulary.len()];
        let mut start = 0;
        for (end, count) in self.ends.iter().zip(values) {
            for token in &self.tokens[start..*end as usize] {
                self.counts[*token as usize] += count;
            }
            start = *end as usize;
        }
        self.rarity = self.counts.iter().map(|count| (bits_of(*count, filled) as f32).max(0.1)).collect();
    }
}

impl Values {
    /// Number of values, the absent one included.
    pub fn len(&self) -> usize {
        self.forms.len()
    }

    /// True when there is no value but the absent one.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The folded text of a value, without accents' hash or tag.
    pub fn folded(&self, value: u32) -> &[u8] {
        let form = self.forms.get(value as usize);
        match &self.shape {
            Shape::Names(_) => &form[..form.len().saturating_sub(4)],
            Shape::Dates(_) | Shape::Numbers(_) => form.get(1..).unwrap_or_default(),
            Shape::Plain | Shape::Tokens(_) | Shape::Points(_) => form,
        }
    }

    /// Tells rarities by other counts of the values.
    pub(crate) fn recount(&mut self, counts: Vec<u32>) {
        let filled = counts.iter().skip(1).map(|count| *count as usize).sum();
        self.rarity = counts.iter().map(|count| rarity(*count, filled)).collect();
        if let Shape::Tokens(tokens) = &mut self.shape {
            tokens.recount(&counts, filled);
        }
        self.counts = counts;
    }

    /// The normal form itself.
    pub fn form(&self, value: u32) -> &[u8] {
        self.forms.get(value as usize)
    }
}

/// Normalises a column. Returns its values and, by record, the place of its value.
pub fn normalise(raw: &RawColumn, kind: Kind) -> (Values, Vec<u32>) {
    let mut interner = Interner::default();
    interner.number(b"");
    let mut former = Former::new(raw, kind);
    let numbers: Vec<u32> = (0..raw.values.len()).map(|place| interner.number(former.form(raw, place))).collect();
    let unsorted = interner.into_arena();
    let mut order: Vec<u32> = (1..unsorted.len() as u32).collect();
    order.sort_unstable_by(|a, b| unsorted.get(*a as usize).cmp(unsorted.get(*b as usize)));
    let mut forms = Arena::default();
    forms.push(b"");
    let mut places = vec![0u32; unsorted.len()];
    for (place, old) in order.iter().enumerate() {
        places[*old as usize] = place as u32 + 1;
        forms.push(unsorted.get(*old as usize));
    }
    let codes: Vec<u32> = raw.codes.iter().map(|code| places[numbers[*code as usize] as usize]).collect();
    let mut counts = vec![0u32; forms.len()];
    for code in &codes {
        counts[*code as usize] += 1;
    }
    let filled = codes.len() - counts[0] as usize;
    let rarity = counts.iter().map(|count| rarity(*count, filled)).collect();
    let shape = shape_of(kind, &forms, &counts, filled);
    (Values { forms, counts, rarity, shape }, codes)
}

/// −log2 of a share, in 1/1024 bit.
fn rarity(count: u32, of: usize) -> i32 {
    (bits_of(count, of) * f64::from(BIT)).round() as i32
}

fn bits_of(count: u32, of: usize) -> f64 {
    if count == 0 { 0.0 } else { (of as f64 / f64::from(count)).log2() }
}

/// Makes normal forms.
struct Former {
    kind: Kind,
    order: Order,
    /// Values are long, so that zeros alone stand for none.
    long: bool,
    folded: Vec<u8>,
    out: Vec<u8>,
}

/// Values of this many characters on average are long.
const LONG: usize = 4;
/// A digit that is repeated so often and stands alone is a placeholder.
const REPEATED: usize = 6;

impl Former {
    fn new(raw: &RawColumn, kind: Kind) -> Former {
        let long = raw.values.bytes_len() >= LONG * raw.values.len();
        let mut former = Former { kind, order: Order::DayFirst, long, folded: Vec::new(), out: Vec::new() };
        if kind == Kind::Date {
            let mut folded = Vec::new();
            let all: Vec<Vec<u8>> = (1..raw.values.len())
                .map(|place| {
                    fold_text(&raw.values.text(place), &mut folded);
                    folded.clone()
                })
                .collect();
            former.order = date::order_of(all.iter().map(Vec::as_slice));
        }
        former
    }

    /// The normal form of a value; empty for none.
    fn form(&mut self, raw: &RawColumn, place: usize) -> &[u8] {
        let text = raw.values.text(place);
        self.out.clear();
        fold_text(&text, &mut self.folded);
        if says_nothing(&self.folded) || self.is_placeholder() {
            return &self.out;
        }
        match self.kind {
            Kind::Name => {
                let name = fold_name(&text);
                if !name.as_bytes().is_empty() {
                    self.out.extend_from_slice(name.as_bytes());
                    self.out.extend_from_slice(&name.accented.to_be_bytes());
                }
            }
            Kind::Date => match date::parse(&self.folded, self.order) {
                Some(date) => {
                    self.out.push(0);
                    self.out.extend_from_slice(&date.digits());
                }
                None => self.unread(),
            },
            Kind::Number => match number_of(&text) {
                Some(number) => {
                    self.out.push(0);
                    self.out.extend_from_slice(number.to_string().as_bytes());
                }
                None => self.unread(),
            },
            Kind::Phone => self.phone(),
            Kind::Email => {
                let lower = text.trim().to_lowercase();
                self.out.extend(lower.bytes().filter(|byte| !byte.is_ascii_whitespace()));
            }
            Kind::Code => self.out.extend(self.folded.iter().copied().filter(|byte| *byte != b' ')),
            Kind::Address | Kind::Organisation | Kind::Text => self.out.extend_from_slice(&self.folded),
            Kind::Point => {
                if let Some((latitude, longitude)) = point_of(&text).filter(|point| *point != (0.0, 0.0)) {
                    self.out.extend_from_slice(format!("{latitude:.5},{longitude:.5}").as_bytes());
                }
            }
        }
        &self.out
    }

    /// `0`, `0000`, `999999999`, `00/00/0000` where a code, a quantity or a date should stand.
    fn is_placeholder(&self) -> bool {
        let mut letters = self.folded.iter().copied().filter(|byte| *byte != b' ');
        let first = letters.next().unwrap_or_default();
        if !matches!(self.kind, Kind::Code | Kind::Number | Kind::Date)
            || !first.is_ascii_digit()
            || letters.any(|c| c != first)
        {
            return false;
        }
        let length = self.folded.iter().filter(|byte| **byte != b' ').count();
        length >= REPEATED || (first == b'0' && self.long)
    }

    fn unread(&mut self) {
        self.out.push(UNREAD);
        self.out.extend_from_slice(&self.folded);
    }

    /// Digits without the zeros before them; a number of one repeated digit is none.
    fn phone(&mut self) {
        let all = digits(&self.folded);
        let start = all.iter().position(|digit| *digit != b'0').unwrap_or(all.len());
        let number = &all[start..];
        if number.len() >= 4 && number.iter().any(|digit| *digit != number[0]) {
            self.out.extend_from_slice(number);
        } else if all.is_empty() {
            self.out.extend_from_slice(&self.folded);
        }
    }
}

fn shape_of(kind: Kind, forms: &Arena, counts: &[u32], filled: usize) -> Shape {
    match kind {
        Kind::Name => Shape::Names(forms.iter().map(accented).collect()),
        Kind::Date => Shape::Dates(forms.iter().map(date_of).collect()),
        Kind::Number => Shape::Numbers(numbers_of(forms, counts)),
        Kind::Point => Shape::Points(forms.iter().map(|form| point(form).unwrap_or((f64::NAN, f64::NAN))).collect()),
        Kind::Address | Kind::Organisation | Kind::Text => Shape::Tokens(tokens_of(forms, counts, filled)),
        Kind::Phone | Kind::Email | Kind::Code => Shape::Plain,
    }
}

fn accented(form: &[u8]) -> u32 {
    form.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn date_of(form: &[u8]) -> DateParts {
    match form {
        [0, digits @ ..] => {
            let value = digits.iter().fold(0u32, |n, digit| n * 10 + u32::from(digit - b'0'));
            DateParts((value / 10_000) << 16 | (value / 100 % 100) << 8 | (value % 100))
        }
        _ => DateParts::NONE,
    }
}

fn numbers_of(forms: &Arena, counts: &[u32]) -> Numbers {
    let read = |form: &[u8]| match form {
        // Its own text, as `Former` wrote it.
        [0, text @ ..] => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    let values: Vec<f64> = forms.iter().map(read).collect();
    let mut sorted: Vec<(f64, u32)> =
        values.iter().copied().zip(counts.iter().copied()).filter(|(value, _)| value.is_finite()).collect();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = sorted.iter().map(|(_, count)| u64::from(*count)).sum();
    let at = |share: f64| {
        let mut left = (total as f64 * share) as u64;
        let found = sorted.iter().find(|(_, count)| {
            let here = u64::from(*count) > left;
            left = left.saturating_sub(u64::from(*count));
            here
        });
        found.map_or(0.0, |(value, _)| *value)
    };
    let spread = ((at(0.84) - at(0.16)) / 2.0).max(1e-9);
    let whole = sorted.iter().all(|(value, _)| value.fract() == 0.0);
    Numbers { values, spread, whole }
}

fn point(form: &[u8]) -> Option<(f64, f64)> {
    // Its own text, as `Former` wrote it; only the absent value is none.
    let (a, b) = std::str::from_utf8(form).ok()?.split_once(',')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

fn tokens_of(forms: &Arena, counts: &[u32], filled: usize) -> Tokens {
    let mut vocabulary = Interner::default();
    let mut out = Tokens::default();
    let mut own: Vec<u32> = Vec::new();
    for form in forms.iter() {
        own.clear();
        own.extend(tokens(form).take(TOKENS_MAX).map(|token| vocabulary.number(token)));
        own.sort_unstable();
        own.dedup();
        out.tokens.extend_from_slice(&own);
        out.ends.push(out.tokens.len() as u32);
    }
    out.vocabulary = vocabulary.into_arena();
    out.letters = out.vocabulary.iter().map(letters).collect();
    out.recount(counts, filled);
    out
}

fn letters(token: &[u8]) -> u32 {
    token.iter().fold(0, |bits, byte| {
        bits | 1
            << match byte {
                b'a'..=b'z' => byte - b'a',
                b'0'..=b'9' => 26,
                _ => 27 + byte % 5,
            }
    })
}
