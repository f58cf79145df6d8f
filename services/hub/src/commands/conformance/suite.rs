//! Cases, what came of each, and how that is told: a table, one JSON object, JUnit XML.

use std::fmt::Write as _;
use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::output::{Output, Table};

/// Longest time that one case may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The hub did something else than it should.
    Failed(String),
    /// The case does not apply here.
    Skipped(String),
}

impl From<tonic::Status> for Fault {
    fn from(status: tonic::Status) -> Self {
        Self::Failed(format!("the call ended with {:?}: {}", status.code(), status.message()))
    }
}

/// What was seen, or why the case did not pass.
pub(super) type Seen = Result<String, Fault>;

/// Fails a case.
pub(super) fn failed<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Failed(what.into()))
}

/// A case that was played.
#[derive(Debug)]
pub(super) struct Case {
    /// Who played it: "publisher" or "portal".
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) seen: Seen,
    pub(super) took: Duration,
}

/// All that were played, in their order.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) cases: Vec<Case>,
}

impl Suite {
    /// Plays a case.
    pub(super) async fn play(&mut self, class: &'static str, name: &'static str, case: impl Future<Output = Seen>) {
        let begun = Instant::now();
        let seen = tokio::time::timeout(PATIENCE, case)
            .await
            .unwrap_or_else(|_| failed(format!("no end within {} s", PATIENCE.as_secs())));
        self.cases.push(Case { class, name, seen, took: begun.elapsed() });
    }

    /// Notes cases that cannot be played.
    pub(super) fn skip(&mut self, class: &'static str, names: &[&'static str], why: &str) {
        let skipped = |name: &&'static str| {
            let seen = Err(Fault::Skipped(why.to_owned()));
            Case { class, name, seen, took: Duration::ZERO }
        };
        self.cases.extend(names.iter().map(skipped));
    }

    /// Passed, failed, skipped.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let of = |wanted: fn(&Seen) -> bool| self.cases.iter().filter(|case| wanted(&case.seen)).count();
        (
            of(|seen| seen.is_ok()),
            of(|seen| matches!(seen, Err(Fault::Failed(_)))),
            of(|seen| matches!(seen, Err(Fault::Skipped(_)))),
        )
    }

    /// The object of `--json`.
    pub(super) fn json(&self) -> Json {
        let (passed, failed, skipped) = self.counts();
        let case = |case: &Case| {
            let (result, seen) = told(&case.seen);
            json!({ "who": case.class, "case": case.name, "result": result, "seen": seen, "ms": case.took.as_millis() as u64 })
        };
        json!({ "passed": passed, "failed": failed, "skipped": skipped, "cases": self.cases.iter().map(case).collect::<Vec<_>>() })
    }

    /// The table.
    pub(super) fn text(&self, output: Output) -> String {
        let mut table = Table::new(["who", "case", "result", "ms", "seen"]);
        for case in &self.cases {
            let (result, seen) = told(&case.seen);
            let result = match &case.seen {
                Ok(_) => output.good(result),
                Err(Fault::Failed(_)) => output.bad(result),
                Err(Fault::Skipped(_)) => output.warn(result),
            };
            let row = [case.class, case.name].map(str::to_owned);
            table.row(row.into_iter().chain([result, case.took.as_millis().to_string(), seen.to_owned()]));
        }
        let (passed, failed, skipped) = self.counts();
        let counts = format!("{passed} passed, {failed} failed, {skipped} skipped");
        let counts = if failed == 0 { output.good(&counts) } else { output.bad(&counts) };
        format!("{}{counts}\n", table.text())
    }

    /// JUnit XML, as build servers read it.
    pub(super) fn junit(&self, register: &str) -> String {
        let (_, failed, skipped) = self.counts();
        let seconds = |took: Duration| format!("{:.3}", took.as_secs_f64());
        let all = seconds(self.cases.iter().map(|case| case.took).sum());
        let name = escape(&format!("hub conformance of {register}"));
        let tests = self.cases.len();
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{all}\">\n\
             <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{all}\">\n"
        );
        for case in &self.cases {
            let _infallible = write!(
                out,
                "<testcase classname=\"conformance.{}\" name=\"{}\" time=\"{}\">",
                case.class,
                escape(case.name),
                seconds(case.took)
            );
            let _infallible = match &case.seen {
                Ok(seen) => write!(out, "<system-out>{}</system-out>", escape(seen)),
                Err(Fault::Failed(what)) => write!(out, "<failure message=\"{}\"/>", escape(what)),
                Err(Fault::Skipped(why)) => write!(out, "<skipped message=\"{}\"/>", escape(why)),
            };
            out.push_str("</testcase>\n");
        }
        out.push_str("</testsuite>\n</testsuites>\n");
        out
    }
}

fn told(seen: &Seen) -> (&'static str, &str) {
    match seen {
        Ok(seen) => ("passed", seen),
        Err(Fault::Failed(what)) => ("failed", what),
        Err(Fault::Skipped(why)) => ("skipped", why),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no place for these.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Color;

    #[tokio::test]
    async fn what_came_of_the_cases_is_told_in_each_form() {
        let mut suite = Suite::default();
        suite.play("publisher", "retry", async { Ok("3 duplicates".to_owned()) }).await;
        suite.play("portal", "permit <a>", async { failed("said \"yes\"\u{1}") }).await;
        suite.skip("portal", &["answer"], "no personal id");
        assert_eq!(suite.counts(), (1, 1, 1));
        let text = suite.text(Output::new(false, Color::Never));
        assert!(text.ends_with("1 passed, 1 failed, 1 skipped\n"), "{text}");
        assert_eq!(suite.json()["cases"][1]["result"], "failed");
        let xml = suite.junit("civil");
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("name=\"permit &lt;a&gt;\"") && xml.contains("said &quot;yes&quot; "), "{xml}");
        assert!(xml.contains("<skipped message=\"no personal id\"/></testcase>"), "{xml}");
    }
}
