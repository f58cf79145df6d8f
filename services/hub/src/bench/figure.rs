//! What is measured, beside the limit of the same run and the budget.

use serde_json::{Value, json};

/// What a figure is to reach: absolutely, or as a share of its limit. It is met when either holds, because another machine has
/// other limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// At least so many; or at least this share of the limit.
    AtLeast(f64, Option<f64>),
    /// At most so many.
    AtMost(f64),
    /// At most this multiple of the limit.
    Grows(f64),
    /// Told without a budget.
    None,
}

/// What a figure is measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// What it is.
    pub what: &'static str,
    /// In the figure's unit.
    pub value: f64,
}

/// A figure of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Its name, for machines.
    pub name: &'static str,
    /// In [`Figure::unit`].
    pub value: f64,
    /// What is counted.
    pub unit: &'static str,
    /// The limit of the same run.
    pub limit: Option<Limit>,
    /// What it is to reach.
    pub budget: Budget,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.limit.map(|limit| self.value / limit.value.max(f64::MIN_POSITIVE))
    }

    fn met(&self) -> Option<bool> {
        match self.budget {
            Budget::AtLeast(value, share) => {
                let of_limit = share.zip(self.ratio()).is_some_and(|(share, ratio)| ratio >= share);
                Some(self.value >= value || of_limit)
            }
            Budget::AtMost(value) => Some(self.value <= value),
            Budget::Grows(most) => self.ratio().map(|ratio| ratio <= most),
            Budget::None => None,
        }
    }
}

/// A figure over several runs: that of the run in the middle, and how far the others were from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The run in the middle.
    pub figure: Figure,
    /// The least of all runs.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Row {
    /// One row for each figure, in the order of the first run.
    pub fn of_runs(runs: &[Vec<Figure>]) -> Vec<Self> {
        let Some(first) = runs.first() else { return Vec::new() };
        first.iter().map(|figure| Self::of(runs.iter().flatten().filter(|f| f.name == figure.name))).collect()
    }

    fn of<'a>(figures: impl Iterator<Item = &'a Figure>) -> Self {
        let mut figures: Vec<Figure> = figures.copied().collect();
        figures.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (min, max) = (figures[0].value, figures[figures.len() - 1].value);
        Self { figure: figures[(figures.len() - 1) / 2], min, max }
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let figure = &self.figure;
        json!({
            "name": figure.name,
            "value": rounded(figure.value),
            "unit": figure.unit,
            "min": rounded(self.min),
            "max": rounded(self.max),
            "limit": figure.limit.map(|limit| rounded(limit.value)),
            "limit_is": figure.limit.map(|limit| limit.what),
            "ratio": figure.ratio().map(rounded),
            "budget": self.budget(),
            "met": figure.met(),
        })
    }

    /// For people: name, value, unit, limit, ratio, budget, met.
    pub fn cells(&self) -> [String; 8] {
        let figure = &self.figure;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            figure.name.to_owned(),
            shown(figure.value),
            figure.unit.to_owned(),
            or_none(figure.limit.map(|limit| shown(limit.value))),
            or_none(figure.ratio().map(|ratio| format!("{ratio:.3}"))),
            or_none(self.budget()),
            or_none(figure.met().map(|met| if met { "met" } else { "missed" }.to_owned())),
            or_none(figure.limit.map(|limit| limit.what.to_owned())),
        ]
    }

    fn budget(&self) -> Option<String> {
        match self.figure.budget {
            Budget::AtLeast(value, None) => Some(format!("≥ {}", shown(value))),
            Budget::AtLeast(f64::INFINITY, Some(share)) => Some(format!("≥ {share} of the limit")),
            Budget::AtLeast(value, Some(share)) => Some(format!("≥ {} or {share} of the limit", shown(value))),
            Budget::AtMost(value) => Some(format!("≤ {}", shown(value))),
            Budget::Grows(most) => Some(format!("≤ {most} times the limit")),
            Budget::None => None,
        }
    }
}

/// Three digits are as many as such figures have.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powi(3 - value.abs().log10().ceil() as i32);
    (value * scale).round() / scale
}

fn shown(value: f64) -> String {
    let value = rounded(value);
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, limit: f64, budget: Budget) -> Figure {
        Figure { name: "x", value, unit: "1/s", limit: Some(Limit { what: "y", value: limit }), budget }
    }

    #[test]
    fn a_budget_is_met_absolutely_or_as_a_share_of_the_limit() {
        let met = |value, limit, budget| figure(value, limit, budget).met();
        let budget = Budget::AtLeast(150.0, Some(0.1));
        assert_eq!(met(160.0, 1e9, budget), Some(true));
        assert_eq!(met(20.0, 200.0, budget), Some(true));
        assert_eq!(met(20.0, 201.0, budget), Some(false));
        assert_eq!(met(5.0, 2.0, Budget::Grows(2.5)), Some(true));
        assert_eq!(met(5.1, 2.0, Budget::Grows(2.5)), Some(false));
        assert_eq!(met(50.1, 1.0, Budget::AtMost(50.0)), Some(false));
        assert_eq!(met(1.0, 1.0, Budget::None), None);
    }

    #[test]
    fn several_runs_give_the_middle_one_and_both_ends() {
        let runs: Vec<_> = [3.0, 1.0, 2.0].map(|value| vec![figure(value, 10.0, Budget::None)]).into();
        let rows = Row::of_runs(&runs);
        assert_eq!((rows[0].min, rows[0].figure.value, rows[0].max), (1.0, 2.0, 3.0));
        assert_eq!(rows[0].json()["ratio"], 0.2);
        assert!(Row::of_runs(&[]).is_empty());
    }

    #[test]
    fn three_digits_are_shown() {
        assert_eq!([123_456.0, 12.345, 0.012_34, 0.0].map(shown), ["123000", "12.3", "0.0123", "0"]);
    }
}
