//! The four measures of a row: their colours, what they were, and where the records behind them are.

use wire::query::{Quality, QualityBefore};

use crate::commands::findings::Criterion;
use crate::config::Quality as Bounds;
use crate::output::Output;

/// Below the bound by at most this much is yellow; below that, red. With the bounds as they are by default: green from 0.90,
/// yellow from 0.75.
const NEAR: f64 = 0.15;

/// The measures in the order in which they are shown.
pub(super) const CRITERIA: [Criterion; 4] =
    [Criterion::Correct, Criterion::Sufficient, Criterion::Clean, Criterion::Alive];

/// How good a measure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Colour {
    Red,
    Yellow,
    Green,
}

impl Colour {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Yellow => "yellow",
            Self::Green => "green",
        }
    }

    /// The least value that is green.
    pub(super) fn green_from(criterion: Criterion, bounds: &Bounds) -> f64 {
        match criterion {
            Criterion::Correct => bounds.correct_min,
            Criterion::Sufficient => bounds.sufficient_min,
            Criterion::Clean => bounds.clean_min,
            Criterion::Alive => bounds.alive_min,
        }
    }

    pub(super) fn of(value: f64, criterion: Criterion, bounds: &Bounds) -> Self {
        let min = Self::green_from(criterion, bounds);
        // A share that is shown as the bound is not below it.
        let value = (value * 1e9).round() / 1e9;
        if value >= min {
            Self::Green
        } else if value >= min - NEAR {
            Self::Yellow
        } else {
            Self::Red
        }
    }
}

/// A measure of a row.
pub(super) fn value(row: &Quality, criterion: Criterion) -> Option<f64> {
    match criterion {
        Criterion::Correct => row.correct,
        Criterion::Sufficient => row.sufficient,
        Criterion::Clean => row.clean,
        Criterion::Alive => row.alive,
    }
}

/// What a measure was.
pub(super) fn value_before(before: &QualityBefore, criterion: Criterion) -> Option<f64> {
    match criterion {
        Criterion::Correct => before.correct,
        Criterion::Sufficient => before.sufficient,
        Criterion::Clean => before.clean,
        Criterion::Alive => before.alive,
    }
}

/// By how much a measure has changed.
pub(super) fn trend(row: &Quality, criterion: Criterion) -> Option<f64> {
    Some(value(row, criterion)? - value_before(row.before.as_ref()?, criterion)?)
}

/// A trend as people read it: up, down or level, to a hundredth of a percent.
pub(super) fn trend_text(trend: f64) -> String {
    match (trend * 10_000.0).round() {
        0.0 => "=".to_owned(),
        ten_thousandths => format!("{:+.2}", ten_thousandths / 100.0),
    }
}

/// The least of a row's measures; what is not measured is not bad.
pub(super) fn least(row: &Quality) -> Option<(Criterion, f64)> {
    let measured = CRITERIA.into_iter().filter_map(|criterion| Some((criterion, value(row, criterion)?)));
    measured.min_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// How many faults are behind a measure, and of what.
pub(super) fn faults(row: &Quality, criterion: Criterion) -> (u64, &'static str) {
    let counter = |name: &str| row.counters.get(name).copied().unwrap_or_default();
    match criterion {
        Criterion::Correct => (counter("compared").saturating_sub(counter("matched")), "mentions"),
        Criterion::Sufficient => (counter("required").saturating_sub(counter("filled")), "fields"),
        Criterion::Clean => ((counter("violated") + counter("surplus")).min(row.records), "records"),
        Criterion::Alive => (counter("events").saturating_sub(counter("timely")), "changes"),
    }
}

/// The command that lists the faulty records behind a measure of a row.
pub(super) fn command(row: &Quality, criterion: Criterion) -> String {
    let mut command = format!("hub findings --register {} --criterion {}", row.register, criterion.name());
    for (flag, value) in [("agency", &row.agency), ("commune", &row.commune)] {
        if !value.is_empty() {
            command.push_str(&format!(" --{flag} {}", quoted(value)));
        }
    }
    command
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/' | ':');
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A measure as a cell: coloured, with its trend where there is one.
pub(super) fn cell(row: &Quality, criterion: Criterion, bounds: &Bounds, output: Output) -> String {
    let Some(value) = value(row, criterion) else { return "-".to_owned() };
    let text = format!("{value:.4}");
    let text = match Colour::of(value, criterion, bounds) {
        Colour::Green => output.good(&text),
        Colour::Yellow => output.warn(&text),
        Colour::Red => output.bad(&text),
    };
    match trend(row, criterion) {
        Some(trend) => format!("{text} {}", trend_text(trend)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_percent_is_green_and_seventy_five_is_yellow() {
        let bounds = Bounds::default();
        let colour = |value| Colour::of(value, Criterion::Clean, &bounds);
        let found = [1.0, 0.9, 0.8999, 0.75, 0.7499, 0.0].map(colour);
        assert_eq!(found, [Colour::Green, Colour::Green, Colour::Yellow, Colour::Yellow, Colour::Red, Colour::Red]);
    }

    #[test]
    fn the_command_names_the_rows_register_agency_and_commune() {
        let row = Quality {
            register: "land".into(),
            agency: "sở tài nguyên".into(),
            commune: "00004".into(),
            ..Quality::default()
        };
        assert_eq!(
            command(&row, Criterion::Clean),
            "hub findings --register land --criterion clean --agency 'sở tài nguyên' --commune 00004"
        );
    }

    #[test]
    fn a_trend_is_told_where_both_times_are_measured() {
        let before = QualityBefore { clean: Some(0.9), ..QualityBefore::default() };
        let row = Quality { clean: Some(0.925), alive: Some(1.0), before: Some(before), ..Quality::default() };
        assert_eq!(trend(&row, Criterion::Clean).map(trend_text).as_deref(), Some("+2.50"));
        assert_eq!(trend(&row, Criterion::Alive), None);
        assert_eq!(trend_text(-0.00001), "=");
        assert_eq!(least(&row).map(|(criterion, _)| criterion), Some(Criterion::Clean));
    }
}
