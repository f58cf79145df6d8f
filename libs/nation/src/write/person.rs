//! Names, dates and numbers as clerks write them.

use super::Draft;
use crate::calendar::{Date, compact, date, day, dots, iso, slashes};
use crate::change::{Ids, Noise, TrueSubject, TruthMention};
use crate::dice::Dice;
use crate::names::{other_tone_placement, without_marks};
use crate::plan::Stage;
use crate::truth::{DISPUTED, OLD_ID, Truth};

/// What a clerk writes of a person.
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) birth: Written,
    pub(crate) male: bool,
    pub(crate) noise: Noise,
    subject: u32,
}

/// A date, or its year alone.
#[derive(Clone, Copy)]
pub(crate) enum Written {
    Day(Date),
    Year(i32),
}

impl Written {
    pub(crate) fn with(self, format: fn(Date) -> String) -> String {
        match self {
            Written::Day(date) => format(date),
            Written::Year(year) => format!("{year:04}"),
        }
    }

    pub(crate) fn dots(self) -> String {
        self.with(dots)
    }

    pub(crate) fn slashes(self) -> String {
        self.with(slashes)
    }

    pub(crate) fn compact(self) -> String {
        self.with(compact)
    }

    pub(crate) fn iso(self) -> String {
        self.with(iso)
    }
}

/// Habits of a register, per mille.
#[derive(Clone, Copy)]
pub(crate) struct Habit {
    /// Writes the year of birth only.
    pub(crate) year_only: u32,
    /// Writes names in capitals.
    pub(crate) capitals: u32,
}

pub(crate) const ORDINARY: Habit = Habit { year_only: 10, capitals: 0 };

/// A number of an identity paper as written.
#[derive(Clone)]
pub(crate) struct Paper {
    pub(crate) number: String,
    pub(crate) ids: Ids,
    pub(crate) noise: Noise,
}

impl Paper {
    pub(crate) fn none() -> Self {
        Self { number: String::new(), ids: Ids::default(), noise: Noise::default() }
    }

    /// Type code of the civil status tables: 1 old card, 2 personal number, 0 none.
    pub(crate) fn type_code(&self) -> i32 {
        match self.number.len() {
            0 => 0,
            9 => 1,
            _ => 2,
        }
    }
}

impl Shown {
    /// The mention that this makes.
    pub(crate) fn mention(&self, role: &'static str, ids: Ids, noise: Noise) -> TruthMention {
        TruthMention {
            role,
            index: 0,
            element: Vec::new(),
            subject: TrueSubject::Person(self.subject),
            ids,
            noise: Noise(self.noise.0 | noise.0),
        }
    }

    /// "Nam" or "Nữ".
    pub(crate) fn sex_word(&self) -> String {
        if self.male { "Nam" } else { "Nữ" }.to_owned()
    }

    /// 1 male, 2 female.
    pub(crate) fn sex_code(&self) -> i32 {
        if self.male { 1 } else { 2 }
    }
}

impl Draft<'_> {
    /// A person as this register's clerk writes it.
    pub(crate) fn show(&mut self, i: u32, habit: Habit) -> Shown {
        let p = self.truth.person(i);
        let (birth, male) = (p.birth, p.male());
        let name = self.truth.name(i);
        let mut shown = self.show_as(i, name, birth, male, habit);
        if self.event.stage == Stage::Slip {
            // The slip that a later statement corrects.
            shown.birth = Written::Day(date(birth - 1 - (i % 9) as i32));
            shown.noise.mark(Noise::WRONG_DATE, true);
        }
        shown
    }

    /// A parent who lives elsewhere. Registers know the year more often than the day.
    pub(crate) fn show_elder(&mut self, child: u32, mother: bool, habit: Habit) -> Shown {
        let (name, birth) = self.truth.elder(child, mother);
        let subject = self.truth.elder_number(child, mother);
        self.show_as(subject, name.write(!mother), birth, !mother, habit)
    }

    fn show_as(&mut self, subject: u32, name: String, birth: i32, male: bool, habit: Habit) -> Shown {
        let dice = &mut self.dice;
        let mut noise = Noise::default();
        let (tone, plain, typo) = (dice.per_mille(80), dice.per_mille(30), dice.per_mille(6));
        let (capitals, year_only) = (dice.per_mille(habit.capitals), dice.per_mille(habit.year_only));
        let (wrong_date, wrong_sex) = (dice.per_mille(5), dice.per_mille(5));
        let mut name = name;
        if let Some(other) = tone.then(|| other_tone_placement(&name)).flatten() {
            name = other;
            noise.mark(Noise::TONE_PLACEMENT, true);
        }
        if typo {
            name = misspell(dice, &name);
            noise.mark(Noise::NAME_TYPO, true);
        }
        if plain {
            name = without_marks(&name);
            noise.mark(Noise::NO_MARKS, true);
        }
        if capitals {
            name = name.to_uppercase();
        }
        let mut written = Written::Day(date(birth));
        if year_only {
            written = Written::Year(date(birth).year);
            noise.mark(Noise::YEAR_ONLY, true);
        } else if wrong_date {
            written = Written::Day(mistake(dice, birth));
            noise.mark(Noise::WRONG_DATE, true);
        }
        noise.mark(Noise::WRONG_SEX, wrong_sex);
        Shown { name, birth: written, male: male != wrong_sex, noise, subject }
    }

    /// A number of a person's identity paper; weights for none, old card, personal number.
    pub(crate) fn paper(&mut self, i: u32, weights: [u16; 3]) -> Paper {
        let p = self.truth.person(i);
        let as_of = self.day.max(self.event.effective);
        let choice = self.dice.weighted(&weights);
        let (typo, at, by) = (self.dice.per_mille(3), self.dice.below(6), self.dice.below(9));
        let (mut number, mut ids) = match choice {
            0 => return Paper::none(),
            1 if p.is(OLD_ID) => (self.truth.old_id(i), Ids::OLD),
            _ => {
                let retired = as_of < self.truth.reissued_on(i);
                (self.truth.personal_id(i, as_of), if retired { Ids::RETIRED } else { Ids::PERSONAL })
            }
        };
        let mut noise = Noise::default();
        if typo {
            number = mistype(&number, at, by);
            ids = Ids::default();
            noise.mark(Noise::ID_TYPO, true);
        }
        Paper { number, ids, noise }
    }

    /// The old card number of a parent who lives elsewhere, in one of `of` cases.
    pub(crate) fn elder_paper(&mut self, child: u32, mother: bool, share: u32) -> Paper {
        if !self.dice.per_mille(share) {
            return Paper::none();
        }
        let number = self.truth.old_id(self.truth.elder_number(child, mother));
        Paper { number, ids: Ids::OLD, noise: Noise::default() }
    }
}

/// The date of birth as the civil status books have it.
pub(crate) fn civil_birth(truth: &Truth, i: u32) -> i32 {
    let p = truth.person(i);
    if !p.is(DISPUTED) {
        return p.birth;
    }
    let d = date(p.birth);
    match (d.day <= 12 && d.day != d.month, i.is_multiple_of(2)) {
        (true, true) if day(d.year, d.day, d.month) < p.birth => day(d.year, d.day, d.month),
        _ => day(d.year - 1, d.month, d.day.min(28)),
    }
}

/// Another digit at one of the last six places.
fn mistype(number: &str, at: u32, by: u32) -> String {
    let mut digits = number.as_bytes().to_vec();
    let at = digits.len() - 1 - at as usize;
    digits[at] = b'0' + (digits[at] - b'0' + 1 + by as u8) % 10;
    String::from_utf8(digits).expect("digits are ASCII")
}

/// One letter is dropped, doubled or another.
fn misspell(dice: &mut Dice, name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    // Never the first letter of a word, and never a word of one letter.
    let places: Vec<usize> =
        (1..letters.len()).filter(|at| letters[*at].is_alphabetic() && letters[*at - 1] != ' ').collect();
    let (draw, kind, letter) = (dice.below(places.len().max(1) as u32), dice.below(3), dice.below(26));
    let Some(at) = places.get(draw as usize).copied() else { return name.to_owned() };
    match kind {
        0 => {
            letters.remove(at);
        }
        1 => letters.insert(at, letters[at]),
        _ => letters[at] = char::from(b'a' + letter as u8),
    }
    letters.into_iter().collect()
}

/// A wrong date, never later than the true one: nobody is treated before birth.
fn mistake(dice: &mut Dice, birth: i32) -> Date {
    let d = date(birth);
    let (kind, back) = (dice.below(10), dice.below(3) as i32 + 1);
    let swapped = (d.day <= 12 && d.day < d.month).then_some(Date { year: d.year, month: d.day, day: d.month });
    match kind {
        0..4 if swapped.is_some() => swapped.expect("checked by the guard"),
        0..8 => date(birth - back),
        8 => Date { year: d.year - 1, day: d.day.min(28), ..d },
        _ => Date { month: 1, day: 1, ..d },
    }
}
