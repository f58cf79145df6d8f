//! How far a long command is: one live line on a terminal, a plain line every few seconds elsewhere, nothing with `--json`.

use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A running count with its rate and the time that is left. Written to standard error.
pub struct Progress {
    bar: ProgressBar,
    plain: Option<Plain>,
}

struct Plain {
    label: String,
    unit: &'static str,
    began: Instant,
    shown: Mutex<Instant>,
}

impl Progress {
    /// Starts counting `unit`s (such as `changes`), up to `total` when it is known. `quiet` shows nothing.
    pub fn new(label: &str, unit: &'static str, total: Option<u64>, quiet: bool) -> Self {
        let live = !quiet && io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_style(style(total.is_some(), unit));
        bar.set_prefix(label.to_owned());
        let now = Instant::now();
        let plain =
            (!quiet && !live).then(|| Plain { label: label.to_owned(), unit, began: now, shown: Mutex::new(now) });
        Self { bar, plain }
    }

    /// Counts further.
    pub fn add(&self, count: u64) {
        self.bar.inc(count);
        if let Some(plain) = &self.plain {
            plain.show_sometimes(self.bar.position(), self.bar.length());
        }
    }

    /// Sets the count, for a source that tells where it is.
    pub fn set(&self, count: u64) {
        self.bar.set_position(count);
        if let Some(plain) = &self.plain {
            plain.show_sometimes(count, self.bar.length());
        }
    }

    /// A total that has become known.
    pub fn total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Ends: the live line is cleared, the plain one shown a last time.
    pub fn finish(self) {
        // Work of which there was none says nothing.
        if let Some(plain) = self.plain.as_ref().filter(|_| self.bar.position() > 0) {
            eprintln!("{}", plain.line(self.bar.position(), self.bar.length(), plain.began.elapsed()));
        }
        self.bar.finish_and_clear();
    }
}

impl Plain {
    fn show_sometimes(&self, count: u64, total: Option<u64>) {
        // Whoever finds it taken leaves the line to the one who has it.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.elapsed() >= PLAIN_INTERVAL {
            *shown = Instant::now();
            eprintln!("{}", self.line(count, total, self.began.elapsed()));
        }
    }

    fn line(&self, count: u64, total: Option<u64>, elapsed: Duration) -> String {
        let (label, unit) = (&self.label, self.unit);
        let rate = count as f64 / elapsed.as_secs_f64().max(0.001);
        match total {
            Some(total) if total > count && rate > 0.0 => {
                let left = (total - count) as f64 / rate;
                format!("{label}: {count}/{total} {unit}, {rate:.0}/s, {left:.0} s left")
            }
            _ => format!("{label}: {count} {unit}, {rate:.0}/s, {:.1} s", elapsed.as_secs_f64()),
        }
    }
}

fn style(total_known: bool, unit: &'static str) -> ProgressStyle {
    let template = if total_known {
        "{prefix} [{bar:24}] {count}/{whole} {unit}  {rate}  {left} left"
    } else {
        "{prefix} {spinner} {count} {unit}  {rate}  {elapsed}"
    };
    let style = ProgressStyle::with_template(template).expect("the templates are constants of this file");
    type State = indicatif::ProgressState;
    type Out<'a> = &'a mut dyn std::fmt::Write;
    // indicatif's keys cannot fail, and a line that cannot be shown is no reason to stop.
    style
        .progress_chars("=> ")
        .with_key("unit", move |_: &State, out: Out<'_>| out.write_str(unit).unwrap_or_default())
        .with_key("count", |state: &State, out: Out<'_>| write!(out, "{}", HumanCount(state.pos())).unwrap_or_default())
        .with_key("whole", |state: &State, out: Out<'_>| {
            write!(out, "{}", HumanCount(state.len().unwrap_or(0))).unwrap_or_default()
        })
        .with_key("rate", |state: &State, out: Out<'_>| {
            write!(out, "{}/s", HumanCount(state.per_sec() as u64)).unwrap_or_default()
        })
        .with_key("left", |state: &State, out: Out<'_>| {
            write!(out, "{:#}", HumanDuration(state.eta())).unwrap_or_default()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Plain {
        let now = Instant::now();
        Plain { label: "publish".to_owned(), unit: "changes", began: now, shown: Mutex::new(now) }
    }

    #[test]
    fn a_plain_line_has_rate_and_time_left_while_the_total_is_ahead() {
        let line = plain().line(2_000, Some(10_000), Duration::from_secs(4));
        assert_eq!(line, "publish: 2000/10000 changes, 500/s, 16 s left");
    }

    #[test]
    fn a_plain_line_has_the_time_taken_at_the_end_or_without_a_total() {
        let done = plain().line(10_000, Some(10_000), Duration::from_secs(4));
        assert_eq!(done, "publish: 10000 changes, 2500/s, 4.0 s");
        assert_eq!(plain().line(0, None, Duration::ZERO), "publish: 0 changes, 0/s, 0.0 s");
    }

    #[test]
    fn every_template_is_well_formed() {
        let shown = Progress::new("publish", "changes", Some(2), true);
        shown.add(1);
        shown.total(4);
        assert_eq!((shown.bar.position(), shown.bar.length()), (1, Some(4)));
        Progress::new("publish", "changes", None, true).finish();
    }
}
